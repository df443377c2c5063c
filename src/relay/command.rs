//! What callers ask of the relay. Values are already checked for shape; the relay checks them against the world.

use trunkline_adapter::{Address, Part, Timestamp};

use crate::model::{DeliverySummary, MessageRecord, State};

/// A value that a request may leave alone, clear or set.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Change<T> {
    /// The value after the change.
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Change::Keep => before,
            Change::Clear => None,
            Change::Set(value) => Some(value),
        }
    }

    pub fn is_keep(&self) -> bool {
        matches!(self, Change::Keep)
    }
}

/// A conversation to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewConversation {
    pub friendly_name: Option<String>,
    pub unique_name: Option<String>,
    pub messaging_service_sid: Option<String>,
    /// JSON text.
    pub attributes: Option<String>,
    /// Created idle instead of active.
    pub inactive: bool,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Changes to a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationChange {
    pub friendly_name: Change<String>,
    pub unique_name: Change<String>,
    pub messaging_service_sid: Change<String>,
    pub attributes: Option<String>,
    pub state: Option<State>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Somebody to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct NewParticipant {
    pub who: Who,
    pub role_sid: Option<String>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// How a participant is named.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// A chat user.
    Identity(String),
    /// An outside person on one of our proxy addresses.
    Bound { address: Address, proxy: Address },
}

/// Changes to a participant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParticipantChange {
    pub role_sid: Change<String>,
    pub attributes: Option<String>,
    pub last_read_message_index: Change<u64>,
    pub last_read_timestamp: Change<Timestamp>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// A message to be posted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    pub author: String,
    pub body: Option<String>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Changes to the stored copy of a message; nothing is sent again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageChange {
    pub author: Option<String>,
    pub body: Change<String>,
    /// What it holds beside its text, where its writer changed that at the provider.
    pub parts: Option<Vec<Part>>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Which conversations a list shows, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationFilter {
    pub state: Option<State>,
    /// Created at or after.
    pub start: Option<Timestamp>,
    /// Created at or before.
    pub end: Option<Timestamp>,
}

/// A message as callers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    pub index: u64,
    pub record: MessageRecord,
    /// `None` where nobody outside was to get it.
    pub delivery: Option<DeliverySummary>,
}
