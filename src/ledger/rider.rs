//! A row that rides along: what must become true together with the first thing that some work commits, whichever room
//! commits it. Work that takes no rider pays one look at a thread's own memory.

use std::cell::Cell;

use bytes::Bytes;

use super::engine::{Batch, CommitError, Committed, Engine};
use super::key::Key;

tokio::task_local! {
    static RIDER: Cell<Option<Rider>>;
}

/// The row, which may depend on what is committed.
pub struct Rider {
    pub key: Key,
    pub row: Box<dyn Fn(&Batch) -> Bytes + Send>,
}

/// Does some work; its first commit that succeeds takes the row along, unless there is no room for it.
pub async fn along<T>(rider: Rider, work: impl Future<Output = T>) -> T {
    RIDER.scope(Cell::new(Some(rider)), work).await
}

/// Does some work on the way whose commits are not what the row is about: what time had done before, what is made when it
/// is first looked at. The row waits for what follows.
pub async fn aside<T>(work: impl Future<Output = T>) -> T {
    let waiting = RIDER.try_with(Cell::take).ok().flatten();
    let done = work.await;
    if waiting.is_some() {
        let _ = RIDER.try_with(|place| place.set(waiting));
    }
    done
}

/// Commits a batch, with this task's rider if it has one.
pub(super) async fn commit(engine: &dyn Engine, mut batch: Batch) -> Result<Committed, CommitError> {
    let waiting = RIDER.try_with(Cell::take).ok().flatten();
    let Some(rider) = waiting else { return engine.commit(batch).await };
    let own = batch.writes.len();
    if own > 0 {
        let row = (rider.row)(&batch);
        batch.put(rider.key.clone(), row);
        if !batch.within_limits() {
            batch.writes.truncate(own);
        }
    }
    let taken = batch.writes.len() > own;
    let committed = engine.commit(batch).await;
    if !(taken && committed.is_ok()) {
        // Whoever decides again takes it along then.
        let _ = RIDER.try_with(|place| place.set(Some(rider)));
    }
    committed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::engine::MAX_WRITES;
    use crate::ledger::key::Space;
    use crate::ledger::memory::Memory;

    fn key(name: &str) -> Key {
        Key::new("AC1", "", Space::Service, name.as_bytes())
    }

    fn rider() -> Rider {
        Rider { key: key("rider"), row: Box::new(|batch| Bytes::from(batch.writes.len().to_string())) }
    }

    async fn there(engine: &Memory) -> Option<Bytes> {
        engine.snapshot().get(&key("rider")).await.unwrap().map(|row| row.payload)
    }

    #[tokio::test]
    async fn it_comes_with_the_first_commit_that_succeeds_and_only_with_that() {
        let engine = Memory::new(1);
        let mut good = Batch::default();
        good.put(key("a"), "1").put(key("b"), "1");
        let mut bad = good.clone();
        bad.at(key("a"), 99);
        along(rider(), async {
            commit(&engine, bad.clone()).await.unwrap_err();
            assert_eq!(there(&engine).await, None);
            let mut looks = Batch::default();
            looks.absent(key("a"));
            commit(&engine, looks).await.unwrap();
            assert_eq!(there(&engine).await, None, "nothing was done yet");
            let committed = commit(&engine, good.clone()).await.unwrap();
            assert_eq!(there(&engine).await.unwrap(), "2");
            assert_eq!(committed.first + 2, engine.published());
            let mut other = Batch::default();
            other.delete(key("rider"));
            commit(&engine, other).await.unwrap();
            commit(&engine, good.clone()).await.unwrap();
        })
        .await;
        assert_eq!(there(&engine).await, None);
    }

    #[tokio::test]
    async fn it_does_not_come_with_what_is_done_aside() {
        let engine = Memory::new(1);
        let mut good = Batch::default();
        good.put(key("a"), "1");
        along(rider(), async {
            aside(commit(&engine, good.clone())).await.unwrap();
            assert_eq!(there(&engine).await, None);
            commit(&engine, good.clone()).await.unwrap();
            assert_eq!(there(&engine).await.unwrap(), "1");
        })
        .await;
        aside(commit(&engine, good)).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_batch_goes_without_it() {
        let engine = Memory::new(1);
        let mut full = Batch::default();
        for n in 0..MAX_WRITES {
            full.put(key(&n.to_string()), "1");
        }
        along(rider(), commit(&engine, full)).await.unwrap();
        assert_eq!(there(&engine).await, None);
    }
}
