//! sled, and the fence around it: whatever it does comes back as an error.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Memory for pages. sled counts bytes on disk, what it really takes is a few times as much.
const CACHE: u64 = 64 * 1024 * 1024;
/// Largest payload kept here; above one page sled's leaves become blobs that it never syncs.
const LARGEST: usize = 4_000;

/// sled failed or panicked. What it holds cannot be believed any more.
#[derive(Debug, thiserror::Error)]
#[error("sled: {0}")]
pub struct Broken(String);

/// One sled database with one tree.
pub struct Copy {
    /// Taken out only in `drop`.
    db: Option<sled::Db>,
    count: AtomicU64,
    #[cfg(test)]
    pub break_next: std::sync::atomic::AtomicBool,
}

/// Whether a payload is kept in the copy. Others are left to the ledger.
pub fn fits(payload: &[u8]) -> bool {
    payload.len() <= LARGEST
}

fn fenced<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Broken> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Broken(error.to_string())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(Broken(format!("panicked: {said}")))
        }
    }
}

impl Copy {
    /// Opens or creates it, and counts what is in it.
    pub fn open(folder: &Path) -> Result<Copy, Broken> {
        fenced(|| {
            // The flusher is also what collects garbage: without an interval the file would only grow.
            let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(Some(500));
            let db = config.open()?;
            let mut count = 0;
            for key in db.iter().keys() {
                key?;
                count += 1;
            }
            Ok(Copy {
                db: Some(db),
                count: AtomicU64::new(count),
                #[cfg(test)]
                break_next: Default::default(),
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, Broken> {
        fenced(|| {
            #[cfg(test)]
            assert!(!self.break_next.swap(false, Ordering::SeqCst), "broken on purpose");
            match &self.db {
                Some(db) => work(db),
                None => Err(sled::Error::Unsupported("closed".into())),
            }
        })
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Broken> {
        let found = self.with(|db| db.get(key))?;
        Ok(found.map(|payload| Bytes::copy_from_slice(&payload)))
    }

    /// Stores or removes one row. Only ever called by one thread at a time.
    pub fn set(&self, key: &[u8], payload: Option<&[u8]>) -> Result<(), Broken> {
        let (old, new) = match payload.filter(|payload| fits(payload)) {
            Some(payload) => (self.with(|db| db.insert(key, payload))?, 1),
            None => (self.with(|db| db.remove(key))?, 0),
        };
        let count = (self.count() + new).saturating_sub(u64::from(old.is_some()));
        self.count.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// Walks the rows behind `after` up to `last` (itself included; without: to the end).
    pub fn run(&self, after: Option<&[u8]>, last: Option<&[u8]>) -> Run<'_> {
        let lower = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_vec()));
        let upper = last.map_or(Bound::Unbounded, |key| Bound::Included(key.to_vec()));
        Run { copy: self, range: (lower, upper), rows: None }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let db = self.db.take();
        if let Err(error) = fenced(|| {
            drop(db);
            Ok(())
        }) {
            tracing::warn!(%error, "while closing the copy of the bindings");
        }
    }
}

/// A fenced walk over the copy.
pub struct Run<'a> {
    copy: &'a Copy,
    range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    rows: Option<sled::Iter>,
}

impl Run<'_> {
    pub fn next(&mut self) -> Result<Option<(sled::IVec, sled::IVec)>, Broken> {
        let Run { copy, range, rows } = self;
        copy.with(|db| rows.get_or_insert_with(|| db.range(range.clone())).next().transpose())
    }
}
