//! The live adapter: one app, its access token, its numbers.

use std::time::Duration;

use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Channel, Kit, MediaSource, Outbound, Outcome, OverLimit, Rate,
    Receipts, Templates, TextLimit, TextUnit, Typing, TypingDisplay, TypingIndicator, Webhook,
};
use trunkline_graph::Endpoint;

use crate::errors::CODEBOOK;
use crate::media::{self, Files};
use crate::receive::Receiver;
use crate::send::{self, Desk, TEXT_LIMIT};
use crate::settings::Settings;
use crate::typing;

/// As long as the provider shows that somebody is writing (Cloud API, "Typing indicators").
const TYPING: Typing = Typing { lasts: Duration::from_secs(25) };

/// A Cloud API app.
pub(crate) struct CloudApi {
    desk: Desk,
    files: Files,
    receiver: Receiver,
    capabilities: Capabilities,
}

impl CloudApi {
    pub(crate) fn new(settings: Settings, kit: Kit) -> CloudApi {
        let endpoint = Endpoint { http: kit.http, clock: kit.clock, codebook: CODEBOOK };
        CloudApi {
            receiver: Receiver::new(settings.app.gate(), settings.numbers.clone()),
            capabilities: capabilities(),
            files: Files::new(&settings),
            desk: Desk::new(settings, endpoint),
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
        self.desk.targets.contains_key(proxy).then_some(&self.capabilities)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(send::send(&self.desk, outbound))
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
        Box::pin(typing::show(&self.desk.targets, &self.desk.endpoint, indicator))
    }
}
