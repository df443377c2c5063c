//! The simulator over real HTTP, with a made-up provider and a daemon that only notes what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trunkline_adapter::simulator::{
    PhoneMessage, ProviderAnswer, ProviderRequest, SignedRequest, Submission,
};
use trunkline_adapter::{Address, Clock, DeliveryStatus, Simulator, Timestamp};

use super::{Bound, Fault, Host, Provider, State, Visitor};

const PHONE: &str = "+15550100001";
const PROXY: &str = "+15550001111";

/// A provider whose whole wire is one JSON object.
struct Acme;

fn answer(status: u16, body: Value) -> ProviderAnswer {
    let status = StatusCode::from_u16(status).unwrap();
    ProviderAnswer { status, headers: vec![("x-acme", "yes".to_owned())], body: body.to_string() }
}

fn signed(url: &str, body: Value) -> SignedRequest {
    let headers = vec![("x-signature", "signed".to_owned())];
    SignedRequest { method: Method::POST, url: url.to_owned(), headers, body: Bytes::from(body.to_string()) }
}

impl Simulator for Acme {
    fn accept(&self, request: &ProviderRequest) -> Result<Submission, ProviderAnswer> {
        if request.path != "/send" || request.query != "v=1" {
            return Err(answer(404, json!({ "oops": request.path })));
        }
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| answer(400, json!({})))?;
        Ok(Submission {
            from: Address::parse(PROXY).unwrap(),
            to: Address::parse(PHONE).unwrap(),
            text: body["text"].as_str().unwrap_or_default().to_owned(),
            media: Vec::new(),
            correlation: None,
            callback: None,
        })
    }

    fn message_id(&self, serial: u64) -> String {
        format!("acme-{serial}")
    }

    fn accepted(&self, _: &Submission, id: &str) -> ProviderAnswer {
        answer(201, json!({ "id": id }))
    }

    fn throttled(&self) -> ProviderAnswer {
        answer(429, json!({}))
    }

    fn message(&self, message: &PhoneMessage, webhook_url: &str) -> SignedRequest {
        signed(webhook_url, json!({ "id": message.id, "text": message.text }))
    }

    fn status(
        &self,
        _: &Submission,
        id: &str,
        status: DeliveryStatus,
        _: Option<u32>,
        _: Timestamp,
        webhook_url: &str,
    ) -> Option<SignedRequest> {
        // As on SMS, nobody learns that it was read.
        (status != DeliveryStatus::Read)
            .then(|| signed(webhook_url, json!({ "id": id, "status": status.name() })))
    }
}

