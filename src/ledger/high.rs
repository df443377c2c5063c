//! `ledger.high`: the last acknowledged number, kept beside the ledger.
//!
//! fjall's recovery ends silently at a damaged page. This small file is how an opening notices that acknowledged
//! writes are gone. Two slots are written in turn, each with a checksum, so a torn write costs one number at most;
//! it is not synced on its own, since the ledger may be ahead of it, never behind.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::incarnation::Incarnation;

/// Far enough apart that one torn page cannot hurt both slots.
const SLOT: usize = 4_096;
const FILE: usize = 2 * SLOT;
const MAGIC: &[u8; 8] = b"tkl-high";
const BODY: usize = 8 + 4 + 16 + 8 + 8;
const SUM: usize = 8;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub format: u32,
    pub incarnation: Incarnation,
    pub number: u64,
}

/// The opened file.
pub struct HighMark {
    file: File,
    mark: Mark,
    sequence: u64,
}

impl HighMark {
    /// Creates the file with both slots written, and syncs it and its folder.
    pub fn create(path: &Path, mark: Mark) -> io::Result<HighMark> {
        let fresh = path.with_extension("high.new");
        let file =
            OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&fresh)?;
        let mut bytes = [0; FILE];
        for (sequence, slot) in (0..).zip(bytes.chunks_exact_mut(SLOT)) {
            slot[..BODY + SUM].copy_from_slice(&encode(&mark, sequence));
        }
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(HighMark { file, mark, sequence: 1 })
    }

    /// Opens the file; `Ok(None)` when neither slot can be believed.
    pub fn open(path: &Path) -> io::Result<Option<HighMark>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let newest = [0, 1]
            .into_iter()
            .filter_map(|slot| {
                let mut bytes = [0; BODY + SUM];
                file.read_exact_at(&mut bytes, slot * SLOT as u64).ok()?;
                decode(&bytes)
            })
            .max_by_key(|(_, sequence)| *sequence);
        Ok(newest.map(|(mark, sequence)| HighMark { file, mark, sequence }))
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes a number into the older slot.
    pub fn record(&mut self, number: u64) -> io::Result<()> {
        self.mark.number = number;
        self.sequence += 1;
        self.file.write_all_at(&encode(&self.mark, self.sequence), (self.sequence % 2) * SLOT as u64)
    }
}

fn encode(mark: &Mark, sequence: u64) -> [u8; BODY + SUM] {
    let mut bytes = [0; BODY + SUM];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&mark.format.to_be_bytes());
    bytes[12..28].copy_from_slice(&mark.incarnation.0);
    bytes[28..36].copy_from_slice(&mark.number.to_be_bytes());
    bytes[36..44].copy_from_slice(&sequence.to_be_bytes());
    let sum = sum(&bytes[..BODY]);
    bytes[BODY..].copy_from_slice(&sum);
    bytes
}

fn decode(bytes: &[u8; BODY + SUM]) -> Option<(Mark, u64)> {
    if &bytes[..8] != MAGIC || bytes[BODY..] != sum(&bytes[..BODY]) {
        return None;
    }
    let mark = Mark {
        format: u32::from_be_bytes(bytes[8..12].try_into().ok()?),
        incarnation: Incarnation(bytes[12..28].try_into().ok()?),
        number: u64::from_be_bytes(bytes[28..36].try_into().ok()?),
    };
    Some((mark, u64::from_be_bytes(bytes[36..44].try_into().ok()?)))
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_torn_slot_falls_back_to_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.high");
        let mark = Mark { format: 1, incarnation: Incarnation([7; 16]), number: 0 };
        let mut high = HighMark::create(&path, mark).unwrap();
        for number in [10, 20, 30] {
            high.record(number).unwrap();
            assert_eq!(HighMark::open(&path).unwrap().unwrap().mark().number, number);
        }
        let newest = (high.sequence % 2) * SLOT as u64;
        high.file.write_all_at(&[0xAA; 3], newest + 30).unwrap();
        let mut again = HighMark::open(&path).unwrap().unwrap();
        assert_eq!(again.mark().number, 20);
        again.record(31).unwrap();
        assert_eq!(HighMark::open(&path).unwrap().unwrap().mark().number, 31);
        high.file.write_all_at(&[0; FILE], 0).unwrap();
        assert!(HighMark::open(&path).unwrap().is_none());
        high.file.set_len(3).unwrap();
        assert!(HighMark::open(&path).unwrap().is_none());
    }
}
