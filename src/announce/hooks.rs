//! Which webhooks accounts and services have, in memory: a message asks nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard};

use super::job::To;
use crate::ledger::key::Range;
use crate::ledger::{Ledger, LedgerError, tables};
use crate::model::{AccountSid, Event, HookSettings, Json, ServiceSid};

/// The rest of the key of the row that says that some conversation has had a webhook for delivery statuses.
const DELIVERY: &str = "delivery";

/// See the module. What is in here is what the rows say: they are changed in turns, and first.
#[derive(Default)]
pub struct Hooks {
    /// Somebody listens somewhere. Without it nothing else is looked at.
    any: AtomicBool,
    accounts: RwLock<HashMap<AccountSid, Arc<Listeners>>>,
    turn: Mutex<()>,
}

/// Who listens in an account.
#[derive(Clone, Debug, Default, PartialEq)]
struct Listeners {
    own: Option<Arc<HookSettings>>,
    services: HashMap<ServiceSid, Arc<HookSettings>>,
    /// Some conversation has, or had, a webhook of its own for delivery statuses.
    scoped_delivery: bool,
}

impl Hooks {
    /// Reads an account's webhooks, unless they are known.
    pub async fn load(&self, ledger: &Ledger, account: &AccountSid) -> Result<(), LedgerError> {
        let _turn = self.turn.lock().await;
        if self.of(account).is_some() {
            return Ok(());
        }
        let range = Range::prefix(&tables::hooks(account.as_str()));
        let mut found = Listeners::default();
        for (key, row) in ledger.snapshot().scan(range, usize::MAX).await? {
            let name = key.rest().and_then(|rest| std::str::from_utf8(rest).ok()).unwrap_or_default();
            if name == DELIVERY {
                found.scoped_delivery = true;
                continue;
            }
            let settings = Arc::new(HookSettings::decode(&row.payload)?);
            match ServiceSid::parse(name) {
                Some(service) => {
                    found.services.insert(service, settings);
                }
                None => found.own = Some(settings),
            }
        }
        self.put(account, found);
        Ok(())
    }

    /// A turn at changing rows and memory, which must follow each other in one order.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What was just written about an account or one of its services.
    pub fn set(&self, account: &AccountSid, service: Option<&ServiceSid>, settings: Option<HookSettings>) {
        let mut listeners = self.of(account).map_or_else(Listeners::default, |known| (*known).clone());
        let settings = settings.map(Arc::new);
        match (service, settings) {
            (None, settings) => listeners.own = settings,
            (Some(service), Some(settings)) => {
                listeners.services.insert(service.clone(), settings);
            }
            (Some(service), None) => {
                listeners.services.remove(service);
            }
        }
        self.put(account, listeners);
    }

    /// Whether some conversation is known to have had one.
    pub fn scoped_delivery(&self, account: &AccountSid) -> bool {
        self.any() && self.of(account).is_some_and(|listeners| listeners.scoped_delivery)
    }

    /// A conversation gets a webhook that hears of delivery statuses.
    pub fn set_scoped_delivery(&self, account: &AccountSid) {
        let mut listeners = self.of(account).map_or_else(Listeners::default, |known| (*known).clone());
        listeners.scoped_delivery = true;
        self.put(account, listeners);
    }

    /// The key of the row that says so.
    pub fn scoped_delivery_key(account: &AccountSid) -> crate::ledger::key::Key {
        tables::hook(account.as_str(), DELIVERY)
    }

    fn put(&self, account: &AccountSid, listeners: Listeners) {
        let anybody = listeners != Listeners::default();
        self.accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(account.clone(), Arc::new(listeners));
        if anybody {
            self.any.store(true, Ordering::Release);
        }
    }

    fn of(&self, account: &AccountSid) -> Option<Arc<Listeners>> {
        self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }

    /// Whether any account or service listens at all.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The webhooks that hear of a service: its own where it has some, which replace the account's.
    pub fn of_service(&self, account: &AccountSid, service: &ServiceSid) -> Option<(To, Arc<HookSettings>)> {
        if !self.any() {
            return None;
        }
        let listeners = self.of(account)?;
        let points =
            |settings: &&Arc<HookSettings>| settings.pre_url.is_some() || settings.post_url.is_some();
        if let Some(own) = listeners.services.get(service).filter(points) {
            return Some((To::Service(service.clone()), own.clone()));
        }
        listeners.own.as_ref().filter(points).map(|own| (To::Account, own.clone()))
    }

    /// The webhook that is asked before something happens.
    pub fn pre(&self, account: &AccountSid, service: &ServiceSid, event: Event) -> Option<Arc<HookSettings>> {
        let (_, settings) = self.of_service(account, service)?;
        (settings.pre_url.is_some() && settings.wants(event)).then_some(settings)
    }

    /// Whether anybody in an account may hear of delivery statuses.
    pub fn hear_delivery(&self, account: &AccountSid) -> bool {
        if !self.any() {
            return false;
        }
        self.of(account).is_some_and(|listeners| {
            let wants = |settings: &Arc<HookSettings>| {
                settings.post_url.is_some() && settings.wants(Event::DeliveryUpdated)
            };
            listeners.scoped_delivery
                || listeners.own.as_ref().is_some_and(wants)
                || listeners.services.values().any(wants)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::engine::Batch;
    use crate::ledger::memory::Memory;
    use crate::model::Mint;

    fn settings(post: Option<&str>) -> HookSettings {
        HookSettings {
            pre_url: Some("https://pre.example".into()),
            post_url: post.map(str::to_owned),
            filters: vec!["ONmessageADD".into(), "onDeliveryUpdated".into()],
            ..HookSettings::default()
        }
    }

    #[tokio::test]
    async fn a_services_own_webhooks_replace_its_accounts() {
        let mint = Mint::seeded(1);
        let (account, one, two) = (AccountSid::new(&mint), ServiceSid::new(&mint), ServiceSid::new(&mint));
        let ledger = Ledger::new(Arc::new(Memory::new(1)));
        let hooks = Hooks::default();
        hooks.load(&ledger, &account).await.unwrap();
        assert!(!hooks.any() && hooks.of_service(&account, &one).is_none());
        hooks.set(&account, None, Some(settings(Some("https://a.example"))));
        hooks.set(&account, Some(&one), Some(settings(None)));
        assert!(matches!(hooks.of_service(&account, &one), Some((To::Service(_), _))));
        assert!(matches!(hooks.of_service(&account, &two), Some((To::Account, _))));
        assert!(hooks.pre(&account, &one, Event::MessageAdd).is_some());
        assert!(hooks.pre(&account, &one, Event::MessageUpdate).is_none());
        assert!(hooks.hear_delivery(&account));
        hooks.set(&account, Some(&one), Some(HookSettings::default()));
        assert!(matches!(hooks.of_service(&account, &one), Some((To::Account, _))), "it points nowhere");
        hooks.set(&account, None, None);
        assert!(!hooks.hear_delivery(&account));
    }

    #[tokio::test]
    async fn what_the_rows_say_is_read_once() {
        let mint = Mint::seeded(1);
        let (account, service) = (AccountSid::new(&mint), ServiceSid::new(&mint));
        let ledger = Ledger::new(Arc::new(Memory::new(1)));
        let mut batch = Batch::default();
        batch.put(tables::hook(account.as_str(), service.as_str()), settings(None).encode());
        batch.put(Hooks::scoped_delivery_key(&account), "");
        ledger.commit(batch).await.unwrap();
        let hooks = Hooks::default();
        hooks.load(&ledger, &account).await.unwrap();
        assert!(hooks.any() && hooks.hear_delivery(&account));
        assert!(hooks.pre(&account, &service, Event::MessageAdd).is_some());
        hooks.set(&account, Some(&service), None);
        hooks.load(&ledger, &account).await.unwrap();
        assert!(hooks.of_service(&account, &service).is_none(), "memory is the newer one");
    }
}
