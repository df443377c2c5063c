//! The live adapter: one app and its pages.

use std::collections::HashMap;
use std::time::Duration;

use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Channel, Kit, MediaSource, Outbound, Outcome, OverLimit, Rate,
    Receipts, Templates, TextLimit, TextUnit, Typing, TypingDisplay, TypingIndicator, Webhook,
};
use trunkline_graph::{Endpoint, Target};

use crate::errors::CODEBOOK;
use crate::media::{self, Files};
use crate::receive::Receiver;
use crate::send::{self, TEXT_LIMIT};
use crate::settings::Settings;
use crate::typing;

/// As long as the provider shows that somebody is writing (Messenger Platform, "Sender Actions").
const TYPING: Typing = Typing { lasts: Duration::from_secs(20) };

/// The pages of an app.
pub(crate) struct Pages {
    endpoint: Endpoint,
    /// Where each page sends.
    targets: HashMap<Address, Target>,
    receiver: Receiver,
    capabilities: Capabilities,
    files: Files,
}

impl Pages {
    pub(crate) fn new(settings: Settings, kit: Kit) -> Pages {
        Pages {
            endpoint: Endpoint { http: kit.http, clock: kit.clock, codebook: CODEBOOK },
            receiver: Receiver::new(settings.app.gate(), settings.pages.keys().cloned().collect()),
            capabilities: capabilities(),
            files: Files::new(&settings.app.base_url),
            targets: settings.targets(),
        }
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        channel: Channel::Messenger,
        text: TextLimit { most: TEXT_LIMIT, unit: TextUnit::Characters, over: OverLimit::Split },
        receipts: Receipts { delivered: true, read: true, correlated: false },
        shut: Some(10),
        templates: Templates::Text,
        media: Some(media::LIMITS),
        typing: Some(TYPING),
        // The metadata comes back in the echo, but a repeated send is a second message.
        idempotent: false,
        group_texts: false,
        keywords: false,
        rate: Rate::per_second(300.0, 300),
        pair_rate: None,
    }
}

impl Adapter for Pages {
    fn capabilities(&self, proxy: &Address) -> Option<&Capabilities> {
        self.targets.contains_key(proxy).then_some(&self.capabilities)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(send::send(&self.targets, &self.endpoint, outbound))
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

impl TypingDisplay for Pages {
    fn show<'a>(&'a self, indicator: &'a TypingIndicator) -> BoxFuture<'a, Result<(), Outcome>> {
        Box::pin(typing::show(&self.targets, &self.endpoint, indicator))
    }
}
