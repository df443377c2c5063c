//! The whole wire through the public face only: settings to adapter, adapter to simulated provider, and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use trunkline_adapter::simulator::{
    PhoneMessage, ProviderAnswer, ProviderRequest, ShownTyping, SignedRequest, Submission, Viewer,
};
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Blueprint, Clock, Content, DeliveryStatus, Inbound, Kit, Outbound,
    Outcome, Part, Received, Refusal, Section, Simulator, Timestamp, TypingIndicator, WebhookRequest,
};
use trunkline_graph::peer::{self, Peer, PeerRequest};
use trunkline_messenger::Messenger;

const PROXY: &str = "messenger:1029384756";
const PERSON: &str = "messenger:9001";
const URL: &str = "https://bridge.example/webhooks/x";

fn blueprint(base_url: &str) -> Arc<dyn Blueprint> {
    let mut settings =
        Section::of(&[("app_secret", "app-secret"), ("verify_token", "verify"), ("base_url", base_url)]);
    let section = Section::of(&[("access_token", "page-token")]);
    let mut proxies = [(Address::parse(PROXY).unwrap(), section)];
    let made = Messenger.blueprint(&mut settings, &mut proxies).unwrap();
    assert!(settings.finish().0.is_empty());
    made
}

fn adapter(base_url: &str) -> Arc<dyn Adapter> {
    let kit = Kit { http: peer::client(), clock: Clock::system(), webhook_url: URL.to_owned() };
    blueprint(base_url).build(kit)
}

fn simulator() -> Arc<dyn Simulator> {
    blueprint("https://graph.example").simulator().unwrap()
}

fn outbound() -> Outbound {
    Outbound {
        from: Address::parse(PROXY).unwrap(),
        to: Address::parse(PERSON).unwrap(),
        aliases: Vec::new(),
        content: Content::Text { body: "On its way 🚚".to_owned() },
        correlation: "our-msg-42".to_owned(),
    }
}

fn answer_text(answer: &ProviderAnswer) -> String {
    peer::json(answer.status.as_u16(), "", &answer.body)
}

fn as_provider_sees(request: &PeerRequest) -> ProviderRequest {
    let mut lines = request.head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
    }
    let body = Bytes::from(request.body.clone());
    ProviderRequest { method: Method::POST, path, query: String::new(), headers, body }
}

fn receive(signed: SignedRequest) -> Result<Received, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in signed.headers {
        headers.insert(name, value.parse().unwrap());
    }
    adapter("https://graph.example").webhook().unwrap().receive(&WebhookRequest {
        method: signed.method,
        url: signed.url,
        alternatives: Vec::new(),
        query: String::new(),
        headers,
        body: signed.body,
    })
}

#[tokio::test]
async fn what_we_send_is_what_the_provider_takes() {
    let submission = Submission {
        from: Address::parse(PROXY).unwrap(),
        to: Address::parse(PERSON).unwrap(),
        text: "On its way 🚚".to_owned(),
        media: Vec::new(),
        correlation: Some("our-msg-42".to_owned()),
        callback: None,
    };
    let id = simulator().message_id(1);
    let peer = Peer::answering(&answer_text(&simulator().accepted(&submission, &id))).await.unwrap();
    let outcome = adapter(&peer.url()).send(&outbound()).await;
    assert_eq!(outcome, Outcome::Accepted { id, learned: Vec::new(), at: None });
    let request = as_provider_sees(&peer.request().await.unwrap());
    assert_eq!(simulator().accept(&request), Ok(submission));
}

#[tokio::test]
async fn that_somebody_is_writing_is_shown_as_the_provider_wants_it() {
    let from = Address::parse(PROXY).unwrap();
    let indicator = TypingIndicator {
        from: from.clone(),
        to: Address::parse(PERSON).unwrap(),
        answers: "wamid.B".to_owned(),
    };
    let peer = Peer::answering(&peer::json(200, "", r#"{"recipient_id":"9001"}"#)).await.unwrap();
    let live = adapter(&peer.url());
    assert!(live.capabilities(&from).unwrap().typing.is_some());
    assert_eq!(live.typing().unwrap().show(&indicator).await, Ok(()));
    let request = as_provider_sees(&peer.request().await.unwrap());
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&request.body).unwrap(),
        serde_json::json!({"recipient": {"id": "9001"}, "sender_action": "typing_on"})
    );
    let (shown, answer) = simulator().typing(&request).unwrap().unwrap();
    assert_eq!(
        (shown, answer.status.as_u16()),
        (ShownTyping { from, to: Viewer::Person(Address::parse(PERSON).unwrap()) }, 200)
    );
    let mut stranger = request.clone();
    stranger.headers.insert("authorization", HeaderValue::from_static("Bearer wrong"));
    assert_eq!(simulator().typing(&stranger).unwrap().unwrap_err().status.as_u16(), 401);

    let throttled = Peer::answering(&answer_text(&simulator().throttled())).await.unwrap();
    let refused = adapter(&throttled.url()).typing().unwrap().show(&indicator).await.unwrap_err();
    assert!(matches!(refused, Outcome::Throttled { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_throttling_provider_slows_the_lane() {
    let peer = Peer::answering(&answer_text(&simulator().throttled())).await.unwrap();
    let outcome = adapter(&peer.url()).send(&outbound()).await;
    assert!(matches!(outcome, Outcome::Throttled { .. }), "{outcome:?}");
}

#[test]
fn what_is_typed_arrives_and_a_changed_byte_does_not() {
    let message = PhoneMessage {
        id: simulator().message_id(7),
        from: Address::parse(PERSON).unwrap(),
        to: Address::parse(PROXY).unwrap(),
        text: "¿qué tal? 👍".to_owned(),
        media: Vec::new(),
        at: Timestamp::from_seconds(1_760_000_000),
        name: None,
    };
    let signed = simulator().message(&message, URL);
    assert!(signed.body.is_ascii() && signed.url == URL);
    let mut changed = signed.clone();
    let mut body = changed.body.to_vec();
    body[20] ^= 1;
    changed.body = Bytes::from(body);
    let received = receive(signed).unwrap();
    let [Inbound::Message(heard)] = &received.inbound[..] else { panic!("{received:?}") };
    assert_eq!(heard.parts, [Part::Text { text: message.text }]);
    assert_eq!((&heard.from.address, &heard.to, heard.at), (&message.from, &message.to, Some(message.at)));
    assert_eq!(receive(changed), Err(Refusal::BadSignature { matches: None }));
}

#[test]
fn a_status_names_the_message_it_is_about() {
    let submission = Submission {
        from: Address::parse(PROXY).unwrap(),
        to: Address::parse(PERSON).unwrap(),
        text: "hi".to_owned(),
        media: Vec::new(),
        correlation: Some("our-msg-42".to_owned()),
        callback: None,
    };
    let at = Timestamp::from_seconds(1_760_000_000);
    let signed = simulator().status(&submission, "id-1", DeliveryStatus::Delivered, None, at, URL).unwrap();
    let received = receive(signed).unwrap();
    let Inbound::Status(report) = &received.inbound[0] else { panic!("{received:?}") };
    assert_eq!((report.id.as_str(), report.status, report.at), ("id-1", DeliveryStatus::Delivered, Some(at)));
}
