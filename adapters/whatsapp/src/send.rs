//! One text, template or file to one person.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};
use trunkline_adapter::{Address, Blame, Cause, Channel, Content, MediaFile, Outbound, Outcome, Template};
use trunkline_graph::{Endpoint, Target, broken_answer, lenient, post, upload, uploaded_id};

use crate::media::Uploads;
use crate::settings::Settings;
use crate::{media, person};

/// Longest text the provider takes in one message, in characters.
pub(crate) const TEXT_LIMIT: usize = 4096;

/// What every send has in common.
pub(crate) struct Desk {
    pub(crate) endpoint: Endpoint,
    /// Where each of our numbers sends.
    pub(crate) targets: HashMap<Address, Target>,
    settings: Settings,
    uploads: Uploads,
}

impl Desk {
    pub(crate) fn new(settings: Settings, endpoint: Endpoint) -> Desk {
        Desk { endpoint, targets: settings.targets(), settings, uploads: Uploads::default() }
    }
}

pub(crate) async fn send(desk: &Desk, outbound: &Outbound) -> Outcome {
    let Some(target) = desk.targets.get(&outbound.from) else {
        let cause = Cause::new("no phone_number_id is configured for this sender");
        return Outcome::Rejected { blame: Blame::Operator, cause };
    };
    if outbound.to.channel() != Channel::Whatsapp {
        let cause = Cause::new("the recipient is not on WhatsApp");
        return Outcome::Rejected { blame: Blame::Recipient, cause };
    }
    let Content::Media(file) = &outbound.content else {
        return match post(&desk.endpoint, target, &Request::of(outbound)).await {
            Ok(answer) => accepted(&answer, outbound),
            Err(outcome) => outcome,
        };
    };
    let known = desk.uploads.find(&outbound.from, file, desk.endpoint.clock.now());
    if let Some(id) = &known {
        match post(&desk.endpoint, target, &Request::with_file(outbound, file, id)).await {
            Ok(answer) => return accepted(&answer, outbound),
            // Refused, so nothing was sent: the id may have died before its time.
            Err(Outcome::Rejected { blame: Blame::Message | Blame::File, .. }) => {
                desk.uploads.forget(&outbound.from, file);
            }
            Err(outcome) => return outcome,
        }
    }
    let id = match hand_over(desk, &outbound.from, file).await {
        Ok(id) => id,
        Err(outcome) => return outcome,
    };
    match post(&desk.endpoint, target, &Request::with_file(outbound, file, &id)).await {
        Ok(answer) => accepted(&answer, outbound),
        Err(outcome) => outcome,
    }
}

/// Uploads a file for one of our numbers.
async fn hand_over(desk: &Desk, from: &Address, file: &MediaFile) -> Result<String, Outcome> {
    let number = desk.settings.numbers.id(from).unwrap_or_default();
    let url = desk.settings.app.media_url(number);
    let token = desk.settings.access_token.first();
    let fields = [("messaging_product", "whatsapp"), ("type", file.content_type.as_str())];
    let answer = upload(&desk.endpoint, &url, token, &fields, file).await?;
    let id = uploaded_id(&answer)?;
    desk.uploads.remember(from, file, &id, desk.endpoint.clock.now());
    Ok(id)
}

/// The request's JSON.
#[derive(Serialize)]
struct Request<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    /// Never both of these: the number would win, and it may have changed hands since.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Value>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

