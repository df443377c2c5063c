//! Requests that must not get in, and their nearest relatives that must.

use ring::hmac;
use trunkline_adapter::Inbound;

use super::*;

const PARAMS: [(&str, &str); 6] = [
    ("MessageSid", "SM00000000000000000000000000000001"),
    ("AccountSid", SID),
    ("From", "+12025550123"),
    ("To", "+15550001111"),
    ("Body", "hi there"),
    ("SmsStatus", "received"),
];

fn good() -> WebhookRequest {
    signed_form(TOKEN, WEBHOOK, &PARAMS)
}

fn refused(request: &WebhookRequest) -> Refusal {
    receive(&offline(), request).unwrap_err()
}

const BAD: Refusal = Refusal::BadSignature { matches: None };

#[test]
fn a_good_request_is_good() {
    assert_eq!(receive(&offline(), &good()).unwrap().inbound.len(), 1);
}

#[test]
fn every_flipped_byte_of_the_body_is_noticed() {
    let whole = good();
    for at in 0..whole.body.len() {
        let mut body = whole.body.to_vec();
        body[at] ^= 1;
        // `+` and `%20` mean the same space, but no single flipped bit turns one into the other.
        let request = WebhookRequest { body: body.into(), ..whole.clone() };
        assert_eq!(refused(&request), BAD, "byte {at}");
    }
}

#[test]
fn the_form_may_be_written_differently_but_not_mean_something_else() {
    let mut request = good();
    let reordered: Vec<_> = PARAMS.iter().rev().copied().collect();
    request.body = form_urlencoded::Serializer::new(String::new()).extend_pairs(reordered).finish().into();
    assert!(receive(&offline(), &request).is_ok());
    request.body = [&request.body[..], b"&Body=more"].concat().into();
    assert_eq!(refused(&request), BAD);
}

#[test]
fn a_signature_must_be_there_and_whole() {
    let mut request = good();
    let signature = request.header("x-twilio-signature").unwrap().to_owned();
    for wrong in
        [signature.to_uppercase(), signature[..20].to_owned(), String::new(), "✗".repeat(3), " ".to_owned()]
    {
        let value = HeaderValue::from_bytes(wrong.as_bytes()).unwrap();
        request.headers.insert("x-twilio-signature", value);
        assert_eq!(refused(&request), BAD, "{wrong:?}");
    }
    request.headers.remove("x-twilio-signature");
    assert_eq!(refused(&request), BAD);
}

#[test]
fn only_our_tokens_sign_and_every_one_of_them_verifies() {
    assert_eq!(refused(&signed_form("another token", WEBHOOK, &PARAMS)), BAD);
    // A list of tokens is read by the daemon from TOML; here as it would have read it.
    use trunkline_adapter::settings::{Node, SecretSource, Source, Table, Unreadable, Value};
    struct Nowhere;
    impl SecretSource for Nowhere {
        fn read(&self, _: Source<'_>) -> Result<String, Unreadable> {
            Err(Unreadable { message: "none here".to_owned(), elsewhere: false })
        }
    }
    let node = |value| Node { at: 0, value };
    let tokens = ["new", "old"].map(|token| node(Value::String(token.to_owned()))).to_vec();
    let entries = vec![
        ("account_sid".to_owned(), 0, node(Value::String(SID.to_owned()))),
        ("auth_token".to_owned(), 0, node(Value::Array(tokens))),
    ];
    let mut settings = Section::new("settings", Table { at: 0, entries }, Arc::new(Nowhere));
    let blueprint = Twilio.blueprint(&mut settings, &mut []).unwrap();
    let kit = Kit {
        http: {
            let _ = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::builder().no_proxy().build().unwrap()
        },
        clock: Clock::at(Timestamp(0)),
        webhook_url: WEBHOOK.to_owned(),
    };
    let adapter = blueprint.build(kit);
    for token in ["new", "old"] {
        assert!(receive(&adapter, &signed_form(token, WEBHOOK, &PARAMS)).is_ok(), "{token}");
    }
    assert!(receive(&adapter, &signed_form("older", WEBHOOK, &PARAMS)).is_err());
}

#[test]
fn a_rewritten_host_is_refused_and_the_hint_names_the_right_one() {
    let mut request = good();
    request.url = "http://10.0.0.7:8080/adapters/us".to_owned();
    assert_eq!(refused(&request), BAD);
    request.alternatives = vec!["https://10.0.0.7/adapters/us".to_owned(), WEBHOOK.to_owned()];
    assert_eq!(refused(&request), Refusal::BadSignature { matches: Some(WEBHOOK.to_owned()) });
    // Megabytes are not hashed once more for every spelling.
    let body = "x".repeat(65 * 1024);
    let large = signed_form(TOKEN, WEBHOOK, &[("Body", body.as_str())]);
    let large = WebhookRequest { url: request.url, alternatives: request.alternatives, ..large };
    assert_eq!(refused(&large), BAD);
}

