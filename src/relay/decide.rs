//! The judge: from a conversation as it stands and what is asked, the one batch that makes it so.
//!
//! Pure: no I/O, no clock, no randomness of its own. Whatever a decision relied on is a check in its batch.

use trunkline_adapter::{Address, Part, Timestamp};

use super::command::{
    ConversationChange, MessageChange, NewConversation, NewMessage, NewParticipant, ParticipantChange, Who,
};
use super::commit::{After, Wake};
use super::error::RelayError;
use crate::ledger::engine::{Batch, Committed, Revision};
use crate::ledger::{Ledger, tables};
use crate::model::conversation::Mark;
use crate::model::message;
use crate::model::{
    AccountSid, Binding, Compact, Conversation, ConversationRecord, ConversationSid, Delivery, Dispatch,
    Head, Json, Member, MessageRecord, MessageSid, Mint, ParticipantRecord, ParticipantSid, PersonBinding,
    PersonRow, ProviderIdRow, ReceiptSid, ServiceSid, Source, State, Subject,
};
use crate::work::{self, Queue};

/// Most participants of a conversation.
pub const MOST_PARTICIPANTS: usize = 1000;
/// Most of them from outside.
pub const MOST_BOUND: usize = 50;

/// What a decision may use besides the conversation.
pub struct Context<'a> {
    pub account: &'a AccountSid,
    pub now: Timestamp,
    pub mint: &'a Mint,
    /// Numbers that grow: the order of birth.
    pub births: &'a dyn Births,
    /// The same was decided before and met a conflict.
    pub again: bool,
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
    head_at: usize,
    record_at: Option<usize>,
    member_at: Option<(ParticipantSid, usize)>,
}

impl Decision {
    /// The conversation with the numbers its rows were given.
    pub fn settle(mut self, committed: Committed) -> Conversation {
        let number = |at: usize| committed.first + at as Revision;
        self.next.head_revision = number(self.head_at);
        if let Some(at) = self.record_at {
            self.next.record_revision = number(at);
        }
        if let Some((sid, at)) = self.member_at {
            for member in self.next.members.iter_mut().filter(|member| member.record.sid == sid) {
                member.revision = number(at);
            }
        }
        self.next
    }
}

/// A message about to be appended, whoever brought it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub author: String,
    /// The member who wrote it, who therefore does not get it.
    pub participant: Option<ParticipantSid>,
    /// Another member who has it already: the one an agent wrote to in the provider's own inbox.
    pub has_it: Option<ParticipantSid>,
    pub body: Option<String>,
    pub parts: Vec<Part>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
    pub source: Option<Source>,
    pub reply_to: Option<u64>,
}

/// Begins a decision on an existing conversation: its head is checked, and will be written first.
fn begin(context: &Context<'_>, conversation: &Conversation) -> Decision {
    let mut batch = Batch::default();
    batch.at(tables::head(context.account.as_str(), conversation.sid().as_str()), conversation.head_revision);
    let mut next = conversation.clone();
    next.head = conversation.head.settled(conversation.head_revision);
    // The head's bytes are put in by `finish`, when it is known what they are.
    batch.put(tables::head(context.account.as_str(), conversation.sid().as_str()), bytes::Bytes::new());
    Decision { batch, next, after: After::default(), head_at: 0, record_at: None, member_at: None }
}

fn finish(context: &Context<'_>, mut decision: Decision) -> Decision {
    let key = tables::head(context.account.as_str(), decision.next.sid().as_str());
    decision.batch.writes[decision.head_at] =
        crate::ledger::engine::Write::Put(key, decision.next.head.encode());
    decision
}

fn put_record(context: &Context<'_>, decision: &mut Decision) {
    let key = tables::conversation(context.account.as_str(), decision.next.sid().as_str());
    decision.record_at = Some(decision.batch.writes.len());
    decision.next.head.document = Mark::ThisWrite;
    decision.batch.put(key, decision.next.record.encode());
}

/// Refuses a closed conversation.
fn require_open(conversation: &Conversation) -> Result<(), RelayError> {
    if conversation.head.state.open() { Ok(()) } else { Err(RelayError::Closed) }
}

