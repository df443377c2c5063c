//! Who tells events: one of them for each account, from when it is first configured to the end of the daemon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ledger::LedgerError;
use crate::model::AccountSid;
use crate::webhooks::{Post, Site};

/// What is under way at the end may take this long: longer than a webhook may take to answer.
const DRAIN: Duration = Duration::from_secs(8);

/// See the module.
pub(super) struct Tellers {
    site: Site,
    clean: bool,
    stop: watch::Sender<bool>,
    running: Mutex<BTreeMap<AccountSid, Teller>>,
}

struct Teller {
    depth: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Tellers {
    pub(super) fn new(site: Site, clean: bool) -> Tellers {
        Tellers { site, clean, stop: watch::Sender::new(false), running: Mutex::default() }
    }

    /// Starts an account's, unless it runs.
    pub(super) async fn start(&self, account: AccountSid) -> Result<(), LedgerError> {
        if self.running().contains_key(&account) {
            return Ok(());
        }
        self.site.letters.recount(&account).await?;
        let post = Post::new(self.site.clone(), account.clone(), self.clean);
        let (depth, mut stopped) = (post.depth(), self.stop.subscribe());
        let until = async move {
            // An error means that the daemon is gone altogether.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let task = tokio::spawn(post.run(until));
        self.running().insert(account, Teller { depth, task });
        Ok(())
    }

    /// The accounts that have one.
    pub(super) fn accounts(&self) -> Vec<AccountSid> {
        self.running().keys().cloned().collect()
    }

    /// Events that wait.
    pub(super) fn depth(&self) -> u64 {
        self.running().values().map(|teller| teller.depth.load(Ordering::Relaxed)).sum()
    }

    /// Ends in order: what was begun is written down, nothing else is begun.
    pub(super) async fn drain(&self) {
        self.stop.send_replace(true);
        let running = std::mem::take(&mut *self.running());
        let all = async {
            for teller in running.into_values() {
                // One that panicked has said so.
                let _ = teller.task.await;
            }
        };
        // What is cut off here is told again, as something that may have been told.
        let _ = tokio::time::timeout(DRAIN, all).await;
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<AccountSid, Teller>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
