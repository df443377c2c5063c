//! What stands in a message's way: an operator's mistake, a provider that says "slower", one that says nothing, and one
//! person whom the provider cannot reach.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::config::quoted;
use crate::harness::sink::Outcome;
use crate::harness::{Act, PAGE, PATIENCE, Proxy, SMS, Sent, WHATSAPP, World};

/// A second SMS number of the same account.
const OTHER_SMS: &str = "+15550004444";

/// A second page of the same app.
const OTHER_PAGE: &str = "messenger:2029384756";

/// People on SMS.
fn crowd(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1555774{n:04}")).collect()
}

/// One conversation of people on one proxy address.
async fn talk(world: &World, people: &[String], proxy: &str) -> String {
    let people: Vec<(&str, &str)> = people.iter().map(|who| (who.as_str(), proxy)).collect();
    world.client.conversation(&people).await.sid
}

/// Posts as the desk; gives the message's SID.
async fn post(world: &World, conversation: &str, body: &str) -> String {
    let message = world.client.say(conversation, "desk", body).await.expect(201);
    message["sid"].as_str().unwrap().to_owned()
}

/// The texts that were taken for somebody, in the order of the sink's clock.
fn texts_for(sent: &[Sent], to: &str) -> Vec<String> {
    let mut taken: Vec<&Sent> = sent.iter().filter(|sent| sent.taken() && sent.to() == to).collect();
    taken.sort_by_key(|sent| sent.at);
    taken.into_iter().map(|sent| sent.text().to_owned()).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("message {n}")).collect()
}

/// Waits until a lane is as `wanted` says.
async fn lane_until(world: &World, proxy: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let ask = || async { Some(world.daemon.lane(proxy).await).filter(|lane| wanted(lane)) };
    world.daemon.eventually(what, ask).await
}

/// The one receipt of a message, once it says what is wanted.
async fn receipt_until(world: &World, conversation: &str, message: &str, status: &str) -> Value {
    let is = |receipts: &[Value]| receipts.len() == 1 && receipts[0]["status"] == status;
    world.receipts_until(conversation, message, is).await.remove(0)
}