/// Wakes an idle conversation; that is a change of what its document shows.
fn rouse(decision: &mut Decision) {
    if decision.next.head.state != State::Active {
        decision.next.head.state = State::Active;
        decision.next.head.document = Mark::ThisWrite;
    }
}

/// A new conversation.
pub fn create(context: &Context<'_>, service: &ServiceSid, new: NewConversation) -> Decision {
    let account = context.account.as_str();
    let sid = ConversationSid::new(context.mint);
    let created = new.created.unwrap_or(context.now);
    let record = ConversationRecord {
        sid: sid.clone(),
        friendly_name: new.friendly_name,
        unique_name: new.unique_name,
        messaging_service_sid: new.messaging_service_sid,
        attributes: new.attributes.unwrap_or_else(|| "{}".to_owned()),
        birth: context.births.birth(),
        created,
        updated: new.updated.unwrap_or(created),
        rest: serde_json::Map::new(),
    };
    let head = Head {
        state: if new.inactive { State::Inactive } else { State::Active },
        service: service.clone(),
        next_index: 0,
        document: Mark::ThisWrite,
        roster: Mark::ThisWrite,
        messages: Mark::ThisWrite,
    };
    let mut batch = Batch { intake: true, ..Batch::default() };
    batch.absent(tables::head(account, sid.as_str()));
    batch.put(tables::head(account, sid.as_str()), head.encode());
    batch.put(tables::conversation(account, sid.as_str()), record.encode());
    batch.put(tables::conversation_place(account, service.as_str(), record.birth), sid.as_str().to_owned());
    if let Some(name) = &record.unique_name {
        let key = tables::unique_name(account, service.as_str(), name);
        batch.absent(key.clone());
        batch.put(key, sid.as_str().to_owned());
    }
    let next = Conversation { head, head_revision: 0, record, record_revision: 0, members: Vec::new() };
    Decision { batch, next, after: After::default(), head_at: 0, record_at: Some(1), member_at: None }
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
    let record = &mut decision.next.record;
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
    let after = record.unique_name.clone();
    // Removal is no state one can ask for; see `delete`.
    if let Some(state) = change.state.filter(|state| *state != State::Deleted) {
        decision.next.head.state = state;
    }
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
    Ok(finish(context, decision))
}

/// Makes a conversation invisible at once; its rows go later, in pages.
pub fn delete(context: &Context<'_>, conversation: &Conversation) -> Decision {
    let account = context.account.as_str();
    let service = conversation.head.service.as_str();
    let sid = conversation.sid();
    let mut decision = begin(context, conversation);
    decision.next.head.state = State::Deleted;
    if let Some(name) = &conversation.record.unique_name {
        decision.batch.delete(tables::unique_name(account, service, name));
    }
    decision.batch.delete(tables::conversation_place(account, service, conversation.record.birth));
    let payload = bytes::Bytes::copy_from_slice(sid.as_str().as_bytes());
    let seq = context.births.birth();
    work::enqueue(
        &mut decision.batch,
        account,
        Queue::Cleanup,
        super::cleanup::LANE,
        sid.as_str(),
        seq,
        context.now,
        payload,
    );
    decision.after.wake.push(Wake::cleanup(sid.as_str()));
    finish(context, decision)
}

/// Who holds the row that a claim wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the row.
    pub revision: Revision,
    pub binding: Binding,
    /// Whether the conversation it names still counts.
    pub open: bool,
}

