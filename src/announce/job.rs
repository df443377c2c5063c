//! The work that telling one event to one webhook is.

use serde::{Deserialize, Serialize};

use super::params::{self, Pairs};
use crate::model::{Compact, ConversationSid, HookMethod, MessageRecord, ServiceSid, WebhookSid};

/// Whose webhook it is. Asked again when a try has failed: it may point elsewhere by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    Account,
    Service(ServiceSid),
    Conversation(ConversationSid, WebhookSid),
}

impl To {
    /// Behind what the event is about, this makes the subject of the work: one order per conversation and webhook.
    pub fn subject(&self, about: &str) -> String {
        match self {
            To::Account => format!("{about}/A"),
            To::Service(_) => format!("{about}/S"),
            To::Conversation(_, sid) => format!("{about}/{sid}"),
        }
    }
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventJob {
    /// As it is called in `EventType`.
    pub event: String,
    pub to: To,
    pub url: String,
    pub method: HookMethod,
    /// The same at every try.
    pub token: String,
    /// Everything that is told but `RetryCount`.
    pub params: Vec<(String, String)>,
    /// Messages that were there before the webhook was, told one after another; then `params` is what all of them say.
    pub replay: Option<Replay>,
}

/// How far a webhook has heard of what was said before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The next index that it has not.
    pub next: u64,
    /// The first index that it hears of anyway.
    pub until: u64,
}

impl EventJob {
    /// The event that tells one message of a replay. Its token is the same whenever it is made again.
    pub fn of_message(&self, index: u64, record: &MessageRecord) -> EventJob {
        let mut pairs = Pairs(self.params.clone());
        params::message(&mut pairs, index, record);
        let token = format!("{}{index:016x}", &self.token[..self.token.len().min(16)]);
        EventJob { token, params: pairs.0, replay: None, ..self.clone() }
    }
}

impl Compact for EventJob {
    const NAME: &'static str = "event";
}
