//! SDK clients: access tokens, frames, the socket beneath them, and what a session makes of them. The first byte chooses.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline::http::token::{Unverified, Wanted, sign};
use trunkline::http::{Account, Accounts, Clients, Tokens};
use trunkline::ledger::Ledger;
use trunkline::sync::{Hub, Tap};
use trunkline_adapter::{
    AdapterKind, Clock, Crowd, Door, Kit, Reception, Secret, Secrets, Section, Timestamp, Visit,
};
use trunkline_sdk::{Sdk, frame};

use super::choice;
use super::house::{ACCOUNT, House};

const KEY: &str = "SK00000000000000000000000000000001";
const SECRET: &str = "6f1c9b7e5a3d48f2-api-key-secret";
const NOW: i64 = 1_760_000_000;
/// Frames of one input; more find nothing new.
const FRAMES: usize = 24;

pub fn run(data: &[u8]) {
    let Some((which, rest)) = choice(data) else { return };
    match which {
        b'f' => frames(rest),
        b't' => tokens(&String::from_utf8_lossy(rest)),
        b's' => alone(session([entrance(), frames_of(rest)].concat())),
        b'g' => alone(session(frames_of(rest))),
        b'w' => alone(session([entrance(), rest.to_vec()].concat())),
        _ => {}
    }
}

/// Runs a future in a runtime of its own, and drops with it whatever it began: that somebody is gone is told after a minute,
/// by a task that keeps their house.
fn alone(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future);
}

/// What is a frame is written as what was read.
fn frames(bytes: &[u8]) {
    let Ok(read) = frame::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert!(read.header.len() + read.payload.len() < bytes.len(), "more than there was");
    let written = frame::encode(&read.header, &read.payload);
    assert_eq!(frame::decode(written).as_ref(), Ok(&read));
}

/// Nothing passes that our key did not sign.
fn tokens(text: &str) {
    let secrets = [Secret::new(SECRET)];
    if let Ok(token) = Unverified::read(text) {
        let _ = token.issuer();
        assert!(token.signer(&secrets).is_err(), "a stranger's token");
    }
    if !text.is_empty() && text.chars().count() <= 256 {
        let made = sign(&wanted(text), &secrets[0], Timestamp::from_seconds(NOW));
        let read = Unverified::read(&made).expect("our own");
        assert!(read.signer(&secrets).is_ok());
        assert_eq!(read.verified(Timestamp::from_seconds(NOW)).expect("our own").identity, text);
    }
}

fn wanted(identity: &str) -> Wanted<'_> {
    let life = Duration::from_secs(3600);
    Wanted { account: ACCOUNT, key: KEY, identity, service: None, life }
}

fn door(clock: Clock) -> Arc<dyn Door> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let blueprint = Sdk.blueprint(&mut Section::of(&[]), &mut []).expect("settings without problems");
    let kit = Kit { http: reqwest::Client::new(), clock, webhook_url: String::new() };
    blueprint.build(kit).door().expect("a door")
}

/// The first frame of somebody with a good token.
fn entrance() -> Vec<u8> {
    let token = sign(&wanted("ada"), &Secret::new(SECRET), Timestamp::from_seconds(NOW));
    let header = format!(r#"{{"id":"TM0","method":"init","payload_size":0,"token":"{token}"}}"#);
    let mut sent = Vec::new();
    socket_frame(&mut sent, &frame::encode(header.as_bytes(), b""));
    sent
}

/// Each line is a frame's header, and what follows a tab its payload.
fn frames_of(data: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(FRAMES) {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let (header, payload) = tab.map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
        socket_frame(&mut sent, &frame::encode(header, payload));
    }
    sent
}

/// A socket on which these bytes come, whether they are frames or not.
async fn session(sent: Vec<u8>) {
    let house = House::new().await;
    let clock = Clock::at(Timestamp::from_seconds(NOW));
    let account = Account {
        sid: house.account.clone(),
        auth_token: Secrets::one("token"),
        keys: vec![(KEY.to_owned(), Secrets::one(SECRET))],
    };
    let accounts = Arc::new(Accounts::new(vec![account]));
    let hub = Arc::new(Hub::new(&Tap::default(), Ledger::new(house.engine.clone())));
    let reception = Reception {
        tokens: Arc::new(Tokens::new(accounts, house.relay.clone(), clock)),
        host: Arc::new(Clients::new(house.relay.clone(), hub, clock)),
        visit: Visit { root: "https://bridge.example".into() },
        crowd: Crowd { total: 10, per_identity: 10 },
    };
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut reading, mut writing) = tokio::io::split(theirs);
    let client = async move {
        // The session may be over before it was told everything.
        let _ = writing.write_all(&sent).await;
        let _ = writing.shutdown().await;
        let mut told = Vec::new();
        let _ = reading.read_to_end(&mut told).await;
        told
    };
    let ((), told) = tokio::join!(door(clock).serve(Box::new(ours), reception), client);
    judge(&told);
}

/// As a client's library writes it, under a mask that changes nothing.
fn socket_frame(out: &mut Vec<u8>, message: &[u8]) {
    out.push(0x82);
    match u16::try_from(message.len()) {
        Ok(length) if length < 126 => out.push(0x80 | message.len() as u8),
        Ok(length) => {
            out.push(0x80 | 126);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend((message.len() as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(message);
}

/// Everything told is a frame with an object for a header, and no call was answered with a fault of ours.
fn judge(mut told: &[u8]) {
    while let [first, second, rest @ ..] = told {
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().expect("eight")) as usize, &rest[8..]),
            length => (usize::from(*length), rest),
        };
        let (message, after) = rest.split_at(length);
        told = after;
        if first & 0x0f != 2 {
            continue;
        }
        let read = frame::decode(Bytes::copy_from_slice(message)).expect("a frame");
        let header: serde_json::Value = serde_json::from_slice(&read.header).expect("an object");
        assert_eq!(header["payload_size"], read.payload.len());
        assert!(header["method"].is_string() && header["id"].is_string(), "{header}");
        let status = header["http_status"]["code"].as_u64().unwrap_or(200);
        assert!((200..500).contains(&status), "{header}");
        if !read.payload.is_empty() {
            let body: serde_json::Value = serde_json::from_slice(&read.payload).expect("JSON");
            assert!(status < 400 || body["code"].is_u64(), "{body}");
        }
    }
}