/// Somebody joins. `holder` is the row of the pair as it was read.
pub fn join(
    context: &Context<'_>,
    conversation: &Conversation,
    new: NewParticipant,
    holder: Option<&Holder>,
) -> Result<(Decision, ParticipantSid), RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let sid = ParticipantSid::new(context.mint);
    let bound = conversation.members.iter().filter(|member| member.record.binding.is_some()).count();
    let (identity, binding) = match new.who {
        Who::Identity(identity) => {
            let taken = conversation.members.iter().any(|m| m.record.identity.as_ref() == Some(&identity));
            if taken {
                return Err(RelayError::IdentityTaken);
            }
            (Some(identity), None)
        }
        Who::Bound { address, proxy } => {
            if bound >= MOST_BOUND {
                return Err(RelayError::TooManyBound);
            }
            (None, Some(PersonBinding { address, proxy, aliases: Vec::new(), rest: serde_json::Map::new() }))
        }
    };
    if conversation.members.len() >= MOST_PARTICIPANTS {
        return Err(RelayError::TooManyParticipants);
    }
    let mut decision = begin(context, conversation);
    decision.batch.intake = true;
    if let Some(binding) = &binding {
        let claim = tables::binding(account, &binding.proxy, &binding.address);
        match holder {
            None => decision.batch.absent(claim.clone()),
            Some(held) if held.open => {
                return Err(RelayError::BindingTaken(held.binding.conversation.clone()));
            }
            Some(stale) => decision.batch.at(claim.clone(), stale.revision),
        };
        let row = Binding {
            service: conversation.head.service.clone(),
            conversation: conversation.sid().clone(),
            participant: sid.clone(),
        };
        decision.batch.put(claim, row.encode());
    }
    let created = new.created.unwrap_or(context.now);
    let record = ParticipantRecord {
        sid: sid.clone(),
        identity,
        binding,
        role_sid: new.role_sid,
        attributes: new.attributes.unwrap_or_else(|| "{}".to_owned()),
        birth: context.births.birth(),
        created,
        updated: new.updated.unwrap_or(created),
        last_read_message_index: None,
        last_read_timestamp: None,
        rest: serde_json::Map::new(),
    };
    let person = PersonRow {
        service: conversation.head.service.clone(),
        conversation: conversation.sid().clone(),
        participant: sid.clone(),
    };
    for name in person_names(&record) {
        decision.batch.put(tables::person(account, &name, sid.as_str()), person.encode());
    }
    rouse(&mut decision);
    put_member(context, &mut decision, record);
    Ok((finish(context, decision), sid))
}

/// The names a participant is found by in the person index.
pub fn person_names(record: &ParticipantRecord) -> Vec<String> {
    match (&record.binding, &record.identity) {
        (Some(binding), _) => {
            std::iter::once(&binding.address).chain(&binding.aliases).map(Address::to_string).collect()
        }
        // An identity could look like an address; the colon in front keeps the two apart.
        (None, Some(identity)) => vec![format!(":{}", identity.chars().take(200).collect::<String>())],
        (None, None) => Vec::new(),
    }
}

fn put_member(context: &Context<'_>, decision: &mut Decision, record: ParticipantRecord) {
    let conversation = decision.next.sid().as_str().to_owned();
    let key = tables::participant(context.account.as_str(), &conversation, record.sid.as_str());
    decision.member_at = Some((record.sid.clone(), decision.batch.writes.len()));
    decision.batch.put(key, record.encode());
    decision.next.head.roster = Mark::ThisWrite;
    match decision.next.members.iter_mut().find(|member| member.record.sid == record.sid) {
        Some(member) => member.record = record,
        None => decision.next.members.push(Member { record, revision: 0 }),
    }
}

/// Changes to a participant.
pub fn change_participant(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
    change: ParticipantChange,
) -> Result<Decision, RelayError> {
    // A read horizon may still move in a closed conversation; everything else is refused there.
    let only_reading = change.role_sid.is_keep()
        && change.attributes.is_none()
        && change.created.is_none()
        && change.updated.is_none();
    if !only_reading {
        require_open(conversation)?;
    }
    let member = conversation.member(sid).ok_or(RelayError::ParticipantNotFound)?;
    let mut record = member.record.clone();
    record.role_sid = change.role_sid.apply(record.role_sid);
    record.attributes = change.attributes.unwrap_or(record.attributes);
    record.last_read_message_index = change.last_read_message_index.apply(record.last_read_message_index);
    record.last_read_timestamp = change.last_read_timestamp.apply(record.last_read_timestamp);
    record.created = change.created.unwrap_or(record.created);
    record.updated = change.updated.unwrap_or(context.now);
    let mut decision = begin(context, conversation);
    put_member(context, &mut decision, record);
    Ok(finish(context, decision))
}

