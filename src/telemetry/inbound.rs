//! What comes in.

use metrics::{counter, gauge};
use trunkline_adapter::{DeliveryStatus, Timestamp};

use super::names;

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

/// Makes an adapter's series exist with 0.
pub fn register(adapter: &str) {
    for outcome in InboundOutcome::ALL {
        counter!(names::INBOUND_MESSAGES, "adapter" => adapter.to_owned(), "outcome" => outcome.name())
            .absolute(0);
    }
    // Registered again by every reload, which must not forget when somebody was last heard of.
    gauge!(names::LAST_INBOUND, "adapter" => adapter.to_owned()).increment(0.0);
    for status in DeliveryStatus::ALL {
        counter!(names::DELIVERY_STATUS, "adapter" => adapter.to_owned(), "status" => status.name())
            .absolute(0);
    }
}

/// An inbound event was dealt with.
pub fn inbound(adapter: &str, outcome: InboundOutcome) {
    counter!(names::INBOUND_MESSAGES, "adapter" => adapter.to_owned(), "outcome" => outcome.name())
        .increment(1);
}

/// A provider reached us with something well signed.
pub fn heard_from(adapter: &str, at: Timestamp) {
    gauge!(names::LAST_INBOUND, "adapter" => adapter.to_owned()).set(at.millis() as f64 / 1000.0);
}

/// A receipt moved.
pub fn status(adapter: &str, status: DeliveryStatus) {
    counter!(names::DELIVERY_STATUS, "adapter" => adapter.to_owned(), "status" => status.name()).increment(1);
}
