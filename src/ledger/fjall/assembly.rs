//! A group of batches put together: each is checked against the store and the batches before it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ::fjall::{PersistMode, UserKey, UserValue};
use bytes::Bytes;
use foldhash::fast::RandomState;

use super::recent::Recent;
use super::stored::{self, Head, LARGEST};
use super::unwritten::Unwritten;
use super::{Files, View};
use crate::ledger::engine::{Batch, Check, CommitError, Committed, ReadError, Revision, Write};
use crate::ledger::key::{Key, Keyspace, Space};

/// A refusal that concerns one batch, or a failure that concerns the store.
pub enum Refused {
    Batch(CommitError),
    Store(ReadError),
}

/// What the next group will write. The last write of a key wins before fjall sees it, because fjall gives all items of
/// its batch one number and could not tell two writes of one key apart.
///
/// One for the life of its writer, so that its tables are grown once.
pub struct Assembly {
    /// What was written so far, synced or not.
    view: Arc<View>,
    recent: Recent,
    unwritten: Unwritten,
    touched: HashMap<Key, Touched, RandomState>,
    /// Chunks by their keys; few rows have any.
    chunks: HashMap<(Keyspace, Vec<u8>), Option<Vec<u8>>>,
    items: Vec<Item>,
    newest: Revision,
    next: Revision,
}

/// A row as the group will leave it.
struct Touched {
    head: Option<Head>,
    /// Its place among the items, once it was written.
    item: Option<usize>,
    /// Whether the next groups are likely to ask for it.
    keep: bool,
}

/// A key and what it will hold.
type Item = (Keyspace, UserKey, Option<UserValue>);

impl Assembly {
    /// Over what was written so far; `next` is the first number to give.
    pub fn new(view: View, next: Revision) -> Assembly {
        Assembly {
            newest: view.number(),
            next,
            view: Arc::new(view),
            recent: Recent::default(),
            unwritten: Unwritten::new(next),
            touched: HashMap::default(),
            chunks: HashMap::new(),
            items: Vec::new(),
        }
    }

    /// The newest number given, and the next one.
    pub fn numbers(&self) -> (Revision, Revision) {
        (self.newest, self.next)
    }

    /// Takes a batch in, or leaves everything as it was.
    pub fn add(&mut self, batch: &Batch) -> Result<Committed, Refused> {
        for check in &batch.checks {
            let (key, expected) = match check {
                Check::Absent(key, unused) => {
                    self.note_absent(key, *unused);
                    (key, None)
                }
                Check::At(key, revision) => (key, Some(*revision)),
            };
            let head = self.head(key).map_err(Refused::Store)?;
            if head.map(|head| head.changed) != expected {
                return Err(Refused::Batch(CommitError::Conflict(key.clone())));
            }
        }
        if batch.writes.is_empty() {
            return Ok(Committed { first: self.newest, last: self.newest });
        }
        let first = self.next.max(batch.least);
        self.next = first;
        for write in &batch.writes {
            let number = self.next;
            match write {
                Write::Insert(key, payload) => {
                    debug_assert!(self.is_new(key), "{key:?} is not new");
                    self.put_row(key, None, (number, number), payload);
                }
                Write::Put(key, payload) => {
                    let old = self.head(key).map_err(Refused::Store)?;
                    let created = old.map_or(number, |head| head.created);
                    self.put_row(key, old, (created, number), payload);
                }
                Write::Delete(key) => {
                    let old = self.head(key).map_err(Refused::Store)?;
                    self.delete(key, old);
                }
            }
            self.newest = number;
            self.next = number + 1;
        }
        Ok(Committed { first, last: self.newest })
    }

    /// Takes in a row with the numbers of its creation and its last change.
    pub fn put_row(&mut self, key: &Key, old: Option<Head>, numbers: (Revision, Revision), payload: &Bytes) {
        let keyspace = stored::keyspace(key);
        let encoded = stored::encode(numbers, payload);
        self.drop_chunks(key, keyspace, encoded.head.chunks(), old);
        self.place(key, keyspace, Some(encoded.head), Some(encoded.value));
        for (index, chunk) in (0..).zip(encoded.chunks) {
            self.chunks.insert((keyspace, stored::chunk_key(key.as_bytes(), index)), Some(chunk));
        }
    }

    fn delete(&mut self, key: &Key, old: Option<Head>) {
        if old.is_none() {
            return;
        }
        let keyspace = stored::keyspace(key);
        self.drop_chunks(key, keyspace, 0, old);
        self.place(key, keyspace, None, None);
    }

