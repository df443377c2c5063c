//! The one client for URLs of callers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};

use super::guard::{Guard, NotReachable};
use super::sign::{HEADER, sign, with_body_hash};

/// Connecting may take this much of a call's time.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest URL that is called, parameters of a GET included.
const LONGEST_URL: usize = 64 * 1024;

/// What is asked of somebody's URL.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: String,
    pub body: Body,
    /// Names and values beside the signature and the type.
    pub headers: Vec<(&'static str, String)>,
    /// From the first step to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of the answer that are read; a longer one is an error.
    pub most: usize,
}

/// What goes along.
#[derive(Clone, Debug)]
pub enum Body {
    /// Parameters in the query of a GET.
    Query(Vec<(String, String)>),
    /// Parameters as a form in a POST.
    Form(Vec<(String, String)>),
    /// JSON in a POST.
    Json(Bytes),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// As the header says it; empty when it does not.
    pub content_type: String,
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the URL cannot be read")]
    Url,
    #[error(transparent)]
    NotReachable(#[from] NotReachable),
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, or it broke; with its causes, and without the URL, which may hold a password.
    #[error("{0}")]
    Failed(String),
}

/// Makes such requests.
#[derive(Clone)]
pub struct Caller {
    client: reqwest::Client,
    guard: Guard,
}

impl Caller {
    /// # Errors
    /// When the system's trust store cannot be read.
    pub fn new(guard: Guard, agent: &str) -> Result<Caller, reqwest::Error> {
        let client = spare_client(agent).dns_resolver(guard.clone()).build()?;
        Ok(Caller { client, guard })
    }

    /// The client behind the guard.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The guard, to be given what a reload allows.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Makes one request, signed with `token`.
    ///
    /// # Errors
    /// When no whole answer came; any status is an answer.
    ///
    /// # Cancel safety
    /// The request may have been made when the future is dropped.
    pub async fn call(&self, request: Request, token: &str) -> Result<Answer, CallError> {
        let url = called(&request)?;
        self.guard.check(&url)?;
        let signed = match &request.body {
            Body::Form(form) => sign(token, &url, form),
            Body::Query(_) | Body::Json(_) => sign(token, &url, &[]),
        };
        let method = if matches!(request.body, Body::Query(_)) { Method::GET } else { Method::POST };
        let mut builder = self.client.request(method, with_credentials(&request.url, url));
        builder = builder.timeout(request.timeout).header(HEADER, signed);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        builder = match request.body {
            Body::Query(_) => builder,
            Body::Form(form) => {
                let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
                builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8").body(body)
            }
            Body::Json(body) => builder.header(CONTENT_TYPE, "application/json").body(body),
        };
        let mut response = builder.send().await.map_err(failed)?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body: Bytes::new(),
        };
        let mut body = BytesMut::new();
        while let Some(some) = response.chunk().await.map_err(failed)? {
            if body.len() + some.len() > request.most {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&some);
        }
        answer.body = body.freeze();
        Ok(answer)
    }
}

/// A client that follows nothing and repeats nothing.
pub(super) fn spare_client(agent: &str) -> reqwest::ClientBuilder {
    // The one crypto library; a second call in the same process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .pool_max_idle_per_host(8)
        .pool_idle_timeout(Duration::from_secs(30))
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .user_agent(agent)
}

/// The URL as it is called, and so as it is signed: without a fragment, and without a user's name, which travels in a
/// header of its own.
fn called(request: &Request) -> Result<Url, CallError> {
    let mut url = Url::parse(&request.url).map_err(|_| CallError::Url)?;
    url.set_fragment(None);
    // Both fail only for URLs without a host, which the guard refuses.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let url = match &request.body {
        Body::Query(pairs) if !pairs.is_empty() => {
            url.query_pairs_mut().extend_pairs(pairs);
            url
        }
        Body::Json(body) => with_body_hash(url, body),
        Body::Query(_) | Body::Form(_) => url,
    };
    if url.as_str().len() > LONGEST_URL { Err(CallError::TooLarge) } else { Ok(url) }
}

/// Puts a user's name back, which the client makes a header of.
fn with_credentials(given: &str, mut url: Url) -> Url {
    if let Ok(given) = Url::parse(given) {
        let _ = url.set_username(given.username());
        let _ = url.set_password(given.password());
    }
    url
}

pub(super) fn failed(error: reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::TimedOut;
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<NotReachable>() {
            return CallError::NotReachable(refused.clone());
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    CallError::Failed(text)
}

#[cfg(test)]
#[path = "call_test.rs"]
mod tests;
