//! Event webhooks whose receivers are dead, lose what they were told, or never come back.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::Value;

use crate::harness::hooks::{Call, Receiver, Reply};
use crate::harness::{SMS, World};
use crate::webhooks::{listen, world};

const AHEAD: &str = "TRUNKLINE_TEST_CLOCK_AHEAD";

/// Conversations that nobody but a webhook hears.
async fn talks(world: &World, count: usize) -> Vec<String> {
    let mut talks = Vec::new();
    for _ in 0..count {
        talks.push(world.client.conversation(&[]).await.sid);
    }
    talks
}

async fn say(world: &World, talks: &[String], numbers: std::ops::Range<usize>) {
    for number in numbers {
        for talk in talks {
            let path = format!("/v1/Conversations/{talk}/Messages");
            world.client.aloud(Method::POST, &path, &[("Body", &number.to_string())]).await.expect(201);
        }
    }
}

/// What each conversation was told, each event once, in the order in which it first came.
fn told(calls: &[Call]) -> BTreeMap<String, Vec<String>> {
    let (mut seen, mut told) = (BTreeSet::new(), BTreeMap::<String, Vec<String>>::new());
    for call in calls {
        if seen.insert(call.token.clone()) {
            told.entry(call.text("ConversationSid").to_owned())
                .or_default()
                .push(call.text("Body").to_owned());
        }
    }
    told
}

