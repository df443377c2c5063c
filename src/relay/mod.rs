//! The relay decides: what joins a conversation, who hears it, how receipts move.
//!
//! Owns intake (what providers tell), the commands of the REST API, and the rules in [`decide`]. It writes outbound
//! rows and wakes their lanes; it never sends, and knows no provider and no HTTP.
//!
//! Invariants: one commit per decision; every decision on a conversation checks its head; an acknowledgement leaves
//! here only after the commit; a repeat of a provider's event changes nothing.

mod cache;
pub mod cleanup;
pub mod command;
mod conversations;
pub mod decide;
mod error;
mod events;
mod intake;
mod keyword;
mod messages;
mod parked;
mod participants;
mod proxies;
mod services;
mod statuses;
mod unreadable;

use std::sync::Arc;

use trunkline_adapter::{Address, Clock};

use crate::bindings::{Bindings, Lookup};
use crate::ledger::engine::{CommitError, Snapshot};
use crate::ledger::typed;
use crate::ledger::{Ledger, LedgerError, tables};
use crate::model::{AccountSid, Binding, Conversation, Json, Mint, State};
use crate::work::{Queue, Wakeups};

pub use error::RelayError;
pub use intake::Origin;
pub use keyword::{KeywordSettings, Keywords};
pub use proxies::{Proxies, Proxy};

use cache::Cache;
use decide::{Context, Decision, Holder};

/// Decisions that met a conflict are made again this often; then the caller is told to come back.
const ATTEMPTS: usize = 8;

/// Keeps who asked not to be written to where the lanes look, in line with the rows. Plugged in by `app`.
pub trait OptOuts: Send + Sync {
    fn contains(&self, account: &str, proxy: &Address, address: &Address) -> bool;
    fn add(&self, account: &str, proxy: &Address, address: &Address);
    fn remove(&self, account: &str, proxy: &Address, address: &Address);
}

/// What the relay is made of.
pub struct Parts {
    pub ledger: Ledger,
    pub bindings: Arc<Bindings>,
    pub wakeups: Wakeups,
    pub opt_outs: Arc<dyn OptOuts>,
    pub mint: Mint,
    pub clock: Clock,
}

pub struct Relay {
    ledger: Ledger,
    bindings: Arc<Bindings>,
    wakeups: Wakeups,
    opt_outs: Arc<dyn OptOuts>,
    mint: Mint,
    clock: Clock,
    proxies: Proxies,
    keywords: Keywords,
    cache: Cache,
    parked: parked::Sweep,
    unreadable: unreadable::Ring,
}

impl Relay {
    pub fn new(parts: Parts) -> Relay {
        let Parts { ledger, bindings, wakeups, opt_outs, mint, clock } = parts;
        Relay {
            ledger,
            bindings,
            wakeups,
            opt_outs,
            mint,
            clock,
            proxies: Proxies::default(),
            keywords: Keywords::default(),
            cache: Cache::default(),
            parked: parked::Sweep::default(),
            unreadable: unreadable::Ring::default(),
        }
    }

    /// The proxy addresses of today's configuration; a reload replaces them.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The words that opt people out and in; a reload replaces them.
    pub fn keywords(&self) -> &Keywords {
        &self.keywords
    }

    /// A conversation as it stands, from memory if it is there.
    async fn load(&self, account: &AccountSid, sid: &str) -> Result<Option<Arc<Conversation>>, LedgerError> {
        if let Some(known) = self.cache.get(account, sid) {
            return Ok(Some(known));
        }
        let Some(read) = self.ledger.conversation(account.as_str(), sid).await? else { return Ok(None) };
        let read = Arc::new(read);
        self.cache.put(account, read.clone());
        Ok(Some(read))
    }

    /// What decisions made now may use.
    fn context<'a>(&'a self, account: &'a AccountSid) -> Context<'a> {
        Context { account, now: self.clock.now(), mint: &self.mint, births: &self.ledger }
    }

    /// Decides about a conversation until the decision holds, commits it, and wakes whom it concerns.
    ///
    /// `decide` is called again with fresh facts after each conflict; it may read, and must not write. Without a
    /// decision nothing is committed.
    async fn change<'a, T, F, D>(
        &'a self,
        account: &'a AccountSid,
        sid: &str,
        decide: F,
    ) -> Result<(Arc<Conversation>, T), RelayError>
    where
        F: Fn(Arc<Conversation>, Context<'a>) -> D,
        D: Future<Output = Result<(Option<Decision>, T), RelayError>>,
    {
        let _turn = self.cache.turn(sid).await;
        for _ in 0..ATTEMPTS {
            let Some(current) = self.load(account, sid).await? else {
                return Err(RelayError::ConversationNotFound);
            };
            let (decision, result) = decide(current.clone(), self.context(account)).await?;
            let Some(mut decision) = decision else { return Ok((current, result)) };
            let batch = std::mem::take(&mut decision.batch);
            let wake = std::mem::take(&mut decision.wake);
            match self.ledger.commit(batch).await {
                Ok(committed) => {
                    let next = Arc::new(decision.settle(committed));
                    if next.head.state == State::Deleted {
                        self.cache.forget(account, sid);
                    } else {
                        self.cache.put(account, next.clone());
                    }
                    for (proxy, recipient) in wake {
                        self.wakeups.work(Queue::Outbound, proxy.as_str(), recipient.as_str());
                    }
                    return Ok((next, result));
                }
                Err(CommitError::Conflict(_)) => self.cache.forget(account, sid),
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// The claim on a messaging binding as it stands in the ledger.
    async fn holder(
        &self,
        snapshot: &dyn Snapshot,
        account: &AccountSid,
        proxy: &Address,
        address: &Address,
    ) -> Result<Option<Holder>, RelayError> {
        let key = tables::binding(account.as_str(), proxy, address);
        let Some(row) = typed::json::<Binding>(snapshot, &key).await? else { return Ok(None) };
        let head = tables::head(account.as_str(), row.record.conversation.as_str());
        let head = typed::compact::<crate::model::Head>(snapshot, &head).await?;
        let open = head.is_some_and(|head| head.record.state.open());
        Ok(Some(Holder { revision: row.changed, binding: row.record, open }))
    }

    /// Whose conversation a pair is, asked on every inbound message: first of the binding table's copy, and before a
    /// "nobody's" is believed, of the ledger.
    async fn bound(
        &self,
        account: &AccountSid,
        proxy: &Address,
        address: &Address,
    ) -> Result<Option<Binding>, RelayError> {
        let key = tables::binding(account.as_str(), proxy, address);
        if let Lookup::Hit(payload) = self.bindings.lookup(&key)
            && let Ok(binding) = Binding::decode(&payload)
        {
            return Ok(Some(binding));
        }
        let row = typed::json::<Binding>(&*self.ledger.snapshot(), &key).await?;
        Ok(row.map(|row| row.record))
    }
}
