//! Fetching is guarded: a file that is said to be elsewhere than at its provider is never fetched, however that is put.

use std::time::Duration;

use crate::harness::{FileAct, SMS, WHATSAPP, World, provider};
use tokio::net::TcpListener;

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";

/// Twilio tells of a message with a file at a URL.
async fn tell(world: &World, number: usize, url: &str) {
    let id = format!("MM{number:032x}");
    let fields = [
        ("MessageSid", id.as_str()),
        ("AccountSid", "AC00000000000000000000000000000009"),
        ("From", ANN),
        ("To", SMS),
        ("Body", "look"),
        ("NumMedia", "1"),
        ("MediaUrl0", url),
        ("MediaContentType0", "image/jpeg"),
    ];
    let signed = provider::twilio("twilio-token-0001", "us", &fields);
    assert_eq!(world.raw_webhook("us", signed).await.status, 200);
}

/// What became of files.
async fn counted(world: &World, outcome: &str) -> f64 {
    let labels = [("adapter", "us"), ("outcome", outcome)];
    world.daemon.metrics().await.value("trunkline_media_fetches_total", &labels)
}

async fn unreached(listener: &TcpListener) {
    let reached = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(reached.is_err(), "somebody was there");
}

/// Where nobody may be sent, with a port of ours.
fn elsewhere(port: u16) -> Vec<String> {
    let mut urls: Vec<String> = [
        "http://127.0.0.1",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.1",
        "http://0177.0.0.1",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://[::ffff:7f00:1]",
        "http://[64:ff9b::7f00:1]",
        "http://localhost",
        "https://127.0.0.1",
        "https://api.twilio.com.evil.example",
        "https://api.twilio.com@127.0.0.1",
        // Of the list by their names, and not public by their addresses.
        "https://private.twilio.com",
        "https://mapped.twilio.com",
        // Of the list, and not by https.
        "http://private.twilio.com",
    ]
    .iter()
    .map(|origin| format!("{origin}:{port}/secret"))
    .collect();
    urls.push("http://169.254.169.254/latest/meta-data/".to_owned());
    urls
}

async fn guarded() -> World {
    let mut world = World::prepare(|_| {}).await;
    let names = "private.twilio.com=127.0.0.1 mapped.twilio.com=::ffff:127.0.0.1,10.0.0.1,fe80::1";
    world.daemon.env.insert("TRUNKLINE_TEST_NAMES".to_owned(), names.to_owned());
    world.up().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_elsewhere_is_not_fetched_and_the_message_says_so() {
    let world = guarded().await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut urls = elsewhere(listener.local_addr().unwrap().port());
    let others =
        ["file:///etc/passwd", "gopher://127.0.0.1/", "data:image/png;base64,iVBORw0KGgo=", "no place"];
    urls.extend(others.map(str::to_owned));
    for (number, url) in urls.iter().enumerate() {
        tell(&world, number, url).await;
    }
    for sent in world.sink.taken(urls.len()).await {
        assert_eq!(sent.text(), "look\n[image could not be fetched]");
    }
    assert_eq!(world.client.messages(&talk.sid).await.len(), urls.len());
    assert_eq!(counted(&world, "refused").await, urls.len() as f64);
    unreached(&listener).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_that_the_provider_redirects_elsewhere() {
    let world = guarded().await;
    world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut urls = elsewhere(listener.local_addr().unwrap().port());
    urls.extend(["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x"].map(str::to_owned));
    let file = format!("{}/us/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1", world.sink.url());
    for (number, url) in urls.iter().enumerate() {
        world.sink.files().act(FileAct::Redirect(url.clone()));
        tell(&world, number, &file).await;
        let sent = world.sink.taken(number + 1).await;
        assert_eq!(sent[number].text(), "look\n[image could not be fetched]", "{url}");
        assert_eq!(counted(&world, "refused").await, (number + 1) as f64, "{url}");
    }
    // Nor round in circles.
    world.sink.files().act(FileAct::Redirect(file.clone()));
    tell(&world, urls.len(), &file).await;
    let sent = world.sink.taken(urls.len() + 1).await;
    assert_eq!(sent[urls.len()].text(), "look\n[image could not be fetched]");
    assert_eq!(counted(&world, "failed").await, 1.0);
    unreached(&listener).await;
}

/// A name that stands for somebody else from one look to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_turns_to_a_private_address_is_judged_anew() {
    let name = "rebound.twilio.com";
    let mut world = World::prepare(|config| {
        config.rest = "[egress]\nallow_private = [\"127.0.0.2/32\"]\n".to_owned();
    })
    .await;
    let names = format!("{name}=127.0.0.2|127.0.0.1");
    world.daemon.env.insert("TRUNKLINE_TEST_NAMES".to_owned(), names);
    world.up().await;
    world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let allowed = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = allowed.local_addr().unwrap().port();
    let private = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tell(&world, 1, &format!("https://{name}:{port}/file")).await;
    // The first look leads to whom it may, who hangs up; the file is tried once more.
    drop(allowed.accept().await.unwrap());
    let sent = world.sink.taken(1).await;
    assert_eq!(sent[0].text(), "look\n[image could not be fetched]");
    assert_eq!((counted(&world, "failed").await, counted(&world, "refused").await), (1.0, 1.0));
    unreached(&private).await;
    unreached(&allowed).await;
}
