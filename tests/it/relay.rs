//! The main job: what somebody writes reaches everybody else, and what became of it is told.

use crate::harness::{PAGE, SMS, WHATSAPP, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sms_reaches_the_others_and_theirs_come_back() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;

    assert_eq!(world.write(&world.sms(ANN), "hello from ann").await.status, 200);
    let sent = world.sink.taken(2).await;
    let mut hops: Vec<_> = sent.iter().map(|sent| (sent.from(), sent.to(), sent.text())).collect();
    hops.sort_unstable();
    assert_eq!(hops, [(PAGE, CAT, "hello from ann"), (WHATSAPP, BOB, "hello from ann")]);

    assert_eq!(world.write(&world.whatsapp(BOB), "hello from bob").await.status, 200);
    assert_eq!(world.write(&world.messenger(CAT), "hello from cat").await.status, 200);
    let sent = world.sink.taken(6).await;
    let mut hops: Vec<_> = sent[2..].iter().map(|sent| (sent.from(), sent.to(), sent.text())).collect();
    hops.sort_unstable();
    let expected = [
        (SMS, ANN, "hello from bob"),
        (SMS, ANN, "hello from cat"),
        (PAGE, CAT, "hello from bob"),
        (WHATSAPP, BOB, "hello from cat"),
    ];
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(hops, expected);

    let messages = world.client.messages(&talk.sid).await;
    let kept: Vec<_> = messages
        .iter()
        .map(|message| (message["index"].as_i64().unwrap(), message["body"].as_str().unwrap()))
        .collect();
    assert_eq!(kept, [(0, "hello from ann"), (1, "hello from bob"), (2, "hello from cat")]);
}
