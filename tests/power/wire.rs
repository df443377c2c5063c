//! A caller whose every answer can be found again in the journal: one connection, one request at a time.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trunkline_adapter::DeliveryStatus;
use trunkline_adapter::simulator::SignedRequest;

use crate::harness::config::{ACCOUNT, TOKEN};

/// What an answer of 2xx promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The message with this number is kept, and will be sent.
    Message(u64),
    /// The conversation's attributes are at least of this version.
    Attributes(String, u64),
    /// The receipt has come at least so far.
    Receipt(String, DeliveryStatus),
}

/// One request: what its answer promises, and whether that is what it was asked to change or only what it showed.
#[derive(Clone, Debug)]
pub struct Page {
    pub shown: bool,
    pub promises: Vec<Promise>,
}

/// By the port that asked: its requests, in order.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<HashMap<u16, Vec<Page>>>>);

impl Book {
    pub fn by_port(&self) -> HashMap<u16, Vec<Page>> {
        self.0.lock().unwrap().clone()
    }
}

fn basic() -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"))))
}

/// A connection.
pub struct Wire {
    stream: BufReader<TcpStream>,
    port: u16,
    book: Book,
}

/// The connection ended before there was an answer.
#[derive(Debug)]
pub struct Cut;

impl From<std::io::Error> for Cut {
    fn from(_: std::io::Error) -> Cut {
        Cut
    }
}

impl Wire {
    pub fn connect(address: SocketAddr, book: &Book) -> Result<Wire, Cut> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let port = stream.local_addr()?.port();
        book.0.lock().unwrap().insert(port, Vec::new());
        Ok(Wire { stream: BufReader::new(stream), port, book: book.clone() })
    }

    /// Posts a form to the REST API.
    pub fn post(
        &mut self,
        promise: Promise,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<(u16, String), Cut> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = [basic(), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let page = Page { shown: false, promises: vec![promise] };
        self.ask(page, "POST", path, &headers, form.finish().as_bytes())
    }

    /// Looks at something of the REST API. What its reader makes of it is written down beside the answer: nobody may be
    /// shown what a power cut would take back.
    pub fn look<T>(
        &mut self,
        path: &str,
        read: impl FnOnce(&serde_json::Value) -> (T, Vec<Promise>),
    ) -> Result<T, Cut> {
        let page = Page { shown: true, promises: Vec::new() };
        let (status, text) = self.ask(page, "GET", path, &[basic()], b"")?;
        assert_eq!(status, 200, "{path}: {text}");
        let (seen, promises) = read(&serde_json::from_str(&text).expect("JSON"));
        let mut book = self.book.0.lock().unwrap();
        book.get_mut(&self.port).unwrap().last_mut().unwrap().promises = promises;
        Ok(seen)
    }

    /// Delivers a provider's request.
    pub fn deliver(&mut self, promise: Promise, signed: &SignedRequest) -> Result<(u16, String), Cut> {
        let path = &signed.url[signed.url.find("/webhooks/").expect("a webhook")..];
        let page = Page { shown: false, promises: vec![promise] };
        self.ask(page, signed.method.as_str(), path, &signed.headers, &signed.body)
    }

    fn ask(
        &mut self,
        page: Page,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<(u16, String), Cut> {
        self.book.0.lock().unwrap().get_mut(&self.port).unwrap().push(page);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: bridge.test\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let mut line = String::new();
        let mut next = |stream: &mut BufReader<TcpStream>| -> Result<String, Cut> {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                Err(Cut)
            } else {
                Ok(line.trim_end().to_ascii_lowercase())
            }
        };
        let status =
            next(&mut self.stream)?.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(Cut)?;
        let mut length = 0;
        loop {
            let header = next(&mut self.stream)?;
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| Cut)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
