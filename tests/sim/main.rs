//! The simulation: the whole daemon in one thread on paused time, from one seed.
//!
//! The relay, the lanes, the queues, the binding table and the clean-up are the real ones, wired as `app` wires them, on
//! the memory engine behind a disk that syncs late, meets conflicts and loses its power. Around it a world of people,
//! callers, providers and operators draws what it does from the seed. The auditor follows every committed batch, the
//! sink counts every request, and both know nothing of the daemon's code but how rows look.
//!
//! `TRUNKLINE_SEEDS` says how many seeds (from `TRUNKLINE_FIRST_SEED`, or 0); `TRUNKLINE_SEED` replays one and prints
//! what happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auditor;
mod dice;
mod disk;
mod life;
mod panics;
mod run;
mod sink;
mod situations;
mod trace;
mod verdict;
mod workload;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use situations::Table;
use world::Tally;

/// What a plain `cargo test` runs.
const SHORT: u64 = 300;
/// How often each fault must have met each state over so many seeds.
const LEAST: (u64, u64) = (20, 10_000);
/// One seed in so many keeps its copy of the bindings in a real sled.
const COPIED: u64 = 8;
/// A run that fails this often has shown enough.
const ENOUGH: usize = 10;

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs and what it shows is asked of whoever runs it"
)]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn one(seed: u64, printed: bool, folder: &std::path::Path) -> run::Ended {
    run::seed(seed, printed, seed.is_multiple_of(COPIED).then_some(folder))
}

#[derive(Default)]
struct Sum {
    tally: Tally,
    table: Table,
    lines: u64,
    failed: Vec<(u64, Vec<String>)>,
}

#[test]
fn nothing_acknowledged_is_lost_whatever_goes_wrong() {
    panics::listen();
    if let Some(seed) = asked("TRUNKLINE_SEED") {
        let folder = tempfile::tempdir().unwrap();
        let ended = one(seed, true, folder.path());
        println!("seed {seed}: {} lines, trace {:016x}, {:?}", ended.lines, ended.sum, ended.tally);
        assert!(ended.wrong.is_empty(), "seed {seed}: {:#?}", ended.wrong);
        return;
    }
    let seeds = asked("TRUNKLINE_SEEDS").unwrap_or(SHORT);
    let first = asked("TRUNKLINE_FIRST_SEED").unwrap_or(0);
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let at_work: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(u64::MAX)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&at_work));
        for own in &at_work {
            let (next, sum) = (&next, &sum);
            scope.spawn(move || {
                // Kept from seed to seed: what a copy holds of another store is made right, too.
                let folder = tempfile::tempdir().unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || sum.lock().unwrap().failed.len() >= ENOUGH {
                        return own.store(DONE, Ordering::Relaxed);
                    }
                    own.store(seed, Ordering::Relaxed);
                    let ended = one(seed, false, folder.path());
                    let mut sum = sum.lock().unwrap();
                    sum.tally.add(&ended.tally);
                    sum.table.add(&ended.table);
                    sum.lines += ended.lines;
                    if !ended.wrong.is_empty() {
                        println!("seed {seed} FAILED: {}", ended.wrong[0]);
                        println!("  TRUNKLINE_SEED={seed} cargo sim");
                        sum.failed.push((seed, ended.wrong));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    report(&sum, next.load(Ordering::Relaxed).min(first + seeds) - first);
    let missed = sum.table.missed(LEAST.0 * seeds / LEAST.1);
    missed.iter().for_each(|cell| println!("not reached often enough: {cell}"));
    assert!(sum.failed.is_empty(), "{} seeds failed", sum.failed.len());
    assert!(missed.is_empty(), "{} situations were not reached often enough", missed.len());
}

/// What a worker is at when it is done.
const DONE: u64 = u64::MAX - 1;
/// Quarters of a second that a seed may take, where a usual one takes a twentieth of a second.
const STANDS: u32 = 240;

/// A task that never waits for anything cannot be ended from outside; what is left is to say which seed it is.
fn watch(at_work: &[AtomicU64]) {
    let mut seen: Vec<(u64, u32)> = at_work.iter().map(|_| (u64::MAX, 0)).collect();
    while at_work.iter().any(|one| one.load(Ordering::Relaxed) != DONE) {
        std::thread::sleep(std::time::Duration::from_millis(250));
        for (one, (seed, since)) in at_work.iter().zip(&mut seen) {
            let now = one.load(Ordering::Relaxed);
            (*seed, *since) = if now == *seed && now != DONE { (now, *since + 1) } else { (now, 0) };
            if *since > STANDS {
                println!("seed {now} FAILED: it goes round and round while time stands still");
                println!("  TRUNKLINE_SEED={now} cargo sim");
                std::process::exit(101);
            }
        }
    }
}

fn report(sum: &Sum, seeds: u64) {
    let Sum { tally, table, lines, failed } = sum;
    println!("\nHow often each fault met each state:\n");
    table.print();
    let about = |words: &[&str]| {
        failed
            .iter()
            .filter(|(_, wrong)| wrong.iter().any(|what| words.iter().any(|word| what.contains(word))))
            .count()
    };
    println!();
    for (name, count) in [
        ("seeds", seeds),
        ("failed", failed.len() as u64),
        ("steps", tally.steps),
        ("virtual hours", tally.virtual_seconds / 3600),
        ("trace lines", *lines),
        ("kills", tally.crashes),
        ("orderly restarts", tally.restarts),
        ("messages acknowledged", tally.acknowledged),
        ("repeats acknowledged", tally.repeats),
        ("statuses acknowledged", tally.statuses),
        ("requests to providers", tally.sends),
        ("taken by providers", tally.taken),
        ("lost", about(&["lost", "acknowledged and is", "nothing is known", " got "]) as u64),
        ("out of order", about(&[" after Some"]) as u64),
        ("duplicates after an unknown outcome", tally.after_unknown),
        ("duplicates after a kill", tally.after_crash),
        ("duplicates without need", about(&["without need"]) as u64),
    ] {
        println!("{name:<38}{count:>12}");
    }
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    panics::listen();
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..asked("TRUNKLINE_TWICE").unwrap_or(10) {
        let (first, second) = (one(seed, false, folder.path()), one(seed, false, folder.path()));
        assert_eq!((first.lines, first.sum), (second.lines, second.sum), "seed {seed}");
    }
}