impl<'a> Request<'a> {
    fn of(outbound: &'a Outbound) -> Request<'a> {
        let named = match &outbound.content {
            Content::Template(template) => template.named.as_ref().map(|named| (named, template)),
            Content::Text { .. } | Content::Media(_) => None,
        };
        let to = outbound.to.digits();
        Request {
            messaging_product: "whatsapp",
            recipient_type: "individual",
            to,
            recipient: to.is_none().then(|| outbound.to.value()),
            kind: if named.is_some() { "template" } else { "text" },
            text: named.is_none().then(|| Text { body: outbound.content.text(), preview_url: false }),
            template: named.map(|((name, language), template)| object(name, language, template)),
            image: None,
            video: None,
            audio: None,
            document: None,
            biz_opaque_callback_data: &outbound.correlation,
        }
    }

    fn with_file(outbound: &'a Outbound, file: &MediaFile, id: &str) -> Request<'a> {
        let (kind, object) = media::object(file, id);
        let mut request = Request { kind, text: None, ..Request::of(outbound) };
        *match kind {
            "image" => &mut request.image,
            "video" => &mut request.video,
            "audio" => &mut request.audio,
            _ => &mut request.document,
        } = Some(object);
        request
    }
}

/// A template as the Cloud API takes it: blanks with names are told by name, the others by their order.
fn object(name: &str, language: &str, template: &Template) -> Value {
    let parameter = |(key, value): &(String, String)| {
        let mut parameter = json!({ "type": "text", "text": value });
        if !key.bytes().all(|byte| byte.is_ascii_digit()) {
            parameter["parameter_name"] = key.as_str().into();
        }
        parameter
    };
    let mut object = json!({ "name": name, "language": { "code": language, "policy": "deterministic" } });
    if !template.variables.is_empty() {
        let parameters: Vec<Value> = template.variables.iter().map(parameter).collect();
        object["components"] = json!([{ "type": "body", "parameters": parameters }]);
    }
    object
}

fn accepted(answer: &Value, outbound: &Outbound) -> Outcome {
    let Some(id) = lenient::list(answer, "messages").first().and_then(|first| lenient::text(first, "id"))
    else {
        return broken_answer("the answer names no message");
    };
    let learned = lenient::list(answer, "contacts").first().map(names).unwrap_or_default();
    let known = |address: &Address| *address == outbound.to || outbound.aliases.contains(address);
    let learned = learned.into_iter().filter(|address| !known(address)).collect();
    Outcome::Accepted { id, learned, at: None }
}

fn names(contact: &Value) -> Vec<Address> {
    let id = lenient::text(contact, "user_id").as_deref().and_then(person::user_id);
    let number = lenient::text(contact, "wa_id").as_deref().and_then(person::phone);
    id.into_iter().chain(number).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    use crate::adapter::CloudApi;
    use crate::settings::tests::{PROXY, settings};
    use trunkline_adapter::{Adapter, Clock, Kit, Scope};
    use trunkline_graph::peer::{self, Peer, PeerRequest};

    async fn sent(to: &str, answer: &str) -> (Outcome, PeerRequest) {
        let peer = Peer::answering(answer).await.unwrap();
        let kit = Kit { http: peer::client(), clock: Clock::system(), webhook_url: String::new() };
        let adapter = CloudApi::new(settings(&peer.url()), kit);
        let outcome = adapter.send(&outbound(PROXY, to)).await;
        (outcome, peer.request().await.unwrap())
    }

    fn outbound(from: &str, to: &str) -> Outbound {
        Outbound {
            from: Address::parse(from).unwrap(),
            to: Address::parse(to).unwrap(),
            aliases: vec![Address::parse("whatsapp:+15550198").unwrap()],
            content: Content::Text { body: "On its way 🚚".to_owned() },
            correlation: "our-msg-42".to_owned(),
        }
    }

    const TAKEN: &str = r#"{"messaging_product":"whatsapp",
        "contacts":[{"input":"15550199","wa_id":"15550199","user_id":"US.900100"}],
        "messages":[{"id":"wamid.OUT1","message_status":"accepted"}]}"#;

    #[tokio::test]
    async fn a_number_is_addressed_by_to() {
        let (outcome, request) = sent("whatsapp:+15550199", &peer::json(200, "", TAKEN)).await;
        let learned = vec![Address::parse("whatsapp:US.900100").unwrap()];
        assert_eq!(outcome, Outcome::Accepted { id: "wamid.OUT1".to_owned(), learned, at: None });
        assert!(request.head.starts_with("POST /v23.0/106540352242922/messages HTTP/1.1\r\n"));
        assert!(request.head.contains("authorization: Bearer access-0001\r\n"));
        assert_eq!(
            serde_json::from_slice::<Value>(&request.body).unwrap(),
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "15550199", "type": "text",
                "text": {"body": "On its way 🚚", "preview_url": false}, "biz_opaque_callback_data": "our-msg-42"})
        );
    }

    #[tokio::test]
    async fn a_template_goes_by_its_name_and_one_without_as_text() {
        let template = |named: Option<(&str, &str)>, variables: &[(&str, &str)]| {
            let mut outbound = outbound(PROXY, "whatsapp:+15550199");
            outbound.content = Content::Template(Template {
                sid: "HX1".to_owned(),
                variables: variables.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
                named: named.map(|(name, language)| (name.into(), language.into())),
                text: "Hi Ann".to_owned(),
            });
            serde_json::to_value(Request::of(&outbound)).unwrap()
        };
        let sent = template(Some(("order", "en_US")), &[("1", "A-17"), ("who", "Ann")]);
        assert_eq!(
            (&sent["type"], &sent["template"], sent.get("text")),
            (
                &json!("template"),
                &json!({"name": "order", "language": {"code": "en_US", "policy": "deterministic"}, "components":
                    [{"type": "body", "parameters": [{"type": "text", "text": "A-17"},
                        {"type": "text", "text": "Ann", "parameter_name": "who"}]}]}),
                None
            )
        );
        assert_eq!(template(Some(("order", "de")), &[])["template"].get("components"), None);
        let sent = template(None, &[("1", "A-17")]);
        assert_eq!(
            (&sent["type"], &sent["text"]["body"], sent.get("template")),
            (&json!("text"), &json!("Hi Ann"), None)
        );
    }

    #[test]
    fn what_was_known_is_not_learnt_again() {
        let mut outbound = outbound(PROXY, "whatsapp:+15550199");
        outbound.aliases.push(Address::parse("whatsapp:US.900100").unwrap());
        let outcome = accepted(&serde_json::from_str(TAKEN).unwrap(), &outbound);
        assert_eq!(outcome, Outcome::Accepted { id: "wamid.OUT1".to_owned(), learned: Vec::new(), at: None });
    }

    #[tokio::test]
    async fn a_user_id_is_addressed_by_recipient_and_nothing_else() {
        let (outcome, request) = sent("whatsapp:US.900100", &peer::json(200, "", TAKEN)).await;
        let learned = vec![Address::parse("whatsapp:+15550199").unwrap()];
        assert_eq!(outcome, Outcome::Accepted { id: "wamid.OUT1".to_owned(), learned, at: None });
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["recipient"], "US.900100");
        assert!(body.get("to").is_none());
    }

    #[tokio::test]
    async fn refusals_go_by_their_code() {
        let error = |code: u32| format!(r#"{{"error":{{"message":"(#{code}) m","code":{code}}}}}"#);
        let answer = peer::json(400, "", &error(131_056));
        let (outcome, _) = sent("whatsapp:+15550199", &answer).await;
        assert!(matches!(outcome, Outcome::Throttled { scope: Scope::Recipient, .. }), "{outcome:?}");
        let (outcome, _) = sent("whatsapp:+15550199", &peer::json(400, "", &error(131_047))).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Recipient, .. }), "{outcome:?}");
        let (outcome, _) = sent("whatsapp:+15550199", &peer::json(401, "", &error(190))).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Operator, .. }), "{outcome:?}");
        let (outcome, _) = sent("whatsapp:+15550199", &peer::json(400, "", &error(131_009))).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Message, .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_success_that_names_no_message_is_unknown() {
        for body in ["{}", r#"{"messages":[]}"#, r#"{"messages":[{}]}"#, "[]", "null"] {
            let (outcome, _) = sent("whatsapp:+15550199", &peer::json(200, "", body)).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{body}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_ours_never_leaves() {
        let kit = Kit { http: peer::client(), clock: Clock::system(), webhook_url: String::new() };
        let adapter = CloudApi::new(settings("http://127.0.0.1:1"), kit);
        let outcome = adapter.send(&outbound("whatsapp:+15550777", "whatsapp:+15550199")).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Operator, .. }));
        let outcome = adapter.send(&outbound(PROXY, "+15550199")).await;
        assert!(matches!(outcome, Outcome::Rejected { blame: Blame::Recipient, .. }));
        assert!(adapter.capabilities(&Address::parse("whatsapp:+15550777").unwrap()).is_none());
        assert!(adapter.capabilities(&Address::parse(PROXY).unwrap()).unwrap().pair_rate.is_some());
    }
}
