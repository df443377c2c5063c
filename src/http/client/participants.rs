//! Participants as clients add, change and remove them; joining and leaving are the same, done to oneself.

use serde_json::{Value, json};

use super::call::Asked;
use super::{CAUSE, Given, Guest};
use crate::http::api::participants;
use crate::http::error::ApiError;
use crate::model::{Conversation, ParticipantRecord, ParticipantSid};
use crate::relay::RelayError;
use crate::relay::command::{NewParticipant, Who};
use crate::relay::permissions::Action;

const NEW: &[(&str, &str)] = &[
    ("identity", "Identity"),
    ("attributes", "Attributes"),
    ("messaging_binding.address", "MessagingBinding.Address"),
    ("messaging_binding.proxy_address", "MessagingBinding.ProxyAddress"),
    ("messaging_binding.projected_address", "MessagingBinding.ProjectedAddress"),
    ("messaging_binding.name", "MessagingBinding.Name"),
    ("messaging_binding.level", "MessagingBinding.Level"),
];

pub(super) async fn add(guest: &Guest, name: &str, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let mut new = participants::new(&asked.form(NEW)?)?;
    let action = match &new.who {
        Who::Identity(identity) if identity == guest.identity() => Action::Join,
        Who::Identity(_) => Action::AddParticipant,
        _ => Action::AddNonChatParticipant,
    };
    guest.require(&conversation, &[action]).await?;
    if action == Action::Join && guest.made(&conversation).await? {
        let settings = guest.relay().service_settings(guest.account(), guest.service()).await?;
        new = NewParticipant { role_sid: Some(settings.creator_role.as_str().to_owned()), ..new };
    }
    let sid = conversation.sid().as_str();
    let (conversation, sid) =
        guest.relay().add_participant(guest.account(), guest.service(), sid, new, CAUSE).await?;
    Ok(Given::Created(shown(guest, &conversation, &sid)?))
}

pub(super) async fn update(
    guest: &Guest,
    name: &str,
    who: &str,
    asked: &Asked<'_>,
) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let own = is_own(guest, &conversation, who);
    let change = participants::change(&asked.form(&[("attributes", "Attributes")])?)?;
    guest.require(&conversation, &[Action::EditParticipantAttributes { own }]).await?;
    let sid = conversation.sid().as_str();
    let (conversation, sid) =
        guest.relay().update_participant(guest.account(), guest.service(), sid, who, change, CAUSE).await?;
    Ok(Given::Shown(shown(guest, &conversation, &sid)?))
}

pub(super) async fn remove(guest: &Guest, name: &str, who: &str) -> Result<Given, ApiError> {
    let conversation = guest.conversation(name).await?;
    let own = is_own(guest, &conversation, who);
    guest.require(&conversation, &[Action::RemoveParticipant { own }]).await?;
    let sid = conversation.sid().as_str();
    guest.relay().remove_participant(guest.account(), guest.service(), sid, who, CAUSE).await?;
    Ok(Given::Gone)
}

fn is_own(guest: &Guest, conversation: &Conversation, who: &str) -> bool {
    let member = conversation.member_by_name(who);
    member.is_some_and(|member| member.record.identity.as_deref() == Some(guest.identity()))
}

fn shown(guest: &Guest, conversation: &Conversation, sid: &ParticipantSid) -> Result<Value, ApiError> {
    let member = conversation.member(sid).ok_or(RelayError::ParticipantNotFound)?;
    Ok(render(guest, conversation, &member.record))
}

fn render(guest: &Guest, conversation: &Conversation, record: &ParticipantRecord) -> Value {
    let binding = record.binding.as_ref().map(|binding| {
        json!({
            "type": binding.address.channel().name(),
            "address": binding.address,
            "proxy_address": binding.proxy,
        })
    });
    json!({
        "sid": record.sid,
        "account_sid": guest.account(),
        "conversation_sid": conversation.sid(),
        "identity": record.identity,
        "attributes": record.attributes,
        "role_sid": record.role_sid,
        "messaging_binding": binding,
        "last_read_message_index": record.last_read_message_index,
        "last_read_timestamp": record.last_read_timestamp.map(|at| at.rfc3339_millis()),
        "date_created": record.created.rfc3339_millis(),
        "date_updated": record.updated.rfc3339_millis(),
        "url": guest.url(&format!("/Conversations/{}/Participants/{}", conversation.sid(), record.sid)),
    })
}
