//! `[adapter.settings]`: where clients connect, and from which pages.

use std::sync::Arc;

use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Kit, Section, Simulator};

use crate::door::Gate;

/// Where the official servers have it, too.
const PATH: &str = "/v3/wsconnect";
/// Paths that the daemon answers itself.
const TAKEN: [&str; 3] = ["/v1", "/webhooks", "/media"];

/// The kind `sdk`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sdk;

/// Checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) path: String,
    origins: Origins,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    /// In small letters, as browsers send them.
    Of(Vec<String>),
}

impl Settings {
    /// Whether a page of this origin may connect. Only browsers send one; a program could write what it likes.
    pub(crate) fn welcomes(&self, origin: Option<&str>) -> bool {
        match (&self.origins, origin) {
            (Origins::Any, _) | (_, None) => true,
            (Origins::Of(origins), Some(origin)) => {
                origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
            }
        }
    }
}

impl AdapterKind for Sdk {
    fn name(&self) -> &'static str {
        "sdk"
    }

    fn has_proxies(&self) -> bool {
        false
    }

    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>> {
        let path = settings.string("path").unwrap_or_else(|| PATH.to_owned());
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
        let ours = |taken: &&str| {
            path.strip_prefix(*taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if path.len() < 2 || !path.starts_with('/') || path.ends_with('/') || !path.bytes().all(plain) {
            settings.problem("path", "is not a path", Some(format!("for example {PATH:?}")));
        } else if let Some(taken) = TAKEN.into_iter().find(ours) {
            settings.problem("path", format!("{taken} is answered by the daemon itself"), None);
        }
        let origins = origins(settings);
        for (_, proxy) in proxies {
            let hint = "people connect to this kind of adapter themselves".to_owned();
            proxy.problem("address", "belongs to an adapter that has no proxy addresses", Some(hint));
        }
        Some(Arc::new(Settings { path, origins }))
    }
}

fn origins(settings: &mut Section) -> Origins {
    let Some(listed) = settings.strings_at("allowed_origins") else { return Origins::Any };
    if listed.iter().any(|(_, origin)| origin == "*") {
        return Origins::Any;
    }
    let mut origins = Vec::new();
    for (at, origin) in listed {
        let host = origin.split_once("://").map(|(_, host)| host);
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '*', '?', '#', ' '])) {
            let hint = "for example \"https://app.example.com\", or \"*\" for any".to_owned();
            settings.problem_at(at, "allowed_origins", format!("{origin:?} is not an origin"), Some(hint));
        }
        origins.push(origin.to_ascii_lowercase());
    }
    Origins::Of(origins)
}

impl Blueprint for Settings {
    fn build(&self, kit: Kit) -> Arc<dyn Adapter> {
        Arc::new(Gate::new(self.clone(), kit.clock))
    }

    fn door_path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let mut section = Section::of(pairs);
        let path = section.string("path").unwrap_or_else(|| PATH.to_owned());
        let settings = Settings { path, origins: origins(&mut section) };
        let mut section = Section::of(pairs);
        assert!(Sdk.blueprint(&mut section, &mut []).is_some());
        (settings, section.finish().0.into_iter().map(|problem| problem.message).collect())
    }

    #[test]
    fn nothing_has_to_be_said() {
        let (settings, problems) = read(&[]);
        assert_eq!((settings.path.as_str(), problems), (PATH, Vec::new()));
        assert!(settings.welcomes(Some("https://anywhere.example")) && settings.welcomes(None));
        assert!(read(&[("allowed_origins", "*")]).0.welcomes(Some("null")));
    }

    #[test]
    fn a_page_is_welcome_by_its_origin() {
        let (settings, problems) = read(&[("allowed_origins", "https://App.example.com:8443")]);
        assert!(problems.is_empty());
        for (origin, welcome) in [
            (None, true),
            (Some("https://app.example.com:8443"), true),
            (Some("https://app.example.com"), false),
            (Some("http://app.example.com:8443"), false),
            (Some("https://app.example.com:8443.evil.example"), false),
            (Some("null"), false),
        ] {
            assert_eq!(settings.welcomes(origin), welcome, "{origin:?}");
        }
    }

    #[test]
    fn every_mistake_is_told() {
        for path in ["", "/", "x", "/x/", "/x y", "/x?y"] {
            assert_eq!(read(&[("path", path)]).1, ["is not a path"], "{path}");
        }
        assert_eq!(read(&[("path", "/v1/socket")]).1, ["/v1 is answered by the daemon itself"]);
        assert!(read(&[("path", "/v1x")]).1.is_empty());
        for origin in ["app.example.com", "https://", "https://app.example.com/", "https://*.example.com"] {
            assert_eq!(read(&[("allowed_origins", origin)]).1.len(), 1, "{origin}");
        }
        let mut proxies = [(Address::parse("+15550001111").unwrap(), Section::of(&[]))];
        let _ = Sdk.blueprint(&mut Section::of(&[]), &mut proxies);
        assert_eq!(proxies[0].1.findings(), 1);
    }
}
