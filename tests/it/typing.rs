//! Somebody at a client is typing: people on WhatsApp and Messenger see it, and no message suffers from it.

use serde_json::{Value, json};
use trunkline_adapter::Address;
use trunkline_adapter::simulator::{ShownTyping, Viewer};

use crate::harness::guest::{self, Guest};
use crate::harness::{Conversation, PAGE, SMS, WHATSAPP, World};

const ADA: &str = "+15557770001";
const BO: &str = "whatsapp:+15557770002";
const CLEO: &str = "messenger:24000100003";

async fn types(guest: &mut Guest, conversation: &str) {
    let form = Value::String(format!("ChannelSid={conversation}"));
    assert_eq!(guest.ask("POST", "/Client/v2/Typing", &form).await, json!({ "typing_timeout": 5 }));
}

/// A talk of three phones with Dana and Eve at their clients.
async fn talk(world: &World) -> Conversation {
    let talk = world.client.conversation(&[(ADA, SMS), (BO, WHATSAPP), (CLEO, PAGE)]).await;
    for identity in ["dana", "eve"] {
        let path = format!("/v1/Conversations/{}/Participants", talk.sid);
        world.client.post(&path, &[("Identity", identity)]).await.expect(201);
    }
    talk
}

fn shown(from: &str, to: Viewer) -> ShownTyping {
    ShownTyping { from: Address::parse(from).unwrap(), to }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_at_a_client_shows_on_whatsapp_and_messenger_and_at_other_clients() {
    let world = World::start_with(guest::welcome).await;
    let talk = talk(&world).await;
    let (mut dana, mut eve) = (Guest::enter(&world, "dana").await, Guest::enter(&world, "eve").await);

    // Nobody outside has written: there is nothing that could be answered.
    types(&mut dana, &talk.sid).await;
    let told = eve.hear("twilio.ipmsg.typing_indicator", |_| true).await;
    assert_eq!(told, json!({ "channel_sid": talk.sid, "identity": "dana", "typing_timeout": 6 }));
    assert_eq!(world.sink.typing_so_far(), []);

    let (ada, bo, cleo) = (world.sms(ADA), world.whatsapp(BO), world.messenger(CLEO));
    for (phone, text) in [(&ada, "one"), (&bo, "two"), (&cleo, "three")] {
        assert_eq!(world.write(phone, text).await.status, 200);
    }
    let last = world.message_id(&bo);
    assert_eq!(world.webhook(bo.text(&last, "four")).await.status, 200);
    // What they wrote to each other has left: a lane with something to send shows nothing.
    world.sink.taken(8).await;
    world.quiet().await;
    types(&mut dana, &talk.sid).await;
    let mut seen = world.sink.typing(2).await;
    seen.sort_by_key(|shown| shown.from.to_string());
    let by_whatsapp = shown(WHATSAPP, Viewer::WriterOf(last));
    let by_messenger = shown(PAGE, Viewer::Person(Address::parse(CLEO).unwrap()));
    assert_eq!(seen, [by_messenger, by_whatsapp]);

    // Both go on typing: whoever saw it just now is not told again, and messages arrive as ever.
    types(&mut dana, &talk.sid).await;
    types(&mut eve, &talk.sid).await;
    let path = format!("/Client/v2/Conversations/{}/Messages", talk.sid);
    dana.ask("POST", &path, &json!({ "body": "five" })).await;
    let sent = world.sink.taken(11).await;
    assert_eq!(sent.iter().filter(|sent| sent.text() == "five").count(), 3);
    assert_eq!(world.sink.typing_so_far().len(), 2);

    // Whoever is not in the conversation cannot make anybody see it.
    let mut stranger = Guest::enter(&world, "mallory").await;
    let form = Value::String(format!("ChannelSid={}", talk.sid));
    assert_eq!(stranger.call("POST", "/Client/v2/Typing", &form).await.0, 403);
}
