//! Messages as clients write, edit and remove them, and what became of them on their way out.

use serde_json::{Value, json};

use super::call::Asked;
use super::{CAUSE, Given, Guest};
use crate::http::api::messages;
use crate::http::error::{self, ApiError};
use crate::model::{Conversation, MessageSid, ReceiptRecord};
use crate::relay::RelayError;
use crate::relay::command::MessageChange;
use crate::relay::permissions::Action;

const NEW: &[(&str, &str)] = &[
    ("body", "Body"),
    ("subject", "Subject"),
    ("attributes", "Attributes"),
    ("media_sids", "MediaSid"),
    ("content_sid", "ContentSid"),
    ("content_variables", "ContentVariables"),
];
const CHANGES: &[(&str, &str)] = &[("body", "Body"), ("attributes", "Attributes")];
/// Receipts in a page.
const RECEIPTS: usize = 50;

pub(super) async fn post(guest: &Guest, name: &str, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let form = asked.form(NEW)?.with("Author", guest.identity());
    let mut actions = vec![Action::TakePart, Action::SendMessage];
    if form.filled("MediaSid").is_some() {
        actions.push(Action::SendMediaMessage);
    }
    guest.require(&conversation, &actions).await?;
    let new = messages::posted(guest.relay(), &form)?;
    let sid = conversation.sid().as_str();
    let posted = guest.relay().post_message(guest.account(), guest.service(), sid, new, CAUSE).await?;
    let (conversation, message) = posted;
    Ok(Given::Created(json!({
        "sid": message.record.sid,
        "index": message.index,
        "conversation_sid": conversation.sid(),
        "author": message.record.author,
        "body": message.record.body,
        "attributes": message.record.attributes,
        "participant_sid": message.record.participant,
        "date_created": message.record.created.rfc3339_millis(),
        "date_updated": message.record.updated.rfc3339_millis(),
    })))
}

pub(super) async fn update(
    guest: &Guest,
    name: &str,
    sid: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let form = asked.form(CHANGES)?;
    let change = MessageChange { by: Some(guest.identity().to_owned()), ..messages::change(&form)? };
    let own = is_own(guest, &conversation, sid).await?;
    let mut actions = vec![Action::TakePart];
    if form.any(&["Body"]) {
        actions.push(Action::EditMessage { own });
    }
    if form.any(&["Attributes"]) {
        actions.push(Action::EditMessageAttributes { own });
    }
    guest.require(&conversation, &actions).await?;
    let within = conversation.sid().as_str();
    let changed = guest.relay().update_message(guest.account(), guest.service(), within, sid, change, CAUSE);
    let (_, message) = changed.await?;
    Ok(Given::Shown(json!({ "sid": message.record.sid, "index": message.index })))
}

pub(super) async fn delete(guest: &Guest, name: &str, sid: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let own = is_own(guest, &conversation, sid).await?;
    guest.require(&conversation, &[Action::TakePart, Action::DeleteMessage { own }]).await?;
    let within = conversation.sid().as_str();
    guest.relay().delete_message(guest.account(), guest.service(), within, sid, CAUSE).await?;
    Ok(Given::Gone)
}

/// Whether the caller wrote a message. Nobody who is not there learns whether it exists.
async fn is_own(guest: &Guest, conversation: &Conversation, sid: &str) -> Result<bool, ApiError> {
    guest.require(conversation, &[Action::TakePart]).await?;
    let within = conversation.sid().as_str();
    let (_, message) = guest.relay().message(guest.account(), guest.service(), within, sid).await?;
    Ok(message.record.author == guest.identity())
}

pub(super) async fn receipts(
    guest: &Guest,
    name: &str,
    sid: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    guest.require(&conversation, &[Action::TakePart]).await?;
    let (from, size) = asked.page(RECEIPTS)?;
    let within = conversation.sid().as_str();
    let (_, message, receipts) =
        guest.relay().receipts(guest.account(), guest.service(), within, sid).await?;
    let page = receipts.iter().skip(from).take(size);
    let shown: Vec<Value> =
        page.map(|receipt| receipt_of(&conversation, &message.record.sid, receipt)).collect();
    let next = (from + size < receipts.len()).then(|| (from + size).to_string());
    let previous = (from > 0).then(|| from.saturating_sub(size).to_string());
    Ok(Given::Shown(json!({
        "delivery_receipts": shown,
        "meta": { "key": "delivery_receipts", "previous_token": previous, "next_token": next },
    })))
}

fn receipt_of(conversation: &Conversation, message: &MessageSid, receipt: &ReceiptRecord) -> Value {
    json!({
        "sid": receipt.sid,
        "message_sid": message,
        "conversation_sid": conversation.sid(),
        "channel_message_sid": receipt.provider_ids.first(),
        "participant_sid": receipt.participant,
        "status": receipt.status.map(|status| status.name()),
        "error_code": receipt.error_code,
        "date_created": receipt.created.rfc3339_millis(),
        "date_updated": receipt.updated.rfc3339_millis(),
    })
}

/// What a channel says of a message beyond what every message has. No channel here keeps any.
pub(super) async fn channel_metadata(guest: &Guest, name: &str, sid: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    guest.require(&conversation, &[Action::TakePart]).await?;
    let within = conversation.sid().as_str();
    guest.relay().message(guest.account(), guest.service(), within, sid).await?;
    Err(error::NO_CHANNEL_METADATA.into())
}

/// Who got a message by e-mail: nobody, since no channel here is one.
pub(super) async fn recipients(guest: &Guest, name: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    if guest.seat(&conversation).is_none() {
        return Err(RelayError::NotParticipant.into());
    }
    Ok(Given::Shown(json!({
        "message_recipients": [],
        "meta": { "key": "message_recipients", "previous_token": null, "next_token": null },
    })))
}
