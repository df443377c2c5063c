//! What a provider's id stands for here. Keyed by (kind, proxy address, id), never by an adapter's name.

use serde::{Deserialize, Serialize};
use trunkline_adapter::StatusReport;

use super::{Compact, ConversationSid, Json, ParticipantSid, ReceiptSid};

/// What a provider's id stands for. For inbound it is written with the message, so it is also what drops repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderIdRow {
    /// A message, and the send if it was ours.
    Message { conversation: ConversationSid, index: u64, subject: Subject },
    /// An event that was dealt with and left no message of its own.
    Event,
}

/// Which side a message with a provider id came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// It came in.
    Inbound,
    /// It was one part of a send.
    Outbound { participant: ParticipantSid, receipt: ReceiptSid, part: u32 },
}

impl Compact for ProviderIdRow {
    const NAME: &'static str = "provider id";
}

/// A status that came before the send's own answer. Kept a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParkedStatus {
    pub reports: Vec<StatusReport>,
    /// When it was first parked.
    pub since: trunkline_adapter::Timestamp,
}

impl Json for ParkedStatus {
    const NAME: &'static str = "parked status";
}
