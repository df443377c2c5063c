//! The three traits of an adapter's life: a kind reads settings, a blueprint builds, an adapter works.

use std::sync::Arc;

use crate::{
    Address, BoxFuture, Capabilities, Clock, Door, MediaSource, Outbound, Outcome, Section, Simulator,
    TypingDisplay, Webhook,
};

/// A kind of adapter, as named by `kind = "…"` in the configuration.
pub trait AdapterKind: Send + Sync {
    /// The name in the configuration and in stored provider ids. Never rename one.
    fn name(&self) -> &'static str;

    /// What an operator appends to the webhook's URL when pasting it at the provider, such as a fragment with the
    /// provider's own retry options.
    fn webhook_hint(&self) -> &'static str {
        ""
    }

    /// Whether it has proxy addresses. One that has none carries messages for nobody: people come to it themselves.
    fn has_proxies(&self) -> bool {
        true
    }

    /// Reads `[adapter.settings]` and the adapter's own keys of each `[[adapter.proxy]]`. `proxies` come with their
    /// addresses already read. Problems are recorded in the sections; `None` when they leave nothing to build.
    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>>;
}

/// Checked settings, ready to become an adapter.
pub trait Blueprint: Send + Sync {
    /// Makes the adapter. No network is touched.
    fn build(&self, kit: Kit) -> Arc<dyn Adapter>;

    /// The path of its [`Door`], if it has one.
    fn door_path(&self) -> Option<&str> {
        None
    }

    /// The provider's side of the same wire, for demos and tests; `None` where there is no provider.
    fn simulator(&self) -> Option<Arc<dyn Simulator>>;
}

/// What the daemon hands to an adapter.
#[derive(Clone)]
pub struct Kit {
    /// A shared client with time-outs set; redirects are off.
    pub http: reqwest::Client,
    /// The clock.
    pub clock: Clock,
    /// Where the provider reaches this adapter, as the world sees it: for callbacks and signatures.
    pub webhook_url: String,
}

/// A live adapter.
pub trait Adapter: Send + Sync + 'static {
    /// What a proxy address can do; `None` when it is not this adapter's.
    fn capabilities(&self, proxy: &Address) -> Option<&Capabilities>;

    /// Sends one part to one person: one request, one outcome. The lane has already waited for its permit.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the outcome is unknown.
    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome>;

    /// How the provider calls us.
    fn webhook(&self) -> Option<&dyn Webhook> {
        None
    }

    /// How the files that people send are had.
    fn media(&self) -> Option<&dyn MediaSource> {
        None
    }

    /// How people are shown that somebody is writing to them.
    fn typing(&self) -> Option<&dyn TypingDisplay> {
        None
    }

    /// Where people connect to us and stay.
    fn door(&self) -> Option<Arc<dyn Door>> {
        None
    }
}
