//! Answers: their bodies, and what every one of them bears.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use super::inside::Visitor;

/// Everything the page needs comes from here, and nothing else may run in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What the page may load and reach: us, and the daemon where somebody in the browser meets it.
pub(super) fn policy(visitor: Option<&Visitor>) -> HeaderValue {
    let (root, socket) = visitor.map_or(("", ""), |visitor| (visitor.root.as_str(), visitor.socket.as_str()));
    let text = format!("{POLICY}; connect-src 'self' {root} {socket}; img-src 'self' data: {root}");
    // An address that is no header value would be nobody's to reach either.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(POLICY))
}

/// A body of any kind.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer with a whole body.
pub(super) fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An error as JSON.
pub(super) fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    let body = serde_json::json!({ "status": status.as_u16(), "message": message });
    respond(status, "application/json", Bytes::from(body.to_string()))
}

/// The path is there, the method is not.
pub(super) fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "this method has no meaning here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
