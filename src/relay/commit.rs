//! Commits, and what must follow each of them whether or not anybody still waits: a request whose caller hung up is
//! dropped at the commit, but the commit is not taken back.

use std::sync::Arc;

use tokio::sync::Mutex;
use trunkline_adapter::Address;

use super::after::{After, Wake};
use super::alarm::{Alarm, Sweep};
use super::cache::{Cache, Ticket, Turn};
use super::decide::Decision;
use super::lasting::Lasting;
use crate::ledger::engine::{Batch, CommitError, Revision, Write};
use crate::ledger::{Ledger, tables};
use crate::model::{AccountSid, Conversation, Standing, State};
use crate::work::Wakeups;

/// Keeps who asked not to be written to where the lanes look, in line with the rows. Plugged in by `app`.
pub trait OptOuts: Send + Sync {
    fn add(&self, account: &str, proxy: &Address, address: &Address);
    fn remove(&self, account: &str, proxy: &Address, address: &Address);
}

/// Commits and follows up.
pub struct Commits {
    pub ledger: Ledger,
    pub wakeups: Wakeups,
    pub cache: Arc<Cache>,
    pub parked: Arc<Sweep>,
    pub alarm: Arc<Alarm>,
    pub opt_outs: Arc<dyn OptOuts>,
    /// One at a time, so that the set ends as the rows do.
    pub opting: Mutex<()>,
}

impl Commits {
    /// Commits a batch and what follows it.
    pub async fn commit(
        self: &Arc<Self>,
        account: &AccountSid,
        batch: Batch,
        after: After,
    ) -> Result<(), CommitError> {
        let (this, account) = (Arc::clone(self), account.clone());
        Lasting::new(async move {
            this.ledger.commit(batch).await?;
            failpoint!("relay::event-committed");
            this.follow(&account, after, None).await;
            Ok(())
        })
        .await
    }

    /// Commits a decision about a conversation and what follows it.
    pub async fn decided(
        self: &Arc<Self>,
        account: &AccountSid,
        mut decision: Decision,
        ticket: Ticket,
        turn: Option<Arc<Turn>>,
    ) -> Result<Arc<Conversation>, CommitError> {
        let (this, account) = (Arc::clone(self), account.clone());
        Lasting::new(async move {
            let batch = std::mem::take(&mut decision.batch);
            let after = std::mem::take(&mut decision.after);
            // Before the commit, which checks the head: what is altered from now on is seen by whoever asks.
            let head = batch.writes.get(decision.head_at).map(Write::key);
            let standing = head.map(|head| this.ledger.standing(head)).unwrap_or_default();
            let committed = this.ledger.commit(batch).await?;
            let next = Arc::new(decision.settle(committed));
            failpoint!("relay::committed");
            if next.head.state == State::Deleted {
                this.cache.forget(&account, next.sid().as_str());
            } else {
                this.cache.put(ticket, &account, next.clone());
            }
            this.follow(&account, after, Some((committed.first, standing))).await;
            failpoint!("relay::followed");
            // Held until now, also where nobody waits any more: lanes hear of rows in the order of their commits.
            drop(turn);
            Ok(next)
        })
        .await
    }

    async fn follow(&self, account: &AccountSid, after: After, committed: Option<(Revision, Standing)>) {
        for (proxy, address) in after.opted {
            self.follow_opt_out(account, &proxy, &address).await;
        }
        for Wake { queue, lane, subject, row } in after.wake {
            match row.zip(committed) {
                Some((row, (first, standing))) => {
                    self.wakeups.row(queue, &lane, &subject, row.committed(first, standing));
                }
                None => self.wakeups.work(queue, &lane, &subject),
            }
        }
        if after.parked {
            self.parked.arm(account);
        }
        if let Some(due) = after.due {
            self.alarm.arm(due);
        }
    }

    /// Brings the lanes' view in line with the row: two changes may be followed up in the other order than they were
    /// committed in, so what each of them meant does not count. Where the row cannot be read, nothing leaves: a text
    /// too few until the next start is better than one after a STOP.
    async fn follow_opt_out(&self, account: &AccountSid, proxy: &Address, address: &Address) {
        let _one = self.opting.lock().await;
        failpoint!("opt-out::before-lanes-know");
        let key = tables::opt_out(account.as_str(), proxy, address);
        let row = self.ledger.snapshot().get(&key).await;
        if let Err(error) = &row {
            tracing::error!(%error, "An opt-out's row cannot be read; nothing is sent to its address");
        }
        match row {
            Ok(None) => self.opt_outs.remove(account.as_str(), proxy, address),
            Ok(Some(_)) | Err(_) => self.opt_outs.add(account.as_str(), proxy, address),
        }
    }
}
