//! `[[adapter]]`: a provider's settings and the proxy addresses that live there.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::settings::{Table, Value, nearest};
use trunkline_adapter::{AdapterKind, Address, Blueprint, Channel, Rate, Section};

use super::catalogue::{Catalogue, Keys};

/// An adapter.
#[derive(Clone)]
pub struct AdapterConfig {
    /// In the webhook's path, logs and metrics; never part of a stored key.
    pub name: String,
    /// Its kind.
    pub kind: &'static dyn AdapterKind,
    /// What builds it.
    pub blueprint: Arc<dyn Blueprint>,
    /// Differs when the adapter must be built anew: covers its kind, its proxy addresses and every value its kind
    /// reads, secrets included; neither its name nor rates.
    pub fingerprint: [u8; 32],
    /// The default rate of its proxy addresses, if one is set.
    pub rate: Option<Rate>,
    /// Its proxy addresses.
    pub proxies: Vec<ProxyConfig>,
}

impl std::fmt::Debug for AdapterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AdapterConfig");
        shown.field("name", &self.name).field("kind", &self.kind.name()).field("proxies", &self.proxies);
        shown.finish_non_exhaustive()
    }
}

/// A proxy address: ours, towards people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The address.
    pub address: Address,
    /// Its label in metrics: given, or the adapter's name and a number.
    pub name: String,
    /// Its rate, or its adapter's; `None`: what the adapter says its provider allows.
    pub rate: Option<Rate>,
    /// The rate per recipient; `None`: what the adapter says its provider allows.
    pub pair_rate: Option<Rate>,
}

/// What must be unique over all adapters.
#[derive(Default)]
struct Taken {
    names: HashSet<String>,
    addresses: HashSet<Address>,
    labels: HashSet<String>,
}

/// Reads `[[adapter]]`.
pub(super) fn adapters(
    root: &mut Section,
    kinds: &[&'static dyn AdapterKind],
    catalogue: &Catalogue,
) -> Vec<AdapterConfig> {
    let mut taken = Taken::default();
    let mut adapters = Vec::new();
    for mut section in root.tables("adapter") {
        adapters.extend(adapter(&mut section, kinds, catalogue, &mut taken));
        root.absorb(section);
    }
    label(&mut adapters, &mut taken.labels);
    adapters
}

fn adapter(
    section: &mut Section,
    kinds: &[&'static dyn AdapterKind],
    catalogue: &Catalogue,
    taken: &mut Taken,
) -> Option<AdapterConfig> {
    let name = own_keys(section, &mut taken.names);
    let rate = section.rate("rate");
    let (kind, exact) = kind(section, kinds, catalogue);
    let at = section.at();
    let mut settings = section.table("settings").unwrap_or_else(|| {
        Section::new(section.path_of("settings"), Table { at, entries: Vec::new() }, section.secrets_from())
    });
    let mut proxies = Vec::new();
    for mut proxy in section.tables("proxy") {
        let place = proxies.len();
        let path = section.path_of(&format!("proxy[{place}]"));
        proxy.set_path(path);
        proxies.push(read_proxy(proxy, taken));
    }
    if proxies.is_empty() && !section.has("proxy") {
        section.note("proxy", "has no [[adapter.proxy]]: nothing can be sent or received here");
    }
    let Some(kind) = kind else {
        // Which keys there may be is the kind's to say.
        settings.allow_all();
        section.absorb(settings);
        for mut proxy in proxies {
            proxy.section.allow_all();
            section.absorb(proxy.section);
        }
        return None;
    };
    let keys = catalogue.of_kind(kind.name());
    let mut pairs = stand_in(kind, &mut proxies);
    let blueprint = kind.blueprint(&mut settings, &mut pairs);
    let (problems, mut seen) = settings.finish();
    section.adopt(problems);
    let mut own = Vec::with_capacity(proxies.len());
    for ((_, mut below), proxy) in pairs.into_iter().zip(proxies) {
        // Without its address the kind may have refused to look at the rest.
        if proxy.address.is_none() {
            below.forget("address", proxy.findings);
            keys.into_iter().for_each(|keys: &Keys| below.allow(&keys.proxy));
        }
        let (problems, part) = below.finish();
        section.adopt(problems);
        if let Some(address) = proxy.address {
            own.push((address, part, proxy.name, proxy.rate, proxy.pair_rate));
        }
    }
    let mut parts: Vec<_> = own.iter().map(|(address, part, ..)| format!("{address}\0{part}")).collect();
    parts.sort();
    for text in [kind.name(), "\0"].into_iter().chain(parts.iter().map(String::as_str)) {
        seen.push_str(text);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, seen.as_bytes());
    let proxies = own.into_iter().map(|(address, _, label, own, pair_rate)| ProxyConfig {
        address,
        name: label.unwrap_or_default(),
        rate: own.or(rate),
        pair_rate,
    });
    Some(AdapterConfig {
        name: name?,
        kind: exact.then_some(kind)?,
        blueprint: blueprint?,
        fingerprint: digest.as_ref().try_into().ok()?,
        rate,
        proxies: proxies.collect(),
    })
}

fn own_keys(section: &mut Section, taken: &mut HashSet<String>) -> Option<String> {
    let name = section.required("name")?;
    let fits =
        name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        section.problem("name", "must be 1 to 40 of a-z, 0-9 and -", None);
        return None;
    }
    if !taken.insert(name.clone()) {
        section.problem("name", format!("another adapter is called {name}"), None);
        return None;
    }
    section.set_path(format!("adapter.{name}"));
    Some(name)
}

/// The kind, and whether it was really named: the rest is checked under the likeliest kind otherwise.
fn kind(
    section: &mut Section,
    kinds: &[&'static dyn AdapterKind],
    catalogue: &Catalogue,
) -> (Option<&'static dyn AdapterKind>, bool) {
    let named = section.required("kind");
    let names = || kinds.iter().map(|kind| kind.name());
    let find = |name: &str| kinds.iter().find(|kind| kind.name() == name).copied();
    if let Some(found) = named.as_deref().and_then(find) {
        return (Some(found), true);
    }
    let near = named.as_deref().and_then(|named| nearest(named, names()));
    if let Some(named) = named {
        let hint = near.map(|near| format!("did you mean {near:?}?"));
        let all: Vec<_> = names().collect();
        section.problem("kind", format!("there is no kind {named:?}, only {}", all.join(", ")), hint);
    }
    let mut present = keys_below(section.node("settings").map(|node| node.value));
    present.extend(keys_below(section.node("proxy").map(|node| node.value)));
    (near.or_else(|| catalogue.likeliest(&present)).and_then(find), false)
}

fn keys_below(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::Table(table)) => table.entries.into_iter().map(|(key, ..)| key).collect(),
        Some(Value::Array(nodes)) => {
            nodes.into_iter().flat_map(|node| keys_below(Some(node.value))).collect()
        }
        _ => Vec::new(),
    }
}

