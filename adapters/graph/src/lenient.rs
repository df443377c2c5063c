//! Reading values whose documented types drift: ids that are numbers one day and strings the next, times in seconds or
//! milliseconds. Nothing here fails; what cannot be read is not there.

use serde_json::{Number, Value};
use trunkline_adapter::Timestamp;

/// What can be read here: a value of its own, or one that borrows from a body.
pub trait Node: Sized {
    /// A member of an object.
    fn member(&self, key: &str) -> Option<&Self>;
    /// A string's text.
    fn text(&self) -> Option<&str>;
    /// A number.
    fn number(&self) -> Option<&Number>;
    /// `true` or `false`.
    fn truth(&self) -> Option<bool>;
    /// An array's elements.
    fn elements(&self) -> Option<&[Self]>;
    /// Whether it is an object.
    fn is_object(&self) -> bool;
}

impl Node for Value {
    fn member(&self, key: &str) -> Option<&Value> {
        self.get(key)
    }

    fn text(&self) -> Option<&str> {
        self.as_str()
    }

    fn number(&self) -> Option<&Number> {
        self.as_number()
    }

    fn truth(&self) -> Option<bool> {
        self.as_bool()
    }

    fn elements(&self) -> Option<&[Value]> {
        self.as_array().map(Vec::as_slice)
    }

    fn is_object(&self) -> bool {
        Value::is_object(self)
    }
}

/// A member as text: a string that is not empty, or a whole number written out.
pub fn text(object: &impl Node, key: &str) -> Option<String> {
    scalar(object.member(key)?)
}

/// A value as text, as [`text`].
pub fn scalar(value: &impl Node) -> Option<String> {
    match (value.text(), value.number()) {
        (Some(text), _) => (!text.is_empty()).then(|| text.to_owned()),
        (None, Some(number)) => (!number.is_f64()).then(|| number.to_string()),
        (None, None) => None,
    }
}

/// A member as a number, also when it is written as a string.
pub fn number(object: &impl Node, key: &str) -> Option<f64> {
    let value = object.member(key)?;
    let number = match (value.number(), value.text()) {
        (Some(number), _) => number.as_f64()?,
        (None, text) => text?.trim().parse().ok()?,
    };
    number.is_finite().then_some(number)
}

/// A member as a whole number, also when it is written as a string.
pub fn integer(object: &impl Node, key: &str) -> Option<i64> {
    let value = object.member(key)?;
    match (value.number(), value.text()) {
        (Some(number), _) => number.as_i64(),
        (None, text) => text?.trim().parse().ok(),
    }
}

/// A member as an error code.
pub fn code(object: &impl Node, key: &str) -> Option<u32> {
    integer(object, key).and_then(|code| u32::try_from(code).ok())
}

/// A member as a flag: `true`, `"true"` or `1`.
pub fn flag(object: &impl Node, key: &str) -> bool {
    let Some(value) = object.member(key) else { return false };
    value.truth() == Some(true)
        || value.text().is_some_and(|text| text == "true" || text == "1")
        || value.number().and_then(Number::as_i64) == Some(1)
}

/// A member as a list; empty when it is none.
pub fn list<'a, N: Node>(object: &'a N, key: &str) -> &'a [N] {
    object.member(key).and_then(N::elements).unwrap_or_default()
}

/// A member as an instant. Seconds and milliseconds are told apart by size: as seconds the bound lies in the year 5138,
/// as milliseconds in 1973.
pub fn instant(object: &impl Node, key: &str) -> Option<Timestamp> {
    const BOUND: i64 = 100_000_000_000;
    match integer(object, key)? {
        seconds @ 1..BOUND => Some(Timestamp::from_seconds(seconds)),
        millis @ BOUND..100_000_000_000_000 => Some(Timestamp::from_millis(millis)),
        _ => None,
    }
}

/// JSON text as Meta writes it: everything beyond ASCII as `\uXXXX`.
pub fn ascii_json(value: &Value) -> String {
    let mut written = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() {
            written.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            written.push_str(&format!("\\u{unit:04x}"));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn types_may_drift() {
        let value = json!({"s": "12", "n": 12, "f": 1.5, "g": "1.5", "e": "", "x": null, "big": 18446744073709551615u64,
            "b": true, "t": "true"});
        assert_eq!(text(&value, "s").as_deref(), Some("12"));
        assert_eq!(text(&value, "n").as_deref(), Some("12"));
        assert_eq!(text(&value, "f"), None);
        assert_eq!(text(&value, "e"), None);
        assert_eq!(text(&value, "x"), None);
        assert_eq!(number(&value, "g"), Some(1.5));
        assert_eq!(number(&json!({"v": "NaN"}), "v"), None);
        assert_eq!(code(&value, "s"), Some(12));
        assert_eq!(code(&value, "big"), None);
        assert_eq!(code(&json!({"v": -1}), "v"), None);
        assert!(flag(&value, "b") && flag(&value, "t") && !flag(&value, "x") && !flag(&value, "missing"));
        assert!(list(&json!({"v": 1}), "v").is_empty() && list(&json!(3), "v").is_empty());
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        let at = Some(Timestamp::from_seconds(1_760_000_000));
        for value in [json!(1_760_000_000), json!("1760000000"), json!(1_760_000_000_000_i64)] {
            assert_eq!(instant(&json!({ "t": value }), "t"), at);
        }
        for value in [json!(0), json!(-5), json!("soon"), json!(i64::MAX), json!(1e300)] {
            assert_eq!(instant(&json!({ "t": value }), "t"), None);
        }
    }

    #[test]
    fn escaped_text_means_the_same() {
        let value = json!({"text": "hé 👍 \"\\"});
        let written = ascii_json(&value);
        assert!(written.is_ascii());
        assert!(written.contains("\\u00e9 \\ud83d\\udc4d"));
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
    }
}
