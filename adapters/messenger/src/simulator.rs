//! The Messenger Platform's own side of the wire.

use http::StatusCode;
use serde_json::{Value, json};
use trunkline_adapter::simulator::{
    FileAnswer, PhoneFile, PhoneMessage, ProviderAnswer, ProviderRequest, Shelf, ShownTyping, SignedRequest,
    Submission, SubmittedFile, TypingAnswer, Viewer,
};
use trunkline_adapter::{Address, DeliveryStatus, Simulator, Timestamp};
use trunkline_graph::{lenient, provider};

use crate::send::TEXT_LIMIT;
use crate::settings::{Settings, address};

/// Plays the provider for the pages of one configuration.
pub(crate) struct PageSimulator {
    settings: Settings,
}

impl PageSimulator {
    pub(crate) fn new(settings: Settings) -> PageSimulator {
        PageSimulator { settings }
    }

    /// Whose page a request is about, if it has the page's token.
    fn page(&self, request: &ProviderRequest) -> Result<(Address, Value), ProviderAnswer> {
        let page = self.settings.app.object_of(&request.path).and_then(address);
        let known = page.and_then(|page| self.settings.pages.get(&page).map(|token| (page, token)));
        let Some((page, token)) = known else { return Err(refused("No such object or method")) };
        Ok((page, provider::admit(request, token)?))
    }

    /// A sender action, alone in its request.
    fn acted(&self, request: &ProviderRequest, body: &Value, action: &str) -> TypingAnswer {
        let (from, _) = self.page(request)?;
        if action != "typing_on" || body.get("message").is_some() {
            return Err(refused("sender_action is not valid"));
        }
        let to = recipient(body)?;
        let answer = provider::success(&json!({ "recipient_id": to.value() }));
        Ok((ShownTyping { from, to: Viewer::Person(to) }, answer))
    }

    /// One element of a page's `messaging[]`, signed.
    fn delivery(&self, page: &Address, mut event: Value, at: Timestamp, url: &str) -> SignedRequest {
        event["timestamp"] = at.millis().into();
        let entry = json!({"id": page.value(), "time": at.millis(), "messaging": [event]});
        let body = json!({"object": "page", "entry": [entry]});
        provider::delivery(&self.settings.app.app_secret, url, &body)
    }
}

fn between(sender: &Address, recipient: &Address, kind: &str, object: Value) -> Value {
    json!({"sender": {"id": sender.value()}, "recipient": {"id": recipient.value()}, kind: object})
}

/// Where the content delivery network is played, below the base URL.
const STORE: &str = "/cdn/";

/// A file as an element of `attachments[]`.
fn attachment(file: &PhoneFile, base_url: &str) -> Value {
    let kind = match file.content_type.split('/').next().unwrap_or_default() {
        kind @ ("image" | "video" | "audio") => kind,
        _ => "file",
    };
    json!({"type": kind, "payload": {"url": format!("{base_url}{STORE}{}", file.id)}})
}

/// The file of an attachment that we sent.
fn attached(attachment: &Value) -> Result<SubmittedFile, ProviderAnswer> {
    let kind = lenient::text(attachment, "type");
    if !kind.is_some_and(|kind| matches!(kind.as_str(), "image" | "video" | "audio" | "file")) {
        return Err(refused("message.attachment.type is not valid"));
    }
    let payload = attachment.get("payload").unwrap_or(&Value::Null);
    let url = lenient::text(payload, "url").filter(|url| url.starts_with("http"));
    url.map(SubmittedFile::Link).ok_or_else(|| refused("message.attachment.payload.url is required"))
}

fn recipient(body: &Value) -> Result<Address, ProviderAnswer> {
    let recipient = body.get("recipient").and_then(|recipient| lenient::text(recipient, "id"));
    recipient.as_deref().and_then(address).ok_or_else(|| refused("recipient.id is required"))
}

fn refused(message: &str) -> ProviderAnswer {
    provider::error(StatusCode::BAD_REQUEST, 100, message)
}

impl Simulator for PageSimulator {
    fn accept(&self, request: &ProviderRequest) -> Result<Submission, ProviderAnswer> {
        let (from, body) = self.page(request)?;
        let to = recipient(&body)?;
        let kind = lenient::text(&body, "messaging_type");
        if !kind.is_some_and(|kind| matches!(kind.as_str(), "RESPONSE" | "UPDATE" | "MESSAGE_TAG")) {
            return Err(refused("messaging_type is required"));
        }
        let message = body.get("message").unwrap_or(&Value::Null);
        let media: Vec<SubmittedFile> =
            message.get("attachment").map(attached).transpose()?.into_iter().collect();
        let text = match lenient::text(message, "text") {
            Some(_) if !media.is_empty() => {
                return Err(refused("message has either text or an attachment"));
            }
            Some(text) => text,
            None if !media.is_empty() => String::new(),
            None => return Err(refused("message.text is required")),
        };
        if text.chars().count() > TEXT_LIMIT {
            return Err(refused("message.text is too long"));
        }
        let correlation = lenient::text(message, "metadata");
        Ok(Submission { from, to, text, media, correlation, callback: None })
    }

