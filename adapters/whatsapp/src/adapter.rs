//! The live adapter: one app, its access token, its numbers.

use std::collections::HashMap;
use std::time::Duration;

use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Channel, Kit, MediaSource, Outbound, Outcome, OverLimit, Rate,
    Receipts, Templates, TextLimit, TextUnit, Typing, TypingDisplay, TypingIndicator, Webhook,
};
use trunkline_graph::{Endpoint, Target};

use crate::errors::CODEBOOK;
use crate::media::{self, Files, Uploads};
use crate::receive::Receiver;
use crate::send;
use crate::settings::Settings;
use crate::typing;

/// Longest text the provider takes in one message, in characters.
pub(crate) const TEXT_LIMIT: usize = 4096;

/// As long as the provider shows that somebody is writing (Cloud API, "Typing indicators").
const TYPING: Typing = Typing { lasts: Duration::from_secs(25) };

/// A Cloud API app.
pub(crate) struct CloudApi {
    pub(crate) endpoint: Endpoint,
    /// Where each of our numbers sends.
    pub(crate) targets: HashMap<Address, Target>,
    pub(crate) settings: Settings,
    pub(crate) uploads: Uploads,
    files: Files,
    receiver: Receiver,
    capabilities: Capabilities,
}

impl CloudApi {
    pub(crate) fn new(settings: Settings, kit: Kit) -> CloudApi {
        CloudApi {
            endpoint: Endpoint { http: kit.http, clock: kit.clock, codebook: CODEBOOK },
            receiver: Receiver::new(settings.app.gate(), settings.numbers.clone()),
            capabilities: capabilities(),
            targets: settings.targets(),
            uploads: Uploads::default(),
            files: Files::new(&settings),
            settings,
        }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        channel: Channel::Whatsapp,
        text: TextLimit { most: TEXT_LIMIT, unit: TextUnit::Characters, over: OverLimit::Split },
        receipts: Receipts { delivered: true, read: true, correlated: false },
        shut: Some(131_047),
        templates: Templates::Named,
        media: Some(media::LIMITS),
        typing: Some(TYPING),
        // The correlation text comes back, but a repeated send is a second message.
        idempotent: false,
        group_texts: false,
        keywords: false,
        rate: Rate::per_second(80.0, 80),
        pair_rate: Some(Rate::per_minute(10.0, 45)),
    }
}

impl Adapter for CloudApi {
    fn capabilities(&self, proxy: &Address) -> Option<&Capabilities> {
        self.targets.contains_key(proxy).then_some(&self.capabilities)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(send::send(self, outbound))
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(&self.receiver)
    }

    fn media(&self) -> Option<&dyn MediaSource> {
        Some(&self.files)
    }

    fn typing(&self) -> Option<&dyn TypingDisplay> {
        Some(self)
    }
}

impl TypingDisplay for CloudApi {
    fn show<'a>(&'a self, indicator: &'a TypingIndicator) -> BoxFuture<'a, Result<(), Outcome>> {
        Box::pin(typing::show(self, indicator))
    }
}
