//! The Cloud API's own side of the wire.

use http::StatusCode;
use serde_json::{Value, json};
use trunkline_adapter::simulator::{
    FileAnswer, PhoneFile, PhoneMessage, ProviderAnswer, ProviderRequest, Shelf, ShownTyping, SignedRequest,
    Submission, SubmittedFile, TypingAnswer, Viewer,
};
use trunkline_adapter::{Address, DeliveryStatus, Simulator, Timestamp};
use trunkline_graph::{form_parts, lenient, provider};

use crate::media::CAPTION;
use crate::person;
use crate::send::TEXT_LIMIT;
use crate::settings::Settings;

/// Plays the provider for the numbers of one configuration.
pub(crate) struct CloudSimulator {
    settings: Settings,
}

impl CloudSimulator {
    pub(crate) fn new(settings: Settings) -> CloudSimulator {
        CloudSimulator { settings }
    }

    /// A change of the `messages` field for one of our numbers, signed.
    fn delivery(&self, proxy: &Address, mut value: Value, url: &str) -> SignedRequest {
        value["messaging_product"] = "whatsapp".into();
        value["metadata"] = json!({
            "display_phone_number": proxy.digits().unwrap_or_default(),
            "phone_number_id": self.settings.numbers.id(proxy).unwrap_or_default(),
        });
        let body = json!({
            "object": "whatsapp_business_account",
            "entry": [{"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}],
        });
        provider::delivery(&self.settings.app.app_secret, url, &body)
    }
}

/// Where links to files lead, below the base URL.
const STORE: &str = "/whatsapp_business/attachments";
/// Types of messages that hold a file.
const FILES: [&str; 5] = ["image", "video", "audio", "document", "sticker"];

impl CloudSimulator {
    /// A message is read, and somebody is writing an answer to it.
    fn shown(&self, request: &ProviderRequest, body: &Value) -> TypingAnswer {
        provider::bearer(request, &self.settings.access_token)?;
        let number = self.settings.app.object_of(&request.path);
        let Some(from) = number.and_then(|id| self.settings.numbers.address(id)) else {
            return Err(refused(100, "No such object or method"));
        };
        if lenient::text(body, "messaging_product").as_deref() != Some("whatsapp") {
            return Err(refused(100, "messaging_product is required"));
        }
        let typing = body.get("typing_indicator").and_then(|typing| lenient::text(typing, "type"));
        if typing.as_deref() != Some("text") {
            return Err(refused(100, "typing_indicator.type is not valid"));
        }
        let id = lenient::text(body, "message_id").filter(|id| id.starts_with("wamid."));
        let id = id.ok_or_else(|| refused(131_009, "message_id is not valid"))?;
        let shown = ShownTyping { from: from.clone(), to: Viewer::WriterOf(id) };
        Ok((shown, provider::success(&json!({ "success": true }))))
    }

    fn upload(
        &self,
        number: &str,
        request: &ProviderRequest,
        shelf: &dyn Shelf,
    ) -> Result<FileAnswer, ProviderAnswer> {
        provider::bearer(request, &self.settings.access_token)?;
        if self.settings.numbers.address(number).is_none() {
            return Err(refused(100, "No such object or method"));
        }
        let kind = request.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let parts = kind.and_then(|kind| form_parts(kind, &request.body)).unwrap_or_default();
        let field = |name: &str| parts.iter().find(|part| part.name == name);
        let product = field("messaging_product").map(|part| part.content.clone());
        let (Some(file), Some(b"whatsapp")) = (field("file"), product.as_deref()) else {
            return Err(refused(100, "messaging_product and file are required"));
        };
        let content_type = file.content_type.clone().unwrap_or_default();
        let id = shelf.keep(content_type, file.filename.clone(), file.content.clone());
        Ok(provider::success(&json!({ "id": id })).into())
    }
}

/// The caption and the file of a message's object.
fn submitted(kind: &str, object: &Value) -> Result<(String, SubmittedFile), ProviderAnswer> {
    let link = || lenient::text(object, "link").map(SubmittedFile::Link);
    let file = lenient::text(object, "id").map(SubmittedFile::Kept).or_else(link);
    let file = file.ok_or_else(|| refused(131_008, "The file's id or link is required"))?;
    let caption = lenient::text(object, "caption").unwrap_or_default();
    if caption.chars().count() > CAPTION || kind == "audio" && !caption.is_empty() {
        return Err(refused(131_009, "The caption is not valid"));
    }
    Ok((caption, file))
}

/// The type of message that a file comes as.
fn sort(content_type: &str) -> &'static str {
    match content_type.split('/').next().unwrap_or_default() {
        _ if content_type == "image/webp" => "sticker",
        "image" => "image",
        "video" => "video",
        "audio" => "audio",
        _ => "document",
    }
}

fn sent_file(file: &PhoneFile, kind: &str, caption: &str) -> Value {
    let mut object = json!({"id": file.id, "mime_type": file.content_type, "sha256": base64(&digest(file))});
    if !caption.is_empty() && !matches!(kind, "audio" | "sticker") {
        object["caption"] = caption.into();
    }
    match (kind, &file.filename) {
        ("document", Some(name)) => object["filename"] = name.as_str().into(),
        ("audio", _) => object["voice"] = false.into(),
        ("sticker", _) => object["animated"] = false.into(),
        _ => {}
    }
    object
}

fn digest(file: &PhoneFile) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, &file.bytes)
}

