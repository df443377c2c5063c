//! The memory engine: the reference model of every other engine, and the fault injector of simulations.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::oneshot;

use super::engine::{
    Batch, Check, CommitError, Committed, Engine, Follower, Health, ReadError, Revision, Row, Snapshot, Write,
};
use super::key::{Key, Range};

type Rows = BTreeMap<Key, Row>;

/// An engine without a disk.
pub struct Memory {
    /// Held while a batch is applied and followed, so that followers see batches in order and may read.
    order: Mutex<()>,
    state: Mutex<State>,
    followers: Vec<Arc<dyn Follower>>,
}

struct State {
    rows: Arc<Rows>,
    newest: Revision,
    next: Revision,
    full: bool,
    conflicts: usize,
    /// Batches taken in and not applied; only where flushing is asked for.
    waiting: Option<Vec<Waiting>>,
}

struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

impl Memory {
    /// Applies every batch at once; the first number is `now_micros`, at least 1.
    pub fn new(now_micros: u64) -> Memory {
        Memory::build(now_micros, Vec::new(), None)
    }

    /// As [`Memory::new`], with followers.
    pub fn followed(now_micros: u64, followers: Vec<Arc<dyn Follower>>) -> Memory {
        Memory::build(now_micros, followers, None)
    }

    /// Takes batches in and applies and answers them only at [`Memory::flush`], so that a crash can come between.
    pub fn unflushed(now_micros: u64, followers: Vec<Arc<dyn Follower>>) -> Memory {
        Memory::build(now_micros, followers, Some(Vec::new()))
    }

    fn build(now: u64, followers: Vec<Arc<dyn Follower>>, waiting: Option<Vec<Waiting>>) -> Memory {
        let state =
            State { rows: Arc::default(), newest: 0, next: now.max(1), full: false, conflicts: 0, waiting };
        Memory { order: Mutex::new(()), state: Mutex::new(state), followers }
    }

    /// The next `count` batches that check or write anything are answered with a conflict.
    pub fn inject_conflicts(&self, count: usize) {
        self.state().conflicts = count;
    }

    /// Behaves as if the disk were nearly full, or not any more.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Applies and answers what was taken in; gives how many batches that were.
    pub fn flush(&self) -> usize {
        let waiting = self.state().waiting.as_mut().map(std::mem::take).unwrap_or_default();
        let count = waiting.len();
        for Waiting { batch, answer } in waiting {
            let outcome = self.apply(batch);
            // Whoever stopped waiting still had the batch applied.
            let _ = answer.send(outcome);
        }
        count
    }

