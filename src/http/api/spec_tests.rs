//! Walks the official description as data: every operation is served, on both paths where there are two, or is named
//! below; every answer has the documented status, exactly the documented keys, and values of the documented types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::walk::{House, house, text};
use super::*;
use crate::ledger::engine::{Batch, Engine};
use crate::ledger::tables::{self, List};
use crate::model::push::PushKind;
use crate::model::{CredentialSid, Json, Mint, PushBindingRecord, PushBindingSid};

static OFFICIAL: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../tests/fixtures/openapi/twilio_conversations_v1.json");
    serde_json::from_str(text).unwrap()
});

/// So many were served when this was last changed; it only grows.
const SERVED: usize = 103;

/// Operations that are not served yet.
const NOT_SERVED: &[&str] = &[];

/// What each kind of thing is created and changed with. The first word is the last of the path that is no name.
const FORMS: &[(&str, Parameters, Parameters)] = &[
    ("Configuration", &[], &[("ReachabilityEnabled", "true"), ("DefaultClosedTimer", "PT20M")]),
    (
        "Notifications",
        &[],
        &[("NewMessage.WithMedia.Enabled", "true"), ("AddedToConversation.Sound", "ring")],
    ),
    (
        "Conversations",
        &[("FriendlyName", "Order"), ("State", "active"), ("Timers.Closed", "PT1H")],
        &[("Attributes", "{}"), ("NotificationLevel", "muted")],
    ),
    (
        "ConversationWithParticipants",
        &[("Participant", "{\"identity\": \"dora\"}"), ("Participant", "{\"identity\": \"emil\"}")],
        &[],
    ),
    ("Participants", &[("Identity", "bob")], &[("Attributes", "{\"a\":1}")]),
    ("Messages", &[("Body", "hello")], &[("Body", "hello again")]),
    (
        "Roles",
        &[("FriendlyName", "guest"), ("Type", "conversation"), ("Permission", "sendMessage")],
        &[("Permission", "leaveConversation")],
    ),
    ("Users", &[("Identity", "carol")], &[("FriendlyName", "Carol")]),
    ("Services", &[("FriendlyName", "Shop")], &[]),
    (
        "Addresses",
        &[("Type", "sms"), ("Address", "+15550001111"), ("AddressCountry", "US")],
        &[("FriendlyName", "Support"), ("AutoCreation.Enabled", "true")],
    ),
    ("Credentials", &[("Type", "fcm"), ("Secret", "hush")], &[("FriendlyName", "Phones")]),
    (
        "Webhooks",
        HOOK,
        &[("PostWebhookUrl", "https://a.example/"), ("Configuration.Url", "https://a.example/again")],
    ),
];

const HOOK: Parameters = &[
    ("Target", "webhook"),
    ("Configuration.Url", "https://a.example/"),
    ("Configuration.Filters", "onMessageAdded"),
];

type Parameters = &'static [(&'static str, &'static str)];

struct Operation {
    id: String,
    path: String,
    method: &'static str,
    responses: Map<String, Value>,
}

fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in OFFICIAL["paths"].as_object().unwrap() {
        for (key, method) in [("post", "POST"), ("get", "GET"), ("delete", "DELETE")] {
            let Some(operation) = item.get(key) else { continue };
            all.push(Operation {
                id: text(operation, "operationId").to_owned(),
                path: path.clone(),
                method,
                responses: operation["responses"].as_object().unwrap().clone(),
            });
        }
    }
    all
}

/// The lists that are served, by the names of their operations.
pub(super) fn served_lists() -> BTreeSet<String> {
    let names = operations().into_iter().map(|operation| operation.id);
    names.filter(|id| id.starts_with("List") && !NOT_SERVED.contains(&id.as_str())).collect()
}

/// The path with something in the place of every name.
fn filled(path: &str, value: impl Fn(&str, &str) -> String) -> String {
    let (mut parts, mut before) = (Vec::new(), "");
    for part in path.split('/') {
        match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => parts.push(value(before, name)),
            None => {
                before = part;
                parts.push(part.to_owned());
            }
        }
    }
    parts.join("/")
}

/// The last part of a path that is no name.
fn kind(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.starts_with('{')).unwrap()
}

/// A fresh set of everything that a path can name, in a service of its own or in the default one.
struct Scene {
    service: String,
    conversation: String,
    participant: String,
    message: String,
    receipt: String,
    user: String,
    role: String,
    credential: String,
    address: String,
    binding: String,
    webhook: String,
}

