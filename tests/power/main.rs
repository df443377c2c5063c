//! Power cuts: a daemon runs on a disk that writes everything down, and what a cut at any moment would have left is
//! opened and held against what was promised. `tests/run power` starts it; it needs a C compiler.
//!
//! `TRUNKLINE_POWER=long` cuts thousands of times; `TRUNKLINE_SEED` repeats a run's choices (the machine's times remain
//! its own).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a real daemon is measured by the real clock")]

mod cuts;
mod disk;
mod drive;
mod faults;
mod journal;
mod judge;
mod layer;
mod load;
mod served;
mod wire;

#[path = "../it/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::FutureExt;

use cuts::{Outcome, Tally, Verdict};
use disk::{Disk, Loss};
use faults::Damage;
use harness::blocking;
use harness::daemon::executable;
use harness::dice::Dice;
use journal::Journal;
use judge::Known;
use layer::{Fault, Layer};

/// How much is done.
struct Size {
    messages: u64,
    cuts: usize,
    /// Of a daemon that promises less.
    process_cuts: usize,
    restore_cuts: usize,
    batches: u64,
    large_cuts: usize,
    served: usize,
    /// Each fault, so often.
    rounds: usize,
}

const SHORT: Size = Size {
    messages: 220,
    cuts: 240,
    process_cuts: 60,
    restore_cuts: 40,
    batches: 84,
    large_cuts: 12,
    served: 4,
    rounds: 1,
};
const LONG: Size = Size {
    messages: 900,
    cuts: 2_000,
    process_cuts: 400,
    restore_cuts: 240,
    batches: 330,
    large_cuts: 90,
    served: 30,
    rounds: 4,
};

