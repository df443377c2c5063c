//! `/Conversations/{CH}/Participants`: chat users by identity, outside people by address and proxy address.

use http::Method;
use serde_json::{Value, json};
use trunkline_adapter::Address;

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::{Conversation, ParticipantRecord, ParticipantSid};
use crate::relay::RelayError;
use crate::relay::command::{NewParticipant, ParticipantChange, Who};

const ADDRESS: &str = "MessagingBinding.Address";
const PROXY: &str = "MessagingBinding.ProxyAddress";
const PROJECTED: &str = "MessagingBinding.ProjectedAddress";
/// Parameters of the original that nothing here can honour.
const NOT_YET: &[&str] =
    &["MessagingBinding.ProxyAddressFallback", "MessagingBinding.Name", "MessagingBinding.Level"];

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let (account, service, conversation) = (&scope.account, &scope.service, call.conversation());
    let named = call.route.name(1);
    match (call.route.resource, call.method) {
        (Resource::Participants, &Method::POST) => {
            if let Some(projected) = call.form.filled(PROJECTED) {
                return Err(not_projected(call, projected));
            }
            let new = new(&call.form)?;
            let (conversation, sid) =
                relay.add_participant(account, service, conversation, new, call.cause).await?;
            Ok(Answer::created(shown(scope, &conversation, &sid)?))
        }
        (Resource::Participants, _) => list(call).await,
        (_, &Method::POST) => {
            let proxy = binding_update(call).await?;
            let change = ParticipantChange { proxy, ..change(&call.form)? };
            let (conversation, sid) =
                relay.update_participant(account, service, conversation, named, change, call.cause).await?;
            Ok(Answer::shown(shown(scope, &conversation, &sid)?))
        }
        (_, &Method::DELETE) => {
            relay.remove_participant(account, service, conversation, named, call.cause).await?;
            Ok(Answer::gone())
        }
        _ => {
            let conversation = relay.conversation(account, service, conversation).await?;
            let member = conversation.member_by_name(named).ok_or(RelayError::ParticipantNotFound)?;
            Ok(Answer::shown(render(scope, &conversation, &member.record)))
        }
    }
}

fn shown(scope: &Scope, conversation: &Conversation, sid: &ParticipantSid) -> Result<Value, ApiError> {
    let member = conversation.member(sid).ok_or(RelayError::ParticipantNotFound)?;
    Ok(render(scope, conversation, &member.record))
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page = Page::read(&call.query, 100)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let conversation = call.relay.conversation(account, service, call.conversation()).await?;
    let members = conversation.members.iter().map(|member| &member.record);
    let mut members: Vec<&ParticipantRecord> = members
        .filter(|member| page.after.is_none_or(|after| member.birth > after))
        .take(page.fetch())
        .collect();
    let next = page.cut(&mut members, |member| member.birth);
    let records = members.into_iter().map(|member| render(&call.scope, &conversation, member)).collect();
    Ok(call.page(&page, "participants", records, next, &[]))
}

pub(in crate::http) fn new(form: &Form) -> Result<NewParticipant, ApiError> {
    form.refuse(NOT_YET)?;
    if form.filled(PROJECTED).is_some() {
        return Err(error::GROUP_TEXTS.into());
    }
    let (created, updated) = fields::dates(form)?;
    Ok(NewParticipant {
        who: who(form)?,
        role_sid: fields::role_sid(form, "RoleSid")?.filter(|sid| !sid.is_empty()).map(str::to_owned),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        created,
        updated,
    })
}

fn who(form: &Form) -> Result<Who, ApiError> {
    let refuse = |entry: error::Entry| Err(entry.into());
    match (form.filled("Identity"), form.get(ADDRESS), form.get(PROXY)) {
        (Some(identity), None, None) => Ok(Who::Identity(fields::identity(identity)?)),
        (Some(_), _, _) => refuse(error::IDENTITY_AND_BINDING),
        (None, None, None) => refuse(error::IDENTITY_MISSING),
        (None, None | Some(""), _) => refuse(error::ADDRESS_EMPTY),
        // An address alone would be a member of a group text.
        (None, Some(_), None | Some("")) => refuse(error::PROXY_EMPTY),
        (None, Some(address), Some(proxy)) => {
            let address =
                Address::parse(address).ok().filter(Address::takes_messages).ok_or(error::ADDRESS)?;
            let proxy = Address::parse(proxy).map_err(|_| error::PROXY)?;
            fits(&address, &proxy)?;
            Ok(Who::Bound { address, proxy })
        }
    }
}

