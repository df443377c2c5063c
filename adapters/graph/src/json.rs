//! Parsing deliveries whose text went wrong on the way: half of a surrogate pair, where somebody's text was cut in the
//! middle of an emoji, or bytes that are not UTF-8. JSON forbids both, but one such text must not cost a whole batch.

use serde_json::Value;

/// Parses a body; when that fails, once more with what is not text replaced by U+FFFD.
pub(crate) fn parse(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| {
        let mended = mend(&String::from_utf8_lossy(body));
        serde_json::from_str(&mended).map_err(|_| error)
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
