//! One text or file to one person.

use std::collections::HashMap;

use serde::Serialize;
use trunkline_adapter::{Address, Blame, Cause, Channel, Content, Outbound, Outcome};
use trunkline_graph::{Endpoint, Target, broken_answer, lenient, post};

use crate::media;

/// Longest text the provider takes in one message, in characters.
pub(crate) const TEXT_LIMIT: usize = 2000;

pub(crate) async fn send(
    targets: &HashMap<Address, Target>,
    endpoint: &Endpoint,
    outbound: &Outbound,
) -> Outcome {
    let Some(target) = targets.get(&outbound.from) else {
        let cause = Cause::new("no access_token is configured for this page");
        return Outcome::Rejected { blame: Blame::Operator, cause };
    };
    if outbound.to.channel() != Channel::Messenger {
        let cause = Cause::new("the recipient is not on Messenger");
        return Outcome::Rejected { blame: Blame::Recipient, cause };
    }
    let answer = match post(endpoint, target, &Request::of(outbound)).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    match lenient::text(&answer, "message_id") {
        Some(id) => Outcome::Accepted { id, learned: Vec::new(), at: None },
        None => broken_answer("the answer names no message"),
    }
}

/// The request's JSON.
#[derive(Serialize)]
struct Request<'a> {
    recipient: Recipient<'a>,
    messaging_type: &'static str,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Recipient<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment<'a>>,
    metadata: &'a str,
}

#[derive(Serialize)]
struct Attachment<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Payload<'a>,
}

/// Not reusable: the link is of use for minutes, and the provider would keep the file for ever.
#[derive(Serialize)]
struct Payload<'a> {
    url: &'a str,
    is_reusable: bool,
}

impl<'a> Request<'a> {
    fn of(outbound: &'a Outbound) -> Request<'a> {
        let (text, attachment) = match &outbound.content {
            Content::Media(file) => {
                let payload = Payload { url: &file.link, is_reusable: false };
                (None, Some(Attachment { kind: media::kind(file), payload }))
            }
            other => (Some(other.text()), None),
        };
        Request {
            recipient: Recipient { id: outbound.to.value() },
            messaging_type: "RESPONSE",
            message: Message { text, attachment, metadata: &outbound.correlation },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::{Value, json};

    use crate::adapter::Pages;
    use crate::settings::tests::{PAGE, settings};
    use trunkline_adapter::{Adapter, Clock, Content, Kit, Scope};
    use trunkline_graph::peer::{self, Peer, PeerRequest};

    fn adapter(base_url: &str) -> Pages {
        let kit = Kit { http: peer::client(), clock: Clock::system(), webhook_url: String::new() };
        Pages::new(settings(base_url), kit)
    }

    async fn sent(answer: &str) -> (Outcome, PeerRequest) {
        let peer = Peer::answering(answer).await.unwrap();
        let outcome = adapter(&peer.url()).send(&outbound(PAGE, "messenger:9001")).await;
        (outcome, peer.request().await.unwrap())
    }

    fn outbound(from: &str, to: &str) -> Outbound {
        Outbound {
            from: Address::parse(from).unwrap(),
            to: Address::parse(to).unwrap(),
            aliases: Vec::new(),
            content: Content::Text { body: "Hello 👋".to_owned() },
            correlation: "our-msg-42".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_text_goes_out_with_the_pages_own_token() {
        let (outcome, request) =
            sent(&peer::json(200, "", r#"{"recipient_id":"9001","message_id":"m_1"}"#)).await;
        assert_eq!(outcome, Outcome::Accepted { id: "m_1".to_owned(), learned: Vec::new(), at: None });
        assert!(request.head.starts_with("POST /v23.0/1029384756/messages HTTP/1.1\r\n"));
        assert!(request.head.contains("authorization: Bearer page-token-0001\r\n"));
        assert_eq!(
            serde_json::from_slice::<Value>(&request.body).unwrap(),
            json!({"recipient": {"id": "9001"}, "messaging_type": "RESPONSE",
                "message": {"text": "Hello 👋", "metadata": "our-msg-42"}})
        );
    }

    #[test]
    fn a_file_is_an_attachment_and_nothing_beside_it() {
        let attached = |content_type: &str| {
            let mut outbound = outbound(PAGE, "messenger:9001");
            outbound.content = Content::Media(trunkline_adapter::MediaFile {
                key: "k".to_owned(),
                size: 1,
                content_type: content_type.to_owned(),
                filename: None,
                caption: None,
                link: "https://b.example/media/x".to_owned(),
                reader: std::sync::Arc::new(Nothing),
            });
            serde_json::to_value(Request::of(&outbound)).unwrap()["message"].clone()
        };
        assert_eq!(
            attached("image/png"),
            json!({"attachment": {"type": "image", "payload": {"url": "https://b.example/media/x",
                "is_reusable": false}}, "metadata": "our-msg-42"})
        );
        for (content_type, kind) in [
            ("audio/ogg; codecs=opus", "audio"),
            ("video/mp4", "video"),
            ("image/heic", "file"),
            ("application/pdf", "file"),
        ] {
            assert_eq!(attached(content_type)["attachment"]["type"], kind, "{content_type}");
        }
    }

    struct Nothing;

    impl trunkline_adapter::MediaReader for Nothing {
        fn open(&self) -> trunkline_adapter::BoxFuture<'_, std::io::Result<Stream>> {
            Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) })
        }
    }

    type Stream = futures_util::stream::BoxStream<'static, std::io::Result<bytes::Bytes>>;

    #[tokio::test]
    async fn refusals_go_by_code_and_subcode() {
        let error =
            |error: Value| peer::json(400, "retry-after: 5\r\n", &json!({ "error": error }).to_string());
        let (outcome, _) = sent(&error(json!({"code": 10, "error_subcode": 2_018_278}))).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Recipient, .. }), "{outcome:?}");
        let (outcome, _) = sent(&error(json!({"code": 10}))).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Operator, .. }), "{outcome:?}");
        let (outcome, _) = sent(&error(json!({"code": 613}))).await;
        assert!(
            matches!(outcome, Outcome::Throttled { scope: Scope::Lane, after: Some(_), .. }),
            "{outcome:?}"
        );
        let (outcome, _) = sent(&error(json!({"code": 2}))).await;
        assert!(matches!(outcome, Outcome::Retryable { tries: Some(4), .. }), "{outcome:?}");
        let (outcome, _) = sent(&error(json!({"code": 1, "error_subcode": 1_357_046}))).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_success_that_names_no_message_is_unknown() {
        for body in ["{}", r#"{"recipient_id":"9001"}"#, r#"{"message_id":null}"#, "[]"] {
            let (outcome, _) = sent(&peer::json(200, "", body)).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{body}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_ours_never_leaves() {
        let adapter = adapter("http://127.0.0.1:1");
        let outcome = adapter.send(&outbound("messenger:5", "messenger:9001")).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Operator, .. }));
        let outcome = adapter.send(&outbound(PAGE, "+15550199")).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Recipient, .. }));
        assert!(adapter.capabilities(&Address::parse("messenger:5").unwrap()).is_none());
        assert_eq!(adapter.capabilities(&Address::parse(PAGE).unwrap()).unwrap().text.most, 2000);
    }
}
