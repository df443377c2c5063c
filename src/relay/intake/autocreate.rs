//! A conversation that makes itself of a message that belongs to none: like any other, with whoever wrote in it and the
//! webhook that its address' configuration asks for, and only then the message.

use trunkline_adapter::{Address, InboundMessage};

use super::Origin;
use crate::announce::Cause;
use crate::ledger::tables;
use crate::model::{
    AccountSid, AutoCreation, AutoCreationKind, ConversationSid, Event, HookTarget, ScopedWebhook,
    ServiceSid, WebhookSid,
};
use crate::relay::asking::Whose;
use crate::relay::command::{NewConversation, NewParticipant, Who};
use crate::relay::messaging_services::UnboundInbound;
use crate::relay::{Relay, RelayError};

/// How a conversation makes itself.
struct Plan {
    service: Option<ServiceSid>,
    webhook: Option<ScopedWebhook>,
}

/// Where a message that belongs to no conversation goes.
pub(in crate::relay) enum Home {
    /// Into this one, which is new.
    Made(ConversationSid),
    /// Somebody else was faster: look again.
    Look,
    /// First somebody wants to be asked, or others of the same pair wait for that.
    Ask,
    /// Nowhere: whoever was asked refused.
    Refused,
    /// Nowhere: it was here before.
    Known,
    Nowhere,
}

impl Relay {
    /// Makes a conversation for somebody who wrote, if one is to make itself. `asking`: somebody may be asked, since no
    /// provider waits.
    pub(in crate::relay) async fn make_home(
        &self,
        origin: Origin<'_>,
        message: &InboundMessage,
        asking: bool,
    ) -> Result<Home, RelayError> {
        let account = origin.account;
        let Some(Plan { service, webhook }) = self.plan(account, &message.to).await? else {
            return Ok(Home::Nowhere);
        };
        // A repeat of what went into a conversation that is closed or gone makes no new one.
        let known = tables::provider_id(account.as_str(), origin.kind, &message.to, &message.id);
        if self.ledger.snapshot().get(&known).await?.is_some() {
            return Ok(Home::Known);
        }
        let address = &message.from.address;
        if !address.takes_messages() {
            // A sender without a number: nobody could answer, and over the API they could not be a participant either.
            return Ok(Home::Nowhere);
        }
        let service = match service {
            Some(service) => service,
            None => self.default_service(account).await?.sid,
        };
        let cause = Cause::channel(&message.to);
        let whose = Whose { account, service: &service, cause };
        if !asking && self.asks(whose, Event::ConversationAdd) {
            return Ok(Home::Ask);
        }
        let mut new = NewConversation {
            friendly_name: Some(address.to_string()),
            messaging_service_sid: self.messaging.of(account, &message.to).map(|own| own.sid.clone()),
            webhooks: webhook.into_iter().collect(),
            ..NewConversation::default()
        };
        let who = Who::Bound { address: address.clone(), proxy: message.to.clone() };
        let person = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
        let people = [person];
        let made = async {
            self.complete(account, &service, &mut new, &people).await?;
            self.ask_conversation_add(whose, &mut new, Some(message)).await?;
            self.put_conversation(account, &service, new, &people, cause).await
        };
        match made.await {
            Ok(made) => Ok(Home::Made(made.sid().clone())),
            Err(RelayError::BindingTaken(_)) => Ok(Home::Look),
            Err(RelayError::Vetoed | RelayError::Improper(_)) => Ok(Home::Refused),
            Err(
                error @ (RelayError::ServiceNotFound | RelayError::AddressIsOurs | RelayError::ProxyNotOurs),
            ) => {
                tracing::warn!(adapter = origin.adapter, %error, "No conversation can be made of a message");
                Ok(Home::Nowhere)
            }
            Err(other) => Err(other),
        }
    }

    /// What the configuration of an address says, and only without one, what its messaging service does.
    async fn plan(&self, account: &AccountSid, proxy: &Address) -> Result<Option<Plan>, RelayError> {
        match self.address(account, proxy.as_str()).await {
            Ok(configuration) => {
                let auto = configuration.auto_creation;
                let webhook = auto.enabled.then(|| self.attached(&auto)).flatten();
                return Ok(auto.enabled.then_some(Plan { service: auto.service, webhook }));
            }
            Err(RelayError::AddressNotFound) => {}
            Err(other) => return Err(other),
        }
        Ok(match self.messaging.of(account, proxy).map(|own| own.inbound.clone()) {
            Some(UnboundInbound::Autocreate(service)) => Some(Plan { service, webhook: None }),
            Some(UnboundInbound::Forward | UnboundInbound::Drop) | None => None,
        })
    }

    /// The webhook of a conversation that makes itself.
    fn attached(&self, auto: &AutoCreation) -> Option<ScopedWebhook> {
        let target = match auto.kind {
            AutoCreationKind::Default => return None,
            AutoCreationKind::Webhook => HookTarget::Webhook,
            AutoCreationKind::Studio => HookTarget::Studio,
        };
        let (hook, now) = (target == HookTarget::Webhook, self.clock.now());
        let mut filters = auto.webhook_filters.clone();
        if filters.is_empty() {
            filters = Event::ALL
                .iter()
                .filter(|event| event.is_scoped())
                .map(|event| event.name().into())
                .collect();
        }
        Some(ScopedWebhook {
            sid: WebhookSid::new(&self.mint),
            target,
            url: auto.webhook_url.clone().filter(|_| hook),
            method: auto.webhook_method,
            filters: if hook { filters } else { Vec::new() },
            triggers: Vec::new(),
            flow_sid: auto.studio_flow_sid.clone().filter(|_| !hook),
            replay_after: None,
            created: now,
            updated: now,
            rest: serde_json::Map::new(),
        })
    }
}
