//! JSON as it lies in a webhook's body: texts and names are pieces of it, not copies, since most of them are never looked
//! at. What is kept as it came becomes a [`Value`].
//!
//! Some deliveries have texts that went wrong on the way: half of a surrogate pair, where somebody's text was cut in the
//! middle of an emoji, or bytes that are not UTF-8. JSON forbids both, but one such text must not cost a whole batch.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use crate::lenient::Node;

/// A JSON value that borrows from the body it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(Number),
    /// A string; a copy only where it has escapes.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object's members as they stand. Of two with one name the later counts.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// A `null` to point at.
pub const NULL: Json<'static> = Json::Null;

impl<'a> Json<'a> {
    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        let Json::Object(members) = self else { return None };
        members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A string's text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An array's elements.
    pub fn as_array(&self) -> Option<&[Json<'a>]> {
        match self {
            Json::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether it is an array.
    pub fn is_array(&self) -> bool {
        matches!(self, Json::List(_))
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// The names of an object's members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let members = if let Json::Object(members) = self { members.as_slice() } else { &[] };
        members.iter().map(|(name, _)| &**name)
    }

    /// A copy that stands for itself.
    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Flag(flag) => Value::Bool(*flag),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => Value::String(text.clone().into_owned()),
            Json::List(elements) => elements.iter().map(Json::to_value).collect(),
            Json::Object(members) => Value::Object(
                members.iter().map(|(name, value)| (name.to_string(), value.to_value())).collect(),
            ),
        }
    }
}

impl From<Value> for Json<'static> {
    fn from(value: Value) -> Json<'static> {
        match value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Flag(flag),
            Value::Number(number) => Json::Number(number),
            Value::String(text) => Json::Text(text.into()),
            Value::Array(elements) => Json::List(elements.into_iter().map(Json::from).collect()),
            Value::Object(members) => {
                Json::Object(members.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
            }
        }
    }
}

impl Node for Json<'_> {
    fn member(&self, key: &str) -> Option<&Self> {
        self.get(key)
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn number(&self) -> Option<&Number> {
        match self {
            Json::Number(number) => Some(number),
            _ => None,
        }
    }

    fn truth(&self) -> Option<bool> {
        match self {
            Json::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn elements(&self) -> Option<&[Self]> {
        self.as_array()
    }

    fn is_object(&self) -> bool {
        Json::is_object(self)
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json<'de>, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json<'de>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Json::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = object.next_entry()? {
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}

/// A member's name; a plain `Cow` would always be a copy.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name<'de>, D::Error> {
        match deserializer.deserialize_str(Reader)? {
            Json::Text(name) => Ok(Name(name)),
            _ => Err(serde::de::Error::custom("a name is no string")),
        }
    }
}

/// Parses a body; when that fails, once more with what is not text replaced by U+FFFD.
pub(crate) fn parse(body: &[u8]) -> Result<Json<'_>, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| {
        let mended = mend(&String::from_utf8_lossy(body));
        let value: Value = serde_json::from_str(&mended).map_err(|_| error)?;
        Ok(value.into())
    })
}
/// The same JSON with every lone `\uD800` to `\uDFFF` as `\uFFFD`.
fn mend(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str("\\uFFFD");
                rest = &escape[6..];
                continue;
            }
            // The backslash takes the next character with it, which may be a backslash too.
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    mended.push_str(rest);
    mended
}

/// The code unit of a `\uXXXX` at the start.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn text(json: &[u8]) -> String {
        parse(json).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn half_an_emoji_costs_only_itself() {
        for (json, read) in [
            (r#""cut \ud83d""#, "cut \u{FFFD}"),
            (r#""\udc4d cut""#, "\u{FFFD} cut"),
            (r#""\ud83d\ud83d\udc4d""#, "\u{FFFD}👍"),
            (r#""\ud83d\n""#, "\u{FFFD}\n"),
            (r#""\\ud83d \ud83d\\""#, "\\ud83d \u{FFFD}\\"),
            (r#""whole \ud83d\udc4d""#, "whole 👍"),
        ] {
            assert_eq!(text(json.as_bytes()), read, "{json}");
        }
        assert_eq!(text(b"\"caf\xe9\""), "caf\u{FFFD}");
    }

    #[test]
    fn what_is_not_json_stays_so() {
        for body in ["", "{", r#""\u12""#, r#""\ud83"#, "\\", "\"\\", "\"\\é\"", "\\ud83d"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn it_reads_as_the_usual_value_does() {
        for json in [
            r#"{"a":1,"b":[true,null,-2,1.5,"x"],"a":"la\u0073t","":{}}"#,
            r#"[18446744073709551615,-9223372036854775808,1e-400]"#,
            "\"plain\"",
            "null",
        ] {
            let usual: Value = serde_json::from_str(json).unwrap();
            let read = parse(json.as_bytes()).unwrap();
            assert_eq!(read.to_value(), usual, "{json}");
            assert_eq!(read.get("a").map(Json::to_value).as_ref(), usual.get("a"), "{json}");
            assert_eq!(Json::from(usual.clone()).to_value(), usual, "{json}");
        }
        assert!(matches!(parse(b"\"plain\""), Ok(Json::Text(Cow::Borrowed("plain")))));
        assert!(parse("[".repeat(100_000).as_bytes()).is_err(), "bounded in depth");
    }

    proptest! {
        #[test]
        fn good_json_is_left_alone(text in any::<String>()) {
            let json = crate::lenient::ascii_json(&Value::from(text));
            prop_assert_eq!(mend(&json), json);
        }

        #[test]
        fn anything_can_be_mended(pieces in prop::collection::vec(prop::sample::select(vec![
            "\\", "\\u", "d83d", "\\ud83d", "\\udc4d", "\"", "é", "{", "a",
        ]), 0..12)) {
            let _ = parse(pieces.concat().as_bytes());
        }
    }
}
