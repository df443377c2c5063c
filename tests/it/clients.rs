//! What people at clients of the SDK do, as event webhooks hear of it and as pre-action webhooks may change or refuse it;
//! and what the REST API does, as clients see it.

use serde_json::{Value, json};

use crate::harness::guest::{self, Guest};
use crate::harness::hooks::{Call, Receiver, Reply};
use crate::harness::{SMS, World};
use crate::webhooks::{ALL, listen};

const ANN: &str = "+15557770001";

async fn world() -> World {
    World::start_with(|config| {
        config.rest = "[egress]\nallow_private = [\"127.0.0.0/8\"]\n".to_owned();
        guest::welcome(config);
    })
    .await
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}"))
}

/// A conversation that somebody made at a client and is in, with Ann on her phone.
async fn room(world: &World, guest: &mut Guest, identity: &str) -> Value {
    let made = guest.ask("POST", "/Client/v2/Conversations", &json!({ "friendly_name": "Room" })).await;
    let people = format!("/Client/v2/Conversations/{}/Participants", text(&made, "sid"));
    guest.ask("POST", &people, &json!({ "identity": identity })).await;
    world.client.join(text(&made, "sid"), (ANN, SMS)).await.expect(201);
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_does_is_told_with_who_did_it() {
    let world = world().await;
    let receiver = Receiver::start().await;
    listen(&world, "/v1/Configuration/Webhooks", "", &receiver.url("/post"), &ALL).await;
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let settings = format!("/v1/Services/{}/Configuration", text(&service, "default_chat_service_sid"));
    world.client.post(&settings, &[("ReachabilityEnabled", "true")]).await.expect(200);

    let mut dana = Guest::enter(&world, "dana").await;
    let made = room(&world, &mut dana, "dana").await;
    let own = format!("/Client/v2/Conversations/{}", text(&made, "sid"));
    dana.ask("POST", &own, &json!({ "friendly_name": "Den" })).await;
    dana.ask("POST", &format!("{own}/Participants"), &json!({ "identity": "eve" })).await;
    let said = dana.ask("POST", &format!("{own}/Messages"), &json!({ "body": "Grüße" })).await;
    let message = format!("{own}/Messages/{}", text(&said, "sid"));
    dana.ask("POST", &message, &json!({ "body": "edited" })).await;
    dana.ask("POST", "/Client/v2/Users/dana", &json!({ "friendly_name": "Dana" })).await;
    dana.ask("DELETE", &message, &json!({})).await;
    dana.ask("DELETE", &format!("{own}/Participants/eve"), &json!({})).await;
    dana.ask("DELETE", &own, &json!({})).await;

    let calls = receiver
        .until("the end", |calls| {
            let told = |event: &str| calls.iter().any(|call| call.event() == event);
            told("onConversationRemoved") && told("onUserUpdated")
        })
        .await;
    let by_sdk: Vec<&Call> = calls.iter().filter(|call| call.get("Source") == Some("SDK")).collect();
    for call in &by_sdk {
        assert_eq!(call.get("ClientIdentity"), Some("dana"), "{call:?}");
    }
    let told = |event: &str| {
        let found = by_sdk.iter().find(|call| call.event() == event);
        found.unwrap_or_else(|| panic!("no {event} by the SDK in {calls:#?}"))
    };
    assert_eq!(told("onUserAdded").text("Identity"), "dana");
    assert_eq!(told("onConversationAdded").text("FriendlyName"), "Room");
    assert_eq!(told("onConversationUpdated").text("FriendlyName"), "Den");
    assert_eq!(told("onParticipantAdded").text("Identity"), "dana");
    assert_eq!(
        (told("onMessageAdded").text("Author"), told("onMessageAdded").text("Body")),
        ("dana", "Grüße")
    );
    assert_eq!(told("onMessageUpdated").text("Body"), "edited");
    assert_eq!(told("onMessageRemoved").text("MessageSid"), text(&said, "sid"));
    assert_eq!(told("onParticipantRemoved").text("Identity"), "eve");
    assert_eq!(told("onConversationRemoved").text("ConversationSid"), text(&made, "sid"));
    let user = told("onUserUpdated");
    assert_eq!(
        (user.text("FriendlyName"), user.text("isOnline"), user.text("isNotifiable")),
        ("Dana", "true", "false")
    );
    // Ann was added over REST without a word to webhooks.
    assert!(calls.iter().all(|call| call.get("MessagingBinding.Address").is_none()), "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_may_change_or_refuse_what_a_client_wants() {
    let world = world().await;
    let receiver = Receiver::start().await;
    let wanted = ["onMessageAdd", "onMessageUpdate", "onParticipantAdd", "onConversationAdd"];
    let mut dana = Guest::enter(&world, "dana").await;
    let made = room(&world, &mut dana, "dana").await;
    let own = format!("/Client/v2/Conversations/{}", text(&made, "sid"));
    listen(&world, "/v1/Configuration/Webhooks", &receiver.url("/pre"), "", &wanted).await;
    receiver.script(|call| match call.event() {
        "onMessageAdd" if call.text("Body") == "forbidden" => Reply::Answer(403, String::new()),
        "onMessageAdd" => {
            let changed = json!({ "body": "changed", "attributes": "{\"checked\":true}" });
            Reply::Typed(200, "application/json", changed.to_string())
        }
        "onConversationAdd" => {
            Reply::Typed(200, "application/json", json!({ "friendly_name": "Renamed" }).to_string())
        }
        _ => Reply::Answer(403, String::new()),
    });

    let said = dana.ask("POST", &format!("{own}/Messages"), &json!({ "body": "as written" })).await;
    assert_eq!(
        (text(&said, "body"), text(&said, "attributes"), text(&said, "author")),
        ("changed", "{\"checked\":true}", "dana")
    );
    assert_eq!(world.sink.taken(1).await[0].text(), "changed", "and that is what Ann gets");
    let (status, refusal) =
        dana.call("POST", &format!("{own}/Messages"), &json!({ "body": "forbidden" })).await;
    assert_eq!((status, refusal["code"].as_u64()), (403, Some(50056)), "{refusal}");
    let message = format!("{own}/Messages/{}", text(&said, "sid"));
    assert_eq!(dana.call("POST", &message, &json!({ "body": "edited" })).await.0, status);
    assert_eq!(
        dana.call("POST", &format!("{own}/Participants"), &json!({ "identity": "eve" })).await.0,
        status
    );
    let other = dana.ask("POST", "/Client/v2/Conversations", &json!({ "friendly_name": "Other" })).await;
    assert_eq!(text(&other, "friendly_name"), "Renamed");

    let calls = receiver.calls();
    let asked = |call: &Call| (call.text("Source").to_owned(), call.text("ClientIdentity").to_owned());
    assert_eq!(calls.len(), 5, "{calls:#?}");
    assert!(calls.iter().all(|call| asked(call) == ("SDK".to_owned(), "dana".to_owned())), "{calls:#?}");
    let messages = world.client.messages(text(&made, "sid")).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0]["body"], "changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_see_what_a_message_is_about_and_who_changed_it() {
    let mut world = world().await;
    let mut dana = Guest::enter(&world, "dana").await;
    let made = room(&world, &mut dana, "dana").await;
    let (sid, list) = (text(&made, "sid").to_owned(), text(&made["sync_objects"], "messages").to_owned());
    let own = format!("/Client/v2/Conversations/{sid}");
    dana.watch("list", &list).await;
    let new = json!({ "body": "Where is it?", "subject": "Order 17" });
    let said = dana.ask("POST", &format!("{own}/Messages"), &new).await;
    // Receipts of what Ann gets are told under the same index, so it may come more than once.
    let told = async |dana: &mut Guest, seen: [Value; 3]| {
        dana.hear("twilio.sync.event", |told| {
            let data = &told["event"]["item_data"];
            ["text", "subject", "lastUpdatedBy"].iter().zip(&seen).all(|(name, value)| &data[*name] == value)
                && data["author"] == "dana"
        })
        .await;
    };
    let seen = |text: &str, subject: Value, by: &str| [json!(text), subject, json!(by)];
    told(&mut dana, seen("Where is it?", json!("Order 17"), "dana")).await;

    // Somebody else edits it, then its author again; what it is about stays.
    let path = format!("/v1/Conversations/{sid}/Messages/{}", text(&said, "sid"));
    world.client.post(&path, &[("Body", "by REST")]).await.expect(200);
    told(&mut dana, seen("by REST", json!("Order 17"), "system")).await;
    dana.ask("POST", &format!("{own}/Messages/{}", text(&said, "sid")), &json!({ "body": "by Dana" })).await;
    told(&mut dana, seen("by Dana", json!("Order 17"), "dana")).await;
    world.client.post(&path, &[("Subject", "")]).await.expect(200);
    told(&mut dana, seen("by Dana", Value::Null, "system")).await;
    let long = "x".repeat(257);
    assert_eq!(world.client.post(&path, &[("Subject", &long)]).await.status, 400);

    // It is all on disk.
    world.crash().await;
    let mut dana = Guest::enter(&world, "dana").await;
    let items = dana.ask("GET", &format!("/v3/Lists/{list}/Items"), &Value::Null).await;
    let data = &items["items"][0]["data"];
    assert_eq!((&data["lastUpdatedBy"], &data["subject"]), (&json!("system"), &Value::Null), "{items}");
}
