//! Which proxy addresses are ours today, and what the relay must know of each.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use trunkline_adapter::Address;

use crate::model::AccountSid;

/// What the relay knows of one proxy address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Whether STOP, START and HELP are ours to handle on it.
    pub keywords: bool,
    /// Whether every status names its send by our own text, so that ids of sends lead nowhere.
    pub correlated: bool,
    /// Whether it can carry group texts.
    pub group_texts: bool,
}

/// The proxy addresses of the running configuration. They carry one account's messages; to every other account none
/// of them is there, so that nothing is acknowledged that no lane would ever send.
#[derive(Default)]
pub struct Proxies(RwLock<Arc<Known>>);

#[derive(Default)]
struct Known {
    account: Option<AccountSid>,
    proxies: HashMap<Address, Proxy>,
}

impl Proxies {
    pub fn replace(&self, account: AccountSid, proxies: HashMap<Address, Proxy>) {
        let known = Known { account: Some(account), proxies };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    pub fn get(&self, account: &AccountSid, address: &Address) -> Option<Proxy> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.proxies.get(address).filter(|_| known.account.as_ref() == Some(account)).cloned()
    }

    /// Whether any of an account's can carry group texts.
    pub fn group_texts(&self, account: &AccountSid) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.account.as_ref() == Some(account) && known.proxies.values().any(|proxy| proxy.group_texts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Mint;

    #[test]
    fn a_proxy_address_is_there_for_its_own_account_only() {
        let mint = Mint::seeded(3);
        let (own, other) = (AccountSid::new(&mint), AccountSid::new(&mint));
        let address = Address::parse("+15550001111").unwrap();
        let proxies = Proxies::default();
        assert_eq!(proxies.get(&own, &address), None, "before any configuration");
        proxies.replace(
            own.clone(),
            HashMap::from([(
                address.clone(),
                Proxy { keywords: true, correlated: false, group_texts: false },
            )]),
        );
        assert_eq!(
            proxies.get(&own, &address),
            Some(Proxy { keywords: true, correlated: false, group_texts: false })
        );
        assert_eq!(proxies.get(&other, &address), None);
    }
}
