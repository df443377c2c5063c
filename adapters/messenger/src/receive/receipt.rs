//! Deliveries and reads: by message where the provider names messages, by watermark otherwise.

use trunkline_adapter::{DeliveryStatus, Inbound, StatusReport, Timestamp};
use trunkline_graph::lenient;

use super::Element;

/// The `delivery` member. The watermark is told even when messages are named: it covers those whose echo was late.
pub(super) fn delivery(element: &Element<'_>) -> Option<Vec<Inbound>> {
    let until = lenient::instant(element.object, "watermark");
    let mids = lenient::list(element.object, "mids").iter().filter_map(lenient::scalar);
    let at = until.or_else(|| element.at());
    let mut events: Vec<Inbound> =
        mids.map(|mid| status(element, mid, DeliveryStatus::Delivered, at)).collect();
    events.extend(until.and_then(|until| watermark(element, DeliveryStatus::Delivered, until)));
    (!events.is_empty()).then_some(events)
}

/// The `read` member.
pub(super) fn read(element: &Element<'_>) -> Option<Inbound> {
    match (lenient::instant(element.object, "watermark"), element.text("mid")) {
        (Some(until), _) => watermark(element, DeliveryStatus::Read, until),
        (None, Some(mid)) => Some(status(element, mid, DeliveryStatus::Read, element.at())),
        (None, None) => None,
    }
}

fn status(element: &Element<'_>, id: String, status: DeliveryStatus, at: Option<Timestamp>) -> Inbound {
    Inbound::Status(StatusReport {
        id,
        from: element.page.clone(),
        correlation: None,
        status,
        error: None,
        learned: Vec::new(),
        at,
    })
}

fn watermark(element: &Element<'_>, status: DeliveryStatus, until: Timestamp) -> Option<Inbound> {
    Some(Inbound::Watermark { from: element.sender()?, to: element.page.clone(), status, until })
}
