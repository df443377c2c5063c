//! Files: uploaded, carried by messages, reached by links, and gone when nobody needs them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Answer, Client, World, config, read};

/// A picture of one pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 0, 0, 0, 0, 0x3A, 0x7E, 0x9B, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9C, 0x63, 0x60, 0,
    0, 0, 2, 0, 1, 0x48, 0xAF, 0xA4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82,
];

/// The default service.
async fn service(client: &Client) -> String {
    let configuration = client.get("/v1/Configuration").await.expect(200);
    configuration["default_chat_service_sid"].as_str().unwrap().to_owned()
}

async fn media_path(client: &Client) -> String {
    format!("/v1/Services/{}/Media", service(client).await)
}

async fn upload(client: &Client, query: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let path = format!("{}{query}", media_path(client).await);
    client.try_upload(&path, content_type, body).await.unwrap()
}

async fn uploaded(client: &Client) -> Value {
    upload(client, "?Filename=cat.png", "image/png", PNG.to_vec()).await.expect(201)
}

fn sid(record: &Value) -> &str {
    record["sid"].as_str().unwrap()
}

/// A link where the daemon really listens.
fn link(client: &Client, record: &Value) -> String {
    let url = record["links"]["content_direct_temporary"].as_str().unwrap();
    format!("{}{}", client.base, url.strip_prefix(config::PUBLIC_URL).unwrap())
}

