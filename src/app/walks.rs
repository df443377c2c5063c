//! What walks through the rows of an account in the background: one of each for every account, from when it is first
//! configured to the end of the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::ledger::LedgerError;
use crate::model::AccountSid;
use crate::relay::Relay;

/// See the module.
pub(super) struct Walks {
    relay: Arc<Relay>,
    running: Mutex<(BTreeSet<AccountSid>, JoinSet<()>)>,
}

impl Walks {
    pub(super) fn new(relay: Arc<Relay>) -> Walks {
        Walks { relay, running: Mutex::default() }
    }

    /// Starts an account's, unless they run.
    pub(super) async fn start(&self, account: AccountSid) -> Result<(), LedgerError> {
        let mut running = self.running.lock().await;
        let (accounts, tasks) = &mut *running;
        if accounts.contains(&account) {
            return Ok(());
        }
        // Before anything comes in that would overtake what waits.
        self.relay.open_inbox(&account).await?;
        tasks.spawn(self.relay.clone().clean_up(account.clone()));
        tasks.spawn(self.relay.clone().sweep_parked(account.clone()));
        tasks.spawn(self.relay.clone().work_through_inbox(account.clone()));
        accounts.insert(account);
        Ok(())
    }

    /// Ends them where they are: what they do is either committed or done again.
    pub(super) async fn shutdown(&self) {
        self.running.lock().await.1.shutdown().await;
    }
}
