//! Sends against a peer that answers whatever a test wants, over real sockets.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trunkline_adapter::simulator::ProviderRequest;
use trunkline_adapter::{Blame, Content, Outbound, Outcome, Scope};

use super::*;

const PATIENT: Duration = Duration::from_secs(20);

fn outbound(text: &str) -> Outbound {
    Outbound {
        from: address("+15550001111"),
        to: address("+12025550123"),
        aliases: Vec::new(),
        content: Content::Text { body: text.to_owned() },
        correlation: "IM1:MB2/x".to_owned(),
    }
}

async fn read_request(stream: &mut TcpStream) -> ProviderRequest {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request broke off");
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            break (head, length);
        }
    };
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let method = first.next().unwrap().parse().unwrap();
    let target = first.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let body = Bytes::copy_from_slice(&bytes[bytes.len() - length..]);
    ProviderRequest { method, path: path.to_owned(), query: query.to_owned(), headers, body }
}

fn http(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// One send to a peer that answers with what `answer` makes of the request.
async fn send_to(answer: impl FnOnce(ProviderRequest) -> String, outbound: &Outbound) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let adapter = adapter(&format!("http://{}", listener.local_addr().unwrap()), PATIENT);
    let peer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        stream.write_all(answer(request).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    tokio::join!(adapter.send(outbound), peer).0
}

fn fixture(name: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("../../fixtures/answers.json")).unwrap();
    all[name].to_string()
}

#[tokio::test]
async fn the_provider_takes_what_we_send() {
    let text = "50% & free = +1\n👋";
    let provider = blueprint("https://api.twilio.com").simulator().unwrap();
    let mut seen = None;
    let outcome = send_to(
        |request| {
            let submission = provider.accept(&request).unwrap();
            let answer = provider.accepted(&submission, &provider.message_id(7));
            seen = Some(submission);
            http(answer.status.as_u16(), "content-type: application/json\r\n", &answer.body)
        },
        &outbound(text),
    )
    .await;
    assert_eq!(outcome, Outcome::Accepted { id: format!("SM{:032x}", 7), learned: Vec::new(), at: None });
    let submission = seen.unwrap();
    assert_eq!((submission.from.as_str(), submission.to.as_str()), ("+15550001111", "+12025550123"));
    assert_eq!(submission.text, text);
    assert_eq!(submission.correlation.as_deref(), Some("IM1:MB2/x"));
    assert_eq!(submission.callback.as_deref(), Some(&*format!("{WEBHOOK}?m=IM1%3AMB2%2Fx")));
}

#[tokio::test]
async fn published_answers_are_understood() {
    let created = send_to(|_| http(201, "", &fixture("created")), &outbound("x")).await;
    assert!(matches!(created, Outcome::Accepted { id, .. } if id == format!("SM{}", "a".repeat(32))));
    match send_to(|_| http(400, "", &fixture("refused")), &outbound("x")).await {
        Outcome::Rejected { blame: Blame::Recipient, cause } => {
            assert_eq!(cause.code, 21211);
            assert!(!cause.text.contains("2025550123"), "{}", cause.text);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_providers_refusals_find_who_must_act() {
    let provider = blueprint("https://api.twilio.com").simulator().unwrap();
    let refuse = |change: fn(&mut ProviderRequest)| {
        let provider = provider.clone();
        move |mut request: ProviderRequest| {
            change(&mut request);
            let answer = provider.accept(&request).unwrap_err();
            http(answer.status.as_u16(), "", &answer.body)
        }
    };
    let unauthorised = send_to(refuse(|request| request.headers.clear()), &outbound("x")).await;
    let elsewhere = send_to(refuse(|request| request.path.push('x')), &outbound("x")).await;
    let senderless =
        send_to(refuse(|request| request.body = "To=%2B12025550123".into()), &outbound("x")).await;
    let long = send_to(refuse(|_| {}), &outbound(&"é".repeat(1601))).await;
    for (outcome, code, expected) in [
        (unauthorised, 20003, Blame::Operator),
        (elsewhere, 20404, Blame::Operator),
        (senderless, 21603, Blame::Operator),
        (long, 21617, Blame::Message),
    ] {
        match outcome {
            Outcome::Rejected { blame, cause } => assert_eq!((cause.code, blame), (code, expected)),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_throttle_says_how_long() {
    let provider = blueprint("https://api.twilio.com").simulator().unwrap();
    let answer = provider.throttled();
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let throttled = send_to(|_| http(429, &headers, &answer.body), &outbound("x")).await;
    match throttled {
        Outcome::Throttled { after, scope: Scope::Account, cause } => {
            assert_eq!((after, cause.code), (Some(Duration::from_secs(1)), 20429));
        }
        other => panic!("{other:?}"),
    }
    let forever = send_to(|_| http(503, "retry-after: 99999999\r\n", "busy"), &outbound("x")).await;
    let hour = Some(Duration::from_secs(3_600));
    assert!(matches!(forever, Outcome::Retryable { after, .. } if after == hour));
}

#[tokio::test]
async fn an_answer_we_cannot_read_leaves_the_outcome_unknown() {
    let endless = format!("{{\"sid\":\"SM1\",\"x\":\"{}\"}}", "x".repeat(70_000));
    for answer in [
        "SSH-2.0-nothing\r\n".to_owned(),
        String::new(),
        http(201, "", "<html>"),
        http(201, "", &endless),
        "HTTP/1.1 201 X\r\ncontent-length: 500\r\n\r\n{\"sid\"".to_owned(),
        http(502, "", "<html>bad gateway</html>"),
    ] {
        let shown: String = answer.chars().take(40).collect();
        let outcome = send_to(|_| answer, &outbound("x")).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{shown}: {outcome:?}");
    }
}

#[tokio::test]
async fn silence_after_the_request_is_unknown_and_names_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let adapter = adapter(&base, Duration::from_millis(300));
    let sent = outbound("x");
    let peer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        // Held open, never answered.
        stream
    };
    match tokio::join!(adapter.send(&sent), peer).0 {
        Outcome::Unknown { cause } => {
            assert!(!cause.text.contains(SID) && !cause.text.contains(TOKEN), "{}", cause.text);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_connection_took_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    match adapter(&base, PATIENT).send(&outbound("x")).await {
        Outcome::Retryable { after: None, tries: None, cause } => {
            assert!(cause.text.contains("refused"), "{}", cause.text);
        }
        other => panic!("{other:?}"),
    }
}
