//! The one request that sends: POST with a bearer token, and what its answer means for the message.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;
use trunkline_adapter::{Blame, Cause, Class, Clock, Failure, Outcome, Secret};

use crate::{Codebook, retry_after};

/// Most bytes of an answer that are read. Graph's are below 2 KiB.
pub const ANSWER_LIMIT: usize = 64 * 1024;

/// Where to post, and how to read the errors.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The shared client.
    pub http: reqwest::Client,
    /// For dates in answers.
    pub clock: Clock,
    /// The channel's error table.
    pub codebook: Codebook,
}

/// An object's messages, and what every request to them has in common.
#[derive(Clone, Debug)]
pub struct Target(Result<(Url, HeaderMap), &'static str>);

impl Target {
    /// The messages at this URL, for whoever holds this token. What makes no request is told by each send.
    pub fn new(url: &str, token: &Secret) -> Target {
        Target(Target::request(url, token))
    }

    fn request(url: &str, token: &Secret) -> Result<(Url, HeaderMap), &'static str> {
        let bearer = secret_header(token)?;
        let url = Url::parse(url).map_err(|_| "the request cannot be made: is base_url right?")?;
        let json = HeaderValue::from_static("application/json");
        Ok((url, HeaderMap::from_iter([(AUTHORIZATION, bearer), (CONTENT_TYPE, json)])))
    }
}

pub(crate) fn secret_header(token: &Secret) -> Result<HeaderValue, &'static str> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut bearer = bearer.map_err(|_| "the access token is no header value")?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// The refusal that the operator must see to.
pub(crate) fn operator(text: &str) -> Outcome {
    Outcome::Rejected { blame: Blame::Operator, cause: Cause::new(text) }
}

/// Posts JSON and gives back the answer's JSON if the provider took it, else what became of the message.
///
/// # Errors
/// The outcome to report. Only what surely happened before the first byte left is called retryable; whatever leaves
/// open if the provider acted is [`Outcome::Unknown`].
pub async fn post<B: Serialize>(endpoint: &Endpoint, target: &Target, body: &B) -> Result<Value, Outcome> {
    let (url, headers) = target.0.as_ref().map_err(|text| operator(text))?;
    let body = serde_json::to_vec(body).map_err(|_| operator("the request cannot be written as JSON"))?;
    let mut request = reqwest::Request::new(Method::POST, url.clone());
    *request.headers_mut() = headers.clone();
    *request.body_mut() = Some(body.into());
    let answer = endpoint.http.execute(request).await.map_err(|error| lost(&error))?;
    interpreted(endpoint, answer).await
}

/// The JSON of an answer, or what the answer means.
pub(crate) async fn interpreted(
    endpoint: &Endpoint,
    mut answer: reqwest::Response,
) -> Result<Value, Outcome> {
    let status = answer.status();
    let wait = retry_after::wait(answer.headers(), endpoint.clock.now());
    let read = read(&mut answer).await;
    let json = read.as_ref().ok().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let refused = json.as_ref().is_some_and(|json| json.get("error").is_some());
    if !status.is_success() || refused {
        return Err(endpoint.codebook.failure(status, json.as_ref(), wait).outcome());
    }
    match (json, read) {
        (Some(json), _) => Ok(json),
        (None, Ok(_)) => Err(broken_answer("the answer is not JSON")),
        (None, Err(cause)) => Err(broken_answer(cause)),
    }
}

/// The outcome of a send whose success answer cannot be used.
pub fn broken_answer(text: &str) -> Outcome {
    Failure { class: Class::Unknown, code: 0, text: text.to_owned(), after: None }.outcome()
}

/// The error's own words would show the URL, and with it ids; these say the same without.
fn lost(error: &reqwest::Error) -> Outcome {
    if error.is_builder() {
        let cause = Cause::new("the request cannot be made: is base_url right?");
        return Outcome::Rejected { blame: Blame::Operator, cause };
    }
    if error.is_connect() {
        return Outcome::Retryable { after: None, tries: None, cause: Cause::new("no connection") };
    }
    broken_answer(if error.is_timeout() { "no answer in time" } else { "the connection broke" })
}

