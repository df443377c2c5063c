#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_adapter::{Class, Part};
use trunkline_graph::{SIGNATURE_HEADER, lenient::ascii_json, sign};

use super::*;
use crate::settings::tests::{PROXY_ID, settings};

fn deliver(body: &[u8], secret: &str) -> Result<Received, Refusal> {
    let settings = settings("https://graph.example");
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE_HEADER, sign(secret, body).parse().unwrap());
    Receiver::new(settings.app.gate(), settings.numbers).receive(&WebhookRequest {
        method: Method::POST,
        url: "https://bridge.example/webhooks/wa".to_owned(),
        alternatives: Vec::new(),
        query: String::new(),
        headers,
        body: Bytes::copy_from_slice(body),
    })
}

fn receive(body: &Value) -> Result<Received, Refusal> {
    deliver(ascii_json(body).as_bytes(), "app-secret-0001")
}

fn change(id: &str, mut value: Value) -> Value {
    value["metadata"] = json!({"phone_number_id": id});
    json!({"field": "messages", "value": value})
}

fn batch(changes: &[Value]) -> Value {
    json!({"object": OBJECT, "entry": [{"id": "1", "changes": changes}]})
}

fn text(id: &str) -> Value {
    json!({"from": "15550199", "id": id, "timestamp": "1760000000", "type": "text", "text": {"body": "hola"}})
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
    assert!(count >= 6, "only {count} fixtures found");
}

#[test]
fn a_wrong_signature_is_refused_before_anything_else() {
    let body = batch(&[change(PROXY_ID, json!({"messages": [text("wamid.1")]}))]).to_string();
    assert!(deliver(body.as_bytes(), "app-secret-0001").is_ok());
    assert_eq!(deliver(body.as_bytes(), "other"), Err(Refusal::BadSignature { matches: None }));
}

#[test]
fn what_is_no_delivery_of_this_product_is_malformed() {
    for body in [
        json!({"object": "page", "entry": []}),
        json!({"entry": []}),
        json!([]),
        json!({"object": OBJECT, "entry": 5}),
    ] {
        assert!(matches!(receive(&body), Err(Refusal::Malformed(_))), "{body}");
    }
    assert!(receive(&batch(&[])).unwrap().inbound.is_empty());
}

#[test]
fn one_broken_element_costs_no_other() {
    let messages = json!({"messages": [
        text("wamid.1"), null, 7, {"from": "15550199"}, {"id": "wamid.2", "type": "text"}, text("wamid.3"),
        {"from": "x", "id": "wamid.4", "type": "text", "text": {"body": "who?"}},
        {"from": "15550199", "id": "wamid.5", "type": "reaction"},
    ], "statuses": [{"id": "wamid.OUT", "status": "read"}, {"status": "read"}, "sent"]});
    let received =
        receive(&batch(&[json!(1), change(PROXY_ID, messages), json!({"field": "messages"})])).unwrap();
    assert_eq!(
        kinds(&received),
        [
            "unreadable_element",
            "message",
            "unreadable_message",
            "unreadable_message",
            "unreadable_message",
            "unreadable_message",
            "message",
            "unreadable_message",
            "unreadable_message",
            "status",
            "unreadable_status",
            "unreadable_status",
            "unreadable_element",
        ]
    );
}

#[test]
fn numbers_are_routed_per_change() {
    let mixed = batch(&[
        change(PROXY_ID, json!({"messages": [text("wamid.1")]})),
        change("42", json!({"messages": [text("wamid.2")]})),
        change("999", json!({"messages": [text("wamid.3")]})),
    ]);
    let received = receive(&mixed).unwrap();
    assert_eq!(kinds(&received), ["message", "message", "foreign_number"]);
    let Inbound::Message(second) = &received.inbound[1] else { panic!() };
    assert_eq!(second.to.as_str(), "whatsapp:+15550101");
    let foreign = batch(&[change("999", json!({"messages": [text("wamid.3")]}))]);
    assert_eq!(receive(&foreign), Err(Refusal::WrongAccount));
}