#[test]
fn the_query_is_signed_too() {
    let request = signed_form(TOKEN, &format!("{WEBHOOK}?m=one"), &PARAMS);
    assert!(receive(&offline(), &request).is_ok());
    let forged = WebhookRequest { url: format!("{WEBHOOK}?m=two"), query: "m=two".to_owned(), ..request };
    assert_eq!(refused(&forged), BAD);
}

#[test]
fn a_header_cannot_choose_the_algorithm() {
    let settings = ("x-twilio-webhooks-signature-settings", "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256");
    // Signed with SHA-256, under a shared key and under our own token: neither is what we are configured for.
    let mut sorted = PARAMS;
    sorted.sort_unstable();
    let message: String = sorted.iter().fold(WEBHOOK.to_owned(), |text, (name, value)| text + name + value);
    for secret in ["shared-key-secret-0001", TOKEN] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        use base64::Engine;
        let mac = hmac::sign(&key, message.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(mac);
        let mut request = good();
        request.headers.insert("x-twilio-signature", signature.parse().unwrap());
        request.headers.insert(settings.0, settings.1.parse().unwrap());
        assert_eq!(refused(&request), BAD);
    }
    let mut request = good();
    request.headers.insert(settings.0, settings.1.parse().unwrap());
    assert!(receive(&offline(), &request).is_ok());
}

#[test]
fn another_account_is_told_apart_from_a_forgery() {
    let mut params = PARAMS;
    params[1].1 = "ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    assert_eq!(refused(&signed_form(TOKEN, WEBHOOK, &params)), Refusal::WrongAccount);
}

#[test]
fn signed_garbage_is_malformed() {
    for params in
        [&[][..], &[("AccountSid", SID)], &PARAMS[..2], &[("AccountSid", SID), ("MessageStatus", "sent")]]
    {
        let refusal = refused(&signed_form(TOKEN, WEBHOOK, params));
        assert!(matches!(refusal, Refusal::Malformed(_)), "{params:?}: {refusal:?}");
    }
    // Bytes that are no text, signed as bytes.
    let mut message = WEBHOOK.as_bytes().to_vec();
    message.extend_from_slice(b"Body\xff");
    use base64::Engine;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, &message));
    let request = request(WEBHOOK, &[("x-twilio-signature", &signature)], b"Body=%ff");
    assert_eq!(refused(&request), Refusal::Malformed("a parameter is not UTF-8".to_owned()));
}

#[test]
fn huge_bodies_are_refused_unless_signed() {
    assert_eq!(refused(&request(WEBHOOK, &[("x-twilio-signature", "AAAA")], &vec![b'&'; 1 << 20])), BAD);
    let many = "a=1&".repeat(100_000);
    assert_eq!(refused(&request(WEBHOOK, &[("x-twilio-signature", "AAAA")], many.as_bytes())), BAD);
    let long = "x".repeat(1 << 20);
    let mut params = PARAMS;
    params[4].1 = &long;
    assert!(receive(&offline(), &signed_form(TOKEN, WEBHOOK, &params)).is_ok());
}

#[test]
fn get_carries_everything_in_its_signed_url() {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(PARAMS).finish();
    let url = format!("{WEBHOOK}?{query}");
    let signature = trunkline_twilio::sign(TOKEN, &url, &[]);
    let mut request = request(&url, &[("x-twilio-signature", &signature)], b"");
    request.method = Method::GET;
    let received = receive(&offline(), &request).unwrap();
    assert!(
        matches!(&received.inbound[..], [Inbound::Message(message)] if message.to == address("+15550001111"))
    );
    request.method = Method::PUT;
    assert_eq!(refused(&request), Refusal::Method);
}

#[test]
fn a_json_body_needs_its_hash_in_the_signed_url() {
    let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
    let url = format!("{WEBHOOK}?bodySHA256={hash}");
    let signature = trunkline_twilio::sign(TOKEN, &url, &[]);
    let headers = [("content-type", "application/json"), ("x-twilio-signature", &*signature)];
    let received = receive(&offline(), &request(&url, &headers, br#"{"a":1}"#)).unwrap();
    assert!(matches!(&received.inbound[..], [Inbound::Notice { kind, .. }] if kind == "json"));
    assert_eq!(refused(&request(&url, &headers, br#"{"a":2}"#)), BAD);
    let bare = trunkline_twilio::sign(TOKEN, WEBHOOK, &[]);
    let headers = [headers[0], ("x-twilio-signature", &*bare)];
    assert_eq!(refused(&request(WEBHOOK, &headers, br#"{"a":1}"#)), BAD);
}
