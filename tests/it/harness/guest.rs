//! Somebody at a client of the SDK: a token, a socket, and what comes over it, as the SDK's own wire has it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use super::config::{ACCOUNT, Config};
use super::{PATIENCE, World};

const KEY: &str = "SK00000000000000000000000000000001";
const SECRET: &str = "the-secret-of-the-api-key-of-32-letters";

/// Lets clients in: an API key, and the adapter whose door it is.
pub fn welcome(config: &mut Config) {
    config.auth_token =
        format!("{}\n[[account.api_key]]\nsid = \"{KEY}\"\nsecret = \"{SECRET}\"", config.auth_token);
    config.rest.push_str("[[adapter]]\nname = \"web\"\nkind = \"sdk\"\n[adapter.settings]\n");
}

/// A token for somebody, for the account's default service.
fn token(identity: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = part(json!({ "typ": "JWT", "alg": "HS256", "cty": "twilio-fpa;v=1" }));
    let claims = part(json!({
        "jti": format!("{KEY}-{now}"), "iss": KEY, "sub": ACCOUNT, "iat": now, "exp": now + 600,
        "grants": { "identity": identity, "chat": {} },
    }));
    let signed = format!("{header}.{claims}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

/// Somebody at a client.
pub struct Guest {
    socket: WebSocketStream<TcpStream>,
    asked: u64,
    /// What was told and not looked at yet: its kind, and what it says.
    told: VecDeque<(String, Value)>,
}

impl Guest {
    /// Comes in.
    pub async fn enter(world: &World, identity: &str) -> Guest {
        let address: SocketAddr = world.daemon.address;
        let stream = TcpStream::connect(address).await.unwrap();
        let uri = format!("ws://{address}/v3/wsconnect").parse().unwrap();
        let (socket, _) = ClientBuilder::from_uri(uri).connect_on(stream).await.unwrap();
        let mut guest = Guest { socket, asked: 0, told: VecDeque::new() };
        let header = json!({
            "id": "TMinit", "method": "init", "payload_size": 0, "token": token(identity),
            "continuation_token": null, "metadata": { "sdk": "JS" }, "registrations": [], "tweaks": null,
            "capabilities": ["client_update"],
        });
        guest.write(&header, "").await;
        let (header, _) = guest.read().await;
        assert_eq!(header["status"]["code"], 200, "{header}");
        guest
    }

    /// Calls an endpoint with JSON, or with a form where the body is a text; gives status and answer.
    pub async fn call(&mut self, method: &str, path: &str, body: &Value) -> (u64, Value) {
        self.asked += 1;
        let id = format!("TM{}", self.asked);
        let (kind, payload) = match body {
            Value::Null => ("application/json", String::new()),
            Value::String(form) => ("application/x-www-form-urlencoded", form.clone()),
            body => ("application/json", body.to_string()),
        };
        let header = json!({
            "id": id, "method": "message", "active_grant": "ip_messaging", "payload_type": kind,
            "payload_size": payload.len(),
            "http_request": { "host": "aim", "path": path, "method": method, "params": {},
                "headers": { "Content-Type": kind } },
        });
        self.write(&header, &payload).await;
        loop {
            let (header, payload) = self.read().await;
            if header["method"] == "reply" && header["id"] == id.as_str() {
                return (header["http_status"]["code"].as_u64().unwrap(), payload);
            }
            self.keep(&header, payload);
        }
    }

    /// The answer to a call that is to succeed.
    pub async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Watches an object of the synchronised view.
    pub async fn watch(&mut self, kind: &str, object: &str) {
        let request = json!({ "object_sid": object, "object_type": kind, "last_event_id": null });
        let body = json!({ "event_protocol_version": 4, "action": "establish", "correlation_id": 1, "requests": [request] });
        self.ask("POST", "/v4/Subscriptions", &body).await;
        self.hear("twilio.sync.event", |told| told["event_type"] == "subscription_established").await;
    }

    /// The next of its kind that fits; what came before it is passed over.
    pub async fn hear(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            while let Some((heard, told)) = self.told.pop_front() {
                if heard == kind && fits(&told) {
                    return told;
                }
            }
            let (header, payload) = self.read().await;
            self.keep(&header, payload);
        }
    }

    fn keep(&mut self, header: &Value, payload: Value) {
        if let Some(kind) = header["message_type"].as_str() {
            self.told.push_back((kind.to_owned(), payload));
        }
    }

    async fn write(&mut self, header: &Value, payload: &str) {
        let header = header.to_string();
        let frame = format!("TWILSOCK V3.0 {}\r\n{header}\r\n{payload}", header.len());
        self.socket.send(Message::binary(Bytes::from(frame))).await.unwrap();
    }

    /// The next frame: its header, and its payload as JSON.
    async fn read(&mut self) -> (Value, Value) {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let message = next.expect("the daemon says nothing").expect("the socket is open").unwrap();
            if message.is_binary() {
                let frame = Bytes::from(message.into_payload());
                let text = std::str::from_utf8(&frame).unwrap();
                let (length, rest) = text.strip_prefix("TWILSOCK V3.0 ").unwrap().split_once("\r\n").unwrap();
                let (header, payload) = rest.split_at(length.parse().unwrap());
                let payload = payload.strip_prefix("\r\n").unwrap();
                let payload = serde_json::from_str(payload).unwrap_or(Value::Null);
                return (serde_json::from_str(header).unwrap(), payload);
            }
        }
    }
}
