//! `Idempotency-Key` on POST: an extension of ours. A repeat under the same key within 24 hours is not done again and is
//! answered as before; the same key with another request is refused. Refusals are not remembered: they changed nothing.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use tokio::sync::{Mutex, MutexGuard};

use super::error::{self, ApiError};
use super::route::{Resource, Route};
use crate::model::AccountSid;
use crate::relay::Made;

/// The header of a repeat's answer.
pub const REPLAYED: &str = "idempotent-replayed";
/// The longest key.
const LONGEST: usize = 255;
/// How many requests with a key are answered side by side, at most.
const TURNS: usize = 256;

/// Requests under one key take turns, so that the second of two at once gets the first one's answer.
pub struct Turns {
    hasher: RandomState,
    turns: Box<[Mutex<()>]>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { hasher: RandomState::new(), turns: (0..TURNS).map(|_| Mutex::new(())).collect() }
    }
}

impl Turns {
    pub async fn wait(&self, account: &AccountSid, key: &str) -> MutexGuard<'_, ()> {
        let place = self.hasher.hash_one((account.as_str(), key)) as usize % TURNS;
        self.turns[place].lock().await
    }
}

/// The key of a request, if it has one that counts.
pub fn key<'a>(method: &Method, headers: &'a HeaderMap) -> Result<Option<&'a str>, ApiError> {
    if *method != Method::POST {
        return Ok(None);
    }
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let key = given.to_str().ok().map(str::trim).filter(|key| (1..=LONGEST).contains(&key.len()));
    key.map(Some).ok_or_else(|| error::IDEMPOTENCY_KEY.into())
}

/// What makes two requests the same: where they go and what they ask.
pub fn fingerprint(request: &Request<Bytes>) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    digest.update(target.as_bytes());
    digest.update(&[0]);
    digest.update(request.body());
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a POST to this resource makes.
pub fn made(resource: Resource) -> Made {
    match resource {
        Resource::Conversations | Resource::ConversationWithParticipants => Made::Conversation,
        Resource::Participants => Made::Participant,
        Resource::Messages => Made::Message,
        Resource::Users => Made::User,
        Resource::Roles => Made::Role,
        Resource::Services => Made::Service,
        Resource::Credentials => Made::Credential,
        Resource::Conversation
        | Resource::Participant
        | Resource::Message
        | Resource::User
        | Resource::UserConversation
        | Resource::Role
        | Resource::Credential
        | Resource::Configuration
        | Resource::ServiceConfiguration
        | Resource::ServiceNotifications => Made::Change,
        _ => Made::Other,
    }
}

/// A request that shows what this one did: for an answer that was lost with the process that had it.
///
/// Nothing when what was done cannot be found by its name.
pub fn again(route: &Route, request: &Request<Bytes>, sid: Option<&str>) -> Option<(Route, Request<Bytes>)> {
    let path = request.uri().path().trim_end_matches('/');
    let target = match (made(route.resource), sid) {
        (Made::Change, _) => path.to_owned(),
        (Made::Other, _) | (_, None) => return None,
        (Made::Conversation, Some(sid)) => {
            let root = path.rsplit_once('/').map_or("", |(root, _)| root);
            format!("{root}/Conversations/{sid}")
        }
        (_, Some(sid)) => format!("{path}/{sid}"),
    };
    let route = Route::find(&target)?;
    if !route.allows(&Method::GET) {
        return None;
    }
    Some((route, Request::get(target).body(Bytes::new()).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn request(target: &str, body: &'static str) -> Request<Bytes> {
        Request::post(target).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn keys_that_count() {
        let mut headers = HeaderMap::new();
        assert_eq!(key(&Method::POST, &headers), Ok(None));
        headers.insert("idempotency-key", "abc-1".parse().unwrap());
        assert_eq!(key(&Method::POST, &headers), Ok(Some("abc-1")));
        assert_eq!(key(&Method::GET, &headers), Ok(None));
        for bad in ["", " ", &"x".repeat(256)] {
            headers.insert("idempotency-key", bad.parse().unwrap());
            assert_eq!(key(&Method::POST, &headers).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn a_request_is_its_target_and_its_body() {
        let one = fingerprint(&request("/v1/Conversations", "a=1"));
        assert_eq!(one, fingerprint(&request("/v1/Conversations", "a=1")));
        assert_ne!(one, fingerprint(&request("/v1/Conversations", "a=2")));
        assert_ne!(one, fingerprint(&request("/v1/Users", "a=1")));
    }

    #[test]
    fn what_was_done_is_found_again() {
        for (target, sid, expected) in [
            ("/v1/Conversations", Some("CH1"), Some("/v1/Conversations/CH1")),
            ("/v1/Conversations", None, None),
            ("/v1/Conversations/CH1", None, Some("/v1/Conversations/CH1")),
            (
                "/v1/Services/IS1/ConversationWithParticipants",
                Some("CH1"),
                Some("/v1/Services/IS1/Conversations/CH1"),
            ),
            ("/v1/Conversations/u/Messages/", Some("IM1"), Some("/v1/Conversations/u/Messages/IM1")),
        ] {
            let found = again(&Route::find(target).unwrap(), &request(target, ""), sid);
            assert_eq!(found.as_ref().map(|(_, request)| request.uri().path()), expected, "{target}");
        }
    }
}