async fn fetch(client: &Client, method: Method, url: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let request = client.http.request(method, url);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

async fn carry(client: &Client, conversation: &str, media: &[&str]) -> Answer {
    let fields: Vec<(&str, &str)> = media.iter().map(|sid| ("MediaSid", *sid)).collect();
    client.post(&format!("/v1/Conversations/{conversation}/Messages"), &fields).await
}

/// Files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_carried_and_fetched_by_its_link() {
    let world = World::start().await;
    let client = &world.client;
    let record = uploaded(client).await;
    assert_eq!((&record["size"], &record["content_type"]), (&json!(PNG.len()), &json!("image/png")));
    assert_eq!((&record["filename"], &record["author"]), (&json!("cat.png"), &json!("system")));
    assert_eq!((&record["message_sid"], &record["category"]), (&Value::Null, &json!("media")));
    let path = format!("{}/{}", media_path(client).await, sid(&record));
    assert_eq!(record["url"], format!("{}{path}", config::PUBLIC_URL));

    let talk = client.conversation(&[]).await.sid;
    let messages = format!("/v1/Conversations/{talk}/Messages");
    let said = client.post(&messages, &[("Body", "look"), ("MediaSid", sid(&record))]).await.expect(201);
    let shown = json!([{
        "sid": record["sid"], "size": PNG.len(), "content_type": "image/png", "filename": "cat.png", "category": "media",
    }]);
    assert_eq!((&said["media"], &said["body"]), (&shown, &json!("look")));
    assert_eq!(client.messages(&talk).await[0]["media"], shown);
    let bound = client.get(&path).await.expect(200);
    assert_eq!((&bound["message_sid"], &bound["channel_sid"]), (&said["sid"], &json!(talk)));
    let again = carry(client, &talk, &[sid(&record)]).await;
    assert_eq!((again.status, again.code()), (409, 50508));
    let said_path = format!("{messages}/{}", said["sid"].as_str().unwrap());
    let edited = client.post(&said_path, &[("Body", "no")]).await;
    assert_eq!((edited.status, edited.code()), (400, 50509));

    // With the account's credentials, and by a link without any.
    let own = client.http.get(format!("{}{path}/Content", client.base));
    let own = own.basic_auth(&client.user, Some(&client.password)).send().await.unwrap();
    assert_eq!(own.bytes().await.unwrap(), PNG);
    let url = link(client, &bound);
    let whole = fetch(client, Method::GET, &url, &[]).await;
    assert_eq!(whole.status(), 200);
    let headers = whole.headers().clone();
    for (name, value) in [
        ("content-type", "image/png"),
        ("content-disposition", "inline; filename=\"cat.png\""),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox"),
        ("accept-ranges", "bytes"),
        ("access-control-allow-origin", "*"),
        ("content-length", &PNG.len().to_string()),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(whole.bytes().await.unwrap(), PNG);
    let tag = headers["etag"].to_str().unwrap();
    let head = fetch(client, Method::HEAD, &url, &[]).await;
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "67"));
    assert!(head.bytes().await.unwrap().is_empty());
    let part = fetch(client, Method::GET, &url, &[("range", "bytes=1-3")]).await;
    assert_eq!(
        (part.status().as_u16(), part.headers()["content-range"].to_str().unwrap()),
        (206, "bytes 1-3/67")
    );
    assert_eq!(part.bytes().await.unwrap(), &b"PNG"[..]);
    let beyond = fetch(client, Method::GET, &url, &[("range", "bytes=67-")]).await;
    assert_eq!(
        (beyond.status().as_u16(), beyond.headers()["content-range"].to_str().unwrap()),
        (416, "bytes */67")
    );
    assert_eq!(fetch(client, Method::GET, &url, &[("if-none-match", tag)]).await.status(), 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_is_refused_and_takes_nothing_along() {
    let world = World::start().await;
    let client = &world.client;
    let (one, two) = (uploaded(client).await, uploaded(client).await);
    let talk = client.conversation(&[]).await.sid;
    let missing = format!("ME{}", "0".repeat(32));
    for (media, status, code) in [
        (vec![sid(&one), &missing], 404, 50507),
        (vec!["ME1"], 400, 50510),
        (vec![sid(&one), sid(&one)], 400, 20001),
        (vec![], 400, 50503),
    ] {
        let answer = carry(client, &talk, &media).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{media:?}");
    }
    let other = client.post("/v1/Services", &[("FriendlyName", "other")]).await.expect(201);
    let conversations = format!("/v1/Services/{}/Conversations", sid(&other));
    let theirs = client.post(&conversations, &[("FriendlyName", "x")]).await.expect(201);
    let path = format!("{conversations}/{}/Messages", sid(&theirs));
    let answer = client.post(&path, &[("MediaSid", sid(&one))]).await;
    assert_eq!((answer.status, answer.code()), (404, 50507));
    let ten: Vec<Value> = {
        let mut ten = vec![one, two];
        while ten.len() < 10 {
            ten.push(uploaded(client).await);
        }
        ten
    };
    let sids: Vec<&str> = ten.iter().map(sid).collect();
    let said = carry(client, &talk, &sids).await.expect(201);
    let carried: Vec<&str> = said["media"].as_array().unwrap().iter().map(sid).collect();
    assert_eq!((carried, &said["body"]), (sids, &Value::Null));
    // Ten times the same bytes are one file.
    assert_eq!(files(&world.config.store_path.join("media")), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_bounded_and_take_forms_too() {
    let world = World::start_with(|config| config.limits.push("media_body = \"1KiB\"".to_owned())).await;
    let client = &world.client;
    let form = |boundary: &str, content: &[u8]| {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"Category\"\r\n\r\nmedia\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"caf\u{e9}.txt\"\r\nContent-Type: text/plain\r\n\r\n"
        );
        [head.as_bytes(), content, format!("\r\n--{boundary}--\r\n").as_bytes()].concat()
    };
    let multipart = "multipart/form-data; boundary=zz";
    let record = upload(client, "?Category=history", multipart, form("zz", b"hello")).await.expect(201);
    assert_eq!((&record["filename"], &record["size"]), (&json!("caf\u{e9}.txt"), &json!(5)));
    assert_eq!((&record["content_type"], &record["category"]), (&json!("text/plain"), &json!("history")));
    let fetched = fetch(client, Method::GET, &link(client, &record), &[]).await;
    let disposition = fetched.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, "inline; filename=\"caf_.txt\"; filename*=UTF-8''caf%C3%A9.txt");
    assert_eq!(fetched.bytes().await.unwrap(), &b"hello"[..]);
    for (query, content_type, body, status, code) in [
        ("", "image/png", vec![0; 1025], 413, 50512),
        ("", multipart, form("zz", &[0; 1024]), 413, 50512),
        ("", multipart, form("yy", b"hello"), 400, 20001),
        ("", multipart, form("zz", b"hello")[..60].to_vec(), 400, 20001),
        ("", "multipart/form-data", vec![1], 400, 20001),
        ("", "nonsense", vec![1], 400, 50511),
        ("", "image/png", vec![], 400, 20001),
        ("?Category=x", "image/png", vec![1], 400, 20001),
    ] {
        let answer = upload(client, query, content_type, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{query} {content_type}: {}", answer.text);
    }
    // Nothing of what was refused is left, not even aside.
    assert_eq!(files(&world.config.store_path.join("media")), 1);

    let url = format!("{}/v1/Services/{}/MediaSet", client.base, service(client).await);
    let order = json!({ "command": "get", "list": [{ "media_sid": sid(&record) }, { "media_sid": "ME1" }] });
    let request =
        client.http.post(url).basic_auth(&client.user, Some(&client.password)).body(order.to_string());
    let set = read(request.send().await.unwrap()).await.unwrap().expect(200);
    assert_eq!((&set[0]["code"], &set[0]["media_record"]["sid"]), (&json!(200), &record["sid"]));
    assert_eq!((&set[1]["code"], &set[1]["media_sid"]), (&json!(404), &json!("ME1")));

    let preflight =
        fetch(client, Method::OPTIONS, &format!("{}{}", client.base, media_path(client).await), &[]).await;
    assert_eq!(preflight.status(), 204);
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
    assert!(allowed.contains("X-Twilio-Token") && allowed.contains("Content-Type"), "{allowed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_file_does_not_run() {
    let world = World::start().await;
    let client = &world.client;
    let page = b"<!DOCTYPE html><script>alert(document.domain)</script>".to_vec();
    for (declared, name, shown) in [
        ("text/html", "x.html", "text/html"),
        // What is plainly no picture is not called one.
        ("image/png", "x.png", "text/html"),
        ("image/svg+xml", "x.svg", "text/html"),
    ] {
        let record = upload(client, &format!("?Filename={name}"), declared, page.clone()).await.expect(201);
        let fetched = fetch(client, Method::GET, &link(client, &record), &[]).await;
        assert_eq!(fetched.headers()["content-type"], shown, "{declared}");
        assert_eq!(fetched.headers()["content-disposition"], format!("attachment; filename=\"{name}\""));
        assert_eq!(fetched.headers()["x-content-type-options"], "nosniff");
        assert_eq!(fetched.headers()["content-security-policy"], "sandbox");
    }
    let record = upload(client, "?Filename=a%0D%0AX-Evil:+1.html", "text/html", page).await.expect(201);
    let fetched = fetch(client, Method::GET, &link(client, &record), &[]).await;
    assert!(!fetched.headers().contains_key("x-evil"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_with_its_hour_and_with_its_file() {
    let mut world = World::start().await;
    let record = uploaded(&world.client).await;
    let path = format!("{}/{}", media_path(&world.client).await, sid(&record));
    let url = link(&world.client, &record);
    let (most, last) = url.split_at(url.len() - 1);
    let another = if last == "x" { "y" } else { "x" };
    let forged = fetch(&world.client, Method::GET, &format!("{most}{another}"), &[]).await;
    assert_eq!(forged.status(), 403);
    // The key is the store's: a restart changes nothing.
    world.restart().await;
    assert_eq!(fetch(&world.client, Method::GET, &link(&world.client, &record), &[]).await.status(), 200);
    world.daemon.env.insert("TRUNKLINE_TEST_CLOCK_AHEAD".to_owned(), "3700".to_owned());
    world.restart().await;
    let late =
        read(fetch(&world.client, Method::GET, &link(&world.client, &record), &[]).await).await.unwrap();
    assert_eq!((late.status, late.code()), (410, 20410));
    let fresh = world.client.get(&path).await.expect(200);
    assert_eq!(fetch(&world.client, Method::GET, &link(&world.client, &fresh), &[]).await.status(), 200);
    assert_eq!(world.client.delete(&path).await.status, 204);
    assert_eq!(world.client.get(&path).await.code(), 20404);
    let gone =
        read(fetch(&world.client, Method::GET, &link(&world.client, &fresh), &[]).await).await.unwrap();
    assert_eq!((gone.status, gone.code()), (404, 50507));
    // Its bytes go with the next sweep: that of a start at the latest.
    world.restart().await;
    swept(&world, 0).await;
}

/// Waits until the sweep at the start has left so many files.
async fn swept(world: &World, left: usize) {
    let folder = world.config.store_path.join("media");
    let ask = || async { (files(&folder) == left).then_some(()) };
    world.daemon.eventually("the sweep", ask).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_uploaded_outlives_a_crash_and_nothing_else_does() {
    let mut world = World::start().await;
    let record = uploaded(&world.client).await;
    let kept = upload(&world.client, "", "text/plain", b"other".to_vec()).await.expect(201);
    // One whose row never came, and one that the end comes in the middle of.
    let orphan = world.config.store_path.join("media/00").join("0".repeat(62));
    std::fs::write(&orphan, "orphan").unwrap();
    let mut half = TcpStream::connect(world.daemon.address).await.unwrap();
    let credentials = STANDARD.encode(format!("{}:{}", config::ACCOUNT, config::TOKEN));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\nContent-Length: 100\r\n\r\nhalf",
        media_path(&world.client).await
    );
    half.write_all(head.as_bytes()).await.unwrap();
    let incoming = world.config.store_path.join("media/incoming");
    let ask = || async { (files(&incoming) == 1).then_some(()) };
    world.daemon.eventually("half an upload", ask).await;
    world.crash().await;
    swept(&world, 2).await;
    assert!(!orphan.exists());
    let talk = world.client.conversation(&[]).await.sid;
    let said = carry(&world.client, &talk, &[sid(&record), sid(&kept)]).await.expect(201);
    assert_eq!(said["media"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        fetch(&world.client, Method::GET, &link(&world.client, &record), &[]).await.bytes().await.unwrap(),
        PNG
    );
    // With the message, one goes; with the conversation, whatever is in it.
    let path = format!("/v1/Conversations/{talk}");
    let message = said["sid"].as_str().unwrap();
    assert_eq!(world.client.delete(&format!("{path}/Messages/{message}")).await.status, 204);
    let last = uploaded(&world.client).await;
    carry(&world.client, &talk, &[sid(&last)]).await.expect(201);
    world.crash().await;
    swept(&world, 1).await;
    assert_eq!(world.client.delete(&path).await.status, 204);
    let item = format!("{}/{}", media_path(&world.client).await, sid(&last));
    let ask = || async { (world.client.get(&item).await.status == 404).then_some(()) };
    world.daemon.eventually("the clean-up", ask).await;
    world.restart().await;
    swept(&world, 0).await;
}

/// An access token, as helper libraries make them.
fn token(key: &str, secret: &str, service: &str, identity: &str) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1" }));
    let grants = json!({ "identity": identity, "chat": { "service_sid": service } });
    let claims = part(json!({
        "jti": format!("{key}-{now}"), "iss": key, "sub": config::ACCOUNT, "iat": now, "exp": now + 600, "grants": grants,
    }));
    let signed = format!("{header}.{claims}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, signed.as_bytes())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_with_a_token_see_what_is_theirs() {
    let (key, secret) = ("SK00000000000000000000000000000001", "api-secret-0001");
    let world = World::start_with(|config| {
        config.auth_token =
            format!("{}\n[[account.api_key]]\nsid = \"{key}\"\nsecret = \"{secret}\"", config.auth_token);
    })
    .await;
    let client = &world.client;
    let service = service(client).await;
    let path = media_path(client).await;
    let as_person = |identity: &'static str, method: Method, path: String, body: Vec<u8>| {
        let request = client.http.request(method, format!("{}{path}", client.base));
        let request = request.header("x-twilio-token", token(key, secret, &service, identity));
        async move { read(request.body(body).send().await.unwrap()).await.unwrap() }
    };
    let mine =
        as_person("ana", Method::POST, format!("{path}?Filename=a.png"), PNG.to_vec()).await.expect(201);
    assert_eq!((&mine["author"], &mine["content_type"]), (&json!("ana"), &json!("image/png")));
    let item = format!("{path}/{}", sid(&mine));
    as_person("ana", Method::GET, item.clone(), vec![]).await.expect(200);
    assert_eq!(as_person("bob", Method::GET, item.clone(), vec![]).await.status, 404);
    assert_eq!(as_person("ana", Method::DELETE, item.clone(), vec![]).await.status, 403);
    // Bob joins the conversation that it is in.
    let talk = client.conversation(&[]).await.sid;
    carry(client, &talk, &[sid(&mine)]).await.expect(201);
    assert_eq!(as_person("bob", Method::GET, item.clone(), vec![]).await.status, 404);
    let joined = client.post(&format!("/v1/Conversations/{talk}/Participants"), &[("Identity", "bob")]).await;
    joined.expect(201);
    as_person("bob", Method::GET, item.clone(), vec![]).await.expect(200);
    let other = client.post("/v1/Services", &[("FriendlyName", "other")]).await.expect(201);
    let elsewhere = format!("/v1/Services/{}/Media", sid(&other));
    assert_eq!(as_person("ana", Method::POST, elsewhere, PNG.to_vec()).await.status, 403);
    let nobody = client.http.get(format!("{}{item}", client.base)).header("x-twilio-token", "a.b.c");
    assert_eq!(nobody.send().await.unwrap().status(), 401);
}