struct Suite {
    library: PathBuf,
    size: Size,
    dice: Dice,
    passed: usize,
    failed: usize,
    rows: BTreeMap<(&'static str, Loss), Tally>,
    repeats: served::Repeats,
}

impl Suite {
    fn say(&mut self, name: &str, began: Instant, outcome: Result<(), String>) {
        let seconds = began.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({seconds:.1} s)");
            }
            Err(reason) => {
                self.failed += 1;
                println!("FAIL {name} ({seconds:.1} s)\n     {reason}");
            }
        }
    }

    /// Enters an outcome into the table.
    fn count(&mut self, what: &'static str, outcome: &Outcome) -> Result<(), String> {
        for (loss, tally) in &outcome.by_loss {
            self.rows.entry((what, *loss)).or_default().add(tally);
        }
        if outcome.complaints.is_empty() {
            return Ok(());
        }
        let first: Vec<&str> = outcome.complaints.iter().take(5).map(String::as_str).collect();
        Err(format!(
            "{} cuts went wrong, the first:\n     {}",
            outcome.complaints.len(),
            first.join("\n     ")
        ))
    }

    /// Nothing went past the layer.
    fn complete(&mut self, what: &str, journal: &Journal, store: &Path) {
        let began = Instant::now();
        let mut disk = Disk::new(store);
        disk.advance(journal, journal.events.len());
        let name = format!("the journal of {what} has every byte that reached its disk");
        self.say(&name, began, disk.equals(store).map(drop));
    }

    /// A daemon under load, cut at many moments; some of the images are served.
    async fn load(&mut self) -> Vec<u8> {
        let began = Instant::now();
        let layer = Layer::new(&self.library);
        let (world, record) = load::run(&layer, self.size.messages, "power", &mut self.dice).await;
        let journal = Journal::read(&layer.journal);
        let known = Known::learn(&journal, &record.book);
        println!(
            "a daemon under load: {} events, {} promises, {} sights, {} requests to providers, {} names that left ({:.1} s)",
            journal.events.len(),
            known.promises.len(),
            known.sights.len(),
            known.sends,
            known.names.len(),
            began.elapsed().as_secs_f32()
        );
        blocking(|| self.complete("a daemon under load", &journal, &layer.store));

        let began = Instant::now();
        let mut cuts = cuts::plan(&journal, self.size.cuts, &mut self.dice);
        let suspects = cuts::suspects(&journal, &layer.store, &known.left(), self.size.cuts / 8);
        println!("{} moments at which something left before it was synced, by its bytes", suspects.len());
        cuts.extend(suspects);
        cuts.sort_by_key(|cut| cut.moment);
        let outcome = blocking(|| {
            cuts::judge("under load", &journal, &layer.store, &cuts, |cut, image| {
                let (acknowledged, seen) = (known.messages(cut.moment).count(), known.seen(cut.moment));
                let verdict = Verdict { acknowledged, seen, ..Verdict::default() };
                match judge::open(image).map(|rows| judge::read(&rows)) {
                    Err(reason) => Verdict { refused: vec![reason], ..verdict },
                    Ok(found) => Verdict {
                        lost: found.lost(&known, cut.moment),
                        doubled: found.doubled(),
                        torn: found.torn,
                        ..verdict
                    },
                }
            })
        });
        let outcome = self.count("under load", &outcome);
        self.say("what was acknowledged or seen is there after a power cut, once and whole", began, outcome);

        let began = Instant::now();
        let mut outcome = Outcome::default();
        let mut disk = Disk::new(&layer.store);
        for cut in cuts::plan(&journal, self.size.served, &mut self.dice) {
            disk.advance(&journal, cut.moment);
            let verdict = served::serve(&disk, &cut, &journal, &record, &known, &mut self.repeats).await;
            outcome.enter("served", &cut, &verdict);
        }
        let outcome = self.count("served", &outcome);
        self.say(
            "a daemon goes on from there, repeats are no-ops, and what is owed goes out",
            began,
            outcome,
        );
        let store = layer.store.display().to_string();
        let dump =
            blocking(|| Command::new(executable()).args(["dump", "--store", &store]).output().unwrap());
        drop(world);
        dump.stdout
    }

    /// A daemon that promises to survive its own death only: it may lose, but it opens, and nothing is there by halves.
    async fn process(&mut self) {
        let began = Instant::now();
        let layer = Layer::new(&self.library);
        let (world, _) = load::run(&layer, self.size.messages / 2, "process", &mut self.dice).await;
        let journal = Journal::read(&layer.journal);
        let cuts = cuts::plan(&journal, self.size.process_cuts, &mut self.dice);
        let outcome = blocking(|| {
            cuts::judge("process", &journal, &layer.store, &cuts, |_, image| {
                match judge::open(image).map(|rows| judge::read(&rows)) {
                    Err(reason) => Verdict { refused: vec![reason], ..Verdict::default() },
                    Ok(found) => Verdict { doubled: found.doubled(), torn: found.torn, ..Verdict::default() },
                }
            })
        });
        let outcome = self.count("process", &outcome);
        self.say(
            "with durability = \"process\" a power cut leaves a store that opens, whole",
            began,
            outcome,
        );
        drop(world);
    }

    /// Flushes, rotations and compactions, cut in their midst.
    fn large(&mut self) {
        let began = Instant::now();
        let layer = Layer::new(&self.library);
        drive::run(&layer, self.size.batches);
        let journal = Journal::read(&layer.journal);
        let known = Known::learn(&journal, &wire::Book::default());
        let tables = journal.tables();
        println!(
            "a large store: {} events, {tables} tables ({:.1} s)",
            journal.events.len(),
            began.elapsed().as_secs_f32()
        );
        self.complete("a large store", &journal, &layer.store);
        let began = Instant::now();
        let cuts = cuts::plan_late(&journal, self.size.large_cuts, &mut self.dice);
        let outcome = cuts::judge("large", &journal, &layer.store, &cuts, |cut, image| {
            let left: Vec<u64> = known.serials(cut.moment).collect();
            let acknowledged = left.len();
            match judge::open(image) {
                Err(reason) => Verdict { refused: vec![reason], acknowledged, ..Verdict::default() },
                Ok(rows) => {
                    let (there, torn) = drive::read(&rows);
                    let lost = left.iter().filter(|batch| !there.contains(batch));
                    let lost = lost.map(|batch| format!("batch {batch}")).collect();
                    Verdict { lost, torn, acknowledged, ..Verdict::default() }
                }
            }
        });
        let outcome = self.count("large", &outcome);
        let outcome = outcome.and(if tables > 0 { Ok(()) } else { Err("nothing was flushed".to_owned()) });
        self.say(
            "so it is while memtables are flushed, journals rotate and tables are compacted",
            began,
            outcome,
        );
    }

    /// A restore, cut in its midst: no store, or one that is refused until it is restored again, or all of it.
    fn restore(&mut self, dump: &[u8]) {
        let began = Instant::now();
        let layer = Layer::new(&self.library);
        let input = layer.folder.path().join("dump");
        std::fs::write(&input, dump).unwrap();
        let restore = |store: &Path| {
            let mut command = Command::new(executable());
            command.arg("restore").arg("--store").arg(store).stdin(std::fs::File::open(&input).unwrap());
            command.stderr(Stdio::piped()).stdout(Stdio::piped());
            command
        };
        let done = restore(&layer.store).envs(layer.environment()).output().unwrap();
        let journal = Journal::read(&layer.journal);
        let whole = judge::read(&judge::open(&layer.store).unwrap());
        let cuts = cuts::plan(&journal, self.size.restore_cuts, &mut self.dice);
        let outcome = cuts::judge("restore", &journal, &layer.store, &cuts, |cut, image| {
            let finished = cut.moment >= journal.events.len();
            let mut verdict = Verdict::default();
            // Only a restored store may have a ledger, so opening must not begin one: that is for a folder without.
            let begun = image.join("ledger").is_dir();
            if begun {
                match judge::open(image).map(|rows| judge::read(&rows)) {
                    Ok(found) if found.messages.len() == whole.messages.len() => verdict.torn = found.torn,
                    Ok(found) => verdict.lost.push(format!("{} messages", found.messages.len())),
                    Err(reason) if !finished && reason.contains("nobody can tell whether") => {}
                    Err(reason) => verdict.refused.push(reason),
                }
            } else if finished {
                verdict.lost.push("the whole store".to_owned());
            } else {
                let again = restore(image).output().unwrap();
                if !again.status.success() {
                    verdict.refused.push(String::from_utf8_lossy(&again.stderr).into_owned());
                }
            }
            verdict
        });
        let outcome = self.count("restore", &outcome);
        let outcome = outcome.and(if done.status.success() { Ok(()) } else { Err(format!("{done:?}")) });
        self.say("a restore that is cut off leaves nothing that passes for a store", began, outcome);
    }

    async fn faults(&mut self) {
        for _ in 0..self.size.rounds {
            let began = Instant::now();
            let outcome = faults::nearly_full(&self.library).await;
            self.say("below the floor nothing new comes in, with room again it does", began, outcome);
            for (fault, words, name) in [
                (Fault::Full, "No space left on device", "a full disk"),
                (Fault::ReadOnly, "Read-only file system", "a disk that is read-only"),
                (Fault::WriteError, "Input/output error", "a disk that fails to write"),
                (Fault::SyncError, "Input/output error", "a disk that fails to sync"),
            ] {
                let began = Instant::now();
                let outcome = faults::fails(&self.library, fault, words, &mut self.dice).await;
                self.say(&format!("{name} ends the daemon with a word, and nothing is lost"), began, outcome);
            }
            for damage in [Damage::Zeros, Damage::Noise] {
                let began = Instant::now();
                let outcome = faults::damaged(damage, &mut self.dice).await;
                let name =
                    format!("a page of synced data that became {damage:?} is noticed, the rest is saved");
                self.say(&name, began, outcome);
            }
        }
    }

    fn table(&self) {
        println!(
            "\n{:12} {:10} {:>7} {:>13} {:>8} {:>6} {:>6} {:>8} {:>11}",
            "", "unsynced", "cuts", "acknowledged", "seen", "lost", "torn", "refused", "duplicates"
        );
        let mut sum = Tally::default();
        let line = |what: &str, loss: &str, tally: &Tally| {
            println!(
                "{what:12} {loss:10} {:7} {:13} {:8} {:6} {:6} {:8} {:11}",
                tally.cuts,
                tally.acknowledged,
                tally.seen,
                tally.lost,
                tally.torn,
                tally.refused,
                tally.doubled
            );
        };
        for ((what, loss), tally) in &self.rows {
            line(what, loss.name(), tally);
            sum.add(tally);
        }
        line("all", "", &sum);
        println!(
            "sent again after a cut because the outcome was not synced before it: {} (allowed)\n",
            self.repeats.outcome_unsynced
        );
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "drive") {
        drive::process(&arguments[1..]);
        return std::process::ExitCode::SUCCESS;
    }
    let seed = std::env::var("TRUNKLINE_SEED")
        .map_or_else(|_| harness::provider::now().0.unsigned_abs() % 1_000_000, |text| text.parse().unwrap());
    let long = std::env::var("TRUNKLINE_POWER").is_ok_and(|form| form == "long");
    println!("TRUNKLINE_SEED={seed} {}", if long { "(long form)" } else { "(short form)" });
    let mut suite = Suite {
        library: layer::build(),
        size: if long { LONG } else { SHORT },
        dice: Dice(seed),
        passed: 0,
        failed: 0,
        rows: BTreeMap::new(),
        repeats: served::Repeats::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // One part of it, by name.
    let only = std::env::var("TRUNKLINE_POWER_PART").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let whole = AssertUnwindSafe(async {
        if chosen("load") {
            let dump = suite.load().await;
            blocking(|| suite.restore(&dump));
        }
        if chosen("process") {
            suite.process().await;
        }
        if chosen("large") {
            blocking(|| suite.large());
        }
        if chosen("faults") {
            suite.faults().await;
        }
    });
    // A daemon that breaks its word may stop a part in its middle: that is a part that failed, and is counted.
    if runtime.block_on(whole.catch_unwind()).is_err() {
        println!("FAIL a part could not be brought to its end");
        suite.failed += 1;
    }
    let _ = std::fs::remove_file(&suite.library);
    suite.table();
    println!("{} passed, {} failed", suite.passed, suite.failed);
    std::process::ExitCode::from(u8::from(suite.failed > 0))
}
