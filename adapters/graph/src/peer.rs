//! A scripted HTTP peer for tests of sends: takes one connection, keeps its request, answers with given bytes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// The whole-request timeout of [`client`].
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A peer on loopback.
pub struct Peer {
    url: String,
    request: Mutex<oneshot::Receiver<PeerRequest>>,
    serving: JoinHandle<()>,
}

/// What the peer was sent.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// Request line and headers, as sent.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Peer {
    /// Answers with these bytes, then closes.
    ///
    /// # Errors
    /// When loopback cannot be bound.
    pub async fn answering(answer: &str) -> io::Result<Peer> {
        Peer::start(Some(answer.to_owned())).await
    }

    /// Reads the request, then holds the connection without a word.
    ///
    /// # Errors
    /// When loopback cannot be bound.
    pub async fn silent() -> io::Result<Peer> {
        Peer::start(None).await
    }

    async fn start(answer: Option<String>) -> io::Result<Peer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, receiver) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let Ok(request) = take(&mut stream).await else { return };
            let _ = sender.send(request);
            match answer {
                Some(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
                None => std::future::pending().await,
            }
        });
        Ok(Peer { url, request: Mutex::new(receiver), serving })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The request, once it is there; `None` when none came or it was asked for before.
    pub async fn request(&self) -> Option<PeerRequest> {
        let mut receiver = self.request.lock().await;
        (&mut *receiver).await.ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(stream: &mut TcpStream) -> io::Result<PeerRequest> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(head_end);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(PeerRequest { head, body })
}

/// An HTTP answer with a JSON content type; `headers` are whole lines.
pub fn json(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A client like the daemon's.
///
/// # Panics
/// When TLS cannot be set up, which would be a fault of the test itself.
pub fn client() -> reqwest::Client {
    // A second call finds the provider in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build();
    client.unwrap_or_default()
}
