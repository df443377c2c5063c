//! A group of batches put together: each is checked against the store and the batches before it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ::fjall::PersistMode;

use super::stored::{self, Head, LARGEST};
use super::{Files, View};
use crate::ledger::engine::{Batch, Check, CommitError, Committed, ReadError, Revision, Row, Write};
use crate::ledger::key::{Key, Keyspace};

/// A refusal that concerns one batch, or a failure that concerns the store.
pub enum Refused {
    Batch(CommitError),
    Store(ReadError),
}

/// What one group will write. The last write of a key wins before fjall sees it, because fjall gives all items of
/// its batch one number and could not tell two writes of one key apart.
pub struct Assembly<'a> {
    view: &'a View,
    heads: HashMap<Key, Option<Head>>,
    items: HashMap<(Keyspace, Vec<u8>), Option<Vec<u8>>>,
    newest: Revision,
    next: Revision,
}

impl<'a> Assembly<'a> {
    pub fn new(view: &'a View, newest: Revision, next: Revision) -> Assembly<'a> {
        Assembly { view, heads: HashMap::new(), items: HashMap::new(), newest, next }
    }

    /// The newest number given, and the next one.
    pub fn numbers(&self) -> (Revision, Revision) {
        (self.newest, self.next)
    }

    /// Takes a batch in, or leaves everything as it was.
    pub fn add(&mut self, batch: &Batch) -> Result<Committed, Refused> {
        for check in &batch.checks {
            let (key, expected) = match check {
                Check::Absent(key) => (key, None),
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
            let old = self.head(write.key()).map_err(Refused::Store)?;
            match write {
                Write::Put(key, payload) => {
                    let created = old.map_or(number, |head| head.created);
                    self.put_row(key, old, &Row { created, changed: number, payload: payload.clone() });
                }
                Write::Delete(key) => self.delete(key, old),
            }
            self.newest = number;
            self.next = number + 1;
        }
        Ok(Committed { first, last: self.newest })
    }

    /// Takes in a row with the numbers it already has.
    pub fn put_row(&mut self, key: &Key, old: Option<Head>, row: &Row) {
        let keyspace = stored::keyspace(key);
        let encoded = stored::encode(row.created, row.changed, &row.payload);
        self.drop_chunks(key, keyspace, encoded.head.chunks(), old);
        self.items.insert((keyspace, key.as_bytes().to_vec()), Some(encoded.value));
        for (index, chunk) in (0..).zip(encoded.chunks) {
            self.items.insert((keyspace, stored::chunk_key(key.as_bytes(), index)), Some(chunk));
        }
        self.heads.insert(key.clone(), Some(encoded.head));
    }

    fn delete(&mut self, key: &Key, old: Option<Head>) {
        if old.is_none() {
            return;
        }
        let keyspace = stored::keyspace(key);
        self.drop_chunks(key, keyspace, 0, old);
        self.items.insert((keyspace, key.as_bytes().to_vec()), None);
        self.heads.insert(key.clone(), None);
    }

    /// Removes the chunks of the old payload that the new one does not overwrite.
    fn drop_chunks(&mut self, key: &Key, keyspace: Keyspace, kept: u32, old: Option<Head>) {
        for index in kept..old.map_or(0, |head| head.chunks()) {
            self.items.insert((keyspace, stored::chunk_key(key.as_bytes(), index)), None);
        }
    }

    fn head(&mut self, key: &Key) -> Result<Option<Head>, ReadError> {
        match self.heads.entry(key.clone()) {
            Entry::Occupied(found) => Ok(*found.get()),
            Entry::Vacant(place) => Ok(*place.insert(self.view.head(key)?)),
        }
    }

    /// Writes everything as one fjall batch, with the newest number beside it.
    pub fn write(self, files: &Files, mode: PersistMode) -> Result<(), String> {
        let mut batch = files.database.batch().durability(Some(mode));
        for ((keyspace, key), value) in self.items {
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
        batch.commit().map_err(|error| error.to_string())
    }
}
