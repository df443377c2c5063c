//! Queue rows: where they live and what is around their payload.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkline_adapter::Timestamp;

use crate::ledger::engine::{Batch, ReadError, Revision, Snapshot};
use crate::ledger::key::{Key, Piece, Range, Space, take_name};
use crate::model::{Attempt, Compact, DecodeError, Letter, compact, read_compact};

/// Which kind of work. The byte is part of the stored key: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Queue {
    /// Sends, by proxy address and recipient.
    Outbound = 1,
    /// Removal of what belonged to deleted conversations.
    Cleanup = 2,
    /// Events to be told to webhooks, by conversation and webhook.
    Webhook = 16,
    /// What came in and waits for a webhook's word, by conversation.
    Inbox = 17,
    /// Messages that belong to no conversation, by messaging service and sender.
    Forward = 18,
}

/// One piece of work and how it fared so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// When what caused it was accepted.
    pub since: Timestamp,
    /// Tries that ended without an end.
    pub attempts: u32,
    /// Not to be tried before.
    pub not_before: Timestamp,
    pub payload: Vec<u8>,
    /// The tries that did not go well. A row without any is stored as it always was.
    #[serde(skip)]
    pub trace: Vec<Attempt>,
}

/// The format of a row with a trace behind it.
const TRACED: u8 = 2;

impl Compact for Job {
    const NAME: &'static str = "queue row";

    fn encode(&self) -> Bytes {
        if self.trace.is_empty() {
            compact(Self::FORMAT, self)
        } else {
            compact(TRACED, &(self, &self.trace))
        }
    }

    fn decode(payload: &[u8]) -> Result<Job, DecodeError> {
        let job = match payload.split_first() {
            Some((&Self::FORMAT, rest)) => read_compact(rest),
            Some((&TRACED, rest)) => read_compact(rest).map(|(job, trace)| Job { trace, ..job }),
            Some((format, _)) => Err(format!("unknown format {format}")),
            None => Err("it is empty".to_owned()),
        };
        job.map_err(|reason| DecodeError { what: Self::NAME, reason })
    }
}

/// The rows of one subject, first the one whose turn it is, at most so many; those that cannot be read are left out.
pub async fn rows_of(
    snapshot: &dyn Snapshot,
    account: &str,
    queue: Queue,
    lane: &str,
    subject: &str,
    limit: usize,
) -> Result<Vec<Job>, ReadError> {
    let rows = snapshot.scan(Range::prefix(&subject_prefix(account, queue, lane, subject)), limit).await?;
    Ok(rows.iter().filter_map(|(_, row)| Job::decode(&row.payload).ok()).collect())
}

/// The prefix of a lane's rows.
pub(super) fn lane_prefix(account: &str, queue: Queue, lane: &str) -> Key {
    Key::new(account, lane, Space::Queue, &[queue as u8])
}

/// The prefix of a subject's rows.
pub(super) fn subject_prefix(account: &str, queue: Queue, lane: &str, subject: &str) -> Key {
    Key::of(account, lane, Space::Queue, &[Piece::Bytes(&[queue as u8]), Piece::Name(subject)])
}

/// The key of one row.
pub fn row_key(account: &str, queue: Queue, lane: &str, subject: &str, seq: u64) -> Key {
    let (queue, seq) = ([queue as u8], seq.to_be_bytes());
    let rest = [Piece::Bytes(&queue), Piece::Name(subject), Piece::Bytes(&seq)];
    Key::of(account, lane, Space::Queue, &rest)
}

/// The subject in a row's key.
pub(super) fn subject_of(key: &Key) -> Option<Arc<str>> {
    let (subject, _) = take_name(key.rest()?.get(1..)?)?;
    Some(subject.into())
}

/// How many rows wait, by subject.
pub async fn waiting(
    snapshot: &dyn Snapshot,
    account: &str,
    queue: Queue,
    lane: &str,
) -> Result<BTreeMap<String, u64>, ReadError> {
    let prefix = lane_prefix(account, queue, lane);
    let (mut range, mut found) = (Range::prefix(&prefix), BTreeMap::new());
    loop {
        let rows = snapshot.scan(range, PAGE).await?;
        let Some((last, _)) = rows.last() else { return Ok(found) };
        range = Range::after(&prefix, last);
        for subject in rows.iter().filter_map(|(key, _)| subject_of(key)) {
            *found.entry(subject.to_string()).or_default() += 1;
        }
    }
}

