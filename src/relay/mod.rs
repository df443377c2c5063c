//! The relay decides: what joins a conversation, who hears it, how receipts move.
//!
//! Owns `intake` (what providers tell), the [`resources`] of the REST API, and the judge in [`decide`], whom both ask and
//! who asks nobody. It writes outbound rows and wakes their lanes; it never sends, and knows no provider and no HTTP.
//!
//! Invariants: one commit per decision; every decision on a conversation checks its head; an acknowledgement leaves
//! here only after the commit; a repeat of a provider's event changes nothing.

#[cfg(test)]
#[path = "accounts_test.rs"]
mod accounts_test;
mod after;
mod alarm;
mod asking;
#[cfg(test)]
#[path = "asking_test.rs"]
mod asking_test;
mod cache;
pub mod cleanup;
pub mod command;
mod commit;
pub mod decide;
mod error;
pub mod groups;
mod intake;
#[cfg(test)]
mod kit;
mod lasting;
mod limits;
pub mod media;
#[cfg(test)]
#[path = "media_test.rs"]
mod media_test;
mod messaging_services;
pub mod permissions;
mod proxies;
pub mod resources;
mod telling;
mod templates;
mod timers;
#[cfg(test)]
#[path = "timers_test.rs"]
mod timers_test;
mod typing;
#[cfg(test)]
#[path = "typing_test.rs"]
mod typing_test;

use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;
use trunkline_adapter::{Address, Clock};

use crate::announce::{Ask, Cause, Hooks};
use crate::bindings::{Bindings, Lookup};
use crate::ledger::engine::{CommitError, Snapshot};
use crate::ledger::key::Space;
use crate::ledger::{Ledger, LedgerError, tables};
use crate::ledger::{rider, typed};
use crate::model::{AccountSid, Binding, Conversation, Json, Mint, ServiceSid};
use crate::work::Wakeups;

pub use commit::OptOuts;
pub use error::{Improper, Misfit, RelayError, RoleUse};
pub use intake::Origin;
pub use intake::fetching::{Fetched, Fetches};
pub use intake::keyword::{KeywordSettings, Keywords};
pub use lasting::Lasting;
pub use limits::{Limits, Settings as LimitSettings};
pub use messaging_services::{MessagingService, MessagingServices, UnboundInbound};
pub use proxies::{Proxies, Proxy};
pub use resources::conversations::MOST_AT_ONCE;
pub use resources::idempotency::{KEYS_KEPT, Made};
pub use resources::journal::{Journal, Leg, Waiting};
pub use templates::{Template, Templates};
pub use typing::{Indicators, Listeners};

use cache::Cache;
use commit::Commits;
use decide::roster::Holder;
use decide::{Context, Decision};
use intake::fetching::Partly;
use intake::{inbox, unreadable};

/// Decisions that met a conflict are made again this often; then the caller is told to come back.
const ATTEMPTS: usize = 8;

/// Knows who is connected. Plugged in by `app`.
pub trait Online: Send + Sync {
    /// Whether somebody is online; nothing where they never were since the start.
    fn online(&self, account: &AccountSid, service: &ServiceSid, identity: &str) -> Option<bool>;

    /// Somebody has a device more or less that gets pushes, and may be reached by it where they were not, or the reverse.
    fn devices_changed(&self, account: &AccountSid, service: &ServiceSid, identity: &str);
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
    mint: Mint,
    clock: Clock,
    proxies: Proxies,
    messaging: MessagingServices,
    keywords: Keywords,
    templates: Templates,
    limits: Limits,
    cache: Arc<Cache>,
    parked: Arc<alarm::Sweep>,
    alarm: Arc<alarm::Alarm>,
    unreadable: unreadable::Ring,
    fetches: OnceLock<Arc<dyn Fetches>>,
    partly: Partly,
    commits: Arc<Commits>,
    hooks: Arc<Hooks>,
    /// Asks pre-action webhooks; plugged in by `app`.
    asker: OnceLock<Arc<dyn Ask>>,
    /// Knows who is connected; plugged in by `app`.
    online: OnceLock<Arc<dyn Online>>,
    /// Show people, and tell clients, that somebody is writing; plugged in by `app`.
    indicators: OnceLock<Arc<dyn Indicators>>,
    listeners: OnceLock<Arc<dyn Listeners>>,
    inbox: inbox::Inbox,
}

impl Relay {
    pub fn new(parts: Parts) -> Relay {
        let Parts { ledger, bindings, wakeups, opt_outs, mint, clock } = parts;
        let (cache, parked) = (Arc::<Cache>::default(), Arc::<alarm::Sweep>::default());
        let alarm = Arc::<alarm::Alarm>::default();
        let commits = Arc::new(Commits {
            ledger: ledger.clone(),
            wakeups: wakeups.clone(),
            cache: cache.clone(),
            parked: parked.clone(),
            alarm: alarm.clone(),
            opt_outs,
            opting: Mutex::default(),
        });
        Relay {
            ledger,
            bindings,
            wakeups,
            mint,
            clock,
            proxies: Proxies::default(),
            messaging: MessagingServices::default(),
            keywords: Keywords::default(),
            templates: Templates::default(),
            limits: Limits::default(),
            cache,
            parked,
            alarm,
            unreadable: unreadable::Ring::default(),
            commits,
            hooks: Arc::default(),
            asker: OnceLock::new(),
            online: OnceLock::new(),
            indicators: OnceLock::new(),
            listeners: OnceLock::new(),
            inbox: inbox::Inbox::default(),
            fetches: OnceLock::new(),
            partly: Partly::default(),
        }
    }

