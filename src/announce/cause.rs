//! Who makes a change, as webhooks are told it.

use trunkline_adapter::{Address, Channel};

/// Why a conversation's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody asked for it.
    Api,
    /// Its time had come.
    Timer,
    /// A message or a new participant woke it.
    Event,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Api => "API",
            Reason::Timer => "TIMER",
            Reason::Event => "EVENT",
        }
    }
}

/// Who makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `API`, or the channel that brought it.
    pub source: &'static str,
    /// Whether the change itself is told. What the platform does because of it is told either way.
    pub told: bool,
    /// Why a state that changes does.
    pub reason: Reason,
}

impl Cause {
    /// A REST caller, who says in a header whether webhooks hear of it.
    pub const fn api(told: bool) -> Cause {
        Cause { source: "API", told, reason: Reason::Event }
    }

    /// A user at a client, whose changes are always told.
    pub const fn sdk() -> Cause {
        Cause { source: "SDK", told: true, reason: Reason::Event }
    }

    /// A person on a channel, or the provider.
    pub fn channel(address: &Address) -> Cause {
        Cause { source: channel(address.channel()), told: true, reason: Reason::Event }
    }

    /// Nobody outside: clean-up and the like, which are told to nobody.
    pub fn house() -> Cause {
        Cause::api(false)
    }

    /// A timer.
    pub fn timer() -> Cause {
        Cause { source: "API", told: false, reason: Reason::Timer }
    }

    /// The same, asking for the state that comes of it.
    #[must_use]
    pub fn asking(self) -> Cause {
        Cause { reason: Reason::Api, ..self }
    }

    /// Whether a change of state is told: one that was asked for only if its asker said so.
    pub fn tells_state(self) -> bool {
        self.told || self.reason != Reason::Api
    }
}

/// A channel as events write it.
pub(super) fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Sms => "SMS",
        Channel::Whatsapp => "WHATSAPP",
        Channel::Messenger => "MESSENGER",
    }
}
