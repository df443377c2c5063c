//! Clients on the memory engine: what they may do, what they are told, and that whoever was away ends with what is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline_adapter::{
    Address, Call, Caller, Clock, DeliveryStatus, Host, Member, Notice, Timestamp, Visit,
};

use super::Clients;
use crate::bindings::Bindings;
use crate::ledger::engine::{Batch, Engine};
use crate::ledger::memory::Memory;
use crate::ledger::restore::restore;
use crate::ledger::store::{Durability, Incarnation, Restoration, Store, StoreSettings};
use crate::ledger::{Ledger, dump, tables};
use crate::model::{AccountSid, Json, Mint, ReceiptRecord};
use crate::relay::{OptOuts, Parts, Proxy, Relay};
use crate::sync::{Hub, Tap};
use crate::work::Wakeups;

struct Nobody;

impl OptOuts for Nobody {
    fn add(&self, _: &str, _: &Address, _: &Address) {}

    fn remove(&self, _: &str, _: &Address, _: &Address) {}
}

struct House {
    clients: Clients,
    relay: Arc<Relay>,
    ledger: Ledger,
    account: AccountSid,
    service: String,
    _hub: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let tap = Tap::default();
    let memory = Memory::followed(1_700_000_000_000_000, vec![tap.follower()]);
    furnish(Arc::new(memory), &tap, Restoration::default()).await
}

async fn furnish(engine: Arc<dyn Engine>, tap: &Tap, restoration: Restoration) -> House {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::at(Timestamp::from_seconds(1_700_000_000));
    let bindings = Arc::new(Bindings::new(folder.path()));
    let mint = Mint::seeded(5);
    // The same in every house, so that a restored store is the same account's.
    let account = AccountSid::new(&mint);
    let ledger = Ledger::new(engine);
    let relay = Arc::new(Relay::new(Parts {
        ledger: ledger.clone(),
        bindings,
        wakeups: Wakeups::default(),
        opt_outs: Arc::new(Nobody),
        mint,
        clock,
    }));
    let ours = Address::parse("+15550001111").unwrap();
    let proxy = Proxy { keywords: true, correlated: false };
    relay.proxies().replace(account.clone(), HashMap::from([(ours, proxy)]));
    let service = relay.default_service(&account).await.unwrap().sid.as_str().to_owned();
    let hub = Arc::new(Hub::new(tap, ledger.clone()));
    hub.restored(restoration);
    let running = tokio::spawn(Arc::clone(&hub).run());
    let clients = Clients::new(Arc::clone(&relay), hub, clock);
    House { clients, relay, ledger, account, service, _hub: running, _folder: folder }
}

impl House {
    async fn come(&self, identity: &str) -> Client {
        let caller = Caller {
            account: self.account.as_str().to_owned(),
            service: self.service.clone(),
            identity: identity.to_owned(),
            key: "SK1".to_owned(),
            proof: 0,
            expires: Timestamp(i64::MAX),
            push_credential: None,
        };
        let visit = Visit { root: "https://b.example".into() };
        let member = self.clients.open(caller, visit).await.unwrap();
        Client { member: Some(member), held: BTreeMap::new() }
    }

    /// Lets everything that was committed be told.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Gives everybody every permission.
    async fn permit_all(&self) {
        let (account, service) = (&self.account, crate::model::ServiceSid::parse(&self.service).unwrap());
        for role in self.relay.roles(account, &service, None, 50).await.unwrap() {
            let all = crate::model::role::PERMISSIONS.iter();
            let all = all.filter(|(name, _)| role.kind.permits(name)).map(|(name, _)| (*name).to_owned());
            let all: Vec<String> = all.collect();
            self.relay
                .update_role(account, &service, role.sid.as_str(), |_| Some(all.clone()))
                .await
                .unwrap();
        }
    }
}

/// A client as the SDK is one: it holds objects, drops what it knows already, and resumes from its numbers.
struct Client {
    member: Option<Arc<dyn Member>>,
    held: BTreeMap<String, Held>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    kind: String,
    last: u64,
    items: BTreeMap<String, (u64, Value)>,
}

