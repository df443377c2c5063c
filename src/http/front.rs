//! The public listener: providers and REST callers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::api;
use super::auth::Accounts;
use super::base::Base;
use super::body::{Body, Streamed, full};
use super::error::{self, ApiError};
use super::idempotency::{self, Turns};
use super::media::{self, Door};
use super::provider::{Inlet, Provider};
use super::route::{self, Resource, Route};
use super::server::{Admission, Entry, Handler, Limits};
use super::socket::Sockets;
use crate::model::idempotency::KeptAnswer;
use crate::model::{AccountSid, IdempotencyRecord, Mint};
use crate::relay::{Relay, RelayError};
use crate::telemetry;

/// Answers what comes from outside. Made once the metrics' recorder is there.
pub struct Front {
    relay: Arc<Relay>,
    provider: Provider,
    accounts: Arc<Accounts>,
    base: Arc<Base>,
    media: Door,
    sockets: Option<Arc<Sockets>>,
    limits: Limits,
    mint: Mint,
    turns: Turns,
}

impl Front {
    pub fn new(
        relay: Arc<Relay>,
        inlet: Arc<dyn Inlet>,
        accounts: Arc<Accounts>,
        base: Arc<Base>,
        media: Door,
        limits: Limits,
    ) -> Front {
        telemetry::http::routes_at_zero(route::labels());
        Front {
            relay,
            provider: Provider::new(inlet),
            accounts,
            base,
            media,
            sockets: None,
            limits,
            mint: Mint::system(),
            turns: Turns::default(),
        }
    }

    /// The same, and people may connect by the doors that adapters have.
    pub fn with_sockets(self, sockets: Arc<Sockets>) -> Front {
        Front { sockets: Some(sockets), ..self }
    }

    /// Whether this is for a door; if so, the answer to who knocks.
    fn knock(&self, head: &mut Parts) -> Option<Response<Body>> {
        let sockets = self.sockets.as_ref()?;
        // Paths of the table come first: most requests are theirs, and no door may take one away.
        if Route::find(head.uri.path()).is_some() {
            return None;
        }
        let door = self.provider.door(head.uri.path())?;
        let root = self.base.root(&head.headers, head.extensions.get());
        Some(sockets.upgrade(head, door, root))
    }

    async fn rest(&self, route: &Route, account: AccountSid, request: &Request<Bytes>) -> Response<Body> {
        let root = self.base.root(request.headers(), request.extensions().get());
        if route.resource == Resource::Export {
            return match api::export(&self.relay, account, root, route, request).await {
                Ok(lines) => streamed(lines),
                Err(error) => error.into_response(),
            };
        }
        let key = match idempotency::key(request.method(), request.headers()) {
            Ok(key) => key,
            Err(error) => return error.into_response(),
        };
        let answered = match key {
            None => api::answer(&self.relay, account, root, route, request).await.map(given),
            Some(key) => self.once(key, route, account, root, request).await,
        };
        answered.unwrap_or_else(ApiError::into_response)
    }

    /// Does a request with an idempotency key, unless it was done before.
    async fn once(
        &self,
        key: &str,
        route: &Route,
        account: AccountSid,
        root: Arc<str>,
        request: &Request<Bytes>,
    ) -> Result<Response<Body>, ApiError> {
        let _turn = self.turns.wait(&account, key).await;
        let fingerprint = idempotency::fingerprint(request);
        let named = (key, fingerprint.as_str());
        let done = self.relay.kept_answer(&account, key).await.map_err(RelayError::from)?;
        let (answer, repeated) = match done {
            Some(done) if done.fingerprint != fingerprint => return Err(error::IDEMPOTENCY_REUSED.into()),
            Some(IdempotencyRecord { answer: Some(kept), .. }) => {
                let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
                return Ok(replayed(json(status, kept.body)));
            }
            // It was done, and the daemon died before it wrote the answer down.
            Some(done) => {
                let shown = idempotency::again(route, request, done.made.as_deref());
                let original = route.resource;
                let (route, request) = shown.ok_or(error::IDEMPOTENCY_LOST)?;
                let shown = api::answer(&self.relay, account.clone(), root, &route, &request).await;
                let mut answer = shown.map_err(|_| error::IDEMPOTENCY_LOST)?;
                if done.made.is_some() {
                    answer.status = StatusCode::CREATED;
                }
                api::as_made(original, &mut answer);
                (answer, true)
            }
            None => {
                // Made at its first use, if it has to be: that is nothing this request asks for.
                self.relay.default_service(&account).await?;
                let work = api::answer(&self.relay, account.clone(), root, route, request);
                (self.relay.once(&account, named, idempotency::made(route.resource), work).await?, false)
            }
        };
        let body = answer.body.as_ref().map(Value::to_string).unwrap_or_default();
        let kept = KeptAnswer { status: answer.status.as_u16(), body };
        if let Err(error) = self.relay.keep_answer(&account, named, kept).await {
            // It was done all the same; a repeat finds what it made.
            tracing::warn!(%error, "The answer to a request with an idempotency key is not kept");
        }
        let response = given(answer);
        Ok(if repeated { replayed(response) } else { response })
    }
}

