//! What lanes tell.
#![allow(clippy::disallowed_macros, reason = "this is where metrics are recorded")]

use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};
use trunkline_adapter::{DeliveryStatus, Outcome};

use super::names;

/// The values of the `outcome` label.
const OUTCOMES: [&str; 5] = ["accepted", "retryable", "throttled", "rejected", "unknown"];
/// The values of the `state` label.
const STATES: [&str; 4] = ["idle", "sending", "waiting", "held"];

/// The word for an outcome, in metrics and in what operators read.
pub fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Retryable { .. } => "retryable",
        Outcome::Throttled { .. } => "throttled",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Unknown { .. } => "unknown",
    }
}

/// The series of one lane, looked up once: a look-up by name and labels for each message costs more than the counting.
pub struct Series {
    /// In the order of [`OUTCOMES`].
    outcomes: [Counter; 5],
    /// In the order of [`DeliveryStatus::ALL`].
    statuses: [Counter; 5],
    duplicates: Counter,
    answer: Histogram,
    relay: Histogram,
    wait: Histogram,
}

/// Makes every series of a lane exist at zero.
pub fn register(adapter: &str, proxy: &str) -> Series {
    for state in STATES {
        gauge!(names::LANES, "adapter" => adapter.to_owned(), "state" => state).increment(0.0);
    }
    counter!(names::LANE_RESTARTS, "adapter" => adapter.to_owned()).increment(0);
    gauge!(names::LANE_MESSAGES, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned()).increment(0.0);
    gauge!(names::LANE_OLDEST, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned()).increment(0.0);
    let series = Series {
        outcomes: OUTCOMES.map(|outcome| {
            counter!(names::OUTBOUND_MESSAGES, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned(), "outcome" => outcome)
        }),
        statuses: DeliveryStatus::ALL.map(|status| status_counter(adapter, status)),
        duplicates: counter!(names::DUPLICATE_SENDS, "adapter" => adapter.to_owned()),
        answer: histogram!(names::PROVIDER_DURATION, "adapter" => adapter.to_owned()),
        relay: histogram!(names::RELAY_DURATION, "adapter" => adapter.to_owned()),
        wait: histogram!(names::RATE_WAIT, "adapter" => adapter.to_owned()),
    };
    for counter in series.outcomes.iter().chain(&series.statuses).chain([&series.duplicates]) {
        counter.increment(0);
    }
    series
}

impl Series {
    /// A request to a provider ended.
    pub fn answered(&self, outcome: &Outcome, took: Duration) {
        let name = outcome_name(outcome);
        for (counter, _) in self.outcomes.iter().zip(OUTCOMES).filter(|(_, own)| *own == name) {
            counter.increment(1);
        }
        self.answer.record(took.as_secs_f64());
    }

    /// A receipt moved.
    pub fn delivery_status(&self, status: DeliveryStatus) {
        for (counter, _) in self.statuses.iter().zip(DeliveryStatus::ALL).filter(|(_, own)| *own == status) {
            counter.increment(1);
        }
    }

    /// A message was taken by the provider, this long after it came in, rate waits left out.
    pub fn relayed(&self, took: Duration) {
        self.relay.record(took.as_secs_f64());
    }

    /// A permit was had after this long.
    pub fn rate_waited(&self, waited: Duration) {
        self.wait.record(waited.as_secs_f64());
    }

    /// Something is sent that may have been sent before.
    pub fn duplicate(&self) {
        self.duplicates.increment(1);
    }
}

/// A receipt moved by what came in.
pub fn delivery_status(adapter: &str, status: DeliveryStatus) {
    status_counter(adapter, status).increment(1);
}

/// A lane panicked and was started again.
pub fn restarted(adapter: &str) {
    counter!(names::LANE_RESTARTS, "adapter" => adapter.to_owned()).increment(1);
}

/// How full a lane is.
pub fn lane(adapter: &str, proxy: &str, depth: u64, oldest: Duration) {
    gauge!(names::LANE_MESSAGES, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned())
        .set(depth as f64);
    gauge!(names::LANE_OLDEST, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned())
        .set(oldest.as_secs_f64());
}

/// How many of an adapter's lanes are in which state; states not named are at zero.
pub fn lanes(adapter: &str, count: impl Fn(&str) -> usize) {
    for state in STATES {
        gauge!(names::LANES, "adapter" => adapter.to_owned(), "state" => state).set(count(state) as f64);
    }
}

fn status_counter(adapter: &str, status: DeliveryStatus) -> Counter {
    counter!(names::DELIVERY_STATUS, "adapter" => adapter.to_owned(), "status" => status.name())
}
