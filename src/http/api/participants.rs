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
use crate::model::{Conversation, ParticipantRecord, ParticipantSid, Seat};
use crate::relay::RelayError;
use crate::relay::command::{Change, NewParticipant, ParticipantChange, Who};

const ADDRESS: &str = "MessagingBinding.Address";
const PROXY: &str = "MessagingBinding.ProxyAddress";
const PROJECTED: &str = "MessagingBinding.ProjectedAddress";
/// A parameter of the original that nothing here can honour.
const NOT_YET: &[&str] = &["MessagingBinding.ProxyAddressFallback"];
/// Those that only bindings of types have that we do not.
const FOREIGN: &[&str] = &["MessagingBinding.Name", "MessagingBinding.Level"];

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let (account, service, conversation) = (&scope.account, &scope.service, call.conversation());
    let named = call.route.name(1);
    match (call.route.resource, call.method) {
        (Resource::Participants, &Method::POST) => {
            let new = new(&call.form)?;
            let (conversation, sid) =
                relay.add_participant(account, service, conversation, new, call.cause).await?;
            Ok(Answer::created(shown(scope, &conversation, &sid)?))
        }
        (Resource::Participants, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
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
    refuse_foreign(form)?;
    let (created, updated) = fields::dates(form)?;
    Ok(NewParticipant {
        who: who(form)?,
        role_sid: fields::role_sid(form, "RoleSid")?.filter(|sid| !sid.is_empty()).map(str::to_owned),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        created,
        updated,
    })
}

fn refuse_foreign(form: &Form) -> Result<(), ApiError> {
    form.refuse(NOT_YET)?;
    if FOREIGN.iter().any(|name| form.filled(name).is_some()) {
        return Err(error::BINDING_NAME.into());
    }
    Ok(())
}

fn who(form: &Form) -> Result<Who, ApiError> {
    let refuse = |entry: error::Entry| Err(entry.into());
    let identity = form.filled("Identity").map(fields::identity);
    match (identity, form.get(ADDRESS), form.get(PROXY), form.filled(PROJECTED)) {
        (Some(identity), None, None, None) => Ok(Who::Identity(identity?)),
        (identity, None, None, Some(projected)) => {
            let address = Address::parse(projected).map_err(|_| error::PROJECTED_NOT_OURS)?;
            Ok(Who::Projected { address, identity: identity.transpose()? })
        }
        (Some(_), ..) => refuse(error::IDENTITY_AND_BINDING),
        (None, _, _, Some(_)) => refuse(error::PROJECTED_AND_BINDING),
        (None, None, None, None) => refuse(error::IDENTITY_MISSING),
        (None, None | Some(""), ..) => refuse(error::ADDRESS_EMPTY),
        (None, Some(address), proxy, None) => {
            let address =
                Address::parse(address).ok().filter(Address::takes_messages).ok_or(error::ADDRESS)?;
            // An address alone is somebody in a group text.
            let Some(proxy) = proxy.filter(|proxy| !proxy.is_empty()) else {
                return Ok(Who::Outside(address));
            };
            let proxy = Address::parse(proxy).map_err(|_| error::PROXY)?;
            fits(&address, &proxy)?;
            Ok(Who::Bound { address, proxy })
        }
    }
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

/// An address of ours that a participant gets or gives up; `otherwise` where the text is none.
fn own_address(form: &Form, name: &str, otherwise: error::Entry) -> Result<Change<Address>, ApiError> {
    Ok(match form.get(name) {
        None => Change::Keep,
        Some(text) if fields::null(text) => Change::Clear,
        Some(text) => Change::Set(Address::parse(text).map_err(|_| otherwise)?),
    })
}

pub(in crate::http) fn change(form: &Form) -> Result<ParticipantChange, ApiError> {
    refuse_foreign(form)?;
    let known = [
        "RoleSid",
        "Attributes",
        "LastReadMessageIndex",
        "LastReadTimestamp",
        "DateCreated",
        "DateUpdated",
        "Identity",
        PROXY,
        PROJECTED,
    ];
    if !form.any(&known) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let (last_read_message_index, last_read_timestamp) = fields::read_horizon(form)?;
    let (created, updated) = fields::dates(form)?;
    Ok(ParticipantChange {
        proxy: own_address(form, PROXY, error::PROXY)?,
        projected: own_address(form, PROJECTED, error::PROJECTED_NOT_OURS)?,
        identity: form.get("Identity").map(fields::identity).transpose()?,
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
    let seat = record.seat.as_ref().map(|seat| {
        let name = match seat {
            Seat::Address(_) => "address",
            Seat::Projected(_) => "projected_address",
        };
        json!({ "type": seat.seen().channel().name(), name: seat.seen() })
    });
    scope.sign(json!({
        "account_sid": scope.account,
        "conversation_sid": conversation.sid(),
        "sid": record.sid,
        "identity": record.identity,
        "attributes": record.attributes,
        "messaging_binding": binding.or(seat),
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
        // Those of group texts. Without a proxy address that can carry them, the relay refuses them.
        let number = Address::parse("+15550001111").unwrap();
        for pairs in [&[(ADDRESS, "+15550001111")][..], &[(ADDRESS, "+15550001111"), (PROXY, "")]] {
            assert_eq!(who(&form(pairs)).unwrap(), Who::Outside(number.clone()), "{pairs:?}");
        }
        let gateway = who(&form(&[(PROJECTED, "+15550001111")])).unwrap();
        assert_eq!(gateway, Who::Projected { address: number.clone(), identity: None });
        let both = who(&form(&[("Identity", "alice"), (PROJECTED, "+15550001111")])).unwrap();
        assert_eq!(both, Who::Projected { address: number, identity: Some("alice".into()) });
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
            (&[(ADDRESS, "nobody@example"), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, "hologram"), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, &long), (PROXY, "+15550001111")], 50407),
            (&[(ADDRESS, "+15550001111"), (PROXY, "rcs:x")], 50408),
            (&[(ADDRESS, "+15550001111"), (PROXY, "+1 555 000 1111")], 50409),
            (&[(ADDRESS, "+15550001111"), (PROXY, "whatsapp:+15550001111")], 50414),
            (&[(PROJECTED, "rcs:x")], 50439),
            (&[("Identity", "system"), (PROJECTED, "+15550001111")], 50203),
            (&[("Identity", "a"), (ADDRESS, "+15550001112"), (PROJECTED, "+15550001111")], 50211),
            (&[(ADDRESS, "+15550001112"), (PROJECTED, "+15550001111")], 50443),
            (&[("Identity", "a"), ("MessagingBinding.Level", "to")], 50420),
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
