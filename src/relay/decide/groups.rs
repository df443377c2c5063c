//! Group texts: people outside and addresses of ours that write to each other as a set, each seeing all of the others.
//!
//! A participant of one has an address of theirs (outside), or a projected address: one of ours that the others see,
//! alone or with an identity behind it. Who they are together is what an inbound group text can be found by, so no set
//! is in two open conversations: the set's row is a claim like a messaging binding's. The claim belongs to a complete
//! set only; while people are added one by one nothing is claimed, and nothing can be posted. A participant with a
//! messaging binding may be there too, as an ordinary leg beside the group.

use std::collections::BTreeSet;

use trunkline_adapter::Address;

use crate::model::{Conversation, Member, ParticipantRecord, Seat};
use crate::relay::command::{Change, ParticipantChange, Who};
use crate::relay::error::{Misfit, RelayError};

/// Most participants of a conversation with a group text.
pub const MOST: usize = 10;
/// Fewer addresses than these are no group.
const LEAST: usize = 3;

fn seats(conversation: &Conversation) -> impl Iterator<Item = &Seat> {
    conversation.members.iter().filter_map(|member| member.record.seat.as_ref())
}

fn is_group(conversation: &Conversation) -> bool {
    seats(conversation).next().is_some()
}

/// The addresses of a group text that can be: enough of them, somebody outside, and one of ours.
pub fn set(conversation: &Conversation) -> Option<BTreeSet<&Address>> {
    let set: BTreeSet<&Address> = seats(conversation).map(Seat::seen).collect();
    let outside = seats(conversation).any(|seat| matches!(seat, Seat::Address(_)));
    let ours = seats(conversation).any(|seat| matches!(seat, Seat::Projected(_)));
    (set.len() >= LEAST && outside && ours).then_some(set)
}

/// The name of a set: whatever order they joined in, and no other set's.
pub fn digest(set: &BTreeSet<&Address>) -> [u8; 32] {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    for address in set {
        hash.update(&(address.as_str().len() as u64).to_be_bytes());
        hash.update(address.as_str().as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}

fn placed(record: &ParticipantRecord) -> bool {
    record.seat.is_some() || record.binding.is_some()
}

/// Refuses somebody who cannot be in a group text, or with it, as it is.
pub fn admit(conversation: &Conversation, who: &Who) -> Result<(), RelayError> {
    let (group, full) = (is_group(conversation), conversation.members.len() >= MOST);
    let seen = |address: &Address| seats(conversation).any(|seat| seat == &Seat::Address(address.clone()));
    let bound = |address: &Address| {
        let mut bindings = conversation.members.iter().filter_map(|member| member.record.binding.as_ref());
        bindings.any(|binding| &binding.address == address || binding.aliases.contains(address))
    };
    let refused = match who {
        // Those who were there before it became one are refused when somebody posts.
        Who::Identity(_) => group.then_some(Misfit::NoPlace),
        Who::Bound { address, .. } if group && seen(address) => Some(Misfit::Present),
        Who::Bound { .. } => (group && full).then_some(Misfit::GroupFull),
        Who::Outside(address) if seen(address) || bound(address) => Some(Misfit::Present),
        Who::Projected { address, identity } if same_seat(conversation, address, identity.as_deref()) => {
            Some(Misfit::Present)
        }
        Who::Outside(_) | Who::Projected { .. } => full.then_some(Misfit::GroupFull),
    };
    refused.map_or(Ok(()), |misfit| Err(misfit.into()))
}

fn same_seat(conversation: &Conversation, address: &Address, identity: Option<&str>) -> bool {
    conversation.members.iter().map(|member| &member.record).any(|record| {
        matches!(&record.seat, Some(Seat::Projected(own)) if own == address)
            && record.identity.as_deref() == identity
    })
}

/// Refuses a new conversation whose group text could never be.
pub fn gathered(conversation: &Conversation) -> Result<(), RelayError> {
    if !is_group(conversation) {
        return Ok(());
    }
    if !conversation.members.iter().all(|member| placed(&member.record)) {
        return Err(Misfit::NoPlace.into());
    }
    if conversation.members.len() > MOST {
        return Err(Misfit::GroupFull.into());
    }
    set(conversation).map(drop).ok_or(Misfit::Incomplete.into())
}

/// Whether somebody may post: in a group text only who is in it, and not before it is one. Where there is none, everybody.
pub fn may_post(conversation: &Conversation, author: Option<&Member>) -> Result<(), RelayError> {
    if !is_group(conversation) {
        return Ok(());
    }
    if set(conversation).is_none() || !conversation.members.iter().all(|member| placed(&member.record)) {
        return Err(Misfit::Incomplete.into());
    }
    author.map(drop).ok_or(Misfit::AuthorOutside.into())
}

/// Changes somebody's place in a group text, as far as it needs no claim on a messaging binding.
pub fn reseat(
    record: &mut ParticipantRecord,
    change: &ParticipantChange,
    conversation: &Conversation,
) -> Result<(), RelayError> {
    let mut others = conversation.members.iter().map(|member| &member.record);
    if let Some(identity) = &change.identity {
        if record.identity.is_some() || !matches!(record.seat, Some(Seat::Projected(_))) {
            return Err(Misfit::IdentityFixed.into());
        }
        if others.any(|other| other.identity.as_ref() == Some(identity)) {
            return Err(RelayError::IdentityTaken);
        }
        record.identity = Some(identity.clone());
    }
    match (&change.projected, &record.seat) {
        (Change::Keep, _) => {}
        (Change::Set(_), Some(Seat::Address(_))) => return Err(Misfit::ProjectedAndBinding.into()),
        (Change::Set(_), _) if record.binding.is_some() => return Err(Misfit::ProjectedAndBinding.into()),
        (Change::Set(address), _) => {
            let joins = record.seat.is_none();
            if joins && conversation.members.len() > MOST {
                return Err(Misfit::GroupFull.into());
            }
            record.seat = Some(Seat::Projected(address.clone()));
        }
        (Change::Clear, Some(Seat::Projected(_))) => {
            let mut seated = conversation.members.iter().filter(|member| member.record.seat.is_some());
            let alone = seated.all(|member| member.record.sid == record.sid);
            // Nothing would be left of them, or they would have no place beside the others.
            if record.identity.is_none() || !alone {
                return Err(Misfit::NoPlace.into());
            }
            record.seat = None;
        }
        (Change::Clear, _) => return Err(Misfit::ProjectedNotThere.into()),
    }
    Ok(())
}

/// Refuses what somebody's proxy address cannot become, before anything is claimed.
pub fn reproxy(record: &ParticipantRecord, change: &Change<Address>) -> Result<(), RelayError> {
    let misfit = match (change, record.outside()) {
        (Change::Keep, _) => return Ok(()),
        (Change::Clear, _) if record.binding.is_none() => Misfit::ProxyNotThere,
        (Change::Clear, _) => return Ok(()),
        (Change::Set(_), None) => Misfit::ProxyWithoutAddress,
        (Change::Set(proxy), Some(own)) if own.channel() != proxy.channel() => Misfit::ChannelsDiffer,
        (Change::Set(proxy), Some(own)) if own == proxy => Misfit::AddressIsProxy,
        (Change::Set(_), Some(_)) => return Ok(()),
    };
    Err(misfit.into())
}
