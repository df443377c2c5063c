//! Where one room asks another in line: the traits they declared, filled with each other.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trunkline_adapter::{Address, TypingIndicator};

use crate::ledger::LedgerError;
use crate::media::Needed;
use crate::model::{AccountSid, ContentHash, ConversationSid, ParticipantSid, ServiceSid};
use crate::outbound::{Learned, OptOuts, TypingIndicators};
use crate::relay::{Indicators, Listeners, Online, Relay};
use crate::sync::{Hub, Realm};

/// The lanes' opt-out set, as the relay knows it.
pub(super) struct Set(pub OptOuts);

impl crate::relay::OptOuts for Set {
    fn add(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.add(proxy, address);
    }

    fn remove(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.remove(proxy, address);
    }
}

/// Aliases that a provider's answer gave away go to the relay, behind the send's back.
pub(super) struct Aliases {
    pub relay: Arc<Relay>,
    pub account: AccountSid,
}

impl Learned for Aliases {
    fn learned(
        &self,
        _: &str,
        conversation: &ConversationSid,
        participant: &ParticipantSid,
        addresses: Vec<Address>,
    ) {
        let (relay, account) = (self.relay.clone(), self.account.clone());
        let (conversation, participant) = (conversation.clone(), participant.clone());
        tokio::spawn(async move { relay.learn(&account, &conversation, &participant, &addresses).await });
    }
}

/// Which contents rows name, as the ledger has them.
pub(super) struct Named(pub Arc<Relay>);

impl Needed for Named {
    fn needed<'a>(&'a self, content: &'a ContentHash) -> BoxFuture<'a, Result<bool, LedgerError>> {
        self.0.content_needed(content).boxed()
    }
}

/// Who is connected, for the relay.
pub(super) struct Connected(pub Arc<Hub>);

impl Online for Connected {
    fn online(&self, account: &AccountSid, service: &ServiceSid, identity: &str) -> Option<bool> {
        self.0.online(&Realm { account: account.clone(), service: service.clone() }, identity)
    }

    fn devices_changed(&self, account: &AccountSid, service: &ServiceSid, identity: &str) {
        let realm = Realm { account: account.clone(), service: service.clone() };
        let (hub, identity) = (Arc::clone(&self.0), identity.to_owned());
        tokio::spawn(async move { hub.tell_devices(&realm, &identity).await });
    }
}

impl Listeners for Connected {
    fn typing(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        conversation: &ConversationSid,
        identities: &[&str],
    ) {
        let realm = Realm { account: account.clone(), service: service.clone() };
        self.0.typing(&realm, conversation, None, identities);
    }
}

/// The lanes, as the relay shows typing through them.
pub(super) struct Shown(pub TypingIndicators);

impl Indicators for Shown {
    fn wanted(&self, proxy: &Address, to: &Address) -> bool {
        self.0.wanted(proxy, to)
    }

    fn show(&self, indicator: TypingIndicator) {
        self.0.show(indicator);
    }
}
