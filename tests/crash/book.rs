//! What the outside knows: who was told what, what was seen, and every promise found broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use trunkline_adapter::DeliveryStatus;

/// A promise of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An acknowledged message is stored, and arrives or says why not.
    Lost,
    /// A message is stored once, whatever is repeated.
    StoredTwice,
    /// Each recipient gets messages in index order.
    OutOfOrder,
    /// A duplicate needs an unknown outcome, and is counted.
    Duplicate,
    /// A delivery status never goes backwards, and one that was taken is not forgotten.
    Status,
    /// A rate is never exceeded.
    Rate,
    /// What was said to be closed, gone or unwanted stays so.
    Undone,
}

/// What happened in the whole run.
#[derive(Default)]
pub struct Tally {
    /// Deaths by place.
    pub kills: BTreeMap<String, u64>,
    /// Duplicates by the place of the death that excuses them.
    pub duplicates: BTreeMap<String, u64>,
    pub acknowledged: u64,
    pub tried: u64,
    pub arrived: u64,
    pub statuses: u64,
    pub broken: Vec<(Promise, String)>,
}

impl Tally {
    pub fn deaths(&self) -> u64 {
        self.kills.values().sum()
    }

    fn broken(&self, promises: &[Promise]) -> usize {
        self.broken.iter().filter(|(promise, _)| promises.contains(promise)).count()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<30} {:>6} {:>11}", "died at", "times", "duplicates")?;
        for (name, count) in &self.kills {
            writeln!(f, "{name:<30} {count:>6} {:>11}", self.duplicates.get(name).unwrap_or(&0))?;
        }
        let duplicates: u64 = self.duplicates.values().sum();
        let rows = [
            ("kills", self.deaths()),
            ("messages tried", self.tried),
            ("messages acknowledged", self.acknowledged),
            ("arrivals", self.arrived),
            ("statuses acknowledged", self.statuses),
            ("lost", self.broken(&[Promise::Lost]) as u64),
            ("stored twice", self.broken(&[Promise::StoredTwice]) as u64),
            ("out of order", self.broken(&[Promise::OutOfOrder]) as u64),
            ("duplicates, unknown outcome", duplicates),
            ("duplicates, any other", self.broken(&[Promise::Duplicate]) as u64),
            ("statuses gone back", self.broken(&[Promise::Status]) as u64),
            ("rates exceeded", self.broken(&[Promise::Rate]) as u64),
            ("undone", self.broken(&[Promise::Undone]) as u64),
        ];
        for (what, count) in rows {
            writeln!(f, "{what:<30} {count:>6}")?;
        }
        Ok(())
    }
}

/// What the people, providers and callers around one daemon know.
#[derive(Default)]
pub struct Book {
    pub known: Mutex<Known>,
    serial: AtomicU64,
}

#[derive(Default)]
pub struct Known {
    /// Messages that were answered with 2xx, by conversation.
    pub acknowledged: BTreeMap<String, BTreeSet<String>>,
    /// Messages that came when their conversation, which is named here, was closed already.
    pub too_late: BTreeMap<String, String>,
    /// Messages and whom they must not reach any more.
    pub unwanted: BTreeSet<(String, String)>,
    /// The furthest status of a message towards an address that a provider was told is taken.
    pub told: BTreeMap<(String, String), DeliveryStatus>,
    /// The status of each receipt when it was last seen.
    pub seen: BTreeMap<String, DeliveryStatus>,
    pub broken: Vec<(Promise, String)>,
    pub statuses: u64,
    pub tried: u64,
}

impl Book {
    /// A number that was not there before.
    pub fn next(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Somebody is about to write.
    pub fn tries(&self) {
        self.known.lock().unwrap().tried += 1;
    }

    pub fn acknowledge(&self, conversation: &str, id: &str) {
        let mut known = self.known.lock().unwrap();
        known.acknowledged.entry(conversation.to_owned()).or_default().insert(id.to_owned());
    }

    pub fn broken(&self, promise: Promise, how: String) {
        self.known.lock().unwrap().broken.push((promise, how));
    }

    /// Somebody looked at a receipt.
    pub fn saw(&self, receipt: &str, status: Option<DeliveryStatus>) {
        let mut known = self.known.lock().unwrap();
        let before = known.seen.get(receipt).copied();
        let forward = before == status || status.is_some_and(|status| status.follows(before));
        if !forward {
            known.broken.push((Promise::Status, format!("{receipt} went from {before:?} to {status:?}")));
        }
        if let Some(status) = status {
            known.seen.insert(receipt.to_owned(), status);
        }
    }
}

/// The id that a text begins with: all texts of this suite are made of words that begin with one.
pub fn id_of(text: &str) -> &str {
    text.split([' ', '.']).next().unwrap_or_default()
}
