//! The ledger as rooms see it: records instead of bytes. Rooms call this, never the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::alterations::Alterations;
use super::engine::{Batch, CommitError, Committed, Engine, Health, ReadError, Revision, Row, Snapshot};
use super::key::{Key, Range};
use super::{rider, tables};
use crate::model::{
    Compact, Conversation, ConversationRecord, DecodeError, Head, Json, Member, MessageRecord,
    ParticipantRecord, ReceiptRecord, Standing, State,
};

/// A record and the numbers of its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    pub record: T,
    pub created: Revision,
    pub changed: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// The typed ledger.
#[derive(Clone)]
pub struct Ledger {
    engine: Arc<dyn Engine>,
    births: Arc<AtomicU64>,
    alterations: Arc<Alterations>,
}

impl Ledger {
    pub fn new(engine: Arc<dyn Engine>) -> Ledger {
        let births = Arc::new(AtomicU64::new(engine.published()));
        Ledger { engine, births, alterations: Arc::default() }
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub fn snapshot(&self) -> Box<dyn Snapshot> {
        self.engine.snapshot()
    }

    pub fn health(&self) -> Health {
        self.engine.health()
    }

    pub async fn commit(&self, mut batch: Batch) -> Result<Committed, CommitError> {
        batch.least = batch.least.max(self.births.load(Ordering::Relaxed));
        self.alterations.note(&batch);
        rider::commit(&*self.engine, batch).await
    }

    /// To be taken before a commit that checks the head of the row's conversation; see [`Ledger::holds`].
    pub fn standing(&self, key: &Key) -> Standing {
        self.alterations.standing(key)
    }

    /// Whether no message and nobody of a conversation was altered or removed since, nor the conversation itself.
    pub fn holds(&self, standing: Standing) -> bool {
        self.alterations.holds(standing)
    }

    /// A number that orders things by when they began: grows with every call. Over restarts too, whatever the clock
    /// does in between: births begin at what is published, and no batch is published below a birth that it may hold.
    /// That a birth is a row is not enough: a decision that is refused, or made again, leaves births behind.
    pub fn birth(&self) -> u64 {
        let published = self.engine.published();
        let step = |last: u64| last.max(published) + 1;
        // `fetch_update` only fails when the closure gives up, which this one never does.
        let last = self.births.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(step(last)));
        step(last.unwrap_or_default())
    }

    /// A conversation whole, unless there is none or it is being removed.
    pub async fn conversation(&self, account: &str, sid: &str) -> Result<Option<Conversation>, LedgerError> {
        conversation(&*self.snapshot(), account, sid).await
    }
}

/// Reads a JSON record.
pub async fn json<T: Json>(snapshot: &dyn Snapshot, key: &Key) -> Result<Option<Stored<T>>, LedgerError> {
    snapshot.get(key).await?.map(|row| stored(&row, T::decode)).transpose()
}

/// Reads a compact record.
pub async fn compact<T: Compact>(
    snapshot: &dyn Snapshot,
    key: &Key,
) -> Result<Option<Stored<T>>, LedgerError> {
    snapshot.get(key).await?.map(|row| stored(&row, T::decode)).transpose()
}

fn stored<T>(row: &Row, decode: fn(&[u8]) -> Result<T, DecodeError>) -> Result<Stored<T>, LedgerError> {
    Ok(Stored { record: decode(&row.payload)?, created: row.created, changed: row.changed })
}

