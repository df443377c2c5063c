//! Roles, users and what accounts and services set, over sudden ends: what was answered is there again, what was removed
//! goes on going.

use std::collections::BTreeSet;

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
