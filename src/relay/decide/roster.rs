//! Decisions about who is in a conversation: joining, changing, becoming known by more addresses, leaving.

use std::sync::Arc;

use trunkline_adapter::{Address, Timestamp};

use super::{Context, Decision, begin, finish, groups, require_open, rouse};
use crate::ledger::engine::{Batch, Revision};
use crate::ledger::key::Key;
use crate::ledger::tables;
use crate::model::conversation::Mark;
use crate::model::{
    Binding, Conversation, Json, Member, ParticipantRecord, ParticipantSid, PersonBinding, PersonRow, Seat,
};
use crate::relay::command::{Change, NewParticipant, ParticipantChange, Who};
use crate::relay::error::RelayError;

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
    let mut decision = begin(context, conversation);
    decision.batch.intake = true;
    let sid = seat(context, &mut decision, new, holder)?;
    rouse(context, &mut decision);
    Ok((finish(decision), sid))
}

/// People are there from a new conversation's first moment. Nothing wakes it: it is in the state that was asked for.
pub fn gather(
    context: &Context<'_>,
    mut created: Decision,
    people: impl IntoIterator<Item = (NewParticipant, Option<Holder>)>,
) -> Result<Decision, RelayError> {
    for (new, holder) in people {
        // Of a conversation that is not there yet nobody can be told that the pair is bound in it.
        if matches!(&new.who, Who::Bound { address, proxy } if holds(&created.next, address, proxy)) {
            return Err(RelayError::PairTwice);
        }
        seat(context, &mut created, new, holder.as_ref())?;
    }
    groups::gathered(&created.next)?;
    Ok(finish(created))
}