fn hex(digest: &ring::digest::Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(digest: &ring::digest::Digest) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(digest.as_ref())
}

/// Puts a person's name under the key for numbers or the one for ids.
fn name(object: &mut Value, number_key: &str, id_key: &str, address: &Address) {
    match address.digits() {
        Some(digits) => object[number_key] = digits.into(),
        None => object[id_key] = address.value().into(),
    }
}

/// A template on the phone: what it says is known to its owner only, so its name and what it was given.
fn shown(template: &Value) -> Option<String> {
    let mut text = lenient::text(template, "name")?;
    template.get("language").and_then(|language| lenient::text(language, "code"))?;
    for component in lenient::list(template, "components") {
        for parameter in lenient::list(component, "parameters") {
            text.push(' ');
            text.push_str(&lenient::text(parameter, "text")?);
        }
    }
    Some(text)
}

fn refused(code: u32, message: &str) -> ProviderAnswer {
    provider::error(StatusCode::BAD_REQUEST, code, message)
}

impl Simulator for CloudSimulator {
    fn accept(&self, request: &ProviderRequest) -> Result<Submission, ProviderAnswer> {
        let from = self.settings.app.object_of(&request.path);
        let Some(from) = from.and_then(|id| self.settings.numbers.address(id)) else {
            return Err(refused(100, "No such object or method"));
        };
        let body = provider::admit(request, &self.settings.access_token)?;
        if lenient::text(&body, "messaging_product").as_deref() != Some("whatsapp") {
            return Err(refused(100, "messaging_product is required"));
        }
        let kind = lenient::text(&body, "type");
        let template = kind.as_deref() == Some("template");
        let file = kind.as_deref().filter(|kind| FILES.contains(kind));
        if kind.as_deref().is_some_and(|kind| file.is_none() && !matches!(kind, "text" | "template")) {
            return Err(refused(131_051, "Message type is not supported here"));
        }
        let number = lenient::text(&body, "to").as_deref().and_then(person::phone);
        let to = number.or_else(|| lenient::text(&body, "recipient").as_deref().and_then(person::user_id));
        let Some(to) = to else { return Err(refused(131_008, "A recipient is required")) };
        if let Some(kind) = file {
            let (text, file) = submitted(kind, body.get(kind).unwrap_or(&Value::Null))?;
            let correlation = lenient::text(&body, "biz_opaque_callback_data");
            let (from, media) = (from.clone(), vec![file]);
            return Ok(Submission { from, to, text, media, correlation, callback: None });
        }
        let text = match body.get(if template { "template" } else { "text" }) {
            Some(given) if template => shown(given),
            given => given.and_then(|text| lenient::text(text, "body")),
        };
        let Some(text) = text else { return Err(refused(131_008, "text.body is required")) };
        if text.chars().count() > TEXT_LIMIT {
            return Err(refused(131_009, "text.body is too long"));
        }
        let correlation = lenient::text(&body, "biz_opaque_callback_data");
        Ok(Submission { from: from.clone(), to, text, media: Vec::new(), correlation, callback: None })
    }

    fn files(&self, request: &ProviderRequest, shelf: &dyn Shelf) -> Option<FileAnswer> {
        let app = &self.settings.app;
        let tokens = &self.settings.access_token;
        let gone = || FileAnswer::from(refused(100, "Unsupported get request"));
        if request.path == STORE {
            if let Err(answer) = provider::bearer(request, tokens) {
                return Some(answer.into());
            }
            let id = request.query.strip_prefix("mid=").unwrap_or_default();
            return Some(shelf.file(id).map_or_else(gone, FileAnswer::of));
        }
        let below = app.below(&request.path)?;
        if let Some(number) = below.strip_suffix("/media") {
            return Some(self.upload(number, request, shelf).unwrap_or_else(FileAnswer::from));
        }
        if request.method != http::Method::GET || below.contains('/') {
            return None;
        }
        if let Err(answer) = provider::bearer(request, tokens) {
            return Some(answer.into());
        }
        let found = shelf.file(below).map(|file| {
            FileAnswer::from(provider::success(&json!({
                "messaging_product": "whatsapp",
                "url": format!("{}{STORE}?mid={below}", app.base_url),
                "mime_type": file.content_type,
                "sha256": hex(&digest(&file)),
                "file_size": file.bytes.len(),
                "id": below,
            })))
        });
        Some(found.unwrap_or_else(gone))
    }

