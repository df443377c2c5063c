//! What parameters of several resources have in common: their shapes and the codes when they do not fit.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use crate::http::error::{self, ApiError, Entry};
use crate::http::form::Form;
use crate::model::ids::well_formed;
use crate::model::{Conversation, State, timers};
use crate::relay::command::Change;

/// Characters of a name, an identity or an author.
const NAME: usize = 256;
/// Characters of a role's or credential's name.
const SHORT_NAME: usize = 64;
/// Bytes of a conversation's attributes.
pub(super) const CONVERSATION_ATTRIBUTES: usize = 16 * 1024;
/// Bytes of a participant's, a message's or a user's attributes.
pub(super) const SMALL_ATTRIBUTES: usize = 4 * 1024;

/// Whether a text has more characters than a name may have.
pub(super) fn too_long(text: &str) -> bool {
    text.len() > NAME && text.chars().count() > NAME
}

/// A parameter that may be left alone, cleared by an empty value, or set.
pub(super) fn change(value: Option<&str>) -> Change<String> {
    match value {
        None => Change::Keep,
        Some("") => Change::Clear,
        Some(value) => Change::Set(value.to_owned()),
    }
}

/// A friendly name, unless it is too long.
pub(super) fn friendly_name(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("FriendlyName") {
        Some(name) if too_long(name) => Err(error::FRIENDLY_NAME_TOO_LONG.into()),
        name => Ok(name),
    }
}

/// A unique name, which stands in paths where a SID could.
pub(super) fn unique_name(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("UniqueName") {
        Some(name) if too_long(name) => Err(error::UNIQUE_NAME_TOO_LONG.into()),
        Some(name) if well_formed(name, "CH") => Err(error::UNIQUE_NAME_IS_SID.into()),
        name => Ok(name),
    }
}

/// A messaging service's SID.
pub(super) fn messaging_service_sid<'a>(form: &'a Form, name: &str) -> Result<Option<&'a str>, ApiError> {
    match form.get(name) {
        Some(sid) if !sid.is_empty() && !well_formed(sid, "MG") => Err(error::MESSAGING_SERVICE_SID.into()),
        sid => Ok(sid),
    }
}

/// A role's SID.
pub(super) fn role_sid<'a>(form: &'a Form, name: &str) -> Result<Option<&'a str>, ApiError> {
    match form.get(name) {
        Some(sid) if !sid.is_empty() && !well_formed(sid, "RL") => {
            Err(ApiError::parameter(format!("{name} is not a role SID")))
        }
        sid => Ok(sid),
    }
}

/// An identity that a chat user may have.
pub(in crate::http) fn identity(identity: &str) -> Result<String, ApiError> {
    if too_long(identity) {
        return Err(error::IDENTITY_TOO_LONG.into());
    }
    if well_formed(identity, "US") {
        return Err(error::IDENTITY_IS_SID.into());
    }
    if identity == "system" {
        return Err(error::IDENTITY_RESERVED.into());
    }
    Ok(identity.to_owned())
}

/// A friendly name of at most 64 characters, as roles and credentials have.
pub(super) fn short_name(form: &Form) -> Result<Option<&str>, ApiError> {
    match form.get("FriendlyName") {
        Some(name) if name.chars().count() > SHORT_NAME => {
            Err(ApiError::parameter("FriendlyName is longer than 64 characters"))
        }
        name => Ok(name),
    }
}

/// A word for yes or no, in any case.
pub(super) fn boolean(form: &Form, name: &str) -> Result<Option<bool>, ApiError> {
    let refused = || ApiError::parameter(format!("{name} is neither true nor false"));
    form.word(name, &[("true", true), ("false", false)], refused)
}

/// A text of ours to keep, unless it is longer than so many characters.
pub(super) fn bounded<'a>(form: &'a Form, name: &str, most: usize) -> Result<Option<&'a str>, ApiError> {
    match form.get(name) {
        Some(text) if text.chars().count() > most => {
            Err(ApiError::parameter(format!("{name} is longer than {most} characters")))
        }
        text => Ok(text),
    }
}

