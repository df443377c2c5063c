//! Reading what can be read of a ledger that is refused.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::dump::{DumpError, Writer};
use super::engine::{ReadError, Row};
use super::fjall::{Files, View};
use super::key::{Key, Keyspace};
use super::store::{FORMAT, Identity, Incarnation, Layout, OpenError};

const CACHE: u64 = 32 * 1024 * 1024;
/// Failures in a row after which the rest is tried from the other end.
const GIVE_UP: u64 = 1_000;

/// Why nothing could be saved.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Dump(#[from] DumpError),
}

/// What was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salvaged {
    pub rows: u64,
    /// Rows, or whole blocks of rows, that could not be read.
    pub skipped: u64,
}

/// Dumps a store without asking whether it is whole or belongs to the mark beside it.
pub fn dump_damaged(path: &Path, out: &mut impl Write) -> Result<Salvaged, SalvageError> {
    let layout = Layout::new(path);
    let _lock = layout.lock()?;
    if !layout.has_ledger()? {
        return Err(OpenError::Damaged("there is none".into()).into());
    }
    let files = Files::open(&layout.ledger, CACHE).map_err(OpenError::from)?;
    let nobody = Identity { format: FORMAT, incarnation: Incarnation::NONE, newest: 0 };
    let identity = Identity::read(&files)?.unwrap_or(nobody);
    if identity.format > FORMAT {
        return Err(OpenError::NewerFormat { found: identity.format, known: FORMAT }.into());
    }
    let view = View::take(&files, identity.newest);
    let mut writer = Writer::begin(out, identity.format, identity.incarnation, identity.newest)
        .map_err(DumpError::from)?;
    let mut skipped = 0;
    for keyspace in [Keyspace::Rows, Keyspace::Queue, Keyspace::ProviderId] {
        skipped += salvage(&view, keyspace, &mut writer)?;
    }
    let rows = writer.end(Some(skipped)).map_err(DumpError::from)?;
    Ok(Salvaged { rows, skipped })
}

/// Reads from the front until there is no getting on, and then from the back up to there.
fn salvage(view: &View, keyspace: Keyspace, writer: &mut Writer<'_, impl Write>) -> Result<u64, DumpError> {
    let mut skipped = 0;
    let mut front = Bounded::new(view.entries(keyspace, false));
    let mut last = None;
    for entry in &mut front {
        if let Some((key, row)) = count(entry, &mut skipped) {
            writer.row(&key, &row)?;
            last = Some(key);
        }
    }
    if front.stuck() {
        for entry in Bounded::new(view.entries(keyspace, true)) {
            let Some((key, row)) = count(entry, &mut skipped) else { continue };
            if last.as_ref().is_some_and(|last| key <= *last) {
                break;
            }
            writer.row(&key, &row)?;
        }
    }
    Ok(skipped)
}

fn count(entry: Result<(Key, Row), ReadError>, skipped: &mut u64) -> Option<(Key, Row)> {
    match entry {
        Ok((key, row)) if key.parts().is_some() => Some((key, row)),
        Ok((key, _)) => {
            tracing::warn!(?key, "skipped a row whose key cannot be understood");
            *skipped += 1;
            None
        }
        Err(error) => {
            tracing::warn!(%error, "skipped what cannot be read");
            *skipped += 1;
            None
        }
    }
}

/// An iterator that ends after too many failures in a row, or when the engine panics over a damaged block.
struct Bounded<I> {
    entries: I,
    failures: u64,
}

impl<I> Bounded<I> {
    fn new(entries: I) -> Bounded<I> {
        Bounded { entries, failures: 0 }
    }

    fn stuck(&self) -> bool {
        self.failures >= GIVE_UP
    }
}

impl<I: Iterator<Item = Result<(Key, Row), ReadError>>> Iterator for Bounded<I> {
    type Item = Result<(Key, Row), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stuck() {
            return None;
        }
        let Ok(next) = catch_unwind(AssertUnwindSafe(|| self.entries.next())) else {
            self.failures = GIVE_UP;
            return Some(Err(ReadError::Engine("it panicked".into())));
        };
        match &next {
            Some(Err(ReadError::Engine(_))) => self.failures += 1,
            _ => self.failures = 0,
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_failures_and_panics_end() {
        let broken = std::iter::repeat_with(|| Err(ReadError::Engine("no".into())));
        let mut bounded = Bounded::new(broken);
        assert_eq!(bounded.by_ref().count() as u64, GIVE_UP);
        assert!(bounded.stuck());
        let panicking = std::iter::repeat_with(|| std::panic::resume_unwind(Box::new(())));
        assert_eq!(Bounded::new(panicking).count(), 1);
    }
}
