//! The Conversations v1 resources, a file each: what a request asks is read from its form, the relay is asked, and
//! the record is shown under exactly the documented keys.

mod addresses;
mod configuration;
pub(super) mod conversations;
mod credentials;
mod export;
pub(super) mod fields;
mod journal;
pub(super) mod memberships;
pub(super) mod messages;
pub(super) mod participants;
mod push_bindings;
mod receipts;
mod roles;
mod scope;
mod service_configuration;
mod services;
pub(super) mod users;
mod webhook_configuration;
mod webhooks;
mod with_participants;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use super::form::Form;
use super::paging::Page;
use super::route::{self, Resource, Route};
use crate::announce::Cause;
use crate::model::AccountSid;
use crate::relay::Relay;

pub use export::export;
use scope::Scope;

/// What goes back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
}

impl Answer {
    fn created(body: Value) -> Answer {
        Answer { status: StatusCode::CREATED, body: Some(body) }
    }

    fn shown(body: Value) -> Answer {
        Answer { status: StatusCode::OK, body: Some(body) }
    }

    fn gone() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, body: None }
    }
}

/// A request on its way to a resource.
struct Call<'a> {
    relay: &'a Relay,
    scope: Scope,
    route: &'a Route,
    method: &'a Method,
    path: &'a str,
    form: Form,
    query: Form,
    /// Who asks, and whether webhooks hear of it.
    cause: Cause,
}

impl Call<'_> {
    /// The conversation named in the path, by SID or unique name.
    fn conversation(&self) -> &str {
        self.route.name(0)
    }

    /// A page of a list at this request's own address.
    fn page<P: Clone + Serialize + DeserializeOwned>(
        &self,
        page: &Page<P>,
        key: &str,
        records: Vec<Value>,
        next: Option<P>,
        filters: &[&str],
    ) -> Answer {
        let mut given: Vec<(&str, &str)> = Vec::new();
        for name in filters {
            // Empty ones too where there are others: of repeated values, the first may be the one that counts.
            if self.query.each(name).next().is_some() {
                given.extend(self.query.all(name).map(|value| (*name, value)));
            }
        }
        let address = format!("{}{}", self.scope.root(), self.path.trim_end_matches('/'));
        Answer::shown(page.answer(key, records, next, &address, &given))
    }
}

/// Answers a request of an account.
pub async fn answer(
    relay: &Relay,
    account: AccountSid,
    root: Arc<str>,
    route: &Route,
    request: &Request<Bytes>,
) -> Result<Answer, ApiError> {
    let path = request.uri().path();
    dispatch(relay, account, root, route, request).await.map_err(|error| addressed(error, route, path))
}

async fn dispatch(
    relay: &Relay,
    account: AccountSid,
    root: Arc<str>,
    route: &Route,
    request: &Request<Bytes>,
) -> Result<Answer, ApiError> {
    let method = request.method();
    // Some clients send a form type with a body-less GET; only a POST's body is a form.
    let form = match *method {
        Method::POST => Form::from_body(request.headers(), request.body())?,
        _ => Form::default(),
    };
    let query = Form::parse(request.uri().query().unwrap_or_default().as_bytes())?;
    let service = match &route.service {
        Some(sid) => relay.service(&account, sid).await?,
        None => relay.default_service(&account).await?,
    };
    let scope = Scope::new(account, service.sid, route.service.is_some(), root);
    let call = Call {
        relay,
        scope,
        route,
        method,
        path: request.uri().path(),
        form,
        query,
        cause: cause(route, request.headers()),
    };
    match route.resource {
        Resource::Configuration => configuration::answer(&call).await,
        Resource::ConfigurationWebhooks | Resource::ServiceWebhooks => {
            webhook_configuration::answer(&call).await
        }
        Resource::ConversationWebhooks | Resource::ConversationWebhook => webhooks::answer(&call).await,
        Resource::Services | Resource::Service => services::answer(&call).await,
        Resource::ServiceConfiguration | Resource::ServiceNotifications => {
            service_configuration::answer(&call).await
        }
        Resource::Roles | Resource::Role => roles::answer(&call).await,
        Resource::Users | Resource::User => users::answer(&call).await,
        Resource::UserConversations | Resource::UserConversation => memberships::of_user(&call).await,
        Resource::ParticipantConversations => memberships::of_participant(&call).await,
        Resource::Addresses | Resource::Address => addresses::answer(&call).await,
        Resource::Credentials | Resource::Credential => credentials::answer(&call).await,
        Resource::PushBindings | Resource::PushBinding => push_bindings::answer(&call).await,
        Resource::Conversations | Resource::Conversation => conversations::answer(&call).await,
        Resource::ConversationWithParticipants => with_participants::answer(&call).await,
        Resource::Participants | Resource::Participant => participants::answer(&call).await,
        Resource::Messages | Resource::Message => messages::answer(&call).await,
        Resource::Receipts | Resource::Receipt => receipts::answer(&call).await,
        Resource::Journal => journal::answer(&call).await,
        // Files have a door of their own, one streams and one is a provider's: none of them comes this way.
        Resource::Media
        | Resource::MediaItem
        | Resource::MediaContent
        | Resource::MediaSet
        | Resource::MediaLink
        | Resource::Export
        | Resource::Webhook => Err(ApiError::not_found(call.path)),
    }
}

