//! Files from any channel to any channel: what arrives is what was sent, or what the channel's rules make of it.

use bytes::Bytes;
use trunkline_adapter::simulator::SubmittedFile;

use crate::harness::As::{Itself, Jpeg, Link};
use crate::harness::files::{Case, Maker, brought, large, link, sha256, small, uploaded};
use crate::harness::{PAGE, Phone, SMS, Sent, WHATSAPP, World, read};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";
/// One who hears by each channel, whoever speaks.
const EVERYBODY: [&str; 3] = [ANN, BOB, CAT];

/// Checks that everybody got each file as it reaches them.
async fn check(world: &World, cases: &[Case]) {
    let maker = Maker::new().await;
    for (place, person) in EVERYBODY.into_iter().enumerate() {
        let sent = brought(world, person, cases.len()).await;
        assert_eq!(sent.len(), cases.len());
        for (case, sent) in cases.iter().zip(&sent) {
            let reaches = case.reaches[place];
            let (content_type, bytes) = match (reaches, world.delivered(sent).await) {
                (Link, None) => world.behind(link(sent.text()).expect("a link")).await,
                (Itself | Jpeg(_), Some(delivered)) => delivered,
                (_, got) => {
                    panic!("{} for {person}: {:?} {:?}", case.name, got.map(|got| got.0), sent.text())
                }
            };
            let expected = maker.digest(&case.content, reaches).await;
            assert_eq!(sha256(&bytes), expected, "{} for {person}", case.name);
            let expected = if matches!(reaches, Jpeg(_)) { "image/jpeg" } else { case.content_type };
            assert_eq!(content_type, expected, "{} for {person}", case.name);
        }
    }
}

/// Checks that the API shows each file with its message, and gives its bytes.
async fn check_rest(world: &World, talk: &str, cases: &[Case]) {
    let messages = world.client.messages(talk).await;
    assert_eq!(messages.len(), cases.len());
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let service = service["default_chat_service_sid"].as_str().unwrap().to_owned();
    for (case, message) in cases.iter().zip(&messages) {
        let [media] = message["media"].as_array().unwrap().as_slice() else { panic!("{message}") };
        assert_eq!(media["content_type"], case.content_type, "{}", case.name);
        assert_eq!(media["size"], case.content.len(), "{}", case.name);
        let sid = media["sid"].as_str().unwrap();
        let path = format!("{}/v1/Services/{service}/Media/{sid}/Content", world.client.base);
        let request =
            world.client.http.get(path).basic_auth(&world.client.user, Some(&world.client.password));
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        assert_eq!(sha256(&bytes), sha256(&case.content), "{}", case.name);
    }
}

/// Somebody else on one of the channels, who is in the conversation too, sends each file.
async fn from_phone(phone: impl Fn(&World) -> Phone, proxy: &str, cases: Vec<Case>) {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let sender = phone(&world);
    let path = format!("/v1/Conversations/{}/Participants", talk.sid);
    let binding = [("MessagingBinding.Address", &*sender.from), ("MessagingBinding.ProxyAddress", proxy)];
    world.client.post(&path, &binding).await.expect(201);
    for case in &cases {
        let files = [(case.content_type, case.name, &case.content[..])];
        assert_eq!(world.send_files(&sender, "", &files).await.status, 200);
    }
    check(&world, &cases).await;
    check_rest(&world, &talk.sid, &cases).await;
    assert_eq!(world.sink.taken_for(&sender.from).len(), 0, "nobody hears themselves");
}

fn texter(world: &World) -> Phone {
    world.sms("+15557770011")
}

fn whatsapper(world: &World) -> Phone {
    world.whatsapp("whatsapp:+15557770012")
}

fn messenger(world: &World) -> Phone {
    world.messenger("messenger:7770013")
}

/// The API's turn; gives the world as it is when everything has arrived.
async fn from_api(cases: &[Case]) -> World {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    for case in cases {
        let sid = uploaded(&world, case.content_type, case.name, case.content.clone()).await;
        world.client.post(&path, &[("MediaSid", &sid)]).await.expect(201);
    }
    check(&world, cases).await;
    check_rest(&world, &talk.sid, cases).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_an_sms_phone_reach_everybody() {
    from_phone(texter, SMS, small()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_from_an_sms_phone_that_are_too_large_reach_everybody_otherwise() {
    from_phone(texter, SMS, large()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_a_whatsapp_phone_reach_everybody() {
    from_phone(whatsapper, WHATSAPP, small()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_from_a_whatsapp_phone_that_are_too_large_reach_everybody_otherwise() {
    from_phone(whatsapper, WHATSAPP, large()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_a_messenger_user_reach_everybody() {
    from_phone(messenger, PAGE, small()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_from_a_messenger_user_that_are_too_large_reach_everybody_otherwise() {
    from_phone(messenger, PAGE, large()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_from_the_api_that_are_too_large_reach_everybody_otherwise() {
    from_api(&large()).await;
}

/// More than any channel takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_channel_takes_goes_as_a_link_everywhere() {
    let content = Bytes::from(vec![b'z'; 100_000_001]);
    let (name, content_type, reaches) = ("all.zip", "application/zip", [Link, Link, Link]);
    from_api(&[Case { name, content_type, content, reaches }]).await;
}

/// Where a send says that its file is.
fn place(sent: &Sent) -> Option<String> {
    match sent.submission.as_ref()?.media.first() {
        Some(SubmittedFile::Link(url)) => Some(url.clone()),
        Some(SubmittedFile::Kept(_)) => None,
        None => link(sent.text()).map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_the_api_reach_everybody_and_who_fetches_late_is_served_or_told() {
    let cases = small();
    let mut world = from_api(&cases).await;
    let maker = Maker::new().await;
    let mut links = Vec::new();
    for (number, person) in EVERYBODY.into_iter().enumerate() {
        let sent = brought(&world, person, cases.len()).await;
        for (case, sent) in cases.iter().zip(&sent) {
            if let Some(url) = place(sent) {
                links.push((url, case.name, maker.digest(&case.content, case.reaches[number]).await));
            }
        }
    }
    // All that goes by SMS and to Messenger. What WhatsApp has, it was handed.
    assert!(links.len() >= 2 * cases.len(), "{}", links.len());
    // Links live an hour.
    for (ahead, served) in [(3_000, true), (3_700, false)] {
        world.daemon.env.insert("TRUNKLINE_TEST_CLOCK_AHEAD".to_owned(), ahead.to_string());
        world.restart().await;
        for (url, name, digest) in &links {
            if served {
                assert_eq!(&sha256(&world.behind(url).await.1), digest, "{name}");
                continue;
            }
            let url = url.replace(crate::harness::config::PUBLIC_URL, &world.client.base);
            assert_eq!(world.client.http.head(&url).send().await.unwrap().status(), 410, "{name}");
            let told = read(world.client.http.get(&url).send().await.unwrap()).await.unwrap();
            assert_eq!((told.status, told.code()), (410, 20410), "{name}");
        }
    }
}
