//! Reading: one fjall snapshot, published together with the number it holds.

use std::ops::Bound;
use std::sync::Arc;

use ::fjall::{Readable, UserKey, UserValue};
use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, ready};

use super::Files;
use super::stored::{self, Head, LARGEST, PRIVATE};
use crate::ledger::engine::{ReadError, Revision, Row, Snapshot};
use crate::ledger::key::{Key, Keyspace, Range, Space};

/// Rows up to which a scan is read on the caller's thread.
const INLINE: usize = 64;

/// Everything up to one number.
pub struct View {
    number: Revision,
    snapshot: ::fjall::Snapshot,
    spaces: [::fjall::Keyspace; 3],
}

type Found = Result<(UserKey, UserValue), ::fjall::Error>;
type Run = Box<dyn Iterator<Item = Found> + Send>;

impl View {
    /// Only the committer, and whoever opens the store before there is one, may take a view.
    pub(in crate::ledger) fn take(files: &Files, number: Revision) -> View {
        View { number, snapshot: files.database.snapshot(), spaces: files.spaces.clone() }
    }

    fn space(&self, keyspace: Keyspace) -> &::fjall::Keyspace {
        match keyspace {
            Keyspace::Rows => &self.spaces[0],
            Keyspace::Queue => &self.spaces[1],
            Keyspace::ProviderId => &self.spaces[2],
        }
    }

    pub fn number(&self) -> Revision {
        self.number
    }

    /// The numbers of a row, without its chunks.
    pub fn head(&self, key: &Key) -> Result<Option<Head>, ReadError> {
        match self.raw(stored::keyspace(key), key.as_bytes())? {
            Some(value) => Ok(Some(Head::read(key, &value)?.0)),
            None => Ok(None),
        }
    }

    fn raw(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<UserValue>, ReadError> {
        self.snapshot.get(self.space(keyspace), key).map_err(unreadable)
    }

    fn row(&self, key: &Key, value: &[u8]) -> Result<Row, ReadError> {
        let (head, inline) = Head::read(key, value)?;
        let payload = match head.chunked {
            None => Bytes::copy_from_slice(inline),
            Some(length) => self.chunks(key, head, length)?,
        };
        Ok(Row { created: head.created, changed: head.changed, payload })
    }

    fn chunks(&self, key: &Key, head: Head, length: u32) -> Result<Bytes, ReadError> {
        let keyspace = stored::keyspace(key);
        let mut payload = BytesMut::new();
        for index in 0..head.chunks() {
            let chunk = self
                .raw(keyspace, &stored::chunk_key(key.as_bytes(), index))?
                .filter(|chunk| chunk.len() <= LARGEST)
                .ok_or_else(|| ReadError::Damaged(format!("{key:?}: chunk {index} is missing")))?;
            payload.extend_from_slice(&chunk);
        }
        if payload.len() != length as usize {
            return Err(ReadError::Damaged(format!("{key:?}: {} of {length} bytes", payload.len())));
        }
        Ok(payload.freeze())
    }

    pub fn get(&self, key: &Key) -> Result<Option<Row>, ReadError> {
        match self.raw(stored::keyspace(key), key.as_bytes())? {
            Some(value) => self.row(key, &value).map(Some),
            None => Ok(None),
        }
    }

    pub fn scan(&self, range: &Range, limit: usize) -> Result<Vec<(Key, Row)>, ReadError> {
        let mut rows = Vec::new();
        let mut parts = without_private(range);
        if range.reverse {
            parts.reverse();
        }
        for (start, end) in parts {
            let mut runs: Vec<_> = keyspaces(range)
                .iter()
                .map(|keyspace| self.run(*keyspace, &start, &end, range.reverse))
                .collect();
            let mut heads = Vec::with_capacity(runs.len());
            for run in &mut runs {
                heads.push(run.next().transpose().map_err(unreadable)?);
            }
            while rows.len() < limit
                && let Some(first) = first(&heads, range.reverse)
            {
                let next = runs[first].next().transpose().map_err(unreadable)?;
                if let Some((key, value)) = std::mem::replace(&mut heads[first], next) {
                    let key = Key::from_bytes(Bytes::copy_from_slice(&key));
                    let row = self.row(&key, &value)?;
                    rows.push((key, row));
                }
            }
        }
        Ok(rows)
    }

    /// Where rows can lie: below and above the engine's own keys.
    pub fn row_keys() -> [(Vec<u8>, Vec<u8>); 2] {
        // No name begins with two bytes of 255, so this end is behind every row.
        [(Vec::new(), vec![PRIVATE]), (vec![PRIVATE + 1], vec![0xFF, 0xFF])]
    }

    /// Rows of one keyspace, each read on its own, for a ledger of which some cannot be read.
    pub fn entries(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: &[u8],
        reverse: bool,
    ) -> impl Iterator<Item = Result<(Key, Row), ReadError>> {
        let (from, to) = (Bytes::copy_from_slice(from), Bytes::copy_from_slice(to));
        let run = (from < to).then(|| self.run(keyspace, &from, &to, reverse));
        run.into_iter().flatten().map(|found| {
            let (key, value) = found.map_err(unreadable)?;
            let key = Key::from_bytes(Bytes::copy_from_slice(&key));
            // A chunk that cannot be read costs its row; the walk over the rows goes on.
            let row = self.row(&key, &value).map_err(|error| ReadError::Damaged(error.to_string()))?;
            Ok((key, row))
        })
    }

    /// The stored keys and values of one keyspace, chunks and facts left out by the caller's bounds.
    fn run(&self, keyspace: Keyspace, start: &Bytes, end: &Bytes, reverse: bool) -> Run {
        let lower = if start.is_empty() { Bound::Unbounded } else { Bound::Included(start.to_vec()) };
        let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end.to_vec()) };
        let range = self.snapshot.range(self.space(keyspace), (lower, upper));
        if reverse {
            Box::new(range.rev().map(::fjall::Guard::into_inner))
        } else {
            Box::new(range.map(::fjall::Guard::into_inner))
        }
    }
}

