//! Error codes as data: which class a code, or a code with its subcode, belongs to.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use trunkline_adapter::{Class, Failure, ProviderError};

use crate::lenient::{self, Node};
use crate::redact;

/// One line of a provider's error table.
#[derive(Clone, Debug)]
pub struct Rule {
    codes: RangeInclusive<u32>,
    subcode: Option<u32>,
    class: Class,
    pause: Option<u64>,
}

impl Rule {
    /// A code, whatever its subcode.
    pub const fn code(code: u32, class: Class) -> Rule {
        Rule::range(code..=code, class)
    }

    /// Codes in a row.
    pub const fn range(codes: RangeInclusive<u32>, class: Class) -> Rule {
        Rule { codes, subcode: None, class, pause: None }
    }

    /// A code with one subcode; goes before the code's other rules.
    pub const fn pair(code: u32, subcode: u32, class: Class) -> Rule {
        Rule { codes: code..=code, subcode: Some(subcode), class, pause: None }
    }

    /// Where the provider documents how long such a state lasts: seconds to wait if it names no time itself.
    #[must_use]
    pub const fn pausing(mut self, seconds: u64) -> Rule {
        self.pause = Some(seconds);
        self
    }
}

/// A channel's error table.
#[derive(Clone, Copy, Debug)]
pub struct Codebook {
    rules: &'static [Rule],
}

impl Codebook {
    /// A table. Rules with a subcode win over those without; among equals the first one does.
    pub const fn new(rules: &'static [Rule]) -> Codebook {
        Codebook { rules }
    }

    /// The class of a code, if the table has it.
    pub fn class(&self, code: u32, subcode: Option<u32>) -> Option<Class> {
        self.rule(code, subcode).map(|rule| rule.class)
    }

    fn rule(&self, code: u32, subcode: Option<u32>) -> Option<&'static Rule> {
        let of_code = || self.rules.iter().filter(|rule| rule.codes.contains(&code));
        of_code()
            .find(|rule| rule.subcode.is_some() && rule.subcode == subcode)
            .or_else(|| of_code().find(|rule| rule.subcode.is_none()))
    }

    /// Classifies an error answer. `after` is the wait the answer's headers ask for.
    pub fn failure(&self, status: StatusCode, body: Option<&Value>, after: Option<Duration>) -> Failure {
        let Some(error) = body.and_then(|body| body.get("error")).filter(|error| error.is_object()) else {
            return faceless(status, after);
        };
        let code = lenient::code(error, "code");
        let subcode = lenient::code(error, "error_subcode");
        let rule = code.and_then(|code| self.rule(code, subcode));
        let mut class = rule.map_or_else(|| unlisted(status), |rule| rule.class);
        let settled =
            matches!(class, Class::Retry(_) | Class::Throttle | Class::ThrottleRecipient | Class::Unknown);
        if lenient::flag(error, "is_transient") && !settled {
            class = Class::Retry(0);
        }
        if status == StatusCode::TOO_MANY_REQUESTS && class != Class::ThrottleRecipient {
            class = Class::Throttle;
        }
        let pause = rule.and_then(|rule| rule.pause).map(Duration::from_secs);
        Failure { class, code: code.unwrap_or(0), text: sentence(error), after: after.or(pause) }
    }

    /// Reads an element of a webhook's `errors[]`.
    pub fn reported(&self, error: &impl Node) -> Option<ProviderError> {
        if !error.is_object() {
            return None;
        }
        let code = lenient::code(error, "code").unwrap_or(0);
        let class = self.class(code, lenient::code(error, "error_subcode")).unwrap_or(Class::Permanent);
        Some(ProviderError { code, class, text: sentence(error) })
    }
}

/// An error without Graph's own words: what the status alone tells about whether the message was taken.
fn faceless(status: StatusCode, after: Option<Duration>) -> Failure {
    let class = match status.as_u16() {
        429 => Class::Throttle,
        500 | 503 => Class::Retry(0),
        408 | 425 | 501.. => Class::Unknown,
        401 | 403 => Class::Auth,
        413 => Class::Permanent,
        // Nothing of Graph's answers like this, so `base_url` or `api_version` points elsewhere.
        _ => Class::Config,
    };
    Failure { class, code: 0, text: format!("HTTP {} without a Graph error", status.as_u16()), after }
}

/// A code that is in no table yet.
fn unlisted(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 => Class::Auth,
        500.. => Class::Retry(0),
        _ => Class::Permanent,
    }
}

