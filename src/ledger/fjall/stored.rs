//! How a row lies in fjall: two numbers and the payload, or two numbers and the promise of chunks.

use ::fjall::UserValue;
use bytes::Bytes;

use crate::ledger::engine::{ReadError, Revision};
use crate::ledger::key::{Key, Keyspace, Space};

/// Most bytes of one value in fjall. Above one page, a value torn by a power cut keeps the database from opening.
pub const LARGEST: usize = 4_000;
/// First byte of the engine's own keys. A row's key begins with a byte below it.
pub const PRIVATE: u8 = 0xFE;
/// The two numbers before the payload.
const HEADER: usize = 16;
/// Set in the first number, whose upper eleven bits are never used, when the payload lies in chunks.
const IN_CHUNKS: u64 = 1 << 63;

/// The keyspace a row and its chunks live in.
pub fn keyspace(key: &Key) -> Keyspace {
    key.space().map_or(Keyspace::Rows, Space::keyspace)
}

/// Where the engine keeps a fact about itself.
pub fn fact_key(name: &str) -> Vec<u8> {
    [&[PRIVATE, b'm'], name.as_bytes()].concat()
}

/// Where a chunk of a row's payload lies. The index has a fixed width, so two rows never share a chunk key.
pub fn chunk_key(key: &[u8], index: u32) -> Vec<u8> {
    [&[PRIVATE, b'c'], key, &index.to_be_bytes()[..]].concat()
}

/// A stored value taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub created: Revision,
    pub changed: Revision,
    /// Bytes of the payload that lies in chunks.
    pub chunked: Option<u32>,
}

impl Head {
    /// Chunks the payload takes.
    pub fn chunks(&self) -> u32 {
        self.chunked.map_or(0, |length| length.div_ceil(LARGEST as u32))
    }

    /// The head of a stored value, and the payload that follows it.
    pub fn read<'a>(key: &Key, value: &'a [u8]) -> Result<(Head, &'a [u8]), ReadError> {
        let damaged = || ReadError::Damaged(format!("{key:?}: stored value of {} bytes", value.len()));
        let (created, rest) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (changed, payload) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (created, changed) = (u64::from_be_bytes(*created), u64::from_be_bytes(*changed));
        if created & IN_CHUNKS == 0 {
            return Ok((Head { created, changed, chunked: None }, payload));
        }
        let length = u32::from_be_bytes(payload.try_into().map_err(|_| damaged())?);
        Ok((Head { created: created & !IN_CHUNKS, changed, chunked: Some(length) }, &[]))
    }
}

/// A row as it is to be stored: its head, its value, and its chunks in order.
pub struct Encoded {
    pub head: Head,
    pub value: UserValue,
    pub chunks: Vec<Vec<u8>>,
}

/// Encodes a row; the payload is at most a batch long, so its length fits.
pub fn encode((created, changed): (Revision, Revision), payload: &Bytes) -> Encoded {
    if HEADER + payload.len() <= LARGEST {
        let value = [&created.to_be_bytes()[..], &changed.to_be_bytes(), payload].concat().into();
        return Encoded { head: Head { created, changed, chunked: None }, value, chunks: Vec::new() };
    }
    let length = payload.len() as u32;
    let value = [&(created | IN_CHUNKS).to_be_bytes()[..], &changed.to_be_bytes(), &length.to_be_bytes()]
        .concat()
        .into();
    let chunks = payload.chunks(LARGEST).map(<[u8]>::to_vec).collect();
    Encoded { head: Head { created, changed, chunked: Some(length) }, value, chunks }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn heads_come_back_and_no_value_is_too_large() {
        let key = Key::new("A", "", Space::Service, b"x");
        for length in [0, 1, LARGEST - HEADER, LARGEST - HEADER + 1, LARGEST, LARGEST + 1, 3 * LARGEST] {
            let payload = Bytes::from(vec![7; length]);
            let encoded = encode((5, 9), &payload);
            assert!(
                encoded.value.len() <= LARGEST && encoded.chunks.iter().all(|chunk| chunk.len() <= LARGEST)
            );
            let (head, inline) = Head::read(&key, &encoded.value).unwrap();
            assert_eq!((head, head.created, head.changed), (encoded.head, 5, 9));
            assert_eq!(head.chunks() as usize, encoded.chunks.len());
            assert_eq!([inline.to_vec(), encoded.chunks.concat()].concat(), payload);
        }
    }

    #[test]
    fn short_values_are_damage() {
        let key = Key::new("A", "", Space::Service, b"x");
        for length in 0..HEADER {
            assert!(Head::read(&key, &vec![0; length]).is_err());
        }
        assert!(Head::read(&key, &[&[0x80; 16][..], &[1, 2, 3]].concat()).is_err());
    }
}
