//! What we added to the API, against the real daemon: idempotency keys over a crash, exports, journals, windows, templates.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, Client, SMS, WHATSAPP, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";

async fn keyed(client: &Client, key: &str, path: &str, body: &'static str) -> Answer {
    let request = client.http.request(Method::POST, format!("{}{path}", client.base));
    let request = request.basic_auth(&client.user, Some(&client.password)).header("idempotency-key", key);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    crate::harness::read(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_holds_over_a_crash() {
    let mut world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS)]).await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    let first = keyed(&world.client, "order-17", &path, "Body=once").await;
    assert_eq!(first.status, 201, "{}", first.text);
    world.sink.taken(1).await;
    world.crash().await;
    let again = keyed(&world.client, "order-17", &path, "Body=once").await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let other = keyed(&world.client, "order-17", &path, "Body=twice").await;
    assert_eq!((other.status, other.code()), (422, 20422));
    assert_eq!(world.client.messages(&talk.sid).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_talk_is_exported_and_a_message_tells_its_story() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    assert_eq!(world.write(&world.sms(ANN), "hello").await.status, 200);
    world.sink.taken(1).await;
    let message = world.client.messages(&talk.sid).await.remove(0);
    let sid = message["sid"].as_str().unwrap();
    world.receipts_until(&talk.sid, sid, |receipts| receipts[0]["status"] == "sent").await;

    let told =
        world.client.get(&format!("/v1/Conversations/{}/Messages/{sid}/Journal", talk.sid)).await.expect(200);
    let entries = told["entries"].as_array().unwrap();
    let events: Vec<&str> = entries.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["received", "matched", "queued", "accepted", "status"]);
    assert_eq!((&entries[0]["channel"], &entries[0]["proxy_address"]), (&"twilio".into(), &SMS.into()));
    assert_eq!(entries[1]["participant_sid"], talk.participants[0].as_str());
    assert_eq!(entries[2]["address"], BOB);

    let export = world.client.get(&format!("/v1/Conversations/{}/Export", talk.sid)).await;
    let lines: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let objects: Vec<&str> = lines.iter().map(|line| line["object"].as_str().unwrap()).collect();
    assert_eq!(objects, ["conversation", "participant", "participant", "message", "end"]);
    assert_eq!(
        (&lines[3]["body"], &lines[3]["delivery_receipts"][0]["status"]),
        (&"hello".into(), &"sent".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_leaves_as_each_channel_takes_it() {
    let world = World::start_with(|config| {
        config.rest = "[[template]]\nsid = \"HX00000000000000000000000000000001\"\n\
                       body = \"Hi {{1}}, {{2}} is ready.\"\n\
                       whatsapp = { name = \"ready\", language = \"en_US\" }\n"
            .to_owned();
    })
    .await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let closes = || async {
        let path = format!("/v1/Conversations/{}/Participants/{}", talk.sid, talk.participants[1]);
        world.client.get(&path).await.expect(200)["messaging_binding"]["window_closes"].clone()
    };
    assert_eq!(closes().await, Value::Null);
    let fields = [
        ("ContentSid", "HX00000000000000000000000000000001"),
        ("ContentVariables", r#"{"1":"Ann","2":"A-17"}"#),
    ];
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    let posted = world.client.post(&path, &fields).await.expect(201);
    assert_eq!(posted["body"], "Hi Ann, A-17 is ready.");
    let sent = world.sink.taken(2).await;
    let to = |address: &str| sent.iter().find(|sent| sent.to() == address).unwrap();
    assert_eq!(to(ANN).text(), "Hi Ann, A-17 is ready.");
    let whatsapp: Value = serde_json::from_slice(&to(BOB).body).unwrap();
    assert_eq!((&whatsapp["type"], &whatsapp["template"]["name"]), (&"template".into(), &"ready".into()));
    assert_eq!(whatsapp["template"]["components"][0]["parameters"][1]["text"], "A-17");

    assert_eq!(world.write(&world.whatsapp(BOB), "thanks").await.status, 200);
    assert!(closes().await.as_str().is_some_and(|at| at.ends_with('Z')), "known once they wrote");
    let unknown = world.client.post(&path, &[("ContentSid", "HX00000000000000000000000000000002")]).await;
    assert_eq!((unknown.status, unknown.code()), (400, 50526));
}
