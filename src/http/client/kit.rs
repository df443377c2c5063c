//! A daemon's clients without their sockets: a house on an engine, and clients that behave as the SDK's do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_adapter::{
    Address, Call, Caller, Clock, DeliveryStatus, Host, Member, Notice, Timestamp, Visit,
};

use super::Clients;
use crate::bindings::Bindings;
use crate::ledger::engine::{Batch, Engine, MAX_WRITES};
use crate::ledger::memory::Memory;
use crate::ledger::store::Restoration;
use crate::ledger::{Ledger, tables};
use crate::model::{AccountSid, Compact, Mint, ReceiptRecord};
use crate::relay::{OptOuts, Parts, Proxy, Relay};
use crate::sync::{Hub, Tap};
use crate::work::Wakeups;

struct Nobody;

impl OptOuts for Nobody {
    fn add(&self, _: &str, _: &Address, _: &Address) {}

    fn remove(&self, _: &str, _: &Address, _: &Address) {}
}

pub(super) struct House {
    clients: Clients,
    pub(super) relay: Arc<Relay>,
    pub(super) ledger: Ledger,
    pub(super) account: AccountSid,
    pub(super) service: String,
    _hub: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

pub(super) async fn house() -> House {
    let tap = Tap::default();
    let memory = Memory::followed(1_700_000_000_000_000, vec![tap.follower()]);
    furnish(Arc::new(memory), &tap, Restoration::default()).await
}

pub(super) async fn furnish(engine: Arc<dyn Engine>, tap: &Tap, restoration: Restoration) -> House {
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
    let proxy = Proxy { keywords: true, correlated: false, group_texts: false };
    relay.proxies().replace(account.clone(), HashMap::from([(ours, proxy)]));
    let service = relay.default_service(&account).await.unwrap().sid.as_str().to_owned();
    let hub = Arc::new(Hub::new(tap, ledger.clone()));
    hub.restored(restoration);
    let running = tokio::spawn(Arc::clone(&hub).run());
    let clients = Clients::new(Arc::clone(&relay), hub, clock);
    House { clients, relay, ledger, account, service, _hub: running, _folder: folder }
}

impl House {
    pub(super) async fn come(&self, identity: &str) -> Client {
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
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Uses up more numbers than a decision can have.
    pub(super) async fn pass(&self) {
        for _ in 0..2 {
            let mut batch = Batch::default();
            for at in 0..MAX_WRITES {
                batch.put(tables::credential(self.account.as_str(), &format!("pass{at}")), Bytes::new());
            }
            self.ledger.commit(batch).await.unwrap();
        }
    }

    /// Gives everybody every permission.
    pub(super) async fn permit_all(&self) {
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
pub(super) struct Client {
    pub(super) member: Option<Arc<dyn Member>>,
    pub(super) held: BTreeMap<String, Held>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    pub(super) kind: String,
    pub(super) last: u64,
    pub(super) items: BTreeMap<String, (u64, Value)>,
}

impl Client {
    pub(super) async fn ask(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
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

    pub(super) async fn get(&self, target: &str) -> Value {
        let (status, body) = self.ask("GET", target, Value::Null).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    pub(super) async fn post(&self, target: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", target, body.clone()).await;
        assert!((200..300).contains(&status), "{target} {body}: {answer}");
        answer
    }

    pub(super) async fn refused(&self, method: &str, target: &str, body: Value) -> (u16, u64) {
        let (status, answer) = self.ask(method, target, body).await;
        assert_eq!(answer["status"], status, "{target}: {answer}");
        (status, answer["code"].as_u64().unwrap_or_else(|| panic!("{method} {target}: {answer}")))
    }

    /// Every item of a list or map, page by page.
    pub(super) async fn items(&self, plural: &str, name: &str) -> BTreeMap<String, (u64, Value)> {
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
    pub(super) async fn take(&mut self, name: &str) {
        let held = self.read(name).await.unwrap_or_else(|| panic!("{name} is not there"));
        let kind = held.kind.clone();
        let last = held.last;
        self.held.insert(name.to_owned(), held);
        self.subscribe(&[(name, &kind, Some(last))]).await;
    }

    pub(super) async fn read(&self, name: &str) -> Option<Held> {
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

    pub(super) async fn subscribe(&self, wishes: &[(&str, &str, Option<u64>)]) {
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
    pub(super) async fn hear(&mut self) -> Vec<String> {
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
                assert!(what == "item_added" || known.is_some(), "{told}");
                held.items.insert(key, (id, event["item_data"].clone()));
            }
            other => panic!("{other}"),
        }
        kind.to_owned()
    }

    /// The socket is gone; the client comes again and asks for everything from where it was.
    pub(super) async fn come_again(&mut self, house: &House, identity: &str) {
        self.member = None;
        self.member = house.come(identity).await.member;
        self.resume().await;
    }

    pub(super) async fn resume(&mut self) {
        let wishes: Vec<_> = self
            .held
            .iter()
            .map(|(name, held)| (name.as_str(), held.kind.as_str(), Some(held.last)))
            .collect();
        self.subscribe(&wishes).await;
    }

    /// Everything held is what a fresh read finds.
    pub(super) async fn assert_whole(&self) {
        for (name, held) in &self.held {
            let fresh = self.read(name).await.unwrap_or_else(|| panic!("{name} is gone"));
            let data = |held: &Held| -> BTreeMap<String, Value> {
                held.items.iter().map(|(key, (_, data))| (key.clone(), data.clone())).collect()
            };
            assert_eq!(data(held), data(&fresh), "{name}");
        }
    }

    /// A conversation of the client's own, joined.
    pub(super) async fn conversation(&self, unique: &str) -> Value {
        let made = self.post("/Client/v2/Conversations", json!({ "unique_name": unique })).await;
        assert_eq!(made["status"], "notParticipating", "whoever makes it is not in it");
        let own = path(&made["url"]);
        let identity = self.get("/Client/v2/Configuration").await["identity"].clone();
        self.post(&format!("{own}/Participants"), json!({ "identity": identity })).await;
        self.get(&own).await
    }
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

pub(super) fn path(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix("https://b.example").expect("our own URL").to_owned()
}

pub(super) fn object(conversation: &Value, which: &str) -> String {
    conversation["sync_objects"][which].as_str().unwrap().to_owned()
}

/// Says of the first delivery of a message that it went this far.
pub(super) async fn move_receipt(house: &House, room: &Value, index: u64, status: DeliveryStatus) {
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
