//! SDK clients: what their sessions call, tunnelled through their sockets in the shape of HTTP.
//!
//! Each call is one of the chat's endpoints, which ask the relay for the same decisions as the REST API and only after the
//! caller's roles permit it, or one of the synchronised view's, which read what the caller may see.

mod call;
#[cfg(test)]
#[path = "client_test.rs"]
mod client_test;
mod configuration;
mod conversations;
#[cfg(test)]
mod kit;
mod messages;
mod objects;
mod participants;
mod people;
mod permission;
mod push;
#[cfg(test)]
#[path = "replay_test.rs"]
mod replay_test;
mod subscriptions;
mod templates;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use trunkline_adapter::{Answer, Call, Caller, Clock, Denied, Host, Member, Notice, Timestamp, Visit};

use super::api::fields;
use super::error::ApiError;
use crate::announce::{Cause, on_behalf};
use crate::model::{AccountSid, ServiceSid};
use crate::relay::command::NewUser;
use crate::relay::{Relay, RelayError};
use crate::sync::{Gone, Hub, Realm, Session};
use call::Asked;

/// What a change made at a client is told as.
const CAUSE: Cause = Cause::sdk();

/// Receives clients.
#[derive(Clone)]
pub struct Clients(Arc<Parts>);

struct Parts {
    relay: Arc<Relay>,
    hub: Arc<Hub>,
    clock: Clock,
    started: Timestamp,
}

impl Clients {
    pub fn new(relay: Arc<Relay>, hub: Arc<Hub>, clock: Clock) -> Clients {
        let started = clock.now();
        Clients(Arc::new(Parts { relay, hub, clock, started }))
    }

    async fn receive(&self, caller: Caller, visit: Visit) -> Result<Arc<Guest>, ApiError> {
        let strange = || ApiError::from(RelayError::ServiceNotFound);
        let account = AccountSid::parse(&caller.account).ok_or_else(strange)?;
        let service = ServiceSid::parse(&caller.service).ok_or_else(strange)?;
        let identity = fields::identity(&caller.identity)?;
        let Parts { relay, hub, .. } = &*self.0;
        // Whoever comes for the first time is a user from now on.
        match relay.user(&account, &service, &identity).await {
            Ok(_) => {}
            Err(RelayError::UserNotFound) => {
                let identity = identity.clone();
                let new = NewUser { identity, friendly_name: None, attributes: None, role: None };
                match on_behalf(
                    caller.identity.as_str().into(),
                    relay.create_user(&account, &service, new, CAUSE),
                )
                .await
                {
                    // Two sessions of one newcomer.
                    Ok(_) | Err(RelayError::UserTaken) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Err(other) => return Err(other.into()),
        }
        let session = hub.open(Realm { account, service }, identity).await;
        let push_credential = Mutex::new(caller.push_credential);
        let (house, root, farewell) = (Arc::clone(&self.0), visit.root, AtomicBool::new(false));
        Ok(Arc::new(Guest { house, session, root, push_credential, farewell }))
    }
}

impl Host for Clients {
    fn open(&self, caller: Caller, visit: Visit) -> BoxFuture<'_, Result<Arc<dyn Member>, Denied>> {
        async move {
            match self.receive(caller, visit).await {
                Ok(guest) => Ok(guest as Arc<dyn Member>),
                Err(error) => {
                    // Whatever is wrong with somebody, they are not let in.
                    let status = if error.status().is_server_error() { 503 } else { 403 };
                    Err(Denied { status, code: error.code(), text: error.message().to_owned() })
                }
            }
        }
        .boxed()
    }
}

/// One client's session.
struct Guest {
    house: Arc<Parts>,
    session: Arc<Session>,
    /// Scheme and host of every link.
    root: Arc<str>,
    push_credential: Mutex<Option<String>>,
    /// Its client said goodbye.
    farewell: AtomicBool,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let gone = self.house.hub.close(&self.session, self.farewell.load(Ordering::Relaxed));
        if let (true, Ok(runtime)) = (gone != Gone::Stays, tokio::runtime::Handle::try_current()) {
            // Not the session: what it watched would stay for as long as its end lingers.
            let Session { realm, identity, .. } = &*self.session;
            let (hub, realm, identity) = (Arc::clone(&self.house.hub), realm.clone(), identity.clone());
            runtime.spawn(async move { hub.tell_gone(&realm, &identity, gone).await });
        }
    }
}

