//! One daemon, its lives, and the rounds of work around its deaths.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::beside::Beside;
use crate::book::{Book, Promise, Tally};
use crate::harness::arrivals::{DUPLICATES, REPEATING};
use crate::harness::dice::Dice;
use crate::harness::limits::{Limit, above, exceeded};
use crate::harness::{Act, Client, Phone, Proxy, Road, Sent, World};
use crate::observer::{Findings, Observer};
use crate::points::ahead;
use crate::talk::{Outside, Talk};
use crate::workload::{Phones, look_at_receipts, round, tell_statuses};

/// A line whose rate is low, and always used: a restart that forgot what was sent would be seen. Its burst is larger than
/// what comes back while a daemon is away.
const SLOW: &str = "+15550004444";
const LIMIT: Limit = Limit { per_second: 12.0, burst: 40.0 };
/// So many sends wait for it at the begin of each round, to so many people.
const BACKLOG: usize = 80;
const SLOW_PEOPLE: u64 = 8;
/// A round that takes longer hangs.
const LONGEST_ROUND: Duration = Duration::from_secs(90);

/// Sets a life's clock further on.
const AHEAD: &str = "TRUNKLINE_TEST_CLOCK_AHEAD";

/// What deaths are called that no place has.
const SUDDEN: &str = "a random moment";

/// How a life is to end.
#[derive(Clone, Debug)]
pub enum Death {
    /// At a place, when it is reached for the time after so many.
    At { name: &'static str, after: u64 },
    /// Some time after the work began.
    Sudden(Duration),
}

/// One life of the daemon.
pub struct Life {
    /// When its executable was started.
    pub started: Instant,
    /// Where it died; nothing while it lives, and after an orderly end.
    pub died: Option<String>,
}

/// One daemon and everybody around it.
pub struct Site {
    world: World,
    book: Arc<Book>,
    road: Road,
    moved: watch::Sender<Client>,
    lives: Vec<Life>,
    dice: Dice,
    unknown_fails: bool,
    phones: [Phone; 3],
    /// The people of the next round begin with this number.
    numbers: u64,
    /// What statuses were told of.
    told: usize,
    backlog: Talk,
    removed: Vec<Talk>,
    beside: Arc<Beside>,
    rounds: u64,
}

impl Site {
    /// A daemon at work. `unknown_fails` says what becomes of sends that may have happened.
    pub async fn open(unknown_fails: bool, mut dice: Dice) -> Site {
        let beside = Arc::new(Beside::new().await);
        let world = World::start_with(|config| {
            beside.configure(config);
            let rate = format!("rate = {{ per_second = {}, burst = {} }}", LIMIT.per_second, LIMIT.burst);
            config.adapter("us").proxies.push(Proxy { address: SLOW.to_owned(), lines: vec![rate] });
            // Both tokens are right from the start, so that an edit may change which is used.
            let tokens = "[\"first\", \"second\"]".to_owned();
            config.adapter("wa").settings.insert("access_token".to_owned(), tokens);
            if unknown_fails {
                config.queue.push("unknown = \"fail\"".to_owned());
            }
        })
        .await;
        beside.settle(&world).await;
        let mut delays = Dice(dice.roll());
        // An answer takes a moment, so that there is something to interrupt.
        world.sink.script(move |_| Act::After(delays.millis(1..15), Box::new(Act::Accept)));
        let (moved, road) = Road::to(world.client.clone());
        let mut slow = Vec::new();
        for n in 0..SLOW_PEOPLE {
            slow.push((Phone { to: SLOW.to_owned(), ..world.sms(&format!("+1555199{n:04}")) }, SLOW));
        }
        let backlog = Talk::begin(&road, slow).await;
        let phones = [world.sms(""), world.whatsapp(""), world.messenger("")];
        let lives = vec![Life { started: Instant::now(), died: None }];
        Site {
            world,
            book: Arc::default(),
            road,
            moved,
            lives,
            dice,
            unknown_fails,
            phones,
            numbers: 2_000_000,
            told: 0,
            backlog,
            removed: Vec::new(),
            beside,
            rounds: 0,
        }
    }

