//! Commits, and what must follow each of them whether or not anybody still waits: a request whose caller hung up is
//! dropped at the commit, but the commit is not taken back.

use std::sync::Arc;

use tokio::sync::Mutex;
use trunkline_adapter::Address;

use super::OptOuts;
use super::cache::{Cache, Ticket};
use super::decide::Decision;
use super::lasting::Lasting;
use super::parked::Sweep;
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::{Ledger, tables};
use crate::model::{AccountSid, Conversation, State};
use crate::work::{Queue, Wakeups};

/// A queue row that somebody has to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    pub queue: Queue,
    pub lane: String,
    pub subject: String,
}

impl Wake {
    /// Something to send.
    pub fn outbound(proxy: &Address, address: &Address) -> Wake {
        Wake { queue: Queue::Outbound, lane: proxy.as_str().to_owned(), subject: address.as_str().to_owned() }
    }

    /// Something to tell.
    pub fn webhook(account: &AccountSid, subject: String) -> Wake {
        Wake { queue: Queue::Webhook, lane: account.as_str().to_owned(), subject }
    }

    /// Something that came in and waits.
    pub fn inbox(account: &AccountSid, conversation: &str) -> Wake {
        Wake { queue: Queue::Inbox, lane: account.as_str().to_owned(), subject: conversation.to_owned() }
    }

    /// Something to remove.
    pub fn cleanup(name: &str) -> Wake {
        Wake { queue: Queue::Cleanup, lane: super::cleanup::LANE.to_owned(), subject: name.to_owned() }
    }
}

/// What follows a commit.
#[derive(Debug, Default)]
pub struct After {
    pub wake: Vec<Wake>,
    /// Pairs whose opt-out row was written or deleted.
    pub opted: Vec<(Address, Address)>,
    /// A status was parked.
    pub parked: bool,
}

/// Commits and follows up.
pub struct Commits {
    pub ledger: Ledger,
    pub wakeups: Wakeups,
    pub cache: Arc<Cache>,
    pub parked: Arc<Sweep>,
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
            this.follow(&account, after).await;
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
    ) -> Result<Arc<Conversation>, CommitError> {
        let (this, account) = (Arc::clone(self), account.clone());
        Lasting::new(async move {
            let batch = std::mem::take(&mut decision.batch);
            let after = std::mem::take(&mut decision.after);
            let next = Arc::new(decision.settle(this.ledger.commit(batch).await?));
            failpoint!("relay::committed");
            if next.head.state == State::Deleted {
                this.cache.forget(&account, next.sid().as_str());
            } else {
                this.cache.put(ticket, &account, next.clone());
            }
            this.follow(&account, after).await;
            failpoint!("relay::followed");
            Ok(next)
        })
        .await
    }

    async fn follow(&self, account: &AccountSid, after: After) {
        for (proxy, address) in after.opted {
            self.follow_opt_out(account, &proxy, &address).await;
        }
        for Wake { queue, lane, subject } in after.wake {
            self.wakeups.work(queue, &lane, &subject);
        }
        if after.parked {
            self.parked.arm();
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