/// Gives a record that was fetched the shape in which its making is answered.
pub fn as_made(resource: Resource, answer: &mut Answer) {
    if resource == Resource::ConversationWithParticipants
        && let Some(links) = answer.body.as_mut().and_then(|body| body["links"].as_object_mut())
    {
        // Documented of a conversation alone.
        links.remove("export");
    }
}

/// The header that lets webhooks hear of a change. The resources that know it are documented.
const WEBHOOK_ENABLED: &str = "x-twilio-webhook-enabled";

fn cause(route: &Route, headers: &HeaderMap) -> Cause {
    let knows = matches!(
        route.resource,
        Resource::Conversations
            | Resource::Conversation
            | Resource::ConversationWithParticipants
            | Resource::Participants
            | Resource::Participant
            | Resource::Messages
            | Resource::Message
            | Resource::Users
            | Resource::User
    );
    let asked = headers.get(WEBHOOK_ENABLED);
    Cause::api(knows && asked.is_some_and(|word| word.as_bytes().eq_ignore_ascii_case(b"true")))
}

/// What is missing is the very thing that was asked for: then callers expect 20404 and the path. A missing parent
/// keeps its own code.
fn addressed(error: ApiError, route: &Route, path: &str) -> ApiError {
    let itself = matches!(
        (error.code(), route.resource),
        (20404, _)
            | (50050, Resource::Service)
            | (50350, Resource::Conversation)
            | (50100, Resource::Role)
            | (50200, Resource::User)
            | (50350 | 50432, Resource::UserConversation)
            | (50360, Resource::ConversationWebhook)
            | (50432, Resource::Participant)
            | (50500, Resource::Message)
    );
    if itself { ApiError::not_found(route::shown(path)) } else { error }
}

#[cfg(test)]
#[path = "rendering_tests.rs"]
mod rendering;

#[cfg(test)]
#[path = "list_tests.rs"]
mod lists;

#[cfg(test)]
#[path = "people_tests.rs"]
mod people;

#[cfg(test)]
#[path = "spec_tests.rs"]
mod spec;

#[cfg(test)]
#[path = "walk_tests.rs"]
mod walk;

#[cfg(test)]
#[path = "extensions_tests.rs"]
mod extensions;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::relay::RelayError;

    #[test]
    fn a_missing_thing_is_named_by_its_path_and_a_missing_parent_by_its_code() {
        let code =
            |error: RelayError, path: &str| addressed(error.into(), &Route::find(path).unwrap(), path).code();
        assert_eq!(code(RelayError::ConversationNotFound, "/v1/Conversations/CH1"), 20404);
        assert_eq!(code(RelayError::ConversationNotFound, "/v1/Conversations/CH1/Messages"), 50350);
        assert_eq!(code(RelayError::MessageNotFound, "/v1/Conversations/CH1/Messages/IM1"), 20404);
        assert_eq!(code(RelayError::MessageNotFound, "/v1/Conversations/CH1/Messages/IM1/Receipts"), 50500);
        assert_eq!(code(RelayError::ParticipantNotFound, "/v1/Conversations/CH1/Participants/x"), 20404);
        assert_eq!(code(RelayError::UserNotFound, "/v1/Users/x"), 20404);
        assert_eq!(code(RelayError::UserNotFound, "/v1/Users/x/Conversations"), 50200);
        assert_eq!(code(RelayError::ConversationNotFound, "/v1/Users/x/Conversations/y"), 20404);
        assert_eq!(code(RelayError::ParticipantNotFound, "/v1/Users/x/Conversations/y"), 20404);
        assert_eq!(code(RelayError::RoleNotFound, "/v1/Roles/RL1"), 20404);
        assert_eq!(code(RelayError::ServiceNotFound, "/v1/Services/IS1"), 20404);
        assert_eq!(code(RelayError::ServiceNotFound, "/v1/Services/IS1/Conversations"), 50050);
        let shown = addressed(
            RelayError::ConversationNotFound.into(),
            &Route::find("/v1/Services/IS1/Conversations/CH1").unwrap(),
            "/v1/Services/IS1/Conversations/CH1",
        );
        assert_eq!(shown, ApiError::not_found("/Services/IS1/Conversations/CH1"));
    }
}
