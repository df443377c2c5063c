//! The gate of the webhook: method, signature, account; then message or status.

use http::{Method, StatusCode};
use serde_json::Value;
use trunkline_adapter::{Inbound, Received, Refusal, Reply, WebhookRequest};

use crate::form::{self, Fields, Pairs};
use crate::settings::Account;
use crate::signature::{self, Presented};
use crate::{message, status};

/// How many other spellings of our URL are tried for the hint.
const HINTS: usize = 24;
/// The hint is for an operator who is setting up, whose messages are small; nobody else's megabytes are hashed so often.
const HINT_BODY: usize = 64 * 1024;

/// What the signature is made over, besides the URL.
enum Signed {
    /// A form, whose parameters are signed with the URL.
    Form(Pairs),
    /// Parameters in the query, where they are part of the URL.
    Query(Pairs),
    /// A body whose hash is part of the URL.
    Hashed,
}

pub(crate) fn receive(account: &Account, request: &WebhookRequest) -> Result<Received, Refusal> {
    if request.method != Method::POST && request.method != Method::GET {
        return Err(Refusal::Method);
    }
    let pairs = match verify(account, request)? {
        Signed::Form(pairs) | Signed::Query(pairs) => pairs,
        Signed::Hashed => return document(account, request),
    };
    let fields =
        Fields::new(pairs).ok_or_else(|| Refusal::Malformed("a parameter is not UTF-8".to_owned()))?;
    let owner = fields.required(&["AccountSid"])?;
    if !account.sid.matches(owner.as_bytes()) {
        return Err(Refusal::WrongAccount);
    }
    match status::state(&fields) {
        Some(state) => {
            let correlation = form::query(&request.query, crate::send::CORRELATION);
            Ok(Received { inbound: status::read(&fields, state, correlation)?, reply: Reply::empty() })
        }
        None => Ok(Received { inbound: message::read(&fields)?, reply: empty_twiml() }),
    }
}

fn verify(account: &Account, request: &WebhookRequest) -> Result<Signed, Refusal> {
    let refused = || Refusal::BadSignature { matches: None };
    let header = request.header(signature::HEADER).ok_or_else(refused)?;
    let signed = signed_part(request).ok_or_else(refused)?;
    let canonical = match &signed {
        Signed::Form(pairs) => signature::canonical(pairs),
        Signed::Query(_) | Signed::Hashed => Vec::new(),
    };
    let presented = Presented::new(header, &canonical).ok_or_else(refused)?;
    if presented.holds(&account.tokens, &request.url) {
        return Ok(signed);
    }
    let hints = if request.body.len() <= HINT_BODY { HINTS } else { 0 };
    let matches = request.alternatives.iter().take(hints);
    let matches = matches.into_iter().find(|url| presented.holds(&account.tokens, url)).cloned();
    Err(Refusal::BadSignature { matches })
}

/// `None` when nothing in the request could vouch for its body.
fn signed_part(request: &WebhookRequest) -> Option<Signed> {
    if request.method == Method::GET {
        return form::parse(request.query.as_bytes()).map(Signed::Query);
    }
    let content_type = request.header("content-type").unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.is_empty() || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return form::parse(&request.body).map(Signed::Form);
    }
    let hash = form::query(&request.query, signature::BODY_HASH)?;
    signature::hash_matches(&request.body, &hash).then_some(Signed::Hashed)
}

/// A signed JSON body: none of Twilio's messaging webhooks comes so today. It is kept for the operator.
fn document(account: &Account, request: &WebhookRequest) -> Result<Received, Refusal> {
    let raw: Value = serde_json::from_slice(&request.body)
        .map_err(|_| Refusal::Malformed("the body is not JSON".to_owned()))?;
    let owner = raw.get("AccountSid").or_else(|| raw.get("account_sid")).and_then(Value::as_str);
    if owner.is_some_and(|owner| !account.sid.matches(owner.as_bytes())) {
        return Err(Refusal::WrongAccount);
    }
    Ok(Received { inbound: vec![Inbound::Notice { kind: "json".to_owned(), raw }], reply: Reply::empty() })
}

/// To a message: no TwiML verb, so Twilio sends nothing. Plain text would go out as an SMS.
fn empty_twiml() -> Reply {
    Reply { status: StatusCode::OK, content_type: Some("text/xml"), body: "<Response/>".to_owned() }
}
