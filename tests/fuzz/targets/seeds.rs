//! The first inputs: the adapters' fixtures, what their simulators write, the example configuration, and records made
//! here.

use serde_json::Value;
use trunkline::announce::Cause;
use trunkline::ledger::engine::{Engine, Row};
use trunkline::ledger::key::Key;
use trunkline::ledger::{dump, key::Space};
use trunkline::model::{Compact, Correlation, Dispatch, Mint, ReceiptSid};
use trunkline::model::{ConversationSid, ParticipantSid};

use super::house::{self, House};
use super::webhook;

macro_rules! fixtures {
    ($adapter:literal: $($name:literal)*) => {
        [$(include_str!(concat!("../../../adapters/", $adapter, "/fixtures/", $name, ".json"))),*]
    };
}

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "twilio" => twilio(),
        "whatsapp" => graph(&fixtures!("whatsapp":
            "business_app_echoes" "changes_of_messages" "choices" "identities" "media" "places_and_contacts" "statuses"
            "text_brazil" "text_with_user_id" "text_without_number")),
        "messenger" => graph(&fixtures!("messenger":
            "attachments" "changes_and_reactions" "echoes" "for_the_operator" "postbacks_and_arrivals" "receipts"
            "stickers" "texts")),
        "sdk" => sdk(),
        "answers" => answers(),
        "rest" => texts(&REST),
        "api" => texts(&API),
        "config" => config(),
        "records" => records(),
        "dump" => dumps(),
        "names" => texts(&NAMES),
        "forms" => texts(&FORMS),
        _ => Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn twilio() -> Vec<Vec<u8>> {
    let fixtures = fixtures!("twilio":
        "messenger" "mms" "sms" "sms_opt_out" "status_delivered" "status_queued" "status_sent" "status_undelivered"
        "status_whatsapp_failed" "status_whatsapp_read" "whatsapp_button" "whatsapp_location");
    let mut seeds = Vec::new();
    for fixture in fixtures {
        let fixture: Value = serde_json::from_str(fixture).expect("a fixture");
        let query =
            fixture["url"].as_str().and_then(|url| url.split_once('?')).map_or("", |(_, query)| query);
        let pairs: Vec<(String, String)> = serde_json::from_value(fixture["form"].clone()).expect("pairs");
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        seeds.push(format!("P\n{query}\n{form}").into_bytes());
        seeds.push(format!("G\n{form}\n").into_bytes());
    }
    seeds
        .push(b"J\nbodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n{}".to_vec());
    seeds.push(b"bm8gc2lnbmF0dXJl\n\nBody=x".to_vec());
    seeds
}

