//! What is served and who may change it: look-ups read, the committer and the merge write one at a time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};

use bytes::Bytes;
use tokio::sync::watch;

use super::Progress;
use super::copy::{Broken, Copy};
use crate::ledger::engine::{Follower, Write};
use crate::ledger::key::{Key, Space};

/// What the table's thread is woken by.
pub enum Event {
    /// The copy failed and was dropped.
    Broken,
    Stop,
}

pub struct Table {
    pub folder: PathBuf,
    /// Held for every change of a copy, so that the merge and the committer never cross on a row.
    changes: Mutex<Changes>,
    /// What look-ups read; only a copy that equals the ledger.
    served: RwLock<Option<Arc<Copy>>>,
    progress: watch::Sender<Progress>,
    events: mpsc::Sender<Event>,
}

enum Changes {
    /// No copy is kept up; a merge that begins later reads everything.
    Nobody,
    /// The committer writes into the copy and says what it touched: for those rows the merge's view is out of date.
    Merging {
        copy: Arc<Copy>,
        touched: HashSet<Key>,
    },
    Following {
        copy: Arc<Copy>,
    },
    Closed,
}

/// The copy under a merge was given up.
pub struct Abandoned;

impl Table {
    pub fn new(folder: PathBuf, events: mpsc::Sender<Event>) -> Table {
        Table {
            folder,
            changes: Mutex::new(Changes::Nobody),
            served: RwLock::default(),
            progress: watch::Sender::new(Progress::Building),
            events,
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, copy: Option<Arc<Copy>>) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = copy;
    }

    pub fn served(&self) -> Option<Arc<Copy>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub fn count(&self) -> u64 {
        self.served().map_or(0, |copy| copy.count())
    }

    pub fn lookup(&self, key: &Key) -> Option<Bytes> {
        let copy = self.served()?;
        match copy.get(key.as_bytes()) {
            Ok(payload) => payload,
            Err(error) => {
                self.give_up(&copy, &error);
                None
            }
        }
    }

    /// From now on the committer writes into this copy. The ledger's view for the merge must be taken after this.
    pub fn begin_merge(&self, copy: &Arc<Copy>) -> Result<(), Abandoned> {
        let mut changes = self.changes();
        if matches!(*changes, Changes::Closed) {
            return Err(Abandoned);
        }
        *changes = Changes::Merging { copy: Arc::clone(copy), touched: HashSet::new() };
        Ok(())
    }

    /// Makes one row of the copy what the ledger's view says, unless the committer knew better since.
    pub fn merge_row(&self, key: &[u8], payload: Option<&[u8]>) -> Result<Result<(), Broken>, Abandoned> {
        match &*self.changes() {
            Changes::Merging { copy, touched } => {
                let key = Key::from_bytes(Bytes::copy_from_slice(key));
                Ok(if touched.contains(&key) { Ok(()) } else { copy.set(key.as_bytes(), payload) })
            }
            _ => Err(Abandoned),
        }
    }

    /// The merge is through: look-ups are answered from the copy.
    pub fn end_merge(&self) -> Result<(), Abandoned> {
        let mut changes = self.changes();
        let Changes::Merging { copy, .. } = &*changes else { return Err(Abandoned) };
        let copy = Arc::clone(copy);
        self.serve(Some(Arc::clone(&copy)));
        *changes = Changes::Following { copy };
        self.progress.send_replace(Progress::Ready);
        Ok(())
    }

    /// Drops a copy that failed, if it is still the one in use, and has another one built.
    pub fn give_up(&self, broken: &Arc<Copy>, error: &Broken) {
        self.give_up_locked(&mut self.changes(), broken, error);
    }

    fn give_up_locked(&self, changes: &mut Changes, broken: &Arc<Copy>, error: &Broken) {
        match changes {
            Changes::Merging { copy, .. } | Changes::Following { copy } if Arc::ptr_eq(copy, broken) => {}
            _ => return,
        }
        tracing::warn!(%error, "the copy of the bindings failed and is built anew; look-ups go to the ledger");
        self.serve(None);
        *changes = Changes::Nobody;
        self.progress.send_replace(Progress::Building);
        let _ = self.events.send(Event::Broken);
    }

    /// Goes on without a copy.
    pub fn turn_off(&self, reason: &str) {
        tracing::warn!(reason, "no copy of the bindings can be kept; look-ups go to the ledger");
        let mut changes = self.changes();
        self.serve(None);
        if !matches!(*changes, Changes::Closed) {
            *changes = Changes::Nobody;
        }
        self.progress.send_replace(Progress::Off);
    }

    pub fn close(&self) {
        let mut changes = self.changes();
        self.serve(None);
        *changes = Changes::Closed;
        self.progress.send_replace(Progress::Off);
    }
}

impl Follower for Table {
    fn committed(&self, writes: &[Write]) {
        let mut bindings =
            writes.iter().filter(|write| write.key().space() == Some(Space::Binding)).peekable();
        if bindings.peek().is_none() {
            return;
        }
        failpoint!("bindings::before-copy");
        let mut changes = self.changes();
        let copy = match &mut *changes {
            Changes::Nobody | Changes::Closed => return,
            Changes::Following { copy } => Arc::clone(copy),
            Changes::Merging { copy, touched } => {
                touched.extend(bindings.clone().map(|write| write.key().clone()));
                Arc::clone(copy)
            }
        };
        for write in bindings {
            let outcome = match write {
                Write::Insert(key, payload) | Write::Put(key, payload) => {
                    copy.set(key.as_bytes(), Some(payload))
                }
                Write::Delete(key) => copy.set(key.as_bytes(), None),
            };
            if let Err(error) = outcome {
                self.give_up_locked(&mut changes, &copy, &error);
                return;
            }
        }
        failpoint!("bindings::copied");
    }
}
