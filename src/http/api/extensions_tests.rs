//! What we added to the API: exports, journals, idempotency keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::future::BoxFuture;
use http::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use trunkline_adapter::Inbound;

use super::walk::{House, house, path, text};
use super::*;
use crate::http::auth::Accounts;
use crate::http::base::Base;
use crate::http::body::Body;
use crate::http::front::Front;
use crate::http::idempotency;
use crate::http::provider::{AdapterEntry, Inlet};
use crate::http::server::{Handler, Limits};
use crate::relay::RelayError;

struct NoInlet;

impl Inlet for NoInlet {
    fn adapter(&self, _: &str) -> Option<AdapterEntry> {
        None
    }

    fn take<'a>(
        &'a self,
        _: &'a str,
        _: &'static str,
        _: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        Box::pin(async { Ok(()) })
    }

    fn keep_unreadable<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a trunkline_adapter::WebhookRequest,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        Box::pin(async { Ok(()) })
    }
}

fn front(house: &House) -> Arc<Front> {
    let (accounts, base) = (Arc::new(Accounts::default()), Arc::new(Base::new(Some("https://b.example"))));
    let door = crate::http::media::Door::without_files(house.relay.clone(), accounts.clone());
    Arc::new(Front::new(house.relay.clone(), Arc::new(NoInlet), accounts, base, door, Limits::default()))
}

fn request(house: &House, method: &str, target: &str, key: Option<&str>, body: &str) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(target);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
    let route = Route::find(request.uri().path()).expect("a route");
    request.extensions_mut().insert(house.account.clone());
    request.extensions_mut().insert(route);
    request
}