    fn files(&self, request: &ProviderRequest, shelf: &dyn Shelf) -> Option<FileAnswer> {
        let id = request.path.strip_prefix(STORE)?;
        let gone =
            || ProviderAnswer { status: StatusCode::NOT_FOUND, headers: Vec::new(), body: String::new() };
        Some(shelf.file(id).map_or_else(|| gone().into(), FileAnswer::of))
    }

    fn typing(&self, request: &ProviderRequest) -> Option<TypingAnswer> {
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        let action = lenient::text(&body, "sender_action")?;
        Some(self.acted(request, &body, &action))
    }

    fn message_id(&self, serial: u64) -> String {
        format!("m_SIM{serial:016X}")
    }

    fn accepted(&self, submission: &Submission, id: &str) -> ProviderAnswer {
        provider::success(&json!({"recipient_id": submission.to.value(), "message_id": id}))
    }

    fn throttled(&self) -> ProviderAnswer {
        provider::error(StatusCode::BAD_REQUEST, 613, "Too many calls for this page")
    }

    fn message(&self, message: &PhoneMessage, webhook_url: &str) -> SignedRequest {
        let mut written = json!({"mid": message.id});
        if !message.text.is_empty() || message.media.is_empty() {
            written["text"] = message.text.as_str().into();
        }
        if !message.media.is_empty() {
            let base_url = &self.settings.app.base_url;
            written["attachments"] = message.media.iter().map(|file| attachment(file, base_url)).collect();
        }
        let event = between(&message.from, &message.to, "message", written);
        self.delivery(&message.to, event, message.at, webhook_url)
    }

