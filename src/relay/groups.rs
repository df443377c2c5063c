//! Group texts: people outside and addresses of ours that write to each other as a set, each seeing all of the others.
//!
//! A participant of one has an address of theirs (outside), or a projected address: one of ours that the others see,
//! alone or with an identity behind it. Who they are together is what an inbound group text can be found by, so no set
//! is in two open conversations: the set's row is a claim like a messaging binding's. The claim belongs to a complete
//! set only; while people are added one by one nothing is claimed, and nothing can be posted. A participant with a
//! messaging binding may be there too, as an ordinary leg beside the group.

use std::collections::BTreeSet;

use trunkline_adapter::{Address, Channel};

use super::command::{Change, ParticipantChange, Who};
use super::decide::Decision;
use super::{Misfit, Relay, RelayError};
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, Conversation, GroupRow, Head, Json, Member, ParticipantRecord, Seat, State};

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

impl Relay {
    /// Refuses an address that cannot be a projected one.
    pub(super) fn require_projected(
        &self,
        account: &AccountSid,
        address: &Address,
    ) -> Result<(), RelayError> {
        match self.proxies.get(account, address) {
            None => Err(Misfit::ProjectedNotOurs.into()),
            Some(_) if address.channel() != Channel::Sms => Err(Misfit::ChannelWithoutGroups.into()),
            Some(proxy) if !proxy.group_texts => Err(Misfit::NoGroupTexts.into()),
            Some(_) => Ok(()),
        }
    }

    /// Refuses somebody outside who has no proxy address, where that cannot be a group text.
    pub(super) fn require_groups(
        &self,
        account: &AccountSid,
        address: &Address,
        otherwise: Misfit,
    ) -> Result<(), RelayError> {
        if address.channel() == Channel::Sms && self.proxies.group_texts(account) {
            return Ok(());
        }
        Err(otherwise.into())
    }

    /// Makes a decision hold the set that the group text will be, and give up the one it was. `lenient`: where another
    /// conversation has the set, this one goes on without; somebody who must go cannot be kept in for it.
    pub(super) async fn regroup(
        &self,
        account: &AccountSid,
        before: Option<&Conversation>,
        decision: &mut Decision,
        lenient: bool,
    ) -> Result<(), RelayError> {
        let named = |conversation: &Conversation| set(conversation).map(|set| digest(&set));
        let old = before.and_then(named);
        let new = Some(&decision.next).filter(|next| next.head.state != State::Deleted).and_then(named);
        if old == new {
            return Ok(());
        }
        let snapshot = self.ledger.snapshot();
        let own = decision.next.sid().clone();
        if let Some(new) = new {
            let key = tables::group_text(account.as_str(), &new);
            let held = typed::json::<GroupRow>(&*snapshot, &key).await?;
            let mut free = true;
            match held {
                None => {
                    decision.batch.absent(key.clone());
                }
                Some(row) => {
                    let head = tables::head(account.as_str(), row.record.conversation.as_str());
                    let head = typed::compact::<Head>(&*snapshot, &head).await?;
                    free =
                        row.record.conversation == own || head.is_none_or(|head| !head.record.state.open());
                    if !free && !lenient {
                        return Err(Misfit::SetTaken(row.record.conversation).into());
                    }
                    decision.batch.at(key.clone(), row.changed);
                }
            }
            if free {
                decision.batch.put(key, GroupRow { conversation: own.clone() }.encode());
            }
        }
        if let Some(old) = old {
            let key = tables::group_text(account.as_str(), &old);
            let held = typed::json::<GroupRow>(&*snapshot, &key).await?;
            if let Some(row) = held.filter(|row| row.record.conversation == own) {
                decision.batch.at(key.clone(), row.changed);
                decision.batch.delete(key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "groups_test.rs"]
mod tests;