/// A session's life as the SDK lives it, each call alone, and the parts for other choices.
fn sdk() -> Vec<Vec<u8>> {
    let call = |method: &str, path: &str, params: &str, body: &str| {
        let size = body.len();
        let header = format!(
            r#"{{"id":"TM1","method":"message","active_grant":"ip_messaging","payload_type":"application/json","payload_size":{size},"http_request":{{"host":"x","path":"{path}","method":"{method}","params":{params},"headers":{{}}}}}}"#
        );
        format!("{header}\t{body}")
    };
    let none = "{}";
    let subscribe = r#"{"event_protocol_version":4,"action":"establish","correlation_id":1,"retried_requests":0,"ttl_in_s":-1,"requests":[{"object_sid":"MP1","object_type":"map","last_event_id":0}]}"#;
    let calls = [
        call("GET", "/Client/v2/Configuration", none, ""),
        call("GET", "/Client/v2/Users/ada/Conversations", none, ""),
        call(
            "POST",
            "/Client/v2/Conversations",
            none,
            r#"{"friendly_name":"Room","unique_name":"r","attributes":"{}"}"#,
        ),
        call("GET", "/Client/v2/Users/ada/Conversations/r", none, ""),
        call("POST", "/Client/v2/Conversations/r/Participants", none, r#"{"identity":"ada"}"#),
        call("POST", "/Client/v2/Conversations/r/Messages", none, r#"{"body":"hi","attributes":"{}"}"#),
        call("POST", "/Client/v2/Users/ada/Conversations/r", none, r#"{"last_read_message_index":0}"#),
        call("POST", "/Client/v2/Users/ada", none, r#"{"friendly_name":"Ada"}"#),
        call("GET", "/Client/v2/ContentTemplates", r#"{"PageSize":"5"}"#, ""),
        call(
            "GET",
            "/v3/Maps/MP1/Items",
            r#"{"HideExpired":"true","PageSize":"50","Order":"asc","From":"a"}"#,
            "",
        ),
        call("POST", "/v4/Subscriptions", none, subscribe),
        call(
            "POST",
            "/v1/registrations",
            r#"{"productId":"ip_messaging"}"#,
            r#"{"channel_type":"fcm","data":{"registration_id":"x"},"message_types":[]}"#,
        ),
        call("DELETE", "/Client/v2/Conversations/r", none, "null"),
    ];
    let mut seeds = vec![format!("s{}", calls.join("\n"))];
    seeds.extend(calls.iter().map(|call| format!("s{call}")));
    let plain =
        |method: &str| format!(r#"{{"id":"TM2","method":"{method}","payload_size":0,"token":"a.b.c"}}"#);
    seeds.extend(
        ["update", "close", "telemetry.v1", "put_notification_ctx"]
            .map(|method| format!("s{}", plain(method))),
    );
    seeds.push(format!("g{}\n{}", plain("init"), plain("message")));
    seeds.push("fTWILSOCK V3.0 2\r\n{}\r\nx".to_owned());
    seeds.push("teyJhbGciOiJub25lIiwiY3R5IjoidHdpbGlvLWZwYTt2PTEifQ.e30.".to_owned());
    let mut seeds: Vec<Vec<u8>> = seeds.into_iter().map(String::into_bytes).collect();
    // A ping, a message in two frames with a pong between them, and a goodbye.
    let mut pieces =
        b"w\x89\x80\0\0\0\0\x02\x8e\0\0\0\0TWILSOCK V3.0 \x8a\x80\0\0\0\0\x80\x87\0\0\0\0".to_vec();
    pieces.extend(b"2\r\n{}\r\n\x88\x82\0\0\0\0\x03\xe8");
    seeds.push(pieces);
    // Lengths of two and of eight bytes.
    seeds.push(b"w\x82\xfe\0\x03\0\0\0\0abc\x82\xff\0\0\0\0\0\0\0\x01\0\0\0\0a".to_vec());
    seeds
}

fn graph(fixtures: &[&str]) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for fixture in fixtures {
        let fixture: Value = serde_json::from_str(fixture).expect("a fixture");
        seeds.push(format!("P\n{}", fixture["delivery"]).into_bytes());
        // Each event alone: small inputs are what a fuzzer mixes best.
        for entry in fixture["delivery"]["entry"].as_array().into_iter().flatten() {
            let delivery = serde_json::json!({ "object": fixture["delivery"]["object"], "entry": [entry] });
            seeds.push(format!("P\n{delivery}").into_bytes());
        }
    }
    let token = webhook::TOKEN;
    seeds.push(
        format!("G\nhub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444").into_bytes(),
    );
    seeds.push(b"sha256=e4e1088fabde2bd65d19510efd87ea272309a0cd99b07c6930d7a5d161c67c2d\n{}".to_vec());
    seeds
}

fn answers() -> Vec<Vec<u8>> {
    let twilio: Value = serde_json::from_str(fixtures!("twilio": "answers")[0]).expect("a fixture");
    let graph = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+12025550123","wa_id":"12025550123","user_id":"US.900100"}],"messages":[{"id":"wamid.1"}]}"#;
    let page = r#"{"recipient_id":"24000100003","message_id":"m_1"}"#;
    let error = |code: u32, more: &str| {
        format!(
            r#"{{"error":{{"message":"(#{code}) to +12025550123","type":"OAuthException","code":{code}{more}}}}}"#
        )
    };
    let answer = |which: u8, status: u16, headers: &str, body: &str| {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        [&[which][..], head.as_bytes(), body.as_bytes()].concat()
    };
    let mut seeds = vec![
        answer(0, 201, "", &twilio["created"].to_string()),
        answer(0, 400, "", &twilio["refused"].to_string()),
        answer(0, 429, "retry-after: 3\r\n", r#"{"code":20429,"message":"Too Many Requests"}"#),
        answer(0, 503, "retry-after: 99999999999\r\n", "<html>"),
        answer(0, 307, "location: https://elsewhere.example/\r\n", ""),
        answer(1, 200, "", graph),
        answer(1, 429, "retry-after: Fri, 31 Dec 2027 23:59:59 GMT\r\n", &error(130_429, "")),
        answer(1, 400, "", &error(131_047, r#","error_data":{"details":"more than 24 hours"}"#)),
        answer(
            1,
            400,
            "x-business-use-case-usage: {\"1\":[{\"estimated_time_to_regain_access\":19}]}\r\n",
            &error(80_007, r#","is_transient":true"#),
        ),
        answer(2, 200, "", page),
        answer(2, 400, "", &error(10, r#","error_subcode":2018278"#)),
        answer(2, 500, "", "no JSON"),
    ];
    seeds.push(b"\x01HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec());
    seeds.push(b"\x02HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{".to_vec());
    seeds.push(b"\x00not HTTP\r\n\r\n".to_vec());
    seeds
}

const REST: [&str; 25] = [
    "fFriendlyName=a+b&Attributes=%7B%22a%22%3A1%7D&&Body=x=y",
    "fmessagingbinding.address=%2B12025550123&MessagingBinding.ProxyAddress=%2B15550001111",
    "f%ff=%zz&a=%C3%A9",
    "pPageSize=20&Page=0",
    "pPageSize=7&Page=3&PageToken=PTeyJhZnRlciI6OX0",
    "pPageSize=7&Page=2&PageToken=PTeyJhZnRlciI6MTgsInBhc3QiOls5LDEyXX0",
    "pPageToken=-1",
    "r/v1/Conversations/CH00000000000000000000000000000001/Messages/IM1/Receipts/DY1",
    "r/v1/Services/IS1/Conversations/a%2Fb/Participants/MB1/",
    "r/v1/Services",
    "r/v1/Services/IS1",
    "r/v1/Configuration",
    "r/v1/Services/IS1/Configuration/Notifications",
    "r/v1/Services/IS1/Bindings/BS1",
    "r/v1/Users/a%40b/Conversations/u-1",
    "r/webhooks/us",
    "r/v1/Services//Conversations",
    "aBasic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2tlbjp3aXRoOmNvbG9ucw==",
    "abasic  U0swMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTprZXktc2VjcmV0 ",
    "aBearer x",
    "hb.example:8443",
    "h[2001:db8::1]:80",
    "t2026-01-02T03:04:05Z",
    "t2026-01-02T03:04:05.678+02:00",
    "t-009999-01-01T00:00:00Z",
];

const API: [&str; 13] = [
    "POST /v1/Conversations FriendlyName=a&UniqueName=u-1&Attributes=%7B%22a%22%3A1%7D&MessagingServiceSid=MG00000000000000000000000000000001\nGET /v1/Conversations/u-1\nPOST /v1/Conversations/$CH State=closed\nGET /v1/Conversations?State=closed&PageSize=1\nDELETE /v1/Conversations/$CH",
    "POST /v1/Conversations/$CH/Messages Author=ana&Body=hello&Attributes=%7B%7D\nGET /v1/Conversations/$CH/Messages/$IM\nGET /v1/Conversations/$CH/Messages/$IM/Receipts\nPOST /v1/Conversations/$CH/Messages/$IM Body=changed\nDELETE /v1/Conversations/$CH/Messages/$IM",
    "POST /v1/Conversations/$CH/Messages Body=1\nPOST /v1/Conversations/$CH/Messages Body=2\nPOST /v1/Conversations/$CH/Messages Body=3\nGET /v1/Conversations/$CH/Messages?PageSize=1&Order=desc\nGET /v1/Conversations/$CH/Messages?PageSize=2",
    "POST /v1/Conversations/$CH/Participants Identity=ana&Attributes=%7B%7D\nPOST /v1/Conversations/$CH/Participants/$MB LastReadMessageIndex=0&LastReadTimestamp=2026-01-02T03:04:05Z\nGET /v1/Conversations/$CH/Participants/ana\nDELETE /v1/Conversations/$CH/Participants/$MB",
    "POST /v1/Conversations \nPOST /v1/Conversations/$CH/Participants MessagingBinding.Address=%2B12025550199&MessagingBinding.ProxyAddress=%2B15550001111\nGET /v1/Conversations/$CH/Participants\nPOST /v1/Conversations/$CH/Messages Author=%2B12025550199&Body=x&DateCreated=2026-01-02T03:04:05Z",
    "POST /v1/Services FriendlyName=s\nGET /v1/Services?PageSize=1\nPOST /v1/Services/$IS/Conversations UniqueName=u\nGET /v1/Services/$IS/Conversations\nDELETE /v1/Services/$IS",
    "POST /v1/Users Identity=ana&FriendlyName=A\nGET /v1/Users?PageSize=1\nPOST /v1/Users/ana Attributes=%7B%7D\nPOST /v1/Conversations/$CH/Participants Identity=ana\nGET /v1/Users/ana/Conversations?PageSize=1\nPOST /v1/Users/ana/Conversations/$CH LastReadMessageIndex=0&NotificationLevel=muted\nGET /v1/ParticipantConversations?Identity=ana\nDELETE /v1/Users/ana/Conversations/$CH\nDELETE /v1/Users/ana",
    "GET /v1/Roles\nPOST /v1/Roles FriendlyName=g&Type=conversation&Permission=sendMessage&Permission=leaveConversation\nPOST /v1/Configuration DefaultClosedTimer=PT10M&DefaultInactiveTimer=P1DT1S&DefaultMessagingServiceSid=",
    "POST /v1/Credentials Type=apn&Certificate=c&PrivateKey=k&Sandbox=true\nGET /v1/Credentials?PageSize=1\nPOST /v1/Services FriendlyName=s\nPOST /v1/Services/$IS/Configuration ReachabilityEnabled=true\nPOST /v1/Services/$IS/Configuration/Notifications NewMessage.Enabled=true&NewMessage.WithMedia.Template=x\nGET /v1/Services/$IS/Bindings?BindingType=fcm&Identity=a",
    "GET /v1/ParticipantConversations?Address=%2B12025550199&ProxyAddress=%2B15550001111&PageSize=1&PageToken=PTeyJhZnRlciI6IngifQ",
    "GET /v1/Configuration\nOPTIONS /v1/Conversations\nPUT /v1/Conversations\nGET /nowhere\nPOST /webhooks/us Body=x",
    "GET /v1/Conversations?StartDate=2026-01-01&EndDate=2026-12-31T00:00:00Z&PageSize=50&PageToken=PTeyJhZnRlciI6OX0",
    "POST /v1/Conversations/$CH Timers.Closed=PT5M\nPOST /v1/Conversations State=inactive&DateCreated=x\nPOST /v1/Conversations/$CH UniqueName=&FriendlyName=",
];

const NAMES: [&str; 26] = [
    "a+1 (202) 555-0123",
    "a+44 (0)20 7946 0018",
    "awhatsapp:+5215512345678",
    "awhatsapp:+5511987654321",
    "awhatsapp:+541123456789",
    "awhatsapp:US.900100",
    "amessenger:1029384756",
    "a12345",
    "aACME Inc",
    "a+39 06 1234567",
    "cCH00000000000000000000000000000001.12.MB00000000000000000000000000000002.DY00000000000000000000000000000003.1",
    "s10s",
    "s1h30m",
    "s512MiB",
    "s80/s",
    "s10 per minute",
    "s+15550001111",
    "shttps://b.example/x/",
    "w(#131047) Message failed to send to +12025550123, token EAAG0123456789abcdefABCDEFxyz",
    "w\u{7}control\nand é",
    "p\u{14}one two three four five six seven eight nine ten",
    "p\u{4}ééééé👋👋",
    "p\u{4}       ",
    "kStop.",
    "k«СТОП»",
    "k ? ",
];

fn config() -> Vec<Vec<u8>> {
    let example = include_str!("../../../config.example.toml");
    // As it is, and with everything in it that is only shown.
    let shown: Vec<&str> = example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    let mut seeds =
        texts(&[example, "[server]\nlisten = [\n", "a = 1\na = 2\n[[adapter]]\nkind = \"twilio\"\n"]);
    seeds.push(
        shown
            .iter()
            .filter(|line| line.contains('=') || line.starts_with('['))
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
            .into_bytes(),
    );
    // Each section alone.
    seeds.extend(
        example.split("\n\n").map(|section| section.as_bytes().to_vec()).filter(|section| section.len() > 20),
    );
    seeds
}

/// What a walk through the API leaves behind, and what else is stored.
fn rows() -> Vec<(Key, Row)> {
    house::wait(async {
        let house = House::new().await;
        let text = trunkline::relay::command::NewMessage {
            author: "ana".to_owned(),
            template: None,
            media: Vec::new(),
            body: Some("hello".to_owned()),
            subject: None,
            attributes: Some("{\"a\":[1.5]}".to_owned()),
            created: None,
            updated: None,
        };
        let service = house.relay.default_service(&house.account).await.expect("a service").sid;
        let posted = house
            .relay
            .post_message(&house.account, &service, house.conversation.as_str(), text, Cause::api(false))
            .await;
        posted.expect("a message");
        assert!(house.engine.published() > 0);
        house.rows().await
    })
}

fn records() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (key, row) in rows() {
        seeds.push([b"K", key.as_bytes()].concat());
        let which: &[u8] = match key.space() {
            Some(Space::Head) => b"H",
            Some(Space::Message) => b"M",
            Some(Space::Queue) => b"J",
            Some(Space::ProviderId) => b"I",
            Some(Space::Conversation) => b"c",
            Some(Space::Binding) => b"b",
            Some(Space::Participant) => b"p",
            Some(Space::Person) => b"n",
            Some(Space::Receipt) => b"r",
            Some(Space::Service) => b"s",
            Some(Space::Configuration) => b"a",
            Some(Space::Role) => b"R",
            Some(Space::ServiceSettings) => b"S",
            Some(Space::User) => b"U",
            _ => continue,
        };
        seeds.push([which, &row.payload[..]].concat());
    }
    seeds.push([b"D", &Dispatch::Notice { text: "hello".to_owned() }.encode()[..]].concat());
    seeds.extend(texts(&[
        r#"r{"sid":"DY1","participant":"MB1","status":"sent","error_code":0,"provider_ids":["a"],"via":{"kind":"twilio","proxy":"+15550001111"},"parts":["sent",null],"taken_at":5,"created":1,"updated":1,"later":1.25}"#,
        r#"o{"keyword":"STOP","provider_id":"SM1","at":5,"more":{"a":0.1}}"#,
        r#"k{"reports":[{"id":"SM1","from":"+15550001111","correlation":null,"status":"failed","error":{"code":30003,"class":{"retry":2},"text":"unreachable"},"learned":["+12025550123"],"at":null}],"since":7}"#,
    ]));
    seeds
}

/// The type of a request, the size of its pieces, and its body.
const FORMS: [&str; 8] = [
    "multipart/form-data; boundary=b\n\u{7}--b\r\nContent-Disposition: form-data; name=\"Category\"\r\n\r\nmedia\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"cat\\\".png\"\r\nContent-Type: image/png\r\n\r\n\u{1}PNG\r\n--\r\n--b--\r\n",
    "multipart/form-data; boundary=\"a b\"\n\u{1}preamble\r\n--a b\r\n\r\nx\r\n--a b \t\r\nX: y\r\n\r\n\r\n--a b--epilogue",
    "Multipart/Form-Data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW\n@------WebKitFormBoundary7MA4YWxkTrZu0gW\r\ncontent-disposition: form-data; name=file; filename=\"C:\\cat.png\"\r\n\r\n------WebKitFormBoundary7MA4YWxkTrZu0gV\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW--",
    "multipart/form-data; boundary=b\n\u{2}--b--",
    "multipart/form-data; boundary=b\n\u{3}--b\r\n\r\n\r\n\r\n--b\r\n\r\n\r\n--b--",
    "multipart/form-data; boundary=b\n\u{4}--b\r\nno head\r\n\r\nx\r\n--b--",
    "multipart/form-data; boundary=\n\u{1}--\r\n\r\n\r\n----",
    "text/plain\n\u{1}x",
];

fn dumps() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (key, row) in rows() {
        let mut line = b"l".to_vec();
        dump::write(&mut line, &key, &row).expect("a row of ours");
        line.pop();
        seeds.push(line);
        let parts = key.parts().expect("a key of ours");
        let space = Space::ALL.iter().position(|space| *space == parts.space).unwrap_or_default();
        let lengths = [parts.account.len(), parts.partition.len(), space, parts.rest.len()];
        let lengths = lengths.map(|length| u8::try_from(length).expect("short names"));
        seeds.push(
            [
                b"r",
                &lengths[..],
                parts.account.as_bytes(),
                parts.partition.as_bytes(),
                parts.rest,
                &row.payload,
            ]
            .concat(),
        );
    }
    seeds.extend(texts(&[
        r#"l{"trunkline_dump_rows":7}"#,
        "r\0\0\0\0{\"base64\":\"eA==\"}",
        "r\0\0\0\0\u{1}{\"a\":1}",
    ]));
    let mint = Mint::seeded(3);
    let correlation = Correlation {
        conversation: ConversationSid::new(&mint),
        index: 1,
        participant: ParticipantSid::new(&mint),
        receipt: ReceiptSid::new(&mint),
        part: 0,
        parts: 1,
    };
    seeds.push(format!("l{}", correlation.encode()).into_bytes());
    seeds
}
