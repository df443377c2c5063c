//! Calls of a socket that answers what it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers one request, and gives what was asked.
async fn once(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = socket.read(&mut buffer).await.unwrap();
            heard.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&heard).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break;
            }
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        if answer.is_empty() {
            // Says nothing, and stays.
            std::future::pending::<()>().await;
        }
        String::from_utf8(heard).unwrap()
    });
    (port, heard)
}

fn caller() -> Caller {
    let guard = Guard::default();
    guard.allow(|address| address.is_loopback());
    Caller::new(guard, "test/1").unwrap()
}

fn request(url: String, body: Body) -> Request {
    Request {
        url,
        body,
        headers: vec![("I-Twilio-Idempotency-Token", "t-1".to_owned())],
        timeout: Duration::from_secs(5),
        most: 1024,
    }
}

fn pairs() -> Vec<(String, String)> {
    [("A", "1 2"), ("B", ""), ("A", "&")].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn a_form_is_posted_and_signed_for_the_url_without_what_only_we_see() {
    let (port, heard) =
        once("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok").await;
    let url = format!("http://user:secret@127.0.0.1:{port}/hook?x=1#rc=5");
    let answer = caller().call(request(url, Body::Form(pairs())), "token").await.unwrap();
    assert_eq!(
        (answer.status, &answer.body[..], answer.content_type.as_str()),
        (200, &b"ok"[..], "text/plain")
    );
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\nA=1+2&B=&A=%26"), "{heard}");
    let url = Url::parse(&format!("http://127.0.0.1:{port}/hook?x=1")).unwrap();
    for header in [
        format!("x-twilio-signature: {}\r\n", sign("token", &url, &pairs())),
        "authorization: Basic dXNlcjpzZWNyZXQ=\r\n".to_owned(),
        "i-twilio-idempotency-token: t-1\r\n".to_owned(),
        "user-agent: test/1\r\n".to_owned(),
    ] {
        assert!(heard.contains(&header), "{header} in {heard}");
    }
}

#[tokio::test]
async fn a_get_has_its_parameters_in_the_signed_url_and_json_its_hash() {
    let (port, heard) = once("HTTP/1.1 204 No Content\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{port}/?x=1");
    caller().call(request(url, Body::Query(pairs())), "token").await.unwrap();
    let heard = heard.await.unwrap();
    let called = Url::parse(&format!("http://127.0.0.1:{port}/?x=1&A=1+2&B=&A=%26")).unwrap();
    assert!(heard.starts_with("GET /?x=1&A=1+2&B=&A=%26 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("x-twilio-signature: {}\r\n", sign("token", &called, &[]))), "{heard}");

    let (port, heard) = once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let body = Bytes::from_static(b"{\"a\":1}");
    let url = format!("http://127.0.0.1:{port}/");
    caller().call(request(url.clone(), Body::Json(body.clone())), "token").await.unwrap();
    let heard = heard.await.unwrap();
    let called = with_body_hash(Url::parse(&url).unwrap(), &body);
    assert!(heard.starts_with("POST /?bodySHA256="), "{heard}");
    assert!(heard.contains(&format!("x-twilio-signature: {}\r\n", sign("token", &called, &[]))), "{heard}");
}

#[tokio::test]
async fn redirects_are_answers_and_too_much_is_an_error() {
    let (port, _) =
        once("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{port}/");
    let answer = caller().call(request(url, Body::Form(pairs())), "token").await.unwrap();
    assert_eq!(answer.status, 302);
    let (port, _) = once("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{port}/");
    let mut small = request(url, Body::Form(pairs()));
    small.most = 10;
    // Less than was promised is an error as well.
    assert!(caller().call(small, "token").await.is_err());
    let (port, _) = once("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n01234567890123456789").await;
    let url = format!("http://127.0.0.1:{port}/");
    let mut small = request(url, Body::Form(pairs()));
    small.most = 10;
    assert_eq!(caller().call(small, "token").await, Err(CallError::TooLarge));
}

#[tokio::test]
async fn silence_and_private_networks() {
    let (port, silent) = once("").await;
    let mut short = request(format!("http://127.0.0.1:{port}/"), Body::Form(pairs()));
    short.timeout = Duration::from_millis(50);
    assert_eq!(caller().call(short, "token").await, Err(CallError::TimedOut));
    silent.abort();
    let closed = Caller::new(Guard::default(), "test/1").unwrap();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let refused = request(format!("http://{host}:{port}/"), Body::Form(pairs()));
        let refused = closed.call(refused, "token").await;
        assert_eq!(refused, Err(CallError::NotReachable(NotReachable::Private)), "{host}");
    }
    assert_eq!(
        closed.call(request("no URL".into(), Body::Form(pairs())), "token").await,
        Err(CallError::Url)
    );
}