/// What the daemon was told, answering 503 first for `refusals` times.
async fn daemon(refusals: u32) -> (String, mpsc::UnboundedReceiver<Value>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/acme", listener.local_addr().unwrap());
    let (told, heard) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let requests = AtomicU32::new(0);
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // One connection after the other: the courier keeps using its own.
            let service = service_fn(|request: Request<Incoming>| {
                let refused = requests.fetch_add(1, Ordering::Relaxed) < refusals;
                let told = told.clone();
                async move {
                    assert_eq!(request.headers()["x-signature"], "signed");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let status = if refused { 503 } else { 200 };
                    let mut note: Value = serde_json::from_slice(&body).unwrap();
                    note["answered"] = json!(status);
                    told.send(note).unwrap();
                    let answer = Response::builder().status(status).body(Full::new(Bytes::new()));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    (url, heard, tasks)
}

async fn simulator(webhook_url: String) -> Host {
    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    assert!(bound.base_url("acme").ends_with("/provider/acme"));
    let proxies = vec![Address::parse(PROXY).unwrap()];
    let provider = Provider { adapter: "acme".to_owned(), simulator: Arc::new(Acme), webhook_url, proxies };
    bound.serve(vec![provider], Clock::at(Timestamp(1_000))).unwrap()
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

async fn send(host: &Host, text: &str) -> reqwest::Response {
    let url = format!("{}/provider/acme/send?v=1", host.url());
    client().post(url).body(json!({ "text": text }).to_string()).send().await.unwrap()
}

async fn call(method: Method, url: String, body: Option<Value>) -> (u16, Value) {
    let mut call = client().request(method, url);
    if let Some(body) = body {
        call = call.header("content-type", "application/json").body(body.to_string());
    }
    let answer = call.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_submission_reaches_the_phone_and_its_statuses_reach_the_daemon_in_order() {
    let (url, mut heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    let answer = send(&host, "hello").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["x-acme"].to_str().unwrap()), (201, "yes"));
    let id = serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()["id"].clone();
    for status in ["sent", "delivered"] {
        let told = heard.recv().await.unwrap();
        assert_eq!(told, json!({ "id": id, "status": status, "answered": 200 }));
    }
    let message = host.wait_for(|message| message.state == State::Delivered).await;
    assert_eq!((json!(message.id), message.text.as_str()), (id, "hello"));
}

#[tokio::test]
async fn what_is_typed_is_told_again_until_the_daemon_takes_it() {
    let (url, mut heard, _daemon) = daemon(2).await;
    let host = simulator(url).await;
    let path = format!("{}/simulator/phones/%2B15550100001/messages", host.url());
    let (status, typed) = call(Method::POST, path.clone(), Some(json!({ "to": PROXY, "text": "hi" }))).await;
    assert_eq!((status, &typed["state"], &typed["direction"]), (202, &json!("sending"), &json!("typed")));
    for answered in [503, 503, 200] {
        let told = heard.recv().await.unwrap();
        assert_eq!((&told["id"], &told["answered"]), (&typed["id"], &json!(answered)));
    }
    host.wait_for(|message| message.state == State::Sent).await;
    // The phone knows one proxy address by now, so `to` may be left out.
    let (status, _) = call(Method::POST, path.clone(), Some(json!({ "text": "again" }))).await;
    assert_eq!(status, 202);
    let (_, list) = call(Method::GET, path, None).await;
    let texts: Vec<&Value> = list["messages"].as_array().unwrap().iter().map(|one| &one["text"]).collect();
    assert_eq!(texts, ["hi", "again"]);
}

#[tokio::test]
async fn drop_takes_and_never_delivers() {
    let (url, mut heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    assert!(host.set_fault("acme", Some(Fault::Drop)));
    assert_eq!(send(&host, "lost").await.status(), 201);
    assert!(host.set_fault("acme", None));
    assert_eq!(send(&host, "found").await.status(), 201);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(heard.recv().await.unwrap()["status"].clone());
    }
    // One status of the lost message, both of the other: statuses of one provider keep their order.
    assert_eq!(told, ["sent", "sent", "delivered"]);
    assert_eq!(host.wait_for(|_| true).await.text, "found");
}

#[tokio::test]
async fn duplicate_posts_twice_and_throttle_slows() {
    let (url, mut heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    let switch = format!("{}/simulator/faults", host.url());
    let (status, _) =
        call(Method::POST, switch.clone(), Some(json!({ "adapter": "acme", "fault": "duplicate" }))).await;
    assert_eq!(status, 200);
    host.write(&Address::parse(PHONE).unwrap(), &Address::parse(PROXY).unwrap(), "twice").unwrap();
    let (first, second) = (heard.recv().await.unwrap(), heard.recv().await.unwrap());
    assert_eq!(first, second);

    call(Method::POST, switch, Some(json!({ "adapter": "acme", "fault": "throttle" }))).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(send(&host, "slow").await.status().as_u16());
    }
    assert_eq!(answers, [429, 429, 201]);
}

#[tokio::test]
async fn hang_answers_once_it_is_switched_off() {
    let (url, _heard, _daemon) = daemon(0).await;
    let host = Arc::new(simulator(url).await);
    host.set_fault("acme", Some(Fault::Hang));
    let waiting = tokio::spawn({
        let host = host.clone();
        async move { send(&host, "late").await.status() }
    });
    // A second request on the way round shows that only the provider hangs, not the simulator.
    let (status, list) = call(Method::GET, format!("{}/simulator/faults", host.url()), None).await;
    assert_eq!((status, &list["faults"][0]["fault"]), (200, &json!("hang")));
    assert!(!waiting.is_finished());
    host.set_fault("acme", None);
    assert_eq!(waiting.await.unwrap(), 201);
}

#[tokio::test]
async fn watchers_are_told_as_it_happens() {
    let (url, _heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    let mut events = client().get(format!("{}/simulator/events", host.url())).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let mut seen = String::from_utf8(events.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(send(&host, "line\nbreak <b>").await.status(), 201);
    while !seen.contains("\"state\":\"delivered\"") {
        seen.push_str(std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.contains("event: message\ndata: {") && seen.contains(r"line\nbreak <b>"), "{seen}");
}

#[tokio::test]
async fn bad_requests_get_clear_answers() {
    let (url, _heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    let long = "x".repeat(4_097);
    let phone = "/simulator/phones/%2B15550100001/messages";
    let to = |to: &str, text: &str| Some(json!({ "to": to, "text": text }));
    for (method, path, body, status, message) in [
        (Method::GET, "/nothing", None, 404, "there is nothing here; the page of phones is at /"),
        (Method::POST, "/provider/other/send", None, 404, "no provider of this name is simulated here"),
        (Method::GET, "/simulator/other", None, 404, "the simulator has no such resource"),
        (Method::DELETE, "/simulator/phones", None, 405, "this method has no meaning here"),
        (Method::GET, phone, None, 404, "there is no such phone; it comes to be with its first message"),
        (Method::POST, phone, to(PROXY, " "), 400, "the text is empty"),
        (Method::POST, phone, to(PROXY, &long), 400, "the text is longer than 4096 characters"),
        (Method::POST, phone, to("+15550009999", "x"), 404, "no simulated provider has this proxy address"),
        (
            Method::POST,
            phone,
            to("messenger:1", "x"),
            400,
            "a phone on sms cannot write to an address on messenger",
        ),
        (Method::POST, phone, Some(json!({ "text": "x" })), 400, "to: say which proxy address to write to"),
        (Method::GET, "/simulator/phones/%FF/messages", None, 400, "phone: not UTF-8"),
        (Method::GET, "/simulator/bridge", None, 404, "the daemon is not ready yet"),
        (
            Method::POST,
            "/simulator/faults",
            Some(json!({ "adapter": "acme", "fault": "explode" })),
            400,
            "no such fault: write drop, throttle, delay, duplicate or hang",
        ),
        (Method::POST, phone, None, 415, "send JSON, with Content-Type: application/json"),
    ] {
        let (got, body) = call(method.clone(), format!("{}{path}", host.url()), body).await;
        assert_eq!((got, body["message"].as_str().unwrap()), (status, message), "{method} {path}");
    }
    let big =
        client().post(format!("{}{phone}", host.url())).body("x".repeat(300 << 10)).send().await.unwrap();
    assert_eq!(big.status(), 413);
}

#[tokio::test]
async fn whoever_is_in_the_browser_gets_a_token_and_the_page_may_reach_the_daemon() {
    let (url, _heard, _daemon) = daemon(0).await;
    let alone = simulator(url).await;
    let visitor = |host: &Host| format!("{}/simulator/visitor", host.url());
    assert_eq!(call(Method::GET, visitor(&alone), None).await.0, 404);

    let bound = Bound::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let tokens = AtomicU32::new(0);
    let dana = Visitor {
        name: "Dana".to_owned(),
        identity: "dana".to_owned(),
        root: "http://127.0.0.1:8801".to_owned(),
        socket: "ws://127.0.0.1:8801/v3/wsconnect".to_owned(),
        token: Box::new(move || format!("token {}", tokens.fetch_add(1, Ordering::Relaxed))),
    };
    let host = bound.visited_by(dana).serve(Vec::new(), Clock::at(Timestamp(1_000))).unwrap();
    for token in ["token 0", "token 1"] {
        let (status, told) = call(Method::GET, visitor(&host), None).await;
        let expected = json!({ "name": "Dana", "identity": "dana", "socket": "ws://127.0.0.1:8801/v3/wsconnect", "token": token });
        assert_eq!((status, told), (200, expected));
    }
    let page = client().get(host.url()).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    for allowed in [
        "connect-src 'self' http://127.0.0.1:8801 ws://127.0.0.1:8801/v3/wsconnect;",
        "img-src 'self' data: http://127.0.0.1:8801",
        "script-src 'self';",
    ] {
        assert!(policy.contains(allowed), "{policy}");
    }
}

#[tokio::test]
async fn a_page_elsewhere_gets_nothing() {
    let (url, _heard, _daemon) = daemon(0).await;
    let host = simulator(url).await;
    let phones = format!("{}/simulator/phones", host.url());
    for (name, status) in [("evil.example", 403), ("localhost", 200), ("127.0.0.1:80", 200), ("[::1]:1", 200)]
    {
        let answer = client().get(&phones).header("host", name).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        assert!(answer.headers().contains_key("content-security-policy"));
    }
}
