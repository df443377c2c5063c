//! `/v1/Services/{IS}/Media` and `/media/{signed}`: files, uploaded as they come and served in pieces.
//!
//! Callers with the account's credentials see every file of a service. People with an access token see what they uploaded
//! themselves and what is in conversations of theirs; whoever has a link sees what it leads to, until its hour is over.

pub mod multipart;
mod range;
mod record;
mod serve;
mod upload;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use trunkline_adapter::{Caller, Clock, JPEG, Tokens};

use super::auth::Accounts;
use super::base::Base;
use super::body::{Body, Streamed, full};
use super::error::{self, ApiError};
use super::route::{self, Resource, Route};
use crate::media::{BadLink, Links, Media, MediaError, Pictures, jpeg_name};
use crate::model::{AccountSid, Conversation, MediaRecord, ServiceSid};
use crate::relay::{Relay, RelayError};

/// The header that carries the access token of somebody with an SDK.
const TOKEN: &str = "x-twilio-token";

/// Answers everything about files.
pub struct Door {
    pub relay: Arc<Relay>,
    pub media: Media,
    pub links: Arc<Links>,
    /// What is made of pictures, for links to that.
    pub pictures: Arc<Pictures>,
    pub tokens: Arc<dyn Tokens>,
}

/// Who asks, as far as a request's head tells.
#[derive(Clone, Debug)]
pub enum Claim {
    Account(AccountSid),
    /// An access token, not verified yet.
    Token(String),
}

/// Who asks.
enum Asker {
    Account(AccountSid),
    Person(AccountSid, Caller),
}

impl Asker {
    fn account(&self) -> &AccountSid {
        match self {
            Asker::Account(account) | Asker::Person(account, _) => account,
        }
    }
}

/// Who claims to ask: the account's credentials first, else the token of somebody with an SDK.
///
/// # Errors
/// 401 without either.
pub fn claim(accounts: &Accounts, headers: &HeaderMap) -> Result<Claim, ApiError> {
    match headers.get(TOKEN).filter(|_| !headers.contains_key(AUTHORIZATION)) {
        Some(token) => Ok(Claim::Token(token.to_str().map_err(|_| ApiError::unauthorized())?.to_owned())),
        None => accounts.authenticate(headers).map(Claim::Account),
    }
}

/// A request on its way, and what its answer's URLs begin with.
struct Visit {
    asker: Asker,
    service: ServiceSid,
    root: Arc<str>,
}

impl Door {
    /// One behind which there are no files and no links: for those who serve the rest without a store.
    pub fn without_files(relay: Arc<Relay>, accounts: Arc<Accounts>) -> Door {
        let clock = Clock::system();
        let tokens = Arc::new(super::Tokens::new(accounts, relay.clone(), clock));
        let (media, links) = (Media::files(Path::new("")), Arc::new(Links::new(&[0; 32], clock)));
        let pictures = Arc::new(Pictures::new(media.clone()));
        Door { relay, media, links, pictures, tokens }
    }

    /// Answers a request whose body is there whole.
    pub async fn answer(
        &self,
        route: &Route,
        claim: Claim,
        base: &Base,
        request: &Request<Bytes>,
    ) -> Response<Body> {
        let root = base.root(request.headers(), request.extensions().get());
        let answered = self.answered(route, claim, root, request).await;
        answered.unwrap_or_else(|error| addressed(error, request.uri().path()).into_response())
    }

