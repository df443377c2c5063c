//! `[adapter.settings]`: where clients connect, and from which pages.

use trunkline_adapter::{Address, Section};

/// Where the official servers have it, too.
const PATH: &str = "/v3/wsconnect";
/// Paths that the daemon answers itself.
const TAKEN: [&str; 3] = ["/v1", "/webhooks", "/media"];

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
    /// Checks what is written; every problem is noted in the section that it is in.
    pub(crate) fn read(settings: &mut Section, proxies: &mut [(Address, Section)]) -> Settings {
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
        Settings { path, origins }
    }

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let mut section = Section::of(pairs);
        let settings = Settings::read(&mut section, &mut []);
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
        Settings::read(&mut Section::of(&[]), &mut proxies);
        assert_eq!(proxies[0].1.findings(), 1);
    }
}
