//! What providers answer to a send. The first byte chooses the adapter; the rest is given back over a socket as it is,
//! so that broken HTTP, headers and bodies are all tried.

use std::cell::{LazyCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use trunkline_adapter::{Adapter, Address, Content, Outbound, Outcome};
use trunkline_messenger::Messenger;
use trunkline_twilio::Twilio;
use trunkline_whatsapp::Whatsapp;

use super::{choice, house, webhook};

/// What must never be told.
const ACCESS: &str = "a91d7c0be4f25683-access-token";
const BODY: &str = "the body of a message";
/// The longest an answer can make a lane wait.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

struct Wire {
    listener: UnixListener,
    adapters: [(Arc<dyn Adapter>, Outbound); 3],
}

thread_local! {
    static WIRE: LazyCell<RefCell<Rc<Wire>>> = LazyCell::new(|| RefCell::new(Rc::new(wire())));
}

fn wire() -> Wire {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let thread = format!("{:?}", std::thread::current().id());
    let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
    let socket = std::env::temp_dir().join(format!("trunkline-answers-{}-{thread}", std::process::id()));
    let listener = house::wait(async { UnixListener::bind(&socket) }).expect("a socket");
    let http = reqwest::Client::builder()
        .unix_socket(socket.as_path())
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client");
    let base = ("base_url", "http://127.0.0.1:1");
    let twilio = [("account_sid", house::ACCOUNT), ("auth_token", ACCESS), base];
    let app = [("app_secret", webhook::SECRET), ("verify_token", webhook::TOKEN), base];
    let whatsapp = [app[0], app[1], base, ("access_token", ACCESS)];
    let made = [
        (webhook::adapter(&Twilio, house::SMS, &twilio, &[], http.clone()), house::SMS, "+12025550123"),
        (
            webhook::adapter(
                &Whatsapp,
                house::WHATSAPP,
                &whatsapp,
                &[("phone_number_id", "106540352242922")],
                http.clone(),
            ),
            house::WHATSAPP,
            "whatsapp:+12025550123",
        ),
        (
            webhook::adapter(&Messenger, house::PAGE, &app, &[("access_token", ACCESS)], http),
            house::PAGE,
            "messenger:24000100003",
        ),
    ];
    let adapters = made.map(|(adapter, from, to)| {
        let outbound = Outbound {
            from: house::address(from),
            to: house::address(to),
            aliases: Vec::new(),
            content: Content::Text { body: BODY.to_owned() },
            correlation: "our-own".to_owned(),
        };
        (adapter, outbound)
    });
    Wire { listener, adapters }
}

pub fn run(data: &[u8]) {
    let Some((which, answer)) = choice(data) else { return };
    let wire = WIRE.with(|wire| Rc::clone(&wire.borrow()));
    let (adapter, outbound) = &wire.adapters[usize::from(which) % 3];
    let outcome = house::wait(async {
        let send = adapter.send(outbound);
        // Forever: a client may ask again on a new connection.
        let serve = async {
            loop {
                let Ok((mut stream, _)) = wire.listener.accept().await else { continue };
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
                // Held until the other side is done: closing with unread bytes would cut the answer off.
                let _ = stream.read_to_end(&mut head).await;
            }
        };
        tokio::select! {
            outcome = send => outcome,
            () = serve => unreachable!("it never ends"),
        }
    });
    judge(&outcome, answer);
}

fn judge(outcome: &Outcome, answer: &[u8]) {
    let shown = format!("{outcome:?}");
    let said = |text: &str| answer.windows(text.len()).any(|part| part == text.as_bytes());
    for secret in [ACCESS, webhook::SECRET, webhook::TOKEN, BODY] {
        assert!(!shown.contains(secret) || said(secret), "told: {secret}");
    }
    match outcome {
        Outcome::Accepted { id, learned, .. } => {
            assert!(!id.is_empty() && id.len() <= 64 * 1024);
            assert!(learned.len() <= 2);
            assert!(answer.starts_with(b"HTTP/1."), "taken without an answer");
            // An id of a shape that nobody documented is taken as it is.
            let read = |address: &Address| {
                Address::parse(address.as_str()).as_ref() == Ok(address)
                    || Address::from_id(address.channel(), address.value()).as_ref() == Ok(address)
            };
            assert!(learned.iter().all(read));
        }
        Outcome::Retryable { after, cause, .. } | Outcome::Throttled { after, cause, .. } => {
            assert!(after.is_none_or(|after| after <= LONGEST));
            webhook::words(&cause.text);
        }
        Outcome::Rejected { cause, .. } | Outcome::Unknown { cause } => webhook::words(&cause.text),
    }
}
