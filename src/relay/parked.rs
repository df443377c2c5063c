//! Parked statuses are kept a day. One sleeping task wakes when the oldest is due; with none parked it costs nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use trunkline_adapter::Timestamp;

use super::Relay;
use crate::ledger::engine::Batch;
use crate::ledger::key::Range;
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{AccountSid, ParkedStatus};

/// How long a status waits for the send it is about.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Rows read and deleted at a time.
const PAGE: usize = 200;

/// Wakes the sweep when something was parked.
#[derive(Default)]
pub struct Sweep(Notify);

impl Sweep {
    pub fn arm(&self) {
        self.0.notify_one();
    }
}

impl Relay {
    /// Deletes parked statuses when their day is over; runs until dropped.
    pub async fn sweep_parked(self: Arc<Relay>, account: AccountSid) {
        loop {
            match self.sweep_once(&account).await {
                Ok(Some(due)) => tokio::time::sleep(due.since(self.clock.now())).await,
                Ok(None) => self.parked.0.notified().await,
                Err(error) => {
                    tracing::error!(%error, "Parked statuses cannot be swept");
                    self.parked.0.notified().await;
                }
            }
        }
    }

    /// Deletes what is over; says when the oldest of the rest is due.
    async fn sweep_once(&self, account: &AccountSid) -> Result<Option<Timestamp>, LedgerError> {
        let prefix = tables::all_parked(account.as_str());
        let mut range = Range::prefix(&prefix);
        let mut oldest: Option<Timestamp> = None;
        loop {
            let page = typed::json_page::<ParkedStatus>(&*self.ledger.snapshot(), range, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(oldest.map(|since| since.plus(KEPT))) };
            range = Range::after(&prefix, last);
            let mut batch = Batch::default();
            for (key, stored) in page {
                if self.clock.now().since(stored.record.since) >= KEPT {
                    batch.at(key.clone(), stored.changed);
                    batch.delete(key);
                } else {
                    oldest =
                        Some(oldest.map_or(stored.record.since, |before| before.min(stored.record.since)));
                }
            }
            // A conflict means that somebody is using the row right now; the next sweep looks again.
            if !batch.writes.is_empty()
                && let Err(error) = self.ledger.commit(batch).await
            {
                tracing::debug!(%error, "A parked status was kept");
            }
        }
    }
}
