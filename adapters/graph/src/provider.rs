//! Graph's own side of the wire, for the adapters' simulators.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use trunkline_adapter::Secrets;
use trunkline_adapter::simulator::{ProviderAnswer, ProviderRequest, SignedRequest};

use crate::{SIGNATURE_HEADER, lenient, sign};

/// A delivery as Meta makes it: signed with the first app secret, everything beyond ASCII escaped.
pub fn delivery(app_secret: &Secrets, url: &str, body: &Value) -> SignedRequest {
    let body = lenient::ascii_json(body);
    let signature = sign(app_secret.first().expose(), body.as_bytes());
    SignedRequest {
        method: Method::POST,
        url: url.to_owned(),
        headers: vec![("content-type", "application/json".to_owned()), (SIGNATURE_HEADER, signature)],
        body: Bytes::from(body),
    }
}

/// A success answer.
pub fn success(body: &Value) -> ProviderAnswer {
    ProviderAnswer { status: StatusCode::OK, headers: json_type(), body: body.to_string() }
}

/// An error answer.
pub fn error(status: StatusCode, code: u32, message: &str) -> ProviderAnswer {
    let body = json!({"error": {
        "message": format!("(#{code}) {message}"),
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "SimulatedTrace",
    }});
    ProviderAnswer { status, headers: json_type(), body: body.to_string() }
}

fn json_type() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/json; charset=UTF-8".to_owned())]
}

/// Checks what every send must have, and gives back its body.
///
/// # Errors
/// Graph's answer to a wrong method, token or body.
pub fn admit(request: &ProviderRequest, tokens: &Secrets) -> Result<Value, ProviderAnswer> {
    if request.method != Method::POST {
        return Err(error(StatusCode::BAD_REQUEST, 100, "Unsupported method"));
    }
    bearer(request, tokens)?;
    serde_json::from_slice(&request.body).map_err(|_| error(StatusCode::BAD_REQUEST, 100, "Body is not JSON"))
}

/// Checks the token of a request.
///
/// # Errors
/// Graph's answer to a wrong one.
pub fn bearer(request: &ProviderRequest, tokens: &Secrets) -> Result<(), ProviderAnswer> {
    let presented = request.headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let token = presented.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    let wrong = || error(StatusCode::UNAUTHORIZED, 190, "Invalid access token");
    tokens.matches(token).then_some(()).ok_or_else(wrong)
}
