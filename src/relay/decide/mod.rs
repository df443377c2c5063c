//! The judge: from a conversation as it stands and what is asked, the one batch that makes it so. Here what all
//! decisions share, and those about a conversation as a whole; people and messages have files of their own.
//!
//! Pure: no I/O, no clock, no randomness of its own. Whatever a decision relied on is a check in its batch.

pub mod cleanup;
pub mod groups;
pub mod messages;
pub mod roster;
pub mod timers;
pub mod users;

use std::sync::Arc;

use trunkline_adapter::Timestamp;

use crate::ledger::engine::{Batch, Committed, Revision, Write};
use crate::ledger::{Ledger, tables};
use crate::model::conversation::Mark;
use crate::model::{
    AccountSid, Compact, Conversation, ConversationRecord, ConversationSid, Head, Json, Mint, ParticipantSid,
    ServiceSid, State, Timers,
};
use crate::relay::after::After;
use crate::relay::command::{ConversationChange, NewConversation};
use crate::relay::error::RelayError;

/// How many may be in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roster {
    pub participants: usize,
    /// Of them, from outside.
    pub outside: usize,
}

impl Default for Roster {
    fn default() -> Roster {
        Roster { participants: 1000, outside: 50 }
    }
}

/// What a decision may use besides the conversation.
pub struct Context<'a> {
    pub account: &'a AccountSid,
    pub now: Timestamp,
    pub mint: &'a Mint,
    /// Numbers that grow: the order of birth.
    pub births: &'a dyn Births,
    /// The same was decided before and met a conflict.
    pub again: bool,
    pub most: Roster,
}

/// Where numbers come from that grow: the order of birth.
pub trait Births: Sync {
    fn birth(&self) -> u64;
}

impl Births for Ledger {
    fn birth(&self) -> u64 {
        Ledger::birth(self)
    }
}

/// What will be, once the batch is committed.
#[derive(Debug)]
pub struct Decision {
    pub batch: Batch,
    /// The conversation afterwards; its revisions are put in by [`Decision::settle`].
    pub next: Conversation,
    /// Who is to be told.
    pub after: After,
    /// Which writes carry the conversation's own rows.
    pub(super) head_at: usize,
    pub(super) record_at: Option<usize>,
    pub(super) members_at: Vec<(ParticipantSid, usize)>,
}

impl Decision {
    /// The conversation with the numbers its rows were given.
    pub fn settle(mut self, committed: Committed) -> Conversation {
        let number = |at: usize| committed.first + at as Revision;
        self.next.head_revision = number(self.head_at);
        if let Some(at) = self.record_at {
            self.next.record_revision = number(at);
        }
        for (sid, at) in self.members_at {
            let members = Arc::make_mut(&mut self.next.members);
            for member in members.iter_mut().filter(|member| member.record.sid == sid) {
                member.revision = number(at);
            }
        }
        self.next
    }
}

/// Begins a decision on an existing conversation: its head is checked, and will be written first.
pub(super) fn begin(context: &Context<'_>, conversation: &Conversation) -> Decision {
    let mut batch = Batch::default();
    let head = tables::head(context.account.as_str(), conversation.sid().as_str());
    batch.at(head.clone(), conversation.head_revision);
    let mut next = conversation.clone();
    next.head = conversation.head.settled(conversation.head_revision);
    // The head's bytes are put in by `finish`, when it is known what they are.
    batch.put(head, bytes::Bytes::new());
    Decision { batch, next, after: After::default(), head_at: 0, record_at: None, members_at: Vec::new() }
}

pub(super) fn finish(mut decision: Decision) -> Decision {
    if let Some(Write::Put(_, bytes)) = decision.batch.writes.get_mut(decision.head_at) {
        *bytes = decision.next.head.encode();
    }
    decision
}

pub(super) fn put_record(context: &Context<'_>, decision: &mut Decision) {
    let key = tables::conversation(context.account.as_str(), decision.next.sid().as_str());
    decision.record_at = Some(decision.batch.writes.len());
    decision.next.head.document = Mark::ThisWrite;
    decision.batch.put(key, decision.next.record.encode());
}

/// Refuses a closed conversation.
pub(super) fn require_open(conversation: &Conversation) -> Result<(), RelayError> {
    if conversation.head.state.open() { Ok(()) } else { Err(RelayError::Closed) }
}

/// Somebody joined or wrote: timers begin again, and an idle conversation wakes, which is a change of what its document
/// shows.
pub(super) fn rouse(context: &Context<'_>, decision: &mut Decision) {
    if decision.next.head.state != State::Active {
        decision.next.head.state = State::Active;
        decision.next.head.document = Mark::ThisWrite;
    }
    if let Some(timers) = &mut decision.next.head.timers {
        timers.restart(context.now);
        timers::wind(context, decision);
    }
}

