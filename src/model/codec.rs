//! Two encodings: compact for the rows on every message's path, JSON for all others.
//!
//! A compact row begins with a format byte and is read by exactly the shape that byte names. A JSON row evolves by
//! defaults, keeps fields it does not know, and reads well in a dump.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// A stored row that does not read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error("a stored {what} cannot be read: {reason}")]
pub struct DecodeError {
    pub what: &'static str,
    pub reason: String,
}

/// A record stored compactly.
pub trait Compact: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const NAME: &'static str;
    /// The format byte written today.
    const FORMAT: u8 = 1;

    /// The row's payload.
    fn encode(&self) -> Bytes {
        let buffer = vec![Self::FORMAT];
        // Encoding to memory fails only for types that cannot be encoded at all, which tests would show.
        #[expect(clippy::expect_used, reason = "records are plain data")]
        Bytes::from(postcard::to_extend(self, buffer).expect("a record is plain data"))
    }

    /// Reads a payload.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason: String| DecodeError { what: Self::NAME, reason };
        match payload.split_first() {
            Some((format, rest)) if *format == Self::FORMAT => match postcard::take_from_bytes(rest) {
                Ok((record, [])) => Ok(record),
                Ok((_, left)) => Err(error(format!("{} bytes too many", left.len()))),
                Err(cause) => Err(error(cause.to_string())),
            },
            Some((format, _)) => Err(error(format!("unknown format {format}"))),
            None => Err(error("it is empty".to_owned())),
        }
    }
}

/// A record stored as JSON.
pub trait Json: Serialize + DeserializeOwned {
    /// What it is, for errors.
    const NAME: &'static str;

    /// The row's payload.
    fn encode(&self) -> Bytes {
        #[expect(clippy::expect_used, reason = "records are plain data with string keys")]
        Bytes::from(serde_json::to_vec(self).expect("a record is plain data"))
    }

    /// Reads a payload.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(payload)
            .map_err(|cause| DecodeError { what: Self::NAME, reason: cause.to_string() })
    }
}
