//! Users: the identities a service knows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{Json, RoleSid, ServiceSid, UserSid};

/// Somebody who may chat. Born by a request of its own, or with the first participant of its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRecord {
    pub sid: UserSid,
    /// Unique in the service, and never changed.
    pub identity: String,
    pub friendly_name: Option<String>,
    /// JSON text.
    pub attributes: String,
    pub role: RoleSid,
    /// Its place in lists.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for UserRecord {
    const NAME: &'static str = "user";
}

/// The work that a removed user leaves behind: what joined under the identity before the removal goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub service: ServiceSid,
    pub identity: String,
}

impl Json for Leaving {
    const NAME: &'static str = "removed user";
}
