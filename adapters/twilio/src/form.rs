//! URL-encoded forms, kept as bytes until their signature is known to hold: a lossy decoder would change what was signed.

use std::collections::BTreeMap;

use serde_json::Value;
use trunkline_adapter::Refusal;

/// Parameters in the order they came.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// More parameters than Twilio ever sends; a request with more is refused before any work is put into it.
const MOST: usize = 500;

/// Splits and decodes; `None` when there are too many parameters.
pub(crate) fn parse(form: &[u8]) -> Option<Pairs> {
    let mut pairs = Vec::new();
    for piece in form.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
        if pairs.len() == MOST {
            return None;
        }
        let at = piece.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((piece, &b""[..]), |at| (&piece[..at], &piece[at + 1..]));
        pairs.push((decode(name), decode(value)));
    }
    Some(pairs)
}

/// `+` is a space and `%xx` a byte; anything else, a broken escape included, stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match (first, escaped) {
            (_, Some((high, low))) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            (b'+', None) => bytes.push(b' '),
            (other, None) => bytes.push(*other),
        }
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The parameters of a verified request, as text. Of a repeated name the first counts.
#[derive(Debug)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// `None` when a name or a value is not UTF-8.
    pub(crate) fn new(pairs: Pairs) -> Option<Fields> {
        let mut fields = BTreeMap::new();
        for (name, value) in pairs {
            let (name, value) = (String::from_utf8(name).ok()?, String::from_utf8(value).ok()?);
            fields.entry(name).or_insert(value);
        }
        Some(Fields(fields))
    }

    /// A parameter that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of these parameters that is there.
    pub(crate) fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The first of these parameters that is there; a request without any is refused by the name of the first.
    pub(crate) fn required(&self, names: &[&str]) -> Result<&str, Refusal> {
        let missing =
            || Refusal::Malformed(format!("{} is missing", names.first().unwrap_or(&"a parameter")));
        self.any(names).ok_or_else(missing)
    }

    /// Whether a parameter is there, even if empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// All of them, for keeping what we do not understand.
    pub(crate) fn raw(&self) -> Value {
        self.0.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }
}

/// One parameter of a query, decoded.
pub(crate) fn query(query: &str, wanted: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes())
        .take(MOST)
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn decoding_follows_browsers_even_where_the_escape_is_broken() {
        for (written, read) in [
            ("a+b%20c", "a b c"),
            ("%2B1555", "+1555"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%F0%9F%91%8b", "👋"),
        ] {
            assert_eq!(decode(written.as_bytes()), read.as_bytes(), "{written}");
        }
    }

    #[test]
    fn empty_pieces_vanish_and_empty_values_stay() {
        let fields = Fields::new(parse(b"&a=1&&b=&c&a=2&").unwrap()).unwrap();
        assert_eq!(fields.get("a"), Some("1"));
        assert_eq!(fields.get("b"), None);
        assert!(fields.has("b") && fields.has("c") && !fields.has("d"));
    }

    #[test]
    fn too_many_parameters_and_bytes_that_are_no_text_are_refused() {
        assert!(parse("a=1&".repeat(500).as_bytes()).is_some());
        assert!(parse("a=1&".repeat(501).as_bytes()).is_none());
        assert!(Fields::new(parse(b"a=%ff").unwrap()).is_none());
    }
}
