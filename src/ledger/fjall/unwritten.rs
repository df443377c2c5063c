//! What the committer knows not to be there: rows that are asked to be absent soon after their key could first be used.
//!
//! A receipt is written once, by whoever hears first of a send, and its key is as young as its message. So whether it is
//! there is answered from the keys written since, and fjall need not look for what nearly never exists. Exact, because
//! only the committer writes: a key that may be there is looked for.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use crate::ledger::engine::Revision;
use crate::ledger::key::{Key, Space};

/// Keys of one generation; sixteen bytes each, or so.
const KEPT: usize = 65_536;

/// Two generations, as [`super::recent::Recent`] has them.
pub struct Unwritten {
    hasher: RandomState,
    young: HashSet<u64, RandomState>,
    old: HashSet<u64, RandomState>,
    /// Every key of ours that was written with this number or a later one is in one of the two.
    since: Revision,
    /// As `since`, of the young one alone.
    young_since: Revision,
}

impl Unwritten {
    /// Before anything is written; `next` is the first number that will be given.
    pub fn new(next: Revision) -> Unwritten {
        Unwritten {
            hasher: RandomState::default(),
            young: HashSet::default(),
            old: HashSet::default(),
            since: next,
            young_since: next,
        }
    }

    /// Whether a row is surely absent whose key was not used before `since`.
    pub fn surely(&self, key: &Key, since: Revision) -> bool {
        if since < self.since || !asked_for(key) {
            return false;
        }
        let hash = self.hasher.hash_one(key);
        !self.young.contains(&hash) && !self.old.contains(&hash)
    }

    /// Takes down a key that is written.
    pub fn written(&mut self, key: &Key) {
        if asked_for(key) {
            self.young.insert(self.hasher.hash_one(key));
        }
    }

    /// A group is through; `next` is the first number of the next one.
    pub fn turn(&mut self, next: Revision) {
        if self.young.len() >= KEPT {
            // Emptied and not given back, as in the other memory.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.since = self.young_since;
            self.young_since = next;
        }
    }
}

fn asked_for(key: &Key) -> bool {
    matches!(key.space(), Some(Space::Receipt | Space::Parked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tables;

    fn key(n: usize) -> Key {
        tables::receipt("AC1", "CH1", n as u64, "DY1")
    }

    #[test]
    fn only_what_was_not_written_since_is_surely_absent() {
        let mut unwritten = Unwritten::new(10);
        unwritten.written(&key(1));
        assert!(!unwritten.surely(&key(1), 10));
        assert!(unwritten.surely(&key(2), 10));
        assert!(!unwritten.surely(&key(2), 9), "it may have been written before anybody took notes");
        assert!(!unwritten.surely(&tables::head("AC1", "CH1"), 10), "nobody takes notes of heads");
    }

    #[test]
    fn what_is_forgotten_is_no_longer_known() {
        let mut unwritten = Unwritten::new(10);
        unwritten.written(&key(0));
        (1..KEPT).for_each(|n| unwritten.written(&key(n)));
        unwritten.turn(1_000);
        assert!(!unwritten.surely(&key(0), 10) && unwritten.surely(&key(KEPT), 10));
        (KEPT..2 * KEPT).for_each(|n| unwritten.written(&key(n)));
        unwritten.turn(2_000);
        assert!(!unwritten.surely(&key(0), 10), "its generation is gone");
        assert!(unwritten.surely(&key(0), 1_000), "no such key was written since");
        assert!(!unwritten.surely(&key(KEPT), 1_000));
    }
}
