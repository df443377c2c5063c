//! Participants: chat users by identity, outside people by messaging binding.

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
    #[serde(flatten)]
    pub rest: Map<String, Value>,
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
