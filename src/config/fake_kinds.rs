//! Kinds of adapters that only read their settings, for tests of this room.

use std::sync::Arc;

use trunkline_adapter::settings::{SecretSource, Source, Unreadable};
use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Channel, Kit, Section, Simulator};

/// A kind with the keys of one that exists.
pub(super) struct FakeKind {
    name: &'static str,
    channel: Option<Channel>,
    hint: &'static str,
    secrets: &'static [&'static str],
    texts: &'static [&'static str],
    proxy_secrets: &'static [&'static str],
    proxy_texts: &'static [&'static str],
}

static TWILIO: FakeKind = FakeKind {
    name: "twilio",
    channel: None,
    hint: "#rc=5&rp=all",
    secrets: &["account_sid", "auth_token"],
    texts: &[],
    proxy_secrets: &[],
    proxy_texts: &[],
};

static WHATSAPP: FakeKind = FakeKind {
    name: "whatsapp",
    channel: Some(Channel::Whatsapp),
    hint: "",
    secrets: &["app_secret", "verify_token", "access_token"],
    texts: &["api_version"],
    proxy_secrets: &[],
    proxy_texts: &["phone_number_id"],
};

static MESSENGER: FakeKind = FakeKind {
    name: "messenger",
    channel: Some(Channel::Messenger),
    hint: "",
    secrets: &["app_secret", "verify_token"],
    texts: &["api_version"],
    proxy_secrets: &["access_token"],
    proxy_texts: &[],
};

static SDK: FakeKind = FakeKind {
    name: "sdk",
    channel: None,
    hint: "",
    secrets: &[],
    texts: &["path"],
    proxy_secrets: &[],
    proxy_texts: &[],
};

/// All of them.
pub(super) fn kinds() -> Vec<&'static dyn AdapterKind> {
    vec![&TWILIO, &WHATSAPP, &MESSENGER, &SDK]
}

impl AdapterKind for FakeKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn webhook_hint(&self) -> &'static str {
        self.hint
    }

    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>> {
        for key in self.secrets {
            settings.required_secrets(key);
        }
        for key in self.texts {
            settings.string(key);
        }
        if self.name == "sdk" {
            settings.strings("allowed_origins");
        } else {
            settings.base_url("base_url", "https://api.example.com");
        }
        for (address, section) in proxies {
            if self.channel.is_some_and(|channel| channel != address.channel()) {
                section.problem("address", format!("is not a {} address", self.name), None);
            }
            for key in self.proxy_secrets {
                section.required_secrets(key);
            }
            for key in self.proxy_texts {
                section.required(key);
            }
        }
        Some(Arc::new(FakeBlueprint))
    }
}

struct FakeBlueprint;

impl Blueprint for FakeBlueprint {
    fn build(&self, _: Kit) -> Arc<dyn Adapter> {
        unreachable!("configuration never builds an adapter")
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        unreachable!("configuration never plays a provider")
    }
}

/// Every secret there is, its value made from its name.
pub(super) struct Named;

impl SecretSource for Named {
    fn read(&self, source: Source<'_>) -> Result<String, Unreadable> {
        match source {
            Source::Env(name) | Source::File(name) if name.contains("MISSING") => {
                Err(Unreadable { message: format!("{name} is not there"), elsewhere: false })
            }
            Source::Env("TWILIO_ACCOUNT_SID") => Ok(format!("AC{:032}", 7)),
            Source::Env(name) | Source::File(name) => Ok(format!("value of {name}")),
            Source::Credential(name) => {
                Err(Unreadable { message: format!("{name} is not readable here"), elsewhere: true })
            }
        }
    }

    fn literal(&self) -> Option<&'static str> {
        Some("a literal")
    }
}
