//! Event webhooks: who hears what of whom, and who may change or refuse it.

use http::Method;
use serde_json::Value;
use trunkline_adapter::DeliveryStatus;

use crate::harness::hooks::{Call, Receiver, Reply};
use crate::harness::{SMS, World};

const ANN: &str = "+15557770001";
/// Every event there is.
pub const ALL: [&str; 23] = [
    "onConversationAdd",
    "onConversationUpdate",
    "onConversationRemove",
    "onParticipantAdd",
    "onParticipantUpdate",
    "onParticipantRemove",
    "onMessageAdd",
    "onMessageUpdate",
    "onMessageRemove",
    "onUserUpdate",
    "onConversationAdded",
    "onConversationUpdated",
    "onConversationRemoved",
    "onConversationStateUpdated",
    "onParticipantAdded",
    "onParticipantUpdated",
    "onParticipantRemoved",
    "onMessageAdded",
    "onMessageUpdated",
    "onMessageRemoved",
    "onDeliveryUpdated",
    "onUserAdded",
    "onUserUpdated",
];

/// A world whose daemon may call receivers on this machine.
pub async fn world(webhooks: &str) -> World {
    let rest = format!("[egress]\nallow_private = [\"127.0.0.0/8\"]\n[webhooks]\n{webhooks}\n");
    World::start_with(|config| config.rest = rest).await
}

/// Sets an account's or a service's webhooks.
pub async fn listen(world: &World, path: &str, pre: &str, post: &str, filters: &[&str]) {
    let mut fields = vec![("PreWebhookUrl", pre), ("PostWebhookUrl", post)];
    fields.extend(filters.iter().map(|name| ("Filters", *name)));
    world.client.post(path, &fields).await.expect(200);
}

fn sid(body: &Value) -> String {
    body["sid"].as_str().unwrap_or_else(|| panic!("no sid: {body}")).to_owned()
}