/// Rows counted at a time.
const PAGE: usize = 1024;

/// A row that is about to be committed, as far as it is known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    pub key: Key,
    pub job: Job,
    /// Its place among the batch's writes.
    pub at: usize,
}

/// A row and the number it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    pub key: Key,
    pub job: Job,
    pub created: Revision,
    pub letter: Option<Arc<Letter>>,
}

/// Adds a piece of work to a batch. Rows of one subject are done in the order of `seq`; two rows of one subject must
/// not share one. After the commit, tell [`super::Wakeups`] once per row.
#[expect(clippy::too_many_arguments, reason = "they are the fields of a row's key and value")]
pub fn enqueue(
    batch: &mut Batch,
    account: &str,
    queue: Queue,
    lane: &str,
    subject: &str,
    seq: u64,
    since: Timestamp,
    payload: Bytes,
) -> Enqueued {
    let job =
        Job { since, attempts: 0, not_before: Timestamp(0), payload: payload.to_vec(), trace: Vec::new() };
    let (key, at) = (row_key(account, queue, lane, subject, seq), batch.writes.len());
    batch.insert(key.clone(), job.encode());
    Enqueued { key, job, at }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_trace_is_behind_the_row_and_costs_nothing_where_there_is_none() {
        let plain = Job {
            since: Timestamp(5),
            attempts: 2,
            not_before: Timestamp(7),
            payload: b"x".to_vec(),
            trace: Vec::new(),
        };
        let four = (plain.since, plain.attempts, plain.not_before, plain.payload.clone());
        assert_eq!(plain.encode(), compact(1, &four), "as it always was");
        let attempt = Attempt {
            at: Timestamp(6),
            end: crate::model::AttemptEnd::Throttled,
            code: 429,
            text: "slow".to_owned(),
        };
        let traced = Job { trace: vec![attempt], ..plain.clone() };
        for job in [plain, traced] {
            assert_eq!(Job::decode(&job.encode()).unwrap(), job);
        }
        assert!(Job::decode(&[3, 0]).is_err());
        assert!(Job::decode(&[]).is_err());
        assert!(Job::decode(&[2, 1, 2]).is_err());
    }

    #[test]
    fn keys_sort_by_subject_then_sequence_and_give_the_subject_back() {
        let key = |subject, seq| row_key("AC1", Queue::Outbound, "+15550001", subject, seq);
        assert!(key("+15550002", 9) < key("+15550002", 10));
        assert!(key("+15550002", u64::MAX) < key("+15550003", 0));
        assert_eq!(&*subject_of(&key("whatsapp:+1555", 7)).unwrap(), "whatsapp:+1555");
        let prefix = subject_prefix("AC1", Queue::Outbound, "+15550001", "+15550002");
        assert!(key("+15550002", 0).as_bytes().starts_with(prefix.as_bytes()));
        assert!(
            !key("+155500021", 0).as_bytes().starts_with(prefix.as_bytes()),
            "no prefix of a longer subject"
        );
    }

    #[tokio::test]
    async fn what_waits_is_counted_by_subject_over_many_pages_and_by_lane() {
        use crate::ledger::Ledger;
        use crate::ledger::engine::Batch;
        let ledger = Ledger::new(std::sync::Arc::new(crate::ledger::memory::Memory::new(1)));
        let many = PAGE as u64 + 3;
        let rows = (0..many).map(|seq| ("15550002", "+15550001", seq)).chain([
            ("15550003", "+15550001", 0),
            ("15550003", "+15550001", 1),
            ("15550002", "+15550009", 0),
        ]);
        for some in rows.collect::<Vec<_>>().chunks(200) {
            let mut batch = Batch::default();
            for (subject, lane, seq) in some {
                enqueue(&mut batch, "AC1", Queue::Inbox, lane, subject, *seq, Timestamp(5), "x".into());
            }
            ledger.commit(batch).await.unwrap();
        }
        let count = |lane| {
            let snapshot = ledger.snapshot();
            async move { waiting(&*snapshot, "AC1", Queue::Inbox, lane).await.unwrap() }
        };
        let first = count("+15550001").await;
        assert_eq!(first, [("15550002".to_owned(), many), ("15550003".to_owned(), 2)].into());
        assert_eq!(count("+15550009").await, [("15550002".to_owned(), 1)].into());
        assert!(count("+15550008").await.is_empty());
    }
}
