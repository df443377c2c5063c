//! From a request to a socket: the handshake of WebSockets on an adapter's path.

use std::io::Cursor;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use trunkline_adapter::{Crowd, Door, Host, Reception, Stream, Tokens, Visit};

use super::body::{Body, full};
use super::error::{self, ApiError};
use super::server::Transport;

/// What the server adds to a client's key, as the protocol has it.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Who receives those that connect.
pub struct Sockets {
    tokens: Arc<dyn Tokens>,
    host: Arc<dyn Host>,
    crowd: RwLock<Crowd>,
}

impl Sockets {
    pub fn new(tokens: Arc<dyn Tokens>, host: Arc<dyn Host>) -> Sockets {
        Sockets { tokens, host, crowd: RwLock::new(Crowd { total: 0, per_identity: 0 }) }
    }

    /// Whose tokens may be used.
    pub fn tokens(&self) -> &Arc<dyn Tokens> {
        &self.tokens
    }

    /// Takes new limits; those who are in stay.
    pub fn limit(&self, crowd: Crowd) {
        *self.crowd.write().unwrap_or_else(PoisonError::into_inner) = crowd;
    }

    /// Answers the handshake; once the answer is sent, the door has the socket.
    pub(super) fn upgrade(&self, head: &mut Parts, door: Arc<dyn Door>, root: Arc<str>) -> Response<Body> {
        let accept = match accept(head) {
            Ok(accept) => accept,
            Err(refusal) => return *refusal,
        };
        let origin = match head.headers.get(ORIGIN).map(HeaderValue::to_str) {
            None => None,
            // Nobody's page, so nobody's list has it.
            Some(origin) => Some(origin.unwrap_or("null")),
        };
        if !door.welcomes(origin) {
            return ApiError::from(error::ORIGIN).into_response();
        }
        // A transport that cannot be taken over has none; the public listener's can.
        let Some(upgrading) = head.extensions.remove::<OnUpgrade>() else {
            return upgrade_required();
        };
        let crowd = *self.crowd.read().unwrap_or_else(PoisonError::into_inner);
        let visit = Visit { root };
        let reception = Reception { tokens: self.tokens.clone(), host: self.host.clone(), visit, crowd };
        tokio::spawn(async move {
            match upgrading.await {
                Ok(upgraded) => door.serve(stream(upgraded), reception).await,
                Err(error) => tracing::debug!(%error, "A connection ended before it was a socket"),
            }
        });
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// The proof that we know what was asked for.
fn accept(head: &Parts) -> Result<HeaderValue, Box<Response<Body>>> {
    if head.method != Method::GET {
        return Err(Box::new(ApiError::method("GET").into_response()));
    }
    let headers = &head.headers;
    if !names(headers, CONNECTION.as_str(), "upgrade") || !names(headers, UPGRADE.as_str(), "websocket") {
        return Err(Box::new(upgrade_required()));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Box::new(upgrade_required()));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(true, |key| key.len() != 16) {
        return Err(Box::new(ApiError::from(error::SOCKET_KEY).into_response()));
    }
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    HeaderValue::try_from(STANDARD.encode(digest.finish())).map_err(|_| Box::new(upgrade_required()))
}

/// Whether a header's list has this word.
fn names(headers: &HeaderMap, header: &str, word: &str) -> bool {
    let lists = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(word))
}

fn upgrade_required() -> Response<Body> {
    let mut response = ApiError::from(error::NOT_A_SOCKET).into_response();
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// The connection itself: what the HTTP server kept for it goes away, and with it most of what an idle one would cost.
fn stream(upgraded: Upgraded) -> Box<dyn Stream> {
    match upgraded.downcast::<Transport<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Box::new(parts.io.into_inner().into_inner()),
        // Somebody who did not wait for our answer.
        Ok(parts) => {
            let (reading, writing) = tokio::io::split(parts.io.into_inner().into_inner());
            Box::new(tokio::io::join(Cursor::new(parts.read_buf).chain(reading), writing))
        }
        Err(upgraded) => Box::new(TokioIo::new(upgraded)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use http::Request;

    fn head(changes: &[(&str, Option<&str>)]) -> Parts {
        let mut headers = vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        headers.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
        let method = headers.iter().find(|(name, _)| *name == "method").map_or("GET", |(_, value)| value);
        let request = Request::builder().method(method).uri("/v3/wsconnect");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_handshake_of_the_protocols_own_example() {
        assert_eq!(accept(&head(&[])).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_handshake() {
        for (name, value, status) in [
            ("method", Some("POST"), 405),
            ("connection", Some("keep-alive"), 426),
            ("connection", None, 426),
            ("upgrade", Some("h2c"), 426),
            ("sec-websocket-version", Some("8"), 426),
            ("sec-websocket-key", None, 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ"), 400),
            ("sec-websocket-key", Some("c2hvcnQ="), 400),
        ] {
            assert_eq!(accept(&head(&[(name, value)])).unwrap_err().status(), status, "{name} {value:?}");
        }
    }
}
