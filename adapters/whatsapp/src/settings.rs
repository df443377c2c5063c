//! What the configuration says: `[adapter.settings]` and each `[[adapter.proxy]]`.

use std::collections::HashMap;

use trunkline_adapter::{Address, Channel, Secrets, Section};
use trunkline_graph::{AppSettings, Target};

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) app: AppSettings,
    pub(crate) access_token: Secrets,
    pub(crate) numbers: Numbers,
}

impl Settings {
    /// Checks what is written; every problem is noted in the section that it is in.
    pub(crate) fn read(settings: &mut Section, proxies: &mut [(Address, Section)]) -> Option<Settings> {
        let app = AppSettings::read(settings);
        let access_token = settings.required_secrets("access_token");
        let mut numbers = Numbers::default();
        for (address, section) in proxies {
            if address.channel() != Channel::Whatsapp || address.digits().is_none() {
                let hint = Some("write whatsapp:+15550001111".to_owned());
                section.problem("address", "must be a WhatsApp number", hint);
            }
            let Some(id) = section.required("phone_number_id") else { continue };
            if id.len() > 32 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                section.problem("phone_number_id", "must be digits", None);
            } else if !numbers.add(address.clone(), id) {
                section.problem("phone_number_id", "is another number's already", None);
            }
        }
        Some(Settings { app: app?, access_token: access_token?, numbers })
    }

    /// Where each number sends.
    pub(crate) fn targets(&self) -> HashMap<Address, Target> {
        let token = self.access_token.first();
        let target = |id: &String| Target::new(&self.app.messages_url(id), token);
        self.numbers.ids.iter().map(|(address, id)| (address.clone(), target(id))).collect()
    }
}

/// Our numbers: the address the world knows, and the id the provider routes by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    ids: HashMap<Address, String>,
    addresses: HashMap<String, Address>,
}

impl Numbers {
    /// Adds a number; says `false` when its id is taken.
    pub(crate) fn add(&mut self, address: Address, id: String) -> bool {
        if self.addresses.contains_key(&id) {
            return false;
        }
        self.addresses.insert(id.clone(), address.clone());
        self.ids.insert(address, id);
        true
    }

    pub(crate) fn id(&self, address: &Address) -> Option<&str> {
        self.ids.get(address).map(String::as_str)
    }

    pub(crate) fn address(&self, id: &str) -> Option<&Address> {
        self.addresses.get(id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    pub(crate) const PROXY: &str = "whatsapp:+15550100";
    pub(crate) const PROXY_ID: &str = "106540352242922";

    pub(crate) fn settings(base_url: &str) -> Settings {
        let mut section = Section::of(&[
            ("app_secret", "app-secret-0001"),
            ("verify_token", "verify-0001"),
            ("base_url", base_url),
        ]);
        let mut numbers = Numbers::default();
        assert!(numbers.add(Address::parse(PROXY).unwrap(), PROXY_ID.to_owned()));
        assert!(numbers.add(Address::parse("whatsapp:+15550101").unwrap(), "42".to_owned()));
        let app = AppSettings::read(&mut section).unwrap();
        Settings { app, access_token: Secrets::one("access-0001"), numbers }
    }

    fn problems(settings: &[(&str, &str)], proxies: &[(&str, &[(&str, &str)])]) -> (bool, Vec<String>) {
        let mut section = Section::of(settings);
        let mut proxies: Vec<(Address, Section)> = proxies
            .iter()
            .map(|(address, pairs)| (Address::parse(address).unwrap(), Section::of(pairs)))
            .collect();
        let made = Settings::read(&mut section, &mut proxies).is_some();
        let mut found = section.finish().0;
        found.extend(proxies.into_iter().flat_map(|(_, section)| section.finish().0));
        (made, found.into_iter().map(|problem| problem.message).collect())
    }

    const GOOD: &[(&str, &str)] = &[("app_secret", "s"), ("verify_token", "v"), ("access_token", "a")];

    #[test]
    fn the_documented_keys_are_all_it_takes() {
        let (made, found) = problems(GOOD, &[(PROXY, &[("phone_number_id", "106540352242922")])]);
        assert!(made && found.is_empty(), "{found:?}");
    }

    #[test]
    fn every_mistake_is_told() {
        let (made, found) = problems(
            &[("api_version", "latest"), ("colour", "red")],
            &[
                ("+15550001", &[("phone_number_id", "1")]),
                ("whatsapp:US.900100", &[("phone_number_id", "../me")]),
                (PROXY, &[]),
                ("whatsapp:+15550101", &[("phone_number_id", "1")]),
            ],
        );
        assert!(!made);
        assert_eq!(
            found,
            [
                "app_secret is missing",
                "verify_token is missing",
                "is not a Graph version",
                "access_token is missing",
                "unknown key",
                "must be a WhatsApp number",
                "must be a WhatsApp number",
                "must be digits",
                "phone_number_id is missing",
                "is another number's already",
            ]
        );
    }
}
