//! Timers over the daemon's ends and its clock's jumps: what is due is done, at the start if it was due before, and
//! before anything else happens to the conversation.

use serde_json::Value;
use trunkline_adapter::Timestamp;

use crate::harness::hooks::{Call, Receiver};
use crate::harness::{SMS, World};

const ANN: &str = "+15557770001";
const AHEAD: &str = "TRUNKLINE_TEST_CLOCK_AHEAD";

/// The daemon's next life, with its clock so many seconds ahead of ours.
async fn jump(world: &mut World, ahead: u64) {
    world.daemon.env.insert(AHEAD.to_owned(), ahead.to_string());
    world.crash().await;
}

async fn made(world: &World, fields: &[(&str, &str)]) -> String {
    let made = world.client.post("/v1/Conversations", fields).await.expect(201);
    format!("/v1/Conversations/{}", made["sid"].as_str().unwrap())
}

async fn shown(world: &World, path: &str) -> Value {
    world.client.get(path).await.expect(200)
}

fn instant(body: &Value, key: &str) -> Timestamp {
    Timestamp::parse(body[key].as_str().unwrap_or_else(|| panic!("no {key}: {body}"))).unwrap()
}

async fn becomes(world: &World, path: &str, state: &str) -> Value {
    let ask = || async {
        let shown = shown(world, path).await;
        (shown["state"] == state).then_some(shown)
    };
    world.daemon.eventually(&format!("{path} {state}"), ask).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fell_due_while_the_daemon_was_down_or_its_clock_jumped() {
    let mut world = World::start().await;
    jump(&mut world, 3_600).await;
    let timers = [("State", "active"), ("Timers.Inactive", "PT30M"), ("Timers.Closed", "PT2H")];
    let both = made(&world, &timers).await;
    let closing = made(&world, &[("State", "inactive"), ("Timers.Closed", "PT30M")]).await;
    let never = made(&world, &[("State", "active"), ("Timers.Closed", "PT0S")]).await;
    let person = [("MessagingBinding.Address", ANN), ("MessagingBinding.ProxyAddress", SMS)];
    let bound = made(&world, &[("State", "active"), ("Timers.Closed", "PT30M")]).await;
    world.client.post(&format!("{bound}/Participants"), &person).await.expect(201);
    let before = shown(&world, &both).await;
    let base = instant(&before, "date_updated");
    let left = &before["timers"];
    assert_eq!(instant(left, "date_inactive").since(base).as_secs(), 1_800);
    assert_eq!(instant(left, "date_closed").since(base).as_secs(), 7_200);
    assert_eq!(shown(&world, &never).await["timers"], serde_json::json!({}));

    // The clock jumps an hour back: nothing is due, and what was promised is.
    jump(&mut world, 0).await;
    for path in [&both, &never] {
        assert_eq!(shown(&world, path).await["state"], "active");
    }
    assert_eq!(shown(&world, &both).await["timers"], before["timers"]);

    // An hour ahead of where they were made: the first ends came while nobody was there.
    jump(&mut world, 7_200).await;
    // Whoever is faster, a message after the end finds the conversation closed.
    let id = world.message_id(&world.sms(ANN));
    assert_eq!(world.webhook(world.sms(ANN).text(&id, "too late")).await.status, 200);
    assert_eq!(shown(&world, &bound).await["state"], "closed");
    assert!(world.client.list(&format!("{bound}/Messages"), "messages").await.is_empty());
    let idle = becomes(&world, &both, "inactive").await;
    assert_eq!(idle["timers"]["date_inactive"], Value::Null);
    assert_eq!(idle["timers"]["date_closed"], before["timers"]["date_closed"], "they are not chained");
    assert!(instant(&idle, "date_updated").since(base).as_secs() >= 3_600, "and it is told when it changed");
    let closed = becomes(&world, &closing, "closed").await;
    assert_eq!(closed["timers"], serde_json::json!({}));
    let refused = world.client.post(&closing, &[("State", "active")]).await;
    assert_eq!((refused.status, refused.code()), (409, 50377));

    // A message wakes the idle one and begins both again.
    world.client.post(&format!("{both}/Messages"), &[("Body", "x")]).await.expect(201);
    let awake = shown(&world, &both).await;
    assert_eq!(awake["state"], "active");
    assert!(instant(&awake["timers"], "date_inactive").since(base).as_secs() >= 3_600 + 1_800);
    // Far enough that both are over: it is closed and was never idle again.
    jump(&mut world, 7_200 + 10_800).await;
    becomes(&world, &both, "closed").await;
    assert_eq!(shown(&world, &never).await["state"], "active");
    let dump = world.daemon.dump_text();
    assert!(!dump.contains("\"Timer\""), "no record is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defaults_of_the_account_and_what_is_refused() {
    let mut world = World::start().await;
    let before = made(&world, &[]).await;
    let defaults = [("DefaultInactiveTimer", "PT5M"), ("DefaultClosedTimer", "PT1H")];
    world.client.post("/v1/Configuration", &defaults).await.expect(200);
    for (field, value, code) in [
        ("Timers.Inactive", "PT59S", 50375),
        ("Timers.Closed", "PT599S", 50376),
        ("Timers.Inactive", "5 minutes", 50379),
        ("Timers.Closed", "P1M", 50380),
        ("Timers.Inactive", "PT5M", 50382),
    ] {
        let state = if code == 50382 { ("FriendlyName", "x") } else { ("State", "active") };
        let refused = world.client.post("/v1/Conversations", &[state, (field, value)]).await;
        assert_eq!((refused.status, refused.code()), (400, code), "{field}={value}");
    }
    let after = made(&world, &[]).await;
    jump(&mut world, 300).await;
    becomes(&world, &after, "inactive").await;
    let shown = shown(&world, &before).await;
    assert_eq!((&shown["state"], &shown["timers"]), (&"active".into(), &serde_json::json!({})));
    // While it runs, too: what the clock passes is done.
    world.client.post(&after, &[("State", "active"), ("Timers.Inactive", "PT1M")]).await.expect(200);
    world.client.post(&after, &[("State", "closed")]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_state_is_told_with_its_reason() {
    let rest = "[egress]\nallow_private = [\"127.0.0.1\"]\n";
    let mut world = World::start_with(|config| config.rest = rest.to_owned()).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let hooks = [("PostWebhookUrl", url.as_str()), ("Filters", "onConversationStateUpdated")];
    world.client.post("/v1/Configuration/Webhooks", &hooks).await.expect(200);
    let timers = [("State", "active"), ("Timers.Inactive", "PT5M"), ("Timers.Closed", "PT20M")];
    let talk = made(&world, &timers).await;
    let person = [("MessagingBinding.Address", ANN), ("MessagingBinding.ProxyAddress", SMS)];
    world.client.post(&format!("{talk}/Participants"), &person).await.expect(201);
    jump(&mut world, 301).await;
    becomes(&world, &talk, "inactive").await;
    world.write(&world.sms(ANN), "still here").await;
    jump(&mut world, 602).await;
    becomes(&world, &talk, "inactive").await;
    jump(&mut world, 3_600).await;
    becomes(&world, &talk, "closed").await;
    let closed = |calls: &[Call]| calls.last().is_some_and(|call| call.text("StateTo") == "closed");
    let mut told = receiver.until("the end", closed).await;
    // Sudden ends may have had one told twice.
    told.dedup_by(|next, before| next.token == before.token);
    let told: Vec<_> =
        told.iter().map(|call| (call.text("StateFrom"), call.text("StateTo"), call.text("Reason"))).collect();
    assert_eq!(
        told,
        [
            ("active", "inactive", "TIMER"),
            ("inactive", "active", "EVENT"),
            ("active", "inactive", "TIMER"),
            ("inactive", "closed", "TIMER"),
        ]
    );
}
