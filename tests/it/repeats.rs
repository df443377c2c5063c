//! A provider's repeat of a message changes nothing, however much later and whatever happened in between.

use futures_util::future::join_all;

use crate::harness::config::{Adapter, Proxy};
use crate::harness::{PAGE, SMS, WHATSAPP, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_whatever_happens_between_its_repeats() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let (sms, whatsapp, messenger) = (world.sms(ANN), world.whatsapp(BOB), world.messenger(CAT));
    let ids = [&sms, &whatsapp, &messenger].map(|phone| world.message_id(phone));
    let deliver = async |world: &World, names: [&str; 3]| {
        let phones = [&sms, &whatsapp, &messenger];
        let signed: Vec<_> = phones
            .iter()
            .zip(names)
            .zip(&ids)
            .flat_map(|((phone, name), id)| {
                // Five copies of one and the same request.
                vec![phone.through(name).text(id, "only once"); 5]
            })
            .collect();
        let answers = join_all(signed.into_iter().map(|signed| world.webhook(signed))).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    };

    deliver(&world, ["us", "wa", "pages"]).await;
    world.sink.taken(6).await;
    world.quiet().await;

    world.crash().await;
    deliver(&world, ["us", "wa", "pages"]).await;

    world.reconfigure(|config| {
        for (old, new) in [("us", "sms"), ("wa", "whatsapp"), ("pages", "facebook")] {
            config.adapter(old).name = new.to_owned();
        }
    });
    deliver(&world, ["sms", "whatsapp", "facebook"]).await;

    let week: u64 = 7 * 24 * 3600;
    world.daemon.env.insert("TRUNKLINE_TEST_CLOCK_AHEAD".to_owned(), (week + 60).to_string());
    world.restart().await;
    deliver(&world, ["sms", "whatsapp", "facebook"]).await;

    // Recipients get messages in order: were there a second copy, it would be here before this one.
    let posted = world.client.say(&talk.sid, "desk", "the end").await.expect(201);
    let message = posted["sid"].as_str().unwrap();
    let ended = |receipts: &[serde_json::Value]| receipts.iter().all(|receipt| !receipt["status"].is_null());
    let receipts = world.receipts_until(&talk.sid, message, ended).await;
    // Who last wrote a week ago is outside the window on WhatsApp and Messenger, and repeats do not open it.
    let codes: Vec<_> = receipts.iter().map(|receipt| receipt["error_code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [0, 131_047, 10]);
    for (person, last) in [(ANN, Some("the end")), (BOB, None), (CAT, None)] {
        let texts: Vec<_> = world.sink.taken_for(person).iter().map(|sent| sent.text().to_owned()).collect();
        let expected: Vec<_> = ["only once", "only once"].into_iter().chain(last).collect();
        assert_eq!(texts, expected, "{person}");
    }
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!(messages.len(), 4);
    // The clock door is open: the store's new rows are from a week ahead.
    let [first, last] = [0, 3].map(|at: usize| {
        let created = messages[at]["date_created"].as_str().unwrap();
        trunkline_adapter::Timestamp::parse(created).unwrap()
    });
    assert!(last.since(first).as_secs() >= week);
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.sum("trunkline_inbound_messages_total", &[("outcome", "accepted")]), 0.0);
    assert_eq!(metrics.sum("trunkline_inbound_messages_total", &[("outcome", "duplicate")]), 15.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_elsewhere_is_another_message() {
    let second = "+15550009999";
    let world = World::start_with(|config| {
        let us = config.adapter("us");
        let mut other = Adapter { name: "us2".to_owned(), ..us.clone() };
        other.proxies = vec![Proxy { address: second.to_owned(), lines: Vec::new() }];
        let base = crate::harness::config::quoted(
            &serde_json::from_str::<String>(&other.settings["base_url"]).unwrap().replace("/us", "/us2"),
        );
        other.settings.insert("base_url".to_owned(), base);
        config.adapters.push(other);
    })
    .await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP), (CAT, PAGE)]).await;
    let other = world.client.conversation(&[(ANN, second)]).await;
    let mut elsewhere = world.sms(ANN).through("us2");
    elsewhere.to = second.to_owned();
    for (phone, text) in [
        (world.sms(ANN), "over the first number"),
        (elsewhere, "over the second"),
        (world.whatsapp(BOB), "over whatsapp"),
        (world.messenger(CAT), "over messenger"),
    ] {
        for _ in 0..2 {
            assert_eq!(
                world.webhook(phone.text("SMffffffffffffffffffffffffffffffff", text)).await.status,
                200
            );
        }
    }
    let bodies = async |sid: &str| -> Vec<String> {
        let messages = world.client.messages(sid).await;
        messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(bodies(&talk.sid).await, ["over the first number", "over whatsapp", "over messenger"]);
    assert_eq!(bodies(&other.sid).await, ["over the second"]);
}
