//! The live adapters by name, and the way from a provider's request to the relay.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trunkline_adapter::{Adapter, Door, Inbound, WebhookRequest};

use crate::http::{AdapterEntry, Inlet};
use crate::model::AccountSid;
use crate::relay::{Origin, Relay, RelayError};

/// One live adapter.
#[derive(Clone)]
pub struct Live {
    pub kind: &'static str,
    pub adapter: Arc<dyn Adapter>,
    /// Everything it was built from; an equal one needs no new adapter.
    pub fingerprint: [u8; 32],
    pub webhook_url: String,
}

/// The adapters of the running configuration.
pub struct Roster {
    relay: Arc<Relay>,
    state: RwLock<Arc<State>>,
}

#[derive(Clone)]
struct State {
    account: AccountSid,
    adapters: HashMap<String, Live>,
}

impl Roster {
    pub fn new(relay: Arc<Relay>, account: AccountSid) -> Roster {
        let state = State { account, adapters: HashMap::new() };
        Roster { relay, state: RwLock::new(Arc::new(state)) }
    }

    /// The adapters now.
    pub fn adapters(&self) -> HashMap<String, Live> {
        self.state().adapters.clone()
    }

    /// Whose adapters they are.
    pub fn account(&self) -> AccountSid {
        self.state().account.clone()
    }

    /// Where people connect now.
    pub fn doors(&self) -> Vec<Arc<dyn Door>> {
        self.state().adapters.values().filter_map(|live| live.adapter.door()).collect()
    }

    /// Replaces all of them; requests under way end with what they began with. Whoever is connected by a door that is
    /// there no more is let go, and comes again by another.
    pub fn replace(&self, account: AccountSid, adapters: HashMap<String, Live>) {
        let stays = |old: &Live| adapters.values().any(|live| Arc::ptr_eq(&live.adapter, &old.adapter));
        let gone: Vec<_> = self
            .state()
            .adapters
            .values()
            .filter(|old| !stays(old))
            .filter_map(|old| old.adapter.door())
            .collect();
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(State { account, adapters });
        for door in gone {
            tokio::spawn(door.drain());
        }
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inlet for Roster {
    fn adapter(&self, name: &str) -> Option<AdapterEntry> {
        let state = self.state();
        let live = state.adapters.get(name)?;
        Some(AdapterEntry { kind: live.kind, adapter: live.adapter.clone() })
    }

    fn door(&self, path: &str) -> Option<Arc<dyn Door>> {
        self.doors().into_iter().find(|door| door.path() == path)
    }

    fn take<'a>(
        &'a self,
        name: &'a str,
        kind: &'static str,
        inbound: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        async move {
            let state = self.state();
            self.relay.take(Origin { adapter: name, kind, account: &state.account }, inbound).await
        }
        .boxed()
    }

    fn keep_unreadable<'a>(
        &'a self,
        name: &'a str,
        reason: &'a str,
        raw: &'a WebhookRequest,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        async move {
            let state = self.state();
            let kind = state.adapters.get(name).map_or("", |live| live.kind);
            self.relay
                .keep_unreadable(Origin { adapter: name, kind, account: &state.account }, reason, raw)
                .await
        }
        .boxed()
    }
}