    /// One round of work in which the daemon dies as told, one death after another as far as the work lasts. Says which
    /// of them came; nothing is said of those whose turn it never was.
    pub async fn round(&mut self, deaths: &[Death], tally: &Mutex<Tally>) -> Vec<Option<bool>> {
        self.rounds += 1;
        let mut came = vec![None; deaths.len()];
        let waiting = self.world.daemon.lane(SLOW).await["depth"].as_u64().unwrap_or_default() as usize;
        let missing = BACKLOG.saturating_sub(waiting) as u64 / SLOW_PEOPLE;
        let end = self.world.daemon.sigterm().await;
        assert!(end.success(), "an orderly end: {end}");
        let mut next = 0;
        self.live(deaths, &mut next, &mut came, tally).await;

        let outside = Outside { road: self.road.clone(), book: self.book.clone() };
        let over = Arc::new(AtomicBool::new(false));
        let mut roll = || Dice(self.dice.roll());
        let telling = tokio::spawn(tell_statuses(
            outside.clone(),
            self.phones.clone(),
            self.world.sink.arrivals(),
            self.told,
            over.clone(),
            roll(),
        ));
        let looking = tokio::spawn(look_at_receipts(outside.clone(), over.clone(), roll()));
        let phones = Phones::of(&self.world, self.numbers);
        self.numbers += 100;
        let mut working = tokio::spawn(round(
            outside,
            phones,
            roll(),
            (self.backlog.clone(), missing),
            self.beside.clone(),
        ));
        let began = Instant::now();
        // Somebody edits the file in the middle of it.
        let mut edit = Some(began + self.dice.millis(50..600));
        let traces = loop {
            assert!(began.elapsed() < LONGEST_ROUND, "a round hangs");
            let sudden = match deaths.get(next.wrapping_sub(1)) {
                Some(Death::Sudden(after)) if came[next - 1] == Some(false) => Some(began + *after),
                _ => None,
            };
            let log = self.world.daemon.log().clone();
            let until = |at: Option<Instant>| async move {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = &mut working => break done.unwrap(),
                () = log.end() => {}
                () = until(sudden) => {
                    self.world.daemon.kill9().await;
                    self.died(SUDDEN, tally);
                    came[next - 1] = Some(true);
                    self.live(deaths, &mut next, &mut came, tally).await;
                    continue;
                }
                () = until(edit) => {
                    edit = None;
                    self.edit();
                    continue;
                }
                () = tokio::time::sleep(LONGEST_ROUND) => continue,
            }
            self.ended_by_itself(deaths, next, &mut came, tally).await;
            self.live(deaths, &mut next, &mut came, tally).await;
        };
        // The work may be done before its middle came.
        if edit.is_some() {
            self.edit();
        }
        // What is reached only by what comes after the work: statuses, clean-up, the end.
        over.store(true, Ordering::SeqCst);
        let mut telling = telling;
        self.told = loop {
            let log = self.world.daemon.log().clone();
            tokio::select! {
                told = &mut telling => break told.unwrap(),
                () = log.end() => {}
            }
            self.ended_by_itself(deaths, next, &mut came, tally).await;
            self.live(deaths, &mut next, &mut came, tally).await;
        };
        let mut looking = looking;
        loop {
            let log = self.world.daemon.log().clone();
            tokio::select! {
                looked = &mut looking => break looked.unwrap(),
                () = log.end() => {}
            }
            self.ended_by_itself(deaths, next, &mut came, tally).await;
            self.live(deaths, &mut next, &mut came, tally).await;
        }
        if let Some(death) = deaths.get(next - 1)
            && came[next - 1] == Some(false)
        {
            if let Death::Sudden(_) = death {
                self.world.daemon.kill9().await;
                self.died(SUDDEN, tally);
                came[next - 1] = Some(true);
            } else {
                // Armed and alive: an orderly end is the last thing that can reach the place.
                self.world.daemon.terminate();
                self.world.daemon.log().end().await;
                self.ended_by_itself(deaths, next, &mut came, tally).await;
            }
            next = deaths.len();
            self.live(deaths, &mut next, &mut came, tally).await;
        }
        self.look(&traces.talks, &traces.removed, tally).await;
        self.removed.extend(traces.removed);
        came
    }