/// The daemon's next life, with its clock so many seconds ahead of ours.
async fn jump(world: &mut World, ahead: u64) {
    world.daemon.env.insert(AHEAD.to_owned(), ahead.to_string());
    world.crash().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_dead_for_three_hours_hears_everything_in_order() {
    let mut world = world("").await;
    let (mut dead, alive) = (Receiver::closed().await, Receiver::start().await);
    let made = world.client.post("/v1/Services", &[("FriendlyName", "Other")]).await.expect(201);
    let other = format!("/v1/Services/{}", made["sid"].as_str().unwrap());
    listen(&world, "/v1/Configuration/Webhooks", "", &dead.url("/"), &["onMessageAdded"]).await;
    let path = format!("{other}/Configuration/Webhooks");
    listen(&world, &path, "", &alive.url("/"), &["onMessageAdded"]).await;
    let talks = talks(&world, 5).await;
    say(&world, &talks, 0..6).await;
    // Whoever is well hears at once.
    let talk = world.client.post(&format!("{other}/Conversations"), &[]).await.expect(201);
    let path = format!("{other}/Conversations/{}/Messages", talk["sid"].as_str().unwrap());
    world.client.aloud(Method::POST, &path, &[("Body", "x")]).await.expect(201);
    alive.events("onMessageAdded", 1).await;
    jump(&mut world, 5_400).await;
    say(&world, &talks, 6..12).await;
    jump(&mut world, 10_800).await;
    say(&world, &talks, 12..15).await;
    dead.open().await;
    let calls =
        dead.until("every event", |calls| told(calls).values().map(Vec::len).sum::<usize>() == 5 * 15).await;
    let wanted: Vec<String> = (0..15).map(|number| number.to_string()).collect();
    let told = told(&calls);
    assert_eq!(told.len(), 5);
    assert!(told.values().all(|heard| *heard == wanted), "{told:#?}");
    let waits = || async {
        let metrics = world.daemon.metrics().await;
        (metrics.value("trunkline_event_webhook_queue_messages", &[]) == 0.0).then_some(())
    };
    world.daemon.eventually("an empty queue", waits).await;
    assert_eq!(world.daemon.metrics().await.value("trunkline_dead_letters", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_marked() {
    let mut world = world("").await;
    let receiver = Receiver::start().await;
    listen(&world, "/v1/Configuration/Webhooks", "", &receiver.url("/"), &["onMessageAdded"]).await;
    let talks = talks(&world, 1).await;
    // Committed, and the answer lost.
    let mut first = true;
    receiver.script(move |_| if std::mem::take(&mut first) { Reply::Drop } else { Reply::ok() });
    say(&world, &talks, 0..1).await;
    let calls = receiver.events("onMessageAdded", 2).await;
    assert_eq!((calls[0].text("RetryCount"), calls[1].text("RetryCount")), ("0", "1"));
    assert_eq!(calls[0].token, calls[1].token);
    // Committed, and the daemon gone before it heard.
    receiver.script(|_| Reply::Hang);
    say(&world, &talks, 1..2).await;
    receiver.events("onMessageAdded", 3).await;
    world.daemon.kill9().await;
    receiver.script(|_| Reply::ok());
    world.up().await;
    let calls = receiver.events("onMessageAdded", 4).await;
    assert_eq!((calls[2].text("RetryCount"), calls[3].text("RetryCount")), ("0", "1"));
    assert_eq!((&calls[2].token, calls[3].text("Body")), (&calls[3].token, "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_word_is_on_disk_and_nothing_overtakes_it() {
    let mut world = world("").await;
    let receiver = Receiver::start().await;
    listen(&world, "/v1/Configuration/Webhooks", &receiver.url("/"), "", &["onMessageAdd"]).await;
    let talk = world.client.conversation(&[("+15557770001", SMS)]).await;
    let phone = world.sms("+15557770001");
    // Nobody answers, and the provider has its answers all the same.
    receiver.script(|_| Reply::Hang);
    let asked = std::time::Instant::now();
    for number in 0..5 {
        assert_eq!(world.write(&phone, &number.to_string()).await.status, 200);
    }
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "a third party was waited for");
    receiver.events("onMessageAdd", 1).await;
    world.daemon.kill9().await;
    receiver.script(|call| match call.text("Body") {
        "2" => Reply::Answer(403, String::new()),
        body => Reply::Answer(200, format!("{{\"body\": \"{body}!\"}}")),
    });
    world.up().await;
    // Without a webhook what comes now would be quicker than what waits.
    listen(&world, "/v1/Configuration/Webhooks", &receiver.url("/"), "", &["onUserUpdate"]).await;
    assert_eq!(world.write(&phone, "5").await.status, 200);
    let told = || async {
        let messages = world.client.messages(&talk.sid).await;
        let bodies: Vec<String> =
            messages.iter().map(|message| message["body"].as_str().unwrap().replace('!', "")).collect();
        bodies.contains(&"5".to_owned()).then_some(bodies)
    };
    let bodies = world.daemon.eventually("the last message", told).await;
    let mut sorted = bodies.clone();
    sorted.sort();
    assert_eq!(bodies, sorted, "in the order in which they came");
    assert!(["0", "1", "3", "4"].iter().all(|body| bodies.contains(&(*body).to_owned())), "{bodies:?}");
}

fn letters(world: &World) -> Vec<Value> {
    let socket = world.daemon.socket.display().to_string();
    let output = world.daemon.cli(&["dead-letters", "list", "--json", "--socket", &socket]);
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found["dead_letters"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_becomes_dead_letters_that_can_be_told_again() {
    let mut world = world("retry_for = \"1s\"").await;
    let mut receiver = Receiver::closed().await;
    listen(&world, "/v1/Configuration/Webhooks", "", &receiver.url("/"), &["onMessageAdded"]).await;
    let talks = talks(&world, 2).await;
    say(&world, &talks, 0..2).await;
    let dead = || async {
        let metrics = world.daemon.metrics().await;
        (metrics.value("trunkline_dead_letters", &[]) == 4.0).then_some(())
    };
    world.daemon.eventually("four dead letters", dead).await;
    world.crash().await;
    assert_eq!(world.daemon.metrics().await.value("trunkline_dead_letters", &[]), 4.0);
    let found = letters(&world);
    assert_eq!(found.len(), 4);
    assert!(
        found
            .iter()
            .all(|letter| letter["event"] == "onMessageAdded" && letter["attempts"].as_u64() > Some(0))
    );
    let socket = world.daemon.socket.display().to_string();
    let run = |arguments: &[&str]| {
        let mut all = vec!["dead-letters"];
        all.extend(arguments);
        all.extend(["--socket", &socket]);
        world.daemon.cli(&all)
    };
    let text = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let id = |at: usize| found[at]["id"].to_string();
    let shown = run(&["show", &id(0)]);
    assert!(text(&shown).contains("\"Body\""), "{shown:?}");
    assert!(text(&run(&["list"])).contains("onMessageAdded"));
    assert_eq!(text(&run(&["drop", &id(3)])), "1 dropped\n");
    assert_eq!(run(&["drop", &id(3)]).status.code(), Some(1));
    assert_eq!(run(&["retry"]).status.code(), Some(2), "none or all is not guessed");
    receiver.open().await;
    assert_eq!(text(&run(&["retry", "--all"])), "3 to be told again\n");
    let calls = receiver.events("onMessageAdded", 3).await;
    assert!(calls.iter().all(|call| call.text("RetryCount").parse::<u32>().unwrap() > 0));
    assert_eq!(letters(&world).len(), 0);

    // A receiver that is up and says no has decided; those behind are not held up.
    receiver.script(|call| match call.text("Body") {
        "8" => Reply::Answer(422, String::new()),
        _ => Reply::ok(),
    });
    say(&world, &talks[..1], 8..10).await;
    receiver.until("the one behind", |calls| calls.iter().any(|call| call.text("Body") == "9")).await;
    assert_eq!(letters(&world)[0]["reason"], "answered 422");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_its_receiver_cannot_take_lets_those_behind_it_pass_and_is_tried_on() {
    let world = world("").await;
    let receiver = Receiver::start().await;
    listen(&world, "/v1/Configuration/Webhooks", "", &receiver.url("/"), &["onMessageAdded"]).await;
    let talks = talks(&world, 2).await;
    receiver.script(|call| match call.text("Body") {
        "0" => Reply::Answer(500, String::new()),
        _ => Reply::ok(),
    });
    say(&world, &talks[..1], 0..3).await;
    let heard = |calls: &[Call], body: &str| {
        calls.iter().any(|call| call.text("ConversationSid") == talks[0] && call.text("Body") == body)
    };
    // It takes what others are told.
    let mut number = 10;
    while !heard(&receiver.calls(), "2") {
        say(&world, &talks[1..], number..number + 1).await;
        let of = |call: &Call| call.text("Body") == number.to_string();
        receiver.until("another's event", |calls| calls.iter().any(of)).await;
        number += 1;
    }
    let calls = receiver.calls();
    let poison: Vec<&Call> = calls.iter().filter(|call| call.text("Body") == "0").collect();
    assert!(poison.len() >= 4, "order is not given up at once: {}", poison.len());
    assert!(poison.iter().all(|call| call.token == poison[0].token));
    let told = told(&calls);
    assert_eq!(told[&talks[0]], ["0", "1", "2"], "those behind it stay in order");
    assert_eq!(letters(&world).len(), 0, "it is not given up");
    // Mended, it is taken, and tried no more.
    receiver.script(|_| Reply::ok());
    let tries = calls.iter().filter(|call| call.text("Body") == "0").count();
    receiver
        .until("the event at last", |calls| {
            calls.iter().filter(|call| call.text("Body") == "0").count() > tries
        })
        .await;
    let waits = || async {
        let metrics = world.daemon.metrics().await;
        (metrics.value("trunkline_event_webhook_queue_messages", &[]) == 0.0).then_some(())
    };
    world.daemon.eventually("an empty queue", waits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_up_nobody_beside_it() {
    let world = world("").await;
    let (hangs, well) = (Receiver::start().await, Receiver::start().await);
    let made = world.client.post("/v1/Services", &[("FriendlyName", "Other")]).await.expect(201);
    let other = format!("/v1/Services/{}", made["sid"].as_str().unwrap());
    listen(&world, "/v1/Configuration/Webhooks", "", &hangs.url("/"), &["onMessageAdded"]).await;
    let path = format!("{other}/Configuration/Webhooks");
    listen(&world, &path, "", &well.url("/"), &["onMessageAdded"]).await;
    hangs.script(|_| Reply::Hang);
    // As many conversations as one receiver may have requests open, and more.
    let stuck = talks(&world, 24).await;
    say(&world, &stuck, 0..2).await;
    hangs.events("onMessageAdded", 16).await;
    let talk = world.client.post(&format!("{other}/Conversations"), &[]).await.expect(201);
    let path = format!("{other}/Conversations/{}/Messages", talk["sid"].as_str().unwrap());
    let asked = std::time::Instant::now();
    for number in 0..50 {
        let body = number.to_string();
        world.client.aloud(Method::POST, &path, &[("Body", &body)]).await.expect(201);
    }
    let calls = well.events("onMessageAdded", 50).await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "it waited for the time-outs of the other");
    let bodies: Vec<&str> = calls.iter().map(|call| call.text("Body")).collect();
    let wanted: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(bodies, wanted);
    // Back again, the other hears everything too, in order.
    hangs.script(|_| Reply::ok());
    let all = |calls: &[Call]| told(calls).values().map(Vec::len).sum::<usize>() == 48;
    let calls = hangs.until("everything", all).await;
    let told = told(&calls);
    assert!(told.values().all(|heard| *heard == ["0", "1"]), "{told:#?}");
}
