//! The embedded engine: three fjall keyspaces, one thread that writes and one that syncs.
//!
//! Only the committer writes, and only it takes snapshots of fjall: each is taken right after a group was
//! written and is published, once that group is synced, together with its number. So a reader's view holds exactly what its number
//! says, which fjall alone does not promise to somebody who reads while another thread writes.

mod assembly;
mod committer;
mod desks;
mod disk;
mod files;
pub(super) mod journal;
mod pace;
mod recent;
mod stored;
mod syncer;
mod unwritten;
mod view;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{JoinHandle, ThreadId};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::engine::Durability;
use super::engine::{Batch, CommitError, Committed, Engine, Follower, Health, Revision, Snapshot};
use super::high::HighMark;
pub(super) use assembly::Assembly;
use committer::{Committer, Next, Submission};
use desks::Desks;
use disk::DiskGate;
pub(super) use files::Files;
pub use stored::LARGEST;
use syncer::{ActiveJournal, Syncer};
pub(super) use view::View;

/// Batches that may wait for the committer; more than this and committing waits for a place.
const WAITING: usize = 4_096;
/// The fact that holds the newest number, written with every group.
pub(super) const NEWEST: &str = "newest";

/// Told when the store can no longer be written. The process must end.
pub type OnFatal = Box<dyn Fn(String) + Send + Sync>;

/// What the committer and the readers share.
struct Shared {
    files: Files,
    view: RwLock<Arc<View>>,
    gate: DiskGate,
    /// Held as long as anybody may write.
    _lock: File,
}

impl Shared {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

/// What the engine is started with.
pub(super) struct Start {
    pub files: Files,
    pub lock: File,
    pub high: HighMark,
    /// The newest number the ledger holds.
    pub newest: Revision,
    /// The first number to give.
    pub next: Revision,
    pub durability: Durability,
    pub keep_free: u64,
    /// The store's folder, whose disk may fill up, and the ledger in it.
    pub folder: PathBuf,
    pub ledger: PathBuf,
    pub followers: Vec<Arc<dyn Follower>>,
    pub on_fatal: OnFatal,
}

/// The embedded engine. Dropping it writes what was submitted and ends its thread.
pub struct FjallEngine {
    shared: Arc<Shared>,
    submit: Option<mpsc::Sender<Submission>>,
    desks: Desks,
    thread: Option<JoinHandle<()>>,
    /// Where followers are told, if that is a thread of its own.
    syncer: Option<ThreadId>,
}

impl FjallEngine {
    pub(super) fn start(start: Start) -> std::io::Result<FjallEngine> {
        let gate = DiskGate::new(start.folder, start.keep_free);
        let assembly = Assembly::new(View::take(&start.files, start.newest), start.next);
        let newest = Arc::new(View::take(&start.files, start.newest));
        let view = RwLock::new(Arc::clone(&newest));
        let shared = Arc::new(Shared { files: start.files, view, gate, _lock: start.lock });
        let (submit, receiver) = mpsc::channel(WAITING);
        let on_fatal = Arc::new(start.on_fatal);
        let syncer = Syncer {
            shared: Arc::clone(&shared),
            followers: start.followers,
            high: start.high,
            journal: ActiveJournal::open(start.ledger)?,
            durability: start.durability,
            newest,
            unsynced: false,
            synced: None,
            on_fatal: Arc::clone(&on_fatal),
        };
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let (next, told) = match start.durability {
            Durability::Process => (Next::Here(Box::new(syncer)), None),
            Durability::Power => {
                let (groups, waiting) = std::sync::mpsc::sync_channel(0);
                let thread = named("ledger-syncer").spawn(move || syncer.serve(waiting))?;
                let told = thread.thread().id();
                (Next::There(groups, thread), Some(told))
            }
        };
        let committer = Committer { shared: Arc::clone(&shared), receiver, assembly, next, on_fatal };
        let thread = named("ledger-committer").spawn(move || committer.run())?;
        Ok(FjallEngine {
            shared,
            submit: Some(submit),
            desks: Desks::default(),
            thread: Some(thread),
            syncer: told,
        })
    }
}

impl Engine for FjallEngine {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(self.shared.view())
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            if !batch.within_limits() {
                return Err(CommitError::TooLarge);
            }
            let gone = || CommitError::Fatal("the committer has stopped".into());
            let (answer, answered) = oneshot::channel();
            let submit = self.submit.as_ref().ok_or_else(gone)?;
            submit.send(Submission { batch, answer, desk: self.desks.here() }).await.map_err(|_| gone())?;
            answered.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn published(&self) -> Revision {
        self.shared.view().number()
    }

    fn health(&self) -> Health {
        let disk_free_bytes = self.shared.gate.measure();
        Health {
            full: self.shared.gate.full(),
            store_bytes: self.shared.files.database.disk_space().unwrap_or(0),
            disk_free_bytes,
        }
    }
}

impl Drop for FjallEngine {
    fn drop(&mut self) {
        self.submit = None;
        // A follower that owned the engine would end it from one of the two threads, which cannot wait for itself.
        let here = std::thread::current().id();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != here
            && self.syncer != Some(here)
            && thread.join().is_err()
        {
            tracing::error!("the committer ended with a panic");
        }
    }
}
