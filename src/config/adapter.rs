//! `[[adapter]]`: a provider's settings and the proxy addresses that live there.

use std::collections::HashSet;
use std::sync::Arc;

use trunkline_adapter::settings::{Table, nearest};
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
    /// Its label in metrics; empty if none was given.
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
    paths: HashSet<String>,
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
    let named = named(section, kinds);
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
    let bare = matches!(named, Named::Kind(kind) | Named::Nearly(kind) if !kind.has_proxies());
    if proxies.is_empty() && !section.has("proxy") && !bare {
        section.note("proxy", "has no [[adapter.proxy]]: nothing can be sent or received here");
    }
    let exact = matches!(named, Named::Kind(_));
    let kind = match named {
        Named::Kind(kind) | Named::Nearly(kind) => Some(kind),
        Named::Otherwise => None,
        Named::Not => likeliest(kinds, &settings, &proxies),
    };
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
    let mut pairs = stand_in(kind, &proxies);
    let blueprint = kind.blueprint(&mut settings, &mut pairs);
    let path = blueprint.as_ref().and_then(|blueprint| blueprint.door_path());
    if let Some(path) = path
        && !taken.paths.insert(path.to_owned())
    {
        settings.problem("path", format!("another adapter has {path}"), None);
    }
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

/// Reads the keys that every `[[adapter]]` has, so that they can be listed.
pub(super) fn read_adapter_keys(section: &mut Section) {
    let nothing = Catalogue::default();
    let _ = adapter(section, &[], &nothing, &mut Taken::default());
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

/// What `kind` says.
enum Named {
    Kind(&'static dyn AdapterKind),
    /// Not quite: the rest is read as if it were meant.
    Nearly(&'static dyn AdapterKind),
    /// Something else altogether, so that nobody knows which keys there may be.
    Otherwise,
    Not,
}

fn named(section: &mut Section, kinds: &[&'static dyn AdapterKind]) -> Named {
    let find = |name: &str| kinds.iter().find(|kind| kind.name() == name).copied();
    let Some(named) = section.required("kind") else {
        // A kind's name behind a misspelt key is as good.
        return section.texts().filter_map(find).last().map_or(Named::Not, Named::Nearly);
    };
    if let Some(kind) = find(&named) {
        return Named::Kind(kind);
    }
    let all: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let near = nearest(&named, all.iter().copied());
    let hint = near.map(|near| format!("did you mean {near:?}?"));
    section.problem("kind", format!("there is no kind {named:?}, only {}", all.join(", ")), hint);
    near.and_then(find).map_or(Named::Otherwise, Named::Nearly)
}

/// The kind under which what is there makes most sense, if under any.
fn likeliest(
    kinds: &[&'static dyn AdapterKind],
    settings: &Section,
    proxies: &[Proxy],
) -> Option<&'static dyn AdapterKind> {
    let mut best = None;
    for kind in kinds {
        let mut settings = settings.clone();
        let mut pairs = stand_in(*kind, proxies);
        let _ = kind.blueprint(&mut settings, &mut pairs);
        let sections = || std::iter::once(&settings).chain(pairs.iter().map(|(_, section)| section));
        let known = settings.asked().iter().any(|key| settings.has(key));
        // A misspelt key speaks for the kind that has it, no less than a right one.
        let odd = sections().flat_map(|section| section.clone().finish().0);
        let odd = odd.filter(|problem| problem.unknown.is_none() || problem.hint.is_none()).count();
        if known && best.as_ref().is_none_or(|(fewest, _)| odd < *fewest) {
            best = Some((odd, *kind));
        }
    }
    best.map(|(_, kind)| kind)
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
fn stand_in(kind: &'static dyn AdapterKind, proxies: &[Proxy]) -> Vec<(Address, Section)> {
    let named_like = Channel::ALL.into_iter().find(|channel| channel.name() == kind.name());
    let usual = proxies.iter().find_map(|proxy| proxy.channel).or(named_like).unwrap_or(Channel::Sms);
    let pair = |(number, proxy): (usize, &Proxy)| {
        let address =
            proxy.address.clone().or_else(|| placeholder(proxy.channel.unwrap_or(usual), number))?;
        Some((address, proxy.section.clone()))
    };
    proxies.iter().enumerate().filter_map(pair).collect()
}

/// An address nobody has, so that what stands beside a broken one can be read.
pub(super) fn placeholder(channel: Channel, number: usize) -> Option<Address> {
    let digits = format!("{:07}", number % 10_000_000);
    match channel {
        Channel::Sms | Channel::Whatsapp => Address::from_digits(channel, &digits).ok(),
        // A page's id has no plus sign.
        Channel::Messenger => Address::from_id(channel, &digits).ok(),
    }
}
