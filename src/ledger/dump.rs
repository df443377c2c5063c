//! The whole ledger as JSON lines: a header, a line for each row, and a trailer that says how many there were.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine::{Engine, ReadError, Row};
use super::incarnation::Incarnation;
use super::key::{Key, Range, Space};
use super::store::FORMAT;

/// The version of the dump itself, apart from the store's format.
pub(super) const VERSION: u32 = 1;
/// Rows read at a time; each may be as large as a batch.
const PAGE: usize = 64;

/// Why a dump was not finished.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the dump cannot be written")]
    Write(#[from] io::Error),
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub trunkline_dump: u32,
    pub format: u32,
    pub incarnation: String,
    pub number: u64,
}

/// The line of a row.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    account: String,
    partition: String,
    space: String,
    rest: String,
    created: u64,
    changed: u64,
    payload: Box<RawValue>,
}

/// The last line; without it a dump is not whole.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trailer {
    pub trunkline_dump_rows: u64,
    /// Rows that could not be read, in a dump of a damaged ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}

/// A payload that is no JSON text of its own.
#[derive(Serialize)]
#[serde(untagged)]
enum Wrapped {
    Base64 {
        base64: String,
    },
    /// A byte that says the format, and JSON behind it.
    Format {
        format: u8,
        json: Box<RawValue>,
    },
}

/// How a wrapped payload begins. A payload that is JSON and begins so itself is wrapped as well.
const WRAPPED: [&str; 2] = ["{\"base64\":", "{\"format\":"];

/// Writes everything the engine has published; gives the number of rows.
pub async fn dump(
    engine: &dyn Engine,
    incarnation: Incarnation,
    out: &mut (impl Write + Send),
) -> Result<u64, DumpError> {
    let snapshot = engine.snapshot();
    let mut writer = Writer::begin(out, FORMAT, incarnation, snapshot.number())?;
    let everything = Key::from_bytes(bytes::Bytes::new());
    let mut range = Range::all();
    loop {
        let page = snapshot.scan(range, PAGE).await?;
        for (key, row) in &page {
            writer.row(key, row)?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range = Range::after(&everything, last),
            _ => break,
        }
    }
    Ok(writer.end(None)?)
}

/// Writes the lines of one dump.
pub(super) struct Writer<'a, W> {
    out: &'a mut W,
    rows: u64,
}

impl<'a, W: Write> Writer<'a, W> {
    pub fn begin(out: &'a mut W, format: u32, incarnation: Incarnation, number: u64) -> io::Result<Self> {
        let incarnation = incarnation.to_string();
        line(out, &Header { trunkline_dump: VERSION, format, incarnation, number })?;
        Ok(Writer { out, rows: 0 })
    }

    pub fn row(&mut self, key: &Key, row: &Row) -> Result<(), DumpError> {
        write(self.out, key, row)?;
        self.rows += 1;
        Ok(())
    }

    pub fn end(self, skipped: Option<u64>) -> io::Result<u64> {
        line(self.out, &Trailer { trunkline_dump_rows: self.rows, skipped })?;
        self.out.flush()?;
        Ok(self.rows)
    }
}

/// Writes the line of one row.
///
/// # Errors
/// When the key is none of ours, or the line cannot be written.
pub fn write(out: &mut impl Write, key: &Key, row: &Row) -> Result<(), DumpError> {
    let Some(parts) = key.parts() else {
        return Err(ReadError::Damaged(format!("{key:?} is no key of ours")).into());
    };
    let stated = Line {
        account: parts.account,
        partition: parts.partition,
        space: format!("{:?}", parts.space),
        rest: STANDARD.encode(parts.rest),
        created: row.created,
        changed: row.changed,
        payload: payload_to_json(&row.payload)?,
    };
    Ok(line(out, &stated)?)
}

fn line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

