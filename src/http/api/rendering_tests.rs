//! What we show has exactly the keys that the official description of each resource has, in both shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use trunkline_adapter::{Address, DeliveryStatus, Timestamp};

use super::scope::Scope;
use super::*;
use crate::model::conversation::{ConversationRecord, Head, Mark};
use crate::model::participant::PersonBinding;
use crate::model::{
    Conversation, ConversationSid, DeliverySummary, MessageRecord, MessageSid, Mint, ParticipantRecord,
    ParticipantSid, ReceiptRecord, ReceiptSid, ServiceRecord, ServiceSid, State,
};
use crate::relay::command::MessageView;

static OFFICIAL: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../tests/fixtures/openapi/twilio_conversations_v1.json");
    serde_json::from_str(text).unwrap()
});

const BASE: &str = "https://conversations.twilio.com";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The record's keys are those of the named schema, and links and nested objects those of the example at this path.
fn same_shape(shown: &Value, schema: &str, path: &str) {
    let properties = &OFFICIAL["components"]["schemas"][schema]["properties"];
    assert_eq!(keys(shown), keys(properties), "{schema}");
    let examples =
        &OFFICIAL["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["examples"];
    let example = examples.as_object().unwrap().values().next().unwrap();
    for nested in ["links", "delivery"] {
        if let Some(expected) = example["value"].get(nested).filter(|nested| !nested.is_null()) {
            assert_eq!(keys(&shown[nested]), keys(expected), "{nested} of {schema}");
        }
    }
    // Every URL leads to where the official one would.
    for (name, url) in
        shown["links"].as_object().into_iter().flatten().chain([(&"url".to_owned(), &shown["url"])])
    {
        let official = example["value"]["links"].get(name).unwrap_or(&example["value"]["url"]);
        assert_eq!(outline(url.as_str().unwrap()), outline(official.as_str().unwrap()), "{name} of {schema}");
    }
}

/// A URL with its SIDs replaced by their prefixes.
fn outline(url: &str) -> String {
    let sid = |part: &&str| part.len() == 34 && part.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
    url.split('/').map(|part| if sid(&part) { &part[..2] } else { part }).collect::<Vec<_>>().join("/")
}

struct World {
    plain: Scope,
    explicit: Scope,
    conversation: Conversation,
    chat: ParticipantRecord,
    phone: ParticipantRecord,
    message: MessageView,
    receipt: ReceiptRecord,
}

fn world() -> World {
    let mint = Mint::seeded(11);
    let (account, service) = (AccountSid::new(&mint), ServiceSid::new(&mint));
    let at = Timestamp(1_700_000_000_123_456);
    let head = Head {
        state: State::Active,
        service: service.clone(),
        next_index: 1,
        document: Mark::ThisWrite,
        roster: Mark::ThisWrite,
        messages: Mark::ThisWrite,
        timers: None,
    };
    let record = ConversationRecord {
        sid: ConversationSid::new(&mint),
        friendly_name: None,
        unique_name: Some("order 1".into()),
        messaging_service_sid: None,
        inactive_after: None,
        closed_after: None,
        attributes: "{ \"a\": 1 }".into(),
        birth: 1,
        created: at,
        updated: at,
        webhooks: Vec::new(),
        created_by: None,
        rest: Map::new(),
    };
    let chat = ParticipantRecord {
        sid: ParticipantSid::new(&mint),
        identity: Some("alice".into()),
        binding: None,
        role_sid: None,
        attributes: "{}".into(),
        birth: 2,
        seat: None,
        created: at,
        updated: at,
        last_read_message_index: Some(0),
        last_read_timestamp: Some(at),
        muted: false,
        window_closes: None,
        rest: Map::new(),
    };
    let binding = PersonBinding {
        address: Address::parse("whatsapp:+15550001111").unwrap(),
        proxy: Address::parse("whatsapp:+15550002222").unwrap(),
        aliases: vec![Address::parse("whatsapp:US.1").unwrap()],
        rest: Map::new(),
    };
    let phone = ParticipantRecord {
        sid: ParticipantSid::new(&mint),
        identity: None,
        binding: Some(binding),
        last_read_message_index: None,
        last_read_timestamp: None,
        ..chat.clone()
    };
    let message = MessageRecord {
        sid: MessageSid::new(&mint),
        author: "alice".into(),
        participant: Some(chat.sid.clone()),
        body: Some("hi".into()),
        attributes: "{}".into(),
        created: at,
        updated: at,
        deliveries: Vec::new(),
        parts: Vec::new(),
        further: None,
        reply_to: None,
        source: None,
        template: None,
        media: Vec::new(),
    };
    let delivery = DeliverySummary::of(&[Some(DeliveryStatus::Sent)]);
    let root: Arc<str> = BASE.into();
    World {
        plain: Scope::new(account.clone(), service.clone(), false, Arc::clone(&root)),
        explicit: Scope::new(account, service, true, root),
        conversation: Conversation {
            head,
            head_revision: 1,
            record: Arc::new(record),
            record_revision: 1,
            members: Arc::default(),
        },
        receipt: ReceiptRecord::new(ReceiptSid::new(&mint), phone.sid.clone(), at),
        chat,
        phone,
        message: MessageView { index: 0, record: message, delivery },
    }
}

#[test]
fn every_resource_has_exactly_the_documented_keys_in_both_shapes() {
    let w = world();
    let nested = "conversations.v1.conversation.conversation";
    let long = "conversations.v1.service.service_conversation.service_conversation";
    let here = "/v1/Conversations/{ConversationSid}";
    let there = "/v1/Services/{ChatServiceSid}/Conversations/{ConversationSid}";
    for (scope, schema, path) in [
        (&w.plain, "conversations.v1.conversation", "/v1/Conversations/{Sid}"),
        (
            &w.explicit,
            "conversations.v1.service.service_conversation",
            "/v1/Services/{ChatServiceSid}/Conversations/{Sid}",
        ),
    ] {
        same_shape(&conversations::render(scope, &w.conversation), schema, path);
    }
    for (scope, prefix, path) in [(&w.plain, nested, here), (&w.explicit, long, there)] {
        for person in [&w.chat, &w.phone] {
            let shown = participants::render(scope, &w.conversation, person);
            same_shape(&shown, &format!("{prefix}_participant"), &format!("{path}/Participants/{{Sid}}"));
        }
        let shown = messages::render(scope, &w.conversation, &w.message);
        same_shape(&shown, &format!("{prefix}_message"), &format!("{path}/Messages/{{Sid}}"));
        let shown = receipts::render(scope, &w.conversation, &w.message.record.sid, &w.receipt);
        let inner = prefix.rsplit('.').next().unwrap();
        let schema = format!("{prefix}_message.{inner}_message_receipt");
        same_shape(&shown, &schema, &format!("{path}/Messages/{{MessageSid}}/Receipts/{{Sid}}"));
    }
    let settings = crate::model::AccountSettings {
        default_service: w.plain.service.clone(),
        default_messaging_service: None,
        default_inactive_timer: None,
        default_closed_timer: None,
        rest: Map::new(),
    };
    same_shape(
        &configuration::render(&w.plain, &settings),
        "conversations.v1.configuration",
        "/v1/Configuration",
    );
    let service = ServiceRecord {
        sid: w.plain.service.clone(),
        friendly_name: "Shop".into(),
        birth: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
        rest: Map::new(),
    };
    same_shape(&services::render(&w.explicit, &service), "conversations.v1.service", "/v1/Services/{Sid}");
}

#[test]
fn values_are_as_libraries_read_them() {
    let w = world();
    let shown = conversations::render(&w.plain, &w.conversation);
    assert_eq!(shown["date_created"], "2023-11-14T22:13:20Z", "whole seconds and a Z");
    assert_eq!(shown["attributes"], "{ \"a\": 1 }", "byte for byte");
    assert_eq!((&shown["friendly_name"], &shown["timers"]), (&Value::Null, &json!({})));
    let shown = participants::render(&w.plain, &w.conversation, &w.phone);
    let binding = &shown["messaging_binding"];
    assert_eq!(
        keys(binding),
        BTreeSet::from(["type", "address", "proxy_address", "window_closes"]),
        "learnt addresses stay ours"
    );
    assert_eq!(
        (&binding["type"], &binding["proxy_address"]),
        (&json!("whatsapp"), &json!("whatsapp:+15550002222"))
    );
    let shown = participants::render(&w.plain, &w.conversation, &w.chat);
    assert_eq!((&shown["messaging_binding"], &shown["last_read_message_index"]), (&Value::Null, &json!(0)));
    let shown = messages::render(&w.explicit, &w.conversation, &w.message);
    let expected = json!({
        "total": 1, "sent": "all", "delivered": "none", "read": "none", "failed": "none", "undelivered": "none",
    });
    assert_eq!((&shown["delivery"], &shown["index"]), (&expected, &json!(0)));
    let chat_only = MessageView { delivery: None, ..w.message.clone() };
    assert_eq!(messages::render(&w.plain, &w.conversation, &chat_only)["delivery"], Value::Null);
    let shown = receipts::render(&w.plain, &w.conversation, &w.message.record.sid, &w.receipt);
    assert_eq!(
        (&shown["status"], &shown["error_code"], &shown["channel_message_sid"]),
        (&Value::Null, &json!(0), &Value::Null)
    );
}
