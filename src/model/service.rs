//! Services, account-wide settings, opt-outs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{Json, RoleSid, ServiceSid};

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
    /// For conversations that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_messaging_service: Option<String>,
    /// ISO 8601 durations, as they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_inactive_timer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_closed_timer: Option<String>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for AccountSettings {
    const NAME: &'static str = "account configuration";
}

/// What a service has set for itself. Written with its default roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSettings {
    /// Of whoever creates a conversation from a client.
    pub creator_role: RoleSid,
    /// Of every other participant.
    pub conversation_role: RoleSid,
    /// Of a new user.
    pub service_role: RoleSid,
    #[serde(default)]
    pub reachability: bool,
    #[serde(default)]
    pub notifications: Notifications,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for ServiceSettings {
    const NAME: &'static str = "service configuration";
}

/// Which pushes a service sends, and what they say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notifications {
    pub log: bool,
    pub new_message: Notice,
    /// Whether a push carries the number of conversations with something unread.
    pub badge_count: bool,
    pub new_message_with_media: Notice,
    pub added: Notice,
    pub removed: Notice,
}

/// One kind of push.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub enabled: bool,
    pub template: Option<String>,
    pub sound: Option<String>,
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