async fn read(answer: &mut reqwest::Response) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= ANSWER_LIMIT => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err("the answer is too long"),
            Err(_) => return Err("the answer broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::Rule;
    use crate::peer::{self, Peer};
    use serde_json::json;
    use std::time::Duration;

    const RULES: &[Rule] = &[Rule::code(190, Class::Auth), Rule::code(131_056, Class::ThrottleRecipient)];

    fn endpoint() -> Endpoint {
        Endpoint { http: peer::client(), clock: Clock::system(), codebook: Codebook::new(RULES) }
    }

    async fn sent(answer: &str) -> Result<Value, Outcome> {
        let peer = Peer::answering(answer).await.unwrap();
        let body = json!({"a": "é"});
        let url = format!("{}/v23.0/1/messages", peer.url());
        let outcome = post(&endpoint(), &Target::new(&url, &Secret::new("tok")), &body).await;
        let request = peer.request().await.unwrap();
        assert!(request.head.starts_with("POST /v23.0/1/messages HTTP/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("\r\nauthorization: Bearer tok\r\n"));
        assert!(request.head.contains("\r\ncontent-type: application/json\r\n"));
        assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), body);
        outcome
    }

    #[tokio::test]
    async fn a_taken_request_gives_its_answer() {
        assert_eq!(sent(&peer::json(200, "", r#"{"ok":1}"#)).await, Ok(json!({"ok": 1})));
    }

    #[tokio::test]
    async fn errors_are_classified_and_waits_honoured() {
        let error = r#"{"error":{"message":"pair","code":131056}}"#;
        let Err(Outcome::Throttled { after, scope, cause }) =
            sent(&peer::json(400, "retry-after: 9\r\n", error)).await
        else {
            panic!()
        };
        assert_eq!((after, cause.code), (Some(Duration::from_secs(9)), 131_056));
        assert_eq!(scope, trunkline_adapter::Scope::Recipient);
        let in_a_success = sent(&peer::json(200, "", r#"{"error":{"code":190}}"#)).await;
        assert!(matches!(in_a_success, Err(Outcome::Rejected { blame: Blame::Operator, .. })));
    }

    #[tokio::test]
    async fn an_unusable_success_is_unknown() {
        let long = format!("\"{}\"", "x".repeat(ANSWER_LIMIT));
        for answer in [
            peer::json(200, "", "not json"),
            peer::json(200, "", &long),
            "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"a\":".to_owned(),
            "garbage".to_owned(),
            String::new(),
        ] {
            let outcome = sent(&answer).await;
            assert!(matches!(outcome, Err(Outcome::Unknown { .. })), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn gateways_in_between_leave_it_open_and_servers_do_not() {
        for (status, retry) in [(500, true), (502, false), (503, true), (504, false)] {
            match sent(&peer::json(status, "", "<html>")).await {
                Err(Outcome::Retryable { tries: None, .. }) => assert!(retry, "{status}"),
                Err(Outcome::Unknown { .. }) => assert!(!retry, "{status}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nobody_listening_is_worth_another_try() {
        let peer = Peer::answering("").await.unwrap();
        let url = peer.url();
        drop(peer);
        let outcome = post(&endpoint(), &Target::new(&url, &Secret::new("tok")), &json!({})).await;
        assert!(matches!(outcome, Err(Outcome::Retryable { tries: None, .. })), "{outcome:?}");
    }

    #[tokio::test]
    async fn silence_after_the_request_is_unknown() {
        let peer = Peer::silent().await.unwrap();
        let (endpoint, body) = (endpoint(), json!({}));
        let target = Target::new(&peer.url(), &Secret::new("tok"));
        let waiting = post(&endpoint, &target, &body);
        let passing = async {
            peer.request().await.unwrap();
            tokio::time::pause();
            tokio::time::advance(peer::TIMEOUT + Duration::from_secs(1)).await;
        };
        let (outcome, ()) = tokio::join!(waiting, passing);
        assert_eq!(outcome, Err(broken_answer("no answer in time")));
    }

    #[tokio::test]
    async fn a_token_or_url_that_cannot_be_sent_is_the_operators() {
        for (url, token) in [("http://127.0.0.1:1/", "a\nb"), ("http://", "tok")] {
            let outcome = post(&endpoint(), &Target::new(url, &Secret::new(token)), &json!({})).await;
            assert!(matches!(outcome, Err(Outcome::Rejected { blame: Blame::Operator, .. })), "{outcome:?}");
        }
    }
}
