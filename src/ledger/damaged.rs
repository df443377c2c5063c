//! Reading what can be read of a ledger that is refused.

use std::collections::VecDeque;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::dump::{DumpError, Writer};
use super::engine::ReadError;
use super::fjall::{View, journal};
use super::incarnation::Incarnation;
use super::key::Keyspace;
use super::store::{FORMAT, Identity, Layout, OpenError, refuse_other};

const CACHE: u64 = 32 * 1024 * 1024;
/// Failures in a row after which a walk is given up.
const GIVE_UP: u64 = 1_000;
/// Attempts to find readable rows between two damaged places of a keyspace.
const PROBES: usize = 512;

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
    /// Rows, and stretches of unknown length, that could not be read.
    pub skipped: u64,
}

impl std::fmt::Display for Salvaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "saved {} rows; {} could not be read", self.rows, self.skipped)
    }
}

/// Dumps a store without asking whether it is whole or belongs to the mark beside it.
pub fn dump_damaged(path: &Path, out: &mut impl Write) -> Result<Salvaged, SalvageError> {
    let layout = Layout::new(path);
    // Before the lock, which would create the directory of a mistyped path.
    if !layout.has_ledger()? {
        return Err(OpenError::Damaged(format!("{} is not there", layout.ledger.display())).into());
    }
    let _lock = layout.lock()?;
    let holes = journal::heal(&layout.ledger)
        .map_err(|source| OpenError::Io { path: layout.ledger.clone(), source })?;
    let files = layout.open(CACHE)?;
    let nobody = Identity { format: FORMAT, incarnation: Incarnation::NONE, newest: 0 };
    let identity = Identity::read(&files)?.unwrap_or(nobody);
    refuse_other(identity.format)?;
    let view = View::take(&files, identity.newest);
    let mut writer = Writer::begin(out, identity.format, identity.incarnation, identity.newest)
        .map_err(DumpError::from)?;
    let mut skipped = holes;
    for keyspace in [Keyspace::Rows, Keyspace::Queue, Keyspace::ProviderId] {
        skipped += salvage(&view, keyspace, &mut writer)?;
    }
    let rows = writer.end(Some(skipped)).map_err(DumpError::from)?;
    Ok(Salvaged { rows, skipped })
}

/// From the first key (included) to the last (left out).
type Stretch = (Vec<u8>, Vec<u8>);

/// Reads a keyspace from the front, then from the back, then from the middle of what is left between: fjall's
/// walk ends at the first damaged block, whichever way it goes.
fn salvage(view: &View, keyspace: Keyspace, writer: &mut Writer<'_, impl Write>) -> Result<u64, DumpError> {
    let mut walker = Walker { view, keyspace, writer, skipped: 0, unreadable: Vec::new() };
    let mut gaps = VecDeque::new();
    for (from, to) in View::row_keys() {
        if let Some(stop) = walker.walk(&from, &to, false)?
            && let Some(back) = walker.walk(&stop, &to, true)?
        {
            gaps.push_back((stop, back));
        }
    }
    let mut probes = 0;
    while let Some((from, to)) = gaps.pop_front() {
        let Some(middle) = between(&from, &to).filter(|_| probes < PROBES) else {
            walker.unreadable.push((from, to));
            continue;
        };
        probes += 1;
        if let Some(back) = walker.walk(&from, &middle, true)? {
            gaps.push_back((from, back));
        }
        if let Some(stop) = walker.walk(&middle, &to, false)? {
            gaps.push_back((stop, to));
        }
    }
    let Walker { skipped, mut unreadable, .. } = walker;
    unreadable.sort();
    let touching = unreadable.windows(2).filter(|pair| pair[0].1 == pair[1].0).count();
    Ok(skipped + (unreadable.len() - touching) as u64)
}

/// Walks over stretches and writes the rows it finds.
struct Walker<'a, 'b, W> {
    view: &'a View,
    keyspace: Keyspace,
    writer: &'a mut Writer<'b, W>,
    skipped: u64,
    unreadable: Vec<Stretch>,
}

impl<W: Write> Walker<'_, '_, W> {
    /// Nothing if the whole stretch was read, or where the walk ended.
    fn walk(&mut self, from: &[u8], to: &[u8], reverse: bool) -> Result<Option<Vec<u8>>, DumpError> {
        let mut reached = if reverse { to.to_vec() } else { from.to_vec() };
        let mut entries = self.view.entries(self.keyspace, from, to, reverse);
        let mut failures = 0;
        loop {
            // The engine may panic over a damaged block; that is one more way of not getting on.
            let next = catch_unwind(AssertUnwindSafe(|| entries.next()));
            let error = match next {
                Ok(None) => return Ok((failures > 0).then_some(reached)),
                Ok(Some(Ok((key, row)))) if key.parts().is_some() => {
                    self.writer.row(&key, &row)?;
                    let (at, behind) = (key.as_bytes().to_vec(), [key.as_bytes(), &[0]].concat());
                    let (near, far) = if reverse { (behind, at) } else { (at, behind) };
                    // Where the walk got over a damaged place by itself, the place is still a hole.
                    if std::mem::take(&mut failures) > 0 {
                        self.unreadable.push(if reverse { (near, reached) } else { (reached, near) });
                    }
                    reached = far;
                    continue;
                }
                Ok(Some(Ok((key, _)))) => ReadError::Damaged(format!("{key:?}")),
                Ok(Some(Err(error))) => error,
                Err(_) => {
                    tracing::warn!("the engine panicked over what it read");
                    return Ok(Some(reached));
                }
            };
            tracing::warn!(%error, "skipped what cannot be read");
            match error {
                // This row only: the walk itself goes on.
                ReadError::Damaged(_) => self.skipped += 1,
                ReadError::Engine(_) => failures += 1,
            }
            if failures >= GIVE_UP {
                return Ok(Some(reached));
            }
        }
    }
}

/// A key about in the middle between two, if there is one.
fn between(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let length = from.len().max(to.len()) + 1;
    let at = |bytes: &[u8], index: usize| u16::from(bytes.get(index).copied().unwrap_or(0));
    let mut sum = vec![0; length];
    let mut carry = 0;
    for index in (0..length).rev() {
        let digit = at(from, index) + at(to, index) + carry;
        sum[index] = digit & 0xFF;
        carry = digit >> 8;
    }
    let mut middle = Vec::with_capacity(length);
    for digit in sum {
        let digit = digit | carry << 8;
        middle.push((digit >> 1) as u8);
        carry = digit & 1;
    }
    (middle.as_slice() > from && middle.as_slice() < to).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_lies_between() {
        assert_eq!(between(b"a", b"c"), Some(vec![b'b', 0]));
        assert_eq!(between(b"a", b"b"), Some(vec![b'a', 0x80]));
        assert_eq!(between(b"", &[0xFF, 0xFF]), Some(vec![0x7F, 0xFF, 0x80]));
        assert_eq!(between(&[0xFE, 0xFF], &[0xFF, 0xFF]), Some(vec![0xFF, 0x7F, 0]));
        assert_eq!(between(b"a", b"a"), None);
        assert_eq!(between(b"a", b"a\0"), None);
    }
}
