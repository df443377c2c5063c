//! The binding table: "whose conversation is this pair?", answered from a copy of the ledger's binding rows in sled.
//!
//! Owns the copy, its folder, and the thread that makes it equal to the ledger at every start.
//! Must not know what a binding means: it copies keys and payloads of [`Space::Binding`](crate::ledger::key::Space).
//!
//! Invariants:
//! - the ledger is the truth: a hit is a hint that the decision checks, anything else means "ask the ledger";
//! - nothing is answered from a copy before it was made equal to the ledger's rows;
//! - no error and no panic of sled leaves this room: it drops the copy, and another is built beside the old one's
//!   place; the folder may be deleted at any time;
//! - no sled transaction and no `flush_async` (which deadlocks in 0.34.7); what a power cut takes from the copy, the
//!   next start's merge brings back.
//!
//! Wiring: [`Bindings::new`], then the store is opened with [`Bindings::follower`], then [`Bindings::start`]. The
//! follower must be there from the first commit, because what it is not told of, only a merge can find.

mod copy;
mod ledger_rows;
mod merge;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::ledger::engine::{Engine, Follower};
use crate::ledger::key::Key;
use table::{Event, Table};

/// The answer to a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// What the ledger's row held when it was last copied.
    Hit(Bytes),
    /// Not known here: ask the ledger.
    Unknown,
}

/// What the table is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Being made equal to the ledger; every look-up is [`Lookup::Unknown`].
    Building,
    /// Answers.
    Ready,
    /// No copy can be kept (a folder that cannot be written, say); every look-up is [`Lookup::Unknown`].
    Off,
}

/// The binding table. Dropping it ends its thread and closes the copy.
pub struct Bindings {
    table: Arc<Table>,
    events: mpsc::Sender<Event>,
    worker: Mutex<Worker>,
}

/// The thread that keeps a copy built.
enum Worker {
    Waiting(mpsc::Receiver<Event>),
    /// The channel closes when the thread ends.
    Running(JoinHandle<()>, mpsc::Receiver<()>),
    Gone,
}

/// How long closing waits for the thread. sled may hang over a file full of noise; that shall not keep the process.
const PATIENCE: Duration = Duration::from_secs(5);

impl Bindings {
    /// A table that knows nothing yet and keeps its copies in `folder`.
    pub fn new(folder: &Path) -> Bindings {
        let (events, inbox) = mpsc::channel();
        let table = Arc::new(Table::new(folder.to_owned(), events.clone()));
        Bindings { table, events, worker: Mutex::new(Worker::Waiting(inbox)) }
    }

    /// What the store's committer is to tell.
    pub fn follower(&self) -> Arc<dyn Follower> {
        Arc::clone(&self.table) as Arc<dyn Follower>
    }

    /// Begins to make the copy equal to the ledger, in the background. A second call does nothing.
    pub fn start(&self, engine: &Arc<dyn Engine>) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let inbox = match std::mem::replace(&mut *worker, Worker::Gone) {
            Worker::Waiting(inbox) => inbox,
            started => return *worker = started,
        };
        let table = Arc::clone(&self.table);
        // Weak, because the engine owns this table as its follower.
        let engine = Arc::downgrade(engine);
        let (running, ended) = mpsc::channel();
        let work = move || {
            let _running: mpsc::Sender<()> = running;
            merge::keep_built(&table, &engine, &inbox);
        };
        match std::thread::Builder::new().name("bindings".into()).spawn(work) {
            Ok(thread) => *worker = Worker::Running(thread, ended),
            Err(error) => self.table.turn_off(&error.to_string()),
        }
    }

    /// What is known of a pair.
    pub fn lookup(&self, key: &Key) -> Lookup {
        match self.table.lookup(key) {
            Some(payload) => Lookup::Hit(payload),
            None => Lookup::Unknown,
        }
    }

    /// What the table is doing, to look at or to wait on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.table.progress()
    }

    /// Whether look-ups are answered.
    pub fn ready(&self) -> bool {
        *self.table.progress().borrow() == Progress::Ready
    }

    /// Bindings in the copy; nothing while there is none to answer from.
    pub fn count(&self) -> Option<u64> {
        self.ready().then(|| self.table.count())
    }
}

impl Drop for Bindings {
    fn drop(&mut self) {
        self.table.close();
        let _ = self.events.send(Event::Stop);
        let worker = self.worker.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Worker::Running(thread, ended) = std::mem::replace(worker, Worker::Gone) {
            if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                tracing::warn!("the copy of the bindings does not close; it is left as it is");
            } else if thread.join().is_err() {
                tracing::error!("the thread of the binding table ended with a panic");
            }
        }
    }
}
