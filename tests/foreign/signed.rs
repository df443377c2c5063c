//! Writes down what each adapter's simulator signs, for libraries that nobody here wrote to judge.
//!
//! The file is `signed.json` in cargo's folder for the files of tests; `tests/foreign` reads it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use trunkline_adapter::simulator::{PhoneMessage, SignedRequest, Submission};
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Clock, DeliveryStatus, Kit, Section, Simulator, Timestamp, WebhookRequest,
};

const TWILIO_TOKEN: &str = "12345678901234567890123456789012";
const APP_SECRET: &str = "app-secret-0001";
const PHONE_NUMBER_ID: &str = "106540352242922";
const NOON: i64 = 1_795_348_800;

/// What forms, JSON and signatures could stumble over.
const TEXTS: [&str; 6] = [
    "Hello",
    "Grüße, 你好, مرحبا 👩‍👩‍👧‍👦",
    "a+b & c=d % 100 # ? / \\ \" ' < > ; , |",
    "line one\nline two\r\n\ttab",
    " %41%20%zz ",
    "\u{202e}right to left\u{301}",
];

struct House {
    name: &'static str,
    simulator: Arc<dyn Simulator>,
    adapter: Arc<dyn Adapter>,
    /// Our address, and people who write to it: the second has no number where a channel knows such people.
    proxy: &'static str,
    people: &'static [&'static str],
    webhook: String,
}

fn house(
    kind: &dyn AdapterKind,
    settings: &[(&str, &str)],
    proxy: (&'static str, &[(&str, &str)]),
    people: &'static [&'static str],
) -> House {
    let webhook = format!("https://bridge.example:8443/webhooks/{}?x=1", kind.name());
    let mut section = Section::of(settings);
    let mut proxies = vec![(Address::parse(proxy.0).unwrap(), Section::of(proxy.1))];
    let blueprint = kind.blueprint(&mut section, &mut proxies).expect("settings are right");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let clock = Clock::at(Timestamp::from_seconds(NOON));
    let adapter = blueprint.build(Kit { http, clock, webhook_url: webhook.clone() });
    House {
        name: kind.name(),
        simulator: blueprint.simulator().unwrap(),
        adapter,
        proxy: proxy.0,
        people,
        webhook,
    }
}

