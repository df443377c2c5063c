//! Requests that providers make to us.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::Inbound;

/// A provider's request, whole and unparsed.
#[derive(Clone, Debug)]
pub struct WebhookRequest {
    /// GET or POST.
    pub method: Method,
    /// The URL as the provider wrote it: scheme, host, path and query as sent. Some signatures are made over it.
    pub url: String,
    /// The same URL as other setups of proxies would have it; never trusted, only named in hints.
    pub alternatives: Vec<String>,
    /// The query as sent, without `?`.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The raw body, already bounded.
    pub body: Bytes,
}

impl WebhookRequest {
    /// A header as text, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A provider that calls us.
pub trait Webhook: Send + Sync {
    /// Verifies the signature on the raw bytes, then reads every event of the request.
    ///
    /// # Errors
    /// See [`Refusal`]. Events inside a well-signed batch that cannot be read are [`Inbound::Notice`]s instead, so that
    /// one of them never costs the others.
    fn receive(&self, request: &WebhookRequest) -> Result<Received, Refusal>;
}

/// What a request held, and what to answer once that is safe.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its events, in order.
    pub inbound: Vec<Inbound>,
    /// The answer to give after the events are stored.
    pub reply: Reply,
}

/// An answer to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its content type; `None` with an empty body.
    pub content_type: Option<&'static str>,
    /// Its body.
    pub body: String,
}

impl Reply {
    /// 200 with nothing in it.
    pub fn empty() -> Reply {
        Reply { status: StatusCode::OK, content_type: None, body: String::new() }
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The signature or the verify token is wrong: 403. `matches` names an alternative URL the signature is valid for.
    BadSignature {
        /// One of the request's alternatives for which the signature is right.
        matches: Option<String>,
    },
    /// Well signed, and not what the provider documents: 200, counted, and the raw request kept.
    Malformed(String),
    /// Well signed, for an account or object that is not this adapter's: 200 and counted.
    WrongAccount,
    /// The provider does not use this method here: 405.
    Method,
}
