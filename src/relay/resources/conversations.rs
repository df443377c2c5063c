//! Conversations: made, found, listed, changed, removed.

use std::sync::Arc;

use super::participants::settled;
use crate::announce::Cause;
use crate::ledger::engine::{CommitError, MAX_WRITES};
use crate::ledger::key::{Key, Range};
use crate::ledger::tables;
use crate::model::{AccountSid, Conversation, ConversationSid, Event, ServiceSid, timers};
use crate::relay::asking::Whose;
use crate::relay::command::{
    Change, ConversationChange, ConversationFilter, NewConversation, NewParticipant,
};
use crate::relay::{ATTEMPTS, Relay, RelayError, decide};

/// Most places read for one page of a filtered list, so that a filter that matches nothing cannot read everything.
const MOST_READ: usize = 10_000;

/// Most participants that come with a new conversation.
pub const MOST_AT_ONCE: usize = 10;
// Head, document, place, name and timer; a participant, the name they are found by, and a new user's three rows for each. The
// limit is far below what one batch takes, so no request within it can be too large for its commit.
const _: () = assert!(5 + MOST_AT_ONCE * 5 <= MAX_WRITES);

impl Relay {
    pub async fn create_conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewConversation,
        cause: Cause,
    ) -> Result<Arc<Conversation>, RelayError> {
        self.create_with_participants(account, service, new, &[], cause).await
    }

    /// A conversation and who is in it from the start, in one commit: all of it or nothing.
    pub async fn create_with_participants(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        mut new: NewConversation,
        people: &[NewParticipant],
        cause: Cause,
    ) -> Result<Arc<Conversation>, RelayError> {
        self.complete(account, service, &mut new, people).await?;
        let whose = Whose { account, service, cause };
        self.ask_conversation_add(whose, &mut new, None).await?;
        if self.asks(whose, Event::ParticipantAdd) && !people.is_empty() {
            let sid = new.sid.insert(ConversationSid::new(&self.mint));
            // Side by side: ten that are slow would take longer than a caller waits.
            let asked = people.iter().map(|person| self.ask_participant_add(whose, sid, person));
            futures_util::future::try_join_all(asked).await?;
        }
        self.put_conversation(account, service, new, people, cause).await
    }

    /// Refuses what cannot be as things are, and puts in what the account says where the caller says nothing.
    pub(in crate::relay) async fn complete(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: &mut NewConversation,
        people: &[NewParticipant],
    ) -> Result<(), RelayError> {
        if people.len() > MOST_AT_ONCE {
            return Err(RelayError::TooManyAtOnce);
        }
        for person in people {
            self.require_welcome(account, service, &person.who).await?;
        }
        self.require_messaging_service(account, new.messaging_service_sid.as_deref())?;
        let defaults = self.account_settings(account).await?;
        if new.messaging_service_sid.is_none() {
            new.messaging_service_sid = defaults.default_messaging_service;
        }
        for (timer, default) in [
            (&mut new.inactive_after, defaults.default_inactive_timer),
            (&mut new.closed_after, defaults.default_closed_timer),
        ] {
            if let (Change::Keep, Some(seconds)) = (&timer, default.as_deref().and_then(timers::duration)) {
                *timer = Change::Set(seconds);
            }
        }
        Ok(())
    }

    /// The commit itself.
    pub(in crate::relay) async fn put_conversation(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewConversation,
        people: &[NewParticipant],
        cause: Cause,
    ) -> Result<Arc<Conversation>, RelayError> {
        for webhook in &new.webhooks {
            self.heed(account, &webhook.filters).await?;
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
            // Everything about people is read before anything is given its birth.
            let (mut seats, mut known) = (Vec::new(), Vec::new());
            // Of a service of an older release, asking for its settings makes them; nobody needs that here.
            let settings = match people {
                [] => None,
                _ => Some(self.service_settings(account, service).await?),
            };
            for (person, settings) in people.iter().zip(settings.iter().cycle()) {
                let found = self.found(account, service, &person.who).await?;
                seats.push((settled(person, settings), found.holder));
                known.push((person, settings, found.known));
            }
            let context = self.context(account, attempt > 0);
            let created = decide::create(&context, service, new.clone());
            let mut decision = decide::roster::gather(&context, created, seats)?;
            self.regroup(account, None, &mut decision, false).await?;
            for (person, settings, known) in known {
                self.introduce(&context, service, person, known, settings, &mut decision.batch).await?;
            }
            if self.listened_to(&decision.next) {
                Box::pin(self.tell(account, cause, None, &mut decision)).await?;
            }
            // A service that is being removed gets no new conversations, or they would outlive it.
            decision.batch.at(service_key.clone(), row.changed);
            let ticket = self.cache.ticket();
            match self.commits.decided(account, decision, ticket, None).await {
                Err(CommitError::Conflict(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(RelayError::Contended)
    }

    /// Refuses a messaging service that is none of the account's.
    pub(in crate::relay) fn require_messaging_service(
        &self,
        account: &AccountSid,
        sid: Option<&str>,
    ) -> Result<(), RelayError> {
        match sid {
            Some(sid) if !self.messaging.may_be_named(account, sid) => {
                Err(RelayError::MessagingServiceNotFound)
            }
            _ => Ok(()),
        }
    }

    /// The SID a name in a path stands for. A name that has the form of a SID is one.
    pub(in crate::relay) async fn sid_of(
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
        mut change: ConversationChange,
        cause: Cause,
    ) -> Result<Arc<Conversation>, RelayError> {
        self.require_messaging_service(account, change.messaging_service_sid.set().map(String::as_str))?;
        let current = self.conversation(account, service, name).await?;
        self.ask_conversation_update(Whose { account, service, cause }, &current, &mut change).await?;
        let new_name = match &change.unique_name {
            Change::Set(new) => Some(new.clone()),
            _ => None,
        };
        let (new_name, change) = (&new_name, &change);
        let decided = self
            .change(account, current.sid().as_str(), cause.asking(), |conversation, context| async move {
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
        cause: Cause,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.ask_conversation_remove(Whose { account, service, cause }, &current).await?;
        let sid = current.sid().as_str();
        self.change(account, sid, cause, |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            let mut decision = decide::delete(context, conversation);
            self.regroup(account, Some(conversation), &mut decision, false).await?;
            Ok((Some(decision), ()))
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