/// What is asked of a participant's binding: another proxy address, or the refusal for what cannot be.
async fn binding_update(call: &Call<'_>) -> Result<Option<Address>, ApiError> {
    let form = &call.form;
    form.refuse(NOT_YET)?;
    if form.get("Identity").is_some() {
        return Err(error::IDENTITY_FIXED.into());
    }
    let (proxy, projected) = (form.get(PROXY), form.get(PROJECTED));
    if proxy.is_none() && projected.is_none() {
        return Ok(None);
    }
    let (account, service) = (&call.scope.account, &call.scope.service);
    let conversation = call.relay.conversation(account, service, call.conversation()).await?;
    let member = conversation.member_by_name(call.route.name(1)).ok_or(RelayError::ParticipantNotFound)?;
    let binding = member.record.binding.as_ref();
    if let Some(projected) = projected {
        return Err(match binding {
            _ if fields::null(projected) => error::PROJECTED_NOT_THERE.into(),
            Some(_) => error::PROJECTED_AND_BINDING.into(),
            None => not_projected(call, projected),
        });
    }
    let proxy = proxy.unwrap_or_default();
    match binding {
        None if fields::null(proxy) => Err(error::PROXY_NOT_THERE.into()),
        None => Err(error::PROXY_WITHOUT_ADDRESS.into()),
        // Who is left with an address alone would be a member of a group text.
        Some(_) if fields::null(proxy) => Err(error::GROUP_TEXTS.into()),
        Some(binding) => {
            let proxy = Address::parse(proxy).map_err(|_| error::PROXY)?;
            fits(&binding.address, &proxy)?;
            Ok(Some(proxy))
        }
    }
}

/// Why an address cannot be a projected one: it is not ours, or what it is needed for cannot be had.
fn not_projected(call: &Call<'_>, projected: &str) -> ApiError {
    let address = Address::parse(projected).ok();
    let ours =
        address.is_some_and(|address| call.relay.proxies().get(&call.scope.account, &address).is_some());
    if ours { error::GROUP_TEXTS.into() } else { error::PROJECTED_NOT_OURS.into() }
}

/// Whether a person can be reached through a proxy address.
fn fits(address: &Address, proxy: &Address) -> Result<(), ApiError> {
    if address.channel() != proxy.channel() {
        return Err(error::CHANNELS_DIFFER.into());
    }
    if address == proxy {
        return Err(error::ADDRESS_IS_PROXY.into());
    }
    Ok(())
}

pub(in crate::http) fn change(form: &Form) -> Result<ParticipantChange, ApiError> {
    let known = [
        "RoleSid",
        "Attributes",
        "LastReadMessageIndex",
        "LastReadTimestamp",
        "DateCreated",
        "DateUpdated",
        PROXY,
    ];
    if !form.any(&known) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let (last_read_message_index, last_read_timestamp) = fields::read_horizon(form)?;
    let (created, updated) = fields::dates(form)?;
    Ok(ParticipantChange {
        proxy: None,
        role_sid: fields::change(fields::role_sid(form, "RoleSid")?),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        last_read_message_index,
        last_read_timestamp,
        muted: None,
        created,
        updated,
    })
}