/// How far somebody has read: the index and the moment.
pub(super) fn read_horizon(form: &Form) -> Result<(Change<u64>, Change<Timestamp>), ApiError> {
    let index = match form.get("LastReadMessageIndex") {
        None => Change::Keep,
        Some(text) if null(text) => Change::Clear,
        // JavaScript and SDK clients carry indexes as signed 32-bit or 53-bit numbers.
        Some(text) => {
            Change::Set(text.parse().ok().filter(|index| *index < 1 << 53).ok_or(error::READ_INDEX)?)
        }
    };
    let at = match form.get("LastReadTimestamp") {
        None => Change::Keep,
        Some(text) if null(text) => Change::Clear,
        Some(text) => Change::Set(instant(text).ok_or(error::READ_TIMESTAMP)?),
    };
    Ok((index, at))
}

/// Which of the two timers of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    Inactive,
    Closed,
}

/// A timer: cleared by an empty value or one of no length, else its seconds, of which there must be enough.
pub(super) fn timer(form: &Form, name: &str, timer: Timer) -> Result<Change<u64>, ApiError> {
    let (least, otherwise, short) = match timer {
        Timer::Inactive => (60, error::INACTIVE_TIMER, error::INACTIVE_TIMER_SHORT),
        Timer::Closed => (600, error::CLOSED_TIMER, error::CLOSED_TIMER_SHORT),
    };
    match form.get(name) {
        None => Ok(Change::Keep),
        Some("") => Ok(Change::Clear),
        Some(text) => match timers::duration(text).ok_or(otherwise)? {
            0 => Ok(Change::Clear),
            seconds if seconds < least => Err(short.into()),
            seconds => Ok(Change::Set(seconds)),
        },
    }
}

/// What is left of a conversation's timers: nothing, or when they end.
pub(super) fn timers_left(conversation: &Conversation) -> Value {
    let mut left = Map::new();
    for (key, due) in
        [("date_inactive", conversation.date_inactive()), ("date_closed", conversation.date_closed())]
    {
        if let Some(due) = due {
            left.insert(key.to_owned(), due.rfc3339().into());
        }
    }
    Value::Object(left)
}

/// JSON text, kept byte for byte. An empty value is the empty object.
pub(super) fn attributes(form: &Form, most: usize) -> Result<Option<String>, ApiError> {
    let Some(text) = form.get("Attributes") else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some("{}".to_owned()));
    }
    if text.len() > most {
        return Err(error::ATTRIBUTES_TOO_LONG.into());
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(_) => Err(error::ATTRIBUTES_NOT_JSON.into()),
    }
}

/// `DateCreated` and `DateUpdated`.
pub(super) fn dates(form: &Form) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    Ok((date(form, "DateCreated", error::DATE_CREATED)?, date(form, "DateUpdated", error::DATE_UPDATED)?))
}

fn date(form: &Form, name: &str, otherwise: Entry) -> Result<Option<Timestamp>, ApiError> {
    match form.filled(name) {
        None => Ok(None),
        Some(text) => instant(text).map(Some).ok_or_else(|| otherwise.into()),
    }
}

/// An instant in the years that four digits can write, so that it can be shown again.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let years = 0..253_402_300_800;
    Timestamp::parse(text).filter(|timestamp| years.contains(&timestamp.seconds()))
}

/// One side of a window of dates; a date alone means its first or its last moment.
pub(super) fn bound(form: &Form, name: &str, last: bool) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = form.filled(name) else { return Ok(None) };
    let time = if last { "T23:59:59.999999Z" } else { "T00:00:00Z" };
    let whole =
        if text.contains(['T', 't', ' ']) { instant(text) } else { instant(&format!("{text}{time}")) };
    // What is shown has whole seconds, so a last moment includes its whole second.
    let whole = whole.map(|at| match last && at.0 % 1_000_000 == 0 {
        true => Timestamp(at.0 + 999_999),
        false => at,
    });
    whole.map(Some).ok_or_else(|| ApiError::parameter(format!("{name} is not an ISO 8601 date")))
}

/// A state a caller may name.
pub(super) fn state(text: Option<&str>) -> Result<Option<State>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "" => Err(error::STATE_EMPTY.into()),
        "active" => Ok(Some(State::Active)),
        "inactive" => Ok(Some(State::Inactive)),
        "closed" => Ok(Some(State::Closed)),
        _ => Err(error::STATE_UNKNOWN.into()),
    }
}