    /// Somebody edits the configuration and has it read.
    fn edit(&mut self) {
        let rounds = self.rounds;
        self.world.edit(|config| {
            let shown =
                if rounds.is_multiple_of(2) { "[\"first\", \"second\"]" } else { "[\"second\", \"first\"]" };
            config.adapter("wa").settings.insert("access_token".to_owned(), shown.to_owned());
        });
        // The daemon may be gone, or die of it.
        let _ = self.world.daemon.try_reload();
    }

    /// Starts the daemon, armed for the next death, until one start succeeds.
    async fn live(
        &mut self,
        deaths: &[Death],
        next: &mut usize,
        came: &mut [Option<bool>],
        tally: &Mutex<Tally>,
    ) {
        loop {
            self.world.daemon.env.remove("FAILPOINTS");
            self.world.daemon.env.remove(AHEAD);
            if let Some(death) = deaths.get(*next) {
                came[*next] = Some(false);
                if let Death::At { name, after } = death {
                    let armed = format!("{name}={after}*off->return");
                    self.world.daemon.env.insert("FAILPOINTS".to_owned(), armed);
                    if let Some(ahead) = ahead(name) {
                        self.world.daemon.env.insert(AHEAD.to_owned(), ahead.to_string());
                    }
                }
                *next += 1;
            } else {
                *next = deaths.len() + 1;
            }
            // Both ways of being durable survive this.
            let durability = if self.lives.len().is_multiple_of(2) { "power" } else { "process" };
            self.world.edit(|config| config.store[0] = format!("durability = \"{durability}\""));
            let command = self.world.daemon.command();
            self.lives.push(Life { started: Instant::now(), died: None });
            self.world.daemon.launch(command);
            if self.world.daemon.listening_or_gone().await {
                self.world.client = Client::new(self.world.daemon.address);
                self.moved.send_replace(self.world.client.clone());
                return;
            }
            self.ended_by_itself(deaths, *next, came, tally).await;
        }
    }

    /// The daemon is gone: it died where it was told to, or it ended in order as it was told to.
    async fn ended_by_itself(
        &mut self,
        deaths: &[Death],
        next: usize,
        came: &mut [Option<bool>],
        tally: &Mutex<Tally>,
    ) {
        let status = self.world.daemon.wait().await;
        let lines = self.world.daemon.log().lines();
        let armed = next.checked_sub(1).and_then(|place| deaths.get(place));
        if let Some(Death::At { name, .. }) = armed
            && lines.iter().any(|line| line.ends_with(&format!("failpoint {name}")))
        {
            assert_eq!(status.signal(), Some(9), "{status}");
            came[next - 1] = Some(true);
            self.died(name, tally);
            return;
        }
        assert!(status.success(), "the daemon ended by itself, {status}:\n{}", lines.join("\n"));
    }

    fn died(&mut self, name: &str, tally: &Mutex<Tally>) {
        self.lives.last_mut().unwrap().died = Some(name.to_owned());
        *tally.lock().unwrap().kills.entry(name.to_owned()).or_default() += 1;
    }

    /// Waits until there is nothing left to do but for the slow line, and looks at everything.
    async fn look(&self, talks: &[Talk], removed: &[Talk], tally: &Mutex<Tally>) {
        let daemon = &self.world.daemon;
        let quiet = || async {
            let lanes = daemon.lanes().await;
            let empty = lanes.iter().all(|lane| lane["depth"] == 0 || lane["proxy_address"] == SLOW);
            // What waits for a file is about to be in a lane.
            let inbox = daemon.metrics().await.value("trunkline_inbox_messages", &[]);
            (empty && inbox == 0.0).then_some(())
        };
        daemon.eventually("empty lanes", quiet).await;
        self.observe(talks, removed, tally).await;
    }