/// A participant is known by one more address. `holder` is the row of the pair (proxy, alias) as it was read;
/// an alias that is taken elsewhere is not learnt.
pub fn learn(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
    alias: &Address,
    holder: Option<&Holder>,
) -> Option<Decision> {
    let member = conversation.member(sid).filter(|_| conversation.head.state.open())?;
    let mut record = member.record.clone();
    let binding = record.binding.as_mut()?;
    if &binding.address == alias || binding.aliases.contains(alias) || binding.aliases.len() >= 8 {
        return None;
    }
    let claim = tables::binding(context.account.as_str(), &binding.proxy, alias);
    let mut decision = begin(context, conversation);
    match holder {
        None => decision.batch.absent(claim.clone()),
        Some(held) if held.open => return None,
        Some(stale) => decision.batch.at(claim.clone(), stale.revision),
    };
    binding.aliases.push(alias.clone());
    let row = Binding {
        service: conversation.head.service.clone(),
        conversation: conversation.sid().clone(),
        participant: sid.clone(),
    };
    decision.batch.put(claim, row.encode());
    let person =
        PersonRow { service: row.service, conversation: row.conversation, participant: row.participant };
    let name = tables::person(context.account.as_str(), alias.as_str(), sid.as_str());
    decision.batch.put(name, person.encode());
    put_member(context, &mut decision, record);
    Some(finish(context, decision))
}

/// Somebody leaves; their messages stay, their messaging binding is free at once.
pub fn leave(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
) -> Result<Decision, RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let member = conversation.member(sid).ok_or(RelayError::ParticipantNotFound)?;
    let mut decision = begin(context, conversation);
    let own = conversation.sid().as_str();
    decision.batch.delete(tables::participant(account, own, sid.as_str()));
    decision.batch.put(tables::tombstone(account, own, b'P', sid.as_str().as_bytes()), bytes::Bytes::new());
    if let Some(binding) = &member.record.binding {
        for address in std::iter::once(&binding.address).chain(&binding.aliases) {
            decision.batch.delete(tables::binding(account, &binding.proxy, address));
        }
    }
    for name in person_names(&member.record) {
        decision.batch.delete(tables::person(account, &name, sid.as_str()));
    }
    decision.next.members.retain(|member| &member.record.sid != sid);
    decision.next.head.roster = Mark::ThisWrite;
    Ok(finish(context, decision))
}

/// A message posted over REST: its author is matched against the members.
pub fn draft_of(conversation: &Conversation, new: NewMessage) -> Draft {
    let participant = conversation.author(&new.author).map(|member| member.record.sid.clone());
    Draft {
        author: new.author,
        participant,
        has_it: None,
        body: new.body,
        parts: Vec::new(),
        attributes: new.attributes,
        created: new.created,
        updated: new.updated,
        source: None,
        reply_to: None,
    }
}

/// How many writes appending one draft to this conversation takes, at most.
pub fn writes_per_draft(conversation: &Conversation) -> usize {
    3 + conversation.members.iter().filter(|member| member.record.binding.is_some()).count()
}

