//! Messaging services of today's configuration: our addresses taken together, and what becomes of messages to them that
//! belong to no conversation.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use trunkline_adapter::Address;

use crate::model::{AccountSid, ServiceSid};

/// A messaging service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagingService {
    pub sid: String,
    pub proxies: Vec<Address>,
    pub inbound: UnboundInbound,
}

/// What becomes of a message that belongs to no conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnboundInbound {
    /// A conversation is made of it: in this service, or in the default one.
    Autocreate(Option<ServiceSid>),
    /// It is posted to whoever runs the application.
    Forward,
    /// It is counted.
    Drop,
}

/// Those of the running configuration. Like proxy addresses they are one account's; a reload replaces them.
#[derive(Default)]
pub struct MessagingServices(RwLock<Arc<Known>>);

#[derive(Default)]
struct Known {
    account: Option<AccountSid>,
    services: HashMap<String, Arc<MessagingService>>,
    by_proxy: HashMap<Address, Arc<MessagingService>>,
}

impl MessagingServices {
    pub fn replace(&self, account: AccountSid, services: Vec<MessagingService>) {
        let mut known = Known { account: Some(account), ..Known::default() };
        for service in services.into_iter().map(Arc::new) {
            known.services.insert(service.sid.to_ascii_lowercase(), service.clone());
            for proxy in &service.proxies {
                known.by_proxy.insert(proxy.clone(), service.clone());
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    fn known(&self, account: &AccountSid) -> Option<Arc<Known>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        (known.account.as_ref() == Some(account)).then_some(known)
    }

    /// The service that an address is in.
    pub fn of(&self, account: &AccountSid, proxy: &Address) -> Option<Arc<MessagingService>> {
        self.known(account)?.by_proxy.get(proxy).cloned()
    }

    /// Whether a conversation may name this service. Where none is configured any may be named: whoever brings their
    /// conversations along need not configure what they do not use.
    pub fn may_be_named(&self, account: &AccountSid, sid: &str) -> bool {
        let Some(known) = self.known(account) else { return true };
        known.services.is_empty() || known.services.contains_key(&sid.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Mint;

    #[test]
    fn services_are_one_accounts_and_known_by_any_case() {
        let mint = Mint::seeded(3);
        let (own, other) = (AccountSid::new(&mint), AccountSid::new(&mint));
        let proxy = Address::parse("+15550001111").unwrap();
        let services = MessagingServices::default();
        assert!(services.may_be_named(&own, "MG1") && services.of(&own, &proxy).is_none());
        let service = MessagingService {
            sid: "MGA".to_owned(),
            proxies: vec![proxy.clone()],
            inbound: UnboundInbound::Drop,
        };
        services.replace(own.clone(), vec![service]);
        assert!(services.may_be_named(&own, "MGa") && !services.may_be_named(&own, "MGb"));
        assert!(services.may_be_named(&other, "MGb") && services.of(&other, &proxy).is_none());
        assert_eq!(services.of(&own, &proxy).unwrap().sid, "MGA");
        services.replace(own.clone(), Vec::new());
        assert!(services.of(&own, &proxy).is_none());
    }
}