    async fn observe(&self, talks: &[Talk], removed: &[Talk], tally: &Mutex<Tally>) {
        let people: Vec<&str> = talks
            .iter()
            .chain(removed)
            .flat_map(|talk| &talk.people)
            .map(|person| person.address.as_str())
            .collect();
        let sent = self.world.sink.sent();
        let mut arrived: BTreeMap<&str, Vec<&Sent>> =
            people.into_iter().map(|address| (address, Vec::new())).collect();
        for sent in sent.iter().filter(|sent| sent.taken()) {
            if let Some(all) = arrived.get_mut(sent.to()) {
                all.push(sent);
            }
        }
        let observer = Observer {
            client: &self.world.client,
            book: &self.book,
            arrived,
            lives: &self.lives,
            unknown_fails: self.unknown_fails,
        };
        let mut findings = Findings::default();
        for talk in talks {
            observer.look(talk, &mut findings).await;
        }
        for talk in removed {
            observer.look_at_removed(talk, &mut findings).await;
        }
        self.count(&findings).await;
        let mut tally = tally.lock().unwrap();
        tally.acknowledged += findings.acknowledged;
        tally.arrived += findings.arrived;
        for excused in &findings.excused {
            let place = self.lives[excused.life - 1].died.clone().unwrap();
            *tally.duplicates.entry(place).or_default() += 1;
        }
    }

    /// Every duplicate is in the log of the life that made it, and in the counter of one that can still be asked.
    async fn count(&self, findings: &Findings) {
        let asked = Instant::now();
        let counted = self.world.daemon.metrics().await.sum(DUPLICATES, &[]);
        for (number, life) in self.lives.iter().enumerate() {
            let end = self.lives.get(number + 1).map_or(asked, |next| next.started);
            let during =
                findings.excused.iter().filter(|excused| (life.started..end).contains(&excused.repeat.again));
            let (seen, mine) = (during.count(), &self.world.daemon.logs[number]);
            if seen == 0 {
                continue;
            }
            let logged = mine.lines().iter().filter(|line| line.contains(REPEATING)).count();
            if logged < seen {
                self.book.broken(
                    Promise::Duplicate,
                    format!("life {number} tells of {logged} of {seen} duplicates"),
                );
            }
            if number + 1 == self.lives.len() && counted < seen as f64 {
                self.book.broken(
                    Promise::Duplicate,
                    format!("life {number} counts {counted} of {seen} duplicates"),
                );
            }
        }
    }

    /// The last look: the slow line too, and what was removed is removed.
    pub async fn close(self, tally: &Mutex<Tally>) {
        let daemon = &self.world.daemon;
        let empty = || async { (daemon.lane(SLOW).await["depth"] == 0).then_some(()) };
        daemon.eventually("an empty slow line", empty).await;
        self.observe(std::slice::from_ref(&self.backlog), &[], tally).await;
        self.beside.look(&self.world, &self.book).await;
        let cleaned = || async {
            let rows = daemon.dump();
            rows.iter().all(|row| self.removed.iter().all(|talk| talk.sid != row.partition)).then_some(())
        };
        daemon.eventually("the end of the clean-up", cleaned).await;
        let mut times: Vec<Instant> =
            self.world.sink.sent().iter().filter(|sent| sent.from() == SLOW).map(|sent| sent.at).collect();
        times.sort_unstable();
        let found = above(&times, LIMIT);
        println!(
            "{} on the slow line, fullest window {:+.2}, {:.2} % above",
            times.len(),
            found.0,
            found.1 * 100.0
        );
        if exceeded(found, LIMIT) {
            self.book.broken(Promise::Rate, format!("{SLOW} is above its limit: {found:?}"));
        }
        let mut known = std::mem::take(&mut *self.book.known.lock().unwrap());
        let mut tally = tally.lock().unwrap();
        tally.broken.append(&mut known.broken);
        tally.statuses += known.statuses;
        tally.tried += known.tried;
    }
}
