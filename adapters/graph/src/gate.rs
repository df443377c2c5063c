//! What every webhook request passes before anything else sees it: the challenge of a subscription, or the signature.

use http::{Method, StatusCode};
use trunkline_adapter::{Received, Refusal, Reply, Secrets, WebhookRequest};

use crate::{Json, json, signature};

/// Longest challenge that is given back. Meta's are about ten digits.
const CHALLENGE_LIMIT: usize = 256;

/// Checks requests against one app's secrets.
#[derive(Clone, Debug)]
pub struct Gate {
    app_secret: Secrets,
    verify_token: Secrets,
}

/// A request that passed.
#[derive(Debug)]
pub enum Passed<'a> {
    /// A subscription was challenged; nothing is left but to give this back.
    Challenge(Received),
    /// A signed delivery, parsed.
    Delivery(Json<'a>),
}

impl Gate {
    /// A gate for an app.
    pub fn new(app_secret: Secrets, verify_token: Secrets) -> Gate {
        Gate { app_secret, verify_token }
    }

    /// Lets a request through, or says why not.
    ///
    /// # Errors
    /// A wrong signature or token, a method Meta does not use, or signed bytes that are not JSON.
    pub fn pass<'a>(&self, request: &'a WebhookRequest) -> Result<Passed<'a>, Refusal> {
        if request.method == Method::GET {
            return self.challenge(&request.query).map(Passed::Challenge);
        }
        if request.method != Method::POST {
            return Err(Refusal::Method);
        }
        if !signature::verify(&self.app_secret, &request.headers, &request.body) {
            return Err(Refusal::BadSignature { matches: None });
        }
        match json::parse(&request.body) {
            Ok(value) => Ok(Passed::Delivery(value)),
            // The parser's words name a position only, never content.
            Err(error) => Err(Refusal::Malformed(format!("not JSON: {error}"))),
        }
    }

    fn challenge(&self, query: &str) -> Result<Received, Refusal> {
        let (mut mode, mut token, mut challenge) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "hub.mode" => &mut mode,
                "hub.verify_token" => &mut token,
                "hub.challenge" => &mut challenge,
                _ => continue,
            };
            // A parameter given twice could be read differently by something in between.
            if slot.replace(value).is_some() {
                return Err(Refusal::BadSignature { matches: None });
            }
        }
        let known = token.is_some_and(|token| self.verify_token.matches(token.as_bytes()));
        let subscribe = mode.as_deref() == Some("subscribe");
        match challenge {
            Some(challenge) if known && subscribe && reflectable(&challenge) => Ok(Received {
                inbound: Vec::new(),
                reply: Reply {
                    status: StatusCode::OK,
                    content_type: Some("text/plain"),
                    body: challenge.into_owned(),
                },
            }),
            _ => Err(Refusal::BadSignature { matches: None }),
        }
    }
}

/// The challenge is the one thing of a request that is ever given back.
fn reflectable(challenge: &str) -> bool {
    (1..=CHALLENGE_LIMIT).contains(&challenge.len()) && challenge.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::{SIGNATURE_HEADER, sign};
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::Value;

    fn gate() -> Gate {
        Gate::new(Secrets::one("secret"), Secrets::one("token"))
    }

    fn request(method: Method, query: &str, body: &[u8], signature: Option<String>) -> WebhookRequest {
        let mut headers = HeaderMap::new();
        if let Some(signature) = signature {
            headers.insert(SIGNATURE_HEADER, signature.parse().unwrap());
        }
        WebhookRequest {
            method,
            url: "https://bridge.example/webhooks/x".to_owned(),
            alternatives: Vec::new(),
            query: query.to_owned(),
            headers,
            body: Bytes::copy_from_slice(body),
        }
    }

    fn get(query: &str) -> Result<Received, Refusal> {
        match gate().pass(&request(Method::GET, query, b"", None))? {
            Passed::Challenge(received) => Ok(received),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_challenge_with_the_right_token_comes_back_as_plain_text() {
        let received = get("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=token").unwrap();
        assert!(received.inbound.is_empty());
        assert_eq!(received.reply.body, "1158201444");
        assert_eq!(received.reply.content_type, Some("text/plain"));
        assert_eq!(received.reply.status, StatusCode::OK);
    }

    #[test]
    fn every_other_challenge_is_refused() {
        let long = format!("hub.mode=subscribe&hub.verify_token=token&hub.challenge={}", "1".repeat(257));
        for query in [
            "",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=Token",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=token",
            "hub.challenge=1&hub.verify_token=token",
            "hub.mode=subscribe&hub.verify_token=token",
            "hub.mode=subscribe&hub.challenge=&hub.verify_token=token",
            "hub.mode=subscribe&hub.challenge=a%0d%0ab&hub.verify_token=token",
            "hub.mode=subscribe&hub.challenge=%C3%A9&hub.verify_token=token",
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=x&hub.verify_token=token",
            &long,
        ] {
            assert!(matches!(get(query), Err(Refusal::BadSignature { matches: None })), "{query}");
        }
    }

    #[test]
    fn the_signature_is_checked_before_the_body_is_parsed() {
        let post = |body, signature| request(Method::POST, "", body, signature);
        let forged = post(b"not json", Some(sign("other", b"not json")));
        assert!(matches!(gate().pass(&forged), Err(Refusal::BadSignature { .. })));
        let bare = post(b"{}", None);
        assert!(matches!(gate().pass(&bare), Err(Refusal::BadSignature { .. })));
        let garbled = post(b"not json", Some(sign("secret", b"not json")));
        assert!(matches!(gate().pass(&garbled), Err(Refusal::Malformed(_))));
        let good = post(b"{}", Some(sign("secret", b"{}")));
        assert!(matches!(gate().pass(&good), Ok(Passed::Delivery(_))));
    }

    #[test]
    fn a_body_that_says_the_same_in_other_bytes_is_refused() {
        let escaped: &[u8] = b"{\"text\":\"h\\u00e9\"}";
        let again = serde_json::to_vec(&serde_json::from_slice::<Value>(escaped).unwrap()).unwrap();
        let again = request(Method::POST, "", &again, Some(sign("secret", escaped)));
        assert!(matches!(gate().pass(&again), Err(Refusal::BadSignature { .. })));
    }

    #[test]
    fn other_methods_are_not_ours() {
        for method in [Method::PUT, Method::DELETE, Method::HEAD] {
            let other = request(method, "", b"{}", Some(sign("secret", b"{}")));
            assert!(matches!(gate().pass(&other), Err(Refusal::Method)));
        }
    }
}
