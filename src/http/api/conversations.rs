//! `/Conversations`.

use http::Method;
use serde_json::{Value, json};

use super::fields::Timer;
use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::{Conversation, State};
use crate::relay::command::{ConversationChange, ConversationFilter, NewConversation};

/// Parameters of the original that nothing here can honour yet.
const NOT_YET: &[&str] = &["Bindings.Email.Address", "Bindings.Email.Name"];
const INACTIVE: &str = "Timers.Inactive";
const CLOSED: &str = "Timers.Closed";

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let (account, service) = (&scope.account, &scope.service);
    match (call.route.resource, call.method) {
        (Resource::Conversations, &Method::POST) => {
            let conversation =
                relay.create_conversation(account, service, new(&call.form)?, call.cause).await?;
            Ok(Answer::created(render(scope, &conversation)))
        }
        (Resource::Conversations, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
            let conversation =
                relay.update_conversation(account, service, call.conversation(), change, call.cause).await?;
            Ok(Answer::shown(render(scope, &conversation)))
        }
        (_, &Method::DELETE) => {
            relay.delete_conversation(account, service, call.conversation(), call.cause).await?;
            Ok(Answer::gone())
        }
        _ => {
            let conversation = relay.conversation(account, service, call.conversation()).await?;
            Ok(Answer::shown(render(scope, &conversation)))
        }
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page = Page::read(&call.query, 100)?;
    let filter = ConversationFilter {
        state: fields::state(call.query.filled("State"))?,
        start: fields::bound(&call.query, "StartDate", false)?,
        end: fields::bound(&call.query, "EndDate", true)?,
    };
    let (account, service) = (&call.scope.account, &call.scope.service);
    let mut found = call.relay.conversations(account, service, &filter, page.after, page.fetch()).await?;
    let next = page.cut(&mut found, |conversation| conversation.record.birth);
    let records = found.iter().map(|conversation| render(&call.scope, conversation)).collect();
    Ok(call.page(&page, "conversations", records, next, &["State", "StartDate", "EndDate"]))
}

pub(in crate::http) fn new(form: &Form) -> Result<NewConversation, ApiError> {
    form.refuse(NOT_YET)?;
    let filled = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    let inactive = match fields::state(form.get("State"))? {
        Some(State::Closed) => return Err(error::STATE_CLOSED_AT_CREATION.into()),
        state => state == Some(State::Inactive),
    };
    let (created, updated) = fields::dates(form)?;
    let inactive_after = fields::timer(form, INACTIVE, Timer::Inactive)?;
    let closed_after = fields::timer(form, CLOSED, Timer::Closed)?;
    if form.get("State").is_none() && [INACTIVE, CLOSED].iter().any(|timer| form.filled(timer).is_some()) {
        return Err(error::TIMERS_WITHOUT_STATE.into());
    }
    Ok(NewConversation {
        sid: None,
        friendly_name: filled(fields::friendly_name(form)?),
        unique_name: filled(fields::unique_name(form)?),
        messaging_service_sid: filled(fields::messaging_service_sid(form, "MessagingServiceSid")?),
        attributes: fields::attributes(form, fields::CONVERSATION_ATTRIBUTES)?,
        inactive,
        inactive_after,
        closed_after,
        webhooks: Vec::new(),
        created_by: None,
        created,
        updated,
    })
}

pub(in crate::http) fn change(form: &Form) -> Result<ConversationChange, ApiError> {
    form.refuse(NOT_YET)?;
    let known = [
        "FriendlyName",
        "UniqueName",
        "Attributes",
        "MessagingServiceSid",
        "State",
        INACTIVE,
        CLOSED,
        "DateCreated",
        "DateUpdated",
    ];
    if !form.any(&known) {
        return Err(error::CONVERSATION_UPDATE_EMPTY.into());
    }
    let (created, updated) = fields::dates(form)?;
    Ok(ConversationChange {
        friendly_name: fields::change(fields::friendly_name(form)?),
        unique_name: fields::change(fields::unique_name(form)?),
        messaging_service_sid: fields::change(fields::messaging_service_sid(form, "MessagingServiceSid")?),
        attributes: fields::attributes(form, fields::CONVERSATION_ATTRIBUTES)?,
        state: fields::state(form.get("State"))?,
        inactive_after: fields::timer(form, INACTIVE, Timer::Inactive)?,
        closed_after: fields::timer(form, CLOSED, Timer::Closed)?,
        created,
        updated,
    })
}

pub(super) fn render(scope: &Scope, conversation: &Conversation) -> Value {
    let record = &conversation.record;
    let url = scope.url(&format!("/Conversations/{}", record.sid));
    json!({
        "account_sid": scope.account,
        "chat_service_sid": conversation.head.service,
        "messaging_service_sid": record.messaging_service_sid,
        "sid": record.sid,
        "friendly_name": record.friendly_name,
        "unique_name": record.unique_name,
        "attributes": record.attributes,
        "state": conversation.head.state.name(),
        "date_created": record.created.rfc3339(),
        "date_updated": record.updated.rfc3339(),
        "timers": fields::timers_left(conversation),
        "bindings": {},
        "links": {
            "participants": format!("{url}/Participants"),
            "messages": format!("{url}/Messages"),
            "webhooks": format!("{url}/Webhooks"),
            "export": format!("{url}/Export"),
        },
        "url": url,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::relay::command::Change;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn creation() {
        let made =
            new(&form("FriendlyName=Hi&UniqueName=&State=Inactive&Attributes=%7B%7D&Unknown=1")).unwrap();
        assert_eq!((made.friendly_name.as_deref(), made.unique_name), (Some("Hi"), None));
        assert!(made.inactive);
        assert_eq!(new(&form("")).unwrap(), NewConversation::default());
        for (text, code) in [
            ("State=closed", 50384),
            ("State=asleep", 50378),
            ("State=", 50374),
            ("Timers.Inactive=PT1M", 50382),
            ("Timers.Closed=PT0S", 50382),
            ("Timers.Inactive=PT59S&State=active", 50375),
            ("Timers.Closed=PT9M&State=active", 50376),
            ("Timers.Inactive=1m&State=active", 50379),
            ("Timers.Closed=1m&State=active", 50380),
            ("DateCreated=x", 50308),
        ] {
            assert_eq!(new(&form(text)).unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn updates_leave_alone_what_they_do_not_name() {
        let made = change(&form("FriendlyName=&UniqueName=u&State=closed")).unwrap();
        assert_eq!(made.friendly_name, Change::Clear);
        assert_eq!(made.unique_name, Change::Set("u".into()));
        assert_eq!((made.messaging_service_sid, made.state), (Change::Keep, Some(State::Closed)));
        let made = change(&form("Timers.Inactive=PT90S&Timers.Closed=PT0S")).unwrap();
        assert_eq!((made.inactive_after, made.closed_after), (Change::Set(90), Change::Clear));
        assert_eq!(change(&form("")).unwrap_err().code(), 50347);
        assert_eq!(change(&form("Nonsense=1")).unwrap_err().code(), 50347);
    }
}
