//! Timers are records in the order they are due, and one task, which sleeps until the first of them. With none it costs
//! nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use trunkline_adapter::Timestamp;

use super::{Relay, RelayError, decide};
use crate::announce::Cause;
use crate::ledger::engine::Batch;
use crate::ledger::key::{Key, Range};
use crate::ledger::{LedgerError, tables};
use crate::model::AccountSid;

/// Due records read at a time.
const PAGE: usize = 256;
/// Conversations that are worked on at the same time, so that their commits share a sync.
const SIDE_BY_SIDE: usize = 32;
/// What failed is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// What a look at the due records found.
struct Look {
    /// When the next one is due.
    next: Option<Timestamp>,
    /// The first that could not be done.
    left: Option<Timestamp>,
}

impl Relay {
    /// Does what timers ask for, in all accounts; runs until dropped.
    pub async fn keep_time(self: Arc<Relay>) {
        // Records before this are done with, and reading does not walk over them again.
        let mut from = Timestamp(0);
        loop {
            // Who arms one from here on is heard; what was armed before is found.
            let told = Timestamp(self.alarm.earliest.swap(i64::MAX, Ordering::AcqRel));
            from = from.min(told);
            let (next, again) = match self.ring(from).await {
                Ok(Look { next, left: None }) => {
                    from = next.unwrap_or(Timestamp(i64::MAX));
                    (next, None)
                }
                Ok(Look { next, left: Some(left) }) => {
                    from = left;
                    (next, Some(AGAIN))
                }
                Err(error) => {
                    tracing::error!(%error, "Timers cannot be read");
                    (None, Some(AGAIN))
                }
            };
            self.alarm.earliest.fetch_min(next.map_or(i64::MAX, |next| next.0), Ordering::AcqRel);
            let wait = next.map(|next| next.since(self.clock.now())).into_iter().chain(again).min();
            let sleep = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.alarm.notify.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Does all that is due, and says when the next one is.
    async fn ring(&self, from: Timestamp) -> Result<Look, LedgerError> {
        let (prefix, first) = tables::timers(from);
        let mut range = Range::from(&prefix, &first);
        let mut left = None;
        loop {
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(Look { next: None, left }) };
            range = Range::after(&prefix, last);
            let now = self.clock.now();
            let due = |key: &Key| tables::timer_of(key).map_or(Timestamp(0), |(due, ..)| due);
            let later = rows.iter().map(|(key, _)| due(key)).find(|due| *due > now);
            let failed = stream::iter(rows.into_iter().filter(|(key, _)| due(key) <= now))
                .map(|(key, _)| async move { (!self.came_up(&key).await).then(|| due(&key)) })
                .buffer_unordered(SIDE_BY_SIDE)
                .filter_map(std::future::ready)
                .collect::<Vec<_>>()
                .await;
            left = left.into_iter().chain(failed).min();
            if later.is_some() {
                return Ok(Look { next: later, left });
            }
        }
    }

    /// A due record came up. Says whether it is done with.
    async fn came_up(&self, key: &Key) -> bool {
        let done = match tables::timer_of(key) {
            Some((due, account, conversation)) => match AccountSid::parse(&account) {
                Some(account) => self.look_at(&account, &conversation, due, key).await,
                None => self.drop_timer(key).await,
            },
            None => self.drop_timer(key).await,
        };
        if let Err(error) = &done {
            tracing::error!(?key, %error, "A timer is tried again later");
        }
        done.is_ok()
    }

    async fn look_at(
        &self,
        account: &AccountSid,
        conversation: &str,
        came: Timestamp,
        key: &Key,
    ) -> Result<(), RelayError> {
        // The change itself does what is due before it asks; what is left is the record.
        let looked = self
            .change(account, conversation, Cause::timer(), |conversation, context| async move {
                let gone = self.ledger.snapshot().get(key).await?.is_none();
                let decision = (!gone).then(|| decide::timers::put_off(&context, &conversation, came));
                Ok((decision, ()))
            })
            .await;
        match looked {
            Err(RelayError::ConversationNotFound) => self.drop_timer(key).await,
            looked => looked.map(|_| ()),
        }
    }

    /// Nobody's any more.
    async fn drop_timer(&self, key: &Key) -> Result<(), RelayError> {
        let mut batch = Batch::default();
        batch.delete(key.clone());
        self.ledger.commit(batch).await?;
        Ok(())
    }
}
