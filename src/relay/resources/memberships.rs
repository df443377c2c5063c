//! Which conversations somebody is in: by identity, or by address. Found in the person index, which is written with the
//! participant; nothing here is touched by a message.

use std::collections::BTreeMap;

use crate::ledger::key::Range;
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, Conversation, ParticipantRecord, PersonRow, ServiceSid, UserRecord};
use crate::relay::command::Membership;
use crate::relay::{Relay, RelayError};

/// Rows read at a time.
const PAGE: usize = 500;

/// Who is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    Identity(String),
    /// An address, perhaps on one of our proxy addresses only.
    Address {
        address: String,
        proxy: Option<String>,
    },
}

impl Sought {
    /// The name in the person index. Names there may be cut, so what is found is looked at again.
    fn name(&self) -> String {
        match self {
            Sought::Identity(identity) => tables::identity_name(identity),
            Sought::Address { address, .. } => address.clone(),
        }
    }

    fn is(&self, participant: &ParticipantRecord) -> bool {
        match (self, &participant.binding) {
            (Sought::Identity(identity), _) => participant.identity.as_ref() == Some(identity),
            (Sought::Address { address, proxy }, Some(binding)) => {
                let named = std::iter::once(&binding.address).chain(&binding.aliases);
                named.into_iter().any(|name| name.as_str() == address)
                    && proxy.as_ref().is_none_or(|proxy| binding.proxy.as_str() == proxy)
            }
            // In a group text nobody is reached through one of our addresses alone.
            (Sought::Address { address, proxy }, None) => {
                proxy.is_none() && participant.outside().is_some_and(|own| own.as_str() == address)
            }
        }
    }
}

impl Relay {
    /// Memberships in the order of the conversations' SIDs, from behind a place, open and closed conversations alike.
    pub async fn memberships(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sought: &Sought,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Membership>, RelayError> {
        let mut after = after.map(str::to_owned);
        let mut found = Vec::new();
        while found.len() < limit {
            let next = self.next_persons(account, service, sought, after.as_deref(), limit).await?;
            let all = next.len() < limit;
            for (place, row) in next {
                after = Some(place);
                let conversation = self.load(account, row.conversation.as_str()).await?;
                // A conversation that is being removed has its index entries a little longer.
                let Some(conversation) = conversation.filter(|found| &found.head.service == service) else {
                    continue;
                };
                let member = conversation.member(&row.participant).map(|member| member.record.clone());
                if let Some(participant) = member.filter(|member| sought.is(member)) {
                    found.push(Membership { conversation, participant });
                }
            }
            if all {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// The first index entries behind a place. The index is in the order of participants, so all entries of the name
    /// are read; never more than a page and the answer are in memory.
    async fn next_persons(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sought: &Sought,
        after: Option<&str>,
        limit: usize,
    ) -> Result<BTreeMap<String, PersonRow>, RelayError> {
        let prefix = tables::persons(account.as_str(), &sought.name());
        let snapshot = self.ledger.snapshot();
        let (mut range, mut first) = (Range::prefix(&prefix), BTreeMap::new());
        loop {
            let page = typed::json_page::<PersonRow>(&*snapshot, range, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(first) };
            range = Range::after(&prefix, last);
            for (_, stored) in page {
                let row = stored.record;
                let place = Membership::place_of(&row.conversation, &row.participant);
                if &row.service == service && after.is_none_or(|after| place.as_str() > after) {
                    first.insert(place, row);
                    if first.len() > limit {
                        first.pop_last();
                    }
                }
            }
        }
    }

    /// A user's membership of one conversation.
    pub async fn membership(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        user: &UserRecord,
        name: &str,
    ) -> Result<Membership, RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let member = conversation.members.iter().map(|member| &member.record);
        let member = member.into_iter().find(|member| member.identity.as_ref() == Some(&user.identity));
        let participant = member.ok_or(RelayError::ParticipantNotFound)?.clone();
        Ok(Membership { conversation, participant })
    }

    /// How many messages of a conversation are behind a participant's read horizon; nothing while there is none.
    pub async fn unread(
        &self,
        account: &AccountSid,
        conversation: &Conversation,
        participant: &ParticipantRecord,
    ) -> Result<Option<u64>, RelayError> {
        let Some(read) = participant.last_read_message_index else { return Ok(None) };
        self.messages_from(account, conversation, read.saturating_add(1)).await.map(Some)
    }

    /// How many messages a conversation has.
    pub async fn message_count(
        &self,
        account: &AccountSid,
        conversation: &Conversation,
    ) -> Result<u64, RelayError> {
        self.messages_from(account, conversation, 0).await
    }

    async fn messages_from(
        &self,
        account: &AccountSid,
        conversation: &Conversation,
        from: u64,
    ) -> Result<u64, RelayError> {
        let behind = conversation.head.next_index.saturating_sub(from);
        if behind == 0 {
            return Ok(0);
        }
        // Indexes are never used twice, so what is missing there has left a tombstone: few, where messages are many.
        let (account, sid) = (account.as_str(), conversation.sid().as_str());
        let (prefix, start) = tables::message_tombstones(account, sid, from);
        let mut range = Range::from(&prefix, &start);
        let (snapshot, mut removed) = (self.ledger.snapshot(), 0u64);
        loop {
            let rows = snapshot.scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { break };
            range = Range::after(&prefix, last);
            removed += rows.len() as u64;
        }
        Ok(behind.saturating_sub(removed))
    }
}
