//! From committed writes to "this object changed", for those objects alone that somebody watches.
//!
//! It is told on the thread that answers commits, so what it does there is a look: nobody connected, nothing done. Keys are
//! kept until a group of commits was told whole, and are handed on with the snapshot of that very moment: whoever tells what
//! that snapshot holds of them has told everything up to its number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use super::watch::Watches;
use crate::ledger::engine::{Engine, Follower, Revision, Snapshot, Write};
use crate::ledger::key::{Key, Space};

/// Partitions whose last change is remembered; beyond, all are forgotten and replays read rows.
const MOST_REMEMBERED: usize = 100_000;

#[derive(Default)]
pub struct Feed {
    pub(super) watches: Watches,
    engine: OnceLock<Weak<dyn Engine>>,
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Default)]
struct State {
    /// Of a group that is being told.
    gathered: Vec<Key>,
    /// Of groups that were told whole.
    ready: Option<Ready>,
    /// Groups of partitions and a number at or above their last change.
    touched: HashMap<u32, Revision>,
    /// What is not in there was not changed behind this number.
    floor: Revision,
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
            let floor = self.published();
            let mut state = self.state();
            state.touched.clear();
            state.floor = floor;
        }
    }

    /// Whether nothing in a group of partitions was changed behind a number, as far as this can be known without a look.
    pub(super) fn quiet(&self, group: u32, number: Revision) -> bool {
        let state = self.state();
        number >= state.floor && state.touched.get(&group).is_none_or(|touched| *touched <= number)
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
        let mut state = self.state();
        for key in writes.iter().map(Write::key) {
            if let Some(group) = key.group() {
                state.touched.insert(group, published);
            }
            if self.concerns(key) {
                state.gathered.push(key.clone());
            }
        }
        if state.touched.len() > MOST_REMEMBERED {
            state.touched.clear();
            state.floor = published;
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
