//! Event webhooks.
#![allow(clippy::disallowed_macros, reason = "this is where metrics are recorded")]

use metrics::{counter, gauge};

use super::names;

/// How a pre-action webhook answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreOutcome {
    Proceeded,
    Changed,
    Refused,
    TimedOut,
    /// No connection, or no way there that is allowed.
    Failed,
}

impl PreOutcome {
    const ALL: [PreOutcome; 5] = [
        PreOutcome::Proceeded,
        PreOutcome::Changed,
        PreOutcome::Refused,
        PreOutcome::TimedOut,
        PreOutcome::Failed,
    ];

    fn name(self) -> &'static str {
        match self {
            PreOutcome::Proceeded => "proceeded",
            PreOutcome::Changed => "changed",
            PreOutcome::Refused => "refused",
            PreOutcome::TimedOut => "timed_out",
            PreOutcome::Failed => "failed",
        }
    }
}

/// How a try to tell an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    Taken,
    /// It is tried again.
    Retried,
    /// It is a dead letter now.
    Dead,
    /// It was a dead letter, and the oldest of too many.
    Dropped,
}

impl PostOutcome {
    const ALL: [PostOutcome; 4] =
        [PostOutcome::Taken, PostOutcome::Retried, PostOutcome::Dead, PostOutcome::Dropped];

    fn name(self) -> &'static str {
        match self {
            PostOutcome::Taken => "taken",
            PostOutcome::Retried => "retried",
            PostOutcome::Dead => "dead",
            PostOutcome::Dropped => "dropped",
        }
    }
}

/// Makes every series exist at zero.
pub fn register() {
    for outcome in PreOutcome::ALL {
        counter!(names::EVENT_WEBHOOKS, "hook" => "pre", "outcome" => outcome.name()).increment(0);
    }
    for outcome in PostOutcome::ALL {
        counter!(names::EVENT_WEBHOOKS, "hook" => "post", "outcome" => outcome.name()).increment(0);
    }
    gauge!(names::EVENT_WEBHOOK_QUEUE).increment(0.0);
    gauge!(names::DEAD_LETTERS).increment(0.0);
    gauge!(names::INBOX_MESSAGES).increment(0.0);
}

/// A pre-action webhook was asked.
pub fn asked(outcome: PreOutcome) {
    counter!(names::EVENT_WEBHOOKS, "hook" => "pre", "outcome" => outcome.name()).increment(1);
}

/// A try to tell an event ended.
pub fn told(outcome: PostOutcome) {
    counter!(names::EVENT_WEBHOOKS, "hook" => "post", "outcome" => outcome.name()).increment(1);
}

/// What waits, read when somebody scrapes.
pub fn waiting(events: u64, dead_letters: u64, inbox: u64) {
    gauge!(names::EVENT_WEBHOOK_QUEUE).set(events as f64);
    gauge!(names::DEAD_LETTERS).set(dead_letters as f64);
    gauge!(names::INBOX_MESSAGES).set(inbox as f64);
}
