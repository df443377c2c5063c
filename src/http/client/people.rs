//! Users as clients see and change them, and who is typing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::call::{Asked, Body};
use super::{CAUSE, Given, Guest};
use crate::http::api::users;
use crate::http::error::ApiError;
use crate::model::UserRecord;
use crate::relay::RelayError;
use crate::relay::permissions::Action;
use crate::sync::Object;

/// Seconds in which a client says only once that somebody types.
const TYPING: u32 = 5;

pub(super) async fn show(guest: &Guest, name: &str) -> Result<Given, ApiError> {
    let user = guest.relay().user(guest.account(), guest.service(), name).await?;
    Ok(Given::Shown(render(guest, &user)))
}

pub(super) async fn update(guest: &Guest, name: &str, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let form = asked.form(&[("friendly_name", "FriendlyName"), ("attributes", "Attributes")])?;
    let change = users::change(&form)?;
    let user = guest.relay().user(guest.account(), guest.service(), name).await?;
    let own = user.identity == guest.identity();
    guest.require_of_service(Action::EditUser { own }).await?;
    let user = guest.relay().update_user(guest.account(), guest.service(), user.sid.as_str(), change, CAUSE);
    Ok(Given::Shown(render(guest, &user.await?)))
}

fn render(guest: &Guest, user: &UserRecord) -> Value {
    let url = guest.url(&format!("/Users/{}", spelt(&user.identity)));
    json!({
        "sid": user.sid,
        "account_sid": guest.account(),
        "chat_service_sid": guest.service(),
        "identity": user.identity,
        "friendly_name": user.friendly_name,
        "attributes": user.attributes,
        "role_sid": user.role,
        "date_created": user.created.rfc3339_millis(),
        "date_updated": user.updated.rfc3339_millis(),
        "sync_objects": { "user_info_map": Object::Profile(user.identity.clone()).name() },
        "url": url,
    })
}

/// Characters that stand in a path as they are.
const SPELT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An identity as a part of a path.
pub(super) fn spelt(identity: &str) -> String {
    utf8_percent_encode(identity, SPELT).to_string()
}

/// The caller types; the others' clients are told.
pub(super) async fn typing(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let name = match &asked.body {
        Body::Form(form) => form.filled("ChannelSid").or_else(|| form.filled("ConversationSid")),
        Body::Json(members) => members.get("ChannelSid").and_then(Value::as_str),
        Body::None => asked.query.filled("ChannelSid"),
    };
    let conversation = guest.conversation(name.ok_or(RelayError::ConversationNotFound)?).await?;
    guest.require(&conversation, &[Action::TakePart]).await?;
    let people = conversation.members.iter().filter_map(|member| member.record.identity.as_deref());
    let others: Vec<&str> = people.collect();
    guest.house.hub.typing(&guest.session.realm, conversation.sid(), Some(guest.identity()), &others);
    // Whoever types has nothing to do about it.
    if let Err(error) = guest.relay().show_typing(guest.account(), &conversation).await {
        tracing::warn!(%error, "Typing cannot be shown to people outside");
    }
    Ok(Given::Shown(json!({ "typing_timeout": TYPING })))
}
