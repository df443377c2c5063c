//! How a lane is doing, for operators.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_adapter::Timestamp;

/// One lane as `/lanes` and `trunkline lanes` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// The adapter's name.
    pub adapter: String,
    /// Our own address.
    pub proxy_address: String,
    /// The operator's name for it; empty if none.
    pub name: String,
    /// `idle`, `sending`, `waiting` or `held`.
    pub state: String,
    /// Why it is held.
    pub reason: Option<String>,
    /// Messages that wait or are on their way.
    pub depth: u64,
    /// Age of the oldest of them.
    pub oldest_seconds: u64,
    pub last: Option<LastOutcome>,
    /// Seconds until the next try, where there is one to wait for.
    pub next_try_seconds: Option<u64>,
}

/// How the last request to the provider ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOutcome {
    /// `accepted`, `retryable`, `throttled`, `rejected` or `unknown`.
    pub outcome: String,
    /// The provider's code, 0 when there was none.
    pub code: u32,
    /// The provider's words.
    pub text: String,
    /// RFC 3339.
    pub at: String,
}

/// As [`LastOutcome`], in the form that costs a lane least.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub outcome: &'static str,
    pub code: u32,
    pub text: String,
    pub at: Timestamp,
}

impl From<Last> for LastOutcome {
    fn from(last: Last) -> LastOutcome {
        let Last { outcome, code, text, at } = last;
        LastOutcome { outcome: outcome.to_owned(), code, text, at: at.rfc3339() }
    }
}

/// What a lane last said of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub state: State,
    pub reason: Option<String>,
    pub depth: u64,
    pub oldest: Option<Timestamp>,
    pub last: Option<Last>,
    pub next_try: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Idle,
    Sending,
    Waiting,
    Held,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Sending => "sending",
            State::Waiting => "waiting",
            State::Held => "held",
        }
    }
}

impl Standing {
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        self.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest))
    }
}
