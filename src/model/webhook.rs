//! Event webhooks: what may be told, and to whom.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{Json, WebhookSid};

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// Something that is told, before it happens or after.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Event {
            $($name),*
        }

        impl Event {
            pub const ALL: &[Event] = &[$(Event::$name),*];

            /// As it is called in filters and in `EventType`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Event::$name => $text),*
                }
            }
        }
    };
}

events! {
    ConversationAdd = "onConversationAdd",
    ConversationUpdate = "onConversationUpdate",
    ConversationRemove = "onConversationRemove",
    ParticipantAdd = "onParticipantAdd",
    ParticipantUpdate = "onParticipantUpdate",
    ParticipantRemove = "onParticipantRemove",
    MessageAdd = "onMessageAdd",
    MessageUpdate = "onMessageUpdate",
    MessageRemove = "onMessageRemove",
    UserUpdate = "onUserUpdate",
    ConversationAdded = "onConversationAdded",
    ConversationUpdated = "onConversationUpdated",
    ConversationRemoved = "onConversationRemoved",
    ConversationStateUpdated = "onConversationStateUpdated",
    ParticipantAdded = "onParticipantAdded",
    ParticipantUpdated = "onParticipantUpdated",
    ParticipantRemoved = "onParticipantRemoved",
    MessageAdded = "onMessageAdded",
    MessageUpdated = "onMessageUpdated",
    MessageRemoved = "onMessageRemoved",
    DeliveryUpdated = "onDeliveryUpdated",
    UserAdded = "onUserAdded",
    UserUpdated = "onUserUpdated",
}

impl Event {
    /// The event of a name, in any case.
    pub fn parse(name: &str) -> Option<Event> {
        Event::ALL.iter().copied().find(|event| event.name().eq_ignore_ascii_case(name))
    }

    /// Told before it happens, to somebody who may change or refuse it.
    pub fn is_pre(self) -> bool {
        self <= Event::UserUpdate
    }

    /// May be told to a webhook of one conversation.
    pub fn is_scoped(self) -> bool {
        !self.is_pre() && !matches!(self, Event::ConversationAdded | Event::UserAdded | Event::UserUpdated)
    }
}

/// How a webhook is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMethod {
    Get,
    #[default]
    Post,
}

impl HookMethod {
    /// As webhooks of accounts and services show it; those of conversations show it in lower case.
    pub fn name(self) -> &'static str {
        match self {
            HookMethod::Get => "GET",
            HookMethod::Post => "POST",
        }
    }
}

/// The webhooks of an account or of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HookSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_url: Option<String>,
    #[serde(default)]
    pub method: HookMethod,
    /// Events that are told, as they were given: names of an older API are kept, and tell nothing.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Meant for Twilio's own contact centre; kept, and means nothing here.
    #[serde(default)]
    pub flex: bool,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for HookSettings {
    const NAME: &'static str = "webhook configuration";
}

impl HookSettings {
    /// Whether this event is to be told.
    pub fn wants(&self, event: Event) -> bool {
        self.filters.iter().any(|name| name.eq_ignore_ascii_case(event.name()))
    }
}

/// What a webhook of one conversation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookTarget {
    /// Events by name.
    Webhook,
    /// Added messages with one of some words in them.
    Trigger,
    /// A flow of Twilio's own; kept and shown, never run.
    Studio,
}

impl HookTarget {
    pub fn name(self) -> &'static str {
        match self {
            HookTarget::Webhook => "webhook",
            HookTarget::Trigger => "trigger",
            HookTarget::Studio => "studio",
        }
    }
}

/// Most webhooks of one conversation.
pub const MOST_SCOPED: usize = 5;

/// A webhook of one conversation. Stands in the conversation's document, so that a message reads nothing for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopedWebhook {
    pub sid: WebhookSid,
    pub target: HookTarget,
    /// Of a webhook or a trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default)]
    pub method: HookMethod,
    /// Names of events, as [`Event::name`] writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// Words of a trigger.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_sid: Option<String>,
    /// Where it began in the messages that were there before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_after: Option<u64>,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ScopedWebhook {
    /// Where an event is to be told, if it is: `body` is the text of an added message.
    pub fn hears(&self, event: Event, body: Option<&str>) -> Option<&str> {
        let url = self.url.as_deref()?;
        let listed = self.filters.iter().any(|name| name == event.name());
        let wanted = match self.target {
            HookTarget::Webhook => listed,
            HookTarget::Trigger if event == Event::MessageAdded && !self.triggers.is_empty() => {
                let body = body.unwrap_or_default().to_lowercase();
                self.triggers.iter().any(|word| body.contains(&word.to_lowercase()))
            }
            HookTarget::Trigger => listed,
            HookTarget::Studio => false,
        };
        wanted.then_some(url)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Mint;

    #[test]
    fn names_are_found_in_any_case_and_kinds_told_apart() {
        assert!(Event::ALL.iter().all(|event| Event::parse(event.name()) == Some(*event)));
        assert_eq!(Event::parse("ONMESSAGEADDED"), Some(Event::MessageAdded));
        assert_eq!(Event::parse("onMessageSent"), None);
        let pre: Vec<_> = Event::ALL.iter().filter(|event| event.is_pre()).collect();
        assert_eq!(pre.len(), 10);
        assert!(pre.iter().all(|event| !event.name().ends_with('d') || event.name().ends_with("Add")));
        assert_eq!(Event::ALL.iter().filter(|event| event.is_scoped()).count(), 10);
    }

    #[test]
    fn who_hears_what() {
        let hook = |target, filters: &[&str], triggers: &[&str]| ScopedWebhook {
            sid: WebhookSid::new(&Mint::seeded(1)),
            target,
            url: Some("https://a.example".into()),
            method: HookMethod::Post,
            filters: filters.iter().map(|name| (*name).to_owned()).collect(),
            triggers: triggers.iter().map(|word| (*word).to_owned()).collect(),
            flow_sid: None,
            replay_after: None,
            created: Timestamp(0),
            updated: Timestamp(0),
            rest: Map::new(),
        };
        let heard = |hook: &ScopedWebhook, event, body| hook.hears(event, Some(body)).is_some();
        let plain = hook(HookTarget::Webhook, &["onMessageAdded"], &[]);
        assert!(heard(&plain, Event::MessageAdded, "x") && !heard(&plain, Event::MessageRemoved, "x"));
        let words = hook(HookTarget::Trigger, &["onMessageUpdated"], &["Größe", "stop"]);
        assert!(heard(&words, Event::MessageAdded, "welche GRÖSSE, welche größe?"));
        assert!(heard(&words, Event::MessageAdded, "nonSTOP") && !heard(&words, Event::MessageAdded, "go"));
        assert!(heard(&words, Event::MessageUpdated, "go"));
        let listed = hook(HookTarget::Trigger, &["onMessageAdded"], &[]);
        assert!(heard(&listed, Event::MessageAdded, "anything"));
        assert!(!heard(&hook(HookTarget::Studio, &["onMessageAdded"], &[]), Event::MessageAdded, "x"));
    }
}
