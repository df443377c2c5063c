//! Reading values whose documented types drift: ids that are numbers one day and strings the next, times in seconds or
//! milliseconds. Nothing here fails; what cannot be read is not there.

use serde_json::Value;
use trunkline_adapter::Timestamp;

/// A member as text: a string that is not empty, or a whole number written out.
pub fn text(object: &Value, key: &str) -> Option<String> {
    scalar(object.get(key)?)
}

/// A value as text, as [`text`].
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// A member as a number, also when it is written as a string.
pub fn number(object: &Value, key: &str) -> Option<f64> {
    let number = match object.get(key)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A member as a whole number, also when it is written as a string.
pub fn integer(object: &Value, key: &str) -> Option<i64> {
    match object.get(key)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A member as an error code.
pub fn code(object: &Value, key: &str) -> Option<u32> {
    integer(object, key).and_then(|code| u32::try_from(code).ok())
}

/// A member as a flag: `true`, `"true"` or `1`.
pub fn flag(object: &Value, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_i64() == Some(1),
        _ => false,
    }
}

/// A member as a list; empty when it is none.
pub fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member as an instant. Seconds and milliseconds are told apart by size: as seconds the bound lies in the year 5138,
/// as milliseconds in 1973.
pub fn instant(object: &Value, key: &str) -> Option<Timestamp> {
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
