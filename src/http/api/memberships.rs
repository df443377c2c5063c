//! `/Users/{US}/Conversations` and `/ParticipantConversations`: who is in which conversations.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::{Seat, UserRecord, UserSid};
use crate::relay::command::{Membership, ParticipantChange};
use crate::relay::resources::memberships::Sought;

/// Who made a conversation that no user made at a client.
const CREATED_BY: &str = "system";

/// `/Users/{US}/Conversations`.
pub(super) async fn of_user(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, service) = (call.relay, &call.scope.account, &call.scope.service);
    let user = relay.user(account, service, call.route.name(0)).await?;
    if call.route.resource == Resource::UserConversations {
        return list(call, &user).await;
    }
    let found = relay.membership(account, service, &user, call.route.name(1)).await?;
    let (conversation, participant) = (found.conversation.sid().as_str(), found.participant.sid.as_str());
    match *call.method {
        Method::DELETE => {
            relay.remove_participant(account, service, conversation, participant, call.cause).await?;
            Ok(Answer::gone())
        }
        Method::POST => {
            let change = change(&call.form)?;
            relay.update_participant(account, service, conversation, participant, change, call.cause).await?;
            let found = relay.membership(account, service, &user, conversation).await?;
            Ok(Answer::shown(shown(call, &user, &found).await?))
        }
        _ => Ok(Answer::shown(shown(call, &user, &found).await?)),
    }
}

async fn shown(call: &Call<'_>, user: &UserRecord, found: &Membership) -> Result<Value, ApiError> {
    let unread = call.relay.unread(&call.scope.account, &found.conversation, &found.participant).await?;
    Ok(render(&call.scope, user, found, unread))
}

async fn list(call: &Call<'_>, user: &UserRecord) -> Result<Answer, ApiError> {
    let page: Page<String> = Page::read(&call.query, 50)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let sought = Sought::Identity(user.identity.clone());
    let found = call.relay.memberships(account, service, &sought, page.after.as_deref(), page.fetch());
    let mut found = found.await?;
    let next = page.cut(&mut found, Membership::place);
    let mut records = Vec::with_capacity(found.len());
    for membership in &found {
        records.push(shown(call, user, membership).await?);
    }
    Ok(call.page(&page, "conversations", records, next, &[]))
}

pub(in crate::http) fn change(form: &Form) -> Result<ParticipantChange, ApiError> {
    if !form.any(&["NotificationLevel", "LastReadMessageIndex", "LastReadTimestamp"]) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let levels = [("default", false), ("muted", true)];
    let muted = match form.get("NotificationLevel") {
        Some("") => return Err(error::NOTIFICATION_LEVEL.into()),
        _ => form.word("NotificationLevel", &levels, || error::NOTIFICATION_LEVEL.into())?,
    };
    let (last_read_message_index, last_read_timestamp) = fields::read_horizon(form)?;
    Ok(ParticipantChange { muted, last_read_message_index, last_read_timestamp, ..Default::default() })
}

pub(super) fn render(scope: &Scope, user: &UserRecord, found: &Membership, unread: Option<u64>) -> Value {
    let Membership { conversation, participant } = found;
    let record = &conversation.record;
    let own = scope.url(&format!("/Conversations/{}", record.sid));
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "conversation_sid": record.sid,
        "participant_sid": participant.sid,
        "user_sid": user.sid,
        "friendly_name": record.friendly_name,
        "unique_name": record.unique_name,
        "attributes": record.attributes,
        "conversation_state": conversation.head.state.name(),
        "timers": fields::timers_left(conversation),
        "created_by": record.created_by.as_deref().unwrap_or(CREATED_BY),
        "date_created": record.created.rfc3339(),
        "date_updated": record.updated.rfc3339(),
        "unread_messages_count": unread,
        "last_read_message_index": participant.last_read_message_index,
        "notification_level": if participant.muted { "muted" } else { "default" },
        "links": {
            "participant": format!("{own}/Participants/{}", participant.sid),
            "conversation": own,
        },
        "url": scope.url(&format!("/Users/{}/Conversations/{}", user.sid, record.sid)),
    })
}

