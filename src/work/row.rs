//! Queue rows: where they live and what is around their payload.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkline_adapter::Timestamp;

use crate::ledger::engine::{Batch, ReadError, Revision, Snapshot};
use crate::ledger::key::{Key, Piece, Range, Space, take_name};
use crate::model::{Compact, Letter};

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
}

impl Compact for Job {
    const NAME: &'static str = "queue row";
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
    let job = Job { since, attempts: 0, not_before: Timestamp(0), payload: payload.to_vec() };
    let (key, at) = (row_key(account, queue, lane, subject, seq), batch.writes.len());
    batch.insert(key.clone(), job.encode());
    Enqueued { key, job, at }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
}
