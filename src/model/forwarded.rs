//! A message on its way to the classic messaging webhook.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Address, Part};

use super::Json;

/// A message that belongs to no conversation, as its messaging service forwards it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The adapter's kind.
    pub kind: String,
    /// The provider's id.
    pub id: String,
    pub from: Address,
    /// The name the person shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Ours.
    pub to: Address,
    pub parts: Vec<Part>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for Forwarded {
    const NAME: &'static str = "forwarded message";
}
