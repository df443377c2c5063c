//! Participants: they join, change, leave, and become known by more addresses.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::Address;

use super::command::{NewParticipant, ParticipantChange, Who};
use super::decide_roster;
use super::{Relay, RelayError};
use crate::ledger::key::Range;
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, Binding, Conversation, ConversationSid, ParticipantSid, ServiceSid};

/// Rows read at a time.
const PAGE: usize = 500;

impl Relay {
    pub async fn add_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        new: NewParticipant,
    ) -> Result<(Arc<Conversation>, ParticipantSid), RelayError> {
        let current = self.conversation(account, service, name).await?;
        if let Who::Bound { address, proxy } = &new.who {
            if self.proxies.get(account, proxy).is_none() {
                return Err(RelayError::ProxyNotOurs);
            }
            if self.proxies.get(account, address).is_some() {
                return Err(RelayError::AddressIsOurs);
            }
        }
        let new = &new;
        let joined = self
            .change(account, current.sid().as_str(), |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let holder = match &new.who {
                    Who::Identity(_) => None,
                    Who::Bound { address, proxy } => {
                        self.holder(&*self.ledger.snapshot(), account, proxy, address).await?
                    }
                };
                let (decision, sid) =
                    decide_roster::join(context, conversation, new.clone(), holder.as_ref())?;
                Ok((Some(decision), Some(sid)))
            })
            .await?;
        let sid = joined.1.ok_or(RelayError::ParticipantNotFound)?;
        Ok((joined.0, sid))
    }

    pub async fn update_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        participant: &str,
        change: ParticipantChange,
    ) -> Result<(Arc<Conversation>, ParticipantSid), RelayError> {
        let current = self.conversation(account, service, name).await?;
        let change = &change;
        let changed = self
            .change(account, current.sid().as_str(), |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let member =
                    conversation.member_by_name(participant).ok_or(RelayError::ParticipantNotFound)?;
                let sid = member.record.sid.clone();
                let decision =
                    decide_roster::change_participant(context, conversation, &sid, change.clone())?;
                Ok((Some(decision), Some(sid)))
            })
            .await?;
        let sid = changed.1.ok_or(RelayError::ParticipantNotFound)?;
        Ok((changed.0, sid))
    }

    pub async fn remove_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        participant: &str,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.change(account, current.sid().as_str(), |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            let member = conversation.member_by_name(participant).ok_or(RelayError::ParticipantNotFound)?;
            let sid = member.record.sid.clone();
            Ok((Some(decide_roster::leave(context, conversation, &sid)?), ()))
        })
        .await?;
        Ok(())
    }

    /// How many open conversations somebody reaches through one of our proxy addresses.
    pub async fn conversations_on(&self, account: &AccountSid, proxy: &Address) -> Result<usize, RelayError> {
        let prefix = tables::bindings_of_proxy(account.as_str(), proxy);
        let mut range = Range::prefix(&prefix);
        let mut seen = HashSet::new();
        loop {
            let page = typed::json_page::<Binding>(&*self.ledger.snapshot(), range, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            range = Range::after(&prefix, last);
            seen.extend(page.into_iter().map(|(_, stored)| stored.record.conversation));
        }
        let mut open = 0;
        for conversation in seen {
            let found = self.load(account, conversation.as_str()).await?;
            open += usize::from(found.is_some_and(|found| found.head.state.open()));
        }
        Ok(open)
    }

    /// A participant turns out to go by other addresses too. Never fails what it came with: an alias that is taken
    /// elsewhere, or cannot be stored now, is not learnt.
    pub async fn learn(
        &self,
        account: &AccountSid,
        conversation: &ConversationSid,
        participant: &ParticipantSid,
        aliases: &[Address],
    ) {
        for alias in aliases {
            let learnt = self
                .change(account, conversation.as_str(), |current, context| async move {
                    let (current, context) = (&*current, &context);
                    let Some(binding) = current.member(participant).and_then(|m| m.record.binding.as_ref())
                    else {
                        return Ok((None, ()));
                    };
                    if &binding.address == alias
                        || binding.aliases.contains(alias)
                        || binding.proxy.channel() != alias.channel()
                    {
                        return Ok((None, ()));
                    }
                    let holder =
                        self.holder(&*self.ledger.snapshot(), account, &binding.proxy, alias).await?;
                    let decision =
                        decide_roster::learn(context, current, participant, alias, holder.as_ref());
                    Ok((decision, ()))
                })
                .await;
            if let Err(error) = learnt {
                tracing::debug!(%conversation, %participant, %error, "An alias was not learnt");
            }
        }
    }
}
