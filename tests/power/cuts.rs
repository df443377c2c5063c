//! Many power cuts out of one journal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use super::disk::{Disk, Loss};
use super::harness::dice::Dice;
use super::journal::{Event, Journal};
use super::layer::scratch;

/// A power cut: after so many events, losing so much, by these dice.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub moment: usize,
    pub loss: Loss,
    pub seed: u64,
}

impl Cut {
    /// What was found on the disk.
    pub fn image(&self, disk: &Disk, into: &Path) {
        disk.cut(self.loss, &mut Dice(self.seed), into);
    }

    /// The image again, with nothing but the journal.
    pub fn again(&self, journal: &Journal, root: &Path, into: &Path) {
        let mut disk = Disk::new(root);
        disk.advance(journal, self.moment);
        self.image(&disk, into);
    }
}

/// Moments to cut at: a third where names change and syncs end (with the very first start among them), a third right
/// after something left over a socket, a third anywhere.
pub fn plan(journal: &Journal, mut count: usize, dice: &mut Dice) -> Vec<Cut> {
    let all = journal.events.len();
    let places = |wanted: fn(&Event) -> bool| -> Vec<usize> {
        (0..all).filter(|at| wanted(&journal.events[*at])).collect()
    };
    let names = places(|event| {
        !matches!(
            event,
            Event::Write { .. } | Event::Send { .. } | Event::SyncBegin { .. } | Event::SyncEnd { .. }
        )
    });
    let leaving = places(|event| matches!(event, Event::Send { .. }));
    let mut cuts = Vec::with_capacity(count);
    while count > 0 {
        count -= 1;
        let pick = |from: &[usize], dice: &mut Dice| from[dice.within(0..from.len() as u64) as usize];
        let moment = match count % 6 {
            // The whole of the first start is done in the first few hundred calls.
            0 => dice.within(0..all.min(250) as u64) as usize,
            1 => pick(&names, dice) + dice.within(0..4) as usize,
            2 | 3 if !leaving.is_empty() => pick(&leaving, dice) + 1,
            _ => dice.within(0..all as u64) as usize,
        };
        // All moments meet all losses: 6 kinds of moments, and a turn of the losses after each round.
        let loss = Loss::ALL[(count + count / 6) % Loss::ALL.len()];
        cuts.push(Cut { moment: moment.min(all), loss, seed: dice.roll() });
    }
    cuts.sort_by_key(|cut| cut.moment);
    cuts
}

/// Where something left of which the disk was not certain yet, as far as the bytes tell: there should be no such place,
/// so each of them is cut at.
pub fn suspects(journal: &Journal, root: &Path, left: &[(usize, String)], most: usize) -> Vec<Cut> {
    let mut disk = Disk::new(root);
    let mut cuts: Vec<Cut> = Vec::new();
    for (moment, name) in left {
        disk.advance(journal, *moment);
        if cuts.last().is_none_or(|last| last.moment != *moment) && disk.only_unsynced(name.as_bytes()) {
            cuts.push(Cut { moment: *moment, loss: Loss::Strict, seed: *moment as u64 });
        }
    }
    cuts.truncate(most);
    cuts
}

/// Moments around the changes of names behind the very first ones: tables and journals that come and go.
pub fn plan_late(journal: &Journal, count: usize, dice: &mut Dice) -> Vec<Cut> {
    let all = journal.events.len();
    let names: Vec<usize> = (250..all)
        .filter(|at| {
            let event = &journal.events[*at];
            matches!(
                event,
                Event::Create { .. } | Event::Rename { .. } | Event::Unlink { .. } | Event::MakeFolder { .. }
            )
        })
        .collect();
    let mut cuts: Vec<Cut> = (0..count)
        .map(|number| {
            let moment = if number % 4 == 0 || names.is_empty() {
                dice.within(all as u64 / 2..all as u64) as usize
            } else {
                names[dice.within(0..names.len() as u64) as usize] + dice.within(0..6) as usize
            };
            Cut { moment: moment.min(all), loss: Loss::ALL[number % Loss::ALL.len()], seed: dice.roll() }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.moment);
    cuts
}

/// What a judge says about one image; the first word of a complaint is its kind.
#[derive(Default)]
pub struct Verdict {
    pub refused: Vec<String>,
    pub lost: Vec<String>,
    pub torn: Vec<String>,
    pub doubled: Vec<String>,
    /// Messages that had been acknowledged.
    pub acknowledged: usize,
    /// What others had been shown, or had left.
    pub seen: usize,
}

/// The numbers of one row of the table.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub cuts: usize,
    pub acknowledged: usize,
    pub seen: usize,
    pub refused: usize,
    pub lost: usize,
    pub torn: usize,
    pub doubled: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.cuts += other.cuts;
        self.acknowledged += other.acknowledged;
        self.seen += other.seen;
        self.refused += other.refused;
        self.lost += other.lost;
        self.torn += other.torn;
        self.doubled += other.doubled;
    }
}

/// What came of all cuts.
#[derive(Default)]
pub struct Outcome {
    pub by_loss: BTreeMap<Loss, Tally>,
    pub complaints: Vec<String>,
}

impl Outcome {
    /// Takes in one verdict; says whether it is good.
    pub fn enter(&mut self, what: &str, cut: &Cut, said: &Verdict) -> bool {
        let all = [&said.refused, &said.lost, &said.torn, &said.doubled];
        let count: usize = all.iter().map(|complaints| complaints.len()).sum();
        self.by_loss.entry(cut.loss).or_default().add(&Tally {
            cuts: 1,
            acknowledged: said.acknowledged,
            seen: said.seen,
            refused: said.refused.len(),
            lost: said.lost.len(),
            torn: said.torn.len(),
            doubled: said.doubled.len(),
        });
        if count > 0 {
            let first: Vec<&str> = all.into_iter().flatten().take(3).map(String::as_str).collect();
            self.complaints.push(format!("{what}, {cut:?}: {count} complaints: {}", first.join("; ")));
        }
        count == 0
    }
}

/// Judges every cut, two at a time.
pub fn judge(
    what: &str,
    journal: &Journal,
    root: &Path,
    cuts: &[Cut],
    verdict: impl Fn(&Cut, &Path) -> Verdict + Sync,
) -> Outcome {
    let outcome = Mutex::new(Outcome::default());
    let folder = scratch();
    let (give, take) = sync_channel::<(Cut, PathBuf)>(2);
    let take = Mutex::new(take);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = take.lock().unwrap().recv();
                    let Ok((cut, image)) = next else { return };
                    let said = verdict(&cut, &image);
                    std::fs::remove_dir_all(&image).unwrap();
                    let mut outcome = outcome.lock().unwrap();
                    if !outcome.enter(what, &cut, &said) && outcome.complaints.len() <= KEPT {
                        let name = format!("power-{what}-{}", outcome.complaints.len());
                        keep(&name.replace(' ', "-"), cut, journal, root);
                    }
                }
            });
        }
        let mut disk = Disk::new(root);
        for (number, cut) in cuts.iter().enumerate() {
            disk.advance(journal, cut.moment);
            let image = folder.path().join(number.to_string());
            std::fs::create_dir(&image).unwrap();
            cut.image(&disk, &image);
            if give.send((*cut, image)).is_err() {
                return;
            }
        }
        drop(give);
    });
    outcome.into_inner().unwrap()
}

/// So many images that were found wanting are kept to be looked at.
const KEPT: usize = 3;

fn keep(name: &str, cut: Cut, journal: &Journal, root: &Path) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    cut.again(journal, root, &place);
    println!("     kept for a look: {}", place.display());
}
