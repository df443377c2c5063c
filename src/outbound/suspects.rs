//! What may have been sent already when a lane begins.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::work::Taken;

/// After an unclean stop, the first row of each recipient may have been on its way.
pub(super) struct Suspects {
    unclean: bool,
    seen: HashSet<u64>,
}

impl Suspects {
    /// Of a lane that ended so.
    pub(super) fn after(clean: bool) -> Suspects {
        Suspects { unclean: !clean, seen: HashSet::new() }
    }

    /// Whether some may be left.
    pub(super) fn any(&self) -> bool {
        self.unclean
    }

    /// Whether this row may have been on its way; asked once of each.
    pub(super) fn first(&mut self, taken: &Taken) -> bool {
        if !self.unclean || !taken.old {
            return false;
        }
        // A few bytes for each recipient that had rows at the start, until all those rows are gone.
        let mut hasher = DefaultHasher::new();
        taken.subject.hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// All of them are gone.
    pub(super) fn clear(&mut self) {
        *self = Suspects::after(true);
    }
}