impl Scene {
    async fn set(house: &House, explicit: bool) -> Scene {
        let sid = |record: Value| text(&record, "sid").to_owned();
        let service = match explicit {
            true => sid(house.made("/v1/Services", &[("FriendlyName", "Shop")]).await),
            false => {
                let configuration = house.ask("GET", "/v1/Configuration", &[]).await.1;
                text(&configuration, "default_chat_service_sid").to_owned()
            }
        };
        let root = if explicit { format!("/v1/Services/{service}") } else { "/v1".to_owned() };
        let conversation = sid(house.made(&format!("{root}/Conversations"), &[]).await);
        let own = format!("{root}/Conversations/{conversation}");
        // Another person in every scene: a pair belongs to one open conversation.
        let person = format!("+1555{:07}", house.engine.published() % 10_000_000);
        let pair = [
            ("MessagingBinding.Address", person.as_str()),
            ("MessagingBinding.ProxyAddress", "+15550001111"),
        ];
        house.made(&format!("{own}/Participants"), &pair).await;
        let participant = sid(house.made(&format!("{own}/Participants"), &[("Identity", "alice")]).await);
        let message = sid(house.made(&format!("{own}/Messages"), &[("Body", "hello")]).await);
        let receipts = house.ask("GET", &format!("{own}/Messages/{message}/Receipts"), &[]).await.1;
        let user = sid(house.ask("GET", &format!("{root}/Users/alice"), &[]).await.1);
        // Another one in every scene, like the person.
        let email = format!("{}@b.example", house.engine.published());
        let email = [("Type", "email"), ("Address", email.as_str())];
        let role = [("FriendlyName", "guest"), ("Type", "conversation"), ("Permission", "sendMessage")];
        Scene {
            receipt: text(&receipts["delivery_receipts"][0], "sid").to_owned(),
            role: sid(house.made(&format!("{root}/Roles"), &role).await),
            credential: sid(house.made("/v1/Credentials", &[("Type", "apn")]).await),
            address: sid(house.made("/v1/Configuration/Addresses", &email).await),
            binding: plant(house, &service).await,
            webhook: sid(house.made(&format!("{own}/Webhooks"), HOOK).await),
            service,
            conversation,
            participant,
            message,
            user,
        }
    }

    fn name(&self, before: &str, name: &str) -> String {
        let value = match (before, name) {
            ("Services", _) => &self.service,
            ("Conversations", _) => &self.conversation,
            ("Participants", _) => &self.participant,
            ("Messages", _) => &self.message,
            ("Receipts", _) => &self.receipt,
            ("Users", _) => &self.user,
            ("Roles", _) => &self.role,
            ("Credentials", _) => &self.credential,
            ("Addresses", _) => &self.address,
            ("Bindings", _) => &self.binding,
            ("Webhooks", _) => &self.webhook,
            other => panic!("nothing is set for {other:?}"),
        };
        value.clone()
    }
}

/// A device as a client would register it.
pub(super) async fn plant(house: &House, service: &str) -> String {
    let birth = house.engine.published() + 1;
    let mint = Mint::seeded(birth);
    let record = PushBindingRecord {
        sid: PushBindingSid::new(&mint),
        identity: "alice".into(),
        kind: PushKind::Fcm,
        endpoint: "phone".into(),
        credential: Some(CredentialSid::new(&mint)),
        message_types: vec!["new_message".into()],
        birth,
        created: Timestamp(0),
        updated: Timestamp(0),
        rest: Map::new(),
    };
    let (account, mut batch) = (house.account.as_str(), Batch::default());
    batch.put(tables::push_binding(account, service, record.sid.as_str()), record.encode());
    let place = tables::listed(account, service, List::PushBindings, birth);
    batch.put(place, record.sid.as_str().to_owned());
    house.engine.commit(batch).await.unwrap();
    record.sid.as_str().to_owned()
}

/// Follows a reference.
fn resolved(schema: &Value) -> &Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => OFFICIAL.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    }
}

