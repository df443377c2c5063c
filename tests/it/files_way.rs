//! Files on their way: with text, used again, refused, waited for, through crashes, and when people come and go meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::files::{brought, files_below, link, sha256, uploaded};
use crate::harness::{Act, FileAct, PAGE, SMS, Sent, WHATSAPP, World, provider};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

/// A file's type, name and content.
type Given = (&'static str, &'static str, &'static [u8]);
const PHOTO: Given = ("image/jpeg", "photo.jpg", include_bytes!("media/photo.jpg"));
const DRAWING: Given = ("image/png", "drawing.png", include_bytes!("media/drawing.png"));
const PAGES: Given = ("application/pdf", "page.pdf", include_bytes!("media/page.pdf"));

fn json_answer(status: u16, body: &str) -> Act {
    Act::Answer(status, vec![("content-type", "application/json".to_owned())], body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_goes_with_the_file_where_the_channel_shows_it_and_before_it_elsewhere() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (CAT, PAGE)]).await;
    let files = [PHOTO, PAGES];
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
async fn what_was_uploaded_is_used_again_until_the_provider_has_forgotten_it() {
    let world = World::start().await;
    world.three(ANN, BOB, CAT).await;
    let photo = [PHOTO];
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
            return json_answer(400, error);
        }
        Act::Accept
    });
    assert_eq!(world.send_files(&world.messenger(CAT), "", &photo).await.status, 200);
    let sent = brought(&world, BOB, 3).await;
    assert_eq!(world.sink.files().uploads(), 2);
    assert_eq!(sha256(&world.delivered(&sent[2]).await.unwrap().1), sha256(PHOTO.2));
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
    let photo = [PHOTO];
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
    let photo = [PHOTO];
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
        assert_eq!(sha256(&bytes), sha256(PHOTO.2));
        assert_eq!(own[1].text(), "did it come?");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_while_it_fetches_or_uploads_brings_the_message_once() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let photo = [PHOTO];
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
        assert_eq!(sha256(&world.delivered(&sent[0]).await.unwrap().1), sha256(PHOTO.2));
        assert_eq!(sent[0].text(), "look");
    }
    assert_eq!(world.client.messages(&talk.sid).await.len(), 1);
    world.quiet().await;

    // While it is uploaded: a picture that WhatsApp has not seen yet.
    let drawing = [DRAWING];
    let before = world.sink.files().uploads();
    world.sink.files().act(FileAct::HangUploads);
    assert_eq!(world.send_files(&world.messenger(CAT), "", &drawing).await.status, 200);
    let begun = || async { (world.sink.files().uploads() > before).then_some(()) };
    world.daemon.eventually("an upload", begun).await;
    world.daemon.kill9().await;
    world.sink.files().act(FileAct::Serve);
    world.up().await;
    let sent = brought(&world, BOB, 2).await;
    assert_eq!(sha256(&world.delivered(&sent[1]).await.unwrap().1), sha256(DRAWING.2));
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