fn names(calls: &[Call]) -> Vec<&str> {
    calls.iter().map(Call::event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_talk_is_told_from_birth_to_end() {
    let world = world("").await;
    let receiver = Receiver::start().await;
    let all: Vec<&str> = ALL.to_vec();
    listen(&world, "/v1/Configuration/Webhooks", "", &receiver.url("/post?x=1"), &all).await;
    let client = &world.client;
    // Whoever does not ask for it is not heard of.
    let quiet = client.conversation(&[]).await;
    client.say(&quiet.sid, "system", "hush").await.expect(201);

    let named = [("FriendlyName", "Order"), ("UniqueName", "o-1"), ("Attributes", "{\"a\":1}")];
    let made = client.aloud(Method::POST, "/v1/Conversations", &named).await.expect(201);
    let own = format!("/v1/Conversations/{}", sid(&made));
    let pair = [("MessagingBinding.Address", ANN), ("MessagingBinding.ProxyAddress", SMS)];
    let ann = client.aloud(Method::POST, &format!("{own}/Participants"), &pair).await.expect(201);
    let bo = [("Identity", "bo")];
    let bo = client.aloud(Method::POST, &format!("{own}/Participants"), &bo).await.expect(201);
    let said = [("Author", "bo"), ("Body", "Grüße & co")];
    let said = client.aloud(Method::POST, &format!("{own}/Messages"), &said).await.expect(201);
    let message = format!("{own}/Messages/{}", sid(&said));
    client.aloud(Method::POST, &message, &[("Body", "edited")]).await.expect(200);
    let sent = world.sink.taken(1).await;
    // Otherwise the provider may tell that it was delivered before it answers that it was taken.
    world.receipts_until(&sid(&made), &sid(&said), |receipts| receipts[0]["status"] == "sent").await;
    assert!(world.report(&sent[0], DeliveryStatus::Delivered, None).await);
    // Where the conversation is idle, whoever writes wakes it.
    client.aloud(Method::POST, &own, &[("State", "inactive")]).await.expect(200);
    assert_eq!(world.write(&world.sms(ANN), "and hello").await.status, 200);
    client.aloud(Method::DELETE, &message, &[]).await.expect(204);
    let who = format!("{own}/Participants/{}", sid(&bo));
    client.aloud(Method::POST, &who, &[("Attributes", "{\"b\":2}")]).await.expect(200);
    client.aloud(Method::DELETE, &who, &[]).await.expect(204);
    client.aloud(Method::POST, "/v1/Users/bo", &[("FriendlyName", "Bo")]).await.expect(200);
    client.aloud(Method::POST, &own, &[("FriendlyName", "Done")]).await.expect(200);
    client.aloud(Method::DELETE, &own, &[]).await.expect(204);

    let calls = receiver.until("the end", |calls| {
        names(calls).contains(&"onConversationRemoved") && names(calls).contains(&"onUserUpdated")
    });
    let calls = calls.await;
    let of = |event: &str| -> Call {
        let found: Vec<&Call> = calls.iter().filter(|call| call.event() == event).collect();
        found.last().unwrap_or_else(|| panic!("no {event} in {:?}", names(&calls))).to_owned().clone()
    };
    assert!(calls.iter().all(|call| call.get("ConversationSid") != Some(quiet.sid.as_str())), "{calls:#?}");
    assert!(calls.iter().all(|call| call.target == "/post?x=1" && call.text("RetryCount") == "0"));
    assert!(calls.iter().all(|call| !call.text("ChatServiceSid").is_empty() && call.token.len() == 32));
    // In the order in which it happened, statuses and the user aside: they have orders of their own.
    let told: Vec<&str> = names(&calls).into_iter().filter(|name| !name.contains("Delivery")).collect();
    let told: Vec<&str> = told.into_iter().filter(|name| !name.contains("User")).collect();
    assert_eq!(
        told,
        [
            "onConversationAdded",
            "onParticipantAdded",
            "onParticipantAdded",
            "onMessageAdded",
            "onMessageUpdated",
            "onConversationStateUpdated",
            "onMessageAdded",
            "onConversationStateUpdated",
            "onMessageRemoved",
            "onParticipantUpdated",
            "onParticipantRemoved",
            "onConversationUpdated",
            "onConversationRemoved",
        ]
    );
    let added = of("onConversationAdded");
    assert_eq!((added.text("FriendlyName"), added.text("UniqueName")), ("Order", "o-1"));
    assert_eq!(
        (added.text("Attributes"), added.text("State"), added.text("Source")),
        ("{\"a\":1}", "active", "API")
    );
    assert!(added.text("DateCreated").ends_with('Z') && added.text("DateCreated").len() == 24);
    let phone = calls.iter().find(|call| call.get("ParticipantSid") == Some(&sid(&ann))).unwrap();
    assert_eq!(phone.text("MessagingBinding.Address"), ANN);
    assert_eq!(
        (phone.text("MessagingBinding.ProxyAddress"), phone.text("MessagingBinding.Type")),
        (SMS, "SMS")
    );
    let first = calls.iter().find(|call| call.event() == "onMessageAdded").unwrap();
    assert_eq!((first.text("Body"), first.text("Author"), first.text("Index")), ("Grüße & co", "bo", "0"));
    assert_eq!(
        (first.text("MessageSid"), first.text("ParticipantSid")),
        (sid(&said).as_str(), sid(&bo).as_str())
    );
    let heard = of("onMessageAdded");
    assert_eq!((heard.text("Body"), heard.text("Author"), heard.text("Source")), ("and hello", ANN, "SMS"));
    assert_eq!(of("onMessageUpdated").text("Body"), "edited");
    assert!(of("onMessageRemoved").get("DateRemoved").is_some());
    let states: Vec<_> = calls.iter().filter(|call| call.event() == "onConversationStateUpdated").collect();
    let moves: Vec<_> = states
        .iter()
        .map(|call| (call.text("StateFrom"), call.text("StateTo"), call.text("Reason")))
        .collect();
    assert_eq!(moves, [("active", "inactive", "API"), ("inactive", "active", "EVENT")]);
    let statuses: Vec<_> = calls
        .iter()
        .filter(|call| call.event() == "onDeliveryUpdated")
        .map(|call| call.text("Status"))
        .collect();
    assert_eq!(statuses, ["sent", "delivered"]);
    assert_eq!(of("onDeliveryUpdated").text("MessageSid"), sid(&said));
    assert_eq!(of("onUserAdded").text("Identity"), "bo");
    assert_eq!(of("onUserUpdated").text("FriendlyName"), "Bo");
    let metrics = world.daemon.metrics().await;
    let taken = [("hook", "post"), ("outcome", "taken")];
    assert!(metrics.value("trunkline_event_webhooks_total", &taken) >= calls.len() as f64 - 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_services_webhooks_replace_its_accounts_and_filters_decide() {
    let world = world("").await;
    let (account, service) = (Receiver::start().await, Receiver::start().await);
    let events = ["onMessageAdded"];
    listen(&world, "/v1/Configuration/Webhooks", "", &account.url("/"), &events).await;
    let client = &world.client;
    let made = client.post("/v1/Services", &[("FriendlyName", "Shop")]).await.expect(201);
    let root = format!("/v1/Services/{}", sid(&made));
    let say = |root: String| async move {
        let talk = client.aloud(Method::POST, &format!("{root}/Conversations"), &[]).await.expect(201);
        let path = format!("{root}/Conversations/{}/Messages", sid(&talk));
        client.aloud(Method::POST, &path, &[("Body", "x")]).await.expect(201);
    };
    say(root.clone()).await;
    account.events("onMessageAdded", 1).await;
    let get =
        [("Method", "GET"), ("PostWebhookUrl", &service.url("/hook?k=v")), ("Filters", "onMessageAdded")];
    client.post(&format!("{root}/Configuration/Webhooks"), &get).await.expect(200);
    say(root.clone()).await;
    let heard = service.events("onMessageAdded", 1).await;
    assert_eq!((heard[0].method.clone(), heard[0].text("k")), (Method::GET, "v"));
    say("/v1".to_owned()).await;
    account.events("onMessageAdded", 2).await;
    assert_eq!(
        (account.calls().len(), service.calls().len()),
        (2, 1),
        "nobody hears of conversations that came"
    );
    // Kept over a restart, gone with the service.
    let mut world = world;
    world.crash().await;
    let path = format!("{root}/Configuration/Webhooks");
    assert_eq!(world.client.get(&path).await.expect(200)["method"], "GET");
    let path = format!("{root}/Conversations");
    let talk = world.client.aloud(Method::POST, &path, &[]).await.expect(201);
    let path = format!("{path}/{}/Messages", sid(&talk));
    world.client.aloud(Method::POST, &path, &[("Body", "x")]).await.expect(201);
    service.events("onMessageAdded", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_asked_first_may_change_or_refuse() {
    let world = world("").await;
    let receiver = Receiver::start().await;
    let all: Vec<&str> = ALL.to_vec();
    listen(&world, "/v1/Configuration/Webhooks", &receiver.url("/pre"), &receiver.url("/post"), &all).await;
    receiver.script(|call| {
        let body = call.get("Body").unwrap_or_default();
        let reply = |status, text: &str| Reply::Answer(status, text.to_owned());
        match (call.event(), body) {
            ("onConversationAdd", _) => reply(200, r#"{"friendly_name": "Renamed", "nonsense": 1}"#),
            ("onConversationUpdate", _) => {
                reply(200, &format!(r#"{{"friendly_name": "{}"}}"#, "x".repeat(257)))
            }
            ("onConversationRemove" | "onParticipantRemove" | "onMessageRemove", _) => reply(403, ""),
            ("onMessageAdd", "rude") => reply(451, ""),
            ("onMessageAdd", "broken") => reply(200, r#"{"attributes": "{"}"#),
            ("onMessageAdd" | "onMessageUpdate", _) => {
                reply(200, r#"{"body": "censored", "author": "desk", "attributes": "{\"seen\":true}"}"#)
            }
            _ => Reply::ok(),
        }
    });
    let client = &world.client;
    let named = [("FriendlyName", "Mine")];
    let made = client.aloud(Method::POST, "/v1/Conversations", &named).await.expect(201);
    assert_eq!(made["friendly_name"], "Renamed");
    let own = format!("/v1/Conversations/{}", sid(&made));
    assert_eq!(client.aloud(Method::POST, &own, &named).await.code(), 50003);
    assert_eq!(
        client.post(&own, &named).await.expect(200)["friendly_name"],
        "Mine",
        "who does not ask is not asked about"
    );
    let vetoed = client.aloud(Method::DELETE, &own, &[]).await;
    assert_eq!((vetoed.status, vetoed.code()), (403, 50056));
    client.join(&sid(&made), (ANN, SMS)).await.expect(201);
    let messages = format!("{own}/Messages");
    for (body, code) in [("rude", 50056), ("broken", 50304)] {
        assert_eq!(client.aloud(Method::POST, &messages, &[("Body", body)]).await.code(), code);
    }
    let said = client.aloud(Method::POST, &messages, &[("Body", "nice")]).await.expect(201);
    assert_eq!((&said["body"], &said["author"]), (&"censored".into(), &"desk".into()));
    assert_eq!(said["attributes"], "{\"seen\":true}");
    let message = format!("{messages}/{}", sid(&said));
    let changed = client.aloud(Method::POST, &message, &[("Body", "other")]).await.expect(200);
    assert_eq!(changed["body"], "censored");
    assert_eq!(client.aloud(Method::DELETE, &message, &[]).await.code(), 50056);
    let user = client.aloud(Method::POST, "/v1/Users", &[("Identity", "cy")]).await.expect(201);
    client
        .aloud(Method::POST, &format!("/v1/Users/{}", sid(&user)), &[("FriendlyName", "Cy")])
        .await
        .expect(200);

    // What a provider brings is answered at once, and asked about behind its back.
    let phone = world.sms(ANN);
    let (nice, rude) = (world.message_id(&phone), world.message_id(&phone));
    for (id, text) in [(&nice, "hello"), (&rude, "rude"), (&nice, "hello"), (&rude, "rude")] {
        assert_eq!(world.webhook(phone.text(id, text)).await.status, 200);
    }
    assert_eq!(world.write(&phone, "and more").await.status, 200);
    let shown = || async {
        let messages = client.messages(&sid(&made)).await;
        (messages.len() == 3).then_some(messages)
    };
    let shown = world.daemon.eventually("three messages", shown).await;
    assert!(shown.iter().all(|message| message["body"] == "censored"), "{shown:?}");
    assert_eq!(shown[1]["author"], "desk");
    let counted = || async {
        let metrics = world.daemon.metrics().await;
        let count = |outcome| {
            metrics.value("trunkline_inbound_messages_total", &[("adapter", "us"), ("outcome", outcome)])
        };
        let quiet = metrics.value("trunkline_inbox_messages", &[]) == 0.0;
        (quiet && count("refused") == 1.0 && count("accepted") == 2.0 && count("duplicate") == 2.0)
            .then_some(())
    };
    world.daemon.eventually("one refused, two accepted, two repeated", counted).await;
    let dump = world.daemon.dump_text();
    assert!(dump.contains("refused by a pre-action webhook"), "what was refused is kept");
    let asked = receiver.calls().iter().filter(|call| call.event() == "onMessageAdd").count();
    assert_eq!(asked, 3 + 3, "three posts and three messages; repeats are not asked about");
    // Whoever was amended is told as amended.
    let told = receiver.events("onMessageAdded", 3).await;
    assert!(told.iter().all(|call| call.text("Body") == "censored"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_before_is_consent_unless_the_operator_says_otherwise() {
    let mut world = world("on_timeout = \"proceed\"").await;
    let (hung, gone) = (Receiver::start().await, Receiver::closed().await);
    hung.script(|_| Reply::Hang);
    let events = ["onConversationAdd"];
    for (receiver, outcome) in [(&hung, "timed_out"), (&gone, "failed")] {
        listen(&world, "/v1/Configuration/Webhooks", &receiver.url("/"), "", &events).await;
        world.client.aloud(Method::POST, "/v1/Conversations", &[]).await.expect(201);
        let metrics = world.daemon.metrics().await;
        assert_eq!(
            metrics.value("trunkline_event_webhooks_total", &[("hook", "pre"), ("outcome", outcome)]),
            1.0
        );
    }
    world.reconfigure(|config| config.rest = config.rest.replace("proceed", "refuse"));
    let refused = world.client.aloud(Method::POST, "/v1/Conversations", &[]).await;
    assert_eq!((refused.status, refused.code()), (403, 50056));
    // A private network that is not allowed is as good as nobody there.
    world.reconfigure(|config| config.rest = config.rest.replace("127.0.0.0/8", "10.0.0.0/8"));
    let open = Receiver::start().await;
    listen(&world, "/v1/Configuration/Webhooks", &open.url("/"), "", &events).await;
    assert_eq!(world.client.aloud(Method::POST, "/v1/Conversations", &[]).await.code(), 50056);
    assert!(open.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_a_conversation_hear_words_and_what_was_said_before() {
    let world = world("").await;
    let (replayed, words, plain) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let client = &world.client;
    let talk = client.conversation(&[(ANN, SMS)]).await;
    let own = format!("/v1/Conversations/{}", talk.sid);
    for number in 0..80 {
        client.say(&talk.sid, "system", &format!("before {number}")).await.expect(201);
    }
    let hooks = format!("{own}/Webhooks");
    let hook = |target: &str, url: String, more: Vec<(&'static str, &'static str)>| {
        let mut fields =
            vec![("Target".to_owned(), target.to_owned()), ("Configuration.Url".to_owned(), url)];
        fields
            .extend(more.iter().map(|(name, value)| (format!("Configuration.{name}"), (*value).to_owned())));
        fields
    };
    let create = |fields: Vec<(String, String)>| {
        let hooks = hooks.clone();
        async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            client.post(&hooks, &fields).await
        }
    };
    create(hook("trigger", words.url("/"), vec![("Triggers", "Help"), ("Triggers", "größe")]))
        .await
        .expect(201);
    create(hook(
        "webhook",
        plain.url("/"),
        vec![("Filters", "onDeliveryUpdated"), ("Filters", "onMessageAdded")],
    ))
    .await
    .expect(201);
    let made = hook("webhook", replayed.url("/"), vec![("Filters", "onMessageAdded"), ("ReplayAfter", "9")]);
    let made = create(made).await.expect(201);
    assert_eq!(made["configuration"]["replay_after"], 9);
    for text in ["nothing", "please HELP me", "welche GRÖSSE? die größe!"] {
        assert_eq!(world.write(&world.sms(ANN), text).await.status, 200);
    }
    let heard = replayed.events("onMessageAdded", 73).await;
    let indexes: Vec<u64> = heard.iter().map(|call| call.text("Index").parse().unwrap()).collect();
    assert_eq!(indexes, (10..83).collect::<Vec<_>>(), "each once and in order");
    assert_eq!(heard[0].text("Body"), "before 10");
    let tokens: std::collections::BTreeSet<&str> = heard.iter().map(|call| call.token.as_str()).collect();
    assert_eq!(tokens.len(), heard.len());
    let heard = words.events("onMessageAdded", 2).await;
    assert_eq!((heard[0].text("Body"), heard[1].text("Index")), ("please HELP me", "82"));
    client.say(&talk.sid, "system", "quiet, but sent").await.expect(201);
    plain.events("onDeliveryUpdated", 1).await;
    plain.events("onMessageAdded", 3).await;
    assert_eq!(plain.calls().iter().filter(|call| call.event() == "onMessageAdded").count(), 3);

    for number in 3..5 {
        create(hook("webhook", plain.url(&format!("/{number}")), vec![("Filters", "onMessageUpdated")]))
            .await
            .expect(201);
    }
    let sixth = create(hook("webhook", plain.url("/"), vec![("Filters", "onMessageUpdated")])).await;
    assert_eq!((sixth.status, sixth.code()), (400, 50361));
    assert_eq!(client.list(&hooks, "webhooks").await.len(), 5);
    let one = format!("{hooks}/{}", sid(&made));
    client.delete(&one).await.expect(204);
    assert_eq!(client.get(&one).await.expect(404)["code"], 20404);
    assert_eq!(client.delete(&format!("{hooks}/WH{:032}", 0)).await.status, 404);
    client.post(&own, &[("State", "closed")]).await.expect(200);
    assert_eq!(
        create(hook("webhook", plain.url("/"), vec![("Filters", "onMessageAdded")])).await.code(),
        50377
    );
}