fn judge(value: &Value, schema: &Value, at: &str) {
    let schema = resolved(schema);
    if value.is_null() {
        // What is no string of its own is described by reference, where nobody says that it may be missing.
        assert!(schema["nullable"] == true || schema.get("enum").is_some(), "{at} is null");
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at} is {value}");
    }
    match schema["type"].as_str() {
        Some("string") => {
            let shown = value.as_str().unwrap_or_else(|| panic!("{at} is {value}"));
            if let Some(pattern) = schema["pattern"].as_str().and_then(|pattern| pattern.strip_prefix('^')) {
                let prefix = pattern.get(..2).unwrap();
                assert!(
                    prefix.starts_with('[') || crate::model::ids::well_formed(shown, prefix),
                    "{at} is {shown}"
                );
            }
            if schema["format"] == "date-time" {
                assert!(shown.len() == 20 && Timestamp::parse(shown).is_some(), "{at} is {shown}");
            }
        }
        Some("integer") => assert!(value.is_i64() || value.is_u64(), "{at} is {value}"),
        Some("boolean") => assert!(value.is_boolean(), "{at} is {value}"),
        Some("array") => {
            for (place, item) in value.as_array().unwrap().iter().enumerate() {
                judge(item, &schema["items"], &format!("{at}[{place}]"));
            }
        }
        Some("object") => {
            let shown = value.as_object().unwrap_or_else(|| panic!("{at} is {value}"));
            let Some(properties) = schema["properties"].as_object() else { return };
            let keys: BTreeSet<&String> = shown.keys().collect();
            assert_eq!(keys, properties.keys().collect(), "{at}");
            for (key, value) in shown {
                judge(value, &properties[key], &format!("{at}.{key}"));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_operation_is_served_as_described_or_named_as_missing() {
    let house = house();
    let (all, mut served) = (operations(), 0);
    for operation in &all {
        let Operation { id, path, method, responses } = operation;
        let named = NOT_SERVED.contains(&id.as_str());
        let example = filled(path, |_, _| "x".to_owned());
        let route = Route::find(&example).filter(|route| route.allows(&method.parse().unwrap()));
        assert_eq!(route.is_none(), named, "{id}: {method} {path}");
        if named {
            continue;
        }
        let explicit = path.starts_with("/v1/Services/{ChatServiceSid}") || path == "/v1/Services/{Sid}";
        let scene = Scene::set(&house, explicit).await;
        let mut target = filled(path, |before, name| scene.name(before, name));
        let status: u16 = responses.keys().next().unwrap().parse().unwrap();
        let forms = FORMS.iter().find(|(kind, ..)| *kind == self::kind(path));
        let form = match (*method, status) {
            ("POST", 201) => forms.unwrap_or_else(|| panic!("{id} has no form")).1,
            ("POST", _) => forms.unwrap_or_else(|| panic!("{id} has no form")).2,
            _ => &[],
        };
        if path.ends_with("/ParticipantConversations") {
            target.push_str("?Identity=alice");
        }
        if let Some(inside) = target.strip_prefix(&format!("/v1/Services/{}/", scene.service)) {
            let named = path.matches('{').count() > 1;
            strangers(&house, operation, inside, form, named).await;
        }
        let (answered, body) = house.ask(method, &target, form).await;
        assert_eq!(answered, status, "{id}: {method} {target}: {body}");
        match responses[&status.to_string()].get("content") {
            None => assert_eq!(body, Value::Null, "{id}"),
            Some(content) => {
                let schema = &content["application/json"]["schema"];
                judge(&body, schema, id);
                if let Some(key) = body["meta"]["key"].as_str() {
                    assert!(!body[key].as_array().unwrap().is_empty(), "{id} shows something");
                }
                links(&body, content, id);
            }
        }
        served += 1;
    }
    println!("{served} of {} operations served", all.len());
    assert_eq!(all.len(), 103);
    assert!(served >= SERVED, "{served} of {} are served, and there were {SERVED}", all.len());
    let known: BTreeSet<&str> = all.iter().map(|operation| operation.id.as_str()).collect();
    assert!(
        NOT_SERVED.iter().all(|id| known.contains(id)),
        "every name in the table is one of the description"
    );
}

/// What is in one service is nowhere in another, nor in the default one: named, it is not found; listed, it is not there.
async fn strangers(house: &House, operation: &Operation, inside: &str, form: Parameters, named: bool) {
    let Operation { id, method, .. } = operation;
    let other = house.made("/v1/Services", &[("FriendlyName", "Other")]).await;
    for root in [format!("/v1/Services/{}", text(&other, "sid")), "/v1".to_owned()] {
        let target = format!("{root}/{inside}");
        let path = target.split('?').next().unwrap();
        if Route::find(path).is_none_or(|route| !route.allows(&method.parse().unwrap())) {
            continue;
        }
        if named {
            let (status, body) = house.ask(method, &target, form).await;
            assert_eq!(status, 404, "{id}: {method} {target}: {body}");
        } else if *method == "GET" {
            let (status, body) = house.ask(method, &target, form).await;
            assert_eq!(status, 200, "{id}: {method} {target}: {body}");
            let key = body["meta"]["key"].as_str().unwrap_or("none");
            let shown = body[key].as_array().map_or("", |_| text(&other, "sid"));
            for record in body[key].as_array().into_iter().flatten().filter(|_| root != "/v1") {
                assert_eq!(record["chat_service_sid"], shown, "{id}: {record}");
            }
        }
    }
}

/// Links have the names that the example has.
fn links(body: &Value, content: &Value, id: &str) {
    let examples = content["application/json"]["examples"].as_object();
    let example = examples.and_then(|examples| examples.values().next());
    let Some(expected) = example.and_then(|example| example["value"]["links"].as_object()) else { return };
    let shown = body["links"].as_object().unwrap();
    let missing: Vec<_> = expected.keys().filter(|name| !shown.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{id} lacks links {missing:?}");
}
