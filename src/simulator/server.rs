//! HTTP: connections, bounds, and which part of the simulator a path belongs to.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use trunkline_adapter::simulator::ProviderRequest;

use super::answer::{Body, not_allowed, refuse, respond};
use super::api;
use super::files::LARGEST;
use super::inside::Inside;
use crate::console;

/// Connections at a time. More wait in the listener's backlog.
const CONNECTIONS: usize = 256;
/// The largest body of a request.
const LARGEST_BODY: usize = 256 << 10;
/// The same of one to a provider, which may hand a file over.
const LARGEST_UPLOAD: usize = LARGEST + (64 << 10);
/// How long a request may take to arrive, head and body each.
const ARRIVE_WITHIN: Duration = Duration::from_secs(10);
/// Accepts connections until dropped; its connections end with it.
pub(super) async fn run(listener: TcpListener, inside: Arc<Inside>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let inside = inside.clone();
                connections.spawn(async move {
                    connection(stream, inside).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, usually: trying at once again would only burn the processor.
                tracing::warn!(%error, "The simulator cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, inside: Arc<Inside>) {
    let service = service_fn(move |request| {
        let inside = inside.clone();
        async move { Ok::<_, Infallible>(guarded(&inside, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ARRIVE_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "A connection to the simulator broke");
    }
}

/// Answers, with the headers that belong on every answer.
async fn guarded(inside: &Arc<Inside>, request: Request<Incoming>) -> Response<Body> {
    let mut answer = if inside.loopback_only && !names_this_machine(request.headers()) {
        // A page elsewhere can make its own name resolve to us; what it cannot do is send another Host.
        refuse(
            StatusCode::FORBIDDEN,
            "the simulator answers only to localhost; start it with --listen to open it",
        )
    } else {
        route(inside, request).await
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, inside.policy.clone());
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn route(inside: &Arc<Inside>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let most = if head.uri.path().starts_with("/provider/") { LARGEST_UPLOAD } else { LARGEST_BODY };
    let body = match read(body, most).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let path = head.uri.path();
    if let Some(below) = path.strip_prefix("/provider/") {
        let (adapter, below) = below.split_at(below.find('/').unwrap_or(below.len()));
        let Some(working) = inside.provider(adapter) else {
            return refuse(StatusCode::NOT_FOUND, "no provider of this name is simulated here");
        };
        let request = ProviderRequest {
            method: head.method.clone(),
            path: if below.is_empty() { "/".to_owned() } else { below.to_owned() },
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body,
        };
        return provider_answer(working.answer(&request).await);
    }
    if path == "/simulator" || path.starts_with("/simulator/") {
        return api::answer(inside, &head, &body);
    }
    match console::file(path) {
        None => refuse(StatusCode::NOT_FOUND, "there is nothing here; the page of phones is at /"),
        Some(_) if !matches!(head.method, Method::GET | Method::HEAD) => not_allowed("GET, HEAD"),
        Some(file) => respond(StatusCode::OK, file.content_type, Bytes::from_static(file.body.as_bytes())),
    }
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Response<Body>> {
    match tokio::time::timeout(ARRIVE_WITHIN, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body ended before it was whole")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

fn provider_answer(answer: trunkline_adapter::simulator::FileAnswer) -> Response<Body> {
    let mut response = respond(answer.status, "application/json", answer.body);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
