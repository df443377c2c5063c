//! Time, as one thing that tests can hold still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds.
    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// From milliseconds.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis.saturating_mul(1_000))
    }

    /// Whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Milliseconds, rounded down.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Later by this much.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `2026-01-02T03:04:05Z`, seconds only: the form REST clients parse.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_second(self.seconds()) {
            Ok(timestamp) => timestamp.to_string(),
            Err(_) => "1970-01-01T00:00:00Z".to_owned(),
        }
    }

    /// `2026-01-02T03:04:05.678Z`, always with milliseconds.
    pub fn rfc3339_millis(self) -> String {
        let seconds = self.rfc3339();
        let seconds = seconds.trim_end_matches('Z');
        format!("{seconds}.{:03}Z", self.millis().rem_euclid(1_000))
    }

    /// Reads an ISO 8601 instant.
    pub fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|timestamp| Timestamp(timestamp.as_microsecond()))
    }
}

/// The clock everything is given. Wall time is an anchor plus tokio's clock, so pausing tokio pauses everything, and
/// a step of the system's clock moves nothing that waits.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows the system's time now.
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the system for the time")]
    pub fn system() -> Clock {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock::at(Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)))
    }

    /// A clock that shows this time now.
    pub fn at(anchor: Timestamp) -> Clock {
        Clock { anchor, started: Instant::now() }
    }

    /// Wall time.
    pub fn now(&self) -> Timestamp {
        self.anchor.plus(self.started.elapsed())
    }

    /// Time since this clock was made; never goes back.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
