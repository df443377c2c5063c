//! Participants: they join, change, leave, and become known by more addresses.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::Address;

use super::settings::rely_on_role;
use super::users::identified;
use crate::announce::Cause;
use crate::ledger::engine::Batch;
use crate::ledger::key::{Key, Range};
use crate::ledger::{tables, typed};
use crate::model::{
    AccountSid, Binding, Conversation, ConversationSid, ParticipantRecord, ParticipantSid, ServiceSettings,
    ServiceSid, UserSid,
};
use crate::relay::asking::Whose;
use crate::relay::command::{Change, NewParticipant, ParticipantChange, Who};
use crate::relay::decide::roster::Holder;
use crate::relay::decide::{self, Context};
use crate::relay::{Misfit, Relay, RelayError, RoleUse};

/// Rows read at a time.
const PAGE: usize = 500;

/// What was read of somebody who wants to join.
pub(in crate::relay) struct Found {
    /// The row of the pair.
    pub(in crate::relay) holder: Option<Holder>,
    /// The row of the identity: its key, its user and its number.
    pub(in crate::relay) known: Option<(Key, UserSid, u64)>,
}

/// Somebody as they will be: who names no role gets the service's default one. Over REST nobody is a conversation's
/// creator, so nobody gets the creator's role.
pub(in crate::relay) fn settled(new: &NewParticipant, settings: &ServiceSettings) -> NewParticipant {
    let usual = Some(settings.conversation_role.as_str().to_owned());
    let role = match &new.who {
        // Nobody ever is at a client as somebody's bare address in a group text.
        Who::Outside(_) => new.role_sid.clone(),
        _ => new.role_sid.clone().or(usual),
    };
    NewParticipant { role_sid: role, ..new.clone() }
}

/// Makes a batch rest on the user of an identity, who is born with it where there is none. Whose user is removed meanwhile
/// has to be made again.
fn acquaint(
    context: &Context<'_>,
    service: &ServiceSid,
    identity: &str,
    known: Option<(Key, UserSid, u64)>,
    settings: &ServiceSettings,
    batch: &mut Batch,
) {
    match known {
        Some((key, _, changed)) => {
            batch.at(key, changed);
        }
        None => {
            let role = settings.service_role.clone();
            decide::users::user(context, service, identity.to_owned(), role, batch);
        }
    }
}