impl Client {
    async fn ask(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let call = Call {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            params: pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(n, v)| (n.into(), v.into()))
                .collect(),
            content_type: Some("application/json".to_owned()),
            mutation: None,
            body: if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) },
        };
        let answer = Arc::clone(self.member.as_ref().unwrap()).request(call).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn get(&self, target: &str) -> Value {
        let (status, body) = self.ask("GET", target, Value::Null).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    async fn post(&self, target: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", target, body.clone()).await;
        assert!((200..300).contains(&status), "{target} {body}: {answer}");
        answer
    }

    async fn refused(&self, method: &str, target: &str, body: Value) -> (u16, u64) {
        let (status, answer) = self.ask(method, target, body).await;
        assert_eq!(answer["status"], status, "{target}: {answer}");
        (status, answer["code"].as_u64().unwrap_or_else(|| panic!("{method} {target}: {answer}")))
    }

    /// Every item of a list or map, page by page.
    async fn items(&self, plural: &str, name: &str) -> BTreeMap<String, (u64, Value)> {
        let (mut items, mut token) = (BTreeMap::new(), None::<String>);
        loop {
            let page = match &token {
                None => self.get(&format!("/v3/{plural}/{name}/Items?PageSize=3&Order=asc")).await,
                Some(token) => self.get(&format!("/v3/{plural}/{name}/Items?PageToken={token}")).await,
            };
            for item in page["items"].as_array().unwrap() {
                let key = if item["index"].is_null() { &item["key"] } else { &item["index"] };
                let known =
                    items.insert(key.to_string(), (number(&item["last_event_id"]), item["data"].clone()));
                assert!(known.is_none(), "{key} twice");
            }
            match page["meta"]["next_token"].as_str() {
                Some(next) => token = Some(next.to_owned()),
                None => return items,
            }
        }
    }

    /// Reads an object and watches it.
    async fn take(&mut self, name: &str) {
        let held = self.read(name).await.unwrap_or_else(|| panic!("{name} is not there"));
        let kind = held.kind.clone();
        let last = held.last;
        self.held.insert(name.to_owned(), held);
        self.subscribe(&[(name, &kind, Some(last))]).await;
    }

    async fn read(&self, name: &str) -> Option<Held> {
        let (plural, kind) = match &name[..2] {
            "ET" => ("Documents", "document"),
            "ES" => ("Lists", "list"),
            _ => ("Maps", "map"),
        };
        let (status, root) = self.ask("GET", &format!("/v3/{plural}/{name}"), Value::Null).await;
        if status == 404 {
            assert_eq!(root["code"], 54100);
            return None;
        }
        assert_eq!((status, root["sid"].as_str()), (200, Some(name)));
        let last = number(&root["last_event_id"]);
        let items = match kind {
            "document" => BTreeMap::from([("".to_owned(), (last, root["data"].clone()))]),
            _ => self.items(plural, name).await,
        };
        Some(Held { kind: kind.to_owned(), last, items })
    }

    async fn subscribe(&self, wishes: &[(&str, &str, Option<u64>)]) {
        let requests: Vec<Value> = wishes
            .iter()
            .map(|(sid, kind, last)| json!({ "object_sid": sid, "object_type": kind, "last_event_id": last }))
            .collect();
        let body = json!({ "event_protocol_version": 4, "action": "establish", "correlation_id": 7,
            "requests": requests });
        let answer = self.post("/v4/Subscriptions", body).await;
        assert_eq!(answer["max_batch_size"], 100);
    }

    /// Takes the notices that are there. Gives the event types.
    async fn hear(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let member = Arc::clone(self.member.as_ref().unwrap());
            let quiet = async {
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
            };
            let notice = tokio::select! {
                biased;
                notice = member.next() => notice,
                () = quiet => return heard,
            };
            heard.push(self.apply(&notice.expect("the session goes on")));
        }
    }

    fn apply(&mut self, notice: &Notice) -> String {
        let told: Value = serde_json::from_slice(&notice.payload).unwrap();
        if notice.message_type != "twilio.sync.event" {
            return notice.message_type.to_owned();
        }
        let (kind, event) = (told["event_type"].as_str().unwrap(), &told["event"]);
        match kind {
            "subscription_established" => {
                assert_eq!(
                    (&told["correlation_id"], &event["replay_status"]),
                    (&json!(7), &json!("completed"))
                );
                if let Some(held) = self.held.get_mut(event["object_sid"].as_str().unwrap()) {
                    held.last = held.last.max(number(&event["last_event_id"]));
                }
                return kind.to_owned();
            }
            "subscription_canceled" => return kind.to_owned(),
            "subscription_failed" => {
                assert_eq!(event["error"]["status"], 404, "{told}");
                self.held.remove(event["object_sid"].as_str().unwrap());
                return kind.to_owned();
            }
            _ => {}
        }
        let (object, what) = kind.split_once('_').unwrap();
        let name = event[format!("{object}_sid")].as_str().unwrap();
        let Some(held) = self.held.get_mut(name) else { return kind.to_owned() };
        let id = number(&event["id"]);
        if event["item_key"] != "reachability" {
            assert!(id >= held.last || held.items.is_empty(), "{told} after {}", held.last);
            held.last = held.last.max(id);
        }
        let key = match (&event["item_index"], &event["item_key"]) {
            (Value::Null, Value::Null) => String::new(),
            (Value::Null, key) => key.to_string(),
            (index, _) => index.to_string(),
        };
        let known = held.items.get(&key).map(|(known, _)| *known);
        if known.is_some_and(|known| id <= known) {
            return kind.to_owned();
        }
        match what {
            "updated" => {
                held.items.insert(key, (id, event["document_data"].clone()));
            }
            "removed" => {
                self.held.remove(name);
            }
            "item_removed" => {
                held.items.remove(&key);
            }
            "item_added" | "item_updated" => {
                assert_eq!(what == "item_added", known.is_none(), "{told}");
                held.items.insert(key, (id, event["item_data"].clone()));
            }
            other => panic!("{other}"),
        }
        kind.to_owned()
    }

    /// The socket is gone; the client comes again and asks for everything from where it was.
    async fn come_again(&mut self, house: &House, identity: &str) {
        self.member = None;
        self.member = house.come(identity).await.member;
        self.resume().await;
    }

    async fn resume(&mut self) {
        let wishes: Vec<_> = self
            .held
            .iter()
            .map(|(name, held)| (name.as_str(), held.kind.as_str(), Some(held.last)))
            .collect();
        self.subscribe(&wishes).await;
    }

    /// Everything held is what a fresh read finds.
    async fn assert_whole(&self) {
        for (name, held) in &self.held {
            let fresh = self.read(name).await.unwrap_or_else(|| panic!("{name} is gone"));
            let data = |held: &Held| -> BTreeMap<String, Value> {
                held.items.iter().map(|(key, (_, data))| (key.clone(), data.clone())).collect()
            };
            assert_eq!(data(held), data(&fresh), "{name}");
        }
    }

    /// A conversation of the client's own, joined.
    async fn conversation(&self, unique: &str) -> Value {
        let made = self.post("/Client/v2/Conversations", json!({ "unique_name": unique })).await;
        assert_eq!(made["status"], "notParticipating", "whoever makes it is not in it");
        let own = path(&made["url"]);
        let identity = self.get("/Client/v2/Configuration").await["identity"].clone();
        self.post(&format!("{own}/Participants"), json!({ "identity": identity })).await;
        self.get(&own).await
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn path(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix("https://b.example").expect("our own URL").to_owned()
}

fn object(conversation: &Value, which: &str) -> String {
    conversation["sync_objects"][which].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_starts_lists_sends_and_hears() {
    let house = house().await;
    let (mut alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let configuration = alice.get("/Client/v2/Configuration").await;
    let own = configuration["sync_objects"]["my_conversations"].as_str().unwrap().to_owned();
    let info = configuration["sync_objects"]["my_user_info"].as_str().unwrap().to_owned();
    let with_items = alice.get(&format!("/v3/Maps/{info}?Include=items")).await;
    let keys: Vec<_> =
        with_items["items"].as_array().unwrap().iter().map(|item| item["key"].clone()).collect();
    assert_eq!(keys, ["attributes", "friendlyName"]);
    alice.take(&own).await;
    let mine = path(&configuration["links"]["my_conversations"]);
    assert_eq!(alice.get(&mine).await["conversations"], json!([]));

    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    let bobs = bob.get("/Client/v2/Configuration").await["sync_objects"]["my_conversations"].clone();
    bob.take(bobs.as_str().unwrap()).await;
    alice
        .post(&format!("{name}/Participants"), json!({ "identity": "bob", "attributes": "{\"a\":1}" }))
        .await;
    house.settle().await;
    assert_eq!(alice.hear().await, ["subscription_established", "map_item_added"]);
    assert_eq!(bob.hear().await, ["subscription_established", "map_item_added"]);
    for which in ["conversation", "messages", "participants"] {
        bob.take(&object(&room, which)).await;
    }
    assert_eq!(bob.hear().await, ["subscription_established"; 3]);

    let sent = alice.post(&format!("{name}/Messages"), json!({ "body": "hi", "attributes": "{}" })).await;
    assert_eq!(sent["index"], 0);
    house.settle().await;
    let mut heard = bob.hear().await;
    heard.sort();
    assert_eq!(heard, ["document_updated", "list_item_added"]);
    let message = &bob.held[&object(&room, "messages")].items["0"].1;
    assert_eq!(
        (&message["text"], &message["author"], &message["type"]),
        (&json!("hi"), &json!("alice"), &json!("text"))
    );
    assert!(message.get("delivery").is_none() && message["attributes"].is_string());
    let document = &bob.held[&object(&room, "conversation")].items[""].1;
    assert_eq!((&document["lastMessage"]["index"], &document["createdBy"]), (&json!(0), &json!("alice")));

    let unread = bob
        .post(
            &format!("/Client/v2/Users/bob/Conversations/{}", room["sid"].as_str().unwrap()),
            json!({ "last_read_message_index": 0 }),
        )
        .await;
    assert_eq!(unread["unread_messages_count"], 0);
    house.settle().await;
    assert_eq!(bob.hear().await.len(), 2, "the roster and the own list");
    assert_eq!(alice.get(&mine).await["conversations"][0]["status"], "joined");
    assert_eq!(alice.get("/Client/v2/Users/alice/Conversations/room").await["sid"], room["sid"]);
    let counted = alice.get(&name).await;
    assert_eq!((&counted["messages_count"], &counted["participants_count"]), (&json!(1), &json!(2)));
    bob.assert_whole().await;
    alice.assert_whole().await;
}

#[tokio::test]
async fn a_stranger_sees_nothing_and_whoever_is_taken_out_hears_nothing_more() {
    let house = house().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    let objects = ["messages", "participants"].map(|which| object(&room, which));
    for object in &objects {
        assert!(bob.read(object).await.is_none());
        bob.held.insert(object.clone(), Held { kind: "list".into(), ..Held::default() });
    }
    let alices = alice.get("/Client/v2/Configuration").await["sync_objects"]["my_conversations"].clone();
    assert!(bob.read(alices.as_str().unwrap()).await.is_none(), "another's list");
    let wishes = [
        (objects[0].as_str(), "list", Some(0)),
        (objects[1].as_str(), "map", Some(0)),
        (objects[0].as_str(), "map", None),
        ("ETx", "document", None),
    ];
    bob.subscribe(&wishes).await;
    assert_eq!(bob.hear().await, ["subscription_failed"; 4]);
    let messages = format!("{name}/Messages");
    for (method, target, body) in [
        ("POST", messages.as_str(), json!({ "body": "x" })),
        ("POST", &name, json!({ "friendly_name": "x" })),
        ("DELETE", &name, json!({})),
        ("GET", &format!("{name}/MessageRecipients"), Value::Null),
        ("POST", &format!("{name}/Participants"), json!({ "identity": "carol" })),
        ("DELETE", &format!("{name}/Participants/alice"), json!({})),
    ] {
        assert_eq!(bob.refused(method, target, body).await, (403, 50430), "{method} {target}");
    }
    assert_eq!(bob.refused("GET", "/Client/v2/Users/alice/Conversations", Value::Null).await.0, 403);

    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    for object in &objects {
        bob.take(object).await;
    }
    bob.hear().await;
    let sent = alice.post(&messages, json!({ "body": "for bob" })).await;
    house.settle().await;
    assert_eq!(bob.hear().await, ["list_item_added"]);
    let theirs = format!("{messages}/{}", sent["sid"].as_str().unwrap());
    assert_eq!(bob.refused("DELETE", &theirs, json!({})).await, (403, 50107), "another's message");
    assert_eq!(bob.refused("POST", &theirs, json!({ "body": "x" })).await, (403, 50107));
    let (status, _) = alice.ask("DELETE", &format!("{name}/Participants/bob"), json!({})).await;
    assert_eq!(status, 204);
    alice.post(&messages, json!({ "body": "not for bob" })).await;
    house.settle().await;
    assert_eq!(bob.hear().await, Vec::<String>::new());
    assert!(bob.read(&objects[0]).await.is_none());
}

#[tokio::test]
async fn typing_reaches_the_others() {
    let house = house().await;
    let (mut alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    alice.post(&format!("{}/Participants", path(&room["url"])), json!({ "identity": "bob" })).await;
    let call = Call {
        method: http::Method::POST,
        path: "/Client/v2/Typing".to_owned(),
        params: Vec::new(),
        content_type: Some("application/x-www-form-urlencoded".to_owned()),
        mutation: None,
        body: Bytes::from(format!("ChannelSid={}", room["sid"].as_str().unwrap())),
    };
    let answer = Arc::clone(alice.member.as_ref().unwrap()).request(call).await;
    assert_eq!(answer.status, 200);
    assert_eq!(bob.hear().await, ["twilio.ipmsg.typing_indicator"]);
    assert_eq!(alice.hear().await, Vec::<String>::new());
}

#[tokio::test]
async fn pages_go_both_ways() {
    let house = house().await;
    let alice = house.come("alice").await;
    let room = alice.conversation("room").await;
    for number in 0..10 {
        alice.post(&format!("{}/Messages", path(&room["url"])), json!({ "body": number.to_string() })).await;
    }
    let items = format!("/v3/Lists/{}/Items", object(&room, "messages"));
    let indexes = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|item| number(&item["index"])).collect()
    };
    let first = alice.get(&format!("{items}?Order=desc&PageSize=4")).await;
    assert_eq!(indexes(&first), [9, 8, 7, 6]);
    assert_eq!(first["meta"]["previous_token"], Value::Null);
    let next = first["meta"]["next_token"].as_str().unwrap();
    let second = alice.get(&format!("{items}?PageToken={next}")).await;
    assert_eq!(indexes(&second), [5, 4, 3, 2]);
    let back = second["meta"]["previous_token"].as_str().unwrap();
    assert_eq!(indexes(&alice.get(&format!("{items}?PageToken={back}")).await), [9, 8, 7, 6]);
    let around = alice.get(&format!("{items}?Order=asc&PageSize=3&From=4")).await;
    assert_eq!(indexes(&around), [4, 5, 6], "from is inclusive");
    assert!(around["meta"]["previous_token"].is_string() && around["meta"]["next_token"].is_string());
    assert_eq!(indexes(&alice.get(&format!("{items}?Order=desc&PageSize=3&From=4")).await), [4, 3, 2]);
    assert_eq!(indexes(&alice.get(&format!("{items}?Index=7")).await), [7]);
    assert_eq!(indexes(&alice.get(&format!("{items}?Index=77")).await), [] as [u64; 0]);
    assert_eq!(alice.refused("GET", &format!("{items}?PageToken=x"), Value::Null).await, (400, 20001));
    assert_eq!(alice.refused("GET", &format!("{items}?Order=up"), Value::Null).await, (400, 20001));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_brought_up_to_date_from_the_rows() {
    let house = house().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    let messages = object(&room, "messages");
    bob.take(&messages).await;
    for number in 0..2_300 {
        alice.post(&format!("{name}/Messages"), json!({ "body": number.to_string() })).await;
        if number % 50 == 0 {
            house.settle().await;
        }
    }
    house.settle().await;
    // What waits is bounded: the rest comes in pieces as it is read, each message once and in its order.
    bob.hear().await;
    assert_eq!(bob.held[&messages].items.len(), 2_300);
    alice.post(&format!("{name}/Messages"), json!({ "body": "last" })).await;
    house.settle().await;
    assert_eq!(bob.hear().await, ["list_item_added"]);
    bob.assert_whole().await;
}

#[tokio::test]
async fn receipts_push_and_templates() {
    let house = house().await;
    house.permit_all().await;
    let mut alice = house.come("alice").await;
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    let bound = json!({ "attributes": "{}", "messaging_binding": {
        "address": "+15557654321", "proxy_address": "+15550001111" } });
    let phone = alice.post(&format!("{name}/Participants"), bound).await;
    assert_eq!((&phone["messaging_binding"]["type"], &phone["identity"]), (&json!("sms"), &Value::Null));
    alice.take(&object(&room, "messages")).await;
    let sent = alice.post(&format!("{name}/Messages"), json!({ "body": "out" })).await;
    let receipts = format!("{name}/Messages/{}/Receipts", sent["sid"].as_str().unwrap());
    let before = alice.get(&receipts).await;
    assert_eq!(before["delivery_receipts"][0]["status"], Value::Null);
    assert_eq!(
        (&before["meta"]["next_token"], &before["meta"]["previous_token"]),
        (&Value::Null, &Value::Null)
    );
    house.settle().await;
    alice.hear().await;
    move_receipt(&house, &room, 0, DeliveryStatus::Delivered).await;
    house.settle().await;
    assert_eq!(alice.hear().await, ["list_item_updated"]);
    let delivery = &alice.held[&object(&room, "messages")].items["0"].1["delivery"];
    assert_eq!(
        (&delivery["delivered"], &delivery["read"], &delivery["total"]),
        (&json!("all"), &json!("none"), &json!(1))
    );
    assert_eq!(alice.get(&receipts).await["delivery_receipts"][0]["status"], "delivered");
    let metadata = format!("{name}/Messages/{}/ChannelMetadata", sent["sid"].as_str().unwrap());
    assert_eq!(alice.refused("GET", &metadata, Value::Null).await, (404, 50530));

    let push = json!({ "channel_type": "fcm", "message_types": ["twilio.conversations.new_message"],
        "data": { "registration_id": "device" } });
    let first = alice.post("/v1/registrations", push.clone()).await;
    assert_eq!(alice.post("/v1/registrations", push.clone()).await, first, "a device is one");
    let bob = house.come("bob").await;
    let own = format!("/v1/registrations/{}", first["id"].as_str().unwrap());
    assert_eq!(bob.ask("DELETE", &own, Value::Null).await.0, 404, "another's device");
    assert_eq!(alice.ask("DELETE", &own, Value::Null).await.0, 204);
    alice.post("/v1/registrations", push).await;
    let gone = json!({ "binding_type": "fcm", "address": "device" });
    assert_eq!(alice.ask("DELETE", "/v1/registrations", gone).await.0, 204);
    assert_eq!(alice.get("/Client/v2/ContentTemplates").await["templates"], json!([]));
}

#[tokio::test]
async fn whoever_watches_sees_who_is_online() {
    let house = house().await;
    let service = crate::model::ServiceSid::parse(&house.service).unwrap();
    let change = crate::relay::command::ServiceChange { reachability: Some(true), ..Default::default() };
    house.relay.update_service_settings(&house.account, &service, change).await.unwrap();
    let mut alice = house.come("alice").await;
    let bob = house.come("bob").await;
    let map = alice.get("/Client/v2/Users/bob").await["sync_objects"]["user_info_map"].clone();
    let map = map.as_str().unwrap();
    alice.take(map).await;
    alice.hear().await;
    let online = |alice: &Client| alice.held[map].items["\"reachability\""].1["online"].clone();
    assert_eq!(online(&alice), true);
    drop(bob);
    house.settle().await;
    assert_eq!(alice.hear().await, ["map_item_updated"]);
    assert_eq!(online(&alice), false);
    let _bob = house.come("bob").await;
    house.settle().await;
    alice.hear().await;
    assert_eq!(online(&alice), true);
}

#[tokio::test]
async fn a_client_of_a_store_that_was_restored_ends_with_what_is_restored() {
    let house = house().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    for which in ["conversation", "messages", "participants"] {
        bob.take(&object(&room, which)).await;
    }
    let messages = format!("{name}/Messages");
    let first = alice.post(&messages, json!({ "body": "first" })).await;
    alice.post(&messages, json!({ "body": "second" })).await;
    let mut saved = Vec::new();
    dump::dump(&**house.ledger.engine(), Incarnation::from_str(&"7".repeat(32)).unwrap(), &mut saved)
        .await
        .unwrap();
    // What happens now is lost with the store, and its clients know it.
    let edited = format!("{messages}/{}", first["sid"].as_str().unwrap());
    alice.post(&edited, json!({ "body": "edited" })).await;
    alice.post(&name, json!({ "friendly_name": "Renamed" })).await;
    for number in 0..5 {
        alice.post(&messages, json!({ "body": number.to_string() })).await;
    }
    house.settle().await;
    bob.hear().await;
    assert_eq!(bob.held[&object(&room, "messages")].items.len(), 7);

    let folder = tempfile::tempdir().unwrap();
    restore(folder.path(), &saved[..], 1_700_000_100_000_000).unwrap();
    let tap = Tap::default();
    let settings = StoreSettings {
        path: folder.path().to_owned(),
        durability: Durability::Process,
        keep_free: 0,
        cache_bytes: 1 << 20,
    };
    let store = Store::open(settings, 1_700_000_101_000_000, vec![tap.follower()]).unwrap();
    let restored = furnish(store.engine(), &tap, store.restoration()).await;
    bob.come_again(&restored, "bob").await;
    bob.hear().await;
    assert_eq!(bob.held[&object(&room, "messages")].items.len(), 2);
    bob.assert_whole().await;
    let alice = restored.come("alice").await;
    for number in 0..3 {
        alice.post(&messages, json!({ "body": format!("new {number}") })).await;
    }
    while bob.held[&object(&room, "messages")].items.len() < 5 {
        bob.hear().await;
    }
    bob.hear().await;
    bob.assert_whole().await;
}

/// Says of the first delivery of a message that it went this far.
async fn move_receipt(house: &House, room: &Value, index: u64, status: DeliveryStatus) {
    let (account, sid) = (house.account.as_str(), room["sid"].as_str().unwrap());
    let snapshot = house.ledger.snapshot();
    let Some(message) = crate::ledger::typed::message(&*snapshot, account, sid, index).await.unwrap() else {
        return;
    };
    let Some(delivery) = message.record.deliveries.first() else { return };
    let (receipt, participant) = (delivery.receipt.clone(), delivery.participant.clone());
    let mut record = ReceiptRecord::new(receipt, participant, Timestamp(0));
    record.advance(0, status, 0, Timestamp(0));
    let mut batch = Batch::default();
    batch.put(tables::receipt(account, sid, index, record.sid.as_str()), record.encode());
    house.ledger.commit(batch).await.unwrap();
}

#[derive(Clone, Debug)]
enum Act {
    Post,
    Edit(u64),
    Remove(u64),
    Receipt(u64),
    Rename(u8),
    Add(u8),
    TakeOut(u8),
    Read(u64),
    Mute(bool),
    Call(u8),
    Bob(bool),
    /// The client reads what it was told.
    Hear,
    /// The client's socket breaks, and it comes again.
    Break,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Post),
        2 => (0..12u64).prop_map(Act::Edit),
        2 => (0..12u64).prop_map(Act::Remove),
        2 => (0..12u64).prop_map(Act::Receipt),
        1 => (0..4u8).prop_map(Act::Rename),
        1 => (0..3u8).prop_map(Act::Add),
        1 => (0..3u8).prop_map(Act::TakeOut),
        1 => (0..12u64).prop_map(Act::Read),
        1 => any::<bool>().prop_map(Act::Mute),
        1 => (0..3u8).prop_map(Act::Call),
        1 => any::<bool>().prop_map(Act::Bob),
        2 => Just(Act::Hear),
        2 => Just(Act::Break),
    ];
    prop::collection::vec(act, 1..40)
}

async fn play(acts: Vec<Act>) {
    let house = house().await;
    house.permit_all().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let (name, sid) = (path(&room["url"]), room["sid"].as_str().unwrap().to_owned());
    let own = bob.get("/Client/v2/Configuration").await["sync_objects"].clone();
    bob.take(own["my_conversations"].as_str().unwrap()).await;
    let profile = alice.get("/Client/v2/Users/alice").await["sync_objects"]["user_info_map"].clone();
    bob.take(profile.as_str().unwrap()).await;
    let phone =
        json!({ "messaging_binding": { "address": "+15557654321", "proxy_address": "+15550001111" } });
    alice.post(&format!("{name}/Participants"), phone).await;
    let mut joined = false;
    let mut texts: Vec<String> = Vec::new();
    for act in std::iter::once(Act::Bob(true)).chain(acts) {
        let message = |index: &u64| texts.get(*index as usize).map(|sid| format!("{name}/Messages/{sid}"));
        match act {
            Act::Post => {
                let sent = alice.post(&format!("{name}/Messages"), json!({ "body": "x" })).await;
                texts.push(sent["sid"].as_str().unwrap().to_owned());
            }
            Act::Edit(index) => {
                if let Some(message) = message(&index) {
                    alice.ask("POST", &message, json!({ "body": format!("{}", texts.len()) })).await;
                }
            }
            Act::Remove(index) => {
                if let Some(message) = message(&index) {
                    alice.ask("DELETE", &message, json!({})).await;
                }
            }
            Act::Receipt(index) => move_receipt(&house, &room, index, DeliveryStatus::Sent).await,
            Act::Rename(to) => drop(alice.post(&name, json!({ "friendly_name": to.to_string() })).await),
            Act::Add(who) => {
                let body = json!({ "identity": format!("c{who}") });
                alice.ask("POST", &format!("{name}/Participants"), body).await;
            }
            Act::TakeOut(who) => {
                alice.ask("DELETE", &format!("{name}/Participants/c{who}"), json!({})).await;
            }
            Act::Read(index) if joined => {
                let target = format!("/Client/v2/Users/bob/Conversations/{sid}");
                bob.post(&target, json!({ "last_read_message_index": index })).await;
            }
            Act::Mute(muted) if joined => {
                let level = if muted { "muted" } else { "default" };
                let target = format!("/Client/v2/Users/bob/Conversations/{sid}");
                bob.post(&target, json!({ "notification_level": level })).await;
            }
            Act::Read(_) | Act::Mute(_) => {}
            Act::Call(to) => {
                alice.post("/Client/v2/Users/alice", json!({ "friendly_name": to.to_string() })).await;
            }
            Act::Bob(there) => {
                if there && !joined {
                    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
                    for which in ["conversation", "messages", "participants"] {
                        bob.take(&object(&room, which)).await;
                    }
                } else if !there && joined {
                    alice.ask("DELETE", &format!("{name}/Participants/bob"), json!({})).await;
                    // What a client does when it hears that it is out.
                    for which in ["conversation", "messages", "participants"] {
                        bob.held.remove(&object(&room, which));
                    }
                }
                joined = there;
            }
            Act::Hear => {
                house.settle().await;
                bob.hear().await;
            }
            Act::Break => bob.come_again(&house, "bob").await,
        }
    }
    house.settle().await;
    bob.hear().await;
    bob.assert_whole().await;
    bob.come_again(&house, "bob").await;
    bob.hear().await;
    bob.assert_whole().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whoever_was_away_ends_with_what_is_there(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(acts));
    }
}
