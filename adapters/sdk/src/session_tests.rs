//! Sessions over a pipe, against a host in memory, on paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, timeout};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};
use trunkline_adapter::{
    Answer, BoxFuture, Call, Caller, Clock, Crowd, Denied, Host, Member, Notice, Reception, Timestamp,
    Tokens, Visit,
};

use crate::frame;
use crate::registry::Registry;
use crate::session::serve;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

/// Tokens are `identity/seconds to live`; `bad` is refused.
#[derive(Default)]
struct Desk {
    clock: Option<Clock>,
    revoked: AtomicBool,
}

impl Tokens for Desk {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Denied>> {
        async move {
            let denied = |status, code| Denied { status, code, text: format!("no: {token}") };
            let (identity, life) = token.split_once('/').ok_or_else(|| denied(401, 20101))?;
            let life: i64 = life.parse().map_err(|_| denied(401, 20104))?;
            let now = self.clock.unwrap().now();
            Ok(Caller {
                account: "AC1".into(),
                service: "IS1".into(),
                identity: identity.into(),
                key: "SK1".into(),
                proof: 0,
                expires: now.plus(Duration::from_secs(life.unsigned_abs())),
                push_credential: None,
            })
        }
        .boxed()
    }

    fn stands(&self, _: &Caller) -> bool {
        !self.revoked.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
struct House {
    member: Arc<Seated>,
    refuses: AtomicBool,
}

impl Host for House {
    fn open(&self, _: Caller, visit: Visit) -> BoxFuture<'_, Result<Arc<dyn Member>, Denied>> {
        assert_eq!(&*visit.root, "https://bridge.example.com");
        let refused = self.refuses.load(Ordering::SeqCst);
        let opened: Result<Arc<dyn Member>, _> = if refused {
            Err(Denied { status: 503, code: 20503, text: "later".into() })
        } else {
            Ok(self.member.clone())
        };
        std::future::ready(opened).boxed()
    }
}

/// The one member: calls wait for a permit, notices are those that were told.
struct Seated {
    permits: Semaphore,
    begun: AtomicUsize,
    notices: Mutex<VecDeque<Option<Notice>>>,
    told: Notify,
    taken: AtomicUsize,
    renewed: AtomicUsize,
    goodbyes: AtomicUsize,
}

impl Default for Seated {
    fn default() -> Seated {
        Seated {
            permits: Semaphore::new(1_000_000),
            begun: AtomicUsize::new(0),
            notices: Mutex::default(),
            told: Notify::new(),
            taken: AtomicUsize::new(0),
            renewed: AtomicUsize::new(0),
            goodbyes: AtomicUsize::new(0),
        }
    }
}

impl Seated {
    fn tell(&self, notice: Option<Notice>) {
        self.notices.lock().unwrap().push_back(notice);
        self.told.notify_one();
    }
}

impl Member for Seated {
    fn request(self: Arc<Self>, call: Call) -> BoxFuture<'static, Answer> {
        async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            assert_ne!(call.path, "/breaks", "on purpose");
            let body = json!({ "path": call.path, "body": call.body.len() }).to_string();
            Answer { status: if call.path == "/made" { 201 } else { 200 }, body: body.into() }
        }
        .boxed()
    }

    fn next(&self) -> BoxFuture<'_, Option<Notice>> {
        async {
            loop {
                if let Some(notice) = self.notices.lock().unwrap().pop_front() {
                    self.taken.fetch_add(1, Ordering::SeqCst);
                    return notice;
                }
                self.told.notified().await;
            }
        }
        .boxed()
    }

    fn goodbye(&self) {
        self.goodbyes.fetch_add(1, Ordering::SeqCst);
    }

    fn renew(&self, _: Caller) {
        self.renewed.fetch_add(1, Ordering::SeqCst);
    }
}

struct World {
    clock: Clock,
    desk: Arc<Desk>,
    house: Arc<House>,
    registry: Arc<Registry>,
    crowd: Crowd,
}