/// Puts somebody into what will be.
fn seat(
    context: &Context<'_>,
    decision: &mut Decision,
    new: NewParticipant,
    holder: Option<&Holder>,
) -> Result<ParticipantSid, RelayError> {
    let (account, conversation) = (context.account.as_str(), &decision.next);
    let sid = ParticipantSid::new(context.mint);
    groups::admit(conversation, &new.who)?;
    let bound = conversation.members.iter().filter(|member| member.record.binding.is_some()).count();
    let unless_taken = |identity: Option<String>| {
        let taken = identity.is_some() && conversation.members.iter().any(|m| m.record.identity == identity);
        if taken { Err(RelayError::IdentityTaken) } else { Ok(identity) }
    };
    let (identity, binding, place) = match new.who {
        Who::Identity(identity) => (unless_taken(Some(identity))?, None, None),
        Who::Outside(address) => (None, None, Some(Seat::Address(address))),
        Who::Projected { address, identity } => {
            (unless_taken(identity)?, None, Some(Seat::Projected(address)))
        }
        Who::Bound { address, proxy } => {
            if bound >= context.most.outside {
                return Err(RelayError::TooManyBound);
            }
            let rest = serde_json::Map::new();
            (None, Some(PersonBinding { address, proxy, aliases: Vec::new(), rest }), None)
        }
    };
    if conversation.members.len() >= context.most.participants {
        return Err(RelayError::TooManyParticipants);
    }
    if let Some(binding) = &binding {
        let claim = tables::binding(account, &binding.proxy, &binding.address);
        take_claim(&mut decision.batch, &claim, holder)?;
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
        seat: place,
        role_sid: new.role_sid,
        attributes: new.attributes.unwrap_or_else(|| "{}".to_owned()),
        birth: context.births.birth(),
        created,
        updated: new.updated.unwrap_or(created),
        last_read_message_index: None,
        last_read_timestamp: None,
        muted: false,
        window_closes: None,
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
    // Nobody has left a conversation that is only being made.
    if let Some(identity) = record.identity.as_ref().filter(|_| conversation.head_revision > 0) {
        let service = person.service.as_str();
        decision.batch.delete(tables::departure(account, service, identity, person.conversation.as_str()));
    }
    put_member(context, decision, record);
    Ok(sid)
}

fn holds(conversation: &Conversation, address: &Address, proxy: &Address) -> bool {
    let mut bindings = conversation.members.iter().filter_map(|member| member.record.binding.as_ref());
    bindings.any(|binding| &binding.address == address && &binding.proxy == proxy)
}

/// The names a participant is found by in the person index.
pub fn person_names(record: &ParticipantRecord) -> Vec<String> {
    match (&record.binding, &record.identity) {
        (Some(binding), _) => {
            std::iter::once(&binding.address).chain(&binding.aliases).map(Address::to_string).collect()
        }
        // An identity could look like an address; the colon in front keeps the two apart.
        (None, Some(identity)) => vec![tables::identity_name(identity)],
        (None, None) => match &record.seat {
            Some(Seat::Address(address)) => vec![address.to_string()],
            // Nobody is found by an address of ours: it may stand for many.
            Some(Seat::Projected(_)) | None => Vec::new(),
        },
    }
}

pub(in crate::relay) fn put_member(
    context: &Context<'_>,
    decision: &mut Decision,
    record: ParticipantRecord,
) {
    let conversation = decision.next.sid().as_str().to_owned();
    let key = tables::participant(context.account.as_str(), &conversation, record.sid.as_str());
    decision.members_at.push((record.sid.clone(), decision.batch.writes.len()));
    decision.batch.put(key, record.encode());
    decision.next.head.roster = Mark::ThisWrite;
    let members = Arc::make_mut(&mut decision.next.members);
    match members.iter_mut().find(|member| member.record.sid == record.sid) {
        Some(member) => member.record = record,
        None => members.push(Member { record, revision: 0 }),
    }
}

/// Changes to a participant. `holder` is the row of the pair that a new proxy address makes, as it was read.
pub fn change_participant(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
    change: ParticipantChange,
    holder: Option<&Holder>,
) -> Result<Decision, RelayError> {
    // What concerns nobody else may still change in a closed conversation: a read horizon, and whether pushes are wanted.
    let only_reading = change.role_sid.is_keep()
        && change.attributes.is_none()
        && change.proxy.is_keep()
        && change.projected.is_keep()
        && change.identity.is_none()
        && change.created.is_none()
        && change.updated.is_none();
    if !only_reading {
        require_open(conversation)?;
    }
    let member = conversation.member(sid).ok_or(RelayError::ParticipantNotFound)?;
    let mut record = member.record.clone();
    groups::reproxy(&record, &change.proxy)?;
    groups::reseat(&mut record, &change, conversation)?;
    record.muted = change.muted.unwrap_or(record.muted);
    record.role_sid = change.role_sid.apply(record.role_sid);
    record.attributes = change.attributes.unwrap_or(record.attributes);
    record.last_read_message_index = change.last_read_message_index.apply(record.last_read_message_index);
    record.last_read_timestamp = change.last_read_timestamp.apply(record.last_read_timestamp);
    record.created = change.created.unwrap_or(record.created);
    record.updated = change.updated.unwrap_or(context.now);
    let mut decision = begin(context, conversation);
    match change.proxy {
        Change::Keep => {}
        Change::Set(proxy) => move_to(context, &mut decision, &mut record, proxy, holder)?,
        Change::Clear => release(context, &mut decision, &mut record),
    }
    // Who got an identity is found by it from now on.
    for name in person_names(&record).into_iter().filter(|_| record.identity != member.record.identity) {
        let person = PersonRow {
            service: conversation.head.service.clone(),
            conversation: conversation.sid().clone(),
            participant: sid.clone(),
        };
        let key = tables::person(context.account.as_str(), &name, sid.as_str());
        decision.batch.put(key, person.encode());
    }
    put_member(context, &mut decision, record);
    Ok(finish(decision))
}

/// Somebody has read a message, as their channel tells. Their read horizon only goes forward by it; nothing where it is
/// there already.
pub fn read(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
    index: u64,
    at: Timestamp,
) -> Option<Decision> {
    let member = conversation.member(sid)?;
    if member.record.last_read_message_index >= Some(index) {
        return None;
    }
    let mut record = member.record.clone();
    record.last_read_message_index = Some(index);
    record.last_read_timestamp = Some(at);
    record.updated = context.now;
    let mut decision = begin(context, conversation);
    put_member(context, &mut decision, record);
    Some(finish(decision))
}

/// Somebody outside is reached through no proxy address any more: they are in the group text, by their address alone.
fn release(context: &Context<'_>, decision: &mut Decision, record: &mut ParticipantRecord) {
    let Some(binding) = record.binding.take() else { return };
    free_pairs(context, decision, record, &binding);
    record.seat = Some(Seat::Address(binding.address));
    record.window_closes = None;
}

/// Gives up all pairs of a messaging binding, and what else its person was found by than their first address.
fn free_pairs(
    context: &Context<'_>,
    decision: &mut Decision,
    record: &ParticipantRecord,
    binding: &PersonBinding,
) {
    let account = context.account.as_str();
    for address in std::iter::once(&binding.address).chain(&binding.aliases) {
        decision.batch.delete(tables::binding(account, &binding.proxy, address));
    }
    for alias in &binding.aliases {
        decision.batch.delete(tables::person(account, alias.as_str(), record.sid.as_str()));
    }
}

/// Somebody outside is reached through another proxy address from now on. What was queued before leaves from the old
/// one. What was learnt of them there, other addresses and the window, does not hold on the new one.
fn move_to(
    context: &Context<'_>,
    decision: &mut Decision,
    record: &mut ParticipantRecord,
    proxy: Address,
    holder: Option<&Holder>,
) -> Result<(), RelayError> {
    let address = match (&record.binding, &record.seat) {
        (Some(binding), _) if binding.proxy == proxy => return Ok(()),
        (Some(binding), _) => binding.address.clone(),
        // They leave the group text for a line of their own.
        (None, Some(Seat::Address(address))) => address.clone(),
        (None, _) => return Ok(()),
    };
    let (account, conversation) = (context.account.as_str(), &decision.next);
    let bound = conversation.members.iter().filter(|member| member.record.binding.is_some()).count();
    if record.binding.is_none() && bound >= context.most.outside {
        return Err(RelayError::TooManyBound);
    }
    let claim = tables::binding(account, &proxy, &address);
    let row = Binding {
        service: conversation.head.service.clone(),
        conversation: conversation.sid().clone(),
        participant: record.sid.clone(),
    };
    take_claim(&mut decision.batch, &claim, holder)?;
    decision.batch.put(claim, row.encode());
    let rest = match record.binding.take() {
        Some(old) => {
            free_pairs(context, decision, record, &old);
            old.rest
        }
        None => serde_json::Map::new(),
    };
    record.binding = Some(PersonBinding { address, proxy, aliases: Vec::new(), rest });
    record.seat = None;
    record.window_closes = None;
    Ok(())
}

/// Makes a batch rest on a claim's being free: nobody's, or of a conversation that does not count any more.
fn take_claim(batch: &mut Batch, claim: &Key, holder: Option<&Holder>) -> Result<(), RelayError> {
    match holder {
        None => batch.absent(claim.clone()),
        Some(held) if held.open => return Err(RelayError::BindingTaken(held.binding.conversation.clone())),
        Some(stale) => batch.at(claim.clone(), stale.revision),
    };
    Ok(())
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
    Some(finish(decision))
}

/// Somebody leaves; their messages stay, their messaging binding is free at once.
pub fn leave(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
) -> Result<Decision, RelayError> {
    require_open(conversation)?;
    vanish(context, conversation, sid)
}

/// Somebody is gone, from a closed conversation too.
pub fn vanish(
    context: &Context<'_>,
    conversation: &Conversation,
    sid: &ParticipantSid,
) -> Result<Decision, RelayError> {
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
    if let Some(identity) = &member.record.identity {
        let service = conversation.head.service.as_str();
        decision.batch.put(tables::departure(account, service, identity, own), bytes::Bytes::new());
    }
    Arc::make_mut(&mut decision.next.members).retain(|member| &member.record.sid != sid);
    decision.next.head.roster = Mark::ThisWrite;
    Ok(finish(decision))
}
