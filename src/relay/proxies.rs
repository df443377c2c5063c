//! Which proxy addresses are ours today, and what the relay must know of each.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use trunkline_adapter::Address;

/// What the relay knows of one proxy address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Whether STOP, START and HELP are ours to handle on it.
    pub keywords: bool,
}

/// The proxy addresses of the running configuration.
#[derive(Default)]
pub struct Proxies(RwLock<Arc<HashMap<Address, Proxy>>>);

impl Proxies {
    pub fn replace(&self, proxies: HashMap<Address, Proxy>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(proxies);
    }

    pub fn get(&self, address: &Address) -> Option<Proxy> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }
}
