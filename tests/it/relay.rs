//! The main job: what somebody writes reaches everybody else, and what became of it is told.

use serde_json::Value;
use trunkline_adapter::DeliveryStatus;

use crate::harness::config::quoted;
use crate::harness::{Act, PAGE, SMS, Sent, WHATSAPP, World, provider};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

fn hops(sent: &[Sent]) -> Vec<(&str, &str, &str)> {
    let mut hops: Vec<_> = sent.iter().map(|sent| (sent.from(), sent.to(), sent.text())).collect();
    hops.sort_unstable();
    hops
}

/// The receipt of one participant.
fn receipt<'a>(receipts: &'a [Value], participant: &str) -> &'a Value {
    receipts.iter().find(|receipt| receipt["participant_sid"] == participant).expect("a receipt")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sms_reaches_the_others_and_theirs_come_back() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;

    assert_eq!(world.write(&world.sms(ANN), "hello from ann").await.status, 200);
    let sent = world.sink.taken(2).await;
    assert_eq!(hops(&sent), [(PAGE, CAT, "hello from ann"), (WHATSAPP, BOB, "hello from ann")]);

    assert_eq!(world.write(&world.whatsapp(BOB), "hello from bob").await.status, 200);
    world.sink.taken(4).await;
    assert_eq!(world.write(&world.messenger(CAT), "hello from cat").await.status, 200);
    let sent = world.sink.taken(6).await;
    assert_eq!(hops(&sent[2..4]), [(SMS, ANN, "hello from bob"), (PAGE, CAT, "hello from bob")]);
    assert_eq!(hops(&sent[4..]), [(SMS, ANN, "hello from cat"), (WHATSAPP, BOB, "hello from cat")]);

    let messages = world.client.messages(&talk.sid).await;
    let kept: Vec<_> = messages
        .iter()
        .map(|message| {
            let text = |key: &str| message[key].as_str().unwrap();
            (message["index"].as_i64().unwrap(), text("author"), text("participant_sid"), text("body"))
        })
        .collect();
    let people = talk.participants;
    assert_eq!(
        kept,
        [
            (0, ANN, people[0].as_str(), "hello from ann"),
            (1, BOB, people[1].as_str(), "hello from bob"),
            (2, CAT, people[2].as_str(), "hello from cat"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_goes_to_everybody_and_statuses_only_forward() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let posted = world.client.say(&talk.sid, "desk", "how can we help?").await.expect(201);
    let message = posted["sid"].as_str().unwrap();
    let sent = world.sink.taken(3).await;
    assert_eq!(
        hops(&sent),
        [
            (SMS, ANN, "how can we help?"),
            (PAGE, CAT, "how can we help?"),
            (WHATSAPP, BOB, "how can we help?"),
        ]
    );
    // The provider's id is in the receipt as soon as its answer is written down.
    let known = |receipts: &[Value]| {
        receipts.len() == 3 && receipts.iter().all(|receipt| receipt["channel_message_sid"].is_string())
    };
    let receipts = world.receipts_until(&talk.sid, message, known).await;
    let sends = [ANN, BOB, CAT].map(|person| world.sink.taken_for(person)[0].clone());
    for (sent, participant) in sends.iter().zip(&talk.participants) {
        assert_eq!(receipt(&receipts, participant)["channel_message_sid"], sent.id.as_str());
    }

    let status = async |at: usize| {
        let receipts = world.client.receipts(&talk.sid, message).await;
        receipt(&receipts, &talk.participants[at])["status"].as_str().unwrap().to_owned()
    };
    // An answer to the webhook says that the status is on disk, so no wait is needed before it is read.
    for reported in [DeliveryStatus::Sent, DeliveryStatus::Delivered] {
        world.report(&sends[0], reported, None).await;
        assert_eq!(status(0).await, reported.name());
    }
    // Late and out of order: nothing goes back.
    world.report(&sends[0], DeliveryStatus::Sent, None).await;
    assert_eq!(status(0).await, "delivered");

    world.report(&sends[1], DeliveryStatus::Read, None).await;
    assert_eq!(status(1).await, "read");
    world.report(&sends[1], DeliveryStatus::Delivered, None).await;
    assert_eq!(status(1).await, "read");

    assert!(world.report(&sends[2], DeliveryStatus::Delivered, None).await);
    assert_eq!(status(2).await, "delivered");
    // Messenger tells reading by a watermark: everything before it.
    assert!(world.report(&sends[2], DeliveryStatus::Read, None).await);
    assert_eq!(status(2).await, "read");

    let summary = world.client.get(&format!("/v1/Conversations/{}/Messages/{message}", talk.sid)).await;
    assert_eq!(summary.expect(200)["delivery"]["delivered"], "all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_told_later_is_the_receipts_code() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let posted = world.client.say(&talk.sid, "desk", "are you there?").await.expect(201);
    let message = posted["sid"].as_str().unwrap();
    world.sink.taken(3).await;
    let phone = world.sink.taken_for(ANN)[0].clone();
    assert!(world.report(&phone, DeliveryStatus::Undelivered, Some(30003)).await);
    let receipts = world.client.receipts(&talk.sid, message).await;
    let failed = receipt(&receipts, &talk.participants[0]);
    assert_eq!(
        (failed["status"].as_str(), failed["error_code"].as_u64()),
        (Some("undelivered"), Some(30003))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_the_provider_refuses_fails_its_own_receipt_only() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.sink.script(|attempt| match attempt.place {
        "us" => Act::Answer(
            400,
            Vec::new(),
            r#"{"code":21211,"message":"Invalid 'To' Phone Number","status":400}"#.to_owned(),
        ),
        _ => Act::Accept,
    });
    let posted = world.client.say(&talk.sid, "desk", "hello").await.expect(201);
    world.sink.taken(2).await;
    let failed = |receipts: &[Value]| receipts.iter().any(|receipt| receipt["status"] == "failed");
    let receipts = world.receipts_until(&talk.sid, posted["sid"].as_str().unwrap(), failed).await;
    assert_eq!(receipt(&receipts, &talk.participants[0])["error_code"], 21211);
    assert_eq!(receipts.iter().filter(|receipt| receipt["status"] == "failed").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_text_is_cut_for_messenger_and_refused_for_sms() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let words: Vec<String> = (0..600).map(|number| format!("w{number:03}")).collect();
    let text = words.join(" ");
    assert!(text.len() > 2000 && text.len() < 4096);
    assert_eq!(world.write(&world.whatsapp(BOB), &text).await.status, 200);
    world.sink.taken(2).await;
    let parts = world.sink.taken_for(CAT);
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.text().chars().count() <= 2000));
    let heard: Vec<&str> = parts.iter().flat_map(|part| part.text().split_whitespace()).collect();
    assert_eq!(heard, words, "every word, in order");

    let messages = world.client.messages(&talk.sid).await;
    assert_eq!(messages[0]["body"], text.as_str());
    let failed = |receipts: &[Value]| receipts.iter().any(|receipt| receipt["status"] == "failed");
    let receipts = world.receipts_until(&talk.sid, messages[0]["sid"].as_str().unwrap(), failed).await;
    let sms = receipt(&receipts, &talk.participants[0]);
    assert_eq!((sms["status"].as_str(), sms["error_code"].as_u64()), (Some("failed"), Some(21617)));
    assert!(world.sink.sent().iter().all(|sent| sent.to() != ANN), "nothing was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_and_start_over_the_wire() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    assert_eq!(world.write(&world.sms(ANN), " stop. ").await.status, 200);
    let answered = |sent: &[Sent]| sent.iter().any(|sent| sent.taken() && sent.to() == ANN);
    world.sink.wait("the answer to STOP", answered).await;
    assert!(world.sink.taken_for(ANN)[0].text().contains("unsubscribed"));

    // On disk, not in memory only.
    world.quiet().await;
    world.crash().await;
    assert_eq!(world.write(&world.whatsapp(BOB), "are you there, ann?").await.status, 200);
    let messages = world.client.messages(&talk.sid).await;
    let asked = messages.last().unwrap()["sid"].as_str().unwrap();
    let failed = |receipts: &[Value]| receipts.iter().any(|receipt| receipt["status"] == "failed");
    let receipts = world.receipts_until(&talk.sid, asked, failed).await;
    assert_eq!(receipt(&receipts, &talk.participants[0])["error_code"], 21610);
    assert_eq!(world.sink.taken_for(ANN).len(), 1);

    assert_eq!(world.write(&world.sms(ANN), "START").await.status, 200);
    assert_eq!(world.write(&world.whatsapp(BOB), "welcome back").await.status, 200);
    let welcomed = |sent: &[Sent]| sent.iter().any(|sent| sent.to() == ANN && sent.text() == "welcome back");
    world.sink.wait("the first message after START", welcomed).await;
    let texts: Vec<String> = world.sink.taken_for(ANN).iter().map(|sent| sent.text().to_owned()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(texts[1].contains("subscribed again"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_text_gets_words_for_it() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let account = "AC00000000000000000000000000000009";
    let fields = [
        ("MessageSid", "MM00000000000000000000000000000001"),
        ("AccountSid", account),
        ("From", ANN),
        ("To", SMS),
        ("Body", ""),
        ("NumMedia", "0"),
        ("Latitude", "52.5"),
        ("Longitude", "13.4"),
    ];
    let answer = world.raw_webhook("us", provider::twilio("twilio-token-0001", "us", &fields)).await;
    assert_eq!(answer.status, 200);
    let sent = world.sink.taken(2).await;
    let words = "https://maps.google.com/?q=52.5,13.4";
    assert_eq!(hops(&sent), [(PAGE, CAT, words), (WHATSAPP, BOB, words)]);
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!(messages[0]["body"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_message_that_nobody_knows_yet_is_kept_and_announced() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let body = serde_json::json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
    "field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550002222", "phone_number_id": "106540352242922"},
        "contacts": [{"wa_id": "15557770002", "profile": {"name": "Bob"}}],
        "messages": [{"from": "15557770002", "id": "wamid.1", "timestamp": "1795305600", "type": "hologram",
            "hologram": {"height": 3}}],
    }}]}]});
    let answer = world.raw_webhook("wa", provider::meta("wa-app-secret-0001", body.to_string())).await;
    assert_eq!(answer.status, 200);
    let sent = world.sink.taken(2).await;
    let words = "[unsupported message]";
    assert_eq!(hops(&sent), [(SMS, ANN, words), (PAGE, CAT, words)]);
    assert_eq!(world.client.messages(&talk.sid).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_holds_and_the_right_one_releases() {
    let mut world = World::start_with(|config| {
        config.adapter("wa").settings.insert("access_token".to_owned(), quoted("wa-access-0001"));
    })
    .await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.reconfigure(|config| {
        config.adapter("wa").settings.insert("access_token".to_owned(), quoted("mistyped"));
    });
    for number in 0..20 {
        world.client.say(&talk.sid, "desk", &format!("m{number}")).await.expect(201);
    }
    let held = || async {
        let lane = world.daemon.lane(WHATSAPP).await;
        (lane["state"] == "held").then_some(lane)
    };
    let lane = world.daemon.eventually("a held lane", held).await;
    assert!(lane["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{lane}");
    assert_eq!(lane["depth"], 20, "{lane}");
    let messages = world.client.messages(&talk.sid).await;
    for message in &messages {
        let receipts = world.client.receipts(&talk.sid, message["sid"].as_str().unwrap()).await;
        assert!(receipts.iter().all(|receipt| receipt["status"] != "failed"), "{receipts:?}");
    }
    world.reconfigure(|config| {
        config.adapter("wa").settings.insert("access_token".to_owned(), quoted("wa-access-0001"));
    });
    world.sink.taken(60).await;
    let texts: Vec<String> = world.sink.taken_for(BOB).iter().map(|sent| sent.text().to_owned()).collect();
    assert_eq!(texts, (0..20).map(|number| format!("m{number}")).collect::<Vec<_>>(), "each once, in order");
}
