//! What a request under a caller's idempotency key came to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::Json;

/// Written with the first thing the request commits, and again with its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// A digest of the request.
    pub fingerprint: String,
    pub since: Timestamp,
    /// The SID of what it made, for an answer that was never written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<KeptAnswer>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    pub status: u16,
    pub body: String,
}

impl Json for IdempotencyRecord {
    const NAME: &'static str = "idempotency key";
}
