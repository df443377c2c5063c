//! Messages that belong to no conversation: they make one, are forwarded, or are counted, as the address or its messaging
//! service is configured, and as the next reload has it.

use serde_json::Value;

use crate::harness::config::ACCOUNT;
use crate::harness::hooks::{Call, Receiver, Reply};
use crate::harness::{PAGE, Phone, SMS, WHATSAPP, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";
const SERVICE: &str = "MG00000000000000000000000000000001";

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_else(|| panic!("{key} of {body}"))
}

/// A messaging service of all our addresses, and leave to call this machine.
fn service(lines: &str) -> String {
    format!(
        "[egress]\nallow_private = [\"127.0.0.1\"]\n[[messaging_service]]\nsid = \"{SERVICE}\"\n\
         proxies = [\"{SMS}\", \"{WHATSAPP}\", \"{PAGE}\"]\n{lines}\n"
    )
}

fn forward(application: &Receiver) -> String {
    service(&format!("inbound = \"forward\"\nforward_url = \"{}\"", application.url("/messages")))
}

async fn conversations(world: &World) -> Vec<Value> {
    world.client.list("/v1/Conversations", "conversations").await
}

async fn bodies(world: &World, conversation: &Value) -> Vec<String> {
    let messages = world.client.messages(text(conversation, "sid")).await;
    messages.iter().map(|message| text(message, "body").to_owned()).collect()
}

async fn unbound(world: &World, adapter: &str) -> f64 {
    let labels = [("adapter", adapter), ("outcome", "unbound")];
    world.daemon.metrics().await.value("trunkline_inbound_messages_total", &labels)
}

/// Waits until so many were posted. The receiver has checked their signatures.
async fn posts(application: &Receiver, count: usize) -> Vec<Call> {
    application.until("a post", |calls| calls.len() >= count).await
}