    /// Puts a row's new value among the items, in the place it has there already if the group wrote it before.
    fn place(&mut self, key: &Key, keyspace: Keyspace, head: Option<Head>, value: Option<UserValue>) {
        match self.touched.entry(key.clone()) {
            Entry::Occupied(mut found) => {
                let touched = found.get_mut();
                touched.head = head;
                if let Some(item) = touched.item {
                    self.items[item].2 = value;
                    return;
                }
                touched.item = Some(self.items.len());
            }
            Entry::Vacant(place) => {
                // A row that is new is not asked for again soon, unless it is work or a message that is about to leave;
                // but what is remembered has to stay true, the absence of this row too.
                let keep = keyspace == Keyspace::Queue
                    || key.space() == Some(Space::Message)
                    || self.recent.head(key).is_some();
                place.insert(Touched { head, item: Some(self.items.len()), keep });
            }
        }
        self.items.push((keyspace, UserKey::from(key.as_bytes()), value));
    }

    /// Removes the chunks of the old payload that the new one does not overwrite.
    fn drop_chunks(&mut self, key: &Key, keyspace: Keyspace, kept: u32, old: Option<Head>) {
        for index in kept..old.map_or(0, |head| head.chunks()) {
            self.chunks.insert((keyspace, stored::chunk_key(key.as_bytes(), index)), None);
        }
    }

    fn head(&mut self, key: &Key) -> Result<Option<Head>, ReadError> {
        match self.touched.entry(key.clone()) {
            Entry::Occupied(found) => Ok(found.get().head),
            Entry::Vacant(place) => {
                let head = match self.recent.head(key) {
                    Some(known) => known,
                    None => self.view.head(key)?,
                };
                place.insert(Touched { head, item: None, keep: true });
                Ok(head)
            }
        }
    }

    /// Spares fjall the look for a row that cannot be there.
    fn note_absent(&mut self, key: &Key, unused: Revision) {
        let known = self.touched.contains_key(key) || self.recent.head(key).is_some();
        if !known && self.unwritten.surely(key, unused) {
            debug_assert!(self.view.head(key).is_ok_and(|head| head.is_none()), "{key:?} is there");
            self.touched.insert(key.clone(), Touched { head: None, item: None, keep: false });
        }
    }

    /// As `head`, but leaves nothing behind: a debug build that asks must go on as one that does not.
    fn is_new(&self, key: &Key) -> bool {
        let known = self.touched.get(key).map(|touched| touched.head).or_else(|| self.recent.head(key));
        known.map_or_else(|| self.view.head(key).is_ok_and(|head| head.is_none()), |head| head.is_none())
    }

    /// Writes everything as one fjall batch, with the newest number beside it, and begins the next group. The kernel has
    /// it then, the disk perhaps not. Gives what is written by now.
    pub fn write(&mut self, files: &Files) -> Result<Arc<View>, String> {
        let mut batch = files.database.batch().durability(Some(PersistMode::Buffer));
        // In the order of the keys, because neighbours share the way to their place.
        self.items.sort_unstable_by(|a, b| (a.0 as u8, &a.1).cmp(&(b.0 as u8, &b.1)));
        let chunks = self.chunks.drain();
        let chunks =
            chunks.map(|((space, key), value)| (space, UserKey::from(key), value.map(UserValue::from)));
        for (keyspace, key, value) in self.items.drain(..).chain(chunks) {
            match value {
                Some(value) if value.len() > LARGEST => {
                    return Err(format!("a value of {} bytes was about to reach fjall", value.len()));
                }
                Some(value) => batch.insert(files.space(keyspace), key, value),
                None => batch.remove(files.space(keyspace), key),
            }
        }
        batch.insert(
            files.space(Keyspace::Rows),
            stored::fact_key(super::NEWEST),
            self.newest.to_be_bytes().to_vec(),
        );
        batch.commit().map_err(|error| error.to_string())?;
        let unwritten = &mut self.unwritten;
        let kept = self.touched.drain().filter(|(key, touched)| {
            if touched.item.is_some() {
                unwritten.written(key);
            }
            touched.keep
        });
        self.recent.remember(kept.map(|(key, touched)| (key, touched.head)));
        self.unwritten.turn(self.next);
        self.view = Arc::new(View::take(files, self.newest));
        Ok(Arc::clone(&self.view))
    }
}