    async fn answered(
        &self,
        route: &Route,
        claim: Claim,
        root: Arc<str>,
        request: &Request<Bytes>,
    ) -> Result<Response<Body>, ApiError> {
        let visit = self.visit(route, claim, root).await?;
        match (route.resource, request.method()) {
            (Resource::MediaSet, _) => self.set(&visit, request.body()).await,
            (_, &Method::DELETE) => {
                let Asker::Account(account) = &visit.asker else { return Err(error::FORBIDDEN.into()) };
                self.relay.delete_media(account, &visit.service, route.name(0)).await?;
                let mut response = Response::new(full(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            (Resource::MediaContent, method) => {
                let record = self.seen(&visit, route.name(0)).await?;
                self.serve(&record, method, request.headers()).await
            }
            _ => {
                let record = self.seen(&visit, route.name(0)).await?;
                Ok(json(StatusCode::OK, &self.shown(&visit, &record)))
            }
        }
    }

    /// Answers whoever has a link.
    pub async fn linked(&self, signed: &str, request: &Request<Bytes>) -> Response<Body> {
        let found = async {
            let linked = self.links.read(signed).map_err(|bad| match bad {
                BadLink::Forged => error::LINK_FORGED,
                BadLink::Expired => error::LINK_EXPIRED,
            })?;
            let account = AccountSid::parse(&linked.account).ok_or(error::LINK_FORGED)?;
            let mut record = self.relay.linked_media(&account, &linked.media).await?;
            if let Some(most) = linked.jpeg {
                let made = self.pictures.jpeg(record.content, record.size, most).await;
                let made = made.ok_or(error::MEDIA_NOT_FOUND)?;
                (record.content, record.size) = (made.content, made.size);
                record.content_type = JPEG.to_owned();
                record.filename = record.filename.map(|name| jpeg_name(&name));
            }
            self.serve(&record, request.method(), request.headers()).await
        };
        let found: Result<Response<Body>, ApiError> = found.await;
        found.unwrap_or_else(ApiError::into_response)
    }

    /// Takes a file in.
    pub async fn upload(
        &self,
        route: &Route,
        claim: Claim,
        base: &Base,
        head: &Parts,
        body: &mut Streamed,
    ) -> Response<Body> {
        let root = base.root(&head.headers, head.extensions.get());
        let taken = async {
            let visit = self.visit(route, claim, root).await?;
            let record = self.take(&visit, head, body).await?;
            Ok(json(StatusCode::CREATED, &self.shown(&visit, &record)))
        };
        let taken: Result<Response<Body>, ApiError> = taken.await;
        taken.unwrap_or_else(ApiError::into_response)
    }

    /// Finds out who really asks, and of which service.
    async fn visit(&self, route: &Route, claim: Claim, root: Arc<str>) -> Result<Visit, ApiError> {
        let asker = match claim {
            Claim::Account(account) => Asker::Account(account),
            Claim::Token(token) => {
                let caller = self.tokens.verify(&token).await?;
                Asker::Person(AccountSid::parse(&caller.account).ok_or_else(ApiError::unauthorized)?, caller)
            }
        };
        let named = route.service.as_deref().unwrap_or_default();
        let service = self.relay.service(asker.account(), named).await?.sid;
        if matches!(&asker, Asker::Person(_, caller) if caller.service != service.as_str()) {
            return Err(error::FORBIDDEN.into());
        }
        Ok(Visit { asker, service, root })
    }

    /// A file, if whoever asks may see it.
    async fn seen(&self, visit: &Visit, sid: &str) -> Result<MediaRecord, ApiError> {
        let account = visit.asker.account();
        let record = self.relay.media(account, &visit.service, sid).await?;
        let Asker::Person(_, caller) = &visit.asker else { return Ok(record) };
        if record.author == caller.identity {
            return Ok(record);
        }
        let Some(conversation) = &record.conversation else { return Err(error::MEDIA_NOT_FOUND.into()) };
        match self.relay.conversation(account, &visit.service, conversation.as_str()).await {
            Ok(found) if member(&found, &caller.identity) => Ok(record),
            Ok(_) | Err(RelayError::ConversationNotFound) => Err(error::MEDIA_NOT_FOUND.into()),
            Err(other) => Err(other.into()),
        }
    }
}

fn member(conversation: &Conversation, identity: &str) -> bool {
    conversation.members.iter().any(|member| member.record.identity.as_deref() == Some(identity))
}

/// What is missing is the very thing that was asked for.
fn addressed(error: ApiError, path: &str) -> ApiError {
    if error.code() == 50507 { ApiError::not_found(route::shown(path)) } else { error }
}

fn json(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> ApiError {
        match error {
            MediaError::TooLarge => error::MEDIA_TOO_LARGE.into(),
            MediaError::Ledger(error) => RelayError::from(error).into(),
            other => {
                // The operator's to act on; the caller learns only that it is not their fault.
                tracing::error!(error = %other, cause = ?std::error::Error::source(&other), "A file cannot be read or written");
                ApiError::unavailable("the media storage does not answer")
            }
        }
    }
}
