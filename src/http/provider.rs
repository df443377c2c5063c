//! Providers' webhooks: find the adapter, let it verify and read, hand over, and answer only then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use tokio::time::Instant;
use trunkline_adapter::{Adapter, Door, Inbound, Refusal, Reply, Webhook, WebhookRequest};

use super::base::{Base, host};
use super::body::{Body, full};
use super::error::ApiError;
use crate::relay::RelayError;
use crate::telemetry::inbound::{InboundOutcome, inbound};

/// An adapter as its webhook path names it.
pub struct AdapterEntry {
    /// Its kind, as stored provider ids are keyed.
    pub kind: &'static str,
    pub adapter: Arc<dyn Adapter>,
}

/// Where what providers say goes.
pub trait Inlet: Send + Sync + 'static {
    /// The adapter of this name.
    fn adapter(&self, name: &str) -> Option<AdapterEntry>;

    /// The door at this path, where people connect.
    fn door(&self, path: &str) -> Option<Arc<dyn Door>> {
        let _ = path;
        None
    }

    /// Takes events. `Ok` means that all of them are durable.
    fn take<'a>(
        &'a self,
        name: &'a str,
        kind: &'static str,
        inbound: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>>;

    /// Counts and keeps a well-signed request that nobody could read.
    fn keep_unreadable<'a>(
        &'a self,
        name: &'a str,
        reason: &'a str,
        raw: &'a WebhookRequest,
    ) -> BoxFuture<'a, Result<(), RelayError>>;
}

/// How often one adapter's refused signatures are worth a line in the log.
const HINT_EVERY: Duration = Duration::from_secs(60);

