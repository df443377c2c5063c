//! Roles, users and what accounts and services set, over sudden ends: what was answered is there again, what was removed
//! goes on going.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::{SMS, World};

/// The body without URLs: the daemon may listen elsewhere after a start.
fn plain(mut body: Value) -> Value {
    match &mut body {
        Value::Object(members) => {
            members.retain(|name, _| name != "url" && name != "links" && name != "meta");
            members.values_mut().for_each(|value| *value = plain(value.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| *value = plain(value.take())),
        _ => {}
    }
    body
}

async fn read(client: &Client, paths: &[String]) -> Vec<Value> {
    let mut all = Vec::new();
    for path in paths {
        all.push(plain(client.get(path).await.expect(200)));
    }
    all
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_else(|| panic!("{key} of {body}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_may_and_have_read_is_there_after_a_sudden_end() {
    let mut world = World::start().await;
    let client = &world.client;
    let service = client.post("/v1/Services", &[("FriendlyName", "Shop")]).await.expect(201);
    let root = format!("/v1/Services/{}", text(&service, "sid"));
    let role = [("FriendlyName", "guest"), ("Type", "service"), ("Permission", "joinConversation")];
    let role = client.post(&format!("{root}/Roles"), &role).await.expect(201);
    let change = [("DefaultChatServiceRoleSid", text(&role, "sid")), ("ReachabilityEnabled", "true")];
    client.post(&format!("{root}/Configuration"), &change).await.expect(200);
    let pushes = [("NewMessage.Enabled", "true"), ("NewMessage.Template", "${MESSAGE}")];
    client.post(&format!("{root}/Configuration/Notifications"), &pushes).await.expect(200);
    let defaults = [("DefaultClosedTimer", "PT1H"), ("DefaultInactiveTimer", "PT1M")];
    client.post("/v1/Configuration", &defaults).await.expect(200);
    client.post("/v1/Credentials", &[("Type", "fcm"), ("Secret", "hush")]).await.expect(201);
    let talk = client.post(&format!("{root}/Conversations"), &[]).await.expect(201);
    let own = format!("{root}/Conversations/{}", text(&talk, "sid"));
    client.post(&format!("{own}/Participants"), &[("Identity", "ana")]).await.expect(201);
    let pair = [("MessagingBinding.Address", "+15557770001"), ("MessagingBinding.ProxyAddress", SMS)];
    client.post(&format!("{own}/Participants"), &pair).await.expect(201);
    for _ in 0..3 {
        client.post(&format!("{own}/Messages"), &[("Body", "x"), ("Author", "ana")]).await.expect(201);
    }
    world.sink.taken(3).await;
    let member = format!("{root}/Users/ana/Conversations/{}", text(&talk, "sid"));
    let read_so_far = [("LastReadMessageIndex", "0"), ("NotificationLevel", "muted")];
    let shown = client.post(&member, &read_so_far).await.expect(200);
    assert_eq!(shown["unread_messages_count"], 2);
    let user = client.post(&format!("{root}/Users/ana"), &[("FriendlyName", "Ana")]).await.expect(200);
    assert_eq!(user["role_sid"], role["sid"], "the service's default at that time");

    let paths = [
        format!("{root}/Roles"),
        format!("{root}/Configuration"),
        format!("{root}/Configuration/Notifications"),
        "/v1/Configuration".to_owned(),
        "/v1/Credentials".to_owned(),
        format!("{root}/Users"),
        format!("{root}/Users/ana"),
        format!("{root}/Users/ana/Conversations"),
        member,
        format!("{root}/ParticipantConversations?Identity=ana"),
        format!("{root}/ParticipantConversations?Address=%2B15557770001"),
    ];
    let before = read(&world.client, &paths).await;
    world.crash().await;
    assert_eq!(read(&world.client, &paths).await, before);
    let dump = world.daemon.dump_text();
    assert_eq!(dump.matches("\"Credential\"").count(), 1);
    world.daemon.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_user_leaves_every_conversation_whatever_happens_meanwhile() {
    let mut world = World::start().await;
    let mut rooms = Vec::new();
    for _ in 0..120 {
        let room = world.client.post("/v1/Conversations", &[]).await.expect(201);
        let people = format!("/v1/Conversations/{}/Participants", text(&room, "sid"));
        for identity in ["ana", "bo"] {
            world.client.post(&people, &[("Identity", identity)]).await.expect(201);
        }
        rooms.push(people);
    }
    world.client.delete("/v1/Users/ana").await.expect(204);
    assert_eq!(world.client.get("/v1/Users/ana").await.expect(404)["code"], 20404);
    world.crash().await;
    // Whoever comes under the same name later is somebody else.
    let late = world.client.post("/v1/Conversations", &[]).await.expect(201);
    let late = format!("/v1/Conversations/{}/Participants", text(&late, "sid"));
    world.client.post(&late, &[("Identity", "ana")]).await.expect(201);
    world.crash().await;
    let client = &world.client;
    let queue = || async {
        let left = client.list("/v1/ParticipantConversations?Identity=ana", "conversations").await;
        (left.len() == 1).then_some(left)
    };
    let left = world.daemon.eventually("one conversation left", queue).await;
    assert_eq!(late, format!("/v1/Conversations/{}/Participants", text(&left[0], "conversation_sid")));
    for room in rooms.iter().chain([&late]) {
        let people = world.client.list(room, "participants").await;
        let people: BTreeSet<&str> = people.iter().map(|person| text(person, "identity")).collect();
        assert_eq!(people, BTreeSet::from([if *room == late { "ana" } else { "bo" }]));
    }
    world.daemon.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_comes_with_its_participants_or_not_at_all() {
    let mut world = World::start().await;
    let client = &world.client;
    let service = client.post("/v1/Services", &[("FriendlyName", "Shop")]).await.expect(201);
    let within = format!("/v1/Services/{}", text(&service, "sid"));
    let held = client.conversation(&[("+15557770001", SMS)]).await;
    let bound = |address: &str| {
        serde_json::json!({ "messaging_binding": { "address": address, "proxy_address": SMS } }).to_string()
    };
    let (taken, free) = (bound("+15557770001"), bound("+15557770002"));
    let (ana, role) =
        (r#"{"identity": "ana", "attributes": "{\"a\": 1}"}"#, "RL00000000000000000000000000000001");
    let unknown_role = format!(r#"{{"identity": "bo", "role_sid": "{role}"}}"#);
    let refused = [
        (taken.as_str(), 409, 50416),
        (r#"{"messaging_binding": {"address": "hologram", "proxy_address": "+15550001111"}}"#, 400, 50407),
        (r#"{"identity": "ana"}"#, 409, 50433),
        (free.as_str(), 409, 50433),
        (unknown_role.as_str(), 404, 50109),
        (r#"{"identity": "bo", "colour": "red"}"#, 400, 20001),
        (r#"{"identity": "bo""#, 400, 20001),
    ];
    for root in ["/v1", within.as_str()] {
        let path = format!("{root}/ConversationWithParticipants");
        // Lets the service have its settings, which are no part of what follows.
        client.get(&format!("{root}/Roles")).await.expect(200);
        let before = world.daemon.dump();
        for (bad, status, code) in refused {
            let fields = [
                ("UniqueName", "order"),
                ("Participant", ana),
                ("Participant", free.as_str()),
                ("Participant", bad),
            ];
            let answer = client.post(&path, &fields).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{bad}: {}", answer.text);
            if code == 50416 {
                assert!(text(&answer.json, "message").ends_with(&held.sid), "{}", answer.text);
            }
        }
        let answer = client.post(&path, &[("Participant", ana); 11]).await;
        assert_eq!((answer.status, answer.code()), (400, 50426));
        assert_eq!(world.daemon.dump(), before, "nothing came of any of them");
    }

    let path = format!("{within}/ConversationWithParticipants");
    let fields = [("UniqueName", "order"), ("Participant", ana), ("Participant", free.as_str())];
    let made = client.post(&path, &fields).await.expect(201);
    assert_eq!((text(&made, "state"), &made["links"]["export"]), ("active", &Value::Null));
    world.crash().await;
    let client = &world.client;
    let own = format!("{within}/Conversations/order");
    assert_eq!(client.get(&own).await.expect(200)["sid"], made["sid"]);
    let people = client.list(&format!("{own}/Participants"), "participants").await;
    let names: Vec<_> = people
        .iter()
        .map(|person| person["identity"].as_str().or(person["messaging_binding"]["address"].as_str()))
        .collect();
    assert_eq!(names, [Some("ana"), Some("+15557770002")]);
    assert_eq!(people[0]["attributes"], "{\"a\": 1}");
    assert_eq!(client.get(&format!("{within}/Users/ana")).await.expect(200)["identity"], "ana");
    client.post(&format!("{own}/Messages"), &[("Body", "hello"), ("Author", "ana")]).await.expect(201);
    world.sink.taken(1).await;
    world.daemon.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_account_is_cleaned_up_like_the_first() {
    let second = "AC00000000000000000000000000000002";
    let rest = format!("[[account]]\nsid = \"{second}\"\nauth_token = \"the-second-auth-token\"\n");
    let world = World::start_with(|config| config.rest = rest).await;
    let (user, password) = (second.to_owned(), "the-second-auth-token".to_owned());
    let other = Client { user, password, ..world.client.clone() };
    for client in [&world.client, &other] {
        let talk = client.post("/v1/Conversations", &[]).await.expect(201);
        let own = format!("/v1/Conversations/{}", text(&talk, "sid"));
        client.post(&format!("{own}/Participants"), &[("Identity", "ana")]).await.expect(201);
        client.post(&format!("{own}/Messages"), &[("Body", "x"), ("Author", "ana")]).await.expect(201);
        client.call(Method::DELETE, &own, &[]).await.expect(204);
        let gone = || async {
            let rows = world.daemon.dump();
            rows.iter().all(|row| row.partition != text(&talk, "sid")).then_some(())
        };
        world.daemon.eventually("the end of the clean-up", gone).await;
    }
}
