//! `[[messaging_service]]`: proxy addresses taken together, and what becomes of messages to them that belong to no
//! conversation.

use std::collections::HashSet;

use trunkline_adapter::{Address, Section};

use super::adapter::AdapterConfig;

/// A messaging service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagingService {
    /// `MG` and 32 hexadecimal digits, as written.
    pub sid: String,
    /// What `check` and the log call it; empty if none was given.
    pub name: String,
    /// Addresses of ours, each in this service only.
    pub proxies: Vec<Address>,
    /// What becomes of a message that belongs to no conversation.
    pub inbound: Inbound,
}

/// What becomes of a message that belongs to no conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A conversation is made of it: in this service, or in the default one.
    Autocreate(Option<String>),
    /// It is posted to this URL.
    Forward(String),
    /// It is counted.
    Drop,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Autocreate,
    Forward,
    Drop,
}

/// What must be unique over all services.
#[derive(Default)]
pub(super) struct Taken {
    sids: HashSet<String>,
    names: HashSet<String>,
    proxies: HashSet<Address>,
}

/// Reads `[[messaging_service]]`.
pub(super) fn services(root: &mut Section, adapters: &[AdapterConfig]) -> Vec<MessagingService> {
    let mut known: Option<HashSet<&Address>> = None;
    // While an adapter is wrong, nobody can say which addresses it would have had.
    if root.findings() == 0 {
        known =
            Some(adapters.iter().flat_map(|adapter| &adapter.proxies).map(|proxy| &proxy.address).collect());
    }
    let mut taken = Taken::default();
    let mut services = Vec::new();
    for mut section in root.tables("messaging_service") {
        services.extend(service(&mut section, &mut taken, known.as_ref()));
        root.absorb(section);
    }
    services
}

/// Reads one `[[messaging_service]]`.
pub(super) fn service(
    section: &mut Section,
    taken: &mut Taken,
    known: Option<&HashSet<&Address>>,
) -> Option<MessagingService> {
    let sid = section.required("sid");
    let sid = sid.and_then(|sid| checked_sid(section, "sid", "MG", sid));
    if let Some(sid) = &sid
        && !taken.sids.insert(sid.to_ascii_lowercase())
    {
        section.problem("sid", format!("{sid} is there twice"), None);
    }
    let name = section.string("name").unwrap_or_default();
    if !name.is_empty() && !taken.names.insert(name.clone()) {
        section.problem("name", format!("{name:?} is there twice"), None);
    }
    let proxies = proxies(section, taken, known);
    let modes = [("autocreate", Mode::Autocreate), ("forward", Mode::Forward), ("drop", Mode::Drop)];
    let mode = section.choice("inbound", &modes).unwrap_or(Mode::Drop);
    let place = section.string("conversation_service");
    let place = place.and_then(|sid| checked_sid(section, "conversation_service", "IS", sid));
    let url = section.string("forward_url").filter(|url| {
        let whole = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !whole {
            let hint = Some("for example \"https://app.example.com/sms\"".to_owned());
            section.problem("forward_url", "is not an http or https URL", hint);
        }
        whole
    });
    for (key, needs, given) in [
        ("conversation_service", Mode::Autocreate, place.is_some()),
        ("forward_url", Mode::Forward, url.is_some()),
    ] {
        if given && mode != needs {
            let word = modes.iter().find(|(_, mode)| *mode == needs).map_or("", |(word, _)| word);
            section.note(key, format!("does nothing unless inbound = \"{word}\""));
        }
    }
    let inbound = match mode {
        Mode::Autocreate => Inbound::Autocreate(place),
        Mode::Forward => {
            section.must("forward_url");
            Inbound::Forward(url?)
        }
        Mode::Drop => Inbound::Drop,
    };
    Some(MessagingService { sid: sid?, name, proxies, inbound })
}

fn checked_sid(section: &mut Section, key: &'static str, prefix: &str, text: String) -> Option<String> {
    let hex = text
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !hex {
        let hint = Some(format!("for example {prefix}{:032}", 1));
        section.problem(key, format!("must be {prefix} and 32 hexadecimal digits"), hint);
    }
    hex.then_some(text)
}

fn proxies(section: &mut Section, taken: &mut Taken, known: Option<&HashSet<&Address>>) -> Vec<Address> {
    section.must("proxies");
    let mut proxies = Vec::new();
    for (at, text) in section.strings_at("proxies").unwrap_or_default() {
        match Address::parse(&text) {
            Err(error) => section.problem_at(at, "proxies", error.to_string(), None),
            Ok(address) if known.is_some_and(|known| !known.contains(&address)) => {
                let hint = Some("add it to an adapter as [[adapter.proxy]]".to_owned());
                section.problem_at(
                    at,
                    "proxies",
                    format!("{address} is no proxy address of an adapter"),
                    hint,
                );
            }
            Ok(address) if !taken.proxies.insert(address.clone()) => {
                section.problem_at(
                    at,
                    "proxies",
                    format!("{address} is in a messaging service already"),
                    None,
                );
            }
            Ok(address) => proxies.push(address),
        }
    }
    proxies
}