/// Answers `/webhooks/{adapter}`.
pub struct Provider {
    inlet: Arc<dyn Inlet>,
    /// When a bad signature was last logged, by adapter, and how many came since.
    hints: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Provider {
    pub fn new(inlet: Arc<dyn Inlet>) -> Provider {
        Provider { inlet, hints: Mutex::default() }
    }

    /// Whether a provider may write to this name at all.
    pub fn knows(&self, name: &str) -> bool {
        self.inlet.adapter(name).is_some_and(|entry| entry.adapter.webhook().is_some())
    }

    /// The door that an adapter has at this path.
    pub fn door(&self, path: &str) -> Option<Arc<dyn Door>> {
        self.inlet.door(path)
    }

    /// Answers one request of a provider.
    pub async fn answer(&self, name: &str, base: &Base, request: Request<Bytes>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let missing = |head: &Parts| ApiError::not_found(head.uri.path()).into_response();
        let Some(entry) = self.inlet.adapter(name) else { return missing(&head) };
        let Some(webhook) = entry.adapter.webhook() else { return missing(&head) };
        let root = base.root(&head.headers, head.extensions.get());
        let (request, uri) = received(&root, head, body);
        match webhook.receive(&request) {
            Ok(received) if received.inbound.is_empty() => reply(received.reply),
            Ok(received) => {
                failpoint!("inbound::verified");
                match self.inlet.take(name, entry.kind, received.inbound).await {
                    Ok(()) => {
                        failpoint!("inbound::before-answer");
                        reply(received.reply)
                    }
                    Err(error) => refused(error),
                }
            }
            Err(Refusal::BadSignature { .. }) => {
                if let Some(unseen) = self.hint_due(name) {
                    hint(name, unseen, webhook, with_alternatives(request, &root, &uri));
                }
                status(StatusCode::FORBIDDEN)
            }
            Err(Refusal::Malformed(reason)) => {
                tracing::warn!(
                    adapter = name,
                    reason,
                    "A well-signed webhook request could not be read; it is kept"
                );
                match self.inlet.keep_unreadable(name, &reason, &request).await {
                    Ok(()) => {
                        inbound(name, InboundOutcome::Unreadable);
                        status(StatusCode::OK)
                    }
                    Err(error) => refused(error),
                }
            }
            Err(Refusal::WrongAccount) => {
                inbound(name, InboundOutcome::Refused);
                tracing::debug!(
                    adapter = name,
                    "A webhook request was for an account that is not this adapter's"
                );
                status(StatusCode::OK)
            }
            Err(Refusal::Method) => ApiError::method("GET, POST").into_response(),
        }
    }

    /// Whether a wrong signature is worth a line, and how many were not since the last one: anybody may send us some.
    fn hint_due(&self, name: &str) -> Option<u64> {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let unseen = match hints.get_mut(name) {
            Some((last, unseen)) if now.duration_since(*last) < HINT_EVERY => {
                *unseen += 1;
                return None;
            }
            Some((_, unseen)) => *unseen,
            None => 0,
        };
        hints.insert(name.to_owned(), (now, 0));
        Some(unseen)
    }
}

/// Says what would have matched. The adapter is asked once more for it, so that no other request pays for the spellings.
fn hint(name: &str, unseen: u64, webhook: &dyn Webhook, request: WebhookRequest) {
    let matches = match webhook.receive(&request) {
        Err(Refusal::BadSignature { matches }) => matches,
        _ => None,
    };
    // Some providers write texts and numbers into the query, and a challenge carries a token.
    let bare = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    let url = bare(&request.url);
    match matches.as_deref().map(bare) {
        Some(other) => tracing::warn!(
            adapter = name,
            unseen,
            "A webhook signature is wrong for {url}, but valid for {other}; is public_url right?"
        ),
        None => tracing::warn!(
            adapter = name,
            unseen,
            "A webhook signature is wrong for {url}; is the adapter's secret right?"
        ),
    }
}

/// The relay could not take it; the provider will try again.
fn refused(error: RelayError) -> Response<Body> {
    match ApiError::from(error) {
        busy if busy.status() == StatusCode::SERVICE_UNAVAILABLE => busy.into_response(),
        // A provider can do nothing about any other refusal, and would repeat itself for days.
        other => {
            tracing::error!(code = other.code(), "The relay refused a provider's event");
            ApiError::unavailable("the event could not be stored").into_response()
        }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn reply(reply: Reply) -> Response<Body> {
    let mut response = Response::new(full(reply.body));
    *response.status_mut() = reply.status;
    if let Some(kind) = reply.content_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

/// The request as adapters want it, with the URL as the provider must have written it; and its target, for a hint.
fn received(root: &str, head: Parts, body: Bytes) -> (WebhookRequest, Uri) {
    let url = format!("{root}{}", target(&head.uri));
    let query = head.uri.query().unwrap_or_default().to_owned();
    let (method, headers) = (head.method, head.headers);
    (WebhookRequest { method, url, alternatives: Vec::new(), query, headers, body }, head.uri)
}

/// The request with what else its URL may have been.
fn with_alternatives(request: WebhookRequest, root: &str, uri: &Uri) -> WebhookRequest {
    let mut alternatives = alternatives(root, &request.headers, target(uri));
    alternatives.retain(|other| *other != request.url);
    WebhookRequest { alternatives, ..request }
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

/// Both schemes, our configured host and the one the request names, with and without the port.
fn alternatives(root: &str, headers: &HeaderMap, target: &str) -> Vec<String> {
    let configured: Option<Uri> = root.parse().ok();
    let configured = configured.as_ref().and_then(|uri| uri.authority()).map(|authority| authority.as_str());
    let forwarded = headers
        .get("x-forwarded-host")
        .and_then(|value| value.to_str().ok())
        .filter(|host| host.len() <= 255);
    let mut urls = Vec::new();
    for authority in [configured, host(headers), forwarded].into_iter().flatten() {
        let bare = match authority.rsplit_once(':') {
            Some((bare, port)) if !bare.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => authority,
        };
        for scheme in ["https", "http"] {
            let default = if scheme == "https" { "443" } else { "80" };
            for name in [authority.to_owned(), bare.to_owned(), format!("{bare}:{default}")] {
                let url = format!("{scheme}://{name}{target}");
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
    }
    urls
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