/// `/ParticipantConversations`.
pub(super) async fn of_participant(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page<String> = Page::read(&call.query, 50)?;
    let sought = sought(&call.query)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let user = match &sought {
        Sought::Identity(identity) => call.relay.user_sid(account, service, identity).await?,
        Sought::Address { .. } => None,
    };
    let found = call.relay.memberships(account, service, &sought, page.after.as_deref(), page.fetch());
    let mut found = found.await?;
    let next = page.cut(&mut found, Membership::place);
    let records = found.iter().map(|found| render_found(&call.scope, user.as_ref(), found)).collect();
    Ok(call.page(&page, "conversations", records, next, &["Identity", "Address", "ProxyAddress"]))
}

/// Who is looked for. `ProxyAddress` is our own: it narrows `Address` to one of our lines.
fn sought(query: &Form) -> Result<Sought, ApiError> {
    match (query.filled("Identity"), query.filled("Address"), query.filled("ProxyAddress")) {
        (Some(_), Some(_), _) => Err(error::IDENTITY_AND_ADDRESS.into()),
        (None, None, None) => Err(ApiError::parameter("Identity or Address is required")),
        (_, None, Some(_)) => Err(ApiError::parameter("ProxyAddress needs an Address")),
        (Some(identity), None, None) => Ok(Sought::Identity(identity.to_owned())),
        (None, Some(address), proxy) => {
            Ok(Sought::Address { address: address.to_owned(), proxy: proxy.map(str::to_owned) })
        }
    }
}

pub(super) fn render_found(scope: &Scope, user: Option<&UserSid>, found: &Membership) -> Value {
    let Membership { conversation, participant } = found;
    let record = &conversation.record;
    let own = scope.url(&format!("/Conversations/{}", record.sid));
    let binding = participant.binding.as_ref().map(|binding| {
        json!({
            "type": binding.address.channel().name(),
            "address": binding.address,
            "proxy_address": binding.proxy,
            "projected_address": null,
            "level": null,
            "name": null,
        })
    });
    let seat = participant.seat.as_ref().map(|seat| {
        let (address, projected) = match seat {
            Seat::Address(address) => (Some(address), None),
            Seat::Projected(address) => (None, Some(address)),
        };
        json!({
            "type": seat.seen().channel().name(),
            "address": address,
            "proxy_address": null,
            "projected_address": projected,
            "level": null,
            "name": null,
        })
    });
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "participant_sid": participant.sid,
        "participant_user_sid": user,
        "participant_identity": participant.identity,
        "participant_messaging_binding": binding.or(seat),
        "conversation_sid": record.sid,
        "conversation_unique_name": record.unique_name,
        "conversation_friendly_name": record.friendly_name,
        "conversation_attributes": record.attributes,
        "conversation_date_created": record.created.rfc3339(),
        "conversation_date_updated": record.updated.rfc3339(),
        "conversation_created_by": record.created_by.as_deref().unwrap_or(CREATED_BY),
        "conversation_state": conversation.head.state.name(),
        "conversation_timers": fields::timers_left(conversation),
        "links": {
            "participant": format!("{own}/Participants/{}", participant.sid),
            "conversation": own,
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_refused() {
        let form = |text: &str| Form::parse(text.as_bytes()).unwrap();
        for (text, code) in [
            ("", 20001),
            ("Identity=a&Address=%2B15550001111", 50451),
            ("ProxyAddress=%2B15550001111", 20001),
            ("Identity=a&ProxyAddress=%2B15550001111", 20001),
        ] {
            assert_eq!(sought(&form(text)).unwrap_err().code(), code, "{text}");
        }
        for (text, code) in [
            ("", 20161),
            ("NotificationLevel=loud", 50210),
            ("NotificationLevel=", 50210),
            ("LastReadMessageIndex=-1", 50421),
            ("LastReadTimestamp=noon", 50405),
        ] {
            assert_eq!(change(&form(text)).unwrap_err().code(), code, "{text}");
        }
        assert_eq!(change(&form("NotificationLevel=Muted")).unwrap().muted, Some(true));
    }
}
