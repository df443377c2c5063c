//! fjall's journals, read by us before fjall reads them.
//!
//! Recovery ends at the first page it cannot read and cuts off what lies behind, sealed journals included, where the
//! newest number then says nothing about the hole; over a damaged value it does not open at all. So we look first: a
//! journal that lost synced writes is left as it is and the store refused, and the torn end that a power cut leaves
//! behind the last synced group is cut off for fjall.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::{NEWEST, stored};
use crate::ledger::engine::Revision;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// What a whole end is recognised by.
const MAGIC: &[u8] = b"FJL\x03";

/// Fields in their order.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self, length: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.take(length)?);
        Some(u64::from_le_bytes(bytes))
    }
}

/// One batch that is there to its last byte.
struct Batch {
    end: usize,
    /// The ledger's newest number, as the batch wrote it.
    newest: Option<Revision>,
}

/// The batch that begins at a place.
fn batch(bytes: &[u8], at: usize) -> Option<Batch> {
    let mut reader = Reader { bytes, at };
    if reader.byte()? != START {
        return None;
    }
    let items = reader.number(4)?;
    reader.take(8)?;
    let mut sum = Xxh3::new();
    let mut newest = None;
    for _ in 0..items {
        let from = reader.at;
        match reader.byte()? {
            ITEM => {
                // What kind of value it is, how it is compressed, and its keyspace.
                reader.take(10)?;
                let key = reader.number(2)?;
                reader.take(4)?;
                let stored = reader.number(4)?;
                let key = reader.take(usize::try_from(key).ok()?)?;
                let value = reader.take(usize::try_from(stored).ok()?)?;
                if key == stored::fact_key(NEWEST) {
                    newest = value.try_into().ok().map(u64::from_be_bytes);
                }
            }
            CLEAR => {
                reader.take(8)?;
            }
            _ => return None,
        }
        sum.update(&bytes[from..reader.at]);
    }
    if reader.byte()? != END || reader.number(8)? != sum.digest() || reader.take(MAGIC.len())? != MAGIC {
        return None;
    }
    Some(Batch { end: reader.at, newest })
}

/// A run of whole batches.
struct Run {
    end: usize,
    newest: Option<Revision>,
}

fn run(bytes: &[u8], mut at: usize) -> Run {
    let mut newest = None;
    while let Some(next) = batch(bytes, at) {
        at = next.end;
        newest = next.newest.or(newest);
    }
    Run { end: at, newest }
}

/// Whether a journal ends here: what fjall has laid out in advance is zeros.
fn ends(bytes: &[u8], at: usize) -> bool {
    bytes[at..].iter().all(|byte| *byte == 0)
}

/// The number of the journal that is written to.
pub fn active(ledger: &Path) -> io::Result<u64> {
    numbered(ledger)?.pop().map(|(number, _)| number).ok_or_else(|| io::Error::other("there is no journal"))
}

/// Where a journal lies.
pub fn path(ledger: &Path, number: u64) -> PathBuf {
    ledger.join(format!("{number}.jnl"))
}

/// The journals of a ledger, the active one last.
fn journals(ledger: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbered(ledger)?.into_iter().map(|(_, path)| path).collect())
}

