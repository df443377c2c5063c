//! What pushes to devices need: an account's credentials for the push services, and the devices of a service.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{CredentialSid, Json, PushBindingSid};

/// Which push service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushKind {
    Apn,
    Gcm,
    Fcm,
    /// A client that is connected itself: of devices only.
    Twilsock,
}

impl PushKind {
    /// The word in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            PushKind::Apn => "apn",
            PushKind::Gcm => "gcm",
            PushKind::Fcm => "fcm",
            PushKind::Twilsock => "twilsock",
        }
    }

    /// The kind a word in any case names.
    pub fn parse(text: &str) -> Option<PushKind> {
        let kinds = [PushKind::Apn, PushKind::Gcm, PushKind::Fcm, PushKind::Twilsock];
        kinds.into_iter().find(|kind| text.eq_ignore_ascii_case(kind.name()))
    }
}

/// A stored text that is never shown, not even in a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Credentials for a push service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CredentialRecord {
    pub sid: CredentialSid,
    pub friendly_name: Option<String>,
    pub kind: PushKind,
    /// Of Apple's service only: whether its sandbox is meant.
    pub sandbox: bool,
    pub certificate: Option<Hidden>,
    pub private_key: Option<Hidden>,
    pub api_key: Option<Hidden>,
    pub secret: Option<Hidden>,
    /// Its place in lists.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for CredentialRecord {
    const NAME: &'static str = "push credential";
}

/// A device of a user that gets pushes. Clients register them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushBindingRecord {
    pub sid: PushBindingSid,
    pub identity: String,
    pub kind: PushKind,
    /// The name of the device's registration.
    pub endpoint: String,
    pub credential: Option<CredentialSid>,
    /// What it wants to hear of.
    pub message_types: Vec<String>,
    /// Its place in lists.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for PushBindingRecord {
    const NAME: &'static str = "push binding";
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_are_read_in_any_case_and_secrets_are_not_shown() {
        assert_eq!(PushKind::parse("FCM"), Some(PushKind::Fcm));
        assert_eq!(PushKind::parse("pigeon"), None);
        let hidden = Hidden("s3cret".to_owned());
        assert_eq!(format!("{hidden:?}"), "(hidden)");
        assert_eq!(serde_json::to_string(&hidden).unwrap(), "\"s3cret\"", "but it is stored");
    }
}
