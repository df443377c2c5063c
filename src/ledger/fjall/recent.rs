//! What the committer lately saw of rows, so that it need not ask fjall again: the heads of busy conversations, messages
//! whose sends are about to be written down, and queue rows that are deleted soon after they were written. Exact, because only the committer writes.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::stored::Head;
use crate::ledger::key::Key;

/// Rows of one generation; a row takes two hundred bytes or so.
const KEPT: usize = 16_384;

/// Two generations: when the young one is full, the old one is let go.
#[derive(Default)]
pub struct Recent {
    young: HashMap<Key, Option<Head>, RandomState>,
    old: HashMap<Key, Option<Head>, RandomState>,
}

impl Recent {
    /// What a row's head is, or that it is absent; nothing if neither is known.
    pub fn head(&self, key: &Key) -> Option<Option<Head>> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// Keeps what a group left. Never call it with what was not written.
    pub fn remember(&mut self, rows: impl Iterator<Item = (Key, Option<Head>)>) {
        if self.young.len() >= KEPT {
            // Emptied and not given back: a table of this size is new memory from the kernel each time.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.extend(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::key::Space;

    #[test]
    fn the_newest_word_counts_and_old_rows_are_let_go() {
        let key = |n: usize| Key::new("A", "", Space::Head, &n.to_be_bytes());
        let head = |n: u64| Some(Head { created: 1, changed: n, chunked: None });
        let mut recent = Recent::default();
        recent.remember((0..KEPT).map(|n| (key(n), head(1))));
        recent.remember([(key(0), head(2)), (key(1), None)].into_iter());
        assert_eq!(recent.head(&key(0)), Some(head(2)));
        assert_eq!(recent.head(&key(1)), Some(None));
        assert_eq!(recent.head(&key(2)), Some(head(1)));
        recent.remember((KEPT..2 * KEPT).map(|n| (key(n), head(3))));
        recent.remember([(key(1), head(4))].into_iter());
        assert_eq!(recent.head(&key(2)), None);
        assert_eq!(recent.head(&key(0)), Some(head(2)));
        assert_eq!(recent.head(&key(1)), Some(head(4)));
    }
}
