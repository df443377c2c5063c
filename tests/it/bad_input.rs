//! Whatever comes in: the contract's answer, nothing in the store that was not there before, and a connection that still
//! works or was closed in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::config::{ACCOUNT, TOKEN};
use crate::harness::{PAGE, PATIENCE, Row, SMS, World, provider};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";
const WA_SECRET: &str = "wa-app-secret-0001";
const FB_SECRET: &str = "fb-app-secret-0001";
const TWILIO: &str = "AC00000000000000000000000000000009";

/// One bad request and what it must get.
struct Case {
    name: String,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    status: u16,
    /// Rows of raw requests that are kept.
    kept: usize,
    /// The code of a REST error.
    code: Option<u64>,
}

fn case(name: &str, method: Method, path: &str, status: u16) -> Case {
    Case {
        name: name.to_owned(),
        method,
        path: path.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        status,
        kept: 0,
        code: None,
    }
}

impl Case {
    fn with(mut self, (headers, body): (Vec<(&'static str, String)>, Bytes)) -> Case {
        self.headers = headers;
        self.body = body;
        self
    }

    fn keeps(mut self, rows: usize) -> Case {
        self.kept = rows;
        self
    }

    fn code(mut self, code: u64) -> Case {
        self.code = Some(code);
        self
    }

    /// A REST call with good credentials and this body.
    fn rest(mut self, kind: &str, body: impl Into<Bytes>) -> Case {
        self.headers = vec![("authorization", basic(ACCOUNT, TOKEN)), ("content-type", kind.to_owned())];
        self.body = body.into();
        self
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

const FORM: &str = "application/x-www-form-urlencoded";
const BIG: usize = 5 * 1024 * 1024;

/// A form signed as Twilio signs it, over bytes that may be no text.
fn twilio_bytes(fields: &[(&str, &[u8])]) -> (Vec<(&'static str, String)>, Bytes) {
    let mut sorted = fields.to_vec();
    sorted.sort();
    let mut signed = provider::webhook_url("us").into_bytes();
    for (name, value) in sorted {
        signed.extend_from_slice(name.as_bytes());
        signed.extend_from_slice(value);
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"twilio-token-0001");
    let signature = STANDARD.encode(ring::hmac::sign(&key, &signed));
    let encode = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    (vec![("content-type", FORM.to_owned()), ("x-twilio-signature", signature)], body.join("&").into())
}

fn twilio(fields: &[(&str, &str)]) -> (Vec<(&'static str, String)>, Bytes) {
    provider::twilio("twilio-token-0001", "us", fields)
}

fn whatsapp(value: &Value) -> Bytes {
    let value = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [value]}]});
    value.to_string().into()
}

fn page(event: &Value) -> Bytes {
    json!({"object": "page", "entry": [{"id": "1029384756", "time": 1, "messaging": [event]}]})
        .to_string()
        .into()
}

/// Signed requests of nobody's with a thousand entries in them.
fn thousand(channel: &str) -> Bytes {
    let entries: Vec<Value> = (0..1000)
        .map(|at| match channel {
            "wa" => json!({"id": "1", "changes": [{"field": "messages", "value": {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550002222", "phone_number_id": "106540352242922"},
                "contacts": [{"wa_id": format!("1555100{at:04}"), "profile": {"name": "x"}}],
                "messages": [{"from": format!("1555100{at:04}"), "id": format!("wamid.{at}"), "timestamp": "1",
                    "type": "text", "text": {"body": "nobody's"}}],
            }}]}),
            _ => json!({"id": "1029384756", "time": 1, "messaging": [{
                "sender": {"id": format!("90000{at}")}, "recipient": {"id": "1029384756"}, "timestamp": 1,
                "message": {"mid": format!("m_{at}"), "text": "nobody's"},
            }]}),
        })
        .collect();
    let object = if channel == "wa" { "whatsapp_business_account" } else { "page" };
    json!({"object": object, "entry": entries}).to_string().into()
}

fn webhook_cases() -> Vec<Case> {
    let post = |name: &str, path: &str, status| case(name, Method::POST, path, status);
    let text = [
        ("MessageSid", "SM00000000000000000000000000000001"),
        ("AccountSid", TWILIO),
        ("From", ANN),
        ("To", SMS),
        ("Body", "never stored"),
        ("NumMedia", "0"),
    ];
    let mut wrong_account = text;
    wrong_account[1].1 = "AC00000000000000000000000000000008";
    let bad_bytes: [(&str, &[u8]); 5] = [
        ("MessageSid", b"SM00000000000000000000000000000001"),
        ("AccountSid", TWILIO.as_bytes()),
        ("From", ANN.as_bytes()),
        ("To", SMS.as_bytes()),
        ("Body", b"\xff\xfe"),
    ];
    let big = "x".repeat(BIG);
    let good_message = whatsapp(&json!({"field": "messages", "value": {}}));
    let mut cases = vec![
        post("us: no signature", "/webhooks/us", 403).with((twilio(&text).0[..1].to_vec(), twilio(&text).1)),
        post("us: another token", "/webhooks/us", 403).with(provider::twilio("other", "us", &text)),
        post("us: signed for another path", "/webhooks/us", 403).with(provider::twilio(
            "twilio-token-0001",
            "us2",
            &text,
        )),
        post("us: too large", "/webhooks/us", 413).with(twilio(&[("Body", &big)])),
        post("us: not UTF-8", "/webhooks/us", 200).with(twilio_bytes(&bad_bytes)).keeps(1),
        post("us: no ids", "/webhooks/us", 200)
            .with(twilio(&[("AccountSid", TWILIO), ("Hologram", "1")]))
            .keeps(1),
        post("us: another account", "/webhooks/us", 200).with(twilio(&wrong_account)),
        case("us: wrong method", Method::DELETE, "/webhooks/us", 405),
        post("wa: no signature", "/webhooks/wa", 403).with((Vec::new(), good_message.clone())),
        post("wa: another secret", "/webhooks/wa", 403).with(provider::meta("other", good_message)),
        post("wa: too large", "/webhooks/wa", 413).with(provider::meta(WA_SECRET, big.clone())),
        case("wa: wrong method", Method::PUT, "/webhooks/wa", 405),
        case(
            "wa: a challenge with a wrong token",
            Method::GET,
            "/webhooks/wa?hub.mode=subscribe&hub.verify_token=guess&hub.challenge=1",
            403,
        ),
        post("wa: a thousand entries", "/webhooks/wa", 200).with(provider::meta(WA_SECRET, thousand("wa"))),
        post("wa: an unknown field", "/webhooks/wa", 200)
            .with(provider::meta(WA_SECRET, whatsapp(&json!({"field": "hologram", "value": {"a": 1}}))))
            .keeps(1),
        post("wa: another object", "/webhooks/wa", 200)
            .with(provider::meta(WA_SECRET, r#"{"object":"instagram","entry":[]}"#))
            .keeps(1),
        post("wa: another's number", "/webhooks/wa", 200).with(provider::meta(
            WA_SECRET,
            whatsapp(&json!({"field": "messages", "value": {"metadata": {"phone_number_id": "7"}}})),
        )),
        post("pages: another secret", "/webhooks/pages", 403)
            .with(provider::meta("other", page(&json!({"hologram": {}})))),
        post("pages: too large", "/webhooks/pages", 413).with(provider::meta(FB_SECRET, big.clone())),
        case("pages: wrong method", Method::PATCH, "/webhooks/pages", 405),
        post("pages: a thousand entries", "/webhooks/pages", 200)
            .with(provider::meta(FB_SECRET, thousand("pages"))),
        post("pages: an unknown event", "/webhooks/pages", 200)
            .with(provider::meta(
                FB_SECRET,
                page(&json!({"sender": {"id": "1"}, "recipient": {"id": "1029384756"}, "hologram": {}})),
            ))
            .keeps(1),
        post("nobody's webhook", "/webhooks/nobody", 404),
    ];
    for (name, path, secret) in [("wa", "/webhooks/wa", WA_SECRET), ("pages", "/webhooks/pages", FB_SECRET)] {
        for (what, body) in [
            ("not UTF-8", &b"{\"object\":\"\xff\xfe\"}"[..]),
            ("cut off", b"{\"object\":\"page\",\"entry\":[{\"id\""),
            ("empty", b""),
            ("deep", "[".repeat(100_000).as_bytes()),
        ] {
            let signed = provider::meta(secret, Bytes::copy_from_slice(body));
            cases.push(post(&format!("{name}: {what}"), path, 200).with(signed).keeps(1));
        }
    }
    cases
}

fn rest_cases(talk: &str) -> Vec<Case> {
    let post = |name: &str, path: &str, status| case(name, Method::POST, path, status);
    let get = |name: &str, path: &str, status| case(name, Method::GET, path, status).rest(FORM, "");
    let messages = format!("/v1/Conversations/{talk}/Messages");
    let people = format!("/v1/Conversations/{talk}/Participants");
    let mut stranger = case("nobody", Method::GET, "/v1/Conversations", 401).code(20003);
    stranger.headers = vec![("authorization", basic(ACCOUNT, "guess"))];
    let mut garbled = case("garbled credentials", Method::GET, "/v1/Conversations", 401).code(20003);
    garbled.headers = vec![("authorization", "Basic !!!".to_owned())];
    vec![
        case("no credentials", Method::POST, "/v1/Conversations", 401).code(20003),
        stranger,
        garbled,
        case("wrong method", Method::PUT, "/v1/Conversations", 405).rest(FORM, "").code(20004),
        post("too large", "/v1/Conversations", 413).rest(FORM, "x".repeat(BIG)),
        post("no form", "/v1/Conversations", 415).rest("application/json", "{}"),
        post("not UTF-8", "/v1/Conversations", 400).rest(FORM, "FriendlyName=%FF%FE"),
        post("not UTF-8 raw", "/v1/Conversations", 400).rest(FORM, &b"FriendlyName=\xff\xfe"[..]),
        get("no such path", "/v1/Hologram", 404).code(20404),
        get("no such version", "/v9/Conversations", 404),
        get("nothing", "/", 404),
        get("a path of noise", "/v1/Conversations/%FF%00%0A", 404),
        get("no such conversation", "/v1/Conversations/CH00000000000000000000000000000000", 404).code(20404),
        get("nothing to list", "/v1/Conversations/CH00000000000000000000000000000000/Messages", 404)
            .code(50350),
        get("another's service", "/v1/Services/IS00000000000000000000000000000000/Conversations", 404),
        get("a page of noise", "/v1/Conversations?PageToken=noise", 400).code(20001),
        get("a size of noise", "/v1/Conversations?PageSize=many", 400),
        post("a long name", "/v1/Conversations", 400)
            .rest(FORM, format!("FriendlyName={}", "x".repeat(300)))
            .code(50003),
        post("no JSON", "/v1/Conversations", 400).rest(FORM, "Attributes=%7B").code(50304),
        post("no message", &messages, 400).rest(FORM, "Author=a").code(50503),
        post("a long message", &messages, 400)
            .rest(FORM, format!("Body={}", "x".repeat(32 * 1024 + 1)))
            .code(50504),
        post("a taken pair", &people, 409)
            .rest(
                FORM,
                "MessagingBinding.Address=%2B15557770001&MessagingBinding.ProxyAddress=%2B15550001111",
            )
            .code(50416),
        post("not ours", &people, 403)
            .rest(
                FORM,
                "MessagingBinding.Address=%2B15557770009&MessagingBinding.ProxyAddress=%2B15550007777",
            )
            .code(50413),
        post("no address", &people, 400)
            .rest(
                FORM,
                "MessagingBinding.Address=not+an+address!&MessagingBinding.ProxyAddress=%2B15550001111",
            )
            .code(50407),
    ]
}

/// What every path refuses, whatever it is about.
fn paths(talk: &str, person: &str, message: &str, receipt: &str) -> Vec<Case> {
    let conversation = format!("/v1/Conversations/{talk}");
    let mut cases = Vec::new();
    for (path, postable) in [
        ("/v1/Configuration".to_owned(), true),
        (format!("/v1/Services/IS{0}{0}/Configuration", "0".repeat(16)), true),
        (format!("/v1/Services/IS{0}{0}/Configuration/Notifications", "0".repeat(16)), true),
        ("/v1/Roles".to_owned(), true),
        ("/v1/Users".to_owned(), true),
        ("/v1/Users/nobody".to_owned(), true),
        ("/v1/Users/nobody/Conversations".to_owned(), false),
        ("/v1/ParticipantConversations".to_owned(), false),
        ("/v1/Credentials".to_owned(), true),
        ("/v1/Services".to_owned(), true),
        ("/v1/Conversations".to_owned(), true),
        (conversation.clone(), true),
        (format!("{conversation}/Participants"), true),
        (format!("{conversation}/Participants/{person}"), true),
        (format!("{conversation}/Messages"), true),
        (format!("{conversation}/Messages/{message}"), true),
        (format!("{conversation}/Messages/{message}/Receipts"), false),
        (format!("{conversation}/Messages/{message}/Receipts/{receipt}"), false),
    ] {
        let named = |what: &str| format!("{path}: {what}");
        let or_method = |status| if postable { status } else { 405 };
        let post = |what: &str, status| case(&named(what), Method::POST, &path, or_method(status));
        cases.extend([
            case(&named("no credentials"), Method::GET, &path, 401).code(20003),
            case(&named("no credentials, much to say"), Method::POST, &path, or_method(401))
                .with((vec![("content-type", FORM.to_owned())], "x".repeat(BIG).into())),
            case(&named("a strange method"), Method::PATCH, &path, 405).rest(FORM, "").code(20004),
            post("too large", 413).rest(FORM, "x".repeat(BIG)),
            post("not UTF-8", 400).rest(FORM, &b"Body=\xff\xfe&FriendlyName=\xff"[..]),
            post("escaped bytes that are not UTF-8", 400).rest(FORM, "Body=%ff%fe&FriendlyName=%ff"),
            post("no form", 415).rest("application/json", "{\"Body\":\"x\"}"),
            post("a thousand parameters too many", 400).rest(FORM, "a=b&".repeat(100_000)),
        ]);
    }
    cases
}

fn admin_cases() -> Vec<Case> {
    let mut cases = vec![
        case("admin: nothing", Method::GET, "/", 404),
        case("admin: no REST here", Method::GET, "/v1/Conversations", 404),
        case("admin: no dump here", Method::GET, "/dump", 404),
        case("admin: no reload here", Method::POST, "/reload", 404),
    ];
    for path in ["/metrics", "/healthz", "/readyz", "/lanes"] {
        let mut large = case("admin: a large body", Method::POST, path, 405);
        large.body = "x".repeat(BIG).into();
        cases.push(large);
    }
    cases
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    // Ends with the sender, or with the daemon's close.
    tokio::spawn(connection);
    sender
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> (u16, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path).header("host", "bridge.test");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(body)).unwrap();
    // An early answer may be here before the body was sent to its end.
    tokio::time::timeout(PATIENCE, sender.ready()).await.expect("a connection in time").unwrap();
    let answered =
        tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time");
    let (head, body) = answered.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, body)
}

/// Everything but what is kept for the operator.
fn stored(rows: Vec<Row>) -> (Vec<Row>, usize) {
    // One row of that space counts the others.
    let kept = rows.iter().filter(|row| row.space == "Unreadable" && !row.rest.is_empty()).count();
    let rest = rows.into_iter().filter(|row| row.space != "Unreadable").collect();
    (rest, kept)
}

/// Sends each case and then a good request over the same connection, if it is still there.
async fn all(world: &World, address: SocketAddr, cases: Vec<Case>, good: &str) {
    let (before, mut kept) = stored(world.daemon.dump());
    let authorization = vec![("authorization", basic(ACCOUNT, TOKEN))];
    for case in cases {
        let name = &case.name;
        let mut sender = connect(address).await;
        let (status, headers, body) =
            send(&mut sender, case.method.clone(), &case.path, &case.headers, case.body).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, case.status, "{name}: {text}");
        if case.code.is_some() {
            let error: Value =
                serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: no JSON: {text}"));
            assert_eq!(error["status"], status, "{name}: {text}");
            assert!(error["code"].is_u64() && error["message"].is_string(), "{name}: {text}");
            if let Some(code) = case.code {
                assert_eq!(error["code"], code, "{name}: {text}");
            }
        }
        if headers.get("connection").is_none_or(|value| value != "close") {
            let (status, _, body) = send(&mut sender, Method::GET, good, &authorization, Bytes::new()).await;
            assert_eq!(status, 200, "the request after {name}: {body:?}");
        }
        let (after, now) = stored(world.daemon.dump());
        assert_eq!(after, before, "the store after {name}");
        assert_eq!(now - kept, case.kept, "raw requests kept of {name}");
        kept = now;
    }
    assert!(!world.sink.sent().iter().any(crate::harness::Sent::taken), "nobody was written to");
    world.daemon.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_take_what_is_theirs_and_nothing_else() {
    let world = World::start().await;
    world.three(ANN, BOB, CAT).await;
    all(&world, world.daemon.address, webhook_cases(), "/v1/Conversations").await;
    let metrics = world.daemon.metrics().await;
    let unbound = |adapter| {
        metrics.value("trunkline_inbound_messages_total", &[("adapter", adapter), ("outcome", "unbound")])
    };
    assert_eq!((unbound("wa"), unbound("pages")), (1000.0, 1000.0), "every entry of a batch was read");
    // The next good message is relayed as ever.
    assert_eq!(world.write(&world.sms(ANN), "still here").await.status, 200);
    world.sink.taken(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_calls_are_refused_with_their_codes() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    all(&world, world.daemon.address, rest_cases(&talk.sid), "/v1/Conversations").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_the_api_stands_the_same_abuse() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.sink.always(crate::harness::Act::Unauthorised);
    let said = world.client.say(&talk.sid, "desk", "there").await.expect(201);
    let message = said["sid"].as_str().unwrap();
    let receipts = world.client.receipts(&talk.sid, message).await;
    let receipt = receipts[0]["sid"].as_str().unwrap();
    // Held lanes write nothing of their own.
    let held =
        || async { world.daemon.lanes().await.iter().all(|lane| lane["state"] == "held").then_some(()) };
    world.daemon.eventually("held lanes", held).await;
    let cases = paths(&talk.sid, &talk.participants[0], message, receipt);
    all(&world, world.daemon.address, cases, "/v1/Conversations").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_only_shows() {
    let world = World::start().await;
    all(&world, world.daemon.admin, admin_cases(), "/healthz").await;
}

/// Sends bytes over a connection of its own, closes the sending side if told, and gives all that comes back.
async fn raw(address: SocketAddr, bytes: &[u8], hang_up: bool) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    if hang_up {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    // A reset after the answer is an end as well.
    let _ = read;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slow_and_the_gone_do_not_hold_a_connection() {
    let world = World::start_with(|config| config.limits.push("request_timeout = \"1s\"".to_owned())).await;
    world.three(ANN, BOB, CAT).await;
    let (before, _) = stored(world.daemon.dump());
    let credentials = basic(ACCOUNT, TOKEN);
    for path in ["/webhooks/us", "/webhooks/wa", "/webhooks/pages", "/v1/Conversations"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bridge.test\r\nauthorization: {credentials}\r\n\
             content-type: {FORM}\r\ncontent-length: 100\r\n\r\n"
        );
        let begun = Instant::now();
        let slow = raw(world.daemon.address, format!("{head}FriendlyNa").as_bytes(), false).await;
        assert!(slow.starts_with("HTTP/1.1 408 "), "{path}: {slow}");
        assert!(slow.to_lowercase().contains("connection: close"), "{path}: {slow}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{path}");

        let gone = raw(world.daemon.address, format!("{head}FriendlyNa").as_bytes(), true).await;
        assert!(gone.is_empty() || gone.starts_with("HTTP/1.1 400 "), "{path}: {gone}");
    }
    for address in [world.daemon.address, world.daemon.admin] {
        let silent = raw(address, b"GET / HTTP/1.1\r\nhost: br", false).await;
        assert!(silent.is_empty() || silent.starts_with("HTTP/1.1 408 "), "{silent}");
        let noise = raw(address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true).await;
        assert!(noise.is_empty() || noise.starts_with("HTTP/1.1 400 "), "{noise}");
        let long = format!("GET /{} HTTP/1.1\r\nhost: b\r\n\r\n", "x".repeat(100_000));
        let long = raw(address, long.as_bytes(), false).await;
        assert!(long.is_empty() || long.starts_with("HTTP/1.1 4"), "{}", &long[..long.len().min(200)]);
    }
    assert_eq!(stored(world.daemon.dump()).0, before);
    assert_eq!(world.write(&world.sms(ANN), "still here").await.status, 200);
    world.sink.taken(2).await;
    world.daemon.assert_calm();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_in_one_batch_are_all_relayed_in_order() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(BOB, crate::harness::WHATSAPP), (CAT, PAGE)]).await;
    let messages: Vec<Value> = (0..1000)
        .map(|at| {
            json!({"from": "15557770002", "id": format!("wamid.batch{at}"), "timestamp": "1795305600",
                "type": "text", "text": {"body": format!("m{at:04}")}})
        })
        .collect();
    let body = whatsapp(&json!({"field": "messages", "value": {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550002222", "phone_number_id": "106540352242922"},
        "contacts": [{"wa_id": "15557770002", "profile": {"name": "Bob"}}],
        "messages": messages,
    }}));
    let signed = provider::meta(WA_SECRET, body);
    assert_eq!(world.raw_webhook("wa", signed.clone()).await.status, 200);
    world.sink.taken(1000).await;
    assert_eq!(world.raw_webhook("wa", signed).await.status, 200, "all of it again");
    let expected: Vec<String> = (0..1000).map(|at| format!("m{at:04}")).collect();
    let kept = world.client.messages(&talk.sid).await;
    let kept: Vec<&str> = kept.iter().map(|message| message["body"].as_str().unwrap()).collect();
    assert_eq!(kept, expected);
    world.quiet().await;
    let heard: Vec<String> = world.sink.taken_for(CAT).iter().map(|sent| sent.text().to_owned()).collect();
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_for_another_url_is_refused_with_a_hint_now_and_then() {
    let world = World::start().await;
    let url = format!("http://{}/webhooks/us", world.daemon.address);
    let fields = [("MessageSid", "SM00000000000000000000000000000001"), ("AccountSid", TWILIO)];
    let (mut headers, body) = twilio(&fields);
    headers.last_mut().unwrap().1 = trunkline_twilio::sign("twilio-token-0001", &url, &fields);
    for _ in 0..20 {
        assert_eq!(world.raw_webhook("us", (headers.clone(), body.clone())).await.status, 403);
    }
    let hint = world.daemon.log().line("is public_url right?").await;
    assert!(hint.contains(&format!("valid for {url}")), "{hint}");
    let hints = world.daemon.log().lines().iter().filter(|line| line.contains("public_url")).count();
    assert_eq!(hints, 1, "a flood of them is one line");
}
