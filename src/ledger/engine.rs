//! The storage boundary: an ordered map with one write call.
//!
//! A batch is plain data: checks on revisions, then writes, all or nothing. This is what an embedded tree,
//! a PostgreSQL table and a distributed key-value store have in common, so nothing here may grow a closure,
//! a cursor that is held open, or a clock.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::key::{Key, Range};

pub use crate::model::Revision;

/// One stored row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of the write that created it.
    pub created: Revision,
    /// The number of the write that last changed it.
    pub changed: Revision,
    pub payload: Bytes,
}

/// A view of the ledger at one published number.
pub trait Snapshot: Send + Sync {
    /// Everything up to this number is in the view, nothing after it.
    fn number(&self) -> Revision;
    /// One row.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Row>, ReadError>>;
    /// Rows of a run, at most `limit`.
    fn scan(&self, range: Range, limit: usize) -> BoxFuture<'_, Result<Vec<(Key, Row)>, ReadError>>;
}

/// A place that stores rows.
pub trait Engine: Send + Sync + 'static {
    /// A view of what is published now.
    fn snapshot(&self) -> Box<dyn Snapshot>;
    /// Applies a batch. Once this resolves to `Ok`, the batch is durable and visible.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the batch back.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>>;
    /// The newest published number.
    fn published(&self) -> Revision;
    /// What an operator wants to know of the store.
    fn health(&self) -> Health;
}

/// JavaScript can carry whole numbers below this one.
pub const PAST_LARGEST_NUMBER: Revision = 1 << 53;

/// What an acknowledgement survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every group of commits is synced before anybody is answered.
    Power,
    /// The death of the process only.
    Process,
}

/// Most writes in one batch.
pub const MAX_WRITES: usize = 256;
/// Most bytes of keys and values in one batch.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most bytes of one key.
pub const MAX_KEY: usize = 1024;

/// What is to be written, and what must still be true for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
    /// Brings something new in from outside: refused with [`CommitError::Full`] when the disk is nearly full,
    /// while outcomes, receipts and deletions go on.
    pub intake: bool,
    /// Its writes are given this number or a higher one: what was numbered by others, and is part of a key in here,
    /// lies below every number that is published from now on.
    pub least: Revision,
}

/// What must hold when the batch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// There is no such row. Its key was not used before this number, which may save an engine the look: 0 where nobody
    /// knows.
    Absent(Key, Revision),
    /// The row was last changed by this write.
    At(Key, Revision),
}

impl Check {
    pub fn key(&self) -> &Key {
        match self {
            Check::Absent(key, _) | Check::At(key, _) => key,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// A row whose key was never used before, as one with a number or a name that was just given; nobody looks.
    Insert(Key, Bytes),
    Put(Key, Bytes),
    Delete(Key),
}

impl Write {
    pub fn key(&self) -> &Key {
        match self {
            Write::Insert(key, _) | Write::Put(key, _) | Write::Delete(key) => key,
        }
    }
}

impl Batch {
    pub fn absent(&mut self, key: Key) -> &mut Batch {
        self.absent_since(key, 0)
    }

    /// As [`Batch::absent`], of a key that nobody can have used before this number: the caller answers for that.
    pub fn absent_since(&mut self, key: Key, unused: Revision) -> &mut Batch {
        self.checks.push(Check::Absent(key, unused));
        self
    }

    pub fn at(&mut self, key: Key, revision: Revision) -> &mut Batch {
        self.checks.push(Check::At(key, revision));
        self
    }

    /// Writes a row whose key was never used before: the caller answers for that, and no look-up is spent on it.
    pub fn insert(&mut self, key: Key, payload: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::Insert(key, payload.into()));
        self
    }

    pub fn put(&mut self, key: Key, payload: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::Put(key, payload.into()));
        self
    }

    pub fn delete(&mut self, key: Key) -> &mut Batch {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Bytes of all keys and values.
    pub fn size(&self) -> usize {
        self.writes
            .iter()
            .map(|write| match write {
                Write::Insert(key, payload) | Write::Put(key, payload) => {
                    key.as_bytes().len() + payload.len()
                }
                Write::Delete(key) => key.as_bytes().len(),
            })
            .sum()
    }

    /// Whether every engine can take it. A key that [`Key::new`] did not make is as impossible as one too long.
    pub fn within_limits(&self) -> bool {
        let fits = |key: &Key| key.as_bytes().len() <= MAX_KEY && key.space().is_some();
        self.checks.iter().all(|check| fits(check.key()))
            && self.writes.len() <= MAX_WRITES
            && self.size() <= MAX_BYTES
            && self.writes.iter().all(|write| fits(write.key()))
    }
}

/// The numbers a batch was given: write `i` of the batch got `first + i`. A batch that only checks was given none,
/// and both are the newest number before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub first: Revision,
    pub last: Revision,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody was faster: read again, decide again.
    #[error("a row this decision relied on has changed")]
    Conflict(Key),
    #[error("the batch is larger than one commit may be")]
    TooLarge,
    #[error("the disk is nearly full, nothing new is taken in")]
    Full,
    /// The store cannot be written any more; the process must end.
    #[error("the ledger cannot be written: {0}")]
    Fatal(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the ledger cannot be read: {0}")]
    Engine(String),
    #[error("a row cannot be understood: {0}")]
    Damaged(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// New things are refused because the disk is nearly full.
    pub full: bool,
    pub store_bytes: u64,
    pub disk_free_bytes: u64,
}

/// Follows every committed write, in commit order, on the committer's own thread. The binding table is one.
pub trait Follower: Send + Sync {
    /// Called once per batch, after it was synced and published and before anybody is answered: a snapshot taken
    /// in here, or after joining the follower, misses nothing. Must be quick and must not panic.
    fn committed(&self, writes: &[Write]);

    /// Called when everything up to the published number was told.
    fn told(&self) {}
}