    fn typing(&self, request: &ProviderRequest) -> Option<TypingAnswer> {
        let body: Value = serde_json::from_slice(&request.body).ok()?;
        (lenient::text(&body, "status")? == "read").then(|| self.shown(request, &body))
    }

    fn message_id(&self, serial: u64) -> String {
        format!("wamid.SIM{serial:016X}")
    }

    fn accepted(&self, submission: &Submission, id: &str) -> ProviderAnswer {
        let value = submission.to.digits().unwrap_or(submission.to.value());
        let mut contact = json!({ "input": value });
        name(&mut contact, "wa_id", "user_id", &submission.to);
        provider::success(&json!({
            "messaging_product": "whatsapp",
            "contacts": [contact],
            "messages": [{"id": id, "message_status": "accepted"}],
        }))
    }

    fn throttled(&self) -> ProviderAnswer {
        provider::error(StatusCode::TOO_MANY_REQUESTS, 130_429, "Throughput reached")
    }

    fn message(&self, message: &PhoneMessage, webhook_url: &str) -> SignedRequest {
        let mut contact = json!({ "profile": {} });
        if let Some(name) = &message.name {
            contact["profile"]["name"] = name.as_str().into();
        }
        name(&mut contact, "wa_id", "user_id", &message.from);
        let mut written = json!({
            "id": message.id,
            "timestamp": message.at.seconds().to_string(),
        });
        match message.media.first() {
            None => {
                written["type"] = "text".into();
                written["text"] = json!({"body": message.text});
            }
            Some(file) => {
                let kind = sort(&file.content_type);
                written["type"] = kind.into();
                written[kind] = sent_file(file, kind, &message.text);
            }
        }
        name(&mut written, "from", "from_user_id", &message.from);
        let value = json!({"contacts": [contact], "messages": [written]});
        self.delivery(&message.to, value, webhook_url)
    }

