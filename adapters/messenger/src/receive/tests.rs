#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_graph::{SIGNATURE_HEADER, lenient::ascii_json, sign};

use super::*;
use crate::settings::tests::settings;

fn deliver(body: &[u8], secret: &str) -> Result<Received, Refusal> {
    let settings = settings("https://graph.example");
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE_HEADER, sign(secret, body).parse().unwrap());
    let pages = settings.pages.keys().cloned().collect();
    Receiver::new(settings.app.gate(), pages).receive(&WebhookRequest {
        method: Method::POST,
        url: "https://bridge.example/webhooks/pages".to_owned(),
        alternatives: Vec::new(),
        query: String::new(),
        headers,
        body: Bytes::copy_from_slice(body),
    })
}

fn receive(body: &Value) -> Result<Received, Refusal> {
    deliver(ascii_json(body).as_bytes(), "app-secret-0001")
}

fn page(id: &str, messaging: Value) -> Value {
    json!({"id": id, "time": 1_760_000_000_123_i64, "messaging": messaging})
}

fn batch(entries: &[Value]) -> Value {
    json!({"object": "page", "entry": entries})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"sender": {"id": "9001"}, "recipient": {"id": "1029384756"}, "timestamp": 1_760_000_000_100_i64, kind: object})
}

fn text(mid: &str) -> Value {
    event("message", json!({"mid": mid, "text": "hi"}))
}

fn kinds(received: &Received) -> Vec<String> {
    received
        .inbound
        .iter()
        .map(|inbound| match serde_json::to_value(inbound).unwrap() {
            value if value["event"] == "notice" => value["kind"].as_str().unwrap().to_owned(),
            value => value["event"].as_str().unwrap().to_owned(),
        })
        .collect()
}

