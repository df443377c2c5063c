//! Conversations as clients make, find and change them, and a client's own place in one.

use serde_json::{Map, Value, json};
use trunkline_adapter::Timestamp;

use super::call::Asked;
use super::{CAUSE, Given, Guest, configuration};
use crate::http::api::{conversations, memberships};
use crate::http::error::ApiError;
use crate::model::Conversation;
use crate::relay::command::{Change, NewConversation};
use crate::relay::permissions::Action;
use crate::relay::resources::memberships::Sought;
use crate::sync::{NOBODY, Object};

const FIELDS: &[(&str, &str)] =
    &[("friendly_name", "FriendlyName"), ("unique_name", "UniqueName"), ("attributes", "Attributes")];
const READING: &[(&str, &str)] =
    &[("last_read_message_index", "LastReadMessageIndex"), ("notification_level", "NotificationLevel")];

pub(super) async fn create(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    guest.require_of_service(Action::CreateConversation).await?;
    let new = conversations::new(&asked.form(FIELDS)?)?;
    let new = NewConversation { created_by: Some(guest.identity().to_owned()), ..new };
    let made = guest.relay().create_conversation(guest.account(), guest.service(), new, CAUSE).await?;
    Ok(Given::Created(render(guest, &made).await?))
}

pub(super) async fn show(guest: &Guest, name: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    if !guest.made(&conversation).await? {
        guest.require(&conversation, &[Action::Peek]).await?;
    }
    Ok(Given::Shown(render(guest, &conversation).await?))
}

pub(super) async fn list(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let after = asked.query.filled("PageToken");
    let size = asked.page_size(configuration::CONVERSATIONS, configuration::CONVERSATIONS)?;
    let sought = Sought::Identity(guest.identity().to_owned());
    let found = guest.relay().memberships(guest.account(), guest.service(), &sought, after, size + 1);
    let mut found = found.await?;
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| more).map(|last| last.place());
    let mut shown = Vec::with_capacity(found.len());
    for membership in &found {
        shown.push(render(guest, &membership.conversation).await?);
    }
    Ok(Given::Shown(json!({
        "conversations": shown,
        "meta": { "key": "conversations", "previous_token": null, "next_token": next },
    })))
}

pub(super) async fn update(guest: &Guest, name: &str, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let form = asked.form(FIELDS)?;
    let mut actions = Vec::new();
    if form.any(&["FriendlyName", "UniqueName"]) {
        actions.push(Action::RenameConversation);
    }
    if form.any(&["Attributes"]) {
        actions.push(Action::EditConversationAttributes);
    }
    let change = conversations::change(&form)?;
    guest.require(&conversation, &actions).await?;
    let sid = conversation.sid().as_str();
    let changed = guest.relay().update_conversation(guest.account(), guest.service(), sid, change, CAUSE);
    Ok(Given::Shown(render(guest, &*changed.await?).await?))
}

pub(super) async fn delete(guest: &Guest, name: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    guest.require(&conversation, &[Action::DeleteConversation]).await?;
    let sid = conversation.sid().as_str();
    guest.relay().delete_conversation(guest.account(), guest.service(), sid, CAUSE).await?;
    Ok(Given::Gone)
}

/// How far the caller has read, and whether they want pushes.
pub(super) async fn update_membership(
    guest: &Guest,
    name: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let mut form = asked.form(READING)?;
    if asked.member("last_read_message_index").is_some_and(Value::is_null) {
        form = form.with("LastReadMessageIndex", "null");
    }
    let mut change = memberships::change(&form)?;
    let mut actions = vec![Action::TakePart];
    if change.muted.is_some() {
        actions.push(Action::EditNotificationLevel);
    }
    guest.require(&conversation, &actions).await?;
    // When they read is known here; a client does not say.
    change.last_read_timestamp = match &change.last_read_message_index {
        Change::Keep => Change::Keep,
        Change::Clear => Change::Clear,
        Change::Set(_) => Change::Set(now(guest)),
    };
    let sid = conversation.sid().as_str();
    let who = guest.identity();
    let changed =
        guest.relay().update_participant(guest.account(), guest.service(), sid, who, change, CAUSE).await?;
    Ok(Given::Shown(render(guest, &changed.0).await?))
}

fn now(guest: &Guest) -> Timestamp {
    guest.house.clock.now()
}

/// A conversation as all answers show it.
pub(super) async fn render(guest: &Guest, conversation: &Conversation) -> Result<Value, ApiError> {
    let (record, relay, account) = (&conversation.record, guest.relay(), guest.account());
    let sid = &record.sid;
    let seat = guest.seat(conversation);
    let unread = match seat {
        Some(seat) => relay.unread(account, conversation, seat).await?,
        None => None,
    };
    let url = guest.url(&format!("/Conversations/{sid}"));
    let mut shown = json!({
        "account_sid": account,
        "chat_service_sid": conversation.head.service,
        "sid": sid,
        "conversation_sid": sid,
        "status": if seat.is_some() { "joined" } else { "notParticipating" },
        "friendly_name": record.friendly_name,
        "unique_name": record.unique_name,
        "attributes": record.attributes,
        "state": conversation.head.state.name(),
        "created_by": record.created_by.as_deref().unwrap_or(NOBODY),
        "date_created": record.created.rfc3339_millis(),
        "date_updated": record.updated.rfc3339_millis(),
        "last_read_message_index": seat.and_then(|seat| seat.last_read_message_index),
        "unread_messages_count": unread,
        "notification_level": if seat.is_some_and(|seat| seat.muted) { "muted" } else { "default" },
        "participants_count": conversation.members.len(),
        "messages_count": relay.message_count(account, conversation).await?,
        "url": url,
        "links": { "messages": format!("{url}/Messages"), "participants": format!("{url}/Participants") },
    });
    shown["sync_objects"] = Value::Object(Map::from_iter(
        [
            ("conversation", Object::Document(sid.clone())),
            ("messages", Object::Messages(sid.clone())),
            ("participants", Object::Roster(sid.clone())),
        ]
        .map(|(name, object)| (name.to_owned(), object.name().into())),
    ));
    Ok(shown)
}
