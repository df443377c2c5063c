//! Twilio's forms. The first line says how the request comes: `P` a signed form, `G` a signed query, `J` a body vouched
//! for by its hash, anything else a form with that line as its signature. The second line is the query, the rest the body.

use std::cell::LazyCell;
use std::sync::Arc;

use http::Method;
use trunkline_adapter::{Adapter, Refusal};
use trunkline_twilio::{Twilio, sign};

use super::{house, line, webhook};

/// The fixtures' account.
const ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

thread_local! {
    static ADAPTER: LazyCell<Arc<dyn Adapter>> = LazyCell::new(|| {
        let settings = [("account_sid", ACCOUNT), ("auth_token", webhook::SECRET)];
        webhook::adapter(&Twilio, house::SMS, &settings, &[], webhook::client())
    });
}

pub fn run(data: &[u8]) {
    let (how, rest) = line(data);
    let (query, body) = line(rest);
    let query = String::from_utf8_lossy(query).into_owned();
    let url = if query.is_empty() { webhook::URL.to_owned() } else { format!("{}?{query}", webhook::URL) };
    // What a stranger's decoder makes of the form; where that loses bytes, no signature can be made from it.
    let decoded: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let faithful =
        !decoded.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'));
    let pairs: Vec<(&str, &str)> =
        decoded.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (method, kind, signature, right) = match how {
        b"P" => (Method::POST, FORM, sign(webhook::SECRET, &url, &pairs), faithful && pairs.len() <= 500),
        b"G" => (Method::GET, FORM, sign(webhook::SECRET, &url, &[]), query.split('&').count() <= 500),
        b"J" => (Method::POST, &b"application/json"[..], sign(webhook::SECRET, &url, &[]), false),
        other => (Method::POST, FORM, String::from_utf8_lossy(other).into_owned(), false),
    };
    let headers = [("content-type", kind), ("x-twilio-signature", signature.as_bytes())];
    let request = webhook::request(method, &query, &headers, body);
    let heard = ADAPTER.with(|adapter| webhook::receive(&***adapter, &request));
    if right {
        assert!(!matches!(heard, Err(Refusal::BadSignature { .. })), "a right signature is refused");
    }
    if !matches!(how, b"P" | b"G" | b"J") && signature != sign(webhook::SECRET, &url, &pairs) {
        assert!(matches!(heard, Err(Refusal::BadSignature { .. })), "a wrong signature is taken");
    }
    if let Ok(received) = heard {
        webhook::relay("twilio", &received.inbound);
    }
}
