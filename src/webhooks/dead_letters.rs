//! What was given up: events that no webhook took, and messages that no application took which they were forwarded to.
//! Kept until an operator lets them go again or drops them, the newest ten thousand of an account.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Clock, Timestamp};

use crate::announce::EventJob;
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::key::{Key, Range};
use crate::ledger::{Ledger, LedgerError, tables, typed};
use crate::model::{AccountSid, Compact, Forwarded, Json};
use crate::telemetry::webhooks::{PostOutcome, told};
use crate::work::{self, Queue, Wakeups};

/// Rows read at a time.
const PAGE: usize = 256;
/// Most of an account; the oldest make room.
const KEPT: u64 = 10_000;

/// An event that nobody took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Of a message, the request it was posted with.
    pub event: EventJob,
    /// The message, where it is no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Unforwarded>,
    /// What it was ordered by.
    pub subject: String,
    /// When it was caused.
    pub since: Timestamp,
    pub attempts: u32,
    /// What the last try met.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A message that no application took, and which messaging service forwards it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unforwarded {
    pub service: String,
    pub message: Forwarded,
}

impl Json for DeadLetter {
    const NAME: &'static str = "dead letter";
}

/// See the module.
pub struct DeadLetters {
    ledger: Ledger,
    wakeups: Wakeups,
    clock: Clock,
    kept: u64,
    /// How many there are, of accounts that were counted.
    counts: Mutex<HashMap<AccountSid, u64>>,
}

impl DeadLetters {
    pub(super) fn new(ledger: Ledger, wakeups: Wakeups, clock: Clock) -> DeadLetters {
        DeadLetters { ledger, wakeups, clock, kept: KEPT, counts: Mutex::default() }
    }

    /// How many there are, of the accounts that were counted.
    pub fn count(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Counts some more, or less; says how many there are then.
    fn counted(&self, account: &AccountSid, count: impl FnOnce(u64) -> u64) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.entry(account.clone()).or_default();
        *known = count(*known);
        *known
    }

    /// Counts an account's; once, and before anything is given up or let go.
    pub async fn recount(&self, account: &AccountSid) -> Result<(), LedgerError> {
        let prefix = tables::dead_letters(account.as_str());
        let mut range = Range::prefix(&prefix);
        loop {
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = Range::after(&prefix, last);
            self.counted(account, |known| known + rows.len() as u64);
        }
    }

    /// Adds one to the batch that ends its work. To be counted when that is committed.
    pub fn bury(&self, account: &AccountSid, letter: &DeadLetter, batch: &mut Batch) {
        batch.put(tables::dead_letter(account.as_str(), self.ledger.birth()), letter.encode());
    }

    /// One was buried; where there are too many by now, the oldest go for good.
    pub async fn buried(&self, account: &AccountSid) {
        while self.counted(account, |known| known) >= self.kept {
            match self.oldest_goes(account).await {
                Ok(true) => {}
                // Whoever counted it is about to.
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%account, %error, "The oldest dead letter cannot be dropped yet");
                    break;
                }
            }
        }
        self.counted(account, |known| known + 1);
    }

    async fn oldest_goes(&self, account: &AccountSid) -> Result<bool, LedgerError> {
        let range = Range::prefix(&tables::dead_letters(account.as_str()));
        let oldest = self.ledger.snapshot().scan(range, 1).await?;
        let Some(number) = oldest.first().and_then(|(key, _)| tables::dead_letter_birth(key)) else {
            return Ok(false);
        };
        let dropped = self.drop(account, number).await?;
        if dropped {
            told(PostOutcome::Dropped);
            tracing::warn!(%account, number, "The oldest dead letter was dropped to make room");
        }
        Ok(dropped)
    }

    /// The oldest ones of an account, with the numbers they are called by.
    pub async fn list(
        &self,
        account: &AccountSid,
        most: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, LedgerError> {
        let range = Range::prefix(&tables::dead_letters(account.as_str()));
        let page = typed::json_page::<DeadLetter>(&*self.ledger.snapshot(), range, most).await?;
        let named = |(key, row): (Key, typed::Stored<DeadLetter>)| {
            Some((tables::dead_letter_birth(&key)?, row.record))
        };
        Ok(page.into_iter().filter_map(named).collect())
    }

    /// The numbers of all of an account's.
    pub async fn numbers(&self, account: &AccountSid) -> Result<Vec<u64>, LedgerError> {
        let prefix = tables::dead_letters(account.as_str());
        let (mut range, mut numbers) = (Range::prefix(&prefix), Vec::new());
        loop {
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(numbers) };
            range = Range::after(&prefix, last);
            numbers.extend(rows.iter().filter_map(|(key, _)| tables::dead_letter_birth(key)));
        }
    }

    /// One of an account's.
    pub async fn get(&self, account: &AccountSid, number: u64) -> Result<Option<DeadLetter>, LedgerError> {
        let key = tables::dead_letter(account.as_str(), number);
        Ok(typed::json(&*self.ledger.snapshot(), &key).await?.map(|row| row.record))
    }

    /// Lets one go again, as if it had just been caused: same token, and tries that go on counting. Behind what is
    /// waiting of its conversation. Says whether it was there.
    pub async fn retry(&self, account: &AccountSid, number: u64) -> Result<bool, LedgerError> {
        let key = tables::dead_letter(account.as_str(), number);
        let Some(row) = typed::json::<DeadLetter>(&*self.ledger.snapshot(), &key).await? else {
            return Ok(false);
        };
        let DeadLetter { event, message, subject, attempts, .. } = row.record;
        let mut batch = Batch::default();
        batch.at(key.clone(), row.changed);
        batch.delete(key);
        let (owner, now) = (account.as_str(), self.clock.now());
        let (queue, lane, payload) = match &message {
            None => (Queue::Webhook, owner, event.encode()),
            Some(unforwarded) => (Queue::Forward, unforwarded.service.as_str(), unforwarded.message.encode()),
        };
        let (not_before, payload) = (Timestamp(0), payload.to_vec());
        let job = work::Job { since: now, attempts, not_before, payload, trace: Vec::new() };
        batch.insert(work::row_key(owner, queue, lane, &subject, self.ledger.birth()), job.encode());
        if !self.gone(account, batch).await? {
            return Ok(false);
        }
        self.wakeups.work(queue, lane, &subject);
        Ok(true)
    }

    /// Drops one for good. Says whether it was there.
    pub async fn drop(&self, account: &AccountSid, number: u64) -> Result<bool, LedgerError> {
        let key = tables::dead_letter(account.as_str(), number);
        let Some(row) = self.ledger.snapshot().get(&key).await? else { return Ok(false) };
        let mut batch = Batch::default();
        batch.at(key.clone(), row.changed);
        batch.delete(key);
        self.gone(account, batch).await
    }

    async fn gone(&self, account: &AccountSid, batch: Batch) -> Result<bool, LedgerError> {
        match self.ledger.commit(batch).await {
            Ok(_) => {
                self.counted(account, |known| known.saturating_sub(1));
                Ok(true)
            }
            // Somebody else was faster.
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }
}

#[cfg(test)]
#[path = "dead_letters_test.rs"]
mod tests;