/// Each provider's answer to a file that it does not take.
const REFUSALS: [(&str, &str); 3] = [
    ("us", r#"{"code":30019,"message":"Media message size exceeds limits","status":400}"#),
    (
        "wa",
        r##"{"error":{"message":"(#100) Param file must be a file with one of the following types","code":100}}"##,
    ),
    (
        "pages",
        r##"{"error":{"message":"(#100) Attachment size exceeds allowable limit","code":100,"error_subcode":2018109}}"##,
    ),
];

/// The provider of an adapter refuses files, and texts too where it is asked to.
fn refusing(world: &World, texts: bool) {
    // WhatsApp is handed a file before it is told of the message.
    world.sink.files().act(FileAct::Refuse(REFUSALS[1].1));
    world.sink.script(move |attempt| {
        let answer = REFUSALS.iter().find(|(place, _)| *place == attempt.place).unwrap().1;
        match attempt.submission.media.is_empty() {
            true if !texts => Act::Accept,
            true if attempt.place == "wa" => json_answer(
                400,
                r##"{"error":{"message":"(#131051) Unsupported message type","code":131051}}"##,
            ),
            _ => json_answer(400, answer),
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_refuses_for_its_file_goes_as_a_link_before_the_receipt_fails() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    let post = async || {
        let sid = uploaded(&world, PHOTO.0, PHOTO.1, PHOTO.2.into()).await;
        let said = world.client.post(&path, &[("MediaSid", &*sid), ("Body", "look")]).await.expect(201);
        said["sid"].as_str().unwrap().to_owned()
    };
    refusing(&world, false);
    let said = post().await;
    let sent = receipts(&world, &talk.sid, &said, "sent").await;
    assert_eq!(sent.iter().map(|receipt| &receipt["error_code"]).collect::<Vec<_>>(), [0, 0, 0]);
    for (person, before) in [(ANN, "look\n"), (BOB, "look\n"), (CAT, "")] {
        let sent = brought(&world, person, 1).await;
        let text = sent[0].text();
        let url = link(text).expect("a link");
        assert_eq!(text, format!("{before}photo.jpg\n{url}"), "{person}");
        assert_eq!(sha256(&world.behind(url).await.1), sha256(PHOTO.2));
    }
    let journal = world.client.get(&format!("{path}/{said}/Journal")).await.expect(200);
    let tries = journal["entries"].as_array().unwrap().iter().filter(|entry| entry["event"] == "attempted");
    let mut told: Vec<(i64, &str)> = tries
        .map(|entry| (entry["error_code"].as_i64().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(100, "file_refused"), (100, "file_refused"), (30019, "file_refused")]);

    // Nor is a link taken.
    refusing(&world, true);
    let said = post().await;
    let mut codes: Vec<i64> = receipts(&world, &talk.sid, &said, "failed")
        .await
        .iter()
        .map(|receipt| receipt["error_code"].as_i64().unwrap())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [100, 30019, 131051]);
}

/// The three receipts of a message, once they are all like that.
async fn receipts(world: &World, talk: &str, message: &str, status: &str) -> Vec<Value> {
    let wanted =
        |receipts: &[Value]| receipts.len() == 3 && receipts.iter().all(|one| one["status"] == status);
    world.receipts_until(talk, message, wanted).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_removed_before_it_leaves_fails_with_the_channels_code() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let sid = uploaded(&world, PHOTO.0, PHOTO.1, PHOTO.2.into()).await;
    world.sink.shut().await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    let said = world.client.post(&path, &[("MediaSid", &sid)]).await.expect(201);
    // Whoever has the file in hand already may still send it.
    let tried = || async {
        let lanes = world.daemon.lanes().await;
        let tried = lanes.iter().filter(|lane| lane["depth"] == 1 && !lane["last"].is_null());
        (tried.count() == 3).then_some(())
    };
    world.daemon.eventually("a try of each lane", tried).await;
    let service = world.client.get("/v1/Configuration").await.expect(200);
    let service = service["default_chat_service_sid"].as_str().unwrap();
    assert_eq!(world.client.delete(&format!("/v1/Services/{service}/Media/{sid}")).await.status, 204);
    world.sink.open_again();
    let failed = receipts(&world, &talk.sid, said["sid"].as_str().unwrap(), "failed").await;
    let mut codes: Vec<i64> = failed.iter().map(|receipt| receipt["error_code"].as_i64().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [100, 21620, 131053]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_files_only_the_one_that_failed_is_fetched_again() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let phone = world.messenger(CAT);
    let signed = phone.with_files(&world.message_id(&phone), "three", &[PHOTO, DRAWING, PAGES]);
    let files = world.sink.files();
    let ids = files.newest(3);
    files.lose(&ids[1]);
    assert_eq!(world.webhook(signed).await.status, 200);
    let tried = || async { (files.asked_for(&ids[1]) > 0 && files.asked_for(&ids[2]) > 0).then_some(()) };
    world.daemon.eventually("a try", tried).await;
    assert!(world.client.messages(&talk.sid).await.is_empty());
    files.find(&ids[1]);
    let there = || async { world.client.messages(&talk.sid).await.pop() };
    let message = world.daemon.eventually("the message", there).await;
    let shown: Vec<&Value> =
        message["media"].as_array().unwrap().iter().map(|one| &one["content_type"]).collect();
    assert_eq!(shown, [PHOTO.0, DRAWING.0, PAGES.0]);
    assert_eq!((files.asked_for(&ids[0]), files.asked_for(&ids[2])), (1, 1));
    assert!(files.asked_for(&ids[1]) >= 2);
    let sent = brought(&world, BOB, 3).await;
    for (sent, file) in sent.iter().zip([PHOTO, DRAWING, PAGES]) {
        assert_eq!(sha256(&world.delivered(sent).await.unwrap().1), sha256(file.2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_their_photo_is_fetched_has_sent_it_all_the_same() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.sink.files().act(FileAct::Hang);
    assert_eq!(world.send_files(&world.whatsapp(BOB), "bye", &[PHOTO]).await.status, 200);
    let asked = || async { (world.sink.files().asked() > 0).then_some(()) };
    world.daemon.eventually("a fetch", asked).await;
    let people = format!("/v1/Conversations/{}/Participants", talk.sid);
    let all = world.client.list(&people, "participants").await;
    let bob = all.iter().find(|one| one["messaging_binding"]["address"] == BOB).unwrap();
    let bob = bob["sid"].as_str().unwrap();
    assert_eq!(world.client.delete(&format!("{people}/{bob}")).await.status, 204);
    // They may be elsewhere by now.
    let other = world.client.conversation(&[(BOB, WHATSAPP)]).await;
    world.sink.files().act(FileAct::Serve);
    for person in [ANN, CAT] {
        let sent = brought(&world, person, 1).await;
        assert_eq!(sha256(&world.delivered(&sent[0]).await.unwrap().1), sha256(PHOTO.2));
    }
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!(
        (messages.len(), &messages[0]["author"], &messages[0]["body"]),
        (1, &json!(BOB), &json!("bye"))
    );
    assert_eq!(messages[0]["participant_sid"], bob);
    assert_eq!(messages[0]["media"][0]["content_type"], PHOTO.0);
    assert!(world.client.messages(&other.sid).await.is_empty());
    // What they say next belongs where they are now.
    assert_eq!(world.write(&world.whatsapp(BOB), "here").await.status, 200);
    assert_eq!(world.client.messages(&other.sid).await.len(), 1);
}

/// What an agent writes in the provider's own inbox, made of what a phone would send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_photo_from_a_page_s_own_inbox_joins_the_conversation() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (CAT, PAGE)]).await;
    let phone = world.messenger(CAT);
    let signed = phone.with_files(&world.message_id(&phone), "", &[PHOTO]);
    let mut webhook: Value = serde_json::from_slice(&signed.body).unwrap();
    let said = &mut webhook["entry"][0]["messaging"][0];
    let (sender, recipient) = (said["sender"].clone(), said["recipient"].clone());
    (said["sender"], said["recipient"]) = (recipient, sender);
    said["message"]["is_echo"] = json!(true);
    said["message"]["app_id"] = json!(263_902_037_430_900_u64);
    let echo = || provider::meta("fb-app-secret-0001", webhook.to_string());
    for _ in 0..2 {
        assert_eq!(world.raw_webhook("pages", echo()).await.status, 200);
    }
    let sent = brought(&world, ANN, 1).await;
    assert_eq!(sha256(&world.delivered(&sent[0]).await.unwrap().1), sha256(PHOTO.2));
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!((messages.len(), &messages[0]["author"]), (1, &json!(PAGE)));
    assert_eq!(messages[0]["media"][0]["content_type"], PHOTO.0);
    world.quiet().await;
    // Whoever it was written to has it.
    assert!(world.sink.taken_for(CAT).is_empty());
    // A copy of what left from here brings no file back.
    let asked = world.sink.files().asked();
    let sid = uploaded(&world, PHOTO.0, PHOTO.1, PHOTO.2.into()).await;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    world.client.post(&path, &[("MediaSid", &sid)]).await.expect(201);
    let ours = brought(&world, CAT, 1).await;
    let metadata: Value = serde_json::from_slice(&ours[0].body).unwrap();
    let said = &mut webhook["entry"][0]["messaging"][0]["message"];
    (said["mid"], said["metadata"]) = (json!(ours[0].id), metadata["message"]["metadata"].clone());
    let echo = provider::meta("fb-app-secret-0001", webhook.to_string());
    assert_eq!(world.raw_webhook("pages", echo).await.status, 200);
    world.quiet().await;
    assert_eq!((world.client.messages(&talk.sid).await.len(), world.sink.files().asked()), (2, asked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_photo_is_edited_and_the_photo_stays() {
    let world = World::start().await;
    let talk = world.client.conversation(&[(ANN, SMS), (BOB, WHATSAPP)]).await;
    let phone = world.whatsapp(BOB);
    let id = world.message_id(&phone);
    let signed = phone.with_files(&id, "a cat", &[PHOTO]);
    assert_eq!(world.webhook(signed.clone()).await.status, 200);
    brought(&world, ANN, 1).await;
    let mut webhook: Value = serde_json::from_slice(&signed.body).unwrap();
    let said = &mut webhook["entry"][0]["changes"][0]["value"]["messages"][0];
    let mut image = said["image"].take();
    image["caption"] = json!("a dog");
    said["type"] = json!("edit");
    said["edit"] = json!({ "original_message_id": id, "message": { "type": "image", "image": image } });
    said["id"] = json!(world.message_id(&phone));
    said.as_object_mut().unwrap().remove("image");
    let edit = provider::meta("wa-app-secret-0001", webhook.to_string());
    assert_eq!(world.raw_webhook("wa", edit).await.status, 200);
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!((messages.len(), &messages[0]["body"]), (1, &json!("a dog")));
    assert_eq!(messages[0]["media"][0]["content_type"], PHOTO.0);
}
