//! That somebody is writing: from clients to people whose channel shows it, and from channels that tell it to clients.
//! Nothing of it is kept.

use std::collections::HashMap;
use std::sync::Arc;

use trunkline_adapter::{Address, Person, TypingIndicator};

use super::intake::Origin;
use super::resources::messages::page;
use super::{Relay, RelayError};
use crate::model::{AccountSid, Binding, Conversation, ConversationSid, ParticipantSid, ServiceSid, State};

/// How far back the last message of a person is looked for, a page at a time. One who wrote nothing in so many is not about
/// to be answered.
const PAGES: [usize; 3] = [10, 30, 100];

/// Shows people that somebody is writing to them. Plugged in by `app`.
pub trait Indicators: Send + Sync {
    /// Whether the proxy address' channel shows it, and this person was not shown it just now.
    fn wanted(&self, proxy: &Address, to: &Address) -> bool;
    /// Shows it if it can, some time soon.
    fn show(&self, indicator: TypingIndicator);
}

/// Tells clients that somebody is writing. Plugged in by `app`.
pub trait Listeners: Send + Sync {
    /// Somebody without an identity is writing; the identities are those who are there with one.
    fn typing(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        conversation: &ConversationSid,
        identities: &[&str],
    );
}

/// The proxy address somebody is written to from, and their own.
type Reader<'a> = (&'a Address, &'a Address);

impl Relay {
    /// Plugs in who shows people that somebody is writing. Without one, nobody is shown it.
    pub fn show_typing_through(&self, indicators: Arc<dyn Indicators>) {
        // The first one stays: there is one daemon.
        let _ = self.indicators.set(indicators);
    }

    /// Plugs in who tells clients that somebody is writing. Without one, none is told.
    pub fn tell_typing_through(&self, listeners: Arc<dyn Listeners>) {
        // The first one stays: there is one daemon.
        let _ = self.listeners.set(listeners);
    }

    /// Somebody is writing at a client: shown to everybody whose channel shows it and who wrote within its window.
    ///
    /// # Errors
    /// When messages cannot be read.
    pub async fn show_typing(
        &self,
        account: &AccountSid,
        conversation: &Conversation,
    ) -> Result<(), RelayError> {
        let Some(indicators) = self.indicators.get() else { return Ok(()) };
        if conversation.head.state == State::Closed {
            return Ok(());
        }
        let now = self.clock.now();
        let mut readers: HashMap<&ParticipantSid, Reader<'_>> = HashMap::new();
        for member in conversation.members.iter().map(|member| &member.record) {
            let Some(binding) = &member.binding else { continue };
            // Where the window is shut, the provider would refuse it like a message.
            let open = member.window_closes.is_some_and(|closes| closes > now);
            let ours = || self.proxies.get(account, &binding.proxy).is_some();
            if open && ours() && indicators.wanted(&binding.proxy, &binding.address) {
                readers.insert(&member.sid, (&binding.proxy, &binding.address));
            }
        }
        if readers.is_empty() {
            return Ok(());
        }
        let snapshot = self.ledger.snapshot();
        let mut beyond = None;
        for size in PAGES {
            let rows =
                page(&*snapshot, account.as_str(), conversation.sid().as_str(), true, beyond, size).await?;
            for (index, message) in &rows {
                beyond = Some(*index);
                let (Some(writer), Some(source)) = (&message.participant, &message.source) else { continue };
                let Some((proxy, address)) = readers.get(writer).copied() else { continue };
                if source.proxy == *proxy {
                    readers.remove(writer);
                    let (from, to, answers) = (proxy.clone(), address.clone(), source.id.clone());
                    indicators.show(TypingIndicator { from, to, answers });
                }
            }
            if readers.is_empty() || rows.len() < size {
                break;
            }
        }
        Ok(())
    }

    /// Somebody outside is writing: told to the clients of the conversation. Clients know who is writing by identity, and
    /// nobody outside has one; so it is told where one only is without.
    pub(super) async fn hear_typing(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        from: &Person,
        to: &Address,
    ) -> Result<(), RelayError> {
        let (Some(listeners), Some(binding)) = (self.listeners.get(), binding) else { return Ok(()) };
        let known = self.load(origin.account, binding.conversation.as_str()).await?;
        let Some(conversation) = known.filter(|known| known.bound(to, from).is_some()) else { return Ok(()) };
        let members = || conversation.members.iter().map(|member| &member.record);
        if members().filter(|member| member.identity.is_none()).count() != 1 {
            return Ok(());
        }
        let identities: Vec<&str> = members().filter_map(|member| member.identity.as_deref()).collect();
        listeners.typing(origin.account, &binding.service, &binding.conversation, &identities);
        Ok(())
    }
}