impl World {
    fn new() -> World {
        let clock = Clock::at(Timestamp::from_seconds(NOW));
        World {
            clock,
            desk: Arc::new(Desk { clock: Some(clock), ..Desk::default() }),
            house: Arc::default(),
            registry: Registry::new(),
            crowd: Crowd { total: 10, per_identity: 2 },
        }
    }

    fn connect(&self) -> Client {
        self.connect_through(64 * 1024)
    }

    fn reception(&self) -> Reception {
        Reception {
            tokens: self.desk.clone(),
            host: self.house.clone(),
            visit: Visit { root: "https://bridge.example.com".into() },
            crowd: self.crowd,
        }
    }

    /// With so many bytes between the two ends.
    fn connect_through(&self, room: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(room);
        let session = serve(Box::new(ours), self.reception(), self.clock, self.registry.clone());
        let server = tokio::spawn(session);
        Client { socket: ClientBuilder::new().take_over(theirs), server, serial: 0 }
    }

    async fn enter(&self, token: &str) -> Client {
        let mut client = self.connect();
        let reply = client.init(token, Value::Null).await;
        assert_eq!(reply["status"]["code"], 200, "{reply}");
        client
    }

    fn member(&self) -> &Seated {
        &self.house.member
    }
}

/// The SDK's side.
struct Client {
    socket: WebSocketStream<DuplexStream>,
    server: JoinHandle<()>,
    serial: u64,
}

impl Client {
    async fn send(&mut self, mut header: Value, payload: &str) -> String {
        self.serial += 1;
        let id = format!("TMc{}", self.serial);
        header["id"] = json!(id);
        header["payload_size"] = json!(payload.len());
        let frame = frame::encode(header.to_string().as_bytes(), payload.as_bytes());
        self.socket.send(Message::binary(frame)).await.unwrap();
        id
    }

    async fn init(&mut self, token: &str, continuation: Value) -> Value {
        let header = json!({ "method": "init", "token": token, "continuation_token": continuation });
        self.send(header, "").await;
        self.next().await.unwrap()
    }

    async fn call(&mut self, path: &str, body: &str) -> String {
        let request = json!({ "host": "x", "path": path, "method": "POST", "params": {}, "headers": {} });
        self.send(json!({ "method": "message", "http_request": request }), body).await
    }

    /// The next frame's header, with its payload under `payload`; `None` at the socket's end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let message = timeout(Duration::from_secs(600), self.socket.next()).await.expect("something");
            let message = message?.ok()?;
            if message.is_binary() {
                let frame = frame::decode(message.into_payload().into()).unwrap();
                let mut header: Value = serde_json::from_slice(&frame.header).unwrap();
                assert_eq!(header["payload_size"], frame.payload.len());
                if !frame.payload.is_empty() {
                    header["payload"] = serde_json::from_slice(&frame.payload).unwrap();
                }
                return Some(header);
            }
            if message.is_close() {
                // The library answers a goodbye when it is asked for what comes next.
                let _ = self.socket.next().await;
                return None;
            }
        }
    }

    /// Waits until the daemon's side is over.
    async fn over(self) {
        self.server.await.unwrap();
    }
}

fn notice(number: usize) -> Option<Notice> {
    Some(Notice { message_type: "twilio.sync.event", payload: format!("{{\"n\":{number}}}").into() })
}

