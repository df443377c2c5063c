//! A walk through the REST API on a real relay over the in-memory engine: what a client library would see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use trunkline_adapter::{Address, Clock, Timestamp};

use super::*;
use crate::bindings::Bindings;
use crate::ledger::Ledger;
use crate::ledger::engine::Engine;
use crate::ledger::memory::Memory;
use crate::model::Mint;
use crate::relay::{OptOuts, Parts, Proxy};
use crate::work::Wakeups;

struct Nobody;

impl OptOuts for Nobody {
    fn add(&self, _: &str, _: &Address, _: &Address) {}

    fn remove(&self, _: &str, _: &Address, _: &Address) {}
}

pub(super) struct House {
    pub(super) relay: Arc<Relay>,
    pub(super) account: AccountSid,
    pub(super) engine: Arc<Memory>,
    _folder: tempfile::TempDir,
}

pub(super) fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::at(Timestamp::from_seconds(1_700_000_000));
    let memory = Arc::new(Memory::new(1_700_000_000_000_000));
    let engine: Arc<dyn Engine> = Arc::clone(&memory) as Arc<dyn Engine>;
    let bindings = Bindings::new(folder.path());
    bindings.start(&engine);
    let mint = Mint::seeded(5);
    let account = AccountSid::new(&mint);
    let relay = Relay::new(Parts {
        ledger: Ledger::new(engine),
        bindings: Arc::new(bindings),
        wakeups: Wakeups::default(),
        opt_outs: Arc::new(Nobody),
        mint,
        clock,
    });
    let proxies = ["+15550001111", "whatsapp:+15550002222"];
    let proxies = proxies.map(|text| {
        (Address::parse(text).unwrap(), Proxy { keywords: true, correlated: false, group_texts: false })
    });
    relay.proxies().replace(account.clone(), HashMap::from(proxies));
    House { relay: Arc::new(relay), account, engine: memory, _folder: folder }
}

impl House {
    /// Status, and the body or null.
    pub(super) async fn ask(&self, method: &str, target: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .unwrap();
        let route = Route::find(request.uri().path()).expect("a route");
        assert!(route.allows(request.method()), "{method} {target}");
        match answer(&self.relay, self.account.clone(), "https://b.example".into(), &route, &request).await {
            Ok(answer) => (answer.status.as_u16(), answer.body.unwrap_or_default()),
            Err(error) => (error.status().as_u16(), serde_json::json!({ "code": error.code() })),
        }
    }

    pub(super) async fn made(&self, target: &str, form: &[(&str, &str)]) -> Value {
        let (status, body) = self.ask("POST", target, form).await;
        assert_eq!(status, 201, "{target}: {body}");
        body
    }
}

pub(super) fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or_else(|| panic!("{key} of {record}"))
}

/// The path of an absolute URL of ours.
pub(super) fn path(url: &str) -> &str {
    url.strip_prefix("https://b.example").expect("our own URL")
}

#[tokio::test]
async fn a_pages_urls_keep_what_was_read_of_repeated_values() {
    let house = house();
    let made = house.made("/v1/Conversations", &[]).await;
    let list = format!("{}/Messages?Order=&Order=up", path(text(&made, "url")));
    let (status, page) = house.ask("GET", &list, &[]).await;
    assert_eq!(status, 200);
    assert_eq!(house.ask("GET", path(text(&page["meta"], "url")), &[]).await, (200, page.clone()));
}

