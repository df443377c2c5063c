//! Group texts where the store is asked: which addresses can carry them, and the claim on the set of those who are in one.

use trunkline_adapter::{Address, Channel};

use super::decide::Decision;
use super::decide::groups::{digest, set};
use super::{Misfit, Relay, RelayError};
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, Conversation, GroupRow, Head, Json, State};

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