fn numbered(ledger: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(ledger)? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// Nothing, or the number at which a ledger ends that should have come to `acknowledged`. Only then nothing is changed.
pub fn survey(ledger: &Path, acknowledged: Revision) -> io::Result<Option<Revision>> {
    let mut newest = None;
    let mut torn = None;
    let journals = journals(ledger)?;
    for (place, path) in journals.iter().enumerate() {
        let bytes = fs::read(path)?;
        let whole = run(&bytes, 0);
        newest = whole.newest.or(newest);
        if !ends(&bytes, whole.end) {
            // All but the last were synced to their end before the next was begun.
            if place + 1 < journals.len() {
                return Ok(Some(newest.unwrap_or(0)));
            }
            torn = Some((path, whole.end));
        }
    }
    if let Some((path, end)) = torn {
        // Behind a clean end nothing can be destroyed: there the facts in the ledger itself have the word.
        if let Some(newest) = newest.filter(|newest| *newest < acknowledged) {
            return Ok(Some(newest));
        }
        let file = File::options().write(true).open(path)?;
        file.set_len(end as u64)?;
        file.sync_all()?;
    }
    Ok(None)
}

/// Makes journals whole that are not, for what can be saved of them: of a damaged one, the batches before the first
/// damage and behind the last are kept, and the journal as it was beside it. Gives the number of holes.
pub fn heal(ledger: &Path) -> io::Result<u64> {
    let mut holes = 0;
    for path in journals(ledger)? {
        let bytes = fs::read(&path)?;
        let front = run(&bytes, 0).end;
        if ends(&bytes, front) {
            continue;
        }
        holes += 1;
        let (back, end) = tail(&bytes, front).unwrap_or((front, front));
        let healed = path.with_extension("healed");
        let mut file = File::create(&healed)?;
        file.write_all(&bytes[..front])?;
        file.write_all(&bytes[back..end])?;
        file.sync_all()?;
        fs::rename(&path, path.with_extension("damaged"))?;
        fs::rename(&healed, &path)?;
    }
    File::open(ledger)?.sync_all()?;
    Ok(holes)
}

/// The batches behind the last damage, which must reach to the journal's end: a text that somebody sent may look like
/// a batch, but not be followed by nothing else.
fn tail(bytes: &[u8], front: usize) -> Option<(usize, usize)> {
    let mut at = front;
    loop {
        at += 1 + bytes.get(at + 1..)?.iter().position(|byte| *byte == START)?;
        let end = run(bytes, at).end;
        if end > at && ends(bytes, end) {
            return Some((at, end));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A batch of one item, as fjall writes it.
    fn written(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut item = vec![ITEM, 0, 0];
        item.extend(1_u64.to_le_bytes());
        item.extend((key.len() as u16).to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.extend((value.len() as u32).to_le_bytes());
        item.extend([key, value].concat());
        let mut sum = Xxh3::new();
        sum.update(&item);
        let start = [&[START][..], &1_u32.to_le_bytes(), &7_u64.to_le_bytes()].concat();
        [start, item, vec![END], sum.digest().to_le_bytes().to_vec(), MAGIC.to_vec()].concat()
    }

    fn numbered(number: u64) -> Vec<u8> {
        written(&stored::fact_key(NEWEST), &number.to_be_bytes())
    }

    #[test]
    fn what_fjall_writes_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let files = super::super::Files::open(folder.path(), 1 << 20).unwrap();
        files.set_facts(&[("other", b"x"), (NEWEST, &41_u64.to_be_bytes())]).unwrap();
        files.set_facts(&[(NEWEST, &42_u64.to_be_bytes())]).unwrap();
        let bytes = fs::read(&journals(folder.path()).unwrap()[0]).unwrap();
        let whole = run(&bytes, 0);
        assert_eq!(whole.newest, Some(42));
        assert!(whole.end > 100 && ends(&bytes, whole.end));
        drop(files);
        assert_eq!(survey(folder.path(), 42).unwrap(), None);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_lost_writes_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("3.jnl");
        let (first, second, third) = (numbered(10), numbered(20), numbered(30));
        let torn = [&first[..], &second, &third[..third.len() - 9], &[0; 40]].concat();
        fs::write(&path, &torn).unwrap();
        assert_eq!(survey(folder.path(), 30).unwrap(), Some(20));
        assert_eq!(fs::read(&path).unwrap(), torn, "refused, so untouched");
        assert_eq!(survey(folder.path(), 20).unwrap(), None);
        assert_eq!(fs::read(&path).unwrap(), [&first[..], &second].concat());
        // The same in a journal that is not the last one is damage, whatever the last one says.
        fs::write(&path, &torn).unwrap();
        fs::write(folder.path().join("12.jnl"), numbered(40)).unwrap();
        assert_eq!(survey(folder.path(), 40).unwrap(), Some(20));
    }

    #[test]
    fn what_lies_behind_a_damage_is_saved_unless_it_may_be_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.jnl");
        let (first, third) = (numbered(10), numbered(30));
        let mut second = written(b"key", b"a text of some length");
        second[40] ^= 1;
        let damaged = [&first[..], &second, &third, &[0; 100]].concat();
        fs::write(&path, &damaged).unwrap();
        assert_eq!(heal(folder.path()).unwrap(), 1);
        assert_eq!(fs::read(&path).unwrap(), [&first[..], &third].concat());
        assert_eq!(fs::read(folder.path().join("0.damaged")).unwrap(), damaged);
        assert_eq!(heal(folder.path()).unwrap(), 0);

        let mut pretended = written(b"key", &third);
        pretended[40] ^= 1;
        fs::write(&path, [&first[..], &pretended].concat()).unwrap();
        assert_eq!(heal(folder.path()).unwrap(), 1);
        assert_eq!(fs::read(&path).unwrap(), first);
    }
}