#[tokio::test]
async fn a_conversation_from_birth_to_end() {
    let house = house();
    let made = house.made("/v1/Conversations", &[("UniqueName", "order 1"), ("FriendlyName", "Order")]).await;
    let own = path(text(&made, "url"));
    assert_eq!(house.ask("GET", own, &[]).await, (200, made.clone()));
    assert_eq!(house.ask("GET", "/v1/Conversations/order%201", &[]).await.1["sid"], made["sid"]);
    let taken = house.ask("POST", "/v1/Conversations", &[("UniqueName", "order 1")]).await;
    assert_eq!((taken.0, &taken.1["code"]), (409, &50353.into()));

    let phone =
        [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15550001111")];
    let phone = house.made(&format!("{own}/Participants"), &phone).await;
    assert_eq!(phone["messaging_binding"]["type"], "sms");
    house.made("/v1/Conversations/order%201/Participants", &[("Identity", "alice")]).await;
    let again = house.ask("POST", &format!("{own}/Participants"), &[("Identity", "alice")]).await;
    assert_eq!((again.0, &again.1["code"]), (409, &50433.into()));
    assert_eq!(house.ask("GET", &format!("{own}/Participants/alice"), &[]).await.1["identity"], "alice");

    let posted = house.made(&format!("{own}/Messages"), &[("Author", "alice"), ("Body", "hello")]).await;
    assert_eq!((&posted["index"], &posted["delivery"]["total"]), (&0.into(), &1.into()));
    let message = path(text(&posted, "url"));
    assert_eq!(house.ask("GET", message, &[]).await, (200, posted.clone()));
    let edited = house.ask("POST", message, &[("Body", "hello!")]).await;
    assert_eq!((edited.0, &edited.1["body"]), (200, &"hello!".into()));
    let receipts = house.ask("GET", path(text(&posted["links"], "delivery_receipts")), &[]).await.1;
    let receipt = &receipts["delivery_receipts"][0];
    assert_eq!(receipt["participant_sid"], phone["sid"]);
    assert_eq!(house.ask("GET", path(text(receipt, "url")), &[]).await, (200, receipt.clone()));

    assert_eq!(house.ask("POST", own, &[("State", "closed")]).await.1["state"], "closed");
    let late = house.ask("POST", &format!("{own}/Messages"), &[("Body", "late")]).await;
    assert_eq!((late.0, &late.1["code"]), (409, &50377.into()));
    assert_eq!(house.ask("DELETE", own, &[]).await, (204, Value::Null));
    let gone = house.ask("DELETE", own, &[]).await;
    assert_eq!((gone.0, &gone.1["code"]), (404, &20404.into()));
    assert_eq!(house.ask("GET", &format!("{own}/Messages"), &[]).await.1["code"], 50350);
}

#[tokio::test]
async fn a_pair_belongs_to_one_open_conversation() {
    let house = house();
    let pair =
        [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15550001111")];
    let first = house.made("/v1/Conversations", &[]).await;
    let second = house.made("/v1/Conversations", &[]).await;
    let add = |conversation: &Value| format!("{}/Participants", path(text(conversation, "url")));
    house.made(&add(&first), &pair).await;
    for (form, code) in [
        (pair, 50416),
        (
            [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15559999999")],
            50413,
        ),
        (
            [("MessagingBinding.Address", "+15550001111"), ("MessagingBinding.ProxyAddress", "+15550001111")],
            50409,
        ),
    ] {
        assert_eq!(house.ask("POST", &add(&second), &form).await.1["code"], code);
    }
    house.ask("POST", path(text(&first, "url")), &[("State", "closed")]).await;
    house.made(&add(&second), &pair).await;
}

#[tokio::test]
async fn lists_are_walked_by_their_urls_in_either_order() {
    let house = house();
    let made = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let root = path(text(&made["links"], "conversations"));
    let conversation = house.made(root, &[]).await;
    assert_eq!(conversation["chat_service_sid"], made["sid"]);
    let messages = path(text(&conversation["links"], "messages"));
    for number in 0..5 {
        let posted = house.made(messages, &[("Body", &number.to_string())]).await;
        assert_eq!(posted["chat_service_sid"], made["sid"], "the long form says which service");
    }
    for (order, expected) in [("asc", [0, 1, 2, 3, 4]), ("desc", [4, 3, 2, 1, 0])] {
        let mut target = format!("{messages}?PageSize=2&Order={order}");
        let mut seen = Vec::new();
        loop {
            let page = house.ask("GET", &target, &[]).await.1;
            seen.extend(
                page["messages"].as_array().unwrap().iter().map(|message| message["index"].as_u64().unwrap()),
            );
            match page["meta"]["next_page_url"].as_str() {
                Some(next) => target = path(next).to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order}");
    }
    assert_eq!(house.ask("GET", &format!("{messages}?PageToken=PTx"), &[]).await.0, 400);
    let services = house.ask("GET", "/v1/Services", &[]).await.1;
    assert_eq!(services["services"].as_array().unwrap().len(), 2, "the default one and ours");
    let configuration = house.ask("GET", "/v1/Configuration", &[]).await.1;
    assert_eq!(configuration["default_chat_service_sid"], services["services"][0]["sid"]);
    let default = format!("/v1/Services/{}", text(&services["services"][0], "sid"));
    assert_eq!(house.ask("DELETE", &default, &[]).await, (409, serde_json::json!({ "code": 20409 })));
    assert_eq!(house.ask("GET", "/v1/Conversations", &[]).await.1["conversations"], serde_json::json!([]));
}

#[tokio::test]
async fn conversations_are_filtered_and_newest_first() {
    let house = house();
    for (name, state, created) in [
        ("a", "active", "2020-01-01T00:00:00Z"),
        ("b", "inactive", "2020-01-02T12:00:00Z"),
        ("c", "active", "2020-01-03T00:00:00Z"),
    ] {
        house
            .made("/v1/Conversations", &[("FriendlyName", name), ("State", state), ("DateCreated", created)])
            .await;
    }
    for (query, expected) in [
        ("", "cba"),
        ("?State=Active", "ca"),
        ("?StartDate=2020-01-02", "cb"),
        ("?EndDate=2020-01-02", "ba"),
        ("?StartDate=2020-01-02T12:00:00Z&EndDate=2020-01-02T12:00:00Z", "b"),
        ("?uniqueName=nothing", "cba"),
    ] {
        let page = house.ask("GET", &format!("/v1/Conversations{query}"), &[]).await.1;
        let names: String = page["conversations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| text(found, "friendly_name"))
            .collect();
        assert_eq!(names, expected, "{query}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let house = house();
    let conversation = house.made("/v1/Conversations", &[]).await;
    let own = path(text(&conversation, "url"));
    house.engine.set_full(true);
    let refused = house.ask("POST", &format!("{own}/Messages"), &[("Body", "x")]).await;
    assert_eq!((refused.0, &refused.1["code"]), (503, &20503.into()));
    assert_eq!(house.ask("GET", own, &[]).await.0, 200, "reading goes on");
    house.engine.set_full(false);
    assert_eq!(house.made(&format!("{own}/Messages"), &[("Body", "x")]).await["index"], 0);
}

#[tokio::test]
async fn a_content_sid_stands_for_its_template() {
    let house = house();
    let sid = format!("HX{}", "1".repeat(32));
    let template = crate::relay::Template {
        body: "Hi {{1}}, order {{2}}.".to_owned(),
        whatsapp: Some(("order".to_owned(), "en".to_owned())),
    };
    house.relay.templates().replace(HashMap::from([(sid.clone(), template)]));
    let conversation = house.made("/v1/Conversations", &[]).await;
    let messages = format!("{}/Messages", path(text(&conversation, "url")));
    let fields = [
        ("ContentSid", sid.as_str()),
        ("ContentVariables", r#"{"1":"Ann","2":"A-17"}"#),
        ("Body", "ignored"),
        ("MediaSid", "ignored"),
    ];
    let posted = house.made(&messages, &fields).await;
    assert_eq!(
        (&posted["body"], &posted["content_sid"]),
        (&"Hi Ann, order A-17.".into(), &sid.clone().into())
    );
    let own = path(text(&posted, "url"));
    assert_eq!(house.ask("GET", own, &[]).await.1, posted, "as the store has it");
    let edited = house.ask("POST", own, &[("Body", "edited")]).await.1;
    assert_eq!((&edited["body"], &edited["content_sid"]), (&"edited".into(), &sid.clone().into()));
    let other = format!("HX{}", "2".repeat(32));
    for (fields, code) in [
        (vec![("ContentSid", other.as_str())], 50526),
        (vec![("ContentSid", "HX1")], 50526),
        (vec![("ContentSid", sid.as_str()), ("ContentVariables", "{}")], 20001),
        (vec![("ContentSid", sid.as_str()), ("ContentVariables", "x")], 50527),
        (vec![("Body", "b"), ("ContentVariables", "{}")], 50528),
    ] {
        let refused = house.ask("POST", &messages, &fields).await;
        assert_eq!((refused.0, &refused.1["code"]), (400, &code.into()), "{fields:?}");
    }
}

#[tokio::test]
async fn bindings_move_between_our_addresses_and_group_texts_are_refused_with_their_codes() {
    let house = house();
    let conversation = house.made("/v1/Conversations", &[]).await;
    let participants = format!("{}/Participants", path(text(&conversation, "url")));
    let pair = [
        ("MessagingBinding.Address", "whatsapp:+15557654321"),
        ("MessagingBinding.ProxyAddress", "whatsapp:+15550002222"),
    ];
    let phone = house.made(&participants, &pair).await;
    let chat = house.made(&participants, &[("Identity", "ann")]).await;
    let (phone, chat) = (path(text(&phone, "url")).to_owned(), path(text(&chat, "url")).to_owned());
    let (proxy, projected) = ("MessagingBinding.ProxyAddress", "MessagingBinding.ProjectedAddress");
    for (target, field, value, code) in [
        (&phone, proxy, "whatsapp:+15550009999", 50413),
        (&phone, proxy, "+15550001111", 50414),
        (&phone, proxy, "whatsapp:+15557654321", 50409),
        (&phone, proxy, "nonsense:1", 50408),
        (&phone, proxy, "null", 50452),
        (&phone, projected, "+15550001111", 50443),
        (&phone, projected, "null", 50442),
        (&chat, proxy, "+15550001111", 50441),
        (&chat, proxy, "null", 50440),
        (&chat, projected, "+15550001111", 50452),
        (&chat, projected, "+15559999999", 50439),
        (&chat, "Identity", "bob", 50444),
        (&participants, projected, "+15550001111", 50452),
        (&participants, projected, "+15559999999", 50439),
    ] {
        let refused = house.ask("POST", target, &[(field, value)]).await;
        assert_eq!(refused.1["code"], code, "{target} {field}={value}");
    }
    let same = house.ask("POST", &phone, &[(proxy, "whatsapp:+15550002222"), ("Attributes", "[1]")]).await;
    assert_eq!((same.0, &same.1["attributes"]), (200, &"[1]".into()));
}