async fn page<T>(
    snapshot: &dyn Snapshot,
    range: Range,
    limit: usize,
    decode: fn(&[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<(Key, Stored<T>)>, LedgerError> {
    let rows = snapshot.scan(range, limit).await?;
    rows.into_iter().map(|(key, row)| Ok((key, stored(&row, decode)?))).collect()
}

/// A page of JSON records.
pub async fn json_page<T: Json>(
    snapshot: &dyn Snapshot,
    range: Range,
    limit: usize,
) -> Result<Vec<(Key, Stored<T>)>, LedgerError> {
    page(snapshot, range, limit, T::decode).await
}

/// A page of compact records.
pub async fn compact_page<T: Compact>(
    snapshot: &dyn Snapshot,
    range: Range,
    limit: usize,
) -> Result<Vec<(Key, Stored<T>)>, LedgerError> {
    page(snapshot, range, limit, T::decode).await
}

/// A page of a list in the order of birth, from behind a birth: the SIDs and births of what may have been removed since.
pub async fn listed(
    snapshot: &dyn Snapshot,
    prefix: &Key,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<(u64, String)>, LedgerError> {
    let range = match after {
        None => Range::prefix(prefix),
        Some(after) => Range::after(prefix, after),
    };
    let rows = snapshot.scan(range, limit).await?;
    let place = |(key, row): &(Key, Row)| {
        let sid = std::str::from_utf8(&row.payload).ok()?;
        Some((tables::listed_birth(key)?, sid.to_owned()))
    };
    let damaged = || ReadError::Damaged("a place in a list names nothing".to_owned());
    rows.iter().map(|row| place(row).ok_or_else(|| damaged().into())).collect()
}

/// A conversation whole, as of a snapshot.
pub async fn conversation(
    snapshot: &dyn Snapshot,
    account: &str,
    sid: &str,
) -> Result<Option<Conversation>, LedgerError> {
    let Some(head) = compact::<Head>(snapshot, &tables::head(account, sid)).await? else { return Ok(None) };
    if head.record.state == State::Deleted {
        return Ok(None);
    }
    let key = tables::conversation(account, sid);
    let Some(document) = json::<ConversationRecord>(snapshot, &key).await? else { return Ok(None) };
    let range = Range::prefix(&tables::participants(account, sid));
    let mut members: Vec<Member> = json_page::<ParticipantRecord>(snapshot, range, usize::MAX)
        .await?
        .into_iter()
        .map(|(_, stored)| Member { record: stored.record, revision: stored.changed })
        .collect();
    members.sort_by_key(|member| member.record.birth);
    Ok(Some(Conversation {
        head: head.record,
        head_revision: head.changed,
        record: Arc::new(document.record),
        record_revision: document.changed,
        members: Arc::new(members),
    }))
}

/// A message by index.
pub async fn message(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    index: u64,
) -> Result<Option<Stored<MessageRecord>>, LedgerError> {
    compact(snapshot, &tables::message(account, conversation, index)).await
}

/// The receipts of a message that have a row, in no particular order.
pub async fn receipts(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    index: u64,
) -> Result<Vec<Stored<ReceiptRecord>>, LedgerError> {
    let range = Range::prefix(&tables::receipts(account, conversation, index));
    let page = compact_page::<ReceiptRecord>(snapshot, range, usize::MAX).await?;
    Ok(page.into_iter().map(|(_, stored)| stored).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::key::Space;
    use crate::ledger::memory::Memory;

    #[test]
    fn births_grow_for_everybody_and_never_twice() {
        let ledger = Ledger::new(Arc::new(Memory::new(1)));
        let births: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..1000).map(|_| ledger.birth()).collect::<Vec<_>>()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        assert!(births.iter().all(|one| one.is_sorted_by(|a, b| a < b)));
        let mut all: Vec<u64> = births.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8000);
    }

    #[tokio::test]
    async fn births_of_decisions_that_came_to_nothing_do_not_come_back() {
        let memory = Arc::new(Memory::new(5_000));
        let ledger = Ledger::new(memory.clone());
        for _ in 0..100 {
            ledger.birth();
        }
        let last = ledger.birth();
        let mut batch = Batch::default();
        batch.put(Key::new("A", "", Space::Service, &last.to_be_bytes()), "x");
        ledger.commit(batch).await.unwrap();
        assert!(Ledger::new(memory).birth() > last);
    }

    #[tokio::test]
    async fn births_go_on_after_a_restart_whatever_the_clock_says() {
        let memory = Arc::new(Memory::new(5_000));
        let mut last = 0;
        for _ in 0..3 {
            let ledger = Ledger::new(memory.clone());
            for _ in 0..10 {
                let birth = ledger.birth();
                assert!(birth > last);
                last = birth;
                let mut batch = Batch::default();
                batch.put(Key::new("A", "", Space::Service, &birth.to_be_bytes()), "x");
                ledger.commit(batch).await.unwrap();
            }
        }
    }
}
