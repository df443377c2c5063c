//! What one message costs on our own side, piece by piece: verify and parse a webhook, decide, encode.
//!
//!     cargo bench --bench micro
#![allow(clippy::expect_used, reason = "a bench whose own data is wrong should stop")]

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use trunkline::model::conversation::Mark;
use trunkline::model::{
    AccountSid, Compact, Conversation, ConversationRecord, ConversationSid, Head, Member, MessageRecord,
    Mint, ParticipantRecord, ParticipantSid, PersonBinding, ServiceSid, State,
};
use trunkline::relay::decide::{Births, Context};
use trunkline::relay::decide_messages::{self, Draft};
use trunkline_adapter::simulator::{PhoneMessage, SignedRequest};
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Clock, Kit, Section, Simulator, Timestamp, WebhookRequest,
};

const URL: &str = "https://bridge.example.com/webhooks/a";

/// A live adapter and its provider's side.
fn adapter(
    kind: &dyn AdapterKind,
    proxy: &str,
    settings: &[(&str, &str)],
    own: &[(&str, &str)],
) -> (Arc<dyn Adapter>, Arc<dyn Simulator>) {
    let mut settings = Section::of(settings);
    let mut proxies = vec![(Address::parse(proxy).expect("an address"), Section::of(own))];
    let blueprint = kind.blueprint(&mut settings, &mut proxies).expect("settings without problems");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kit = Kit { http: reqwest::Client::new(), clock: Clock::system(), webhook_url: URL.to_owned() };
    (blueprint.build(kit), blueprint.simulator())
}

fn request(signed: SignedRequest) -> WebhookRequest {
    let mut headers = HeaderMap::new();
    for (name, value) in signed.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).expect("a header"));
    }
    WebhookRequest {
        method: signed.method,
        url: signed.url,
        alternatives: Vec::new(),
        query: String::new(),
        headers,
        body: signed.body,
    }
}

/// Kind, proxy address, a person, settings, the proxy's own keys.
type Case<'a> = (&'a dyn AdapterKind, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

fn receive(c: &mut Criterion) {
    let graph = [("app_secret", "s"), ("verify_token", "v"), ("access_token", "a")];
    let twilio = [("account_sid", "AC00000000000000000000000000000001"), ("auth_token", "t")];
    let kinds: [Case<'_>; 3] = [
        (&trunkline_twilio::Twilio, "+15550001111", "+15550100001", &twilio, &[]),
        (
            &trunkline_whatsapp::Whatsapp,
            "whatsapp:+15550002222",
            "whatsapp:+15550100002",
            &graph,
            &[("phone_number_id", "106540352242922")],
        ),
        (
            &trunkline_messenger::Messenger,
            "messenger:1029384756",
            "messenger:24000100003",
            &graph[..2],
            &[("access_token", "p")],
        ),
    ];
    for (kind, proxy, person, settings, own) in kinds {
        let (adapter, simulator) = adapter(kind, proxy, settings, own);
        let message = PhoneMessage {
            id: simulator.message_id(1),
            from: Address::parse(person).expect("an address"),
            to: Address::parse(proxy).expect("an address"),
            text: "Are we still on for three?".to_owned(),
            at: Timestamp::from_seconds(1_760_000_000),
            name: Some("Ada".to_owned()),
        };
        let request = request(simulator.message(&message, URL));
        let webhook = adapter.webhook().expect("every adapter of today is called by its provider");
        assert_eq!(webhook.receive(&request).expect("our own signature").inbound.len(), 1);
        c.bench_function(&format!("receive/{}", kind.name()), |b| {
            b.iter(|| webhook.receive(black_box(&request)))
        });
    }
}

fn conversation(mint: &Mint) -> Conversation {
    let member = |index: u64| {
        let binding = PersonBinding {
            address: Address::parse(&format!("+1555010{index:04}")).expect("an address"),
            proxy: Address::parse("+15550001111").expect("an address"),
            aliases: Vec::new(),
            rest: serde_json::Map::new(),
        };
        let record = ParticipantRecord {
            sid: ParticipantSid::new(mint),
            identity: None,
            binding: Some(binding),
            role_sid: None,
            attributes: "{}".to_owned(),
            birth: index,
            created: Timestamp(0),
            updated: Timestamp(0),
            last_read_message_index: None,
            last_read_timestamp: None,
            rest: serde_json::Map::new(),
        };
        Member { record, revision: index }
    };
    let head = Head {
        state: State::Active,
        service: ServiceSid::new(mint),
        next_index: 7,
        document: Mark::At(1),
        roster: Mark::At(2),
        messages: Mark::At(3),
    };
    let record = ConversationRecord {
        sid: ConversationSid::new(mint),
        friendly_name: None,
        unique_name: None,
        messaging_service_sid: None,
        attributes: "{}".to_owned(),
        birth: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
        rest: serde_json::Map::new(),
    };
    Conversation {
        head,
        head_revision: 3,
        record: Arc::new(record),
        record_revision: 1,
        members: Arc::new((1..=3).map(member).collect()),
    }
}

struct Always;

impl Births for Always {
    fn birth(&self) -> u64 {
        42
    }
}

fn decide_and_encode(c: &mut Criterion) {
    let mint = Mint::seeded(1);
    let conversation = conversation(&mint);
    let account = AccountSid::parse("AC00000000000000000000000000000001").expect("a SID");
    let context =
        Context { account: &account, now: Timestamp(0), mint: &mint, births: &Always, again: false };
    let draft = Draft {
        author: "+15550100001".to_owned(),
        participant: Some(conversation.members[0].record.sid.clone()),
        has_it: None,
        body: Some("Are we still on for three?".to_owned()),
        parts: Vec::new(),
        attributes: None,
        created: None,
        updated: None,
        source: None,
        reply_to: None,
    };
    c.bench_function("decide/append to two others", |b| {
        b.iter_batched(
            || vec![draft.clone()],
            |drafts| {
                decide_messages::append(&context, &conversation, drafts).map(|(decision, _)| decision.batch)
            },
            BatchSize::SmallInput,
        );
    });
    let (_, appended) =
        decide_messages::append(&context, &conversation, vec![draft]).expect("an open conversation");
    let (_, message) = &appended[0];
    c.bench_function("encode/message", |b| b.iter(|| black_box(message).encode()));
    let encoded: Bytes = message.encode();
    c.bench_function("decode/message", |b| b.iter(|| MessageRecord::decode(black_box(&encoded))));
}

criterion_group!(benches, receive, decide_and_encode);
criterion_main!(benches);
