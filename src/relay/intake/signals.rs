//! What a provider tells of somebody beside what they write: that they want no more messages, or are typing.

use std::collections::BTreeSet;

use trunkline_adapter::{Address, Person, Signal};

use super::{Origin, opting, remember};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables;
use crate::model::{Binding, Json};
use crate::relay::after::After;
use crate::relay::{Relay, RelayError};

impl Relay {
    /// The provider's own keyword handling took somebody off the list, or put them back: by every name they have, since
    /// the lanes know the participant by one and the provider may tell another.
    pub(super) async fn take_signal(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        from: &Person,
        to: &Address,
        signal: Signal,
    ) -> Result<(), RelayError> {
        let (out, id) = match signal {
            Signal::OptOut { id } => (true, id),
            Signal::OptIn { id } => (false, id),
            Signal::Typing => return self.hear_typing(origin, binding, from, to).await,
            Signal::Opened { .. } => return Ok(()),
        };
        let account = origin.account;
        let known = match binding {
            Some(binding) => self.load(account, binding.conversation.as_str()).await?,
            None => None,
        };
        let member = known.as_ref().and_then(|known| known.bound(to, from)?.record.binding.as_ref());
        let names: BTreeSet<&Address> = member
            .map(|binding| &binding.address)
            .into_iter()
            .chain(std::iter::once(&from.address))
            .chain(&from.aliases)
            .collect();
        // Some providers give the event the id of the message it came with, and that one names the message.
        let own = tables::provider_id(account.as_str(), origin.kind, to, &format!("opt-out {id}"));
        let (mut batch, mut after) = (Batch::default(), After::default());
        remember(&mut batch, own);
        for name in names {
            let key = tables::opt_out(account.as_str(), to, name);
            if out {
                batch.put(key, opting::row(None, &id, self.clock.now()).encode());
            } else {
                batch.delete(key);
            }
            after.opted.push((to.clone(), name.clone()));
        }
        match self.commits.commit(account, batch, after).await {
            // The only check there is: the provider told it before.
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}