pub(super) fn render(scope: &Scope, conversation: &Conversation, record: &ParticipantRecord) -> Value {
    let binding = record.binding.as_ref().map(|binding| {
        let channel = binding.address.channel();
        let mut shown = json!({
            "type": channel.name(),
            "address": binding.address,
            "proxy_address": binding.proxy,
        });
        // Ours: until when free text may be sent. Nothing is known of those who never wrote here.
        if channel.window().is_some() {
            shown["window_closes"] = record.window_closes.map(|closes| closes.rfc3339()).into();
        }
        shown
    });
    scope.sign(json!({
        "account_sid": scope.account,
        "conversation_sid": conversation.sid(),
        "sid": record.sid,
        "identity": record.identity,
        "attributes": record.attributes,
        "messaging_binding": binding,
        "role_sid": record.role_sid,
        "date_created": record.created.rfc3339(),
        "date_updated": record.updated.rfc3339(),
        "url": scope.url(&format!("/Conversations/{}/Participants/{}", conversation.sid(), record.sid)),
        "last_read_message_index": record.last_read_message_index,
        "last_read_timestamp": record.last_read_timestamp.map(|at| at.rfc3339()),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::relay::command::Change;

    fn form(pairs: &[(&str, &str)]) -> Form {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn shapes_that_are_people() {
        let bound = form(&[
            (ADDRESS, "whatsapp:+15550001"),
            ("messagingbinding.proxyaddress", "whatsapp:+15550002222"),
        ]);
        let Who::Bound { address, proxy } = who(&bound).unwrap() else { panic!("a binding") };
        assert_eq!((address.as_str(), proxy.as_str()), ("whatsapp:+15550001", "whatsapp:+15550002222"));
        assert_eq!(who(&form(&[("Identity", "alice")])).unwrap(), Who::Identity("alice".into()));
    }

    #[test]
    fn shapes_that_are_not() {
        let long = "a".repeat(257);
        let sid = format!("US{}", "0".repeat(32));
        let cases: &[(&[(&str, &str)], u32)] = &[
            (&[], 50204),
            (&[("Identity", "")], 50204),
            (&[("Identity", "a"), (ADDRESS, "+15550001111")], 50211),
            (&[("Identity", "a"), (PROXY, "+15550001111")], 50211),
            (&[("Identity", &long)], 50207),
            (&[("Identity", &sid)], 50206),
            (&[("Identity", "system")], 50203),
            (&[(PROXY, "+15550001111")], 50411),
            (&[(ADDRESS, ""), (PROXY, "+15550001111")], 50411),
            (&[(ADDRESS, "+15550001111")], 50412),
            (&[(ADDRESS, "+15550001111"), (PROXY, "")], 50412),
            (&[(ADDRESS, "nobody@example"), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, "hologram"), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, &long), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, "+15550001111"), (PROXY, "rcs:x")], 50408),
            (&[(ADDRESS, "+15550001111"), (PROXY, "+1 555 000 1111")], 50409),
            (&[(ADDRESS, "+15550001111"), (PROXY, "whatsapp:+15550001111")], 50414),
            (&[(PROJECTED, "+15550001111")], 50452),
            (&[("Identity", "a"), (PROJECTED, "+15550001111")], 50452),
            (&[("Identity", "a"), ("MessagingBinding.ProxyAddressFallback", "+1")], 20001),
            (&[("Identity", "a"), ("Attributes", "{")], 50304),
            (&[("Identity", "a"), ("RoleSid", "x")], 20001),
        ];
        for (pairs, code) in cases {
            assert_eq!(new(&form(pairs)).unwrap_err().code(), *code, "{pairs:?}");
        }
    }

    #[test]
    fn read_horizons() {
        let made = change(&form(&[("LastReadMessageIndex", "3"), ("LastReadTimestamp", "null")])).unwrap();
        assert_eq!(made.last_read_message_index, Change::Set(3));
        assert_eq!((made.last_read_timestamp, made.role_sid), (Change::Clear, Change::Keep));
        for (pairs, code) in [
            (("LastReadMessageIndex", "-1"), 50421),
            (("LastReadMessageIndex", "99999999999999999"), 50421),
            (("LastReadTimestamp", "noon"), 50405),
            (("Nonsense", "1"), 20161),
        ] {
            assert_eq!(change(&form(&[pairs])).unwrap_err().code(), code, "{pairs:?}");
        }
    }
}
