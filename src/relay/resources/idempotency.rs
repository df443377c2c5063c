//! Idempotency keys: a caller who does not know whether a request arrived repeats it under the same key, and it is done
//! once. That it was done is committed with what it did; the answer follows.

use std::time::Duration;

use trunkline_adapter::Timestamp;

use crate::ledger::engine::{Batch, CommitError, Write};
use crate::ledger::key::{Range, Space};
use crate::ledger::rider::{self, Rider};
use crate::ledger::{LedgerError, tables, typed};
use crate::model::idempotency::KeptAnswer;
use crate::model::{AccountSid, Compact, IdempotencyRecord, Json, MessageRecord};
use crate::relay::Relay;

/// How long a key is known.
pub const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Keys read and deleted at a time.
const PAGE: usize = 200;

/// What a request makes: where its SID is found among the rows it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Conversation,
    Participant,
    Message,
    User,
    Role,
    Service,
    Credential,
    /// Nothing new: it changes what its path names.
    Change,
    /// Something that is not found by a row of its own.
    Other,
}

impl Made {
    fn sid(self, batch: &Batch) -> Option<String> {
        let space = match self {
            Made::Conversation => Space::Conversation,
            Made::Participant => Space::Participant,
            Made::Message => Space::Message,
            Made::User => Space::User,
            Made::Role => Space::Role,
            Made::Service => Space::Service,
            Made::Credential => Space::Credential,
            Made::Change | Made::Other => return None,
        };
        let (key, payload) = batch.writes.iter().find_map(|write| match write {
            Write::Insert(key, payload) | Write::Put(key, payload) if key.space() == Some(space) => {
                Some((key, payload))
            }
            _ => None,
        })?;
        let parts = key.parts()?;
        match self {
            Made::Conversation => Some(parts.partition),
            Made::Message => MessageRecord::decode(payload).ok().map(|record| record.sid.to_string()),
            _ => String::from_utf8(parts.rest.to_vec()).ok(),
        }
    }
}

impl Relay {
    /// What is known under a key.
    pub async fn kept_answer(
        &self,
        account: &AccountSid,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, LedgerError> {
        let key = tables::idempotency(account.as_str(), key);
        let row = typed::json::<IdempotencyRecord>(&*self.ledger.snapshot(), &key).await?;
        Ok(row.map(|row| row.record).filter(|record| self.clock.now().since(record.since) < KEYS_KEPT))
    }

    /// Does what a request asks; that it was done is committed with it.
    pub async fn once<T>(
        &self,
        account: &AccountSid,
        (key, fingerprint): (&str, &str),
        made: Made,
        work: impl Future<Output = T>,
    ) -> T {
        let (fingerprint, since) = (fingerprint.to_owned(), self.clock.now());
        let row = move |batch: &Batch| {
            let (fingerprint, made) = (fingerprint.clone(), made.sid(batch));
            let rest = serde_json::Map::new();
            IdempotencyRecord { fingerprint, since, made, answer: None, rest }.encode()
        };
        let key = tables::idempotency(account.as_str(), key);
        rider::along(Rider { key, row: Box::new(row) }, work).await
    }

    /// Writes down what was answered.
    pub async fn keep_answer(
        &self,
        account: &AccountSid,
        (key, fingerprint): (&str, &str),
        answer: KeptAnswer,
    ) -> Result<(), CommitError> {
        let record = IdempotencyRecord {
            fingerprint: fingerprint.to_owned(),
            since: self.clock.now(),
            made: None,
            answer: Some(answer),
            rest: serde_json::Map::new(),
        };
        let mut batch = Batch::default();
        batch.put(tables::idempotency(account.as_str(), key), record.encode());
        self.ledger.commit(batch).await.map(|_| ())
    }

    /// Deletes keys whose day is over, and what cannot be read.
    pub async fn forget_keys(&self, account: &AccountSid) -> Result<usize, LedgerError> {
        let prefix = tables::idempotency_keys(account.as_str());
        let (mut range, mut forgotten) = (Range::prefix(&prefix), 0);
        loop {
            let page = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(forgotten) };
            range = Range::after(&prefix, last);
            let mut batch = Batch::default();
            for (key, row) in page {
                let since: Option<Timestamp> =
                    IdempotencyRecord::decode(&row.payload).ok().map(|record| record.since);
                if since.is_some_and(|since| self.clock.now().since(since) < KEYS_KEPT) {
                    continue;
                }
                batch.at(key.clone(), row.changed);
                batch.delete(key);
            }
            let gone = batch.writes.len();
            if gone > 0 {
                match self.ledger.commit(batch).await {
                    Ok(_) => forgotten += gone,
                    // Somebody uses one of them anew; the next sweep looks again.
                    Err(CommitError::Conflict(_)) => {}
                    Err(other) => return Err(other.into()),
                }
            }
        }
    }
}
