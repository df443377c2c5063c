//! What the couriers of forwarded messages need of the rest of the house.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trunkline_adapter::Clock;

use crate::announce::{EventJob, To};
use crate::config::{Config, Inbound};
use crate::forward::{GivenUp, Kept, Target};
use crate::ledger::engine::Batch;
use crate::model::{AccountSid, HookMethod};
use crate::webhooks::{DeadLetter, DeadLetters, Unforwarded};

/// Where the messages of a configuration go, and what signs them.
pub fn target(config: &Config) -> Target {
    let urls = config.messaging_services.iter().filter_map(|service| match &service.inbound {
        Inbound::Forward(url) => Some((service.sid.clone(), url.clone())),
        Inbound::Autocreate(_) | Inbound::Drop => None,
    });
    let proxies = config.adapters.iter().flat_map(|adapter| &adapter.proxies);
    let token = config.accounts.first().map(|account| account.auth_token.first().expose().to_owned());
    Target {
        urls: urls.collect::<HashMap<_, _>>(),
        proxies: proxies.map(|proxy| proxy.address.clone()).collect(),
        token: token.unwrap_or_default(),
        give_up: config.webhooks.retry_for,
    }
}

/// What nobody took is a dead letter, like an event.
pub(super) struct Keep {
    pub letters: Arc<DeadLetters>,
    pub clock: Clock,
}

impl Kept for Keep {
    fn bury(&self, account: &AccountSid, given_up: GivenUp<'_>, batch: &mut Batch) {
        let GivenUp { service, message, url, token, parameters, subject, since, attempts, reason } = given_up;
        let event = EventJob {
            // Not an event of theirs, so not a name of theirs.
            event: "forwarded message".to_owned(),
            to: To::Account,
            url: url.to_owned(),
            method: HookMethod::Post,
            token,
            params: parameters,
            replay: None,
        };
        let letter = DeadLetter {
            event,
            message: Some(Unforwarded { service: service.to_owned(), message: message.clone() }),
            subject: subject.to_owned(),
            since,
            attempts,
            reason,
            at: self.clock.now(),
            rest: serde_json::Map::new(),
        };
        self.letters.bury(account, &letter, batch);
    }

    fn buried<'a>(&'a self, account: &'a AccountSid) -> BoxFuture<'a, ()> {
        self.letters.buried(account).boxed()
    }
}
