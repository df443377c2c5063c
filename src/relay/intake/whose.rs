//! Whose conversation somebody is in who writes to a proxy address, and which of its messages they mean.

use trunkline_adapter::{Address, Person};

use super::Origin;
use crate::ledger::engine::Snapshot;
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, Binding, ConversationSid, ProviderIdRow};
use crate::relay::{Relay, RelayError};
use crate::telemetry::inbound::InboundOutcome;

impl Relay {
    /// Whose conversation a person on a proxy address is in, by whichever of their addresses is known.
    pub(super) async fn bound_person(
        &self,
        account: &AccountSid,
        proxy: &Address,
        person: &Person,
    ) -> Result<Option<Binding>, RelayError> {
        for address in person.candidates() {
            if let Some(binding) = self.bound(account, proxy, address).await? {
                return Ok(Some(binding));
            }
        }
        Ok(None)
    }

    /// The open conversation that the ledger names for a person.
    pub(super) async fn bound_now(
        &self,
        account: &AccountSid,
        proxy: &Address,
        person: &Person,
    ) -> Result<Option<Binding>, RelayError> {
        let snapshot = self.ledger.snapshot();
        for address in person.candidates() {
            if let Some(holder) = self.holder(&*snapshot, account, proxy, address).await?
                && holder.open
            {
                return Ok(Some(holder.binding));
            }
        }
        Ok(None)
    }

    /// Does something in whose conversation a pair is; again with the ledger's word if the copy's led nowhere.
    pub(super) async fn in_conversation<F, D>(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        (proxy, person): (&Address, &Person),
        act: F,
    ) -> Result<InboundOutcome, RelayError>
    where
        F: Fn(ConversationSid) -> D,
        D: Future<Output = Result<InboundOutcome, RelayError>>,
    {
        if let Some(binding) = binding {
            match act(binding.conversation.clone()).await {
                Ok(InboundOutcome::Unbound) | Err(RelayError::ConversationNotFound) => {}
                other => return other,
            }
        }
        let now = self.bound_now(origin.account, proxy, person).await?.map(|now| now.conversation);
        match now.filter(|now| binding.is_none_or(|tried| now != &tried.conversation)) {
            Some(now) => match act(now).await {
                Err(RelayError::ConversationNotFound) => Ok(InboundOutcome::Unbound),
                other => other,
            },
            None => Ok(InboundOutcome::Unbound),
        }
    }

    /// The index of the message that a provider's id stands for in this conversation.
    pub(super) async fn index_of(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        proxy: &Address,
        id: &str,
        conversation: &str,
    ) -> Result<Option<u64>, RelayError> {
        let key = tables::provider_id(origin.account.as_str(), origin.kind, proxy, id);
        let row = typed::compact::<ProviderIdRow>(snapshot, &key).await?;
        Ok(match row.map(|row| row.record) {
            Some(ProviderIdRow::Message { conversation: of, index, .. }) if of.as_str() == conversation => {
                Some(index)
            }
            _ => None,
        })
    }
}