/// Whether a text is the word that stands for "no value" in updates.
pub(super) fn null(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("null")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn attributes_are_kept_as_written_or_refused() {
        let read = |text: &str| attributes(&form(text), 64);
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("Attributes=").unwrap().as_deref(), Some("{}"));
        assert_eq!(read("Attributes=%7B%20%22a%22%3A1%20%7D").unwrap().as_deref(), Some("{ \"a\":1 }"));
        assert_eq!(read("Attributes=null").unwrap().as_deref(), Some("null"));
        assert_eq!(read("Attributes=%7B").unwrap_err().code(), 50304);
        assert_eq!(read("Attributes=%7B%7Dx").unwrap_err().code(), 50304);
        assert_eq!(read(&format!("Attributes=%22{}%22", "a".repeat(63))).unwrap_err().code(), 50303);
        let deep = format!("Attributes={}", "[".repeat(100_000));
        assert_eq!(attributes(&form(&deep), 1_000_000).unwrap_err().code(), 50304);
    }

    #[test]
    fn names() {
        let long = "é".repeat(257);
        assert_eq!(friendly_name(&form(&format!("FriendlyName={long}"))).unwrap_err().code(), 50003);
        assert!(friendly_name(&form(&format!("FriendlyName={}", "é".repeat(256)))).is_ok());
        assert_eq!(unique_name(&form(&format!("UniqueName={long}"))).unwrap_err().code(), 50004);
        let sid = "UniqueName=CH00000000000000000000000000000001";
        assert_eq!(unique_name(&form(sid)).unwrap_err().code(), 50390);
        assert_eq!(
            messaging_service_sid(&form("MessagingServiceSid=MG1"), "MessagingServiceSid")
                .unwrap_err()
                .code(),
            50341
        );
        assert_eq!(
            messaging_service_sid(&form("MessagingServiceSid="), "MessagingServiceSid").unwrap(),
            Some("")
        );
    }

    #[test]
    fn dates_and_windows() {
        let read = |text: &str| dates(&form(text));
        assert_eq!(read("DateCreated=").unwrap(), (None, None));
        assert_eq!(
            read("DateUpdated=2020-01-02T03:04:05Z").unwrap().1.unwrap().rfc3339(),
            "2020-01-02T03:04:05Z"
        );
        assert_eq!(read("DateCreated=yesterday").unwrap_err().code(), 50308);
        assert_eq!(read("DateUpdated=-009999-01-01T00:00:00Z").unwrap_err().code(), 50309);
        let side = |last| bound(&form("D=2020-01-02"), "D", last).unwrap().unwrap();
        assert_eq!(side(false).rfc3339(), "2020-01-02T00:00:00Z");
        assert_eq!(side(true).micros_into_second(), 999_999);
        assert_eq!(side(true).rfc3339(), "2020-01-02T23:59:59Z");
        assert!(bound(&form("D=soon"), "D", true).is_err());
    }

    #[test]
    fn timers() {
        let read = |text: &str| timer(&form(&format!("T={text}")), "T", Timer::Inactive);
        assert_eq!(read("PT1M").unwrap(), Change::Set(60));
        assert_eq!(read("P1DT2H").unwrap(), Change::Set(26 * 3600));
        let closed = |text: &str| timer(&form(&format!("T={text}")), "T", Timer::Closed);
        assert_eq!(closed("PT10M").unwrap(), Change::Set(600));
        assert_eq!(closed("PT9M59S").unwrap_err().code(), 50376);
        assert_eq!(closed("soon").unwrap_err().code(), 50380);
        assert_eq!((read("PT0S").unwrap(), read("").unwrap()), (Change::Clear, Change::Clear));
        assert_eq!(read("PT59S").unwrap_err().code(), 50375);
        for text in ["-PT5M", "P1M", "PT", "1h", "soon", "PT99999999999999999999H"] {
            assert_eq!(read(text).unwrap_err().code(), 50379, "{text}");
        }
    }

    #[test]
    fn states() {
        assert_eq!(state(Some("CLOSED")).unwrap(), Some(State::Closed));
        assert_eq!(state(None).unwrap(), None);
        assert_eq!(state(Some("")).unwrap_err().code(), 50374);
        assert_eq!(state(Some("initializing")).unwrap_err().code(), 50378);
        assert_eq!(state(Some("deleted")).unwrap_err().code(), 50378);
    }

    trait Micros {
        fn micros_into_second(&self) -> i64;
    }

    impl Micros for Timestamp {
        fn micros_into_second(&self) -> i64 {
            self.0.rem_euclid(1_000_000)
        }
    }
}
