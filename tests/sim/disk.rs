//! The store's disk: batches wait for a sync that takes its time, some meet a conflict, and a crash forgets what waited.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, ready};
use tokio::sync::Notify;
use trunkline::ledger::engine::{
    Batch, Check, CommitError, Committed, Engine, Follower, Health, Revision, Snapshot, Write,
};
use trunkline::ledger::memory::Memory;

/// What a daemon writes to. Outlives it.
pub struct Disk {
    pub memory: Arc<Memory>,
    /// Batches that are to meet a conflict.
    conflicts: AtomicUsize,
    met: AtomicUsize,
    waiting: AtomicBool,
    /// Told when something waits for a sync.
    pub poke: Arc<Notify>,
}

impl Disk {
    pub fn new(memory: Arc<Memory>, poke: Arc<Notify>) -> Disk {
        let conflicts = AtomicUsize::new(0);
        Disk { memory, conflicts, met: AtomicUsize::new(0), waiting: AtomicBool::new(false), poke }
    }

    pub fn set_conflicts(&self, count: usize) {
        self.conflicts.store(count, Ordering::Relaxed);
    }

    /// Conflicts that were met since the last call.
    pub fn take_met(&self) -> usize {
        self.met.swap(0, Ordering::Relaxed)
    }

    pub fn take_waiting(&self) -> bool {
        self.waiting.swap(false, Ordering::Relaxed)
    }
}

impl Engine for Disk {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.memory.snapshot()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        // Only where somebody else could have been faster: that something is absent is not untrue by itself.
        let touched = batch.checks.iter().find(|check| matches!(check, Check::At(..)));
        if let Some(check) = touched
            && self.conflicts.load(Ordering::Relaxed) > 0
        {
            self.conflicts.fetch_sub(1, Ordering::Relaxed);
            self.met.fetch_add(1, Ordering::Relaxed);
            return Box::pin(ready(Err(CommitError::Conflict(check.key().clone()))));
        }
        Box::pin(async move {
            self.waiting.store(true, Ordering::Relaxed);
            self.poke.notify_one();
            self.memory.commit(batch).await
        })
    }

    fn published(&self) -> Revision {
        self.memory.published()
    }

    fn health(&self) -> Health {
        self.memory.health()
    }
}

/// Passes on to the binding table of whichever daemon is alive.
#[derive(Default)]
pub struct Ears(Mutex<Option<Arc<dyn Follower>>>);

impl Ears {
    pub fn listen(&self, follower: Option<Arc<dyn Follower>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = follower;
    }
}

impl Follower for Ears {
    fn committed(&self, writes: &[Write]) {
        let follower = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(follower) = follower {
            follower.committed(writes);
        }
    }
}
