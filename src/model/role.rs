//! Roles: named sets of permissions. They bind people at clients; the REST API is never restricted by one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::Timestamp;

use super::{Json, RoleSid};

/// Where a role holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleKind {
    /// In one conversation, for a participant.
    Conversation,
    /// In the whole service, for a user.
    Service,
}

impl RoleKind {
    /// The word in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            RoleKind::Conversation => "conversation",
            RoleKind::Service => "service",
        }
    }

    /// Whether a role of this kind may hold a permission; of unknown ones none may.
    pub fn permits(self, permission: &str) -> bool {
        PERMISSIONS.iter().any(|(name, reach)| *name == permission && reach.contains(&self))
    }
}

/// A role of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleRecord {
    pub sid: RoleSid,
    pub friendly_name: String,
    pub kind: RoleKind,
    /// In the order they were given, each once.
    pub permissions: Vec<String>,
    /// Its place in lists.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for RoleRecord {
    const NAME: &'static str = "role";
}

const BOTH: &[RoleKind] = &[RoleKind::Service, RoleKind::Conversation];
const SERVICE: &[RoleKind] = &[RoleKind::Service];
const CONVERSATION: &[RoleKind] = &[RoleKind::Conversation];

/// Every permission there is, and where it can be held.
pub const PERMISSIONS: &[(&str, &[RoleKind])] = &[
    ("addNonChatParticipant", BOTH),
    ("addParticipant", BOTH),
    ("createConversation", SERVICE),
    ("deleteAnyMessage", BOTH),
    ("deleteConversation", BOTH),
    ("deleteOwnMessage", CONVERSATION),
    ("editAnyMessage", BOTH),
    ("editAnyMessageAttributes", BOTH),
    ("editAnyParticipantAttributes", BOTH),
    ("editAnyUserInfo", BOTH),
    ("editConversationAttributes", BOTH),
    ("editConversationName", BOTH),
    ("editNotificationLevel", CONVERSATION),
    ("editOwnMessage", BOTH),
    ("editOwnMessageAttributes", BOTH),
    ("editOwnParticipantAttributes", BOTH),
    ("editOwnUserInfo", BOTH),
    ("joinConversation", SERVICE),
    ("leaveConversation", CONVERSATION),
    ("removeParticipant", BOTH),
    ("sendMediaMessage", CONVERSATION),
    ("sendMessage", CONVERSATION),
];

/// A role that every service is born with.
pub struct Standard {
    pub name: &'static str,
    pub kind: RoleKind,
    pub permissions: &'static [&'static str],
}

/// Of those who run a service; nobody's by itself.
pub const SERVICE_ADMIN: Standard = Standard {
    name: "service admin",
    kind: RoleKind::Service,
    permissions: &[
        "addParticipant",
        "createConversation",
        "deleteAnyMessage",
        "deleteConversation",
        "editAnyMessage",
        "editAnyMessageAttributes",
        "editAnyUserInfo",
        "editConversationAttributes",
        "editConversationName",
        "joinConversation",
        "removeParticipant",
    ],
};

/// Of new users.
pub const SERVICE_USER: Standard = Standard {
    name: "service user",
    kind: RoleKind::Service,
    permissions: &["createConversation", "editOwnUserInfo", "joinConversation"],
};

/// Of whoever creates a conversation from a client.
pub const CHANNEL_ADMIN: Standard = Standard {
    name: "channel admin",
    kind: RoleKind::Conversation,
    permissions: &[
        "addParticipant",
        "deleteAnyMessage",
        "deleteConversation",
        "editAnyMessage",
        "editAnyMessageAttributes",
        "editConversationAttributes",
        "editConversationName",
        "editNotificationLevel",
        "leaveConversation",
        "removeParticipant",
        "sendMediaMessage",
        "sendMessage",
    ],
};

/// Of every other participant.
pub const CHANNEL_USER: Standard = Standard {
    name: "channel user",
    kind: RoleKind::Conversation,
    permissions: &[
        "deleteOwnMessage",
        "editNotificationLevel",
        "editOwnMessage",
        "editOwnMessageAttributes",
        "leaveConversation",
        "sendMediaMessage",
        "sendMessage",
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_roles_hold_only_what_their_kind_may() {
        for role in [SERVICE_ADMIN, SERVICE_USER, CHANNEL_ADMIN, CHANNEL_USER] {
            for permission in role.permissions {
                assert!(role.kind.permits(permission), "{permission} of {}", role.name);
            }
        }
        assert!(!RoleKind::Service.permits("sendMessage"));
        assert!(!RoleKind::Conversation.permits("createConversation"));
        assert!(!RoleKind::Service.permits("fly"));
        assert!(PERMISSIONS.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
    }
}
