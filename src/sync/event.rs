//! Events as clients read them. Each is encoded once, for all sockets that are told.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_adapter::Notice;

use super::object::{ItemKey, Kind, Object};
use super::read::Entry;
use crate::ledger::engine::Revision;

/// The one kind of notice that is strictly ordered.
const EVENT: &str = "twilio.sync.event";
const PROTOCOL: u32 = 4;
/// Where clients would find an item; they need an absolute URL and ask none of these.
const ANYWHERE: &str = "https://sync.invalid/v3";

/// An item's change, told to some as something new and to others as something changed.
pub struct Event {
    pub id: Revision,
    created: Revision,
    name: String,
    kind: Kind,
    entry: Entry,
    added: OnceLock<Notice>,
    updated: OnceLock<Notice>,
}

impl Event {
    pub fn new(object: &Object, entry: Entry) -> Event {
        Event {
            id: entry.changed,
            created: entry.created,
            name: object.name(),
            kind: object.kind(),
            entry,
            added: OnceLock::new(),
            updated: OnceLock::new(),
        }
    }

    /// The notice for somebody who knows everything up to a number.
    pub fn notice(&self, known: Revision) -> Notice {
        let new = self.created > known && self.kind != Kind::Document;
        let cell = if new { &self.added } else { &self.updated };
        cell.get_or_init(|| self.encode(new)).clone()
    }

    /// The object is gone with this event.
    pub fn ends_object(&self) -> bool {
        self.kind == Kind::Document && self.entry.shown.is_none()
    }

    fn encode(&self, new: bool) -> Notice {
        let (word, id) = (self.kind.name(), self.id);
        let shown = self.entry.shown.as_ref();
        let mut event = json!({ "id": id });
        event[format!("{word}_sid")] = self.name.as_str().into();
        event[format!("{word}_revision")] = id.to_string().into();
        let what = match (self.kind, shown) {
            (Kind::Document, Some(shown)) => {
                event["document_data"] = shown.data.clone();
                "updated"
            }
            (Kind::Document, None) => "removed",
            (_, shown) => {
                match &self.entry.key {
                    ItemKey::Index(index) => event["item_index"] = (*index).into(),
                    ItemKey::Key(key) => event["item_key"] = key.as_str().into(),
                    ItemKey::Whole => {}
                }
                event["item_url"] = item_url(self.kind, &self.name, &self.entry.key).into();
                event["item_revision"] = id.to_string().into();
                match shown {
                    Some(shown) => {
                        event["item_data"] = shown.data.clone();
                        event["date_expires"] = Value::Null;
                        if new { "item_added" } else { "item_updated" }
                    }
                    None => "item_removed",
                }
            }
        };
        if let Some(shown) = shown {
            event["date_created"] = shown.updated.rfc3339_millis().into();
        }
        let event_type = format!("{word}_{what}");
        told(&json!({ "event_type": event_type, "event_protocol_version": PROTOCOL, "event": event }))
    }
}

fn told(payload: &Value) -> Notice {
    Notice { message_type: EVENT, payload: Bytes::from(payload.to_string()) }
}

/// A subscription stands: its replay is over.
pub fn established(name: &str, kind: Kind, correlation: &Value, number: Revision) -> Notice {
    answered(
        "subscription_established",
        correlation,
        json!({
            "object_sid": name,
            "object_type": kind.name(),
            "replay_status": "completed",
            "last_event_id": number,
        }),
    )
}

/// A subscription is over because it was asked to be.
pub fn canceled(name: &str, kind: &str, correlation: &Value) -> Notice {
    answered("subscription_canceled", correlation, json!({ "object_sid": name, "object_type": kind }))
}

/// There is no such object, or not for this client.
pub fn failed(name: &str, kind: &str, correlation: &Value, error: (u16, u32, &str)) -> Notice {
    let (status, code, message) = error;
    let error = json!({ "status": status, "code": code, "message": message });
    let event = json!({ "object_sid": name, "object_type": kind, "error": error });
    answered("subscription_failed", correlation, event)
}

fn answered(event_type: &str, correlation: &Value, event: Value) -> Notice {
    told(&json!({
        "event_type": event_type,
        "event_protocol_version": PROTOCOL,
        "correlation_id": correlation,
        "event": event,
    }))
}

/// An item's address.
pub fn item_url(kind: Kind, name: &str, key: &ItemKey) -> String {
    let at = match key {
        ItemKey::Whole => String::new(),
        ItemKey::Index(index) => index.to_string(),
        ItemKey::Key(key) => {
            percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
        }
    };
    format!("{ANYWHERE}/{}/{name}/Items/{at}", kind.plural())
}
