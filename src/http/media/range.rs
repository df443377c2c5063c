//! Which bytes of a file a request wants.

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// So many bytes from one on.
    Part { from: u64, length: u64 },
    /// The caller has it already.
    Nothing,
    /// There are no such bytes.
    Beyond,
}

/// Reads a request's conditions against a file of this size and tag. Several ranges at once are answered with the whole,
/// as everybody may.
pub fn wanted(headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if text(IF_NONE_MATCH).is_some_and(|tags| names(tags, tag)) {
        return Wanted::Nothing;
    }
    // Without a strong tag that is ours, what the caller has a part of is another file.
    if text(IF_RANGE).is_some_and(|known| known.trim() != tag) {
        return Wanted::Whole;
    }
    text(RANGE).and_then(|range| part(range, size)).unwrap_or(Wanted::Whole)
}

fn names(tags: &str, tag: &str) -> bool {
    let plain = |one: &str| one.trim().trim_start_matches("W/").to_owned();
    tags.trim() == "*" || tags.split(',').any(|one| plain(one) == tag)
}

/// A range that is none at all is not there.
fn part(range: &str, size: u64) -> Option<Wanted> {
    let (unit, ranges) = range.split_once('=')?;
    let (first, last) =
        ranges.trim().split_once('-').filter(|_| unit.trim() == "bytes" && !ranges.contains(','))?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for us is beyond every file.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (from, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => {
            let count = number(last)?;
            if count == 0 {
                return Some(Wanted::Beyond);
            }
            (size.saturating_sub(count), size)
        }
        (false, true) => (number(first)?, size),
        (false, false) => {
            let (from, last) = (number(first)?, number(last)?);
            if last < from {
                return None;
            }
            (from, last.saturating_add(1).min(size))
        }
    };
    Some(if from < end { Wanted::Part { from, length: end - from } } else { Wanted::Beyond })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(pairs: &[(http::HeaderName, &str)]) -> Wanted {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        wanted(&headers, 1000, "\"tag\"")
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        let part = |from, length| Wanted::Part { from, length };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-999", part(0, 1000)),
            ("bytes=500-", part(500, 500)),
            ("bytes=990-5000", part(990, 10)),
            ("bytes=-10", part(990, 10)),
            ("bytes=-5000", part(0, 1000)),
            ("bytes=1000-", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(asked(&[(RANGE, range)]), expected, "{range}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 0, "\"x\""), Wanted::Whole);
    }

    #[test]
    fn tags_say_what_the_caller_has() {
        let range = (RANGE, "bytes=0-0");
        let part = Wanted::Part { from: 0, length: 1 };
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"other\", W/\"tag\"")]), Wanted::Nothing);
        assert_eq!(asked(&[(IF_NONE_MATCH, "*"), range.clone()]), Wanted::Nothing);
        assert_eq!(asked(&[(IF_NONE_MATCH, "\"other\""), range.clone()]), part);
        assert_eq!(asked(&[(IF_RANGE, "\"tag\""), range.clone()]), part);
        for stale in ["\"other\"", "W/\"tag\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(asked(&[(IF_RANGE, stale), range.clone()]), Wanted::Whole, "{stale}");
        }
    }
}
