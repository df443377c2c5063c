//! From committed writes to "this object changed", for those objects alone that somebody watches.
//!
//! It is told on the thread that answers commits, so what it does there is a look: nobody connected, nothing done. Keys are
//! kept until a group of commits was told whole, and are handed on with the snapshot of that very moment: whoever tells what
//! that snapshot holds of them has told everything up to its number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use super::watch::{GROUPS, Watches};
use crate::ledger::engine::{Engine, Follower, Revision, Snapshot, Write};
use crate::ledger::key::{Key, Space};

#[derive(Default)]
pub struct Feed {
    pub(super) watches: Watches,
    engine: OnceLock<Weak<dyn Engine>>,
    state: Mutex<State>,
    woken: Notify,
    /// For each group of partitions a number at or above its last change, since somebody first was connected.
    touched: OnceLock<Box<[AtomicU64]>>,
    /// What is not in there was not changed behind this number.
    floor: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Of a group that is being told.
    gathered: Vec<Key>,
    /// Of groups that were told whole.
    ready: Option<Ready>,
}

/// Keys that were written, and a view in which nothing is newer than they are.
pub(super) struct Ready {
    pub keys: Vec<Key>,
    pub snapshot: Box<dyn Snapshot>,
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine whose commits it is told. Before the first session.
    pub(super) fn start(&self, engine: &Arc<dyn Engine>) {
        // Weak, because the engine owns this feed as its follower. The first one stays: there is one daemon.
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    fn published(&self) -> Revision {
        self.engine.get().and_then(Weak::upgrade).map_or(0, |engine| engine.published())
    }

    /// To be called when a session has entered.
    pub(super) fn entered(&self, first: bool) {
        if first {
            self.touched.get_or_init(|| (0..GROUPS).map(|_| AtomicU64::new(0)).collect());
            // Taken behind the line above: a commit that did not find the list is at or below this.
            self.floor.store(self.published(), Ordering::SeqCst);
        }
    }

    /// Whether nothing in a group of partitions was changed behind a number, as far as this can be known without a look.
    pub(super) fn quiet(&self, group: u32, number: Revision) -> bool {
        let Some(touched) = self.touched.get() else { return false };
        let last = touched[group as usize % GROUPS].load(Ordering::SeqCst);
        number >= self.floor.load(Ordering::SeqCst) && last <= number
    }

    /// What was written since the last call, as soon as there is anything.
    pub(super) async fn next(&self) -> Ready {
        loop {
            if let Some(ready) = self.state().ready.take() {
                return ready;
            }
            self.woken.notified().await;
        }
    }

    /// Forgets what nobody will take any more.
    pub(super) fn stop(&self) {
        self.state().ready = None;
    }

    fn concerns(&self, key: &Key) -> bool {
        match key.space() {
            // Rare, and whose lists they change is not in their keys.
            Some(Space::Participant | Space::Departure | Space::User) => true,
            Some(Space::Head | Space::Conversation | Space::Message | Space::Receipt | Space::Tombstone) => {
                key.group().is_some_and(|group| self.watches.group(group))
            }
            _ => false,
        }
    }
}

impl Follower for Feed {
    fn committed(&self, writes: &[Write]) {
        if !self.watches.any() {
            return;
        }
        let published = self.published();
        for key in writes.iter().map(Write::key) {
            // First this and then the look at who watches: whoever begins to watch meanwhile sees one or is seen by the other.
            if let (Some(touched), Some(group)) = (self.touched.get(), key.group()) {
                touched[group as usize % GROUPS].store(published, Ordering::SeqCst);
            }
            if self.concerns(key) {
                self.state().gathered.push(key.clone());
            }
        }
    }

    fn told(&self) {
        if !self.watches.any() {
            return;
        }
        let mut state = self.state();
        if state.gathered.is_empty() {
            return;
        }
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        let mut keys = std::mem::take(&mut state.gathered);
        let snapshot = engine.snapshot();
        if let Some(mut before) = state.ready.take() {
            before.keys.append(&mut keys);
            keys = before.keys;
        }
        state.ready = Some(Ready { keys, snapshot });
        drop(state);
        self.woken.notify_one();
    }
}
