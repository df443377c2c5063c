//! Webhooks: every element of a page's `messaging[]` becomes events.
//!
//! Owns the walk and the routing by page; messages are `message`, what they hold is `content`, deliveries and reads are
//! `receipt`, everything smaller is `event`. Nothing here fails after the gate: an element that makes no sense is a notice.

mod content;
mod event;
mod message;
mod receipt;

use std::collections::HashSet;

use trunkline_adapter::{Address, Inbound, Person, Received, Refusal, Reply, Webhook, WebhookRequest};
use trunkline_graph::{Delivery, Event, Gate, Json, Passed, kind_word, lenient, unreadable};

use crate::settings::address;

/// Reads webhooks of one app.
pub(crate) struct Receiver {
    gate: Gate,
    pages: HashSet<Address>,
}

impl Receiver {
    pub(crate) fn new(gate: Gate, pages: HashSet<Address>) -> Receiver {
        Receiver { gate, pages }
    }

    /// The page an element belongs to, as an address; the entry says so, and the element itself where it does not.
    fn page(&self, entry: &Json<'_>, event: &Json<'_>) -> Option<Address> {
        let side = |key: &str| event.get(key).and_then(|side| lenient::text(side, "id"));
        let ours = |id: String| address(&id).filter(|page| self.pages.contains(page));
        let ids = [lenient::text(entry, "id"), side("recipient"), side("sender")];
        match ids {
            [Some(entry), ..] => ours(entry),
            [None, recipient, sender] => recipient.and_then(ours).or_else(|| sender.and_then(ours)),
        }
    }
}

impl Webhook for Receiver {
    fn receive(&self, request: &WebhookRequest) -> Result<Received, Refusal> {
        let delivery = match self.gate.pass(request)? {
            Passed::Challenge(received) => return Ok(received),
            Passed::Delivery(body) => Delivery::new(body)?,
        };
        match delivery.object() {
            "page" => {}
            // The same app may be subscribed for Instagram; it is not carried here.
            "instagram" => {
                let inbound = delivery.entries().iter().map(|entry| notice("instagram", entry)).collect();
                return Ok(Received { inbound, reply: Reply::empty() });
            }
            other => return Err(Refusal::Malformed(format!("object is {}", kind_word(other)))),
        }
        let mut inbound = Vec::new();
        let mut foreign = 0;
        for event in delivery.events() {
            match event {
                Event::Messaging { entry, event } => match self.page(entry, event) {
                    Some(page) => match read(event, &page) {
                        Some(events) => inbound.extend(events),
                        None => inbound.push(unreadable("event", event)),
                    },
                    None => {
                        foreign += 1;
                        inbound.push(notice("foreign_number", event));
                    }
                },
                Event::Standby { event } => inbound.push(notice("standby", event)),
                Event::Change { field, value } => inbound.push(notice(field, value)),
                Event::Unreadable { raw } => inbound.push(unreadable("element", raw)),
            }
        }
        if foreign > 0 && foreign == inbound.len() {
            return Err(Refusal::WrongAccount);
        }
        Ok(Received { inbound, reply: Reply::empty() })
    }
}

/// What an element may be, the more telling first.
const KINDS: [&str; 9] = [
    "message",
    "message_edit",
    "message_edits",
    "postback",
    "delivery",
    "read",
    "reaction",
    "referral",
    "optin",
];

/// Reads one element; `None` when it lacks what its kind always has.
fn read(raw: &Json<'_>, page: &Address) -> Option<Vec<Inbound>> {
    let Some((kind, object)) = KINDS.iter().find_map(|kind| Some((*kind, raw.get(kind)?))) else {
        return other(raw).map(|kind| vec![notice(kind, raw)]);
    };
    let element = Element { raw, object, page };
    let one = match kind {
        "message" => message::read(&element),
        "message_edit" | "message_edits" => message::edit(&element),
        "postback" => message::postback(&element),
        "delivery" => return receipt::delivery(&element),
        "read" => receipt::read(&element),
        "reaction" => event::reaction(&element),
        _ => Some(event::opened(&element, kind)),
    };
    one.map(|event| vec![event])
}

/// Thread control, policy, account linking, news: named by the member beside sender, recipient and time.
fn other<'a>(raw: &'a Json<'_>) -> Option<&'a str> {
    // Of several the first by name, so that the order in which they stand tells nothing.
    raw.names().filter(|name| !matches!(*name, "sender" | "recipient" | "timestamp" | "prior_message")).min()
}

fn notice(kind: &str, raw: &Json<'_>) -> Inbound {
    Inbound::Notice { kind: kind_word(kind), raw: raw.to_value() }
}

/// One element, its telling member, and the page it came to.
struct Element<'a> {
    raw: &'a Json<'a>,
    object: &'a Json<'a>,
    page: &'a Address,
}

impl Element<'_> {
    /// The side's id: a person's, or the page's own.
    fn side(&self, key: &str) -> Option<Address> {
        self.raw.get(key).and_then(|side| lenient::text(side, "id")).as_deref().and_then(address)
    }

    /// The person who did it.
    fn sender(&self) -> Option<Person> {
        self.side("sender").filter(|sender| sender != self.page).map(Person::new)
    }

    fn text(&self, key: &str) -> Option<String> {
        lenient::text(self.object, key)
    }

    fn at(&self) -> Option<trunkline_adapter::Timestamp> {
        lenient::instant(self.raw, "timestamp")
    }

    /// The time as it was written, for ids of events that have none of their own.
    fn stamp(&self) -> String {
        lenient::text(self.raw, "timestamp").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
