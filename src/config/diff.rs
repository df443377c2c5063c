//! What an edit of the configuration changes.

use std::collections::{HashMap, HashSet};

use trunkline_adapter::{Address, Secrets};

use super::account::Account;
use super::adapter::{AdapterConfig, ProxyConfig};
use super::load::Config;

/// What differs between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Adapters that come, go, or must be built anew. Others are to be left alone.
    pub adapters: Vec<AdapterChange>,
    /// Proxy addresses whose rate or pair rate is another one.
    pub rates: Vec<Address>,
    /// Proxy addresses that are called another name in metrics.
    pub labels: Vec<Address>,
    /// Proxy addresses that came.
    pub proxies_added: Vec<Address>,
    /// Proxy addresses that went: their messages are held.
    pub proxies_removed: Vec<Address>,
    /// Accounts, their order, or their credentials.
    pub accounts: bool,
    /// Whole tables that take effect at once, such as `queue` or `server.public_url`.
    pub live: Vec<&'static str>,
    /// Keys that take effect with the next restart only.
    pub restart: Vec<&'static str>,
}

/// What happened to an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterChange {
    /// It is new.
    Added(String),
    /// It is gone.
    Removed(String),
    /// Its kind, settings, secrets or proxy addresses differ.
    Changed(String),
    /// The same adapter under another name: its webhook moves, nothing else.
    Renamed {
        /// The name it had.
        from: String,
        /// The name it has.
        to: String,
    },
}

impl Change {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Change::default()
    }
}

/// Compares two configurations.
pub fn diff(old: &Config, new: &Config) -> Change {
    let mut change = Change { adapters: adapters(&old.adapters, &new.adapters), ..Change::default() };
    proxies(old, new, &mut change);
    change.accounts = accounts(&old.accounts) != accounts(&new.accounts);
    let (before, after) = (&old.server, &new.server);
    for (differs, key) in [
        (before.public_url != after.public_url, "server.public_url"),
        (before.trusted_proxies != after.trusted_proxies, "server.trusted_proxies"),
        (before.watch != after.watch, "server.watch"),
        (old.store.keep_free != new.store.keep_free, "store.keep_free"),
        (old.queue != new.queue, "queue"),
        (old.opt_out != new.opt_out, "opt_out"),
        (old.log.level != new.log.level, "log.level"),
        (old.limits != new.limits, "limits"),
    ] {
        change.live.extend(differs.then_some(key));
    }
    for (differs, key) in [
        (before.listen != after.listen, "server.listen"),
        (before.admin_listen != after.admin_listen, "server.admin_listen"),
        (before.admin_socket != after.admin_socket, "server.admin_socket"),
        (old.store.path != new.store.path, "store.path"),
        (old.store.durability != new.store.durability, "store.durability"),
        (old.log.format != new.log.format, "log.format"),
    ] {
        change.restart.extend(differs.then_some(key));
    }
    change
}

fn adapters(old: &[AdapterConfig], new: &[AdapterConfig]) -> Vec<AdapterChange> {
    let before: HashMap<&str, &AdapterConfig> = old.iter().map(|one| (one.name.as_str(), one)).collect();
    let after: HashSet<&str> = new.iter().map(|one| one.name.as_str()).collect();
    // One that lost its name and one that holds exactly the same under a new name are the same adapter.
    let mut nameless: HashMap<[u8; 32], &str> = old
        .iter()
        .filter(|one| !after.contains(one.name.as_str()))
        .map(|one| (one.fingerprint, one.name.as_str()))
        .collect();
    let mut changes = Vec::new();
    let mut kept = HashSet::new();
    for one in new {
        let name = one.name.clone();
        match before.get(one.name.as_str()) {
            Some(was) if was.fingerprint == one.fingerprint => {}
            Some(_) => changes.push(AdapterChange::Changed(name)),
            None => match nameless.remove(&one.fingerprint) {
                Some(from) => {
                    kept.insert(from);
                    changes.push(AdapterChange::Renamed { from: from.to_owned(), to: name });
                }
                None => changes.push(AdapterChange::Added(name)),
            },
        }
    }
    let gone = old.iter().map(|one| one.name.as_str());
    let gone = gone.filter(|name| !after.contains(name) && !kept.contains(name));
    changes.extend(gone.map(|name| AdapterChange::Removed(name.to_owned())));
    changes
}

fn proxies(old: &Config, new: &Config, change: &mut Change) {
    let (before, after) = (by_address(old), by_address(new));
    for proxy in new.adapters.iter().flat_map(|adapter| &adapter.proxies) {
        match before.get(&proxy.address) {
            None => change.proxies_added.push(proxy.address.clone()),
            Some(was) => {
                if (was.rate, was.pair_rate) != (proxy.rate, proxy.pair_rate) {
                    change.rates.push(proxy.address.clone());
                }
                if was.name != proxy.name {
                    change.labels.push(proxy.address.clone());
                }
            }
        }
    }
    let all = old.adapters.iter().flat_map(|adapter| &adapter.proxies);
    let gone = all.filter(|proxy| !after.contains_key(&proxy.address));
    change.proxies_removed = gone.map(|proxy| proxy.address.clone()).collect();
}

fn by_address(config: &Config) -> HashMap<&Address, &ProxyConfig> {
    config.adapters.iter().flat_map(|adapter| &adapter.proxies).map(|proxy| (&proxy.address, proxy)).collect()
}

type Credentials<'a> = (&'a str, Vec<&'a str>);

fn accounts(accounts: &[Account]) -> Vec<(Credentials<'_>, Vec<Credentials<'_>>)> {
    accounts
        .iter()
        .map(|account| {
            let keys = account.api_keys.iter().map(|key| (key.sid.as_str(), exposed(&key.secret)));
            ((account.sid.as_str(), exposed(&account.auth_token)), keys.collect())
        })
        .collect()
}

fn exposed(secrets: &Secrets) -> Vec<&str> {
    secrets.all().iter().map(|secret| secret.expose()).collect()
}
