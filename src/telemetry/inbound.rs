//! What comes in.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use trunkline_adapter::{DeliveryStatus, Timestamp};

use super::names;
use super::series::Shelf;

/// What became of an inbound event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundOutcome {
    Accepted,
    Duplicate,
    Unbound,
    Refused,
    Unreadable,
}

impl InboundOutcome {
    const ALL: [InboundOutcome; 5] = [
        InboundOutcome::Accepted,
        InboundOutcome::Duplicate,
        InboundOutcome::Unbound,
        InboundOutcome::Refused,
        InboundOutcome::Unreadable,
    ];

    fn name(self) -> &'static str {
        match self {
            InboundOutcome::Accepted => "accepted",
            InboundOutcome::Duplicate => "duplicate",
            InboundOutcome::Unbound => "unbound",
            InboundOutcome::Refused => "refused",
            InboundOutcome::Unreadable => "unreadable",
        }
    }
}

/// What is counted about one adapter; the counters in the order of `ALL`.
struct Series {
    messages: [Counter; InboundOutcome::ALL.len()],
    last: Gauge,
    statuses: [Counter; DeliveryStatus::ALL.len()],
}

static ADAPTERS: Shelf<Series> = Shelf::new();

fn series(adapter: &str) -> Arc<Series> {
    ADAPTERS.of(adapter, || {
        Series {
        messages: InboundOutcome::ALL.map(|outcome| {
            counter!(names::INBOUND_MESSAGES, "adapter" => adapter.to_owned(), "outcome" => outcome.name())
        }),
        last: gauge!(names::LAST_INBOUND, "adapter" => adapter.to_owned()),
        statuses: DeliveryStatus::ALL.map(|status| {
            counter!(names::DELIVERY_STATUS, "adapter" => adapter.to_owned(), "status" => status.name())
        }),
    }
    })
}

/// Makes an adapter's series exist with 0.
pub fn register(adapter: &str) {
    let series = series(adapter);
    series.messages.iter().chain(&series.statuses).for_each(|counter| counter.absolute(0));
    // Registered again by every reload, which must not forget when somebody was last heard of.
    series.last.increment(0.0);
}

/// An inbound event was dealt with.
pub fn inbound(adapter: &str, outcome: InboundOutcome) {
    series(adapter).messages[outcome as usize].increment(1);
}

/// A provider reached us with something well signed.
pub fn heard_from(adapter: &str, at: Timestamp) {
    series(adapter).last.set(at.millis() as f64 / 1000.0);
}

/// A receipt moved.
pub fn status(adapter: &str, status: DeliveryStatus) {
    series(adapter).statuses[status as usize].increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_place() {
        assert!(InboundOutcome::ALL.iter().enumerate().all(|(place, outcome)| *outcome as usize == place));
        assert!(DeliveryStatus::ALL.iter().enumerate().all(|(place, status)| *status as usize == place));
    }
}
