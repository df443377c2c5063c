//! Where to go on in the rows of each subject, for those that have no slot in the window.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ledger::key::Key;

/// Places remembered of subjects that have no slot, per generation.
pub(super) const PLACES: usize = 4096;

/// Where to go on in a subject's rows.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// The last row done.
    pub(super) after: Option<Key>,
    /// Rows told, less rows done that were told. Above zero with nothing found after `after`: a row came in
    /// before it.
    pub(super) owed: i64,
    /// A row was told that lies before what was in hand or done by then: the next look begins at the beginning.
    pub(super) behind: bool,
}

/// Remembers places, roughly the most recently used.
#[derive(Default)]
pub(super) struct Places {
    young: HashMap<Arc<str>, Place>,
    old: HashMap<Arc<str>, Place>,
}

impl Places {
    /// Says whether a place was forgotten behind which rows are known to wait.
    pub(super) fn put(&mut self, subject: Arc<str>, place: Place) -> bool {
        let mut forgotten = false;
        if self.young.len() >= PLACES {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            forgotten = old.values().any(|place| place.owed > 0);
        }
        self.young.insert(subject, place);
        forgotten
    }

    pub(super) fn take(&mut self, subject: &str) -> Place {
        let old = self.old.remove(subject);
        self.young.remove(subject).or(old).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        *self = Places::default();
    }
}
