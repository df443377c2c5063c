//! Making the copy equal to the ledger: one walk over both in key order, on a thread of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak, mpsc};
use std::time::Instant;

use super::copy::{Broken, Copy, fits};
use super::ledger_rows::LedgerRows;
use super::table::{Abandoned, Event, Table};
use crate::ledger::engine::{Engine, ReadError, Row};
use crate::ledger::key::Key;

/// Copies built in one life of the process. A disk on which sled fails more often is left alone.
const MOST_BUILDS: usize = 8;

/// Why a merge did not come to its end.
enum Failed {
    /// Somebody else dropped the copy, or the table is closed.
    Abandoned,
    Copy(Arc<Copy>, Broken),
    Ledger(ReadError),
}

impl From<Abandoned> for Failed {
    fn from(_: Abandoned) -> Failed {
        Failed::Abandoned
    }
}

/// Builds a copy, and another one whenever it failed, until told to stop.
pub fn keep_built(table: &Table, engine: &Weak<dyn Engine>, inbox: &mpsc::Receiver<Event>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => return table.turn_off(&error.to_string()),
    };
    for build in 0..MOST_BUILDS {
        let copy = match open(&table.folder, build > 0) {
            Ok(copy) => Arc::new(copy),
            Err(error) => return table.turn_off(&error),
        };
        match runtime.block_on(merge(table, engine, &copy)) {
            Ok(()) | Err(Failed::Abandoned) => {}
            Err(Failed::Copy(copy, error)) => table.give_up(&copy, &error),
            Err(Failed::Ledger(error)) => return table.turn_off(&error.to_string()),
        }
        drop(copy);
        match inbox.recv() {
            Ok(Event::Broken) => {}
            Ok(Event::Stop) | Err(_) => return,
        }
    }
    table.turn_off("sled failed too often");
}

/// Opens the newest copy, or begins another. Each is in a folder of its own, because a sled that is still closing
/// writes into its old one.
fn open(folder: &Path, anew: bool) -> Result<Copy, String> {
    let known = copies(folder);
    let newest = known.last().map_or(0, |(number, _)| *number);
    let mut opened = None;
    if let Some((_, path)) = known.last().filter(|_| !anew) {
        match Copy::open(path) {
            Ok(copy) => opened = Some((newest, copy)),
            Err(error) => {
                tracing::warn!(%error, "the copy of the bindings cannot be opened and is built anew")
            }
        }
    }
    let (number, copy) = match opened {
        Some(opened) => opened,
        None => {
            let number = newest.saturating_add(1);
            let path = folder.join(number.to_string());
            fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            (number, Copy::open(&path).map_err(|error| error.to_string())?)
        }
    };
    for (_, path) in known.into_iter().filter(|(known, _)| *known != number) {
        // What cannot be removed now only takes room until a later start.
        let _ = fs::remove_dir_all(path);
    }
    Ok(copy)
}

/// The copies in a folder, oldest first.
fn copies(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut copies: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u64>().ok()?, entry.path())))
        .collect();
    copies.sort();
    copies
}

#[expect(clippy::disallowed_methods, reason = "how long the disk took is no matter of the injected time")]
async fn merge(table: &Table, engine: &Weak<dyn Engine>, copy: &Arc<Copy>) -> Result<(), Failed> {
    let started = Instant::now();
    let broken = |error| Failed::Copy(Arc::clone(copy), error);
    table.begin_merge(copy)?;
    // After the committer began to follow: a batch is in this view, or the committer tells of it, or both.
    // The engine itself is let go of at once, so that the store can be closed whatever sled is doing.
    let snapshot = engine.upgrade().ok_or(Abandoned)?.snapshot();
    let mut ledger = LedgerRows::new(snapshot.as_ref());
    let mut after: Option<Key> = None;
    let mut changed = 0_u64;
    loop {
        let page = ledger.page().await.map_err(Failed::Ledger)?;
        let last = page.last().map(|(key, _)| key.clone());
        let bounds = (after.as_ref().map(Key::as_bytes), last.as_ref().map(Key::as_bytes));
        let differing = differences(copy, bounds, &page).map_err(broken)?;
        for (key, payload) in differing {
            table.merge_row(&key, payload)?.map_err(broken)?;
            changed += 1;
        }
        match last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    failpoint!("bindings::merged");
    table.end_merge()?;
    let took_ms = started.elapsed().as_millis() as u64;
    tracing::info!(bindings = copy.count(), changed, took_ms, "the binding table equals the ledger");
    Ok(())
}

/// A key, and the payload to store under it; without one, the row is to be dropped.
type Difference<'a> = (Vec<u8>, Option<&'a [u8]>);

/// What to do to the copy between two bounds so that it holds the page.
fn differences<'a>(
    copy: &Copy,
    (after, last): (Option<&[u8]>, Option<&[u8]>),
    page: &'a [(Key, Row)],
) -> Result<Vec<Difference<'a>>, Broken> {
    let mut differing = Vec::new();
    let mut stored = copy.run(after, last);
    let mut at_hand = stored.next()?;
    for (key, row) in page.iter().filter(|(_, row)| fits(&row.payload)) {
        while let Some((extra, _)) = at_hand.take_if(|(stored, _)| stored.as_ref() < key.as_bytes()) {
            differing.push((extra.to_vec(), None));
            at_hand = stored.next()?;
        }
        match at_hand.take_if(|(stored, _)| stored.as_ref() == key.as_bytes()) {
            Some((_, payload)) => {
                if payload.as_ref() != row.payload.as_ref() {
                    differing.push((key.as_bytes().to_vec(), Some(&row.payload[..])));
                }
                at_hand = stored.next()?;
            }
            None => differing.push((key.as_bytes().to_vec(), Some(&row.payload[..]))),
        }
    }
    while let Some((extra, _)) = at_hand {
        differing.push((extra.to_vec(), None));
        at_hand = stored.next()?;
    }
    Ok(differing)
}

/// Compares the served copy with every row of the ledger; gives what differs.
#[cfg(test)]
pub async fn verify(table: &Table, engine: &dyn Engine) -> Vec<Key> {
    use crate::ledger::key::{Range, Space};
    use std::collections::BTreeMap;
    let rows = engine.snapshot().scan(Range::all(), usize::MAX).await.unwrap_or_default();
    let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = rows
        .into_iter()
        .filter(|(key, row)| key.space() == Some(Space::Binding) && fits(&row.payload))
        .map(|(key, row)| (key.as_bytes().to_vec(), row.payload.to_vec()))
        .collect();
    let mut wrong = Vec::new();
    let name = |bytes: &[u8]| Key::from_bytes(bytes::Bytes::copy_from_slice(bytes));
    if let Some(copy) = table.served() {
        let mut stored = copy.run(None, None);
        while let Ok(Some((key, payload))) = stored.next() {
            if expected.remove(key.as_ref()).as_deref() != Some(payload.as_ref()) {
                wrong.push(name(&key));
            }
        }
    }
    wrong.extend(expected.keys().map(|key| name(key)));
    wrong
}
