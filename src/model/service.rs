//! Services, account-wide settings, opt-outs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{Json, ServiceSid};

/// A conversation service: a partition of conversations, users and roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRecord {
    pub sid: ServiceSid,
    pub friendly_name: String,
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for ServiceRecord {
    const NAME: &'static str = "service";
}

/// What an account has set for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountSettings {
    pub default_service: ServiceSid,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for AccountSettings {
    const NAME: &'static str = "account configuration";
}

/// Somebody asked not to be written to from one proxy address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptOutRow {
    /// The word that did it; the provider's own handling has none.
    pub keyword: Option<String>,
    /// The provider's id of the message or event.
    pub provider_id: String,
    pub at: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for OptOutRow {
    const NAME: &'static str = "opt-out";
}
