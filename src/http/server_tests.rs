#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::http::body::full;
use futures_util::FutureExt;
use http::StatusCode;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Says how long the body was; on `/wait` only when told to.
struct Echo {
    entered: Notify,
    go: Notify,
}

impl Handler for Echo {
    fn admit(&self, head: &mut Parts) -> Admission {
        let verdict = match head.uri.path() {
            "/refused" => {
                self.entered.notify_one();
                Err(ApiError::not_found("/refused").into_response())
            }
            _ => Ok(Entry::Whole(1024 * 1024)),
        };
        Admission { label: "/echo", verdict }
    }

    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Response<Body>> {
        async move {
            match request.uri().path() {
                "/wait" => {
                    self.entered.notify_one();
                    self.go.notified().await;
                }
                "/break" => panic!("a bug"),
                _ => {}
            }
            Response::new(full(request.body().len().to_string()))
        }
        .boxed()
    }
}

struct Running {
    address: SocketAddr,
    handler: Arc<Echo>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn start(listen: &str, limits: Limits) -> Option<Running> {
    let listener = TcpListener::bind(listen).await.ok()?;
    let address = listener.local_addr().unwrap();
    let handler = Arc::new(Echo { entered: Notify::new(), go: Notify::new() });
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(serve(vec![Listener::Tcp(listener)], Arc::clone(&handler), limits, stopped));
    Some(Running { address, handler, stop, serving })
}

async fn local(limits: Limits) -> Running {
    start("127.0.0.1:0", limits).await.unwrap()
}

struct Client(BufReader<TcpStream>);

impl Client {
    async fn new(running: &Running) -> Client {
        Client(BufReader::new(TcpStream::connect(running.address).await.unwrap()))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    async fn post(&mut self, path: &str, body: &[u8]) {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        self.send(head.as_bytes()).await;
        self.send(body).await;
    }

    /// Status, whether the connection goes on, and the body.
    async fn answer(&mut self) -> (u16, bool, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, !head.contains("connection: close"), String::from_utf8(body).unwrap())
    }