struct Proxy {
    address: Option<Address>,
    /// A channel, for a kind to read on when the address is not readable.
    channel: Option<Channel>,
    name: Option<String>,
    rate: Option<Rate>,
    pair_rate: Option<Rate>,
    /// How many mistakes its own keys hold.
    findings: usize,
    section: Section,
}

fn read_proxy(mut section: Section, taken: &mut Taken) -> Proxy {
    let own = read_proxy_keys(&mut section);
    let (mut address, name, rate, pair_rate) = own;
    if let Some(found) = &address
        && !taken.addresses.insert(found.clone())
    {
        section.problem(
            "address",
            "this address is there twice",
            Some("one adapter carries an address".to_owned()),
        );
        address = None;
    }
    if let Some(name) = &name
        && !taken.labels.insert(name.clone())
    {
        section.problem("name", format!("another proxy address is called {name}"), None);
    }
    let channel = address.as_ref().map(Address::channel).or_else(|| section.texts().find_map(channel_of));
    section.unsee();
    let findings = section.findings();
    Proxy { address, channel, name, rate, pair_rate, findings, section }
}

/// Reads the keys that every `[[adapter.proxy]]` has.
pub(super) fn read_proxy_keys(
    section: &mut Section,
) -> (Option<Address>, Option<String>, Option<Rate>, Option<Rate>) {
    section.must("address");
    let address = section.address("address");
    let name = section.string("name").filter(|name| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        let fits = (1..=40).contains(&name.len()) && name.bytes().all(plain);
        if !fits {
            section.problem("name", "must be 1 to 40 of a-z, 0-9, - and _", None);
        }
        fits
    });
    (address, name, section.rate("rate"), section.rate("pair_rate"))
}

fn channel_of(text: &str) -> Option<Channel> {
    let (prefix, _) = text.split_once(':')?;
    Channel::ALL.into_iter().find(|channel| channel.name() == prefix)
}

/// The sections of the proxy addresses, those without a readable address under one of the likeliest channel.
fn stand_in(kind: &'static dyn AdapterKind, proxies: &mut [Proxy]) -> Vec<(Address, Section)> {
    let named_like = Channel::ALL.into_iter().find(|channel| channel.name() == kind.name());
    let usual = proxies.iter().find_map(|proxy| proxy.channel).or(named_like).unwrap_or(Channel::Sms);
    let mut pairs = Vec::with_capacity(proxies.len());
    for (number, proxy) in proxies.iter_mut().enumerate() {
        let address = proxy.address.clone().or_else(|| placeholder(proxy.channel.unwrap_or(usual), number));
        let empty = Section::new("", Table::default(), proxy.section.secrets_from());
        let section = std::mem::replace(&mut proxy.section, empty);
        if let Some(address) = address {
            pairs.push((address, section));
        }
    }
    pairs
}

/// An address nobody has, so that what stands beside a broken one can be read.
pub(super) fn placeholder(channel: Channel, number: usize) -> Option<Address> {
    Address::from_digits(channel, &format!("{:07}", number % 10_000_000)).ok()
}

/// Names the proxy addresses that were given no name.
fn label(adapters: &mut [AdapterConfig], taken: &mut HashSet<String>) {
    for adapter in adapters {
        let mut number = 0;
        for proxy in adapter.proxies.iter_mut().filter(|proxy| proxy.name.is_empty()) {
            while proxy.name.is_empty() {
                number += 1;
                let name = format!("{}-{number}", adapter.name);
                if taken.insert(name.clone()) {
                    proxy.name = name;
                }
            }
        }
    }
}
