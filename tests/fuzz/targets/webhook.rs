//! What every adapter promises of a request that it was given, and what the relay makes of the events.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use trunkline::ledger::key::Space;
use trunkline::model::message;
use trunkline::relay::Origin;
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Clock, Inbound, Kit, Part, Person, Received, Refusal, Section, Timestamp,
    WebhookRequest,
};

use super::house::{House, wait};

/// Where providers reach us.
pub const URL: &str = "https://bridge.example/webhooks/x";
/// Secrets long enough that no input holds one by chance.
pub const SECRET: &str = "6f1c9b7e5a3d48f2-app-secret";
pub const TOKEN: &str = "c0ffee5a3d48f26f-verify-token";

/// A live adapter of a kind, with one proxy address.
pub fn adapter(
    kind: &dyn AdapterKind,
    proxy: &str,
    settings: &[(&str, &str)],
    own: &[(&str, &str)],
    http: reqwest::Client,
) -> std::sync::Arc<dyn Adapter> {
    let mut settings = Section::of(settings);
    let mut proxies = vec![(Address::parse(proxy).expect("an address"), Section::of(own))];
    let blueprint = kind.blueprint(&mut settings, &mut proxies).expect("settings without problems");
    let clock = Clock::at(Timestamp::from_seconds(1_760_000_000));
    blueprint.build(Kit { http, clock, webhook_url: URL.to_owned() })
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub fn request(
    method: Method,
    query: &str,
    headers: &[(&'static str, &[u8])],
    body: &[u8],
) -> WebhookRequest {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            map.append(HeaderName::from_static(name), value);
        }
    }
    let url = if query.is_empty() { URL.to_owned() } else { format!("{URL}?{query}") };
    let query = query.to_owned();
    WebhookRequest { method, url, alternatives: Vec::new(), query, headers: map, body: body.to_vec().into() }
}

/// Receives, and holds what comes back to what every adapter promises.
pub fn receive(adapter: &dyn Adapter, request: &WebhookRequest) -> Result<Received, Refusal> {
    let webhook = adapter.webhook().expect("every adapter of today is called by its provider");
    let heard = webhook.receive(request);
    let given = request.body.len() + request.query.len();
    let shown = format!("{heard:?}");
    let inside = |secret: &str| {
        request.query.contains(secret)
            || request.body.windows(secret.len()).any(|part| part == secret.as_bytes())
    };
    for secret in [SECRET, TOKEN] {
        assert!(!shown.contains(secret) || inside(secret), "a secret is shown");
    }
    if let Ok(received) = &heard {
        let size = serde_json::to_vec(&received.inbound).expect("events are plain data").len();
        assert!(size <= 100 * given + 20_000, "{given} bytes became {size}");
        assert!(received.reply.body.len() <= 256);
        received.inbound.iter().for_each(event);
    }
    heard
}

fn event(event: &Inbound) {
    match event {
        Inbound::Message(message) => {
            person(&message.from);
            assert!(!message.parts.is_empty(), "a message without parts");
            parts(&message.parts);
        }
        Inbound::Edit { from, parts: all, .. } => {
            person(from);
            parts(all);
        }
        Inbound::Echo(echo) => {
            person(&echo.to);
            parts(&echo.parts);
        }
        Inbound::Deletion { from, .. }
        | Inbound::Reaction { from, .. }
        | Inbound::Watermark { from, .. }
        | Inbound::Signal { from, .. }
        | Inbound::Identity { from, .. } => person(from),
        Inbound::Status(report) => {
            if let Some(error) = &report.error {
                words(&error.text);
            }
        }
        Inbound::Notice { kind, .. } => assert!(kind.len() <= 200, "{kind}"),
    }
}

/// A provider's words that we keep: short, on one line, and without anybody's number.
pub fn words(text: &str) {
    assert!(text.chars().count() <= 200, "too long: {text}");
    assert!(!text.contains(char::is_control), "controls: {text:?}");
    let mut run = 0;
    for character in text.chars() {
        run = if character.is_ascii_digit() { run + 1 } else { 0 };
        assert!(run < 7, "a number is shown: {text}");
    }
}

fn person(person: &Person) {
    assert!(!person.aliases.contains(&person.address), "an alias that is the address itself");
    for (place, alias) in person.aliases.iter().enumerate() {
        assert!(!person.aliases[..place].contains(alias), "an alias twice");
    }
    assert!(person.candidates().count() <= 16, "more names than anybody has");
    assert!(person.name.as_ref().is_none_or(|name| name.chars().count() <= 200), "a long name");
}

fn parts(parts: &[Part]) {
    let body = message::body(parts);
    assert!(body.is_none_or(|body| !body.is_empty() && body.len() <= message::MOST_BODY));
    assert!(message::describe(parts).is_none_or(|line| !line.is_empty()));
    let kept = message::kept_parts(parts);
    assert!(kept.len() <= message::MOST_KEPT);
    if !kept.is_empty() {
        let again: Vec<Part> = serde_json::from_slice(&kept).expect("what is kept can be read");
        let beyond: Vec<&Part> = parts.iter().filter(|part| !matches!(part, Part::Text { .. })).collect();
        assert_eq!(beyond, again.iter().collect::<Vec<_>>(), "what is kept comes back");
    }
}

/// Gives the events to a relay, twice: both times it takes them, and the second time no message is added, but for
/// reactions: one that stands before the message it is about changes nothing, until it comes again.
pub fn relay(kind: &'static str, events: &[Inbound]) {
    if events.is_empty() {
        return;
    }
    wait(async {
        let house = House::new().await;
        let origin = Origin { adapter: "x", kind, account: &house.account };
        let messages = async || {
            let rows = house.rows().await;
            rows.iter().filter(|(key, _)| key.space() == Some(Space::Message)).count()
        };
        house.relay.take(origin, events.to_vec()).await.expect("events are taken");
        let before = messages().await;
        house.relay.take(origin, events.to_vec()).await.expect("repeats are taken");
        let early = events.iter().filter(|event| matches!(event, Inbound::Reaction { .. })).count();
        // Fewer is right: what was taken back before it was written is found the second time.
        assert!(messages().await <= before + early, "a repeat added a message");
    });
}