fn printed(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every message of a conversation was sent to everybody.
async fn assert_all_sent(world: &World, conversation: &str, count: usize, recipients: usize) {
    let messages = world.client.messages(conversation).await;
    assert_eq!(messages.len(), count);
    for message in messages {
        let delivery = &message["delivery"];
        assert_eq!((&delivery["sent"], &delivery["failed"]), (&json!("all"), &json!("none")), "{message}");
        assert_eq!(delivery["total"], recipients, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_holds_a_thousand_messages_until_the_file_is_right() {
    let mut world = World::prepare(|config| {
        let token = config.store_path.with_file_name("twilio-token");
        std::fs::write(&token, "twilio-token-0001\n").unwrap();
        let file = format!("{{ file = {} }}", quoted(&token.display().to_string()));
        config.adapter("us").settings.insert("auth_token".to_owned(), file);
        config.server[0] = "watch = true".to_owned();
    })
    .await;
    // The provider knows the right one by now.
    let token = world.folder.path().join("twilio-token");
    std::fs::write(&token, "a wrong one\n").unwrap();
    world.up().await;

    let people = crowd(50);
    let conversation = talk(&world, &people, SMS).await;
    let elsewhere = talk(&world, &["whatsapp:+15557790001".to_owned()], WHATSAPP).await;
    for text in numbered(20) {
        post(&world, &conversation, &text).await;
    }
    let held =
        lane_until(&world, SMS, "a held lane", |lane| lane["state"] == "held" && lane["depth"] == 1_000)
            .await;
    let reason = held["reason"].as_str().unwrap();
    assert!(reason.contains("20003"), "the provider's code is in {reason:?}");
    assert_eq!((&held["last"]["outcome"], &held["last"]["code"]), (&json!("rejected"), &json!(20003)));
    let shown = printed(world.daemon.cli(&["lanes", "--socket", &world.daemon.socket.display().to_string()]));
    let line = shown.lines().find(|line| line.contains(SMS)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("held") && line.contains("1000") && line.contains(reason), "{shown}");
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.value("trunkline_lanes", &[("adapter", "us"), ("state", "held")]), 1.0);
    assert_eq!(metrics.value("trunkline_lane_messages", &[("adapter", "us")]), 1_000.0);
    assert_eq!(metrics.value("trunkline_lanes", &[("adapter", "wa"), ("state", "held")]), 0.0);
    // Nobody else waits for this.
    post(&world, &elsewhere, "others go on").await;
    world.sink.taken(1).await;
    // One message fails nowhere and is not tried for each that waits.
    assert_eq!(
        metrics.value("trunkline_delivery_status_total", &[("adapter", "us"), ("status", "failed")]),
        0.0
    );
    let refused = world.sink.sent().iter().filter(|sent| sent.outcome == Outcome::Refused(401)).count();
    assert!(refused <= 40, "{refused} tries with a wrong token");

    let draft = token.with_extension("draft");
    std::fs::write(&draft, "twilio-token-0001\n").unwrap();
    std::fs::rename(&draft, &token).unwrap();
    let sent = world.sink.taken(1_001).await;
    world.quiet().await;
    for who in &people {
        assert_eq!(texts_for(&sent, who), numbered(20), "to {who}");
    }
    assert_all_sent(&world, &conversation, 20, 50).await;
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.value("trunkline_lanes", &[("adapter", "us"), ("state", "held")]), 0.0);
    assert_eq!(
        metrics.value("trunkline_delivery_status_total", &[("adapter", "us"), ("status", "sent")]),
        1_000.0
    );
    assert_eq!(
        metrics.value("trunkline_delivery_status_total", &[("adapter", "us"), ("status", "failed")]),
        0.0
    );
    assert_eq!(metrics.value("trunkline_duplicate_sends_total", &[("adapter", "us")]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_in_the_configuration_itself_is_mended_by_an_edit_too() {
    let mut world = World::prepare(|config| config.server[0] = "watch = true".to_owned()).await;
    let change = |world: &mut World, token: &str| {
        let token = format!("access_token = {}", quoted(token));
        world.edit(|config| config.adapter("pages").proxies[0].lines[0] = token);
    };
    change(&mut world, "fb-page-token-9999");
    world.up().await;
    let people: Vec<String> = (0..10).map(|n| format!("messenger:77740{n:02}")).collect();
    let conversation = talk(&world, &people, PAGE).await;
    for text in numbered(5) {
        post(&world, &conversation, &text).await;
    }
    let held = lane_until(&world, PAGE, "a held lane", |lane| lane["state"] == "held").await;
    assert!(held["reason"].as_str().unwrap().contains("190"), "{held}");
    change(&mut world, "fb-page-token-0001");
    let sent = world.sink.taken(50).await;
    world.quiet().await;
    for who in &people {
        assert_eq!(texts_for(&sent, who), numbered(5), "to {who}");
    }
    assert_all_sent(&world, &conversation, 5, 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_proxy_address_keeps_its_messages_until_it_returns() {
    let mut world = World::start().await;
    let people = crowd(3);
    let conversation = talk(&world, &people, SMS).await;
    let adapter = world.config.adapter("us").clone();
    let said = world.reconfigure(|config| config.adapters.retain(|adapter| adapter.name != "us"));
    assert!(said.contains(SMS) && said.contains("1 conversation"), "{said}");
    for text in numbered(4) {
        post(&world, &conversation, &text).await;
    }
    let gone = |lane: &Value| lane["state"] == "held" && lane["depth"] == 12;
    let held = lane_until(&world, SMS, "a held lane", gone).await;
    assert!(held["reason"].as_str().unwrap().contains("not configured"), "{held}");
    // A restart forgets neither the messages nor why they wait, and a kill neither.
    world.restart().await;
    lane_until(&world, SMS, "a held lane after a restart", gone).await;
    world.crash().await;
    lane_until(&world, SMS, "a held lane after a kill", gone).await;
    assert!(world.sink.sent().is_empty());

    world.reconfigure(|config| config.adapters.push(adapter));
    let sent = world.sink.taken(12).await;
    world.quiet().await;
    for who in &people {
        assert_eq!(texts_for(&sent, who), numbered(4), "to {who}");
    }
    assert_all_sent(&world, &conversation, 4, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_providers_wish_is_followed_by_its_own_clock() {
    let world = World::start_with(|config| {
        config.adapter("us").proxies.push(Proxy { address: OTHER_SMS.to_owned(), lines: Vec::new() });
        let lines = vec!["access_token = \"fb-page-token-0002\"".to_owned()];
        config.adapter("pages").proxies.push(Proxy { address: OTHER_PAGE.to_owned(), lines });
    })
    .await;
    let people = crowd(6);
    let slowed = talk(&world, &people[..3], SMS).await;
    let sibling = talk(&world, &people[3..], OTHER_SMS).await;
    let elsewhere = talk(&world, &["whatsapp:+15557790001".to_owned()], WHATSAPP).await;
    let page = talk(&world, &["messenger:7779001".to_owned()], PAGE).await;
    let other_page = talk(&world, &["messenger:7779002".to_owned()], OTHER_PAGE).await;
    let mut first: BTreeSet<&str> = ["us", "pages"].into();
    world.sink.script(move |attempt| match first.remove(attempt.place) {
        true => Act::Throttle(Some(2)),
        false => Act::Accept,
    });
    // One alone, so that nothing is on its way when "slower" is heard.
    let alone = talk(&world, &["+15557749999".to_owned()], SMS).await;
    post(&world, &alone, "the first").await;
    post(&world, &page, "this page's first").await;
    for proxy in [SMS, PAGE] {
        lane_until(&world, proxy, "a throttled lane", |lane| lane["last"]["outcome"] == "throttled").await;
    }
    post(&world, &slowed, "this number").await;
    post(&world, &sibling, "this account").await;
    post(&world, &elsewhere, "another provider").await;
    post(&world, &page, "this page").await;
    post(&world, &other_page, "another page").await;
    let sent = world.sink.taken(11).await;
    let all = world.sink.sent();
    let wish = |place: &str, status: u16| {
        let told = all.iter().find(|sent| !sent.taken() && sent.place == place).unwrap();
        assert_eq!(told.outcome, Outcome::Refused(status));
        told.at + Duration::from_secs(2)
    };
    // Twilio's limit is the account's: all its numbers pause. A page's is its own.
    let (account, own) = (wish("us", 429), wish("pages", 400));
    for sent in &sent {
        let (wish, waits) = match (sent.place.as_str(), sent.from()) {
            ("us", _) => (account, true),
            (_, PAGE) => (own, true),
            _ => (account.min(own), false),
        };
        assert_eq!(sent.at >= wish, waits, "{sent:?}");
        assert!(sent.at < wish + Duration::from_secs(5), "the pause ends when the provider said");
    }
    world.quiet().await;
    assert_all_sent(&world, &alone, 1, 1).await;
    let metrics = world.daemon.metrics().await;
    let throttled =
        metrics.sum("trunkline_outbound_messages_total", &[("adapter", "us"), ("outcome", "throttled")]);
    assert_eq!(throttled, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_for_one_person_slows_only_that_person() {
    let world = World::start().await;
    let people: Vec<String> = (0..8).map(|n| format!("whatsapp:+1555775{n:04}")).collect();
    let slow = people[0].clone();
    let conversation = talk(&world, &people, WHATSAPP).await;
    let first = AtomicBool::new(true);
    let one = slow.clone();
    world.sink.script(move |attempt| {
        if attempt.submission.to.as_str() == one && first.swap(false, Ordering::Relaxed) {
            let body = json!({"error": {"message": "(#131056) pair rate", "code": 131_056}});
            return Act::Answer(400, vec![("retry-after", "2".to_owned())], body.to_string());
        }
        Act::Accept
    });
    for text in numbered(3) {
        post(&world, &conversation, &text).await;
    }
    let sent = world.sink.taken(24).await;
    let all = world.sink.sent();
    let told = all.iter().find(|sent| !sent.taken()).unwrap();
    let wish = told.at + Duration::from_secs(2);
    for sent in &sent {
        assert_eq!(sent.at >= wish, sent.to() == slow, "{sent:?}");
    }
    for who in &people {
        assert_eq!(texts_for(&all, who), numbered(3), "to {who}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_nobody_knows_of_is_repeated_and_counted() {
    let world = World::start().await;
    let people = crowd(3);
    let (cut, hung, fine) = (people[0].clone(), people[1].clone(), people[2].clone());
    let conversation = talk(&world, &people, SMS).await;
    let mut first: BTreeSet<String> = [cut.clone(), hung.clone()].into();
    let one = cut.clone();
    world.sink.script(move |attempt| {
        let to = attempt.submission.to.as_str();
        match first.remove(to) {
            true if to == one => Act::TakeAndDrop,
            true => Act::Hang,
            false => Act::Accept,
        }
    });
    for text in numbered(3) {
        post(&world, &conversation, &text).await;
    }
    // Nobody waits for the two in trouble.
    world.sink.wait("all for the third", |sent| texts_for(sent, &fine) == numbered(3)).await;
    // A provider that says nothing is given up after half a minute.
    let enough = |sent: &[Sent]| texts_for(sent, &hung) == numbered(3) && texts_for(sent, &cut).len() == 4;
    let sent = world.sink.wait_within(PATIENCE * 2, "all for the others", enough).await;
    let again = [vec!["message 0".to_owned()], numbered(3)].concat();
    assert_eq!(
        texts_for(&sent, &cut),
        again,
        "what was taken in silence comes once more, and nothing passes it"
    );
    world.quiet().await;
    assert_all_sent(&world, &conversation, 3, 3).await;
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.value("trunkline_duplicate_sends_total", &[("adapter", "us")]), 2.0);
    let unknown =
        metrics.sum("trunkline_outbound_messages_total", &[("adapter", "us"), ("outcome", "unknown")]);
    assert_eq!(unknown, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_policy_a_send_nobody_knows_of_fails_instead() {
    let mut world = World::start_with(|config| config.queue.push("unknown = \"fail\"".to_owned())).await;
    let people = crowd(1);
    let conversation = talk(&world, &people, SMS).await;
    let (seen, mut seeing) = watch::channel(0);
    world.sink.script(move |attempt| {
        seen.send_modify(|count| *count += 1);
        match attempt.submission.text.as_str() {
            "cut" => Act::TakeAndDrop,
            "killed" => Act::Hang,
            _ => Act::Accept,
        }
    });
    let cut = post(&world, &conversation, "cut").await;
    let after_cut = post(&world, &conversation, "after the cut").await;
    let failed = receipt_until(&world, &conversation, &cut, "failed").await;
    assert_eq!(failed["error_code"], 30008, "{failed}");
    receipt_until(&world, &conversation, &after_cut, "sent").await;

    let killed = post(&world, &conversation, "killed").await;
    seeing.wait_for(|count| *count == 3).await.unwrap();
    world.crash().await;
    let failed = receipt_until(&world, &conversation, &killed, "failed").await;
    assert_eq!(failed["error_code"], 30008, "{failed}");
    let after_kill = post(&world, &conversation, "after the kill").await;
    receipt_until(&world, &conversation, &after_kill, "sent").await;
    assert_eq!(*seeing.borrow(), 4, "nothing was tried twice");
    assert_eq!(world.daemon.metrics().await.sum("trunkline_duplicate_sends_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_too_long_fails_and_says_so() {
    let world = World::start_with(|config| config.queue.push("expire = \"3s\"".to_owned())).await;
    let slow = talk(&world, &crowd(1), SMS).await;
    let silenced = talk(&world, &["messenger:7779001".to_owned()], PAGE).await;
    let throttled = Arc::new(AtomicBool::new(true));
    let judge = throttled.clone();
    world.sink.script(move |attempt| match attempt.place {
        "us" if judge.load(Ordering::Relaxed) => Act::Throttle(Some(1)),
        "pages" => Act::Throttle(Some(3_600)),
        _ => Act::Accept,
    });
    let began = Instant::now();
    let late = [
        (&slow, post(&world, &slow, "too late").await),
        (&silenced, post(&world, &silenced, "too late").await),
    ];
    for (conversation, message) in late {
        // The provider's wish may last longer than the message.
        let failed = receipt_until(&world, conversation, &message, "failed").await;
        assert_eq!(failed["error_code"], 30036, "{failed}");
        let took = began.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&took), "{took:?}");
    }
    throttled.store(false, Ordering::Relaxed);
    let next = post(&world, &slow, "in time").await;
    receipt_until(&world, &slow, &next, "sent").await;
    let sent: Vec<Sent> = world.sink.sent().into_iter().filter(Sent::taken).collect();
    assert_eq!(sent.iter().map(Sent::text).collect::<Vec<_>>(), ["in time"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_spent_held_does_not_make_a_message_expire() {
    let mut world = World::prepare(|config| config.queue.push("expire = \"3s\"".to_owned())).await;
    let change = |config: &mut crate::harness::Config, token: &str| {
        config.adapter("wa").settings.insert("access_token".to_owned(), quoted(token));
    };
    world.edit(|config| change(config, "wa-access-9999"));
    world.up().await;
    let people = ["whatsapp:+15557790001".to_owned(), "whatsapp:+15557790002".to_owned()];
    let conversation = talk(&world, &people, WHATSAPP).await;
    for text in numbered(3) {
        post(&world, &conversation, &text).await;
    }
    let long = |lane: &Value| lane["state"] == "held" && lane["oldest_seconds"].as_u64().unwrap() >= 5;
    lane_until(&world, WHATSAPP, "five seconds held", long).await;
    world.reconfigure(|config| change(config, "wa-access-0001"));
    world.sink.taken(6).await;
    world.quiet().await;
    assert_all_sent(&world, &conversation, 3, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_cannot_be_reached_delays_nobody_else() {
    let world = World::start().await;
    let people = crowd(20);
    let (slow, others) = people.split_first().unwrap();
    let conversation = talk(&world, &people, SMS).await;
    let broken = Arc::new(AtomicBool::new(true));
    let (judge, one) = (broken.clone(), slow.clone());
    world.sink.script(move |attempt| {
        if attempt.submission.to.as_str() == one && judge.load(Ordering::Relaxed) {
            return Act::Answer(500, Vec::new(), json!({"code": 20500, "message": "Internal"}).to_string());
        }
        Act::Accept
    });
    for text in numbered(10) {
        post(&world, &conversation, &text).await;
    }
    let sent = world.sink.taken(190).await;
    for who in others {
        assert_eq!(texts_for(&sent, who), numbered(10), "to {who}");
    }
    // The sink has taken a message before the lane has written so: only the ten of one person stay.
    let lane = lane_until(&world, SMS, "a lane with one person's messages", |lane| lane["depth"] == 10).await;
    assert_ne!(lane["state"], "held", "one person's trouble is not the provider's: {lane}");
    let tries = world.sink.sent().iter().filter(|sent| sent.to() == slow).count();
    assert!((1..10).contains(&tries), "{tries} tries without a break");
    broken.store(false, Ordering::Relaxed);
    let sent = world.sink.taken(200).await;
    assert_eq!(texts_for(&sent, slow), numbered(10), "in order, though the first was tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_provider_is_asked_for_many_people_at_once_and_for_each_one_by_one() {
    const LATENCY: Duration = Duration::from_millis(200);
    let world = World::start().await;
    let people = crowd(30);
    let conversation = talk(&world, &people, SMS).await;
    world.sink.always(Act::After(LATENCY, Box::new(Act::Accept)));
    for text in numbered(5) {
        post(&world, &conversation, &text).await;
    }
    let mut sent = world.sink.taken(150).await;
    sent.sort_by_key(|sent| sent.at);
    let took = sent.last().unwrap().at - sent[0].at;
    let rate = 149.0 / took.as_secs_f64();
    println!("{rate:.0} sends a second at {LATENCY:?} each");
    // One by one it would be five.
    assert!(rate > 40.0, "{rate:.1} a second");
    for who in &people {
        let mut own: Vec<&Sent> = sent.iter().filter(|sent| sent.to() == who).collect();
        own.sort_by_key(|sent| sent.at);
        assert!(own.windows(2).all(|two| two[1].at - two[0].at >= LATENCY), "one at a time to {who}");
        assert_eq!(texts_for(&sent, who), numbered(5), "to {who}");
    }
}
