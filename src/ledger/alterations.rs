//! Who read something of a conversation and wants to know later, without reading it again, whether it still holds.
//!
//! What grows a conversation (a message, a receipt, the head's numbers) alters nothing of what was said before. Changed or
//! removed messages and people do, and a conversation's end. Every batch that does so is counted before it is submitted,
//! and every such batch checks the conversation's head. So whoever takes a [`Standing`] and then commits with a check of
//! the head knows: as long as the standing holds, what was true of that head is true.

use std::sync::atomic::{AtomicU64, Ordering};

use super::engine::{Batch, Write};
use super::key::{Key, Space};
use crate::model::Standing;

/// Partitions are counted together in so many groups: one altered conversation makes its group's readers look again.
const GROUPS: usize = 4096;

pub struct Alterations(Vec<AtomicU64>);

impl Default for Alterations {
    fn default() -> Alterations {
        Alterations((0..GROUPS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Alterations {
    /// To be called with every batch before it is submitted.
    pub fn note(&self, batch: &Batch) {
        if batch.writes.iter().any(alters) {
            for group in batch.writes.iter().filter_map(|write| write.key().group()) {
                self.0[group as usize % GROUPS].fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// The standing of a row's partition.
    pub fn standing(&self, key: &Key) -> Standing {
        let group = key.group().unwrap_or_default();
        Standing { group, altered: self.count(group) }
    }

    /// Whether nothing was altered since.
    pub fn holds(&self, standing: Standing) -> bool {
        self.count(standing.group) == standing.altered
    }

    fn count(&self, group: u32) -> u64 {
        self.0[group as usize % GROUPS].load(Ordering::Acquire)
    }
}

/// Whether a write may change or take away what somebody read. A conversation's end takes it out of the list.
fn alters(write: &Write) -> bool {
    match write {
        Write::Insert(..) => false,
        Write::Put(key, _) => matches!(key.space(), Some(Space::Message | Space::Participant)),
        Write::Delete(key) => {
            matches!(key.space(), Some(Space::Message | Space::Participant | Space::ConversationList))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ledger::tables;

    #[test]
    fn growing_alters_nothing_and_a_change_alters_its_own_conversation() {
        let alterations = Alterations::default();
        let (here, there) = (tables::head("AC1", "CH1"), tables::head("AC1", "CH2"));
        let before = (alterations.standing(&here), alterations.standing(&there));
        let mut grown = Batch::default();
        grown.put(here.clone(), Bytes::new());
        grown.insert(tables::message("AC1", "CH1", 0), Bytes::new());
        alterations.note(&grown);
        assert!(alterations.holds(before.0) && alterations.holds(before.1));
        let mut edited = Batch::default();
        edited.put(tables::message("AC1", "CH1", 0), Bytes::new());
        alterations.note(&edited);
        assert!(!alterations.holds(before.0) && alterations.holds(before.1));
    }

    #[test]
    fn the_end_of_a_conversation_alters_it() {
        let alterations = Alterations::default();
        let here = tables::head("AC1", "CH1");
        let before = alterations.standing(&here);
        let mut ended = Batch::default();
        ended.put(here, Bytes::new());
        ended.delete(tables::conversation_place("AC1", "IS1", 7));
        alterations.note(&ended);
        assert!(!alterations.holds(before));
    }
}
