//! What somebody at a client may do: what their roles permit, held against what they are about to do. Pure.
//!
//! They have the permissions of their user's service role, and in a conversation they are in, those of their role there;
//! what either grants is granted. What the service role grants holds in every conversation of the service, also where
//! they are no participant. The REST API asks nothing here: whoever has its credentials may do everything.

use super::RelayError;

/// What is to be done. `own`: to something of the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    CreateConversation,
    DeleteConversation,
    /// The friendly or the unique name.
    RenameConversation,
    EditConversationAttributes,
    /// A look at what a conversation is, without its messages and people.
    Peek,
    /// Reading messages and people, saying how far one has read, typing: whatever takes nothing but being there.
    TakePart,
    EditNotificationLevel,
    Join,
    AddParticipant,
    /// Somebody who is reached through a provider. A permission of its own, and in no default role: it costs money.
    AddNonChatParticipant,
    RemoveParticipant {
        own: bool,
    },
    EditParticipantAttributes {
        own: bool,
    },
    SendMessage,
    /// With media, beside what a message takes anyway.
    SendMediaMessage,
    /// The text.
    EditMessage {
        own: bool,
    },
    EditMessageAttributes {
        own: bool,
    },
    DeleteMessage {
        own: bool,
    },
    /// No conversation is near, so the service role alone decides.
    EditUser {
        own: bool,
    },
}

impl Action {
    /// The permissions each of which suffices; `None` where being a participant does.
    fn permitted_by(self) -> Option<&'static [&'static str]> {
        Some(match self {
            Action::TakePart => return None,
            Action::CreateConversation => &["createConversation"],
            Action::DeleteConversation => &["deleteConversation"],
            Action::RenameConversation => &["editConversationName"],
            Action::EditConversationAttributes => &["editConversationAttributes"],
            Action::Peek => &["joinConversation"],
            Action::EditNotificationLevel => &["editNotificationLevel"],
            Action::Join => &["joinConversation", "addParticipant"],
            Action::AddParticipant => &["addParticipant"],
            Action::AddNonChatParticipant => &["addNonChatParticipant"],
            Action::RemoveParticipant { own: false } => &["removeParticipant"],
            Action::RemoveParticipant { own: true } => &["leaveConversation", "removeParticipant"],
            Action::EditParticipantAttributes { own: false } => &["editAnyParticipantAttributes"],
            Action::EditParticipantAttributes { own: true } => {
                &["editOwnParticipantAttributes", "editAnyParticipantAttributes"]
            }
            Action::SendMessage => &["sendMessage"],
            Action::SendMediaMessage => &["sendMediaMessage"],
            Action::EditMessage { own: false } => &["editAnyMessage"],
            Action::EditMessage { own: true } => &["editOwnMessage", "editAnyMessage"],
            Action::EditMessageAttributes { own: false } => &["editAnyMessageAttributes"],
            Action::EditMessageAttributes { own: true } => {
                &["editOwnMessageAttributes", "editAnyMessageAttributes"]
            }
            Action::DeleteMessage { own: false } => &["deleteAnyMessage"],
            Action::DeleteMessage { own: true } => &["deleteOwnMessage", "deleteAnyMessage"],
            Action::EditUser { own: false } => &["editAnyUserInfo"],
            Action::EditUser { own: true } => &["editOwnUserInfo", "editAnyUserInfo"],
        })
    }

    /// Whether it is done to one conversation that is there already, whoever is in it.
    fn within(self) -> bool {
        !matches!(self, Action::CreateConversation | Action::Peek | Action::Join | Action::EditUser { .. })
    }
}

/// What a caller's roles grant, in one conversation or in none. See [`super::Relay::granted`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// By the service role.
    pub service: Vec<String>,
    /// By the role in the conversation; `None` for somebody who is not in it.
    pub conversation: Option<Vec<String>>,
}

impl Granted {
    /// Whether the action may be done. Whoever is refused only because they are no participant is told so.
    pub fn check(&self, action: Action) -> Result<(), RelayError> {
        let participant = self.conversation.is_some();
        let held = |name: &&str| {
            let mut all = self.service.iter().chain(self.conversation.iter().flatten());
            all.any(|permission| permission == name)
        };
        let allowed = match action.permitted_by() {
            None => participant,
            // Whoever is in it sees it anyway.
            Some(_) if action == Action::Peek && participant => true,
            Some(names) => names.iter().any(held),
        };
        match allowed {
            true => Ok(()),
            false if action.within() && !participant => Err(RelayError::NotParticipant),
            false => Err(RelayError::NotPermitted),
        }
    }
}

#[cfg(test)]
#[path = "permissions_test.rs"]
mod tests;