    async fn ended(mut self) -> bool {
        matches!(self.0.read_u8().await, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }
}

fn small() -> Limits {
    Limits { concurrent: 1, request_timeout: Duration::from_millis(300), ..Limits::default() }
}

#[tokio::test]
async fn a_body_too_large_is_refused_and_the_next_request_works() {
    let running = local(Limits::default()).await;
    let mut client = Client::new(&running).await;
    client.post("/", &vec![b'x'; 5 * 1024 * 1024]).await;
    let (status, goes_on, _) = client.answer().await;
    assert_eq!((status, goes_on), (413, true));
    client.post("/", b"abc").await;
    assert_eq!(client.answer().await, (200, true, "3".to_owned()));
    // The same without a declared length.
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..32 {
        client.send(&chunk).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.0, 413);
    client.post("/", b"abcd").await;
    assert_eq!(client.answer().await, (200, true, "4".to_owned()));
}

#[tokio::test]
async fn an_absurd_length_is_refused_unread() {
    let running = local(Limits::default()).await;
    let mut client = Client::new(&running).await;
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n").await;
    let (status, goes_on, _) = client.answer().await;
    assert_eq!((status, goes_on), (413, false));
    assert!(client.ended().await);
    let mut client = Client::new(&running).await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
        .await;
    let (status, goes_on, _) = client.answer().await;
    assert_eq!((status, goes_on), (413, false), "refused before it is sent");
}

#[tokio::test]
async fn a_slow_sender_gets_408_and_a_slow_answer_503() {
    let running = local(small()).await;
    let mut client = Client::new(&running).await;
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
    let (status, goes_on, _) = client.answer().await;
    assert_eq!((status, goes_on), (408, false));
    let mut client = Client::new(&running).await;
    client.post("/wait", b"").await;
    assert_eq!(client.answer().await.0, 503);
    running.handler.go.notify_one();
}

#[tokio::test]
async fn a_full_house_says_so_and_recovers() {
    let running = local(Limits { concurrent: 1, ..Limits::default() }).await;
    let (mut first, mut second) = (Client::new(&running).await, Client::new(&running).await);
    first.post("/wait", b"").await;
    running.handler.entered.notified().await;
    second.post("/", b"abc").await;
    let (status, goes_on, body) = second.answer().await;
    assert_eq!((status, goes_on), (503, true));
    assert!(body.contains("20503"), "{body}");
    running.handler.go.notify_one();
    assert_eq!(first.answer().await.0, 200);
    second.post("/", b"abc").await;
    assert_eq!(second.answer().await.0, 200);
}

#[tokio::test]
async fn more_connections_wait_until_another_ends() {
    let running = local(Limits { concurrent: 1, ..Limits::default() }).await;
    let mut inside = Vec::new();
    for _ in 0..CONNECTIONS_PER_REQUEST {
        let mut client = Client::new(&running).await;
        client.post("/", b"abc").await;
        assert_eq!(client.answer().await.0, 200);
        inside.push(client);
    }
    let mut outside = Client::new(&running).await;
    outside.post("/", b"abcd").await;
    for client in &mut inside {
        client.post("/", b"abc").await;
        assert_eq!(client.answer().await.0, 200);
    }
    assert!(outside.answer().now_or_never().is_none());
    inside.pop();
    assert_eq!(outside.answer().await, (200, true, "4".to_owned()));
}

#[tokio::test]
async fn a_refused_body_takes_no_place() {
    let running = local(Limits { concurrent: 1, ..Limits::default() }).await;
    let (mut refused, mut other) = (Client::new(&running).await, Client::new(&running).await);
    refused.send(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
    running.handler.entered.notified().await;
    other.post("/", b"abc").await;
    assert_eq!(other.answer().await.0, 200);
    // The rest does not come, and is not waited for as long as a request may take.
    let (status, goes_on, _) = refused.answer().await;
    assert_eq!((status, goes_on), (404, false));
}

#[tokio::test]
async fn a_refusal_reads_the_body_away_and_a_bug_costs_one_request() {
    let running = local(Limits::default()).await;
    let mut client = Client::new(&running).await;
    client.post("/refused", &[b'x'; 100_000]).await;
    assert_eq!(client.answer().await.0, 404);
    client.post("/break", b"").await;
    assert_eq!(client.answer().await.0, 503);
    client.post("/", b"x").await;
    assert_eq!(client.answer().await, (200, true, "1".to_owned()));
    // A body that breaks off harms nobody.
    let mut broken = Client::new(&running).await;
    broken.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
    drop(broken);
    client.send(b"nonsense\r\n\r\n").await;
    assert_eq!(client.answer().await.0, 400);
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_server_does() {
    let running = local(Limits::default()).await;
    let mut client = Client::new(&running).await;
    client.post("/wait", b"abc").await;
    running.handler.entered.notified().await;
    running.stop.send(()).unwrap();
    // Only once nobody is let in any more has the stop been seen.
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!running.serving.is_finished());
    running.handler.go.notify_one();
    assert_eq!(client.answer().await, (StatusCode::OK.as_u16(), false, "3".to_owned()));
    running.serving.await.unwrap();
}

#[tokio::test]
async fn ipv6_where_there_is_any() {
    let Some(running) = start("[::1]:0", Limits::default()).await else { return };
    let mut client = Client::new(&running).await;
    client.post("/", b"abc").await;
    assert_eq!(client.answer().await.0, 200);
}

/// Counts what is streamed to it, and on `/stop` does not read at all.
struct Counting;

impl Handler for Counting {
    fn admit(&self, head: &mut Parts) -> Admission {
        let most = if head.uri.path() == "/whole" { Entry::Whole(10) } else { Entry::Streamed(1_000_000) };
        Admission { label: "/count", verdict: Ok(most) }
    }

    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Response<Body>> {
        async move { Response::new(full(format!("whole {}", request.body().len()))) }.boxed()
    }

    fn stream<'a>(
        self: Arc<Self>,
        request: Request<()>,
        body: &'a mut Streamed,
    ) -> BoxFuture<'a, Response<Body>> {
        async move {
            match request.uri().path() {
                "/stop" => return Response::new(full("unread")),
                "/break" => panic!("a bug"),
                _ => {}
            }
            let mut count = 0;
            loop {
                match body.next().await {
                    Ok(Some(piece)) => count += piece.len(),
                    Ok(None) => return Response::new(full(format!("streamed {count}"))),
                    Err(error) => return Response::new(full(format!("{error:?}"))),
                }
            }
        }
        .boxed()
    }
}

async fn counting(limits: Limits) -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    tokio::spawn(serve(vec![Listener::Tcp(listener)], Arc::new(Counting), limits, stopped));
    (address, stop)
}

async fn connect(address: SocketAddr) -> Client {
    Client(BufReader::new(TcpStream::connect(address).await.unwrap()))
}

#[tokio::test]
async fn a_streamed_body_is_read_as_it_comes_and_bounded() {
    let (address, _stop) = counting(Limits::default()).await;
    let mut client = connect(address).await;
    client.post("/", &[b'x'; 300_000]).await;
    assert_eq!(client.answer().await, (200, true, "streamed 300000".to_owned()));
    client.post("/whole", b"0123456789").await;
    assert_eq!(client.answer().await, (200, true, "whole 10".to_owned()));
    // What nobody reads is read away, and the connection goes on.
    client.post("/stop", &[b'x'; 300_000]).await;
    assert_eq!(client.answer().await, (200, true, "unread".to_owned()));
    client.post("/", &[b'x'; 1_000_001]).await;
    assert_eq!(client.answer().await.2, "TooLarge");
    // The same without a declared length.
    let mut client = connect(address).await;
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..16 {
        client.send(&chunk).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.2, "TooLarge");
    let mut client = connect(address).await;
    client.post("/break", b"x").await;
    assert_eq!((client.answer().await.0, client.ended().await), (503, true));
}

#[tokio::test]
async fn a_sender_that_stops_is_not_waited_for_and_holds_up_no_request() {
    let (address, _stop) = counting(small()).await;
    let mut stuck = connect(address).await;
    stuck.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
    // There is one place for requests and one for uploads: the upload takes none of the requests'.
    let mut client = connect(address).await;
    let second = loop {
        client.post("/", b"abc").await;
        let (status, _, body) = client.answer().await;
        if status == 503 || body != "streamed 3" {
            break status;
        }
    };
    assert_eq!(second, 503);
    client.post("/whole", b"abc").await;
    assert_eq!(client.answer().await, (200, true, "whole 3".to_owned()));
    assert_eq!(stuck.answer().await.2, "Slow");
}
