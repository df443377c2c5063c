//! Clients on the memory engine: what they may do, and what they are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_adapter::{Call, DeliveryStatus};

use super::kit::{Client, Held, house, move_receipt, number, object, path};

/// Every idle session waits in it, and there may be a hundred thousand.
#[tokio::test]
async fn waiting_for_news_takes_little() {
    let house = house().await;
    let client = house.come("ada").await;
    let size = size_of_val(&*client.member.as_ref().unwrap().next());
    assert!(size <= 256, "{size} bytes");
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

#[tokio::test(start_paused = true)]
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
    // A network that went away is no news for a minute, and none at all to whoever comes back meanwhile.
    drop(bob);
    tokio::time::sleep(std::time::Duration::from_secs(59)).await;
    let bob = house.come("bob").await;
    tokio::time::sleep(std::time::Duration::from_secs(59)).await;
    assert_eq!(alice.hear().await, Vec::<String>::new());
    drop(bob);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    house.settle().await;
    assert_eq!(alice.hear().await, ["map_item_updated"]);
    assert_eq!(online(&alice), false);
    // A goodbye is believed.
    let bob = house.come("bob").await;
    house.settle().await;
    alice.hear().await;
    assert_eq!(online(&alice), true);
    bob.member.as_ref().unwrap().goodbye();
    drop(bob);
    house.settle().await;
    assert_eq!(alice.hear().await, ["map_item_updated"]);
    assert_eq!(online(&alice), false);
    let _bob = house.come("bob").await;
    house.settle().await;
    alice.hear().await;
    assert_eq!(online(&alice), true);
}
