//! The settings every app on Graph has.

use trunkline_adapter::{Secrets, Section};

use crate::Gate;

/// Checked settings of an app.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// Signs webhooks.
    pub app_secret: Secrets,
    /// Answers the subscription challenge.
    pub verify_token: Secrets,
    /// The Graph version in every path.
    pub api_version: String,
    /// Where Graph is.
    pub base_url: String,
}

impl AppSettings {
    /// Reads `app_secret`, `verify_token`, `api_version` and `base_url`. All are read before any is missed, so that one
    /// look at the file finds every mistake.
    pub fn read(settings: &mut Section) -> Option<AppSettings> {
        let app_secret = settings.required_secrets("app_secret");
        let verify_token = settings.required_secrets("verify_token");
        let api_version = match settings.string("api_version") {
            None => "v23.0".to_owned(),
            Some(version) => {
                if !is_version(&version) {
                    let hint = Some("for example \"v23.0\"".to_owned());
                    settings.problem("api_version", "is not a Graph version", hint);
                }
                version
            }
        };
        let base_url = settings.base_url("base_url", "https://graph.facebook.com");
        Some(AppSettings { app_secret: app_secret?, verify_token: verify_token?, api_version, base_url })
    }

    /// The gate for webhooks of this app.
    pub fn gate(&self) -> Gate {
        Gate::new(self.app_secret.clone(), self.verify_token.clone())
    }

    /// Where messages of an object (a page, a phone number) are posted.
    pub fn messages_url(&self, object: &str) -> String {
        format!("{}/{}/{object}/messages", self.base_url, self.api_version)
    }

    /// Where files of an object are uploaded.
    pub fn media_url(&self, object: &str) -> String {
        format!("{}/{}/{object}/media", self.base_url, self.api_version)
    }

    /// Where a node of Graph, such as a file, is read.
    pub fn node_url(&self, id: &str) -> String {
        format!("{}/{}/{id}", self.base_url, self.api_version)
    }

    /// The rest of a path below the base URL and the version.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix('/')?.strip_prefix(self.api_version.as_str())?.strip_prefix('/')
    }

    /// The object of a messages path below the base URL; the reverse of [`AppSettings::messages_url`].
    pub fn object_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.below(path)?.strip_suffix("/messages").filter(|object| !object.contains('/'))
    }
}

fn is_version(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn defaults_and_paths() {
        let mut section = Section::of(&[("app_secret", "s"), ("verify_token", "t")]);
        let settings = AppSettings::read(&mut section).unwrap();
        assert_eq!(settings.messages_url("12"), "https://graph.facebook.com/v23.0/12/messages");
        assert_eq!(settings.object_of("/v23.0/12/messages"), Some("12"));
        for path in ["/v22.0/12/messages", "/v23.0/12/media", "/v23.0/a/b/messages", ""] {
            assert_eq!(settings.object_of(path), None, "{path}");
        }
        assert!(section.finish().0.is_empty());
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut section =
            Section::of(&[("api_version", "23"), ("base_url", "graph.facebook.com"), ("app_secret", "")]);
        assert!(AppSettings::read(&mut section).is_none());
        let paths: Vec<String> = section.finish().0.into_iter().map(|problem| problem.path).collect();
        assert_eq!(
            paths,
            ["settings.app_secret", "settings.verify_token", "settings.api_version", "settings.base_url"]
        );
    }

    #[test]
    fn versions() {
        for good in ["v23.0", "v26.0", "v9.12"] {
            assert!(is_version(good));
        }
        for bad in ["v23", "23.0", "v23.0/..", "V23.0", "v.0", "v1.", "v23.0.1", "", "v1.٣"] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
