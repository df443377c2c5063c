//! Files from any channel to any channel: what arrives is what was sent, or what the channel's rules make of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use trunkline::media::{Media, Pictures, Place};

use crate::harness::{Act, FileAct, PAGE, Phone, SMS, Sent, WHATSAPP, World, provider};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";
const EVERYBODY: [&str; 3] = [ANN, BOB, CAT];

/// How a file reaches somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    /// Byte for byte.
    Itself,
    /// As a JPEG below so many bytes.
    Jpeg(u64),
    /// A link in a text.
    Link,
}
use As::{Itself, Jpeg, Link};

const MMS: u64 = 4_990_000;
const WA: u64 = 5_000_000;
const FB: u64 = 8_000_000;

/// A file, its type, and how it reaches somebody by SMS, WhatsApp and Messenger.
struct Case {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    reaches: [As; 3],
}

macro_rules! case {
    ($name:literal, $type:literal, $sms:expr, $wa:expr, $page:expr) => {
        Case {
            name: $name,
            content_type: $type,
            content: include_bytes!(concat!("media/", $name)),
            reaches: [$sms, $wa, $page],
        }
    };
}

const CASES: [Case; 20] = [
    case!("photo.jpg", "image/jpeg", Itself, Itself, Itself),
    case!("drawing.png", "image/png", Itself, Itself, Itself),
    case!("sticker.webp", "image/webp", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
    case!("moving.gif", "image/gif", Itself, Itself, Itself),
    case!("scan.bmp", "image/bmp", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
    case!("scan.tiff", "image/tiff", Jpeg(MMS), Jpeg(WA), Jpeg(FB)),
    case!("photo.heic", "image/heic", Link, Itself, Itself),
    case!("page.pdf", "application/pdf", Itself, Itself, Itself),
    case!("voice.opus", "audio/ogg", Itself, Itself, Itself),
    case!("song.mp3", "audio/mpeg", Itself, Itself, Itself),
    case!("note.amr", "audio/amr", Itself, Itself, Itself),
    case!("clip.aac", "audio/aac", Link, Itself, Itself),
    case!("memo.m4a", "audio/mp4", Itself, Itself, Itself),
    case!("ring.wav", "audio/wav", Link, Itself, Itself),
    case!("film.mp4", "video/mp4", Itself, Itself, Itself),
    case!("film.3gp", "video/3gpp", Itself, Itself, Itself),
    case!("ann.vcf", "text/vcard", Itself, Itself, Itself),
    case!("meeting.ics", "text/calendar", Itself, Itself, Itself),
    case!("notes.txt", "text/plain", Link, Itself, Itself),
    case!(
        "letter.docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Link,
        Itself,
        Itself
    ),
];

/// Makes the pictures that the daemon is expected to make.
struct Maker {
    pictures: Pictures,
    media: Media,
    _folder: tempfile::TempDir,
}

impl Maker {
    async fn new() -> Maker {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::open(folder.path(), &Place::Files).await.unwrap();
        Maker { pictures: Pictures::new(media.clone()), media, _folder: folder }
    }

    /// The SHA-256 of what reaches somebody.
    async fn digest(&self, content: &[u8], reaches: As) -> String {
        let mut intake = self.media.take(1 << 30).await.unwrap();
        intake.write(content).await.unwrap();
        let stored = intake.finish().await.unwrap();
        match reaches {
            Itself | Link => stored.content.to_string(),
            Jpeg(most) => {
                let made = self.pictures.jpeg(stored.content, stored.size, most).await.unwrap();
                assert!(made.size <= most);
                made.content.to_string()
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Our links in a text.
fn link(text: &str) -> Option<&str> {
    text.lines().last().filter(|line| line.starts_with("http://bridge.test/media/"))
}

/// The sends to somebody that bring a file or a link to one, in their order, once there are so many.
async fn brought(world: &World, to: &str, count: usize) -> Vec<Sent> {
    let brings = |sent: &Sent| {
        let file = sent.submission.as_ref().is_some_and(|submission| !submission.media.is_empty());
        sent.taken() && sent.to() == to && (file || link(sent.text()).is_some())
    };
    let enough = |all: &[Sent]| all.iter().filter(|sent| brings(sent)).count() >= count;
    let all = world.sink.wait(&format!("{count} files for {to}"), enough).await;
    all.into_iter().filter(brings).collect()
}

/// Checks that everybody but the sender got each file as it reaches them.
async fn check(world: &World, sender: Option<&str>) {
    let maker = Maker::new().await;
    for (place, person) in EVERYBODY.into_iter().enumerate().filter(|(_, person)| Some(*person) != sender) {
        let sent = brought(world, person, CASES.len()).await;
        assert_eq!(sent.len(), CASES.len());
        for (case, sent) in CASES.iter().zip(&sent) {
            let reaches = case.reaches[place];
            let (content_type, bytes) = match (reaches, world.delivered(sent).await) {
                (Link, None) => world.behind(link(sent.text()).expect("a link")).await,
                (Itself | Jpeg(_), Some(delivered)) => delivered,
                other => panic!("{} for {person}: {other:?} {:?}", case.name, sent.text()),
            };
            let expected = maker.digest(case.content, reaches).await;
            assert_eq!(sha256(&bytes), expected, "{} for {person}", case.name);
            let expected = if matches!(reaches, Jpeg(_)) { "image/jpeg" } else { case.content_type };
            assert_eq!(content_type, expected, "{} for {person}", case.name);
        }
    }
}

/// Checks that the API shows each file with its message, and gives its bytes.
async fn check_rest(world: &World, talk: &str) {
    let messages = world.client.messages(talk).await;
    assert_eq!(messages.len(), CASES.len());
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let service = service["default_chat_service_sid"].as_str().unwrap().to_owned();
    for (case, message) in CASES.iter().zip(&messages) {
        let [media] = message["media"].as_array().unwrap().as_slice() else { panic!("{message}") };
        assert_eq!(media["content_type"], case.content_type, "{}", case.name);
        assert_eq!(media["size"], case.content.len(), "{}", case.name);
        let sid = media["sid"].as_str().unwrap();
        let path = format!("{}/v1/Services/{service}/Media/{sid}/Content", world.client.base);
        let request =
            world.client.http.get(path).basic_auth(&world.client.user, Some(&world.client.password));
        let bytes = request.send().await.unwrap().bytes().await.unwrap();
        assert_eq!(sha256(&bytes), sha256(case.content), "{}", case.name);
    }
}

async fn from_phone(phone: impl Fn(&World) -> Phone, sender: &str) {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    for case in &CASES {
        let files = [(case.content_type, case.name, case.content)];
        assert_eq!(world.send_files(&phone(&world), "", &files).await.status, 200);
    }
    check(&world, Some(sender)).await;
    check_rest(&world, &talk.sid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_an_sms_phone_reach_everybody() {
    from_phone(|world| world.sms(ANN), ANN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_a_whatsapp_phone_reach_everybody() {
    from_phone(|world| world.whatsapp(BOB), BOB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_a_messenger_user_reach_everybody() {
    from_phone(|world| world.messenger(CAT), CAT).await;
}

/// Uploads a file over the API; gives its SID.
async fn uploaded(world: &World, content_type: &str, name: &str, content: Bytes) -> String {
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let service = service["default_chat_service_sid"].as_str().unwrap();
    let url = format!("{}/v1/Services/{service}/Media?Filename={name}", world.client.base);
    let request = world.client.http.post(url).basic_auth(&world.client.user, Some(&world.client.password));
    let request = request.header("content-type", content_type).body(content);
    let answer = crate::harness::read(request.send().await.unwrap()).await.unwrap();
    answer.expect(201)["sid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_files_from_the_api_reach_everybody() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    for case in &CASES {
        let sid = uploaded(&world, case.content_type, case.name, Bytes::from_static(case.content)).await;
        world.client.post(&path, &[("MediaSid", &sid)]).await.expect(201);
    }
    check(&world, None).await;
    check_rest(&world, &talk.sid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_goes_with_the_file_where_the_channel_shows_it_and_before_it_elsewhere() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (CAT, PAGE)]).await;
    let (first, second) = (&CASES[0], &CASES[7]);
    let files = [first, second].map(|case| (case.content_type, case.name, case.content));
    let sender = "+15557770009";
    world
        .client
        .post(
            &format!("/v1/Conversations/{}/Participants", talk.sid),
            &[("MessagingBinding.Address", sender), ("MessagingBinding.ProxyAddress", SMS)],
        )
        .await
        .expect(201);
    assert_eq!(world.send_files(&world.sms(sender), "see both", &files).await.status, 200);
    let sent = world.sink.taken(5).await;
    let of = |to: &str| -> Vec<(String, usize)> {
        let own = sent.iter().filter(|sent| sent.to() == to);
        own.map(|sent| (sent.text().to_owned(), sent.submission.as_ref().unwrap().media.len())).collect()
    };
    assert_eq!(of(ANN), [("see both".to_owned(), 1), (String::new(), 1)]);
    assert_eq!(of(CAT), [("see both".to_owned(), 0), (String::new(), 1), (String::new(), 1)]);
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!((messages.len(), &messages[0]["body"]), (1, &Value::from("see both")));
    assert_eq!(messages[0]["media"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_channel_is_made_smaller_or_goes_as_a_link() {
    let world = World::start().await;
    world.three(ANN, BOB, CAT).await;
    let maker = Maker::new().await;
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(1400, 1300, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        image::Rgb([a, b, c])
    });
    let mut png = Vec::new();
    noise.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    assert!((5_100_000..8_000_000).contains(&png.len()), "{}", png.len());
    let mut pdf = CASES[7].content.to_vec();
    pdf.resize(26_000_000, b'\n');
    let files = [("image/png", "noise.png", &png[..]), ("application/pdf", "long.pdf", &pdf[..])];
    // A sender whom nobody hears by the same channel.
    assert_eq!(world.send_files(&world.sms(ANN), "", &files).await.status, 200);
    for (person, reaches) in [(BOB, [Jpeg(WA), Itself]), (CAT, [Itself, Link])] {
        let sent = brought(&world, person, 2).await;
        for ((_, name, content), (sent, reaches)) in files.iter().zip(sent.iter().zip(reaches)) {
            let bytes = match world.delivered(sent).await {
                Some((_, bytes)) => bytes,
                None => world.behind(link(sent.text()).unwrap()).await.1,
            };
            assert_eq!(sha256(&bytes), maker.digest(content, reaches).await, "{name} for {person}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_uploaded_is_used_again_until_the_provider_has_forgotten_it() {
    let world = World::start().await;
    world.three(ANN, BOB, CAT).await;
    let photo = [(CASES[0].content_type, CASES[0].name, CASES[0].content)];
    for count in 1..=2 {
        assert_eq!(world.send_files(&world.messenger(CAT), "", &photo).await.status, 200);
        brought(&world, BOB, count).await;
    }
    assert_eq!(world.sink.files().uploads(), 1);
    let mut refusals = 0;
    world.sink.script(move |attempt| {
        refusals += u32::from(attempt.place == "wa");
        if attempt.place == "wa" && refusals == 1 {
            let error = r#"{"error":{"message":"(#131009) Parameter value is not valid","code":131009}}"#;
            return Act::Answer(400, vec![("content-type", "application/json".to_owned())], error.to_owned());
        }
        Act::Accept
    });
    assert_eq!(world.send_files(&world.messenger(CAT), "", &photo).await.status, 200);
    let sent = brought(&world, BOB, 3).await;
    assert_eq!(world.sink.files().uploads(), 2);
    assert_eq!(sha256(&world.delivered(&sent[2]).await.unwrap().1), sha256(CASES[0].content));
}

/// Everything that leads elsewhere than to the provider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_leads_elsewhere_is_not_fetched_and_the_message_says_so() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let urls = [
        format!("http://127.0.0.1:{port}/secret"),
        format!("http://2130706433:{port}/secret"),
        format!("http://0x7f.1:{port}/secret"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        format!("http://localhost:{port}/secret"),
        format!("https://api.twilio.com.evil.example:{port}/secret"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ];
    let account = "AC00000000000000000000000000000009";
    for (number, url) in
        urls.iter().map(String::as_str).chain(["file:///etc/passwd", "gopher://x/"]).enumerate()
    {
        let id = format!("MM{number:032x}");
        let fields = [
            ("MessageSid", id.as_str()),
            ("AccountSid", account),
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
    let sent = world.sink.taken(urls.len() + 2).await;
    for sent in &sent[..urls.len()] {
        assert_eq!(sent.text(), "look\n[image could not be fetched]");
    }
    // What is no web address at all is not even tried.
    assert_eq!(sent[urls.len()].text(), "look");
    assert_eq!(world.client.messages(&talk.sid).await.len(), urls.len() + 2);
    let metrics = world.daemon.metrics().await;
    let refused = [("adapter", "us"), ("outcome", "refused")];
    assert_eq!(metrics.value("trunkline_media_fetches_total", &refused), urls.len() as f64);
    let reached = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept()).await;
    assert!(reached.is_err(), "somebody was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_with_a_file_makes_its_conversation_and_joins_it_with_the_file() {
    let world = World::start_with(|config| {
        config.rest = format!(
            "[[messaging_service]]\nsid = \"MG00000000000000000000000000000001\"\n\
             proxies = [\"{WHATSAPP}\"]\ninbound = \"autocreate\"\n"
        );
    })
    .await;
    let photo = [(CASES[0].content_type, CASES[0].name, CASES[0].content)];
    assert_eq!(world.send_files(&world.whatsapp(BOB), "hello", &photo).await.status, 200);
    assert_eq!(world.write(&world.whatsapp(BOB), "anybody?").await.status, 200);
    let both = || async {
        let made = world.client.list("/v1/Conversations", "conversations").await;
        let [talk] = made.as_slice() else { return None };
        let messages = world.client.messages(talk["sid"].as_str().unwrap()).await;
        (messages.len() == 2).then_some(messages)
    };
    let messages = world.daemon.eventually("both messages", both).await;
    assert_eq!(
        (&messages[0]["body"], &messages[1]["body"]),
        (&Value::from("hello"), &Value::from("anybody?"))
    );
    assert_eq!(messages[0]["media"][0]["content_type"], "image/jpeg");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_a_file_that_is_still_to_come_and_nobody_else_waits() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let other =
        world.client.conversation(&[("+15557770011", SMS), ("whatsapp:+15557770012", WHATSAPP)]).await;
    world.sink.files().act(FileAct::Hang);
    let photo = [(CASES[0].content_type, CASES[0].name, CASES[0].content)];
    assert_eq!(world.send_files(&world.whatsapp(BOB), "", &photo).await.status, 200);
    assert_eq!(world.write(&world.whatsapp(BOB), "did it come?").await.status, 200);
    assert_eq!(world.write(&world.sms("+15557770011"), "elsewhere").await.status, 200);
    let sent = world.sink.taken(1).await;
    assert_eq!((sent[0].to(), sent[0].text()), ("whatsapp:+15557770012", "elsewhere"));
    assert!(world.client.messages(&talk.sid).await.is_empty());
    assert_eq!(world.client.messages(&other.sid).await.len(), 1);
    world.sink.files().act(FileAct::Serve);
    let sent: Vec<Sent> = world.sink.taken(5).await;
    for person in [ANN, CAT] {
        let own: Vec<&Sent> = sent.iter().filter(|sent| sent.to() == person).collect();
        assert_eq!(own.len(), 2);
        let (_, bytes) = world.delivered(own[0]).await.expect("the photo");
        assert_eq!(sha256(&bytes), sha256(CASES[0].content));
        assert_eq!(own[1].text(), "did it come?");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_while_it_fetches_or_uploads_brings_the_message_once() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let photo = [(CASES[0].content_type, CASES[0].name, CASES[0].content)];
    // While it is fetched.
    world.sink.files().act(FileAct::Hang);
    assert_eq!(world.send_files(&world.messenger(CAT), "look", &photo).await.status, 200);
    let asked = || async { (world.sink.files().asked() > 0).then_some(()) };
    world.daemon.eventually("a fetch", asked).await;
    world.daemon.kill9().await;
    world.sink.files().act(FileAct::Serve);
    world.up().await;
    for person in [ANN, BOB] {
        let sent = brought(&world, person, 1).await;
        assert_eq!(sha256(&world.delivered(&sent[0]).await.unwrap().1), sha256(CASES[0].content));
        assert_eq!(sent[0].text(), "look");
    }
    assert_eq!(world.client.messages(&talk.sid).await.len(), 1);
    world.quiet().await;

    // While it is uploaded: a picture that WhatsApp has not seen yet.
    let drawing = [(CASES[1].content_type, CASES[1].name, CASES[1].content)];
    let before = world.sink.files().uploads();
    world.sink.files().act(FileAct::HangUploads);
    assert_eq!(world.send_files(&world.messenger(CAT), "", &drawing).await.status, 200);
    let begun = || async { (world.sink.files().uploads() > before).then_some(()) };
    world.daemon.eventually("an upload", begun).await;
    world.daemon.kill9().await;
    world.sink.files().act(FileAct::Serve);
    world.up().await;
    let sent = brought(&world, BOB, 2).await;
    assert_eq!(sha256(&world.delivered(&sent[1]).await.unwrap().1), sha256(CASES[1].content));
    world.quiet().await;
    assert_eq!(world.sink.taken_for(BOB).len(), 2);
    let by_index: BTreeMap<i64, usize> = world
        .client
        .messages(&talk.sid)
        .await
        .iter()
        .map(|message| (message["index"].as_i64().unwrap(), message["media"].as_array().unwrap().len()))
        .collect();
    assert_eq!(by_index, BTreeMap::from([(0, 1), (1, 1)]));
    // Two files are needed, and after the sweep of a start there are two.
    world.restart().await;
    let folder = world.config.store_path.join("media");
    let swept = || async { (files_below(&folder) == 2).then_some(()) };
    world.daemon.eventually("no orphan", swept).await;
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}
