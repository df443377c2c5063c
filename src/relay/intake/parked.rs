//! Parked statuses are kept a day. One sleeping task wakes when the oldest is due; with none parked it costs nothing.

use std::sync::Arc;
use std::time::Duration;

use trunkline_adapter::Timestamp;

use crate::ledger::engine::Batch;
use crate::ledger::key::Range;
use crate::ledger::{LedgerError, tables};
use crate::model::{AccountSid, Json, ParkedStatus};
use crate::relay::Relay;

/// How long a status waits for the send it is about.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After a failure the next sweep comes no later.
const AGAIN: Duration = Duration::from_secs(60);
/// Rows read and deleted at a time.
const PAGE: usize = 200;

impl Relay {
    /// Deletes an account's parked statuses when their day is over; runs until dropped.
    pub async fn sweep_parked(self: Arc<Relay>, account: AccountSid) {
        let armed = self.parked.of(&account);
        loop {
            match self.sweep_once(&account).await {
                Ok(Some(due)) => tokio::time::sleep(due.since(self.clock.now())).await,
                Ok(None) => armed.notified().await,
                Err(error) => {
                    tracing::error!(%error, "Parked statuses cannot be swept");
                    tokio::select! {
                        biased;
                        () = armed.notified() => {}
                        () = tokio::time::sleep(AGAIN) => {}
                    }
                }
            }
        }
    }

    /// Deletes what is over, and what cannot be read; says when the oldest of the rest is due.
    async fn sweep_once(&self, account: &AccountSid) -> Result<Option<Timestamp>, LedgerError> {
        let prefix = tables::all_parked(account.as_str());
        let mut range = Range::prefix(&prefix);
        let mut next: Option<Timestamp> = None;
        loop {
            let page = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(next) };
            range = Range::after(&prefix, last);
            let mut batch = Batch::default();
            let now = self.clock.now();
            for (key, row) in page {
                match ParkedStatus::decode(&row.payload) {
                    Ok(parked) if now.since(parked.since) < KEPT => {
                        next = earlier(next, parked.since.plus(KEPT));
                        continue;
                    }
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "A parked status cannot be read and is dropped"),
                }
                batch.at(key.clone(), row.changed);
                batch.delete(key);
            }
            // A conflict means that somebody is using a row right now; the next sweep looks again.
            if !batch.writes.is_empty()
                && let Err(error) = self.ledger.commit(batch).await
            {
                tracing::debug!(%error, "Parked statuses were kept");
                next = earlier(next, now.plus(AGAIN));
            }
        }
    }
}

fn earlier(next: Option<Timestamp>, due: Timestamp) -> Option<Timestamp> {
    next.into_iter().chain([due]).min()
}
