//! Events that were given up: kept until an operator lets them go again or drops them.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Clock, Timestamp};

use crate::announce::EventJob;
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::key::{Key, Range};
use crate::ledger::{Ledger, LedgerError, tables, typed};
use crate::model::{AccountSid, Compact, Json};
use crate::work::{self, Queue, Wakeups};

/// Rows read at a time.
const PAGE: usize = 256;

/// An event that nobody took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub event: EventJob,
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

impl Json for DeadLetter {
    const NAME: &'static str = "dead letter";
}

/// See the module.
pub struct DeadLetters {
    ledger: Ledger,
    wakeups: Wakeups,
    clock: Clock,
    count: AtomicI64,
}

impl DeadLetters {
    pub(super) fn new(ledger: Ledger, wakeups: Wakeups, clock: Clock) -> DeadLetters {
        DeadLetters { ledger, wakeups, clock, count: AtomicI64::new(0) }
    }

    /// How many there are, of the accounts that were counted.
    pub fn count(&self) -> u64 {
        u64::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Counts an account's; once, and before anything is given up or let go.
    pub async fn recount(&self, account: &AccountSid) -> Result<(), LedgerError> {
        let prefix = tables::dead_letters(account.as_str());
        let mut range = Range::prefix(&prefix);
        loop {
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = Range::after(&prefix, last);
            self.count.fetch_add(i64::try_from(rows.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Adds one to the batch that ends its work. To be counted when that is committed.
    pub(super) fn bury(&self, account: &AccountSid, letter: &DeadLetter, batch: &mut Batch) {
        batch.put(tables::dead_letter(account.as_str(), self.ledger.birth()), letter.encode());
    }

    pub(super) fn buried(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
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
        let DeadLetter { event, subject, attempts, .. } = row.record;
        let mut batch = Batch::default();
        batch.at(key.clone(), row.changed);
        batch.delete(key);
        let (lane, now) = (account.as_str(), self.clock.now());
        let job = work::Job {
            since: now,
            attempts,
            not_before: Timestamp(0),
            payload: event.encode().to_vec(),
            trace: Vec::new(),
        };
        batch.insert(work::row_key(lane, Queue::Webhook, lane, &subject, self.ledger.birth()), job.encode());
        if !self.gone(batch).await? {
            return Ok(false);
        }
        self.wakeups.work(Queue::Webhook, lane, &subject);
        Ok(true)
    }

    /// Drops one for good. Says whether it was there.
    pub async fn drop(&self, account: &AccountSid, number: u64) -> Result<bool, LedgerError> {
        let key = tables::dead_letter(account.as_str(), number);
        let Some(row) = self.ledger.snapshot().get(&key).await? else { return Ok(false) };
        let mut batch = Batch::default();
        batch.at(key.clone(), row.changed);
        batch.delete(key);
        self.gone(batch).await
    }

    async fn gone(&self, batch: Batch) -> Result<bool, LedgerError> {
        match self.ledger.commit(batch).await {
            Ok(_) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Ok(true)
            }
            // Somebody else was faster.
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }
}