impl Member for Guest {
    fn request(self: Arc<Self>, call: Call) -> BoxFuture<'static, Answer> {
        let identity = self.session.identity.as_str().into();
        on_behalf(identity, async move { answer(&self, &call).await }).boxed()
    }

    fn next(&self) -> BoxFuture<'_, Option<Notice>> {
        self.house.hub.next(&self.session).boxed()
    }

    fn goodbye(&self) {
        self.farewell.store(true, Ordering::Relaxed);
    }

    fn renew(&self, caller: Caller) {
        *self.push_credential.lock().unwrap_or_else(PoisonError::into_inner) = caller.push_credential;
    }
}

impl Guest {
    fn relay(&self) -> &Relay {
        &self.house.relay
    }

    fn account(&self) -> &AccountSid {
        &self.session.realm.account
    }

    fn service(&self) -> &ServiceSid {
        &self.session.realm.service
    }

    fn identity(&self) -> &str {
        &self.session.identity
    }

    /// The absolute URL of an endpoint of the chat.
    fn url(&self, path: &str) -> String {
        format!("{}/Client/v2{path}", self.root)
    }
}

/// What an endpoint answers.
enum Given {
    Shown(Value),
    Created(Value),
    Gone,
}

async fn answer(guest: &Guest, call: &Call) -> Answer {
    let given = match Asked::read(call) {
        Ok(asked) => Box::pin(dispatch(guest, &asked)).await,
        Err(error) => Err(error),
    };
    let (status, body) = match given {
        Ok(Given::Shown(body)) => (200, body),
        Ok(Given::Created(body)) => (201, body),
        Ok(Given::Gone) => return Answer { status: 204, body: Bytes::new() },
        Err(error) => {
            let status = error.status().as_u16();
            (status, json!({ "status": status, "code": error.code(), "message": error.message() }))
        }
    };
    Answer { status, body: Bytes::from(body.to_string()) }
}

async fn dispatch(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match (asked.method, path.as_slice()) {
        ("GET", ["Client", "v2", "Configuration"]) => configuration::show(guest).await,
        ("GET", ["Client", "v2", "ContentTemplates"]) => templates::list(guest, asked),
        ("POST", ["Client", "v2", "Typing"]) => people::typing(guest, asked).await,
        ("GET", ["Client", "v2", "Users", user]) => people::show(guest, user).await,
        ("POST", ["Client", "v2", "Users", user]) => people::update(guest, user, asked).await,
        (method, ["Client", "v2", "Users", user, "Conversations", rest @ ..]) => {
            if *user != guest.identity() {
                return Err(RelayError::NotPermitted.into());
            }
            match (method, rest) {
                ("GET", []) => conversations::list(guest, asked).await,
                ("GET", [name]) => conversations::show(guest, name).await,
                ("POST", [name]) => conversations::update_membership(guest, name, asked).await,
                _ => Err(ApiError::not_found(&asked.shown())),
            }
        }
        (method, ["Client", "v2", "Conversations", rest @ ..]) => match (method, rest) {
            ("POST", []) => conversations::create(guest, asked).await,
            ("GET", [name]) => conversations::show(guest, name).await,
            ("POST", [name]) => conversations::update(guest, name, asked).await,
            ("DELETE", [name]) => conversations::delete(guest, name).await,
            ("POST", [name, "Participants"]) => participants::add(guest, name, asked).await,
            ("POST", [name, "Participants", who]) => participants::update(guest, name, who, asked).await,
            ("DELETE", [name, "Participants", who]) => participants::remove(guest, name, who).await,
            ("POST", [name, "Messages"]) => messages::post(guest, name, asked).await,
            ("POST", [name, "Messages", sid]) => messages::update(guest, name, sid, asked).await,
            ("DELETE", [name, "Messages", sid]) => messages::delete(guest, name, sid).await,
            ("GET", [name, "Messages", sid, "Receipts"]) => messages::receipts(guest, name, sid, asked).await,
            ("GET", [name, "Messages", sid, "ChannelMetadata"]) => {
                messages::channel_metadata(guest, name, sid).await
            }
            ("GET", [name, "MessageRecipients"]) => messages::recipients(guest, name).await,
            _ => Err(ApiError::not_found(&asked.shown())),
        },
        ("GET", ["v3", kind, name]) => objects::show(guest, kind, name, asked).await,
        ("GET", ["v3", kind, name, "Items"]) => objects::items(guest, kind, name, asked).await,
        ("POST", ["v4", "Subscriptions"]) => subscriptions::answer(guest, asked).await,
        ("POST", ["v1", "registrations"]) => push::register(guest, asked).await,
        ("DELETE", ["v1", "registrations"]) => push::remove(guest, asked).await,
        ("DELETE", ["v1", "registrations", sid]) => push::unregister(guest, sid).await,
        _ => Err(ApiError::not_found(&asked.shown())),
    }
}