    fn status(
        &self,
        submission: &Submission,
        id: &str,
        status: DeliveryStatus,
        _: Option<u32>,
        at: Timestamp,
        webhook_url: &str,
    ) -> Option<SignedRequest> {
        let (page, person) = (&submission.from, &submission.to);
        let event = match status {
            DeliveryStatus::Sent => {
                let mut echo = json!({"is_echo": true, "app_id": 1, "mid": id, "text": submission.text});
                if let Some(file) = submission.media.first() {
                    let (SubmittedFile::Link(url) | SubmittedFile::Kept(url)) = file;
                    echo["attachments"] = json!([{"type": "file", "payload": {"url": url}}]);
                }
                if let Some(correlation) = &submission.correlation {
                    echo["metadata"] = correlation.as_str().into();
                }
                between(page, person, "message", echo)
            }
            DeliveryStatus::Delivered => {
                between(person, page, "delivery", json!({"mids": [id], "watermark": at.millis()}))
            }
            DeliveryStatus::Read => between(person, page, "read", json!({"watermark": at.millis()})),
            // Failures are told in the answer to the send and never later.
            DeliveryStatus::Undelivered | DeliveryStatus::Failed => return None,
        };
        Some(self.delivery(page, event, at, webhook_url))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::receive::Receiver;
    use crate::settings::tests::{PAGE, settings};
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use proptest::prelude::*;
    use trunkline_adapter::{Inbound, MediaKind, Part, Person, Webhook, WebhookRequest};

    const URL: &str = "https://bridge.example/webhooks/pages";

    fn simulator() -> PageSimulator {
        PageSimulator::new(settings("https://graph.example"))
    }

    fn receive(signed: SignedRequest) -> Vec<Inbound> {
        let mut headers = HeaderMap::new();
        for (name, value) in signed.headers {
            headers.insert(name, value.parse().unwrap());
        }
        let request = WebhookRequest {
            method: signed.method,
            url: signed.url,
            alternatives: Vec::new(),
            query: String::new(),
            headers,
            body: signed.body,
        };
        let settings = settings("https://graph.example");
        let pages = settings.pages.keys().cloned().collect();
        Receiver::new(settings.app.gate(), pages).receive(&request).unwrap().inbound
    }

    fn submission(to: &Address) -> Submission {
        Submission {
            from: Address::parse(PAGE).unwrap(),
            to: to.clone(),
            text: "hé".to_owned(),
            media: Vec::new(),
            correlation: Some("c-1".to_owned()),
            callback: None,
        }
    }

    #[test]
    fn files_that_somebody_sends_are_those_we_are_told_of() {
        let file = |id: &str, content_type: &str| PhoneFile {
            id: id.to_owned(),
            content_type: content_type.to_owned(),
            filename: None,
            bytes: "bytes".into(),
        };
        let message = PhoneMessage {
            id: simulator().message_id(1),
            from: address("9001").unwrap(),
            to: Address::parse(PAGE).unwrap(),
            text: "look".to_owned(),
            media: vec![file("1", "image/png"), file("2", "application/pdf")],
            at: Timestamp::from_millis(1_760_000_000_000),
            name: None,
        };
        let received = receive(simulator().message(&message, URL));
        let [Inbound::Message(heard)] = received.as_slice() else { panic!("{received:?}") };
        let [Part::Text { text }, Part::Media(one), Part::Media(two)] = heard.parts.as_slice() else {
            panic!("{received:?}")
        };
        assert_eq!(text, "look");
        assert_eq!(one.url.as_deref(), Some("https://graph.example/cdn/1"));
        assert_eq!(
            (two.kind, two.url.as_deref()),
            (MediaKind::Document, Some("https://graph.example/cdn/2"))
        );
    }

    proptest! {
        #[test]
        fn what_somebody_types_is_what_we_receive(
            from in "[1-9][0-9]{14,16}", text in "\\PC{1,300}", millis in 100_000_000_000_i64..10_000_000_000_000,
            serial: u64,
        ) {
            let message = PhoneMessage {
                id: simulator().message_id(serial),
                from: address(&from).unwrap(),
                to: Address::parse(PAGE).unwrap(),
                text,
                media: Vec::new(),
                at: Timestamp::from_millis(millis),
                name: None,
            };
            let received = receive(simulator().message(&message, URL));
            let [Inbound::Message(heard)] = received.as_slice() else { panic!("{received:?}") };
            let [Part::Text { text }] = heard.parts.as_slice() else { panic!("{received:?}") };
            let heard = PhoneMessage {
                id: heard.id.clone(),
                from: heard.from.address.clone(),
                to: heard.to.clone(),
                text: text.clone(),
                media: Vec::new(),
                at: heard.at.unwrap(),
                name: heard.from.name.clone(),
            };
            prop_assert_eq!(heard, message);
        }
    }

    #[test]
    fn statuses_come_as_the_provider_tells_them() {
        let person = address("9001").unwrap();
        let at = Timestamp::from_millis(1_760_000_000_123);
        let told = |status| simulator().status(&submission(&person), "m_1", status, None, at, URL);
        let [Inbound::Echo(echo)] = &receive(told(DeliveryStatus::Sent).unwrap())[..] else { panic!() };
        assert_eq!((echo.id.as_str(), echo.correlation.as_deref(), echo.at), ("m_1", Some("c-1"), Some(at)));
        assert_eq!((echo.from.as_str(), &echo.to.address), (PAGE, &person));
        let delivered = receive(told(DeliveryStatus::Delivered).unwrap());
        let [Inbound::Status(report), Inbound::Watermark { status, until, from, .. }] = &delivered[..] else {
            panic!("{delivered:?}")
        };
        assert_eq!(
            (report.id.as_str(), report.status, report.at),
            ("m_1", DeliveryStatus::Delivered, Some(at))
        );
        assert_eq!((*status, *until, from), (DeliveryStatus::Delivered, at, &Person::new(person.clone())));
        let read = receive(told(DeliveryStatus::Read).unwrap());
        assert!(
            matches!(&read[..], [Inbound::Watermark { status: DeliveryStatus::Read, until, .. }] if *until == at),
            "{read:?}"
        );
        assert!(told(DeliveryStatus::Failed).is_none() && told(DeliveryStatus::Undelivered).is_none());
    }

    fn submitted(path: &str, token: &str, body: &str) -> Result<Submission, ProviderAnswer> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let body = Bytes::copy_from_slice(body.as_bytes());
        let query = String::new();
        simulator().accept(&ProviderRequest {
            method: Method::POST,
            path: path.to_owned(),
            query,
            headers,
            body,
        })
    }

    #[test]
    fn it_checks_what_the_provider_checks() {
        const PATH: &str = "/v23.0/1029384756/messages";
        const TOKEN: &str = "page-token-0001";
        let good = r#"{"recipient":{"id":"9001"},"messaging_type":"RESPONSE","message":{"text":"hi","metadata":"c"}}"#;
        let taken = submitted(PATH, TOKEN, good).unwrap();
        assert_eq!((taken.from.as_str(), taken.to.as_str()), (PAGE, "messenger:9001"));
        assert_eq!((taken.text.as_str(), taken.correlation.as_deref()), ("hi", Some("c")));
        let long = good.replace("hi", &"x".repeat(TEXT_LIMIT + 1));
        for (path, token, body, code) in [
            ("/v23.0/5/messages", TOKEN, good, 100),
            ("/v23.0/me/messages", TOKEN, good, 100),
            (PATH, "page-token-0002", good, 190),
            (PATH, TOKEN, "hello", 100),
            (PATH, TOKEN, &good.replace("9001", ""), 100),
            (PATH, TOKEN, &good.replace("RESPONSE", ""), 100),
            (PATH, TOKEN, &good.replace("\"text\"", "\"words\""), 100),
            (PATH, TOKEN, &long, 100),
        ] {
            let answer = submitted(path, token, body).unwrap_err();
            let answer: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(answer["error"]["code"], code, "{body}");
        }
    }
}
