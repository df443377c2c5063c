//! What wakes the tasks that sleep until something is due, when that is committed which is due earlier.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use trunkline_adapter::Timestamp;

use crate::model::AccountSid;

/// Wakes the task of timers when something is due before it would look again.
#[derive(Debug)]
pub struct Alarm {
    /// What it sleeps for, or the earliest that was armed since it looked.
    pub(super) earliest: AtomicI64,
    pub(super) notify: Notify,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { earliest: AtomicI64::new(i64::MAX), notify: Notify::new() }
    }
}

impl Alarm {
    /// A due record was committed.
    pub fn arm(&self, due: Timestamp) {
        if due.0 < self.earliest.fetch_min(due.0, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

/// Wakes an account's sweep when something was parked for it.
#[derive(Default)]
pub struct Sweep(Mutex<HashMap<AccountSid, Arc<Notify>>>);

impl Sweep {
    pub fn arm(&self, account: &AccountSid) {
        self.of(account).notify_one();
    }

    pub(super) fn of(&self, account: &AccountSid) -> Arc<Notify> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(account.clone()).or_default())
    }
}