fn phones(world: &World) -> [Phone; 3] {
    [world.sms(ANN), world.whatsapp(BOB), world.messenger(CAT)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_makes_its_conversation_on_every_channel() {
    let mut world = World::start().await;
    let shop = world.client.post("/v1/Services", &[("FriendlyName", "Shop")]).await.expect(201);
    let flow = "FW00000000000000000000000000000001";
    let place = [("AutoCreation.ConversationServiceSid", text(&shop, "sid"))];
    let hook = [
        ("AutoCreation.Type", "webhook"),
        ("AutoCreation.WebhookUrl", "https://app.example.com/hook"),
        ("AutoCreation.WebhookMethod", "post"),
        ("AutoCreation.WebhookFilters", "onMessageAdded"),
        ("AutoCreation.WebhookFilters", "onParticipantAdded"),
    ];
    let studio = [("AutoCreation.Type", "studio"), ("AutoCreation.StudioFlowSid", flow)];
    for (kind, address, more) in
        [("sms", SMS, &hook[..]), ("whatsapp", WHATSAPP, &studio[..]), ("messenger", PAGE, &place[..])]
    {
        let fields =
            [&[("Type", kind), ("Address", address), ("AutoCreation.Enabled", "true")], more].concat();
        let made = world.client.post("/v1/Configuration/Addresses", &fields).await.expect(201);
        assert_eq!((text(&made, "address"), &made["auto_creation"]["enabled"]), (address, &true.into()));
        let again = world.client.post("/v1/Configuration/Addresses", &fields).await;
        assert_eq!((again.status, again.code()), (409, 20409));
    }
    let shown = world.client.get("/v1/Configuration/Addresses/%2B15550001111").await.expect(200);
    assert_eq!(shown["auto_creation"]["webhook_filters"].as_array().unwrap().len(), 2);
    let only = world.client.list("/v1/Configuration/Addresses?Type=whatsapp", "address_configurations").await;
    assert_eq!((only.len(), text(&only[0]["auto_creation"], "studio_flow_sid")), (1, flow));

    world.crash().await;
    let ids = phones(&world).map(|phone| world.message_id(&phone));
    for (phone, id) in phones(&world).iter().zip(&ids) {
        assert_eq!(world.webhook(phone.text(id, "hello")).await.status, 200);
        world.crash().await;
        assert_eq!(world.webhook(phone.text(id, "hello")).await.status, 200, "a repeat");
    }
    for phone in &phones(&world) {
        world.write(phone, "more").await;
        world.write(phone, "and more").await;
    }
    let within = format!("/v1/Services/{}/Conversations", text(&shop, "sid"));
    let mut all = conversations(&world).await;
    all.extend(world.client.list(&within, "conversations").await);
    let names: Vec<&str> = all.iter().map(|made| text(made, "friendly_name")).collect();
    assert_eq!(names, [BOB, ANN, CAT]);
    for made in &all {
        assert_eq!((text(made, "state"), &made["unique_name"]), ("active", &Value::Null));
        let own = made["url"].as_str().unwrap();
        let own = &own[own.find("/v1/").unwrap()..];
        let people = world.client.list(&format!("{own}/Participants"), "participants").await;
        assert_eq!(people.len(), 1);
        assert_eq!(text(&people[0]["messaging_binding"], "address"), text(made, "friendly_name"));
        let messages = world.client.list(&format!("{own}/Messages"), "messages").await;
        let said: Vec<_> =
            messages.iter().map(|message| (text(message, "author"), text(message, "body"))).collect();
        let author = text(made, "friendly_name");
        assert_eq!(said, [(author, "hello"), (author, "more"), (author, "and more")]);
        // And the other way.
        let answer = [("Author", "desk"), ("Body", "how can we help?")];
        world.client.post(&format!("{own}/Messages"), &answer).await.expect(201);
    }
    let sent = world.sink.taken(3).await;
    assert!(sent.iter().all(|sent| sent.text() == "how can we help?"), "{sent:?}");
    for name in ["us", "wa", "pages"] {
        assert_eq!(unbound(&world, name).await, 0.0);
    }

    // Not any more: what comes is counted.
    let off = [("AutoCreation.Enabled", "false")];
    world.client.post("/v1/Configuration/Addresses/%2B15550001111", &off).await.expect(200);
    world.write(&world.sms("+15557770009"), "too late").await;
    assert_eq!((unbound(&world, "us").await, conversations(&world).await.len()), (1.0, 2));
    world.client.delete("/v1/Configuration/Addresses/%2B15550001111").await.expect(204);
    assert_eq!(world.client.get("/v1/Configuration/Addresses/%2B15550001111").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_says_what_becomes_of_the_next_message() {
    let application = Receiver::start().await;
    let mut world = World::start_with(|config| config.rest = service("inbound = \"drop\"")).await;
    world.write(&world.sms(ANN), "one").await;
    assert_eq!((unbound(&world, "us").await, conversations(&world).await.len()), (1.0, 0));
    world.reconfigure(|config| config.rest = service("inbound = \"autocreate\""));
    world.write(&world.sms(ANN), "two").await;
    let made = conversations(&world).await;
    assert_eq!((made.len(), text(&made[0], "messaging_service_sid")), (1, SERVICE));
    world.reconfigure(|config| config.rest = forward(&application));
    // Whoever is in a conversation stays in it.
    world.write(&world.sms(ANN), "three").await;
    assert_eq!(bodies(&world, &made[0]).await, ["two", "three"]);
    world.write(&world.whatsapp(BOB), "four").await;
    assert_eq!(posts(&application, 1).await[0].text("Body"), "four");
    world.reconfigure(|config| config.rest = service(""));
    world.write(&world.messenger(CAT), "five").await;
    assert_eq!(application.calls().len(), 1);
    for (name, count) in [("us", 1.0), ("wa", 1.0), ("pages", 1.0)] {
        assert_eq!(unbound(&world, name).await, count, "{name}");
    }
    // A conversation may name a service that there is, and no other.
    for (sid, status) in [(SERVICE, 201), ("MG00000000000000000000000000000009", 400)] {
        let answer = world.client.post("/v1/Conversations", &[("MessagingServiceSid", sid)]).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        if status == 400 {
            assert_eq!(answer.code(), 50342);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_is_signed_and_its_answer_is_sent() {
    let application = Receiver::start().await;
    application.script(|call| {
        let answer = format!(
            "<?xml version=\"1.0\"?><Response><Message>You said {} &amp; nothing else</Message></Response>",
            call.text("Body")
        );
        Reply::Typed(200, "text/xml", answer)
    });
    let world = World::start_with(|config| config.rest = forward(&application)).await;
    for phone in &phones(&world) {
        let id = world.message_id(phone);
        for _ in 0..3 {
            assert_eq!(world.webhook(phone.text(&id, "hello")).await.status, 200);
        }
    }
    let sent = world.sink.taken(3).await;
    for person in [ANN, BOB, CAT] {
        let texts: Vec<_> = sent.iter().filter(|sent| sent.to() == person).map(|sent| sent.text()).collect();
        assert_eq!(texts, ["You said hello & nothing else"], "{person}");
    }
    let posted = application.calls();
    assert_eq!(posted.len(), 3, "a provider's repeat is not forwarded again");
    for post in &posted {
        assert_eq!(post.text("AccountSid"), ACCOUNT);
        assert_eq!((post.text("MessagingServiceSid"), post.text("NumMedia")), (SERVICE, "0"));
        assert!(post.text("MessageSid").starts_with("SM") && post.text("MessageSid").len() == 34);
    }
    let from: Vec<_> = posted.iter().map(|post| (post.text("From"), post.text("To"))).collect();
    for pair in [(ANN, SMS), (BOB, WHATSAPP), (CAT, PAGE)] {
        assert!(from.contains(&pair), "{from:?}");
    }
    assert!(conversations(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_outlives_sudden_ends_on_both_sides_in_order() {
    let application = Receiver::start().await;
    application.script(|_| Reply::Typed(503, "text/plain", "not now".to_owned()));
    let mut world = World::start_with(|config| config.rest = forward(&application)).await;
    for number in 0..5 {
        for phone in &phones(&world) {
            world.write(phone, &number.to_string()).await;
        }
    }
    posts(&application, 3).await;
    world.crash().await;
    posts(&application, 6).await;
    world.crash().await;
    application.script(|call| Reply::Typed(200, "text/plain", format!("got {}", call.text("Body"))));
    let sent = world.sink.taken(15).await;
    for person in [ANN, BOB, CAT] {
        let texts: Vec<_> = sent.iter().filter(|sent| sent.to() == person).map(|sent| sent.text()).collect();
        assert_eq!(texts, ["got 0", "got 1", "got 2", "got 3", "got 4"], "{person}");
    }
    // A repeat is known by its token.
    let posted = application.calls();
    let tokens = |person: &str, body: &str| {
        let same = posted.iter().filter(|post| post.text("From") == person && post.text("Body") == body);
        let mut tokens: Vec<_> = same.map(|post| post.token.clone()).collect();
        assert!(body != "0" || tokens.len() >= 3, "{tokens:?}");
        tokens.dedup();
        assert_eq!(tokens.len(), 1);
        tokens.remove(0)
    };
    assert_ne!(tokens(ANN, "0"), tokens(ANN, "1"));
    assert_ne!(tokens(ANN, "0"), tokens(BOB, "0"));

    // Whoever opted out gets no answer of the application's; it is told all the same.
    let before = application.calls().len();
    world.write(&world.sms(ANN), "STOP").await;
    world.write(&world.sms(ANN), "hello?").await;
    posts(&application, before + 2).await;
    world.write(&world.sms("+15557770008"), "me too").await;
    let answered = |sent: &[crate::harness::Sent]| sent.iter().any(|sent| sent.text() == "got me too");
    world.sink.wait("the other's answer", answered).await;
    world.quiet().await;
    let texts = world.sink.taken_for(ANN);
    assert!(!texts.iter().any(|sent| sent.text() == "got STOP" || sent.text() == "got hello?"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_makes_itself_is_told_in_order_and_its_own_webhook_hears_the_first_message() {
    let rest = "[egress]\nallow_private = [\"127.0.0.1\"]\n";
    let world = World::start_with(|config| config.rest = rest.to_owned()).await;
    let (house, own) = (Receiver::start().await, Receiver::start().await);
    house.script(|call| match (call.event(), call.get("MessageBody").unwrap_or_default()) {
        ("onConversationAdd", "rude") => Reply::Answer(403, String::new()),
        ("onConversationAdd", _) => Reply::Answer(200, "{\"friendly_name\": \"Ann\"}".to_owned()),
        _ => Reply::ok(),
    });
    let mut hooks = vec![
        ("PreWebhookUrl".to_owned(), house.url("/pre")),
        ("PostWebhookUrl".to_owned(), house.url("/post")),
    ];
    let names = ["onConversationAdd", "onParticipantAdd", "onMessageAdd"];
    let told = ["onConversationAdded", "onParticipantAdded", "onMessageAdded"];
    hooks.extend(names.iter().chain(&told).map(|name| ("Filters".to_owned(), (*name).to_owned())));
    let hooks: Vec<_> = hooks.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.client.post("/v1/Configuration/Webhooks", &hooks).await.expect(200);
    let url = own.url("/own");
    let address = [
        ("Type", "sms"),
        ("Address", SMS),
        ("AutoCreation.Enabled", "true"),
        ("AutoCreation.Type", "webhook"),
        ("AutoCreation.WebhookUrl", url.as_str()),
        ("AutoCreation.WebhookFilters", "onMessageAdded"),
    ];
    world.client.post("/v1/Configuration/Addresses", &address).await.expect(201);

    // Asked about without the provider waiting, and refused: nothing is made, and nobody hears of it again.
    let rude = world.sms("+15557770009");
    let id = world.message_id(&rude);
    for _ in 0..2 {
        assert_eq!(world.webhook(rude.text(&id, "rude")).await.status, 200);
    }
    let refused = || async {
        let labels = [("adapter", "us"), ("outcome", "refused")];
        let metrics = world.daemon.metrics().await;
        (metrics.value("trunkline_inbound_messages_total", &labels) == 1.0).then_some(())
    };
    world.daemon.eventually("a refusal", refused).await;
    for text in ["one", "two", "three"] {
        assert_eq!(world.write(&world.sms(ANN), text).await.status, 200);
    }
    let heard = own.events("onMessageAdded", 3).await;
    let bodies: Vec<&str> = heard.iter().map(|call| call.text("Body")).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    let all = house.until("three messages", |calls| {
        calls.iter().filter(|call| call.target == "/post" && call.event() == "onMessageAdded").count() == 3
    });
    let all = all.await;
    let of = |target: &str| -> Vec<&Call> { all.iter().filter(|call| call.target == target).collect() };
    let posts: Vec<&str> = of("/post").iter().map(|call| call.event()).collect();
    assert_eq!(posts[..3], told, "in the documented order");
    assert_eq!(posts.len(), 5);
    let made = conversations(&world).await;
    assert_eq!((made.len(), text(&made[0], "friendly_name")), (1, "Ann"));
    let asked: Vec<_> =
        of("/pre").iter().map(|call| (call.event(), call.get("MessageBody"), call.get("Body"))).collect();
    assert_eq!(asked[0], ("onConversationAdd", Some("rude"), None));
    assert_eq!(
        asked[1],
        ("onConversationAdd", Some("one"), None),
        "and no question about its people or message"
    );
    let later = [("onMessageAdd", None, Some("two")), ("onMessageAdd", None, Some("three"))];
    assert_eq!(asked[2..], later);
    let first = of("/pre")[1];
    assert_eq!(first.text("MessagingBinding.Address"), ANN);
    assert_eq!(first.text("MessagingBinding.ProxyAddress"), SMS);
    assert!(world.daemon.dump_text().contains("\"Unreadable\""), "what was refused is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_application_takes_for_a_day_is_kept_and_the_next_message_goes_on() {
    let application = Receiver::start().await;
    application.script(|call| match call.text("Body") {
        "poison" => Reply::Answer(500, String::new()),
        _ => Reply::ok(),
    });
    let mut world = World::start_with(|config| config.rest = forward(&application)).await;
    world.write(&world.sms(ANN), "poison").await;
    world.write(&world.sms(ANN), "next").await;
    posts(&application, 2).await;
    assert!(application.calls().iter().all(|call| call.text("Body") == "poison"), "in order");
    let day: u64 = 24 * 3600;
    world.daemon.env.insert("TRUNKLINE_TEST_CLOCK_AHEAD".to_owned(), (day + 60).to_string());
    world.crash().await;
    // Tried once more, and then a dead letter.
    let next = |calls: &[Call]| calls.last().is_some_and(|call| call.text("Body") == "next");
    application.until("the next message", next).await;
    let socket = world.daemon.socket.display().to_string();
    let letters = |arguments: &[&str]| {
        let output = world.daemon.cli(&[&["dead-letters"], arguments, &["--socket", &socket]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed: serde_json::Value = serde_json::from_str(&letters(&["list", "--json"])).unwrap();
    let listed = listed["dead_letters"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["event"], &listed[0]["reason"]),
        (&"forwarded message".into(), &"status 500".into())
    );
    let id = listed[0]["id"].to_string();
    assert!(letters(&["show", &id]).contains("\"poison\""), "with all that was posted");
    assert!(!world.daemon.dump_text().contains("\"Queue\""), "nothing waits any more");
    // Once the application is mended it gets it, under the same token.
    application.script(|_| Reply::ok());
    assert_eq!(letters(&["retry", &id]), "1 to be told again\n");
    let again = |calls: &[Call]| calls.last().is_some_and(|call| call.text("Body") == "poison");
    let calls = application.until("the poison again", again).await;
    assert_eq!(calls[0].token, calls.last().unwrap().token);
    assert!(!letters(&["list"]).contains("forwarded"));
}
