//! Which death comes next, on several daemons side by side, and the table at the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::book::Tally;
use crate::harness::dice::{Dice, seed};
use crate::points::{POINTS, Point, Reached};
use crate::site::{Death, Site};

/// The long form begins no new round after this.
const LONG: Duration = Duration::from_secs(8 * 60 + 20);
/// Deaths at random moments in the short form.
const RANDOM: usize = 6;
/// Rounds that may miss a place before it counts as one that nobody comes by.
const MISSES: usize = 6;

/// What is still to be done.
struct Plan {
    waiting: VecDeque<&'static Point>,
    /// How often a round is known to come by, where that is less than the table says.
    often: BTreeMap<&'static str, u64>,
    missed: BTreeMap<&'static str, usize>,
    random: usize,
    long: Option<Instant>,
    dice: Dice,
}

/// The next death, and the place it is about.
type Job = (Death, Option<&'static Point>);

impl Plan {
    /// The deaths of the next round; none when everything is done.
    fn next(&mut self, unknown_fails: bool) -> Vec<Job> {
        let over = self.long.is_none_or(|end| Instant::now() >= end);
        let fits = |point: &&'static Point| (point.reached == Reached::UnknownFails) <= unknown_fails;
        if over && self.long.is_some() {
            self.random = 0;
        }
        let mut jobs = Vec::new();
        // In the long form two deaths in a row: the second finds the daemon still busy with what the first left.
        for _ in 0..if self.long.is_some() { 2 } else { 1 } {
            if !over && !self.waiting.iter().any(|point| fits(point)) {
                let waiting: Vec<&str> = self.waiting.iter().map(|point| point.name).collect();
                self.waiting.extend(POINTS.iter().filter(|point| !waiting.contains(&point.name)));
            }
            // What only one kind of daemon comes by is left to it, and goes first there.
            let own = |point: &&'static Point| unknown_fails && point.reached == Reached::UnknownFails;
            let place = self.waiting.iter().position(own);
            let place = place.or_else(|| self.waiting.iter().position(fits));
            let sudden = self.random > 0 && self.dice.once_in(4);
            match place.filter(|_| !sudden) {
                Some(place) => jobs.extend(self.waiting.remove(place).map(|point| self.at(point))),
                None if self.random > 0 => {
                    self.random -= 1;
                    jobs.push((Death::Sudden(self.dice.millis(0..1_200)), None));
                }
                None => {}
            }
        }
        jobs
    }

    fn at(&mut self, point: &'static Point) -> Job {
        let often = *self.often.get(point.name).unwrap_or(&point.often);
        (Death::At { name: point.name, after: self.dice.within(0..often.max(1)) }, Some(point))
    }

    /// A place that was not reached is tried again, for an earlier time.
    fn missed(&mut self, point: &'static Point, after: u64) {
        let missed = self.missed.entry(point.name).or_default();
        *missed += 1;
        if *missed < MISSES {
            self.often.insert(point.name, (after / 2).max(1));
            self.waiting.push_front(point);
        }
    }
}

async fn die_again_and_again(unknown_fails: bool, plan: &Mutex<Plan>, tally: &Mutex<Tally>) {
    let dice = Dice(plan.lock().unwrap().dice.roll());
    let mut site = Site::open(unknown_fails, dice).await;
    loop {
        let jobs = plan.lock().unwrap().next(unknown_fails);
        if jobs.is_empty() {
            break;
        }
        let deaths: Vec<Death> = jobs.iter().map(|(death, _)| death.clone()).collect();
        let came = site.round(&deaths, tally).await;
        for ((death, point), came) in jobs.into_iter().zip(came) {
            match (death, point, came) {
                (Death::At { after, .. }, Some(point), Some(false)) => {
                    plan.lock().unwrap().missed(point, after)
                }
                (_, Some(point), None) => plan.lock().unwrap().waiting.push_front(point),
                _ => {}
            }
        }
    }
    site.close(tally).await;
}

#[test]
fn every_promise_holds_wherever_and_whenever_the_daemon_dies() {
    let long = std::env::var("TRUNKLINE_CRASH").is_ok_and(|form| form == "long");
    let seed = seed();
    println!("TRUNKLINE_CRASH={} TRUNKLINE_SEED={seed}", if long { "long" } else { "short" });
    let began = Instant::now();
    let plan = Mutex::new(Plan {
        waiting: POINTS.iter().collect(),
        often: BTreeMap::new(),
        missed: BTreeMap::new(),
        random: if long { 100 } else { RANDOM },
        long: long.then(|| began + LONG),
        dice: Dice(seed),
    });
    let tally = Mutex::new(Tally::default());
    let failed: Vec<bool> = std::thread::scope(|scope| {
        let sites = [false, true, false].map(|unknown_fails| {
            let (plan, tally) = (&plan, &tally);
            scope.spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
                runtime.block_on(die_again_and_again(unknown_fails, plan, tally));
            })
        });
        sites.into_iter().map(|site| site.join().is_err()).collect()
    });
    let tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("\n{tally}{:<30} {:>6} s", "took", began.elapsed().as_secs());
    for (promise, how) in &tally.broken {
        println!("BROKEN {promise:?}: {how}");
    }
    let unvisited: Vec<&str> =
        POINTS.iter().map(|point| point.name).filter(|name| !tally.kills.contains_key(*name)).collect();
    assert!(!failed.contains(&true), "a daemon could not be watched to the end: see above");
    assert!(unvisited.is_empty(), "the daemon did not die at {unvisited:?}");
    assert!(tally.broken.is_empty(), "{} promises broken", tally.broken.len());
    assert!(tally.acknowledged > 0 && tally.arrived > 0 && tally.statuses > 0);
}