async fn read(response: Response<Body>) -> (u16, bool, Vec<Value>) {
    let replayed = response.headers().contains_key(idempotency::REPLAYED);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let lines = std::str::from_utf8(&body).unwrap().lines();
    (status, replayed, lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}

impl House {
    async fn post(&self, front: &Arc<Front>, target: &str, key: &str, body: &str) -> (u16, bool, Value) {
        let request = request(self, "POST", target, Some(key), body);
        let (status, replayed, mut lines) = read(front.clone().answer(request).await).await;
        (status, replayed, lines.pop().unwrap_or_default())
    }
}

#[tokio::test]
async fn a_repeat_under_its_key_is_answered_as_before_and_done_once() {
    let house = house();
    let front = front(&house);
    let made = house.made("/v1/Conversations", &[]).await;
    let messages = format!("{}/Messages", path(text(&made, "url")));
    let first = house.post(&front, &messages, "k1", "Body=hello").await;
    assert_eq!((first.0, first.1), (201, false));
    // What became of it meanwhile does not change the answer.
    house.ask("POST", path(text(&first.2, "url")), &[("Body", "changed")]).await;
    assert_eq!(house.post(&front, &messages, "k1", "Body=hello").await, (201, true, first.2.clone()));
    let other = house.post(&front, &messages, "k1", "Body=other").await;
    assert_eq!((other.0, &other.2["code"]), (422, &json!(20422)));
    let elsewhere = house.post(&front, "/v1/Conversations", "k1", "Body=hello").await;
    assert_eq!(elsewhere.0, 422);
    assert_eq!(house.post(&front, &messages, "k2", "Body=hello").await.2["index"], 1);
    let shown = house.ask("GET", &messages, &[]).await.1;
    assert_eq!(shown["messages"].as_array().unwrap().len(), 2);
    let bad = house.post(&front, &messages, &"k".repeat(256), "Body=x").await;
    assert_eq!((bad.0, &bad.2["code"]), (400, &json!(20001)));
}

#[tokio::test]
async fn two_at_once_are_one() {
    let house = house();
    let front = front(&house);
    let posts = (0..8).map(|_| house.post(&front, "/v1/Conversations", "k", "FriendlyName=x"));
    let answers = futures_util::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|(status, replayed, _)| *status == 201 && !replayed).count(), 1);
    assert!(answers.iter().all(|(_, _, body)| body == &answers[0].2));
    let shown = house.ask("GET", "/v1/Conversations", &[]).await.1;
    assert_eq!(shown["conversations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_judged_again() {
    let house = house();
    let front = front(&house);
    let made = house.made("/v1/Conversations", &[]).await;
    let messages = format!("{}/Messages", path(text(&made, "url")));
    house.engine.set_full(true);
    assert_eq!(house.post(&front, &messages, "k", "Body=x").await.0, 503);
    house.engine.set_full(false);
    let posted = house.post(&front, &messages, "k", "Body=x").await;
    assert_eq!((posted.0, posted.1), (201, false));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_from_what_was_made() {
    let house = house();
    let front = front(&house);
    let made = house.made("/v1/Conversations", &[("UniqueName", "u")]).await;
    for (target, body) in [
        ("/v1/Conversations", "FriendlyName=f"),
        ("/v1/ConversationWithParticipants", "FriendlyName=g"),
        ("/v1/Conversations/u", "FriendlyName=h"),
        ("/v1/Conversations/u/Participants", "Identity=ann"),
        ("/v1/Conversations/u/Messages", "Body=b"),
        ("/v1/Users", "Identity=bob"),
        ("/v1/Services", "FriendlyName=s"),
        ("/v1/Roles", "FriendlyName=r&Type=service&Permission=joinConversation"),
    ] {
        // Done as far as the commit; then the process dies.
        let asked = request(&house, "POST", target, None, body);
        let route = Route::find(target).unwrap();
        let (key, fingerprint) = (format!("k {target}"), idempotency::fingerprint(&asked));
        let work = answer(&house.relay, house.account.clone(), "https://b.example".into(), &route, &asked);
        let named = (key.as_str(), fingerprint.as_str());
        let done = house.relay.once(&house.account, named, idempotency::made(route.resource), work).await;
        let done = done.unwrap();
        for repeat in 0..2 {
            let again = house.post(&front, target, &key, body).await;
            let expected = (done.status.as_u16(), true, done.body.clone().unwrap());
            assert_eq!(again, expected, "{target}, repeat {repeat}");
        }
    }
    assert_eq!(
        house.ask("GET", "/v1/Conversations", &[]).await.1["conversations"].as_array().unwrap().len(),
        3
    );
    drop(made);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day_and_of_one_account_only() {
    tokio::time::pause();
    let house = house();
    let front = front(&house);
    assert!(!house.post(&front, "/v1/Conversations", "k", "").await.1);
    let stranger = AccountSid::new(&crate::model::Mint::seeded(9));
    let mut foreign = request(&house, "POST", "/v1/Conversations", Some("k"), "FriendlyName=x");
    foreign.extensions_mut().insert(stranger);
    assert_eq!(read(front.clone().answer(foreign).await).await.0, 201);
    let almost = crate::relay::KEYS_KEPT.checked_sub(std::time::Duration::from_secs(1)).unwrap();
    tokio::time::advance(almost).await;
    assert_eq!(house.relay.forget_keys(&house.account).await.unwrap(), 0);
    assert!(house.post(&front, "/v1/Conversations", "k", "").await.1);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert!(!house.post(&front, "/v1/Conversations", "k", "").await.1, "before it is swept, too");
    assert_eq!(house.relay.forget_keys(&house.account).await.unwrap(), 0);
    tokio::time::advance(crate::relay::KEYS_KEPT).await;
    assert_eq!(house.relay.forget_keys(&house.account).await.unwrap(), 1);
}

#[tokio::test]
async fn an_export_is_the_conversation_whole() {
    let house = house();
    let front = front(&house);
    let made = house.made("/v1/Services", &[("FriendlyName", "s")]).await;
    let root = path(text(&made["links"], "conversations")).to_owned();
    let conversation = house.made(&root, &[("UniqueName", "u")]).await;
    let own = path(text(&conversation, "url"));
    let pair =
        [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15550001111")];
    house.made(&format!("{own}/Participants"), &pair).await;
    for number in 0..40 {
        house.made(&format!("{own}/Messages"), &[("Body", &number.to_string())]).await;
    }
    house.ask("DELETE", &format!("{own}/Messages/nothing"), &[]).await;
    let asked = request(&house, "GET", &format!("{root}/u/Export"), None, "");
    let response = front.clone().answer(asked).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let (status, _, lines) = read(response).await;
    assert_eq!((status, lines.len()), (200, 1 + 1 + 40 + 1));
    let objects: Vec<&str> = lines.iter().map(|line| text(line, "object")).collect();
    assert_eq!(
        (objects[0], objects[1], objects[2], objects[42]),
        ("conversation", "participant", "message", "end")
    );
    assert_eq!(lines[0]["sid"], conversation["sid"]);
    let bodies: Vec<String> = lines[2..42].iter().map(|line| text(line, "body").to_owned()).collect();
    assert_eq!(bodies, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(lines[2]["delivery"]["total"], 1);
    assert_eq!(lines[42]["messages"], 40);
    let nowhere = request(&house, "GET", &format!("{root}/nobody/Export"), None, "");
    assert_eq!(read(front.clone().answer(nowhere).await).await.0, 404);
    let elsewhere = request(&house, "GET", "/v1/Conversations/u/Export", None, "");
    assert_eq!(read(front.answer(elsewhere).await).await.0, 404, "of another service");
}

#[tokio::test]
async fn an_export_of_what_is_removed_meanwhile_breaks_off() {
    let house = house();
    let front = front(&house);
    let conversation = house.made("/v1/Conversations", &[]).await;
    let own = path(text(&conversation, "url"));
    house.made(&format!("{own}/Messages"), &[("Body", "x")]).await;
    let asked = request(&house, "GET", &format!("{own}/Export"), None, "");
    let mut body = front.answer(asked).await.into_body();
    assert!(body.frame().await.unwrap().is_ok(), "what had begun");
    house.ask("DELETE", own, &[]).await;
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_journal_tells_what_waits() {
    let house = house();
    let conversation = house.made("/v1/Conversations", &[]).await;
    let own = path(text(&conversation, "url"));
    let pair =
        [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15550001111")];
    let phone = house.made(&format!("{own}/Participants"), &pair).await;
    house.made(&format!("{own}/Messages"), &[("Body", "first")]).await;
    let posted = house.made(&format!("{own}/Messages"), &[("Author", "ann"), ("Body", "second")]).await;
    let (status, told) = house.ask("GET", &format!("{}/Journal", path(text(&posted, "url"))), &[]).await;
    assert_eq!((status, &told["message_sid"]), (200, &posted["sid"]));
    let entries = told["entries"].as_array().unwrap();
    let events: Vec<&str> = entries.iter().map(|entry| text(entry, "event")).collect();
    assert_eq!(events, ["posted", "queued", "waiting"]);
    assert_eq!(entries[0]["author"], "ann");
    assert_eq!(
        (&entries[1]["participant_sid"], &entries[1]["address"]),
        (&phone["sid"], &json!("+15557654321"))
    );
    assert_eq!((&entries[2]["messages_ahead"], &entries[2]["tries"]), (&json!(1), &json!(0)));
    let missing = house.ask("GET", &format!("{own}/Messages/IM0/Journal"), &[]).await;
    assert_eq!((missing.0, &missing.1["code"]), (404, &json!(50500)));
}
