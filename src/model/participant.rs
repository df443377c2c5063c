//! Participants: chat users by identity, outside people by messaging binding.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Address, Timestamp};

use super::{ConversationSid, Json, ParticipantSid, ServiceSid};

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParticipantRecord {
    pub sid: ParticipantSid,
    pub identity: Option<String>,
    pub binding: Option<PersonBinding>,
    /// Their place in a group text; nobody has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<Seat>,
    pub role_sid: Option<String>,
    /// JSON text.
    pub attributes: String,
    /// The order of joining.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub last_read_message_index: Option<u64>,
    pub last_read_timestamp: Option<Timestamp>,
    /// Gets no pushes from this conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// Until when free text may be sent to them, on channels with a window. Written when it moves by an hour or more, so
    /// it may be up to that much early, and never late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_closes: Option<Timestamp>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How much later a window must close to be worth a write, and how much longer than known one may be open.
pub const WINDOW_STEP: Duration = Duration::from_secs(3600);

impl ParticipantRecord {
    /// The address of somebody outside.
    pub fn outside(&self) -> Option<&Address> {
        match (&self.binding, &self.seat) {
            (Some(binding), _) => Some(&binding.address),
            (None, Some(Seat::Address(address))) => Some(address),
            (None, Some(Seat::Projected(_)) | None) => None,
        }
    }

    /// The new end of the window, if a message of theirs that came at this moment moves it enough to be written down.
    pub fn heard(&self, at: Timestamp) -> Option<Timestamp> {
        let window = self.binding.as_ref()?.address.channel().window()?;
        let closes = at.plus(window);
        self.window_closes.is_none_or(|known| closes.since(known) >= WINDOW_STEP).then_some(closes)
    }

    /// Whether the window is shut beyond doubt. Of somebody who never wrote here nothing is known: they may have written
    /// elsewhere.
    pub fn shut(&self, now: Timestamp) -> bool {
        self.window_closes.is_some_and(|closes| now > closes.plus(WINDOW_STEP))
    }
}

impl Json for ParticipantRecord {
    const NAME: &'static str = "participant";
}

/// How an outside person is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonBinding {
    /// The address the participant was added with.
    pub address: Address,
    /// Our side.
    pub proxy: Address,
    /// Other addresses learnt since.
    #[serde(default)]
    pub aliases: Vec<Address>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A place in a group text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seat {
    /// Of somebody outside, by their own address.
    Address(Address),
    /// Of our side: the address of ours that the others see.
    Projected(Address),
}

impl Seat {
    /// The address that those outside see.
    pub fn seen(&self) -> &Address {
        match self {
            Seat::Address(address) | Seat::Projected(address) => address,
        }
    }
}

/// The row of a set of addresses that text each other as a group: the conversation that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    pub conversation: ConversationSid,
}

impl Json for GroupRow {
    const NAME: &'static str = "group text";
}

/// A row of the person index: which participants an address or an identity has ever been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    pub service: ServiceSid,
    pub conversation: ConversationSid,
    pub participant: ParticipantSid,
}

impl Json for PersonRow {
    const NAME: &'static str = "person index entry";
}
