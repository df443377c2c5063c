//! The catalogue of keys, asked of the readers themselves so that it cannot be out of date.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::settings::{SecretSource, Source, Table, Unreadable};
use trunkline_adapter::{AdapterKind, Channel, Section};

use super::catalogue::{Catalogue, Keys};
use super::media::Media;
use super::sections::{Egress, Limits, Log, OptOut, Queue, Server, Store, Webhooks};
use super::{account, adapter, messaging_service, template};

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

/// Asks every reader.
pub(super) fn catalogue(kinds: &[&'static dyn AdapterKind]) -> Catalogue {
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
