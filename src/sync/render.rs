//! What items hold: one place that turns stored rows into the JSON that clients read.
//!
//! Clients are particular: attributes of messages and participants are JSON text and not JSON, a delivery summary has all of
//! its six members or is not there, and a membership carries nothing that stands in the conversation's document too, or a
//! stale copy would win.

use serde_json::{Value, json};

use super::object::Object;
use crate::model::{
    ConversationRecord, ConversationSid, DeliverySummary, Head, MessageMedia, MessageRecord,
    ParticipantRecord, UserRecord,
};

/// Who made a conversation that no user made.
pub const NOBODY: &str = "system";

/// A conversation's document.
pub(super) fn document(
    head: &Head,
    record: &ConversationRecord,
    last: Option<(u64, &MessageRecord)>,
) -> Value {
    let sid = &record.sid;
    let mut data = json!({
        "sid": sid,
        "uniqueName": record.unique_name,
        "friendlyName": record.friendly_name,
        "attributes": record.attributes,
        "createdBy": record.created_by.as_deref().unwrap_or(NOBODY),
        "dateCreated": record.created.rfc3339_millis(),
        "dateUpdated": record.updated.rfc3339_millis(),
        "state": { "current": head.state.name(), "dateUpdated": record.updated.rfc3339_millis() },
        "bindings": {},
        "messages": Object::Messages(sid.clone()).name(),
        "roster": Object::Roster(sid.clone()).name(),
    });
    if let Some((index, message)) = last {
        data["lastMessage"] = json!({ "index": index, "timestamp": message.created.rfc3339_millis() });
    }
    data
}

/// A message.
pub(super) fn message(record: &MessageRecord, delivery: Option<DeliverySummary>) -> Value {
    let mut data = json!({
        "sid": record.sid,
        "text": record.body,
        "type": if record.media.is_empty() { "text" } else { "media" },
        "author": record.author,
        "memberSid": record.participant,
        "subject": record.subject(),
        "contentSid": record.template.as_ref().map(|template| template.sid.as_str()),
        "attributes": record.attributes,
        "timestamp": record.created.rfc3339_millis(),
        "dateUpdated": record.updated.rfc3339_millis(),
        "lastUpdatedBy": record.updated_by(),
        "channelMetadata": false,
    });
    if !record.media.is_empty() {
        let medias: Vec<Value> = record.media.iter().map(media).collect();
        // Older clients know one file only.
        data["media"] = medias[0].clone();
        data["medias"] = medias.into();
    }
    if let Some(delivery) = delivery {
        data["delivery"] = json!({
            "total": delivery.total,
            "sent": delivery.sent.name(),
            "delivered": delivery.delivered.name(),
            "read": delivery.read.name(),
            "failed": delivery.failed.name(),
            "undelivered": delivery.undelivered.name(),
        });
    }
    data
}

fn media(media: &MessageMedia) -> Value {
    json!({
        "sid": media.sid,
        "category": media.category.name(),
        "filename": media.filename,
        "contentType": media.content_type,
        "size": media.size,
    })
}

/// Somebody in a conversation.
pub(super) fn participant(record: &ParticipantRecord) -> Value {
    let (kind, bindings) = match &record.binding {
        None => ("chat", json!({})),
        Some(binding) => {
            let channel = binding.address.channel().name();
            (channel, json!({ channel: { "address": binding.address, "proxy_address": binding.proxy } }))
        }
    };
    let profile = record.identity.as_ref().map(|identity| Object::Profile(identity.clone()).name());
    json!({
        "sid": record.sid,
        "identity": record.identity,
        "type": kind,
        "attributes": record.attributes,
        "roleSid": record.role_sid,
        "dateCreated": record.created.rfc3339_millis(),
        "dateUpdated": record.updated.rfc3339_millis(),
        "lastConsumedMessageIndex": record.last_read_message_index,
        "lastConsumptionTimestamp": record.last_read_timestamp.map(|at| at.rfc3339_millis()),
        "userInfo": profile,
        "bindings": bindings,
    })
}

/// A conversation as one of its members has it.
pub(super) fn membership(conversation: &ConversationSid, record: &ParticipantRecord) -> Value {
    json!({
        "status": "joined",
        "channel": Object::Document(conversation.clone()).name(),
        "messages": Object::Messages(conversation.clone()).name(),
        "roster": Object::Roster(conversation.clone()).name(),
        "notificationLevel": if record.muted { "muted" } else { "default" },
        "lastConsumedMessageIndex": record.last_read_message_index,
    })
}

/// Items of a user's map, in the order of their keys.
pub(super) const ATTRIBUTES: &str = "attributes";
pub(super) const FRIENDLY_NAME: &str = "friendlyName";
pub(super) const REACHABILITY: &str = "reachability";

/// What a user calls themself, and what else they say.
pub(super) fn profile(record: &UserRecord, key: &str) -> Option<Value> {
    match key {
        ATTRIBUTES => Some(json!({ "value": record.attributes })),
        FRIENDLY_NAME => Some(json!({ "value": record.friendly_name })),
        _ => None,
    }
}

/// Whether a user can be reached.
pub(super) fn reachability(online: bool, notifiable: bool) -> Value {
    json!({ "online": online, "notifiable": notifiable })
}
