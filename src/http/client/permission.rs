//! What a caller's roles grant, and which conversations they find.

use std::sync::Arc;

use super::Guest;
use crate::http::error::ApiError;
use crate::ledger::LedgerError;
use crate::model::{Conversation, ParticipantRecord};
use crate::relay::RelayError;
use crate::relay::permissions::{Action, Granted};
use crate::sync::{Object, Reader};

/// What takes being in a conversation, and so does not come with having made it.
const OF_PARTICIPANTS: &[&str] =
    &["sendMessage", "sendMediaMessage", "editNotificationLevel", "leaveConversation"];

impl Guest {
    /// A conversation by SID or unique name. Whether the caller may see it is the next question.
    pub(super) async fn conversation(&self, name: &str) -> Result<Arc<Conversation>, ApiError> {
        Ok(self.relay().conversation(self.account(), self.service(), name).await?)
    }

    /// Who the caller is in a conversation.
    pub(super) fn seat<'a>(&self, conversation: &'a Conversation) -> Option<&'a ParticipantRecord> {
        let mut people = conversation.members.iter().map(|member| &member.record);
        people.find(|person| person.identity.as_deref() == Some(self.identity()))
    }

    /// Refuses what the caller's roles do not permit.
    pub(super) async fn require(
        &self,
        conversation: &Conversation,
        actions: &[Action],
    ) -> Result<(), ApiError> {
        let granted = self.granted(conversation).await?;
        for action in actions {
            granted.check(*action)?;
        }
        Ok(())
    }

    /// Refuses what the caller's service role does not permit.
    pub(super) async fn require_of_service(&self, action: Action) -> Result<(), ApiError> {
        let granted = self.relay().granted(self.account(), self.service(), self.identity(), None).await?;
        Ok(granted.check(action)?)
    }

    /// Whoever made a conversation runs it from the first moment, before they are in it, and until they leave it.
    async fn granted(&self, conversation: &Conversation) -> Result<Granted, RelayError> {
        let (account, service) = (self.account(), self.service());
        let granted = self.relay().granted(account, service, self.identity(), Some(conversation));
        let mut granted = granted.await?;
        if granted.conversation.is_none() && self.made(conversation).await? {
            let settings = self.relay().service_settings(account, service).await?;
            let role = self.relay().role(account, service, settings.creator_role.as_str()).await?;
            let held = role.permissions.into_iter().filter(|name| !OF_PARTICIPANTS.contains(&name.as_str()));
            granted.service.extend(held);
        }
        Ok(granted)
    }

    /// Whether the caller made a conversation, and never left it.
    pub(super) async fn made(&self, conversation: &Conversation) -> Result<bool, RelayError> {
        if conversation.record.created_by.as_deref() != Some(self.identity()) {
            return Ok(false);
        }
        let snapshot = self.house.hub.snapshot();
        let reader = self.house.hub.reader(&*snapshot, &self.session.realm);
        Ok(!reader.departed(conversation.sid(), self.identity()).await?)
    }

    /// Whether the caller may see an object, as of a view.
    pub(super) async fn may_see(&self, reader: &Reader<'_>, object: &Object) -> Result<bool, LedgerError> {
        if !reader.exists(object).await? {
            return Ok(false);
        }
        let identity = self.identity();
        match object {
            Object::Profile(_) => Ok(true),
            Object::Memberships(whose) => Ok(whose == identity),
            Object::Messages(sid) | Object::Roster(sid) => Ok(reader.member(sid, identity).await?.is_some()),
            Object::Document(sid) => {
                if reader.member(sid, identity).await?.is_some() {
                    return Ok(true);
                }
                let record = reader.conversation(sid).await?;
                let made = record.is_some_and(|record| record.created_by.as_deref() == Some(identity));
                if made && !reader.departed(sid, identity).await? {
                    return Ok(true);
                }
                // Whoever may join a conversation may look at what it is before.
                match self.relay().granted(self.account(), self.service(), identity, None).await {
                    Ok(granted) => Ok(granted.check(Action::Peek).is_ok()),
                    Err(RelayError::Ledger(error)) => Err(error),
                    Err(_) => Ok(false),
                }
            }
        }
    }
}
