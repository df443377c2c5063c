//! What becomes of messages to one of our addresses that belong to no conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Address, Channel, Timestamp};

use super::{AddressConfigurationSid, HookMethod, Json, ServiceSid};

/// The network of a configured address. Those without a channel here are kept, and no message ever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    Sms,
    Whatsapp,
    Messenger,
    Gbm,
    Email,
    Rcs,
    Apple,
    Chat,
}

impl AddressKind {
    const ALL: [(AddressKind, &'static str); 8] = [
        (AddressKind::Sms, "sms"),
        (AddressKind::Whatsapp, "whatsapp"),
        (AddressKind::Messenger, "messenger"),
        (AddressKind::Gbm, "gbm"),
        (AddressKind::Email, "email"),
        (AddressKind::Rcs, "rcs"),
        (AddressKind::Apple, "apple"),
        (AddressKind::Chat, "chat"),
    ];

    /// The word in requests and answers.
    pub fn name(self) -> &'static str {
        AddressKind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind that a word in any case names.
    pub fn parse(text: &str) -> Option<AddressKind> {
        let found = AddressKind::ALL.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        found.map(|(kind, _)| *kind)
    }

    /// Its channel, if there is one here.
    pub fn channel(self) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.name() == self.name())
    }
}

/// What an address is called in its one form: that of its channel, or as it was given.
pub fn canonical(text: &str) -> String {
    Address::parse(text).map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// What is attached to a conversation that makes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoCreationKind {
    /// Nothing.
    #[default]
    Default,
    /// A webhook.
    Webhook,
    /// A flow of Twilio's own: kept and shown, never run.
    Studio,
}

impl AutoCreationKind {
    pub fn name(self) -> &'static str {
        match self {
            AutoCreationKind::Default => "default",
            AutoCreationKind::Webhook => "webhook",
            AutoCreationKind::Studio => "studio",
        }
    }
}

/// How conversations make themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AutoCreation {
    pub enabled: bool,
    pub kind: AutoCreationKind,
    /// Where; the default service if not said.
    pub service: Option<ServiceSid>,
    pub webhook_url: Option<String>,
    #[serde(default)]
    pub webhook_method: HookMethod,
    /// Names of events; without any, every one that a conversation's own webhook can hear.
    #[serde(default)]
    pub webhook_filters: Vec<String>,
    pub studio_flow_sid: Option<String>,
    pub studio_retry_count: Option<u32>,
}

/// The configuration of one of our addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressConfiguration {
    pub sid: AddressConfigurationSid,
    pub kind: AddressKind,
    /// See [`canonical`].
    pub address: String,
    pub friendly_name: Option<String>,
    pub address_country: Option<String>,
    pub auto_creation: AutoCreation,
    /// Its place in lists.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Json for AddressConfiguration {
    const NAME: &'static str = "address configuration";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_channels() {
        for (word, channel) in
            [("SMS", Some(Channel::Sms)), ("messenger", Some(Channel::Messenger)), ("gbm", None)]
        {
            let kind = AddressKind::parse(word);
            assert_eq!(kind.map(AddressKind::name), Some(word.to_lowercase().as_str()));
            assert_eq!(kind.and_then(AddressKind::channel), channel);
        }
        assert_eq!(AddressKind::parse("pigeon"), None);
        assert_eq!(canonical("+1 (202) 555-0123"), "+12025550123");
        assert_eq!(canonical("a@b.example"), "a@b.example");
    }
}
