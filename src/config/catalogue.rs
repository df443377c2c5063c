//! Every key there is and the header it stands under, asked of the readers themselves so that it cannot be out of date.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::settings::{SecretSource, Source, Table, Unreadable};
use trunkline_adapter::{AdapterKind, Channel, Section};

use super::media::Media;
use super::sections::{Egress, Limits, Log, OptOut, Queue, Server, Store, Webhooks};
use super::{account, adapter, messaging_service, template};

/// Every header and its keys.
#[derive(Default)]
pub(super) struct Catalogue {
    /// As it is written, and its keys.
    headers: Vec<(&'static str, Vec<&'static str>)>,
    kinds: Vec<Keys>,
}

/// The keys of one kind of adapter.
pub(super) struct Keys {
    pub(super) kind: &'static str,
    pub(super) settings: Vec<&'static str>,
    pub(super) proxy: Vec<&'static str>,
}

struct Nothing;

impl SecretSource for Nothing {
    fn read(&self, _: Source<'_>) -> Result<String, Unreadable> {
        Err(Unreadable { message: String::new(), elsewhere: false })
    }
}

fn empty() -> Section {
    Section::new("", Table::default(), Arc::new(Nothing))
}

fn asked<T>(read: impl FnOnce(&mut Section) -> T) -> Vec<&'static str> {
    let mut section = empty();
    read(&mut section);
    // What has a header of its own is no key.
    section.asked().iter().copied().filter(|key| !matches!(*key, "api_key" | "settings" | "proxy")).collect()
}

fn messaging_service_keys(section: &mut Section) -> Option<messaging_service::MessagingService> {
    messaging_service::service(section, &mut messaging_service::Taken::default(), None)
}

impl Catalogue {
    /// Asks every reader.
    pub(super) fn new(kinds: &[&'static dyn AdapterKind]) -> Catalogue {
        let headers = vec![
            ("[server]", asked(Server::read)),
            ("[store]", asked(Store::read)),
            ("[queue]", asked(Queue::read)),
            ("[opt_out]", asked(OptOut::read)),
            ("[webhooks]", asked(Webhooks::read)),
            ("[egress]", asked(Egress::read)),
            ("[media]", asked(Media::read)),
            ("[log]", asked(Log::read)),
            ("[limits]", asked(Limits::read)),
            ("[[account]]", asked(|section| account::account(section, &mut HashSet::new()))),
            ("[[account.api_key]]", asked(|section| account::api_key(section, &mut HashSet::new()))),
            ("[[template]]", asked(|section| template::template(section, &mut HashSet::new()))),
            ("[[adapter]]", asked(adapter::read_adapter_keys)),
            ("[[messaging_service]]", asked(messaging_service_keys)),
            ("[[adapter.proxy]]", asked(adapter::read_proxy_keys)),
        ];
        Catalogue { headers, kinds: kinds.iter().map(|kind| keys(*kind)).collect() }
    }

    /// The keys of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> Option<&Keys> {
        self.kinds.iter().find(|keys| keys.kind == kind)
    }

    /// The headers a key belongs under, in words; `None` when nobody knows the key.
    pub(super) fn home(&self, key: &str) -> Option<String> {
        let mut homes: Vec<String> = Vec::new();
        for (header, keys) in &self.headers {
            if keys.contains(&key) {
                homes.push((*header).to_owned());
            }
        }
        let settings = self.kinds.iter().filter(|keys| keys.settings.contains(&key));
        homes.extend(of_kinds("[adapter.settings]", settings));
        let proxy = self.kinds.iter().filter(|keys| keys.proxy.contains(&key));
        if !homes.iter().any(|home| home == "[[adapter.proxy]]") {
            homes.extend(of_kinds("[[adapter.proxy]]", proxy));
        }
        if matches!(key, "per_second" | "per_minute" | "burst") {
            homes.push("a rate, as in rate = { per_second = 10, burst = 20 }".to_owned());
        }
        (!homes.is_empty()).then(|| homes.join(" or "))
    }

    /// Every header with its keys; those of kinds under `[adapter.settings]` and `[[adapter.proxy]]`.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<(&'static str, Option<&'static str>, Vec<&'static str>)> {
        let own = self.headers.iter().map(|(header, keys)| (*header, None, keys.clone()));
        let kinds = self.kinds.iter().flat_map(|keys| {
            [
                ("[adapter.settings]", Some(keys.kind), keys.settings.clone()),
                ("[[adapter.proxy]]", Some(keys.kind), keys.proxy.clone()),
            ]
        });
        own.chain(kinds).collect()
    }
}

fn of_kinds<'a>(header: &str, kinds: impl Iterator<Item = &'a Keys>) -> Option<String> {
    let names: Vec<_> = kinds.map(|keys| keys.kind).collect();
    (!names.is_empty()).then(|| format!("{header} of kind {}", names.join(" or ")))
}

/// What a kind asks for, shown a proxy address of each channel in turn.
fn keys(kind: &'static dyn AdapterKind) -> Keys {
    let mut found = Keys { kind: kind.name(), settings: Vec::new(), proxy: Vec::new() };
    for channel in Channel::ALL {
        let mut settings = empty();
        let mut proxies: Vec<_> =
            adapter::placeholder(channel, 1).map(|address| (address, empty())).into_iter().collect();
        let _ = kind.blueprint(&mut settings, &mut proxies);
        add(&mut found.settings, settings.asked());
        for (_, proxy) in &proxies {
            add(&mut found.proxy, proxy.asked());
        }
    }
    found
}

fn add(keys: &mut Vec<&'static str>, asked: &[&'static str]) {
    for key in asked {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
}
