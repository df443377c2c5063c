//! How long an answer's headers ask us to wait.

use std::time::Duration;

use http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;
use trunkline_adapter::Timestamp;

/// Nothing waits longer than this on a header's word.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// `Retry-After` in seconds or as a date, else the longest time to regain access that the usage header names.
pub(crate) fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wait = text("retry-after")
        .and_then(|value| retry_after(value.trim(), now))
        .or_else(|| text("x-business-use-case-usage").and_then(regain))?;
    Some(wait.min(LONGEST))
}

fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Timestamp(date.as_microsecond()).since(now))
}

/// `{"<id>":[{"estimated_time_to_regain_access":<minutes>}]}`; zero means access was never lost.
fn regain(value: &str) -> Option<Duration> {
    let usage: Value = serde_json::from_str(value).ok()?;
    let minutes = usage
        .as_object()?
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(|case| case.get("estimated_time_to_regain_access")?.as_u64())
        .max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn waited(name: &'static str, value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        // 2025-10-09T08:53:20Z
        wait(&headers, Timestamp::from_seconds(1_760_000_000)).map(|wait| wait.as_secs())
    }

    #[test]
    fn both_forms_of_the_header() {
        assert_eq!(waited("retry-after", "7"), Some(7));
        assert_eq!(waited("retry-after", "Thu, 09 Oct 2025 08:53:50 GMT"), Some(30));
        assert_eq!(waited("retry-after", "Thu, 09 Oct 2025 08:00:00 GMT"), Some(0));
        assert_eq!(waited("retry-after", "99999999999"), Some(86_400));
        for nonsense in ["", "-1", "soon", "1.5"] {
            assert_eq!(waited("retry-after", nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_usage_header_names_minutes() {
        let name = "x-business-use-case-usage";
        let usage = r#"{"1":[{"call_count":100,"estimated_time_to_regain_access":2}],"2":[{}]}"#;
        assert_eq!(waited(name, usage), Some(120));
        assert_eq!(waited(name, r#"{"1":[{"estimated_time_to_regain_access":0}]}"#), None);
        assert_eq!(waited(name, "[]"), None);
    }
}