#[test]
fn what_is_not_for_conversations_is_a_notice() {
    let body = batch(&[
        json!({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}),
        json!({"field": "message_template_status_update", "value": {}}),
        json!({"field": "messages", "value": {"errors": [{"code": 130429}]}}),
        json!({"field": "messages", "value": {}}),
        change(PROXY_ID, json!({"errors": [{"code": 131052}]})),
        change(PROXY_ID, json!({"contacts": []})),
        change(
            PROXY_ID,
            json!({"messages": [{"from": "15550199", "id": "w", "group_id": "g", "type": "text"}]}),
        ),
        change(
            PROXY_ID,
            json!({"statuses": [{"id": "w", "status": "deleted"}, {"id": "w", "status": "warning"},
            {"id": "w", "status": "read", "recipient_type": "group"}]}),
        ),
    ]);
    assert_eq!(
        kinds(&receive(&body).unwrap()),
        [
            "account_update",
            "message_template_status_update",
            "errors",
            "unreadable_change",
            "errors",
            "messages",
            "group_message",
            "status_deleted",
            "status_warning",
            "group_status",
        ]
    );
}

#[test]
fn a_thousand_entries_are_all_read() {
    let entries: Vec<Value> = (0..1_000)
        .map(|n| json!({"id": "1", "changes": [change(PROXY_ID, json!({"messages": [text(&format!("wamid.{n}"))]}))]}))
        .collect();
    let received = receive(&json!({"object": OBJECT, "entry": entries})).unwrap();
    let ids: Vec<String> = received
        .inbound
        .iter()
        .map(|inbound| match inbound {
            Inbound::Message(message) => message.id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, (0..1_000).map(|n| format!("wamid.{n}")).collect::<Vec<_>>());
}

#[test]
fn an_unknown_type_is_a_message_all_the_same() {
    for kind in ["hologram", "unsupported", "unknown", "", "metadata", "id"] {
        let message =
            json!({"from": "15550199", "id": "wamid.1", "type": kind, "errors": [{"code": 131051}]});
        let received = receive(&batch(&[change(PROXY_ID, json!({ "messages": [message] }))])).unwrap();
        let [Inbound::Message(message)] = received.inbound.as_slice() else { panic!("{received:?}") };
        assert!(matches!(message.parts.as_slice(), [Part::Unsupported { .. }]), "{kind}");
    }
}

#[test]
fn a_number_change_that_changes_nothing_is_a_notice() {
    for system in
        [json!({"type": "user_changed_number", "wa_id": "15550199"}), json!({"type": "user_changed_number"})]
    {
        let message = json!({"from": "15550199", "id": "wamid.1", "type": "system", "system": system});
        let received = receive(&batch(&[change(PROXY_ID, json!({ "messages": [message] }))])).unwrap();
        assert_eq!(kinds(&received), ["user_changed_number"]);
    }
}

#[test]
fn a_failed_status_tells_why() {
    let status = json!({"id": "wamid.OUT", "status": "failed", "timestamp": 1760000000, "recipient_id": "15550199",
        "errors": [{"code": "131047", "title": "Re-engagement", "error_data": {"details": "to 15550199123 too late"}}]});
    let received = receive(&batch(&[change(PROXY_ID, json!({ "statuses": [status] }))])).unwrap();
    let [Inbound::Status(report)] = received.inbound.as_slice() else { panic!("{received:?}") };
    let error = report.error.clone().unwrap();
    assert_eq!((error.code, error.class), (131_047, Class::Window));
    assert_eq!(error.text, "Re-engagement: to … too late");
}

/// JSON made of the words the parser looks for, in places where they do not belong.
fn odd_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "object",
        "entry",
        "changes",
        "field",
        "value",
        "messages",
        "statuses",
        "contacts",
        "metadata",
        "phone_number_id",
        "id",
        "from",
        "type",
        "text",
        "body",
        "image",
        "interactive",
        "button_reply",
        "system",
        "edit",
        "message",
        "original_message_id",
        "reaction",
        "message_id",
        "timestamp",
        "status",
        "errors",
        "code",
        "user_id",
        "wa_id",
        "106540352242922",
        "15550199",
        "order",
        "product_items",
        "location",
        "latitude",
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
    fn signed_json_of_any_shape_never_panics(odd in odd_json(), message in odd_json()) {
        let _ = receive(&odd);
        let _ = receive(&batch(&[odd.clone(), json!({"field": "messages", "value": odd.clone()})]));
        let mut typed = vec![message.clone(), odd.clone()];
        for kind in ["text", "image", "location", "contacts", "interactive", "order", "system", "edit", "reaction"] {
            typed.push(json!({"from": "15550199", "id": "w", "type": kind, kind: message.clone(), "context": odd.clone()}));
        }
        let count = typed.len();
        let received = receive(&batch(&[change(PROXY_ID, json!({ "messages": typed }))])).unwrap();
        prop_assert_eq!(received.inbound.len(), count, "every element becomes one event");
    }
}
