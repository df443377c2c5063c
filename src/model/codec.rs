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
        compact(Self::FORMAT, self)
    }

    /// Reads a payload.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason: String| DecodeError { what: Self::NAME, reason };
        match payload.split_first() {
            Some((format, rest)) if *format == Self::FORMAT => read_compact(rest).map_err(error),
            Some((format, _)) => Err(error(format!("unknown format {format}"))),
            None => Err(error("it is empty".to_owned())),
        }
    }
}

/// A compact payload of a format.
pub fn compact<T: Serialize + ?Sized>(format: u8, record: &T) -> Bytes {
    // Room for all but the longest texts, so that the buffer does not grow step by step.
    let mut buffer = Vec::with_capacity(256);
    buffer.push(format);
    // Encoding to memory fails only for types that cannot be encoded at all, which tests would show.
    #[expect(clippy::expect_used, reason = "records are plain data")]
    Bytes::from(postcard::to_extend(record, buffer).expect("a record is plain data"))
}

/// Reads what stands behind the format byte, or says why it cannot be read.
pub fn read_compact<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((record, [])) => Ok(record),
        Ok((_, left)) => Err(format!("{} bytes too many", left.len())),
        Err(cause) => Err(cause.to_string()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Dispatch, OptOutRow, ParticipantRecord, ReceiptRecord};

    #[test]
    fn a_compact_row_is_read_by_its_format_and_nothing_else() {
        let row = Dispatch::Notice { text: "hello".to_owned() };
        let good = row.encode();
        assert_eq!(Dispatch::decode(&good).unwrap(), row);
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = good.to_vec();
            change(&mut bytes);
            Dispatch::decode(&bytes).unwrap_err().to_string()
        };
        assert_eq!(
            with(|bytes| bytes[0] = 9),
            "a stored outbound queue row cannot be read: unknown format 9"
        );
        assert!(with(|bytes| bytes.push(0)).contains("1 bytes too many"));
        assert!(with(|bytes| bytes.truncate(4)).contains("outbound queue row"));
        assert!(with(Vec::clear).contains("it is empty"));
    }

    #[test]
    fn a_json_row_keeps_what_a_newer_release_wrote() {
        let stored =
            br#"{"sid":"MB1","identity":"ana","binding":{"address":"+13035550001","proxy":"+12025550001",
            "projected":"+1"},"role_sid":null,"attributes":"{}","birth":1,"created":1,"updated":1,
            "last_read_message_index":null,"last_read_timestamp":null,"mood":{"fine":true}}"#;
        let record = ParticipantRecord::decode(stored).unwrap();
        let again: serde_json::Value = serde_json::from_slice(&Json::encode(&record)).unwrap();
        assert_eq!(again["mood"]["fine"], true);
        assert_eq!(again["binding"]["projected"], "+1");
        let before_via =
            br#"{"sid":"DY1","participant":"MB1","status":"sent","error_code":0,"provider_ids":["a"],
            "parts":["sent"],"taken_at":null,"created":1,"updated":1}"#;
        assert_eq!(ReceiptRecord::decode(before_via).unwrap().via, None);
        assert!(ParticipantRecord::decode(b"{}").unwrap_err().to_string().contains("participant"));
    }

    #[test]
    fn numbers_we_only_pass_on_stay_what_they_are() {
        let mut row = OptOutRow {
            keyword: None,
            provider_id: "SM1".to_owned(),
            at: trunkline_adapter::Timestamp(0),
            rest: serde_json::Map::new(),
        };
        let mut number = 52.520_006_599_999_994_f64;
        for place in 0..1_000 {
            number = f64::from_bits(number.to_bits() + 7_919 * place);
            row.rest.insert(format!("n{place}"), number.into());
        }
        let again = OptOutRow::decode(&row.encode()).unwrap();
        let drifted = row.rest.iter().filter(|(name, number)| again.rest.get(*name) != Some(number)).count();
        assert_eq!(drifted, 0, "of {}", row.rest.len());
    }
}