/// Which run has the row that comes first.
fn first(heads: &[Option<(UserKey, UserValue)>], reverse: bool) -> Option<usize> {
    let present = heads.iter().enumerate().filter_map(|(index, head)| Some((&head.as_ref()?.0, index)));
    if reverse { present.max() } else { present.min() }.map(|(_, index)| index)
}

/// The keyspaces a range can have rows in: one if all its keys share a space, which is nearly always.
fn keyspaces(range: &Range) -> &'static [Keyspace] {
    const ALL: [Keyspace; 3] = [Keyspace::Rows, Keyspace::Queue, Keyspace::ProviderId];
    let shared = Key::from_bytes(range.start.clone());
    let Some((space, behind)) = shared.space().zip(shared.rest().map(<[u8]>::len)) else { return &ALL };
    let until_space = Key::from_bytes(range.start.slice(..range.start.len() - behind));
    let all_of_it = Range::prefix(&until_space);
    if range.end.is_empty() || range.end > all_of_it.end {
        return &ALL;
    }
    match Space::keyspace(space) {
        Keyspace::Rows => &ALL[..1],
        Keyspace::Queue => &ALL[1..2],
        Keyspace::ProviderId => &ALL[2..],
    }
}

/// The range with the engine's own keys cut out of it; nothing if it is empty.
fn without_private(range: &Range) -> Vec<(Bytes, Bytes)> {
    let from = Bytes::from_static(&[PRIVATE]);
    let to = Bytes::from_static(&[PRIVATE + 1]);
    let mut parts = Vec::with_capacity(2);
    let below = if range.end.is_empty() || range.end > from { from } else { range.end.clone() };
    if range.start < below {
        parts.push((range.start.clone(), below));
    }
    let above = range.start.clone().max(to);
    if range.end.is_empty() || above < range.end {
        parts.push((above, range.end.clone()));
    }
    parts
}

fn unreadable(error: ::fjall::Error) -> ReadError {
    ReadError::Engine(error.to_string())
}

impl Snapshot for Arc<View> {
    fn number(&self) -> Revision {
        self.number
    }

    /// On the caller's thread: a row that was touched lately is in memory, and one that is not costs one block.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Row>, ReadError>> {
        Box::pin(ready(View::get(self, key)))
    }

    /// Short scans on the caller's thread, because handing them over costs more than they do; long ones may touch
    /// many cold blocks and would hold up everything else the caller's thread serves.
    fn scan(&self, range: Range, limit: usize) -> BoxFuture<'_, Result<Vec<(Key, Row)>, ReadError>> {
        if limit <= INLINE || tokio::runtime::Handle::try_current().is_err() {
            return Box::pin(ready(View::scan(self, &range, limit)));
        }
        let view = Arc::clone(self);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || View::scan(&view, &range, limit)).await {
                Ok(rows) => rows,
                Err(error) => Err(ReadError::Engine(error.to_string())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_within_one_space_reads_one_keyspace() {
        let queue = Key::new("A", "lane", Space::Queue, b"");
        assert_eq!(keyspaces(&Range::prefix(&queue)), [Keyspace::Queue]);
        let row = Key::new("A", "lane", Space::Queue, b"abc");
        assert_eq!(keyspaces(&Range::after(&queue, &row)), [Keyspace::Queue]);
        assert_eq!(keyspaces(&Range::until(&queue, &row)), [Keyspace::Queue]);
        let lane = Key::new("A", "lane", Space::Lane, b"");
        assert_eq!(
            keyspaces(&Range { start: queue.bytes(), end: lane.bytes(), reverse: false }),
            [Keyspace::Queue]
        );
        let far = Key::new("A", "lane", Space::ProviderId, b"");
        assert_eq!(keyspaces(&Range { start: queue.bytes(), end: far.bytes(), reverse: false }).len(), 3);
        assert_eq!(keyspaces(&Range::all()).len(), 3);
    }

    #[test]
    fn private_keys_are_cut_out() {
        assert_eq!(without_private(&Range::all()).len(), 2);
        let own = Range::prefix(&Key::from_bytes(Bytes::from_static(&[PRIVATE])));
        assert!(without_private(&own).is_empty());
        let backwards =
            Range { start: Bytes::from_static(b"b"), end: Bytes::from_static(b"a"), reverse: false };
        assert!(without_private(&backwards).is_empty());
    }
}
