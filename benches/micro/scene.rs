//! What the benches work on: live adapters, signed requests, conversations.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use trunkline::model::conversation::Mark;
use trunkline::model::{
    AccountSid, Conversation, ConversationRecord, ConversationSid, Head, Member, Mint, ParticipantRecord,
    ParticipantSid, PersonBinding, ServiceSid, State,
};
use trunkline::relay::decide::Births;
use trunkline::relay::decide::messages::Draft;
use trunkline_adapter::simulator::{PhoneMessage, SignedRequest};
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Clock, Kit, Section, Simulator, Timestamp, WebhookRequest,
};

pub const URL: &str = "https://bridge.example.com/webhooks/a";
pub const TEXT: &str = "Are we still on for three?";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

pub fn account() -> AccountSid {
    AccountSid::parse("AC00000000000000000000000000000001").expect("a SID")
}

/// A kind of adapter, live, with its provider's side and one person who writes.
pub struct Channel {
    pub kind: &'static str,
    pub adapter: Arc<dyn Adapter>,
    pub request: WebhookRequest,
}

pub fn channels() -> [Channel; 3] {
    let graph = [("app_secret", SECRET), ("verify_token", "v"), ("access_token", "a")];
    let twilio = [("account_sid", "AC00000000000000000000000000000001"), ("auth_token", SECRET)];
    [
        channel(&trunkline_twilio::Twilio, "+15550001111", "+15550100001", &twilio, &[]),
        channel(
            &trunkline_whatsapp::Whatsapp,
            "whatsapp:+15550002222",
            "whatsapp:+15550100002",
            &graph,
            &[("phone_number_id", "106540352242922")],
        ),
        channel(
            &trunkline_messenger::Messenger,
            "messenger:1029384756",
            "messenger:24000100003",
            &graph[..2],
            &[("access_token", "p")],
        ),
    ]
}

fn channel(
    kind: &dyn AdapterKind,
    proxy: &str,
    person: &str,
    settings: &[(&str, &str)],
    own: &[(&str, &str)],
) -> Channel {
    let mut settings = Section::of(settings);
    let mut proxies = vec![(address(proxy), Section::of(own))];
    let blueprint = kind.blueprint(&mut settings, &mut proxies).expect("settings without problems");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kit = Kit { http: reqwest::Client::new(), clock: Clock::system(), webhook_url: URL.to_owned() };
    let simulator: Arc<dyn Simulator> = blueprint.simulator().expect("every provider can be played");
    let message = PhoneMessage {
        id: simulator.message_id(1),
        from: address(person),
        to: address(proxy),
        text: TEXT.to_owned(),
        media: Vec::new(),
        at: Timestamp::from_seconds(1_760_000_000),
        name: Some("Ada".to_owned()),
    };
    let request = request(simulator.message(&message, URL));
    Channel { kind: kind.name(), adapter: blueprint.build(kit), request }
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

/// A conversation of so many people on one of our numbers.
pub fn conversation(mint: &Mint, people: u64) -> Conversation {
    let member = |index: u64| {
        let binding = PersonBinding {
            address: address(&format!("+1555010{index:04}")),
            proxy: address("+15550001111"),
            aliases: Vec::new(),
            rest: serde_json::Map::new(),
        };
        let record = ParticipantRecord {
            sid: ParticipantSid::new(mint),
            identity: None,
            binding: Some(binding),
            role_sid: None,
            attributes: "{}".to_owned(),
            seat: None,
            birth: index,
            created: Timestamp(0),
            updated: Timestamp(0),
            last_read_message_index: None,
            last_read_timestamp: None,
            muted: false,
            window_closes: None,
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
        timers: None,
    };
    let record = ConversationRecord {
        sid: ConversationSid::new(mint),
        friendly_name: None,
        unique_name: None,
        messaging_service_sid: None,
        inactive_after: None,
        closed_after: None,
        attributes: "{}".to_owned(),
        birth: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
        webhooks: Vec::new(),
        created_by: None,
        rest: serde_json::Map::new(),
    };
    Conversation {
        head,
        head_revision: 3,
        record: Arc::new(record),
        record_revision: 1,
        members: Arc::new((1..=people).map(member).collect()),
    }
}

/// A message of the conversation's first member.
pub fn draft(conversation: &Conversation) -> Draft {
    let author = &conversation.members[0].record;
    Draft {
        author: author.binding.as_ref().map(|binding| binding.address.to_string()).unwrap_or_default(),
        participant: Some(author.sid.clone()),
        has_it: Some(author.sid.clone()),
        body: Some(TEXT.to_owned()),
        parts: Vec::new(),
        attributes: None,
        created: None,
        updated: None,
        source: None,
        subject: None,
        reply_to: None,
        template: None,
        media: Vec::new(),
    }
}

pub struct Always;

impl Births for Always {
    fn birth(&self) -> u64 {
        42
    }
}
