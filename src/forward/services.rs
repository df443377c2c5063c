//! Which messaging services forward today, and the tasks that do it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

use super::courier::Courier;
use super::target::Target;

/// The couriers, one for each messaging service that forwards. What waits for one that no longer does stays until it
/// does again.
pub struct Forwards {
    courier: Arc<Courier>,
    tasks: Mutex<HashMap<String, AbortHandle>>,
}

impl Forwards {
    pub fn new(courier: Courier) -> Forwards {
        Forwards { courier: Arc::new(courier), tasks: Mutex::default() }
    }

    /// Takes today's configuration: starts and ends couriers.
    pub fn apply(&self, target: Target) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: HashSet<String> = target.urls.keys().cloned().collect();
        *self.courier.today.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(target);
        tasks.retain(|sid, task| {
            let stays = wanted.contains(sid) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for sid in wanted {
            let courier = self.courier.clone();
            tasks.entry(sid.clone()).or_insert_with(|| tokio::spawn(courier.serve(sid)).abort_handle());
        }
    }
}

impl Drop for Forwards {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.values().for_each(AbortHandle::abort);
    }
}
