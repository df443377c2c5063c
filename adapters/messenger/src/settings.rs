//! What the configuration says: `[adapter.settings]` and each `[[adapter.proxy]]`, a page and its token.

use std::collections::HashMap;

use trunkline_adapter::{Address, Channel, Secrets, Section};
use trunkline_graph::{AppSettings, Target};

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) app: AppSettings,
    /// Each page's token.
    pub(crate) pages: HashMap<Address, Secrets>,
}

impl Settings {
    /// Checks what is written; every problem is noted in the section that it is in.
    pub(crate) fn read(settings: &mut Section, proxies: &mut [(Address, Section)]) -> Option<Settings> {
        let app = AppSettings::read(settings);
        let mut pages = HashMap::new();
        for (address, section) in proxies {
            // Page ids become part of a URL.
            let digits = address.value().bytes().all(|byte| byte.is_ascii_digit());
            if address.channel() != Channel::Messenger || !digits {
                let hint = Some("write messenger:PAGE_ID, the page's number".to_owned());
                section.problem("address", "must be a page", hint);
            }
            if let Some(token) = section.required_secrets("access_token") {
                pages.insert(address.clone(), token);
            }
        }
        Some(Settings { app: app?, pages })
    }

    /// Where each page sends.
    pub(crate) fn targets(&self) -> HashMap<Address, Target> {
        let target = |(page, token): (&Address, &Secrets)| {
            (page.clone(), Target::new(&self.app.messages_url(page.value()), token.first()))
        };
        self.pages.iter().map(target).collect()
    }
}

/// The address of a page or of a person on one.
pub(crate) fn address(id: &str) -> Option<Address> {
    Address::from_id(Channel::Messenger, id).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    pub(crate) const PAGE: &str = "messenger:1029384756";

    pub(crate) fn settings(base_url: &str) -> Settings {
        let mut section = Section::of(&[
            ("app_secret", "app-secret-0001"),
            ("verify_token", "verify-0001"),
            ("base_url", base_url),
        ]);
        let pages = [(PAGE, "page-token-0001"), ("messenger:77", "page-token-0002")];
        let pages = pages.map(|(page, token)| (Address::parse(page).unwrap(), Secrets::one(token)));
        Settings { app: AppSettings::read(&mut section).unwrap(), pages: HashMap::from(pages) }
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

    #[test]
    fn the_documented_keys_are_all_it_takes() {
        let app: &[(&str, &str)] = &[("app_secret", "s"), ("verify_token", "v")];
        let (made, found) = problems(app, &[(PAGE, &[("access_token", "t")])]);
        assert!(made && found.is_empty(), "{found:?}");
    }

    #[test]
    fn every_mistake_is_told() {
        let (made, found) = problems(
            &[("verify_token", "v"), ("access_token", "in the wrong place")],
            &[
                ("+15550001", &[("access_token", "t")]),
                ("messenger:me/..", &[("access_token", "t")]),
                (PAGE, &[]),
            ],
        );
        assert!(!made);
        assert_eq!(
            found,
            [
                "app_secret is missing",
                "unknown key",
                "must be a page",
                "must be a page",
                "access_token is missing"
            ]
        );
    }
}