fn given(answer: api::Answer) -> Response<Body> {
    match answer.body {
        Some(body) => json(answer.status, body.to_string()),
        None => {
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = answer.status;
            response
        }
    }
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn replayed(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(idempotency::REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Lines that are made while they are read.
fn streamed(lines: BoxStream<'static, io::Result<Bytes>>) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(lines.map_ok(Frame::data)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// What a request with this head is for, and who asks; refusals need no body.
fn admit(
    head: &mut Parts,
    accounts: &Accounts,
    known: impl FnOnce(&str) -> bool,
    limits: &Limits,
) -> Admission {
    let path = head.uri.path();
    let Some(route) = Route::find(path) else {
        let refusal = ApiError::not_found(route::shown(path)).into_response();
        return Admission { label: route::NOWHERE, verdict: Err(refusal) };
    };
    let label = route.label;
    let refuse = |response| Admission { label, verdict: Err(response) };
    if head.method == Method::OPTIONS && route.resource != Resource::Webhook {
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return refuse(response);
    }
    if !route.allows(&head.method) {
        return refuse(ApiError::method(route.methods).into_response());
    }
    if route.resource == Resource::MediaLink {
        head.extensions.insert(route);
        return Admission { label, verdict: Ok(Entry::Whole(0)) };
    }
    if route.is_media() {
        match media::claim(accounts, &head.headers) {
            Ok(claim) => head.extensions.insert(claim),
            Err(error) => return refuse(error.into_response()),
        };
        let entry = match route.resource {
            Resource::Media => Entry::Streamed(limits.media_body),
            _ => Entry::Whole(limits.form_body),
        };
        head.extensions.insert(route);
        return Admission { label, verdict: Ok(entry) };
    }
    let most = if route.resource == Resource::Webhook {
        // Nobody's webhook is nobody's megabytes.
        if !known(route.name(0)) {
            return refuse(ApiError::not_found(route::shown(path)).into_response());
        }
        limits.webhook_body
    } else {
        match accounts.authenticate(&head.headers) {
            Ok(account) => head.extensions.insert(account),
            Err(error) => return refuse(error.into_response()),
        };
        limits.form_body
    };
    head.extensions.insert(route);
    Admission { label, verdict: Ok(Entry::Whole(most)) }
}

impl Handler for Front {
    fn admit(&self, head: &mut Parts) -> Admission {
        if let Some(answer) = self.knock(head) {
            return Admission { label: route::SOCKET, verdict: Err(answer) };
        }
        admit(head, &self.accounts, |name| self.provider.knows(name), &self.limits)
    }

    fn answer(self: Arc<Self>, mut request: Request<Bytes>) -> BoxFuture<'static, Response<Body>> {
        async move {
            let account = request.extensions_mut().remove::<AccountSid>();
            let route = request.extensions_mut().remove::<Route>();
            if let Some(route) = route.as_ref().filter(|route| route.resource == Resource::MediaLink) {
                return self.media.linked(route.name(0), &request).await;
            }
            let claim = request.extensions_mut().remove::<media::Claim>();
            if let (Some(route), Some(claim)) = (&route, claim) {
                return self.media.answer(route, claim, &self.base, &request).await;
            }
            match (route, account) {
                (Some(route), Some(account)) => self.rest(&route, account, &request).await,
                (Some(route), None) => self.provider.answer(route.name(0), &self.base, request).await,
                (None, _) => ApiError::not_found(request.uri().path()).into_response(),
            }
        }
        .boxed()
    }

    fn stream<'a>(
        self: Arc<Self>,
        request: Request<()>,
        body: &'a mut Streamed,
    ) -> BoxFuture<'a, Response<Body>> {
        async move {
            let (mut head, ()) = request.into_parts();
            let (route, claim) =
                (head.extensions.remove::<Route>(), head.extensions.remove::<media::Claim>());
            match (route, claim) {
                (Some(route), Some(claim)) => self.media.upload(&route, claim, &self.base, &head, body).await,
                _ => ApiError::not_found(head.uri.path()).into_response(),
            }
        }
        .boxed()
    }

    fn dress(&self, label: &'static str, took: Duration, response: &mut Response<Body>) {
        if label.starts_with("/v1") || label.starts_with("/media") || label == route::NOWHERE {
            dress(&self.mint, took, response.headers_mut());
        }
    }
}

/// The headers that official servers send with every answer, and what lets a browser call us.
fn dress(mint: &Mint, took: Duration, headers: &mut HeaderMap) {
    let id: String = mint.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    if let Ok(value) = HeaderValue::try_from(format!("RQ{id}")) {
        headers.insert("twilio-request-id", value);
    }
    if let Ok(value) = HeaderValue::try_from(format!("{:.3}", took.as_secs_f64())) {
        headers.insert("twilio-request-duration", value);
    }
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        (
            "access-control-allow-headers",
            "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, \
             Idempotency-Key, Range, X-Twilio-Token, X-Twilio-Webhook-Enabled",
        ),
        ("access-control-allow-methods", "GET, HEAD, POST, DELETE, OPTIONS"),
        (
            "access-control-expose-headers",
            "Accept-Ranges, Content-Range, ETag, Idempotent-Replayed, Twilio-Request-Id, Retry-After",
        ),
        ("access-control-max-age", "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use trunkline_adapter::Secrets;

    use crate::http::auth::Account;

    fn status(method: &str, path: &str, authorization: Option<&str>) -> Result<usize, u16> {
        let sid = AccountSid::parse("AC00000000000000000000000000000001").unwrap();
        let account = Account { sid, auth_token: Secrets::one("token"), keys: Vec::new() };
        let mut request = Request::builder().method(method).uri(path);
        if let Some(pair) = authorization {
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(pair)));
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let known = |name: &str| name == "us";
        let admission = admit(&mut head, &Accounts::new(vec![account]), known, &Limits::default());
        assert!(route::labels().any(|label| label == admission.label));
        let bytes = |entry| match entry {
            Entry::Whole(most) | Entry::Streamed(most) => most,
        };
        admission.verdict.map(bytes).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn who_comes_in() {
        let good = Some("AC00000000000000000000000000000001:token");
        for (method, path, authorization, expected) in [
            ("GET", "/v1/Conversations", good, Ok(1024 * 1024)),
            ("GET", "/v1/Conversations", None, Err(401)),
            ("GET", "/v1/Conversations", Some("AC00000000000000000000000000000001:wrong"), Err(401)),
            ("PUT", "/v1/Conversations", good, Err(405)),
            ("HEAD", "/v1/Conversations", good, Err(405)),
            ("OPTIONS", "/v1/Conversations/CH1", None, Err(204)),
            ("OPTIONS", "/webhooks/us", None, Err(405)),
            ("DELETE", "/webhooks/us", None, Err(405)),
            ("POST", "/webhooks/us", None, Ok(4 * 1024 * 1024)),
            ("POST", "/webhooks/nobody", None, Err(404)),
            ("POST", "/v1/Services/IS1/Media", good, Ok(150 * 1024 * 1024)),
            ("POST", "/v1/Services/IS1/Media", None, Err(401)),
            ("GET", "/v1/Services/IS1/Media", good, Err(405)),
            ("OPTIONS", "/v1/Services/IS1/Media", None, Err(204)),
            ("HEAD", "/v1/Services/IS1/Media/ME1/Content", good, Ok(1024 * 1024)),
            ("GET", "/v1/Media", good, Err(404)),
            ("GET", "/media/x", None, Ok(0)),
            ("POST", "/media/x", None, Err(405)),
            ("GET", "/v2/Conversations", good, Err(404)),
            ("GET", "/", None, Err(404)),
        ] {
            assert_eq!(status(method, path, authorization), expected, "{method} {path}");
        }
    }

    #[test]
    fn every_answer_says_which_it_was() {
        let mut headers = HeaderMap::new();
        dress(&Mint::seeded(1), Duration::from_millis(12), &mut headers);
        let id = headers["twilio-request-id"].to_str().unwrap();
        assert!(crate::model::ids::well_formed(id, "RQ"), "{id}");
        assert_eq!(headers["twilio-request-duration"], "0.012");
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
}