/// Messages join a conversation, in order: each gets its index, and one delivery for every outside member who did
/// not write it.
pub fn append(
    context: &Context<'_>,
    conversation: &Conversation,
    drafts: Vec<Draft>,
) -> Result<(Decision, Vec<(u64, MessageRecord)>), RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let own = conversation.sid().as_str();
    let mut decision = begin(context, conversation);
    decision.batch.intake = true;
    let mut appended = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let index = decision.next.head.next_index;
        decision.next.head.next_index += 1;
        let sid = MessageSid::new(context.mint);
        let mut deliveries = Vec::new();
        for member in &conversation.members {
            let Some(binding) = &member.record.binding else { continue };
            let name = Some(&member.record.sid);
            if name == draft.participant.as_ref() || name == draft.has_it.as_ref() {
                continue;
            }
            let receipt = ReceiptSid::new(context.mint);
            let dispatch = Dispatch::Message {
                conversation: conversation.sid().clone(),
                index,
                participant: member.record.sid.clone(),
                receipt: receipt.clone(),
                sent: Vec::new(),
                begun: false,
            };
            work::enqueue(
                &mut decision.batch,
                account,
                Queue::Outbound,
                binding.proxy.as_str(),
                binding.address.as_str(),
                context.births.birth(),
                context.now,
                dispatch.encode(),
            );
            decision.after.wake.push(Wake::outbound(&binding.proxy, &binding.address));
            deliveries.push(Delivery { participant: member.record.sid.clone(), receipt });
        }
        if let Some(source) = &draft.source {
            let key = tables::provider_id(account, &source.kind, &source.proxy, &source.id);
            decision.batch.absent(key.clone());
            let row = ProviderIdRow::Message {
                conversation: conversation.sid().clone(),
                index,
                subject: Subject::Inbound,
            };
            decision.batch.put(key, row.encode());
        }
        let created = draft.created.unwrap_or(context.now);
        let record = MessageRecord {
            sid,
            author: draft.author,
            participant: draft.participant,
            body: draft.body,
            attributes: draft.attributes.unwrap_or_else(|| "{}".to_owned()),
            created,
            updated: draft.updated.unwrap_or(created),
            deliveries,
            parts: message::kept_parts(&draft.parts),
            reply_to: draft.reply_to,
            source: draft.source,
        };
        decision.batch.put(tables::message(account, own, index), record.encode());
        let place = bytes::Bytes::copy_from_slice(&index.to_be_bytes());
        decision.batch.put(tables::message_sid(account, own, record.sid.as_str()), place);
        appended.push((index, record));
    }
    decision.next.head.messages = Mark::ThisWrite;
    rouse(&mut decision);
    Ok((finish(context, decision), appended))
}

/// The stored copy of a message changes; nothing is sent again.
pub fn change_message(
    context: &Context<'_>,
    conversation: &Conversation,
    index: u64,
    record: &MessageRecord,
    change: MessageChange,
) -> Result<(Decision, MessageRecord), RelayError> {
    require_open(conversation)?;
    let mut record = record.clone();
    if let Some(author) = change.author {
        record.participant = conversation.author(&author).map(|member| member.record.sid.clone());
        record.author = author;
    }
    record.body = change.body.apply(record.body);
    record.attributes = change.attributes.unwrap_or(record.attributes);
    record.created = change.created.unwrap_or(record.created);
    record.updated = change.updated.unwrap_or(context.now);
    if let Some(parts) = change.parts {
        record.parts = message::kept_parts(&parts);
    }
    let mut decision = begin(context, conversation);
    let key = tables::message(context.account.as_str(), conversation.sid().as_str(), index);
    decision.batch.put(key, record.encode());
    decision.next.head.messages = Mark::ThisWrite;
    Ok((finish(context, decision), record))
}

/// A message goes; its index is never used again, and what is queued for it finds it gone.
pub fn remove_message(
    context: &Context<'_>,
    conversation: &Conversation,
    index: u64,
    record: &MessageRecord,
) -> Result<Decision, RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let own = conversation.sid().as_str();
    let mut decision = begin(context, conversation);
    decision.batch.delete(tables::message(account, own, index));
    decision.batch.delete(tables::message_sid(account, own, record.sid.as_str()));
    for delivery in &record.deliveries {
        decision.batch.delete(tables::receipt(account, own, index, delivery.receipt.as_str()));
    }
    if let Some(source) = &record.source {
        // The id stays known, so that the provider's repeat does not bring the message back.
        let key = tables::provider_id(account, &source.kind, &source.proxy, &source.id);
        decision.batch.put(key, ProviderIdRow::Event.encode());
    }
    decision.batch.put(tables::tombstone(account, own, b'M', &index.to_be_bytes()), bytes::Bytes::new());
    decision.next.head.messages = Mark::ThisWrite;
    Ok(finish(context, decision))
}

#[cfg(test)]
#[path = "decide_test.rs"]
mod tests;
