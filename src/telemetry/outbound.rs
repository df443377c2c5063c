//! What lanes tell.
#![allow(clippy::disallowed_macros, reason = "this is where metrics are recorded")]

use std::time::Duration;

use metrics::{counter, gauge, histogram};
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

/// Makes every series of a lane exist at zero.
pub fn register(adapter: &str, proxy: &str) {
    for outcome in OUTCOMES {
        outbound_counter(adapter, proxy, outcome).increment(0);
    }
    for status in DeliveryStatus::ALL {
        status_counter(adapter, status).increment(0);
    }
    for state in STATES {
        gauge!(names::LANES, "adapter" => adapter.to_owned(), "state" => state).increment(0.0);
    }
    counter!(names::DUPLICATE_SENDS, "adapter" => adapter.to_owned()).increment(0);
    counter!(names::LANE_RESTARTS, "adapter" => adapter.to_owned()).increment(0);
    gauge!(names::LANE_MESSAGES, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned()).increment(0.0);
    gauge!(names::LANE_OLDEST, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned()).increment(0.0);
    for name in [names::PROVIDER_DURATION, names::RELAY_DURATION, names::RATE_WAIT] {
        let _ = histogram!(name, "adapter" => adapter.to_owned());
    }
}

/// A request to a provider ended.
pub fn answered(adapter: &str, proxy: &str, outcome: &Outcome, took: Duration) {
    outbound_counter(adapter, proxy, outcome_name(outcome)).increment(1);
    histogram!(names::PROVIDER_DURATION, "adapter" => adapter.to_owned()).record(took.as_secs_f64());
}

/// A receipt moved.
pub fn delivery_status(adapter: &str, status: DeliveryStatus) {
    status_counter(adapter, status).increment(1);
}

/// A message was taken by the provider, this long after it came in, rate waits left out.
pub fn relayed(adapter: &str, took: Duration) {
    histogram!(names::RELAY_DURATION, "adapter" => adapter.to_owned()).record(took.as_secs_f64());
}

/// A permit was had after this long.
pub fn rate_waited(adapter: &str, waited: Duration) {
    histogram!(names::RATE_WAIT, "adapter" => adapter.to_owned()).record(waited.as_secs_f64());
}

/// Something is sent that may have been sent before.
pub fn duplicate(adapter: &str) {
    counter!(names::DUPLICATE_SENDS, "adapter" => adapter.to_owned()).increment(1);
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

fn outbound_counter(adapter: &str, proxy: &str, outcome: &'static str) -> metrics::Counter {
    counter!(names::OUTBOUND_MESSAGES, "adapter" => adapter.to_owned(), "proxy" => proxy.to_owned(), "outcome" => outcome)
}

fn status_counter(adapter: &str, status: DeliveryStatus) -> metrics::Counter {
    counter!(names::DELIVERY_STATUS, "adapter" => adapter.to_owned(), "status" => status.name())
}
