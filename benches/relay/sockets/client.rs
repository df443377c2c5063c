//! A client of the browser's protocol, as cheap as one can be: it does on the wire what the official SDK does and keeps
//! nothing of it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use crate::Failure;

const BEGINNING: &[u8] = b"TWILSOCK V3.0 ";

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    asked: u64,
    /// Frames that went either way.
    pub frames: u64,
}

/// What came in.
pub enum Came {
    /// The answer to the call of this number.
    Answer(u64, Value),
    /// Something told, acknowledged already.
    Notice(Bytes),
}

impl Client {
    /// Connects from an address of this machine and is let in.
    pub async fn enter(from: IpAddr, to: SocketAddr, token: &str) -> Result<Client, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let uri = format!("ws://{to}/v3/wsconnect").parse()?;
        let (socket, _) = ClientBuilder::from_uri(uri).connect_on(stream).await?;
        let mut client = Client { socket, asked: 0, frames: 0 };
        let kinds = ["twilio.ipmsg.typing_indicator", "twilio.sync.event"];
        let header = json!({
            "id": "TMinit", "method": "init", "payload_size": 0, "token": token, "continuation_token": null,
            "metadata": { "ver": "3.0.1", "env": "bench", "type": "conversations", "sdk": "JS", "sdkv": "3.0.1" },
            "registrations": [{ "product": "ip_messaging", "type": "ers", "notification_protocol_version": 0,
                "message_types": kinds }],
            "tweaks": null,
            "capabilities": ["client_update", "offline_storage", "telemetry.v1"],
        });
        client.send(&header, b"").await?;
        let frame = client.read().await?;
        let header: Value = serde_json::from_slice(&frame[header_of(&frame)?])?;
        if header["status"]["code"] != 200 {
            return Err(format!("not let in: {header}").into());
        }
        Ok(client)
    }

    /// Sends a call; gives its number.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        params: &Value,
        body: &Value,
    ) -> Result<u64, Failure> {
        self.asked += 1;
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let kind = "application/json; charset=utf-8";
        let header = json!({
            "id": format!("TM{}", self.asked), "method": "message", "active_grant": "ip_messaging",
            "payload_type": kind, "payload_size": payload.len(),
            "http_request": { "host": "bench", "path": path, "method": method, "params": params,
                "headers": { "Content-Type": kind } },
        });
        self.send(&header, payload.as_bytes()).await?;
        Ok(self.asked)
    }

    /// What comes next that says anything. Everything told is acknowledged before it is given.
    ///
    /// # Cancel safety
    /// An acknowledgement may be lost, and nothing else.
    pub async fn next(&mut self) -> Result<Came, Failure> {
        let frame = self.read().await?;
        let place = header_of(&frame)?;
        let payload = frame.slice(place.end + 2..);
        let text = std::str::from_utf8(&frame[place])?;
        let id = between(text, "\"id\":\"", '"').ok_or("a frame without an id")?;
        match between(text, "\"method\":\"", '"') {
            Some("reply") => {
                let number = id.strip_prefix("TM").and_then(|number| number.parse().ok());
                let http = text.split_once("\"http_status\"").map_or("", |(_, rest)| rest);
                if !http.starts_with(":{\"code\":20") {
                    let said = String::from_utf8_lossy(&payload);
                    return Err(format!("a call came to nothing: {text} {said}").into());
                }
                let body = if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload)? };
                Ok(Came::Answer(number.ok_or("an answer to nothing")?, body))
            }
            Some("notification") => {
                let reply = format!(
                    r#"{{"method":"reply","id":"{id}","payload_type":"application/json","status":{{"code":200,"status":"OK"}},"payload_size":0}}"#
                );
                self.write(reply.as_bytes(), b"").await?;
                Ok(Came::Notice(payload))
            }
            _ => Err(format!("the session ends: {text}").into()),
        }
    }

    async fn send(&mut self, header: &Value, payload: &[u8]) -> Result<(), Failure> {
        self.write(header.to_string().as_bytes(), payload).await
    }

    async fn write(&mut self, header: &[u8], payload: &[u8]) -> Result<(), Failure> {
        let mut frame = BytesMut::with_capacity(header.len() + payload.len() + 32);
        frame.put_slice(BEGINNING);
        frame.put_slice(header.len().to_string().as_bytes());
        for part in [b"\r\n", header, b"\r\n", payload] {
            frame.put_slice(part);
        }
        self.frames += 1;
        Ok(self.socket.send(Message::binary(frame.freeze())).await?)
    }

    async fn read(&mut self) -> Result<Bytes, Failure> {
        loop {
            let message = self.socket.next().await.ok_or("the socket is closed")??;
            if message.is_binary() {
                self.frames += 1;
                return Ok(message.into_payload().into());
            }
            if message.is_close() {
                return Err("the daemon closed a socket".into());
            }
        }
    }
}

/// Where a frame's header is.
fn header_of(frame: &[u8]) -> Result<Range<usize>, Failure> {
    let rest = frame.strip_prefix(BEGINNING).ok_or("no frame")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(&rest[..digits])?.parse()?;
    let begin = BEGINNING.len() + digits + 2;
    if begin + length + 2 > frame.len() {
        return Err("a frame that ends before its header".into());
    }
    Ok(begin..begin + length)
}

/// What stands between a text and a letter.
pub fn between<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    text.split_once(before)?.1.split(end).next()
}