/// What an idle socket takes is mostly this, and there may be a hundred thousand.
#[test]
fn a_session_stays_small() {
    let world = World::new();
    let (ours, _theirs) = tokio::io::duplex(64);
    let session = serve(Box::new(ours), world.reception(), world.clock, world.registry.clone());
    let size = size_of_val(&session);
    assert!(size <= 2560, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn init_lets_in_or_says_why_not() {
    let world = World::new();
    let mut client = world.connect();
    let refused = client.init("bad", Value::Null).await;
    assert_eq!(refused["status"]["code"], 401);
    assert_eq!(refused["status"]["errorCode"], 20101);
    assert_eq!(refused["status"]["description"], "no: bad");
    world.house.refuses.store(true, Ordering::SeqCst);
    assert_eq!(client.init("ada/3600", Value::Null).await["status"]["code"], 503);
    world.house.refuses.store(false, Ordering::SeqCst);
    assert_eq!(world.registry.sessions(), 0);
    let reply = client.init("ada/3600", Value::Null).await;
    assert_eq!((&reply["method"], &reply["id"]), (&json!("reply"), &json!("TMc3")));
    assert_eq!(reply["status"], json!({ "code": 200, "status": "OK" }));
    assert_eq!(reply["capabilities"], json!(["client_update"]));
    assert_eq!(reply["continuation_token"].as_str().unwrap().len(), 32);
    assert_eq!(world.registry.sessions(), 1);
    client.send(json!({ "method": "close" }), "").await;
    assert_eq!(client.next().await, None);
    client.over().await;
    assert_eq!(world.registry.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_who_they_are_is_not_kept() {
    let world = World::new();
    let began = Instant::now();
    let silent = world.connect();
    silent.over().await;
    assert!(began.elapsed() <= Duration::from_secs(30), "{:?}", began.elapsed());
    let mut rude = world.connect();
    rude.socket.send(Message::binary(Bytes::from_static(b"GET / HTTP/1.1"))).await.unwrap();
    rude.over().await;
    let mut hasty = world.connect();
    hasty.call("/x", "").await;
    assert_eq!(hasty.next().await.unwrap()["status"]["code"], 401);
    let mut many = world.connect();
    for _ in 0..8 {
        assert_eq!(many.init("bad", Value::Null).await["status"]["code"], 401);
    }
    many.over().await;
}

#[tokio::test(start_paused = true)]
async fn calls_are_answered_and_notices_told_in_order() {
    let world = World::new();
    let mut client = world.enter("ada/3600").await;
    let id = client.call("/made", "{\"body\":\"hi\"}").await;
    let answer = client.next().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["http_status"]),
        (&json!(id), &json!({ "code": 201, "status": "Created" }))
    );
    assert_eq!(answer["payload"], json!({ "path": "/made", "body": 13 }));
    assert_eq!(answer["status"]["code"], 200);
    for number in 0..100 {
        world.member().tell(notice(number));
    }
    let mut ids = Vec::new();
    for number in 0..100 {
        let told = client.next().await.unwrap();
        assert_eq!(
            (&told["method"], &told["message_type"]),
            (&json!("notification"), &json!("twilio.sync.event"))
        );
        assert_eq!(told["payload"]["n"], number);
        ids.push(told["id"].clone());
    }
    let first = ids.first().cloned().unwrap();
    client.send(json!({ "method": "reply", "id": first, "status": { "code": 200 } }), "").await;
    // Broken work is answered, and so is what nobody could do.
    client.call("/breaks", "").await;
    assert_eq!(client.next().await.unwrap()["http_status"]["code"], 503);
    client.call("no path", "").await;
    let refused = client.next().await.unwrap();
    assert_eq!((&refused["status"]["code"], &refused["http_status"]), (&json!(400), &Value::Null));
    client.send(json!({ "method": "put_notification_ctx" }), "{}").await;
    assert_eq!(client.next().await.unwrap()["status"]["code"], 200);
    client.send(json!({ "method": "unheard_of" }), "").await;
    assert_eq!(client.next().await.unwrap()["status"]["code"], 400);
    client.send(json!({ "method": "telemetry.v1", "events": [] }), "").await;
    // The host may end a session; the client comes again.
    world.member().tell(None);
    assert_eq!(client.next().await, None);
    client.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_tokens_end_is_told_and_comes() {
    let world = World::new();
    let mut client = world.enter("ada/3600").await;
    let began = Instant::now();
    let told = client.next().await.unwrap();
    assert_eq!(told["client_update_type"], "token_about_to_expire");
    assert_eq!(began.elapsed().as_secs(), 3600 - 180);
    // A new one takes its place; somebody else's, or none, does not.
    for (token, code, error) in [("bob/3600", 403, 20103), ("bad", 401, 20101)] {
        client.send(json!({ "method": "update", "token": token }), "").await;
        let reply = client.next().await.unwrap();
        assert_eq!((&reply["status"]["code"], &reply["status"]["errorCode"]), (&json!(code), &json!(error)));
    }
    client.send(json!({ "method": "update", "token": "ada/100" }), "").await;
    assert_eq!(client.next().await.unwrap()["status"]["code"], 200);
    assert_eq!(world.member().renewed.load(Ordering::SeqCst), 1);
    let renewed = Instant::now();
    assert_eq!(client.next().await.unwrap()["client_update_type"], "token_about_to_expire");
    assert_eq!(renewed.elapsed().as_secs(), 50, "a short one is told at half its time");
    let closed = client.next().await.unwrap();
    assert_eq!((&closed["method"], &closed["status"]["code"]), (&json!("close"), &json!(410)));
    assert_eq!(renewed.elapsed().as_secs(), 100);
    assert_eq!(client.next().await, None);
    client.over().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_gone_ends_its_sessions() {
    let world = World::new();
    let mut client = world.enter("ada/3600").await;
    world.registry.recheck();
    client.call("/x", "").await;
    assert_eq!(client.next().await.unwrap()["http_status"]["code"], 200, "nothing changed for this one");
    world.desk.revoked.store(true, Ordering::SeqCst);
    world.registry.recheck();
    let closed = client.next().await.unwrap();
    assert_eq!((&closed["method"], &closed["status"]["code"]), (&json!("close"), &json!(401)));
    assert_eq!(client.next().await, None);
    client.over().await;
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_told_when_to_come_again() {
    let world = World::new();
    let (_one, _two) = (world.enter("ada/3600").await, world.enter("ada/3600").await);
    let mut third = world.connect();
    let refused = third.init("ada/3600", Value::Null).await;
    assert_eq!(refused["status"]["code"], 429);
    let wait = refused["payload"]["backoff_policy"]["reconnect_min_ms"].as_u64().unwrap();
    assert!((5_000..10_000).contains(&wait), "{wait}");
    let _other = world.enter("bob/3600").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_needs_no_room_for_the_socket_they_lost() {
    let world = World::new();
    let mut lost = world.connect();
    let token = lost.init("ada/3600", Value::Null).await["continuation_token"].clone();
    let _other = world.enter("ada/3600").await;
    let mut back = world.connect();
    let reply = back.init("ada/3600", token.clone()).await;
    assert_eq!(reply["status"]["code"], 200);
    assert_eq!(reply["continuation_token_status"], json!({ "reissued": true }));
    assert_ne!(reply["continuation_token"], token);
    lost.over().await;
    assert_eq!(world.registry.sessions(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_bounded_and_then_nothing_is_read() {
    let world = World::new();
    world.member().permits.forget_permits(1_000_000);
    let mut client = world.connect_through(1024);
    client.init("ada/3600", Value::Null).await;
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.call("/x", "")).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "never full");
    }
    assert_eq!(world.member().begun.load(Ordering::SeqCst), 32);
    // A notice passes all the same.
    world.member().tell(notice(1));
    assert_eq!(client.next().await.unwrap()["method"], "notification");
    // They take too long, and are answered so.
    let answer = client.next().await.unwrap();
    assert_eq!(answer["http_status"]["code"], 503);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_off_and_nothing_is_piled_up() {
    let world = World::new();
    let client = {
        let mut client = world.connect_through(16 * 1024);
        client.init("ada/3600", Value::Null).await;
        client
    };
    let big =
        Notice { message_type: "twilio.sync.event", payload: format!("\"{}\"", "x".repeat(4096)).into() };
    for _ in 0..1000 {
        world.member().tell(Some(big.clone()));
    }
    let began = Instant::now();
    let Client { socket, server, .. } = client;
    server.await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(60), "{:?}", began.elapsed());
    let taken = world.member().taken.load(Ordering::SeqCst);
    assert!(taken < 20, "{taken} were taken for a socket that took none");
    drop(socket);
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_asked_and_then_given_up() {
    let world = World::new();
    let began = Instant::now();
    let mut client = world.enter("ada/36000").await;
    // A client that reads answers pings by itself.
    assert!(timeout(Duration::from_secs(600), client.socket.next()).await.is_ok(), "a ping");
    while began.elapsed() < Duration::from_secs(300) {
        let _ = timeout(Duration::from_secs(10), client.socket.next()).await;
    }
    assert_eq!(world.registry.sessions(), 1);
    let asleep = Instant::now();
    let Client { socket, server, .. } = client;
    server.await.unwrap();
    let kept = asleep.elapsed();
    assert!((Duration::from_secs(25)..Duration::from_secs(60)).contains(&kept), "{kept:?}");
    drop(socket);
}

#[tokio::test(start_paused = true)]
async fn all_are_let_go_one_by_one_and_with_their_answers() {
    let mut world = World::new();
    world.crowd = Crowd { total: 100, per_identity: 100 };
    world.member().permits.forget_permits(1_000_000);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.enter("ada/3600").await;
        client.call("/x", "").await;
        clients.push(client);
    }
    while world.member().begun.load(Ordering::SeqCst) < 20 {
        tokio::task::yield_now().await;
    }
    let greeting = world.connect();
    let began = Instant::now();
    let ends = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            assert_eq!(client.next().await.unwrap()["http_status"]["code"], 200);
            assert_eq!(client.next().await, None);
            client.over().await;
            began.elapsed()
        })
    });
    let ends: Vec<_> = ends.collect();
    let registry = world.registry.clone();
    let drained = tokio::spawn(async move { registry.drain().await });
    tokio::task::yield_now().await;
    world.member().permits.add_permits(20);
    let mut moments = Vec::new();
    for end in ends {
        moments.push(end.await.unwrap());
    }
    drained.await.unwrap();
    greeting.over().await;
    moments.sort();
    assert!(*moments.last().unwrap() <= Duration::from_secs(6), "{moments:?}");
    let apart = moments[19].saturating_sub(moments[0]);
    assert!(apart >= Duration::from_secs(1), "not spread: {moments:?}");
    assert!(began.elapsed() < Duration::from_secs(HOUR.unsigned_abs()));
    advance(Duration::from_secs(1)).await;
    assert_eq!(world.registry.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_ends_the_session() {
    let world = World::new();
    let mut client = world.enter("ada/3600").await;
    client.socket.send(Message::binary(Bytes::from_static(b"TWILSOCK V3.0 2\r\n{}\r\n"))).await.unwrap();
    assert_eq!(client.next().await, None);
    client.over().await;
    let mut client = world.enter("ada/3600").await;
    let _ = client.socket.send(Message::binary(Bytes::from(vec![b'x'; crate::wire::LONGEST + 1]))).await;
    assert_eq!(client.next().await, None);
    client.over().await;
}

#[test]
fn an_idle_session_is_small() {
    let world = World::new();
    let (ours, _theirs) = tokio::io::duplex(64);
    let reception = Reception {
        tokens: world.desk.clone(),
        host: world.house.clone(),
        visit: Visit { root: "".into() },
        crowd: world.crowd,
    };
    let session = serve(Box::new(ours), reception, world.clock, world.registry);
    let bytes = std::mem::size_of_val(&session);
    assert!(bytes <= 3 * 1024, "{bytes} bytes for each of those who only listen");
}

#[tokio::test(start_paused = true)]
async fn who_goes_says_so_and_a_network_does_not() {
    let world = World::new();
    let goodbyes = || world.member().goodbyes.load(Ordering::SeqCst);
    let mut client = world.enter("ada/3600").await;
    client.send(json!({ "method": "close" }), "").await;
    assert_eq!(client.next().await, None);
    client.over().await;
    assert_eq!(goodbyes(), 1);

    let mut client = world.enter("ada/3600").await;
    client.socket.send(Message::close(None, "")).await.unwrap();
    client.over().await;
    assert_eq!(goodbyes(), 2);

    let Client { socket, server, .. } = world.enter("ada/3600").await;
    drop(socket);
    server.await.unwrap();
    assert_eq!(goodbyes(), 2, "its network is gone");

    let mut client = world.enter("ada/60").await;
    while client.next().await.is_some() {}
    client.over().await;
    assert_eq!(goodbyes(), 3, "its token is over");
}