fn sentence<N: Node>(error: &N) -> String {
    let said = |key: &str| error.member(key).and_then(N::text).filter(|text| !text.is_empty());
    let message = said("message").or_else(|| said("title")).unwrap_or("no message");
    let details = error.member("error_data").and_then(|data| data.member("details")).and_then(N::text);
    match details {
        Some(details) if details != message => redact::words(&format!("{message}: {details}")),
        _ => redact::words(message),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    const BOOK: Codebook = Codebook::new(&[
        Rule::pair(10, 7, Class::Window),
        Rule::code(10, Class::Auth),
        Rule::range(200..=299, Class::Auth),
        Rule::code(1, Class::Unknown),
        Rule::code(4, Class::ThrottleRecipient),
        Rule::code(5, Class::Throttle).pausing(60),
    ]);

    fn class_of(status: u16, error: Value) -> Class {
        let body = json!({ "error": error });
        BOOK.failure(StatusCode::from_u16(status).unwrap(), Some(&body), None).class
    }

    #[test]
    fn subcodes_win_and_ranges_hold_their_ends() {
        assert_eq!(BOOK.class(10, Some(7)), Some(Class::Window));
        assert_eq!(BOOK.class(10, Some(8)), Some(Class::Auth));
        assert_eq!(BOOK.class(10, None), Some(Class::Auth));
        assert_eq!(BOOK.class(200, None), Some(Class::Auth));
        assert_eq!(BOOK.class(299, Some(1)), Some(Class::Auth));
        assert_eq!(BOOK.class(300, None), None);
    }

    #[test]
    fn the_status_speaks_where_the_code_does_not() {
        assert_eq!(class_of(400, json!({"code": 999})), Class::Permanent);
        assert_eq!(class_of(500, json!({"code": 999})), Class::Retry(0));
        assert_eq!(class_of(401, json!({"code": 999})), Class::Auth);
        assert_eq!(class_of(400, json!({"code": "10"})), Class::Auth);
        assert_eq!(class_of(400, json!({})), Class::Permanent);
        for (status, class) in [
            (302, Class::Config),
            (404, Class::Config),
            (403, Class::Auth),
            (413, Class::Permanent),
            (429, Class::Throttle),
            (500, Class::Retry(0)),
            (502, Class::Unknown),
            (503, Class::Retry(0)),
            (504, Class::Unknown),
            (524, Class::Unknown),
        ] {
            let failure = BOOK.failure(StatusCode::from_u16(status).unwrap(), None, None);
            assert_eq!(failure.class, class, "{status}");
            assert_eq!(
                BOOK.failure(StatusCode::from_u16(status).unwrap(), Some(&json!({"error": 1})), None),
                failure
            );
        }
    }

    #[test]
    fn transient_errors_are_tried_again_unless_that_could_double_the_message() {
        assert_eq!(class_of(400, json!({"code": 10, "is_transient": true})), Class::Retry(0));
        assert_eq!(class_of(400, json!({"code": 1, "is_transient": true})), Class::Unknown);
        assert_eq!(class_of(400, json!({"code": 5, "is_transient": true})), Class::Throttle);
    }

    #[test]
    fn http_429_always_slows_down() {
        assert_eq!(class_of(429, json!({"code": 10})), Class::Throttle);
        assert_eq!(class_of(429, json!({"code": 4})), Class::ThrottleRecipient);
    }

    #[test]
    fn a_documented_pause_gives_way_to_a_named_one() {
        let body = json!({"error": {"code": 5, "message": "slow"}});
        let after = |after| BOOK.failure(StatusCode::BAD_REQUEST, Some(&body), after).after;
        assert_eq!(after(None), Some(Duration::from_secs(60)));
        assert_eq!(after(Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
    }

    #[test]
    fn words_are_kept_short_and_without_numbers() {
        let body =
            json!({"error": {"code": 10, "message": "no", "error_data": {"details": "to 15550001111 not"}}});
        let failure = BOOK.failure(StatusCode::BAD_REQUEST, Some(&body), None);
        assert_eq!((failure.code, failure.text.as_str()), (10, "no: to … not"));
        assert_eq!(BOOK.reported(&json!({"code": "5", "title": "slow"})).unwrap().class, Class::Throttle);
        assert_eq!(BOOK.reported(&json!("x")), None);
    }
}