impl Line {
    /// The row this line describes, or why it describes none.
    pub fn read(self) -> Result<(Key, Row), String> {
        let space = Space::ALL.into_iter().find(|space| format!("{space:?}") == self.space);
        let space = space.ok_or_else(|| format!("unknown space {:?}", self.space))?;
        let rest = STANDARD.decode(&self.rest).map_err(|error| format!("rest: {error}"))?;
        let key = Key::new(&self.account, &self.partition, space, &rest);
        let payload = json_to_payload(&self.payload)?.into();
        Ok((key, Row { created: self.created, changed: self.changed, payload }))
    }
}

/// JSON text that stays byte for byte what it is when it stands in a line.
fn as_json(text: &[u8]) -> Option<&RawValue> {
    let text = std::str::from_utf8(text).ok()?;
    if text.contains(['\n', '\r']) {
        return None;
    }
    serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().len() == text.len())
}

fn payload_to_json(payload: &[u8]) -> io::Result<Box<RawValue>> {
    if let Some(raw) = as_json(payload)
        && !WRAPPED.iter().any(|begin| raw.get().starts_with(begin))
    {
        return Ok(raw.to_owned());
    }
    let behind_format = payload.split_first().and_then(|(format, json)| Some((*format, as_json(json)?)));
    let wrapped = match behind_format {
        Some((format, json)) => Wrapped::Format { format, json: json.to_owned() },
        None => Wrapped::Base64 { base64: STANDARD.encode(payload) },
    };
    Ok(serde_json::value::to_raw_value(&wrapped)?)
}

fn json_to_payload(json: &RawValue) -> Result<Vec<u8>, String> {
    let text = json.get();
    if !WRAPPED.iter().any(|begin| text.starts_with(begin)) {
        return Ok(text.as_bytes().to_vec());
    }
    // Two plain structs, because raw text cannot be read through an untagged enum.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Base64 {
        base64: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Format {
        format: u8,
        json: Box<RawValue>,
    }
    if text.starts_with(WRAPPED[0]) {
        let Base64 { base64 } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return STANDARD.decode(base64).map_err(|error| format!("payload: {error}"));
    }
    let Format { format, json } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok([&[format], json.get().as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn payloads_come_back_byte_for_byte() {
        let payloads: [&[u8]; 11] = [
            b"",
            b"{\"b\": 1.0,  \"a\":[true]}",
            b"{\"base64\":\"eA==\"}",
            b"{\"format\":1,\"json\":2}",
            b"{\n}",
            b" 1",
            b"1",
            b"\x01{\"a\":1}",
            b"\x01{\"a\":1}\n",
            b"\xff\xfe\x00",
            "\u{1}\"\u{e9}\"".as_bytes(),
        ];
        for payload in payloads {
            let json = payload_to_json(payload).unwrap();
            assert!(!json.get().contains('\n'));
            assert_eq!(json_to_payload(&json).unwrap(), payload, "{json}");
        }
        assert_eq!(payload_to_json(b"\x01{\"a\":1}").unwrap().get(), "{\"format\":1,\"json\":{\"a\":1}}");
    }

    #[test]
    fn space_names_are_part_of_the_dump() {
        let names = Space::ALL.map(|space| format!("{}{space:?}", space as u8)).join(" ");
        assert_eq!(
            names,
            "1Meta 2Service 3Configuration 4Binding 5UniqueName 6ConversationList 7OptOut 8Person 9Unreadable \
             10ConversationHome 11Timer 12AddressConfiguration 13ConfiguredAddress 14GroupText 16Head 17Conversation \
             18Participant 19Message 20MessageIndex 21Receipt 22Tombstone 32Queue 33Lane 48ProviderId \
             49Parked 64ServiceSettings 65Role 66User 67UserIdentity 68Credential 69PushBinding 70Listed \
             71Departure 80Webhook 81DeadLetter 90Idempotency 100Media 101MediaOfService 102MediaContent"
        );
    }
}
