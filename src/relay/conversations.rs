//! Conversations: made, found, listed, changed, removed.

use std::sync::Arc;

use super::command::{ConversationChange, ConversationFilter, NewConversation};
use super::decide;
use super::{ATTEMPTS, Relay, RelayError};
use crate::ledger::engine::CommitError;
use crate::ledger::key::{Key, Range};
use crate::ledger::tables;
use crate::model::{AccountSid, Conversation, ConversationSid, ServiceSid};

/// Most places read for one page of a filtered list, so that a filter that matches nothing cannot read everything.
const MOST_READ: usize = 10_000;

impl Relay {
    pub async fn create_conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        mut new: NewConversation,
    ) -> Result<Arc<Conversation>, RelayError> {
        if new.messaging_service_sid.is_none() {
            new.messaging_service_sid = self.account_settings(account).await?.default_messaging_service;
        }
        let service_key = tables::service(account.as_str(), service.as_str());
        let name = new.unique_name.as_ref();
        let name = name.map(|name| tables::unique_name(account.as_str(), service.as_str(), name));
        for attempt in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            let row = snapshot.get(&service_key).await?.ok_or(RelayError::ServiceNotFound)?;
            if let Some(name) = &name
                && snapshot.get(name).await?.is_some()
            {
                return Err(RelayError::UniqueNameTaken);
            }
            let context = self.context(account, attempt > 0);
            let mut decision = decide::create(&context, service, new.clone());
            // A service that is being removed gets no new conversations, or they would outlive it.
            decision.batch.at(service_key.clone(), row.changed);
            let ticket = self.cache.ticket();
            match self.commits.decided(account, decision, ticket).await {
                Err(CommitError::Conflict(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(RelayError::Contended)
    }

    /// The SID a name in a path stands for. A name that has the form of a SID is one.
    pub(super) async fn sid_of(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<ConversationSid, RelayError> {
        if let Some(sid) = ConversationSid::parse(name) {
            return Ok(sid);
        }
        let key = tables::unique_name(account.as_str(), service.as_str(), name);
        let row = self.ledger.snapshot().get(&key).await?.ok_or(RelayError::ConversationNotFound)?;
        let sid = std::str::from_utf8(&row.payload).ok().and_then(ConversationSid::parse);
        sid.ok_or(RelayError::ConversationNotFound)
    }

    /// A conversation by SID or unique name, if it is of this service.
    pub async fn conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<Arc<Conversation>, RelayError> {
        let sid = self.sid_of(account, service, name).await?;
        let found = self.load(account, sid.as_str()).await?;
        found.filter(|found| &found.head.service == service).ok_or(RelayError::ConversationNotFound)
    }

    /// Conversations of a service, newest first, from below a birth.
    pub async fn conversations(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        filter: &ConversationFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Arc<Conversation>>, RelayError> {
        let prefix = tables::conversation_list(account.as_str(), service.as_str());
        let mut before = before;
        let mut found = Vec::new();
        let mut read = 0;
        while found.len() < limit && read < MOST_READ {
            let range = match before {
                None => Range::prefix(&prefix),
                Some(birth) => {
                    let end = tables::conversation_place(account.as_str(), service.as_str(), birth);
                    Range::until(&prefix, &end)
                }
            };
            let rows = self.ledger.snapshot().scan(range.reversed(), limit).await?;
            let Some((last, _)) = rows.last() else { break };
            read += rows.len();
            before = tables_birth(last);
            for (_, row) in &rows {
                let Ok(sid) = std::str::from_utf8(&row.payload) else { continue };
                let Some(conversation) = self.load(account, sid).await? else { continue };
                if matches(filter, &conversation) && found.len() < limit {
                    found.push(conversation);
                }
            }
            if before.is_none() {
                break;
            }
        }
        Ok(found)
    }

    pub async fn update_conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        change: ConversationChange,
    ) -> Result<Arc<Conversation>, RelayError> {
        let current = self.conversation(account, service, name).await?;
        let new_name = match &change.unique_name {
            super::command::Change::Set(new) => Some(new.clone()),
            _ => None,
        };
        let (new_name, change) = (&new_name, &change);
        let decided = self
            .change(account, current.sid().as_str(), |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                if let Some(new) = new_name
                    && conversation.record.unique_name.as_ref() != Some(new)
                {
                    let key = tables::unique_name(account.as_str(), service.as_str(), new);
                    if self.ledger.snapshot().get(&key).await?.is_some() {
                        return Err(RelayError::UniqueNameTaken);
                    }
                }
                Ok((Some(decide::update(context, conversation, change.clone())?), ()))
            })
            .await?;
        Ok(decided.0)
    }

    pub async fn delete_conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        let sid = current.sid().as_str();
        self.change(account, sid, |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            Ok((Some(decide::delete(context, conversation)), ()))
        })
        .await?;
        Ok(())
    }
}

fn tables_birth(key: &Key) -> Option<u64> {
    Some(u64::from_be_bytes(key.rest()?.try_into().ok()?))
}

fn matches(filter: &ConversationFilter, conversation: &Conversation) -> bool {
    filter.state.is_none_or(|state| state == conversation.head.state)
        && filter.start.is_none_or(|start| conversation.record.created >= start)
        && filter.end.is_none_or(|end| conversation.record.created <= end)
}