impl Relay {
    pub async fn add_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        new: NewParticipant,
        cause: Cause,
    ) -> Result<(Arc<Conversation>, ParticipantSid), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.require_welcome(account, service, &new.who).await?;
        self.ask_participant_add(Whose { account, service, cause }, current.sid(), &new).await?;
        let settings = self.service_settings(account, service).await?;
        let (new, settings) = (&new, &settings);
        let joined = self
            .change(account, current.sid().as_str(), cause, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let found = self.found(account, service, &new.who).await?;
                let (mut decision, sid) = decide::roster::join(
                    context,
                    conversation,
                    settled(new, settings),
                    found.holder.as_ref(),
                )?;
                let batch = &mut decision.batch;
                self.introduce(context, service, new, found.known, settings, batch).await?;
                self.regroup(account, Some(conversation), &mut decision, false).await?;
                Ok((Some(decision), Some(sid)))
            })
            .await?;
        let sid = joined.1.ok_or(RelayError::ParticipantNotFound)?;
        Ok((joined.0, sid))
    }

    /// Refuses those who can join no conversation as things are.
    pub(in crate::relay) async fn require_welcome(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        who: &Who,
    ) -> Result<(), RelayError> {
        match who {
            Who::Identity(identity) => self.require_room(account, service, identity).await,
            Who::Bound { proxy, .. } if self.proxies.get(account, proxy).is_none() => {
                Err(RelayError::ProxyNotOurs)
            }
            Who::Bound { address, .. } if self.proxies.get(account, address).is_some() => {
                Err(RelayError::AddressIsOurs)
            }
            Who::Bound { .. } => Ok(()),
            Who::Outside(address) if self.proxies.get(account, address).is_some() => {
                Err(RelayError::AddressIsOurs)
            }
            // Most who say no proxy address have forgotten it.
            Who::Outside(address) => self.require_groups(account, address, Misfit::ProxyMissing),
            Who::Projected { address, identity } => {
                self.require_projected(account, address)?;
                match identity {
                    Some(identity) => self.require_room(account, service, identity).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// Reads what is known of somebody. Before the participant gets its birth: who finds no user is younger than the
    /// removal of the last one.
    pub(in crate::relay) async fn found(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        who: &Who,
    ) -> Result<Found, RelayError> {
        let snapshot = self.ledger.snapshot();
        Ok(match who {
            Who::Identity(identity) | Who::Projected { identity: Some(identity), .. } => {
                Found { holder: None, known: identified(&*snapshot, account, service, identity).await? }
            }
            Who::Outside(_) | Who::Projected { identity: None, .. } => Found { holder: None, known: None },
            Who::Bound { address, proxy } => {
                Found { holder: self.holder(&*snapshot, account, proxy, address).await?, known: None }
            }
        })
    }

    /// Makes a batch rest on the role that the caller named, and on the user of the identity, who is born with it where
    /// there is none.
    pub(in crate::relay) async fn introduce(
        &self,
        context: &Context<'_>,
        service: &ServiceSid,
        new: &NewParticipant,
        known: Option<(Key, UserSid, u64)>,
        settings: &ServiceSettings,
        batch: &mut Batch,
    ) -> Result<(), RelayError> {
        // A role that the caller names must be there; the default one always is.
        if let Some(role) = &new.role_sid {
            let snapshot = self.ledger.snapshot();
            let account = context.account;
            rely_on_role(&*snapshot, account, service, role, RoleUse::Conversation, batch).await?;
        }
        if let Who::Identity(identity) | Who::Projected { identity: Some(identity), .. } = &new.who {
            acquaint(context, service, identity, known, settings, batch);
        }
        Ok(())
    }

    pub async fn update_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        participant: &str,
        change: ParticipantChange,
        cause: Cause,
    ) -> Result<(Arc<Conversation>, ParticipantSid), RelayError> {
        let current = self.conversation(account, service, name).await?;
        let whose = Whose { account, service, cause };
        self.ask_participant_update(whose, &current, participant, &change).await?;
        let settings = match &change.identity {
            Some(identity) => {
                self.require_room(account, service, identity).await?;
                Some(self.service_settings(account, service).await?)
            }
            None => None,
        };
        let (change, settings) = (&change, &settings);
        let role = match &change.role_sid {
            Change::Set(role) => Some(role),
            Change::Keep | Change::Clear => None,
        };
        let changed = self
            .change(account, current.sid().as_str(), cause, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let member =
                    conversation.member_by_name(participant).ok_or(RelayError::ParticipantNotFound)?;
                let sid = member.record.sid.clone();
                let snapshot = self.ledger.snapshot();
                let holder = match (&change.proxy, member.record.outside()) {
                    (Change::Set(proxy), Some(own)) => self.holder(&*snapshot, account, proxy, own).await?,
                    _ => None,
                };
                // Before the decision: who finds no user is younger than the removal of the last one.
                let known = match &change.identity {
                    Some(identity) => identified(&*snapshot, account, service, identity).await?,
                    None => None,
                };
                let mut decision = decide::roster::change_participant(
                    context,
                    conversation,
                    &sid,
                    change.clone(),
                    holder.as_ref(),
                )?;
                self.require_reach(account, &member.record, change)?;
                let batch = &mut decision.batch;
                if let Some(role) = role {
                    rely_on_role(&*snapshot, account, service, role, RoleUse::Conversation, batch).await?;
                }
                if let (Some(identity), Some(settings)) = (&change.identity, settings) {
                    acquaint(context, service, identity, known, settings, batch);
                }
                self.regroup(account, Some(conversation), &mut decision, false).await?;
                Ok((Some(decision), Some(sid)))
            })
            .await?;
        let sid = changed.1.ok_or(RelayError::ParticipantNotFound)?;
        Ok((changed.0, sid))
    }

    /// Refuses addresses of ours that somebody cannot be reached through, once it is known that the change fits them.
    fn require_reach(
        &self,
        account: &AccountSid,
        record: &ParticipantRecord,
        change: &ParticipantChange,
    ) -> Result<(), RelayError> {
        match (&change.proxy, record.outside()) {
            (Change::Set(proxy), _) if self.proxies.get(account, proxy).is_none() => {
                return Err(RelayError::ProxyNotOurs);
            }
            (Change::Clear, Some(own)) => self.require_groups(account, own, Misfit::NoGroupTexts)?,
            _ => {}
        }
        match &change.projected {
            Change::Set(address) => self.require_projected(account, address),
            Change::Keep | Change::Clear => Ok(()),
        }
    }

    pub async fn remove_participant(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        participant: &str,
        cause: Cause,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.ask_participant_remove(Whose { account, service, cause }, &current, participant).await?;
        self.change(account, current.sid().as_str(), cause, |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            let member = conversation.member_by_name(participant).ok_or(RelayError::ParticipantNotFound)?;
            let sid = member.record.sid.clone();
            let mut decision = decide::roster::leave(context, conversation, &sid)?;
            self.regroup(account, Some(conversation), &mut decision, false).await?;
            Ok((Some(decision), ()))
        })
        .await?;
        Ok(())
    }

    /// Takes somebody out of a conversation because their user is gone; of a closed one too.
    pub(in crate::relay) async fn withdraw(
        &self,
        account: &AccountSid,
        conversation: &ConversationSid,
        participant: &ParticipantSid,
    ) -> Result<(), RelayError> {
        self.change(account, conversation.as_str(), Cause::house(), |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            let mut decision = decide::roster::vanish(context, conversation, participant)?;
            self.regroup(account, Some(conversation), &mut decision, true).await?;
            Ok((Some(decision), ()))
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
                .change(account, conversation.as_str(), Cause::house(), |current, context| async move {
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
                        decide::roster::learn(context, current, participant, alias, holder.as_ref());
                    Ok((decision, ()))
                })
                .await;
            if let Err(error) = learnt {
                tracing::debug!(%conversation, %participant, %error, "An alias was not learnt");
            }
        }
    }
}
