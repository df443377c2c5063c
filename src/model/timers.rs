//! When a conversation falls idle or is closed by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_adapter::Timestamp;

use super::{Conversation, State};

/// Seconds of the longest timer, a hundred years: its end can be shown with four digits for the year.
const LONGEST: i64 = 100 * 366 * 24 * 3600;

/// Where the timers of an open conversation stand. Both count from the last message, from the last time somebody
/// joined, and from the last change of a timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// What the inactive timer counts from. Being set to active starts it again, too, and that one alone.
    pub inactive_from: Timestamp,
    /// What the closed timer counts from.
    pub closed_from: Timestamp,
    /// Where its due record lies. It may be earlier than what is due: a message does not move it.
    pub armed: Option<Timestamp>,
}

impl Timers {
    /// Both from this moment on; nothing is armed.
    pub fn from(now: Timestamp) -> Timers {
        Timers { inactive_from: now, closed_from: now, armed: None }
    }

    /// Something happened: both begin again.
    pub fn restart(&mut self, now: Timestamp) {
        self.inactive_from = now;
        self.closed_from = now;
    }
}

impl Conversation {
    /// When it falls idle by itself, if nothing happens until then.
    pub fn date_inactive(&self) -> Option<Timestamp> {
        let timers = self.head.timers.as_ref().filter(|_| self.head.state == State::Active)?;
        Some(timers.inactive_from.plus(Duration::from_secs(self.record.inactive_after?)))
    }

    /// When it is closed by itself, if nothing happens until then.
    pub fn date_closed(&self) -> Option<Timestamp> {
        let timers = self.head.timers.as_ref().filter(|_| self.head.state.open())?;
        Some(timers.closed_from.plus(Duration::from_secs(self.record.closed_after?)))
    }

    /// The earlier of the two.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.date_inactive().into_iter().chain(self.date_closed()).min()
    }
}

/// The seconds of an ISO 8601 duration of fixed length: weeks, days, hours, minutes and seconds; what is less than a
/// second is left out. Nothing for one of more than a hundred years.
pub fn duration(text: &str) -> Option<u64> {
    let span: jiff::Span = text.parse().ok()?;
    if span.get_years() != 0 || span.get_months() != 0 || !text.starts_with(['P', 'p']) {
        return None;
    }
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    let seconds = (!length.is_negative()).then(|| length.as_secs())?;
    u64::try_from(seconds).ok().filter(|_| seconds <= LONGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::conversation::{Head, Mark};
    use crate::model::{Compact, ServiceSid};

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("PT1M", Some(60)),
            ("pt90s", Some(90)),
            ("P1W", Some(604_800)),
            ("P1DT2H3M4S", Some(93_784)),
            ("PT0S", Some(0)),
            ("PT1.5S", Some(1)),
            ("P36600D", Some(36_600 * 86_400)),
            ("P36601D", None),
            ("P1M", None),
            ("P1Y", None),
            ("-PT5M", None),
            ("PT", None),
            ("5m", None),
        ] {
            assert_eq!(duration(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_head_without_timers_is_stored_as_before_there_were_any() {
        let mut head = Head {
            state: State::Active,
            service: ServiceSid::parse("IS00000000000000000000000000000001").unwrap(),
            next_index: 3,
            document: Mark::ThisWrite,
            roster: Mark::At(5),
            messages: Mark::At(7),
            timers: None,
        };
        let plain = head.encode();
        assert_eq!(plain[0], 1);
        assert_eq!(Head::decode(&plain).unwrap(), head);
        let armed = Some(Timestamp(9));
        head.timers = Some(Timers { armed, ..Timers::from(Timestamp(8)) });
        let timed = head.encode();
        assert_eq!((timed[0], &timed[1..plain.len()]), (2, &plain[1..]));
        assert_eq!(Head::decode(&timed).unwrap(), head);
        for broken in [&timed[..timed.len() - 1], &[&timed[..], &[0]].concat()[..], b"", b"\x03"] {
            assert!(Head::decode(broken).unwrap_err().to_string().contains("conversation head"));
        }
    }
}
