//! What the couriers of forwarded messages need of the rest of the house.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::config::{Config, Inbound};
use crate::forward::{Kept, Target};
use crate::model::{AccountSid, Forwarded};
use crate::relay::{Origin, Relay};

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

/// What nobody took goes where the relay keeps what could not be read.
pub(super) struct Keep(pub Arc<Relay>);

impl Kept for Keep {
    fn keep<'a>(
        &'a self,
        account: &'a AccountSid,
        forwarded: Forwarded,
        reason: String,
    ) -> BoxFuture<'a, bool> {
        async move {
            let origin = Origin { adapter: "", kind: "forward", account };
            let reason = format!("nobody took it: {reason}");
            let kept = self.0.keep_unforwarded(origin, &reason, &forwarded).await;
            if let Err(error) = &kept {
                tracing::error!(%error, "A message that nobody took cannot be kept yet");
            }
            kept.is_ok()
        }
        .boxed()
    }
}