fn ids(received: &Received) -> Vec<String> {
    let values = received.inbound.iter().map(|inbound| serde_json::to_value(inbound).unwrap());
    values.map(|value| value["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Each fixture holds a delivery and what must be read from it.
#[test]
fn fixtures() {
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")).unwrap() {
        let path = file.unwrap().path();
        let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(fixture["provenance"].is_string(), "{}", path.display());
        let received = receive(&fixture["delivery"]).unwrap();
        let seen = serde_json::to_value(&received.inbound).unwrap();
        assert_eq!(seen, fixture["inbound"], "{}\n{seen:#}", path.display());
        count += 1;
    }
    assert!(count >= 5, "only {count} fixtures found");
}

#[test]
fn a_wrong_signature_is_refused_before_anything_else() {
    let body = batch(&[page("1029384756", json!([text("m_1")]))]).to_string();
    assert!(deliver(body.as_bytes(), "app-secret-0001").is_ok());
    assert_eq!(deliver(body.as_bytes(), "other"), Err(Refusal::BadSignature { matches: None }));
}

#[test]
fn what_is_no_delivery_of_this_product_is_malformed() {
    for body in
        [json!({"object": "whatsapp_business_account", "entry": []}), json!({"entry": []}), json!("page")]
    {
        assert!(matches!(receive(&body), Err(Refusal::Malformed(_))), "{body}");
    }
    assert!(receive(&batch(&[])).unwrap().inbound.is_empty());
    let instagram = receive(&json!({"object": "instagram", "entry": [{"id": "1"}, {"id": "2"}]})).unwrap();
    assert_eq!(kinds(&instagram), ["instagram", "instagram"]);
}

#[test]
fn pages_are_routed_per_entry() {
    let mixed = batch(&[
        page("1029384756", json!([text("m_1")])),
        page("77", json!([text("m_2")])),
        page("5", json!([text("m_3")])),
        json!({"id": 77, "messaging": [text("m_4")]}),
        json!({"messaging": [text("m_5")]}),
    ]);
    let received = receive(&mixed).unwrap();
    assert_eq!(kinds(&received), ["message", "message", "foreign_number", "message", "message"]);
    let Inbound::Message(second) = &received.inbound[1] else { panic!() };
    assert_eq!(second.to.as_str(), "messenger:77");
    assert_eq!(receive(&batch(&[page("5", json!([text("m_3")]))])), Err(Refusal::WrongAccount));
}

#[test]
fn one_broken_element_costs_no_other() {
    let messaging = json!([
        text("m_1"), null, {}, {"sender": {"id": "9001"}}, event("message", json!({"text": "no id"})),
        {"message": {"mid": "m_2", "text": "from nobody"}}, event("message", json!("text")),
        event("delivery", json!({})), event("read", json!({})), event("reaction", json!({"mid": "m_1"})),
        event("reaction", json!({"mid": "m_1", "action": "stare", "emoji": "👀"})), event("postback", json!({})),
        event("message_edit", json!({})), text("m_3"),
    ]);
    let received = receive(&batch(&[page("1029384756", messaging)])).unwrap();
    let seen = kinds(&received);
    assert_eq!(
        (seen.len(), &*seen[0], &*seen[1], &*seen[13]),
        (14, "message", "unreadable_element", "message")
    );
    assert!(seen[2..13].iter().all(|kind| kind == "unreadable_event"), "{seen:?}");
}

#[test]
fn what_the_page_wrote_is_never_a_message() {
    let own = json!({"sender": {"id": "1029384756"}, "recipient": {"id": "9001"}, "timestamp": 1,
        "message": {"mid": "m_1", "text": "hi", "metadata": "c-1"}});
    let received = receive(&batch(&[page("1029384756", json!([own]))])).unwrap();
    let [Inbound::Echo(echo)] = received.inbound.as_slice() else { panic!("{received:?}") };
    assert_eq!((echo.correlation.as_deref(), echo.to.address.value()), (Some("c-1"), "9001"));
}

#[test]
fn events_without_ids_get_ones_that_repeat_with_them() {
    let messaging = json!([
        event("postback", json!({"title": "Start", "payload": "GO"})),
        event("postback", json!({"title": "Start", "payload": "STAY"})),
        event("reaction", json!({"mid": "m_1", "action": "react", "reaction": "love"})),
        event("reaction", json!({"mid": "m_1", "action": "unreact"})),
        event("message_edit", json!({"mid": "m_1", "text": "a", "num_edit": 1})),
        event("message_edit", json!({"mid": "m_1", "text": "b", "num_edit": 2})),
        event("message", json!({"mid": "m_1", "is_deleted": true})),
    ]);
    let body = batch(&[page("1029384756", messaging)]);
    let first = ids(&receive(&body).unwrap());
    assert_eq!(first, ids(&receive(&body).unwrap()));
    let distinct: HashSet<&String> = first.iter().collect();
    assert_eq!(distinct.len(), 7, "{first:?}");
}

#[test]
fn a_thousand_entries_are_all_read() {
    let entries: Vec<Value> =
        (0..1_000).map(|n| page("1029384756", json!([text(&format!("m_{n}"))]))).collect();
    let received = receive(&batch(&entries)).unwrap();
    assert_eq!(ids(&received), (0..1_000).map(|n| format!("m_{n}")).collect::<Vec<_>>());
}

/// JSON made of the words the parser looks for, in places where they do not belong.
fn odd_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "object",
        "entry",
        "messaging",
        "standby",
        "sender",
        "recipient",
        "id",
        "timestamp",
        "message",
        "mid",
        "text",
        "attachments",
        "type",
        "payload",
        "url",
        "sticker",
        "sticker_id",
        "image",
        "coordinates",
        "lat",
        "long",
        "quick_reply",
        "reply_to",
        "is_echo",
        "delivery",
        "mids",
        "watermark",
        "read",
        "reaction",
        "action",
        "emoji",
        "postback",
        "title",
        "referral",
        "optin",
        "1029384756",
        "9001",
        "message_edit",
        "fallback",
        "story",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn signed_bytes_of_any_kind_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = deliver(&body, "app-secret-0001");
    }

    #[test]
    fn signed_json_of_any_shape_never_panics(odd in odd_json(), inner in odd_json()) {
        let _ = receive(&odd);
        let mut messaging = vec![odd.clone()];
        for kind in ["message", "message_edit", "postback", "delivery", "read", "reaction", "referral", "optin"] {
            messaging.push(event(kind, inner.clone()));
        }
        messaging.push(event("message", json!({"mid": "m", "attachments": [inner.clone(), odd.clone()]})));
        messaging.push(event("message", json!({"mid": "m", "attachments": inner, "reply_to": odd})));
        let count = messaging.len();
        let received = receive(&batch(&[page("1029384756", json!(messaging))])).unwrap();
        prop_assert!(received.inbound.len() >= count, "every element becomes at least one event");
    }
}