fn houses() -> [House; 4] {
    let twilio = [("account_sid", "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), ("auth_token", TWILIO_TOKEN)];
    let meta = [("app_secret", APP_SECRET), ("verify_token", "verify-token-0001")];
    let whatsapp = [meta[0], meta[1], ("access_token", "access-token-0001")];
    let number = [("phone_number_id", PHONE_NUMBER_ID)];
    [
        house(&trunkline_twilio::Twilio, &twilio, ("+15550001111", &[]), &["+15550100001"]),
        house(
            &trunkline_twilio::Twilio,
            &twilio,
            ("whatsapp:+15550003333", &[]),
            &["whatsapp:+15550100002", "whatsapp:US.900100"],
        ),
        house(
            &trunkline_whatsapp::Whatsapp,
            &whatsapp,
            ("whatsapp:+15550002222", &number),
            &["whatsapp:+15550100002", "whatsapp:US.900100"],
        ),
        house(
            &trunkline_messenger::Messenger,
            &meta,
            ("messenger:1029384756", &[("access_token", "page-token-0001")]),
            &["messenger:900100003"],
        ),
    ]
}

impl House {
    /// Our own adapter takes what it signs, and nothing that differs by a byte.
    fn accepts(&self, signed: &SignedRequest) {
        let mut headers = HeaderMap::new();
        for (name, value) in &signed.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let query = signed.url.split_once('?').map_or("", |(_, query)| query).to_owned();
        let mut request = WebhookRequest {
            method: signed.method.clone(),
            url: signed.url.clone(),
            alternatives: Vec::new(),
            query,
            headers,
            body: signed.body.clone(),
        };
        let webhook = self.adapter.webhook().unwrap();
        let received = webhook.receive(&request).expect("our own signature");
        assert!(!received.inbound.is_empty(), "{}: nothing was read", self.name);
        request.body = [&signed.body[..], b"&"].concat().into();
        request.url.push('&');
        assert!(webhook.receive(&request).is_err(), "{}: a changed request was taken", self.name);
    }

    fn row(&self, what: &str, signed: &SignedRequest, more: Value) -> Value {
        self.accepts(signed);
        let mut row = json!({
            "adapter": self.name,
            "what": format!("{what} of {}", self.proxy),
            "method": signed.method.as_str(),
            "url": signed.url,
            "headers": signed.headers,
            "body": std::str::from_utf8(&signed.body).unwrap(),
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    }

    fn rows(&self) -> Vec<Value> {
        let mut rows = Vec::new();
        let at = Timestamp::from_seconds(NOON);
        let proxy = Address::parse(self.proxy).unwrap();
        for (who, person) in self.people.iter().enumerate() {
            let address = Address::parse(person).unwrap();
            for (serial, text) in (1..).zip(TEXTS) {
                let id = self.simulator.message_id(serial + 100 * who as u64);
                let message = PhoneMessage {
                    id: id.clone(),
                    from: address.clone(),
                    to: proxy.clone(),
                    text: text.to_owned(),
                    media: Vec::new(),
                    at,
                    name: Some("Ana & Söhne".to_owned()),
                };
                let about =
                    json!({"kind": "message", "id": id, "text": text, "person": person, "plain": who == 0});
                rows.push(self.row("message", &self.simulator.message(&message, &self.webhook), about));
            }
            let submission = Submission {
                from: proxy.clone(),
                to: address,
                text: "Hello".to_owned(),
                media: Vec::new(),
                correlation: Some("ours-1".to_owned()),
                callback: Some(format!("{}&trunkline=ours-1", self.webhook)),
            };
            let id = self.simulator.message_id(7 + 100 * who as u64);
            for (status, error) in [
                (DeliveryStatus::Sent, None),
                (DeliveryStatus::Delivered, None),
                (DeliveryStatus::Read, None),
                (DeliveryStatus::Failed, Some(63_024)),
            ] {
                let signed = self.simulator.status(&submission, &id, status, error, at, &self.webhook);
                let about = json!({"kind": "status", "id": id, "status": status.name(), "person": person,
                    "error": error, "plain": who == 0});
                rows.extend(signed.map(|signed| self.row(status.name(), &signed, about)));
            }
        }
        rows
    }
}

/// What we sign ourselves: calls of event webhooks, as they are made.
fn events() -> Vec<Value> {
    let form: [(&str, &[(&str, &str)]); 5] = [
        ("plain", &[("AccountSid", "AC1"), ("EventType", "onMessageAdded"), ("Body", "Hello")]),
        ("repeated", &[("MessagingBinding.Address", "+15550002"), ("MessagingBinding.Address", "+15550001")]),
        ("empty", &[("Body", ""), ("Attributes", "{}"), ("FriendlyName", "")]),
        ("text", &[("Body", TEXTS[1]), ("Author", TEXTS[2]), ("FriendlyName", TEXTS[4])]),
        ("cases", &[("b", "1"), ("B", "2"), ("a", "3"), ("Z", "4"), ("aB", "5")]),
    ];
    let urls = [
        "https://app.example/hook",
        "https://app.example:8443/hook?x=1&y=a%20b",
        "http://app.example:8080/",
        "https://app.example:443/hook",
    ];
    let mut rows = Vec::new();
    for url in urls {
        let url: reqwest::Url = url.parse().unwrap();
        for (what, pairs) in form {
            let owned: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            rows.push(json!({
                "kind": "form", "what": what, "url": url.as_str(), "params": owned,
                "signature": trunkline::egress::sign(TWILIO_TOKEN, &url, &owned),
            }));
            let mut called = url.clone();
            called.query_pairs_mut().extend_pairs(pairs);
            rows.push(json!({
                "kind": "get", "what": what, "url": called.as_str(),
                "signature": trunkline::egress::sign(TWILIO_TOKEN, &called, &[]),
            }));
        }
        let body = json!({ "text": TEXTS }).to_string();
        let called = trunkline::egress::with_body_hash(url, body.as_bytes());
        rows.push(json!({
            "kind": "json", "what": "json", "url": called.as_str(), "body": body,
            "signature": trunkline::egress::sign(TWILIO_TOKEN, &called, &[]),
        }));
    }
    rows
}

#[test]
fn simulators_sign_what_adapters_accept() {
    let requests: Vec<Value> = houses().iter().flat_map(House::rows).collect();
    let count = |adapter: &str| requests.iter().filter(|row| row["adapter"] == adapter).count();
    assert_eq!((count("twilio"), count("whatsapp"), count("messenger")), (9 + 20, 20, 9));
    let signed = json!({
        "twilio_token": TWILIO_TOKEN,
        "app_secret": APP_SECRET,
        "phone_number_id": PHONE_NUMBER_ID,
        "at": NOON,
        "requests": requests,
        "events": events(),
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signed.json");
    std::fs::write(path, serde_json::to_vec_pretty(&signed).unwrap()).unwrap();
}
