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
        (old.queue != new.queue, "queue"),
        (old.opt_out != new.opt_out, "opt_out"),
        (old.messaging_services != new.messaging_services, "messaging_service"),
        (old.webhooks != new.webhooks, "webhooks"),
        (old.egress != new.egress, "egress"),
        (old.media.link_ttl != new.media.link_ttl, "media.link_ttl"),
        (old.templates != new.templates, "template"),
        (old.limits.live() != new.limits.live(), "limits of conversations and connections"),
        (old.log.level != new.log.level, "log.level"),
    ] {
        change.live.extend(differs.then_some(key));
    }
    let first = |config: &Config| config.accounts.first().map(|account| account.sid.clone());
    for (differs, key) in [
        (first(old) != first(new), "account.sid of the first account"),
        (before.listen != after.listen, "server.listen"),
        (before.admin_listen != after.admin_listen, "server.admin_listen"),
        (before.admin_socket != after.admin_socket, "server.admin_socket"),
        (old.store.path != new.store.path, "store.path"),
        (old.store.durability != new.store.durability, "store.durability"),
        (old.store.keep_free != new.store.keep_free, "store.keep_free"),
        (old.media.place != new.media.place, "media.url"),
        (old.log.format != new.log.format, "log.format"),
        (old.limits.fixed() != new.limits.fixed(), "limits"),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use super::super::fake_kinds::{Named, kinds};
    use super::super::load::from_text;
    use super::*;

    const EXAMPLE: &str = include_str!("../../config.example.toml");

    /// What replacing pieces of the example changes.
    fn edited(edits: &[(&str, &str)]) -> Change {
        let load = |text: &str| from_text("t", text, &kinds(), Arc::new(Named)).unwrap().config;
        let mut text = EXAMPLE.to_owned();
        for (old, new) in edits {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        diff(&load(EXAMPLE), &load(&text))
    }

    #[test]
    fn comments_order_and_spelling_change_nothing() {
        assert!(edited(&[]).is_empty());
        assert!(edited(&[("watch = true", "# ours\nwatch = true"), ("\"4h\"", "\"240m\"")]).is_empty());
        assert!(edited(&[("+15550001111\"\n# What", "+1 555 000 1111\"\n# What")]).is_empty());
    }

    #[test]
    fn rates_and_names_leave_the_adapter_alone() {
        let change = edited(&[("per_second = 1,", "per_second = 2,"), ("support-line", "helpdesk")]);
        let address = Address::parse("+15550001111").unwrap();
        let expected = Change { rates: vec![address.clone()], labels: vec![address], ..Change::default() };
        assert_eq!(change, expected);
        let pair = edited(&[("per_minute = 10,", "per_minute = 20,")]);
        assert_eq!(pair.rates, [Address::parse("whatsapp:+15550002222").unwrap()]);
        assert!(pair.adapters.is_empty());
    }

    #[test]
    fn an_adapter_is_renamed_changed_added_or_removed() {
        let renamed = edited(&[("name = \"us\"", "name = \"usa\"")]);
        let expected = AdapterChange::Renamed { from: "us".into(), to: "usa".into() };
        assert_eq!(renamed, Change { adapters: vec![expected], ..Change::default() });

        for edit in
            [("WA_ACCESS_TOKEN", "OTHER"), ("106540352242922", "1"), ("{ env = \"WA_V", "{ file = \"WA_V")]
        {
            let changed = edited(&[edit]).adapters;
            // The fake source gives a file and a variable of one name one value.
            let expected =
                if edit.0.contains("WA_V") { vec![] } else { vec![AdapterChange::Changed("wa".into())] };
            assert_eq!(changed, expected, "{edit:?}");
        }
        let both = edited(&[
            ("name = \"us\"", "name = \"usa\""),
            ("TWILIO_AUTH_TOKEN\" }\n# Where", "NEW\" }\n# Where"),
        ]);
        assert_eq!(both.adapters, [AdapterChange::Added("usa".into()), AdapterChange::Removed("us".into())]);
        assert!(both.proxies_added.is_empty() && both.proxies_removed.is_empty());
    }

    #[test]
    fn a_moved_proxy_address_is_told() {
        let change = edited(&[("\"messenger:1029384756\"", "\"messenger:2\"")]);
        assert_eq!(change.proxies_added, [Address::parse("messenger:2").unwrap()]);
        assert_eq!(change.proxies_removed, [Address::parse("messenger:1029384756").unwrap()]);
        assert_eq!(change.adapters, [AdapterChange::Changed("pages".into())]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let change = edited(&[
            ("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1:9090\""),
            ("durability = \"power\"", "durability = \"process\""),
            ("/run/trunkline/admin.sock", "/run/other.sock"),
            ("keep_free = \"512MiB\"", "keep_free = \"1GiB\""),
        ]);
        assert_eq!(
            change.restart,
            ["server.listen", "server.admin_socket", "store.durability", "store.keep_free"]
        );
        assert!(change.live.is_empty());
    }

    #[test]
    fn a_new_secret_of_an_account_is_a_change_of_accounts_only() {
        let change = edited(&[("/etc/trunkline/api-secret", "/etc/trunkline/other")]);
        assert_eq!(change, Change { accounts: true, ..Change::default() });
    }
}