    /// Forgets what was taken in and not flushed, as a power cut does; gives how many batches that were.
    pub fn crash(&self) -> usize {
        let waiting = self.state().waiting.as_mut().map(std::mem::take).unwrap_or_default();
        let count = waiting.len();
        for Waiting { answer, .. } in waiting {
            let _ = answer.send(Err(CommitError::Fatal("the store crashed".into())));
        }
        count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<Committed, CommitError> {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = self.state().apply(&batch)?;
        if !batch.writes.is_empty() {
            for follower in &self.followers {
                follower.committed(&batch.writes);
                follower.told();
            }
        }
        Ok(committed)
    }
}

impl State {
    fn apply(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        if batch.intake && self.full {
            return Err(CommitError::Full);
        }
        let first_key = batch.checks.iter().map(Check::key).chain(batch.writes.iter().map(Write::key)).next();
        if let Some(key) = first_key
            && self.conflicts > 0
        {
            self.conflicts -= 1;
            return Err(CommitError::Conflict(key.clone()));
        }
        for check in &batch.checks {
            let holds = match check {
                Check::Absent(key, _) => !self.rows.contains_key(key),
                Check::At(key, at) => self.rows.get(key).is_some_and(|row| row.changed == *at),
            };
            if !holds {
                return Err(CommitError::Conflict(check.key().clone()));
            }
        }
        if batch.writes.is_empty() {
            return Ok(Committed { first: self.newest, last: self.newest });
        }
        let first = self.next.max(batch.least);
        // Copies the map only while somebody still reads an older snapshot.
        let rows = Arc::make_mut(&mut self.rows);
        for (changed, write) in (first..).zip(&batch.writes) {
            match write {
                Write::Insert(key, payload) => {
                    let row = Row { created: changed, changed, payload: payload.clone() };
                    let old = rows.insert(key.clone(), row);
                    debug_assert!(old.is_none(), "{key:?} is not new");
                }
                Write::Put(key, payload) => {
                    let created = rows.get(key).map_or(changed, |row| row.created);
                    rows.insert(key.clone(), Row { created, changed, payload: payload.clone() });
                }
                Write::Delete(key) => {
                    rows.remove(key);
                }
            }
        }
        self.next = first + batch.writes.len() as u64;
        self.newest = self.next - 1;
        Ok(Committed { first, last: self.newest })
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let state = self.state();
        Box::new(View { number: state.newest, rows: Arc::clone(&state.rows) })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            if !batch.within_limits() {
                return Err(CommitError::TooLarge);
            }
            let (answer, answered) = oneshot::channel();
            let submitted = match &mut self.state().waiting {
                Some(waiting) => {
                    waiting.push(Waiting { batch, answer });
                    None
                }
                None => Some(batch),
            };
            if let Some(batch) = submitted {
                return self.apply(batch);
            }
            answered.await.unwrap_or_else(|_| Err(CommitError::Fatal("the store is gone".into())))
        })
    }

    fn published(&self) -> Revision {
        self.state().newest
    }

    fn health(&self) -> Health {
        Health { full: self.state().full, store_bytes: 0, disk_free_bytes: 0 }
    }
}

struct View {
    number: Revision,
    rows: Arc<Rows>,
}

impl Snapshot for View {
    fn number(&self) -> Revision {
        self.number
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Row>, ReadError>> {
        Box::pin(ready(Ok(self.rows.get(key).cloned())))
    }

    fn scan(&self, range: Range, limit: usize) -> BoxFuture<'_, Result<Vec<(Key, Row)>, ReadError>> {
        let bound = |bytes: &Bytes| Key::from_bytes(bytes.clone());
        let upper = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(bound(&range.end)) };
        let rows: Vec<(Key, Row)> = if !range.end.is_empty() && range.start >= range.end {
            Vec::new()
        } else {
            let run = self.rows.range((Bound::Included(bound(&range.start)), upper));
            let owned = |(key, row): (&Key, &Row)| (key.clone(), row.clone());
            if range.reverse {
                run.rev().take(limit).map(owned).collect()
            } else {
                run.take(limit).map(owned).collect()
            }
        };
        Box::pin(ready(Ok(rows)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::ledger::key::Space;

    #[tokio::test]
    async fn a_crash_forgets_what_was_not_flushed() {
        let memory = Arc::new(Memory::unflushed(100, Vec::new()));
        let key = |name: &str| Key::new("A", "", Space::Service, name.as_bytes());
        let submit = |name: &'static str| {
            let mut batch = Batch::default();
            batch.put(key(name), name);
            let memory = Arc::clone(&memory);
            tokio::spawn(async move { memory.commit(batch).await })
        };
        let first = submit("a");
        while memory.flush() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(first.await.unwrap().unwrap(), Committed { first: 100, last: 100 });
        let second = submit("b");
        while memory.crash() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(second.await.unwrap(), Err(CommitError::Fatal(_))));
        let rows = memory.snapshot().scan(Range::all(), 9).await.unwrap();
        assert_eq!(rows.into_iter().map(|(found, _)| found).collect::<Vec<_>>(), [key("a")]);
    }

    #[tokio::test]
    async fn conflicts_are_injected() {
        let memory = Memory::new(1);
        memory.inject_conflicts(2);
        let mut batch = Batch::default();
        batch.put(Key::new("A", "", Space::Service, b""), "x");
        for _ in 0..2 {
            assert!(matches!(memory.commit(batch.clone()).await, Err(CommitError::Conflict(_))));
        }
        assert!(memory.commit(batch).await.is_ok());
    }
}