/// A new conversation.
pub fn create(context: &Context<'_>, service: &ServiceSid, new: NewConversation) -> Decision {
    let account = context.account.as_str();
    let sid = new.sid.unwrap_or_else(|| ConversationSid::new(context.mint));
    let created = new.created.unwrap_or(context.now);
    let record = ConversationRecord {
        sid: sid.clone(),
        friendly_name: new.friendly_name,
        unique_name: new.unique_name,
        messaging_service_sid: new.messaging_service_sid,
        inactive_after: new.inactive_after.apply(None),
        closed_after: new.closed_after.apply(None),
        attributes: new.attributes.unwrap_or_else(|| "{}".to_owned()),
        birth: context.births.birth(),
        created,
        updated: new.updated.unwrap_or(created),
        webhooks: new.webhooks,
        created_by: new.created_by,
        rest: serde_json::Map::new(),
    };
    let head = Head {
        state: if new.inactive { State::Inactive } else { State::Active },
        service: service.clone(),
        next_index: 0,
        document: Mark::ThisWrite,
        roster: Mark::ThisWrite,
        messages: Mark::ThisWrite,
        timers: record.timed().then(|| Timers::from(context.now)),
    };
    let mut batch = Batch { intake: true, ..Batch::default() };
    batch.absent(tables::head(account, sid.as_str()));
    // As in `begin`: `finish` puts the head's bytes in.
    batch.put(tables::head(account, sid.as_str()), bytes::Bytes::new());
    batch.put(tables::conversation(account, sid.as_str()), record.encode());
    batch.put(tables::conversation_place(account, service.as_str(), record.birth), sid.as_str().to_owned());
    if let Some(name) = &record.unique_name {
        let key = tables::unique_name(account, service.as_str(), name);
        batch.absent(key.clone());
        batch.put(key, sid.as_str().to_owned());
    }
    let record = Arc::new(record);
    let next = Conversation { head, head_revision: 0, record, record_revision: 0, members: Arc::default() };
    let after = After::default();
    let mut decision =
        Decision { batch, next, after, head_at: 0, record_at: Some(1), members_at: Vec::new() };
    timers::wind(context, &mut decision);
    finish(decision)
}

/// Changes to a conversation's document or state.
pub fn update(
    context: &Context<'_>,
    conversation: &Conversation,
    change: ConversationChange,
) -> Result<Decision, RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let service = conversation.head.service.as_str();
    let mut decision = begin(context, conversation);
    let before = conversation.record.unique_name.clone();
    let record = Arc::make_mut(&mut decision.next.record);
    record.friendly_name = change.friendly_name.apply(record.friendly_name.take());
    record.unique_name = change.unique_name.apply(record.unique_name.take());
    record.messaging_service_sid = change.messaging_service_sid.apply(record.messaging_service_sid.take());
    if let Some(attributes) = change.attributes {
        record.attributes = attributes;
    }
    if let Some(created) = change.created {
        record.created = created;
    }
    record.updated = change.updated.unwrap_or(context.now);
    let wound = !(change.inactive_after.is_keep() && change.closed_after.is_keep());
    record.inactive_after = change.inactive_after.apply(record.inactive_after);
    record.closed_after = change.closed_after.apply(record.closed_after);
    let (after, timed) = (record.unique_name.clone(), record.timed());
    // Removal is no state one can ask for; see `delete`.
    if let Some(state) = change.state.filter(|state| *state != State::Deleted) {
        decision.next.head.state = state;
    }
    let head = &mut decision.next.head;
    match &mut head.timers {
        Some(timers) if wound => timers.restart(context.now),
        // Else it would fall idle again at once. The other one goes on.
        Some(timers) if change.state == Some(State::Active) => timers.inactive_from = context.now,
        None if timed => head.timers = Some(Timers::from(context.now)),
        _ => {}
    }
    timers::wind(context, &mut decision);
    put_record(context, &mut decision);
    if before != after {
        if let Some(name) = before {
            decision.batch.delete(tables::unique_name(account, service, &name));
        }
        if let Some(name) = after {
            let key = tables::unique_name(account, service, &name);
            decision.batch.absent(key.clone());
            decision.batch.put(key, conversation.sid().as_str().to_owned());
        }
    }
    Ok(finish(decision))
}

/// Makes a conversation invisible at once; its rows go later, in pages.
pub fn delete(context: &Context<'_>, conversation: &Conversation) -> Decision {
    let account = context.account.as_str();
    let service = conversation.head.service.as_str();
    let mut decision = begin(context, conversation);
    decision.next.head.state = State::Deleted;
    if let Some(name) = &conversation.record.unique_name {
        decision.batch.delete(tables::unique_name(account, service, name));
    }
    decision.batch.delete(tables::conversation_place(account, service, conversation.record.birth));
    timers::wind(context, &mut decision);
    cleanup::enqueue(context, &mut decision, conversation.sid().as_str());
    finish(decision)
}

#[cfg(test)]
mod tests;