    /// The proxy addresses of today's configuration; a reload replaces them.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The messaging services of today's configuration; a reload replaces them.
    pub fn messaging_services(&self) -> &MessagingServices {
        &self.messaging
    }

    /// Which webhooks there are, for whoever sends what is told of receipts.
    pub fn hooks(&self) -> &Arc<Hooks> {
        &self.hooks
    }

    /// Plugs in who asks pre-action webhooks. Without one, nobody is asked.
    pub fn ask_through(&self, asker: Arc<dyn Ask>) {
        // The first one stays: there is one daemon.
        let _ = self.asker.set(asker);
    }

    /// Plugs in who knows who is connected. Without one, nobody is.
    pub fn see_through(&self, online: Arc<dyn Online>) {
        // The first one stays: there is one daemon.
        let _ = self.online.set(online);
    }

    /// The words that opt people out and in; a reload replaces them.
    pub fn keywords(&self) -> &Keywords {
        &self.keywords
    }

    /// How many of something there may be; a reload replaces them.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What content SIDs stand for; a reload replaces them.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// A conversation as it stands, from memory if it is there.
    async fn load(&self, account: &AccountSid, sid: &str) -> Result<Option<Arc<Conversation>>, LedgerError> {
        if let Some(known) = self.cache.get(account, sid) {
            return Ok(Some(known));
        }
        let ticket = self.cache.ticket();
        let Some(read) = self.ledger.conversation(account.as_str(), sid).await? else { return Ok(None) };
        let read = Arc::new(read);
        self.cache.put(ticket, account, read.clone());
        Ok(Some(read))
    }

    /// Whether a conversation from memory is what the ledger has.
    async fn current(&self, account: &AccountSid, known: &Conversation) -> Result<bool, LedgerError> {
        let key = tables::head(account.as_str(), known.sid().as_str());
        let row = self.ledger.snapshot().get(&key).await?;
        Ok(row.is_some_and(|row| row.changed == known.head_revision))
    }

    /// What a decision made now may use.
    fn context<'a>(&'a self, account: &'a AccountSid, again: bool) -> Context<'a> {
        Context {
            account,
            now: self.clock.now(),
            mint: &self.mint,
            births: &self.ledger,
            again,
            most: self.limits.roster(),
        }
    }

    /// Decides about a conversation until the decision holds, commits it, and wakes whom it concerns.
    ///
    /// `decide` is called again with fresh facts after each conflict; it may read, and must not write or change another
    /// conversation. Without a decision nothing is committed; then the head is held against the ledger instead, so that
    /// no refusal rests on a conversation that has moved on.
    async fn change<'a, T, F, D>(
        &'a self,
        account: &'a AccountSid,
        sid: &str,
        cause: Cause,
        decide: F,
    ) -> Result<(Arc<Conversation>, T), RelayError>
    where
        F: Fn(Arc<Conversation>, Context<'a>) -> D,
        D: Future<Output = Result<(Option<Decision>, T), RelayError>>,
    {
        let turn = Arc::new(self.cache.turn(sid).await);
        for attempt in 0..ATTEMPTS {
            let Some(current) = self.load(account, sid).await? else {
                return Err(RelayError::ConversationNotFound);
            };
            let context = self.context(account, attempt > 0);
            // What time has done comes first: the daemon may have been down, or be about to get to it.
            if let Some(mut struck) = decide::timers::strike(&context, &current) {
                if self.listened_to(&struck.next) {
                    Box::pin(self.tell(account, Cause::timer(), Some(&current), &mut struck)).await?;
                }
                failpoint!("timer::before-strike");
                let ticket = self.cache.ticket();
                let struck = self.commits.decided(account, struck, ticket, Some(Arc::clone(&turn)));
                // Not what the caller asked for: an idempotency key must not be used up by it.
                match rider::aside(struck).await {
                    Ok(_) => {
                        failpoint!("timer::struck");
                    }
                    Err(CommitError::Conflict(_)) => self.cache.forget(account, sid),
                    Err(other) => return Err(other.into()),
                }
                continue;
            }
            let (mut decision, result) = match decide(current.clone(), context).await {
                Ok((Some(decision), result)) => (decision, result),
                refusal => {
                    if self.current(account, &current).await? {
                        return refusal.map(|(_, result)| (current, result));
                    }
                    self.cache.forget(account, sid);
                    continue;
                }
            };
            if self.listened_to(&decision.next) {
                Box::pin(self.tell(account, cause, Some(&current), &mut decision)).await?;
            }
            failpoint!("relay::decided");
            let ticket = self.cache.ticket();
            match self.commits.decided(account, decision, ticket, Some(Arc::clone(&turn))).await {
                Ok(next) => return Ok((next, result)),
                // Nothing in memory was wrong: the provider repeated itself.
                Err(CommitError::Conflict(key)) if key.space() == Some(Space::ProviderId) => {}
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