    fn status(
        &self,
        submission: &Submission,
        id: &str,
        status: DeliveryStatus,
        error: Option<u32>,
        at: Timestamp,
        webhook_url: &str,
    ) -> Option<SignedRequest> {
        // There is no network behind this provider that could leave a message undelivered.
        if status == DeliveryStatus::Undelivered {
            return None;
        }
        let mut report = json!({"id": id, "status": status.name(), "timestamp": at.seconds().to_string()});
        name(&mut report, "recipient_id", "recipient_user_id", &submission.to);
        if let Some(correlation) = &submission.correlation {
            report["biz_opaque_callback_data"] = correlation.as_str().into();
        }
        if status == DeliveryStatus::Failed {
            let code = error.unwrap_or(131_000);
            report["errors"] = json!([{
                "code": code,
                "title": "Simulated failure",
                "message": "Simulated failure",
                "error_data": {"details": "The simulated network refused the message"},
            }]);
        } else {
            report["pricing"] = json!({"billable": false, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"});
        }
        let mut contact = json!({ "profile": {} });
        name(&mut contact, "wa_id", "user_id", &submission.to);
        let value = json!({ "contacts": [contact], "statuses": [report] });
        Some(self.delivery(&submission.from, value, webhook_url))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::receive::Receiver;
    use crate::settings::tests::{PROXY, settings};
    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use proptest::prelude::*;
    use trunkline_adapter::{Inbound, Part, Webhook, WebhookRequest};

    const URL: &str = "https://bridge.example/webhooks/wa";

    fn simulator() -> CloudSimulator {
        CloudSimulator::new(settings("https://graph.example"))
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
        Receiver::new(settings.app.gate(), settings.numbers).receive(&request).unwrap().inbound
    }

    fn anybody() -> impl Strategy<Value = Address> {
        prop_oneof![
            "whatsapp:\\+[1-9][0-9]{7,13}".prop_filter_map("number", |text| {
                // Written by the provider, so not brought to any other form.
                person::phone(text.strip_prefix("whatsapp:+").unwrap())
            }),
            "whatsapp:[A-Z]{2}\\.[A-Za-z0-9]{1,128}".prop_map(|text| Address::parse(&text).unwrap()),
        ]
    }

    #[test]
    fn a_file_that_somebody_sends_is_the_one_we_are_told_of() {
        let file = |content_type: &str| PhoneFile {
            id: "7001".to_owned(),
            content_type: content_type.to_owned(),
            filename: Some("a.pdf".to_owned()),
            bytes: "bytes".into(),
        };
        for (content_type, caption, filename) in [
            ("image/jpeg", Some("look"), None),
            ("video/mp4", Some("look"), None),
            ("audio/ogg", None, None),
            ("image/webp", None, None),
            ("application/pdf", Some("look"), Some("a.pdf")),
        ] {
            let message = PhoneMessage {
                id: simulator().message_id(1),
                from: Address::parse("whatsapp:+15550199").unwrap(),
                to: Address::parse(PROXY).unwrap(),
                text: "look".to_owned(),
                media: vec![file(content_type)],
                at: Timestamp::from_seconds(1_760_000_000),
                name: None,
            };
            let received = receive(simulator().message(&message, URL));
            let [Inbound::Message(heard)] = received.as_slice() else { panic!("{received:?}") };
            let [Part::Media(media)] = heard.parts.as_slice() else { panic!("{received:?}") };
            assert_eq!(media.content_type.as_deref(), Some(content_type));
            assert_eq!((media.id.as_deref(), media.caption.as_deref()), (Some("7001"), caption));
            assert_eq!(media.filename.as_deref(), filename);
            let digest = ring::digest::digest(&ring::digest::SHA256, b"bytes");
            assert_eq!(media.digest().unwrap(), digest.as_ref());
        }
    }

    proptest! {
        #[test]
        fn what_somebody_types_is_what_we_receive(
            from in anybody(), text in "\\PC{1,300}", seconds in 1_i64..10_000_000_000, serial: u64,
            name in proptest::option::of("\\PC{1,40}"),
        ) {
            let message = PhoneMessage {
                id: simulator().message_id(serial),
                from,
                to: Address::parse(PROXY).unwrap(),
                text,
                media: Vec::new(),
                at: Timestamp::from_seconds(seconds),
                name,
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

        #[test]
        fn what_the_provider_reports_is_what_we_receive(to in anybody(), seconds in 1_i64..10_000_000_000) {
            let submission = Submission {
                from: Address::parse(PROXY).unwrap(),
                to: to.clone(),
                text: "hi".to_owned(),
                media: Vec::new(),
                correlation: Some("c-1".to_owned()),
                callback: None,
            };
            let at = Timestamp::from_seconds(seconds);
            for status in DeliveryStatus::ALL {
                let signed = simulator().status(&submission, "wamid.1", status, Some(131_026), at, URL);
                let Some(signed) = signed else {
                    prop_assert_eq!(status, DeliveryStatus::Undelivered);
                    continue;
                };
                let received = receive(signed);
                let [Inbound::Status(report)] = received.as_slice() else { panic!("{received:?}") };
                prop_assert_eq!(report.status, status);
                prop_assert_eq!(&report.id, "wamid.1");
                prop_assert_eq!(report.correlation.as_deref(), Some("c-1"));
                prop_assert_eq!(report.at, Some(at));
                prop_assert_eq!(&report.learned, &vec![to.clone()]);
                let code = report.error.as_ref().map(|error| error.code);
                prop_assert_eq!(code, (status == DeliveryStatus::Failed).then_some(131_026));
            }
        }
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
        const PATH: &str = "/v23.0/106540352242922/messages";
        let good = r#"{"messaging_product":"whatsapp","to":"15550199","type":"text","text":{"body":"hi"}}"#;
        let submission = submitted(PATH, "access-0001", good).unwrap();
        assert_eq!((submission.to.as_str(), submission.text.as_str()), ("whatsapp:+15550199", "hi"));
        assert_eq!(submission.from.as_str(), PROXY);
        let long = good.replace("hi", &"x".repeat(TEXT_LIMIT + 1));
        for (path, token, body, code) in [
            ("/v23.0/999/messages", "access-0001", good, 100),
            ("/v22.0/106540352242922/messages", "access-0001", good, 100),
            (PATH, "wrong", good, 190),
            (PATH, "access-0001", "hello", 100),
            (PATH, "access-0001", r#"{"to":"15550199"}"#, 100),
            (PATH, "access-0001", r#"{"messaging_product":"whatsapp","text":{"body":"hi"}}"#, 131_008),
            (PATH, "access-0001", r#"{"messaging_product":"whatsapp","to":"15550199"}"#, 131_008),
            (PATH, "access-0001", &long, 131_009),
        ] {
            let answer = submitted(path, token, body).unwrap_err();
            let answer: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(answer["error"]["code"], code, "{body}");
        }
    }
}
