//! Webhooks of one conversation. They stand in its document. One that wants what was said before it begins with a row that
//! walks through those messages, and hears what is said meanwhile behind it.

use std::sync::Arc;

use crate::announce::{Cause, Hooks};
use crate::ledger::engine::Batch;
use crate::model::webhook::MOST_SCOPED;
use crate::model::{AccountSid, Conversation, Event, ScopedWebhook, ServiceSid, WebhookSid};
use crate::relay::after::Wake;
use crate::relay::command::{NewWebhook, WebhookChange};
use crate::relay::decide::{Context, Decision, begin, finish, put_record, require_open};
use crate::relay::{Relay, RelayError};

impl Relay {
    /// A webhook of a conversation.
    pub async fn webhook(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        sid: &str,
    ) -> Result<(Arc<Conversation>, ScopedWebhook), RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let found = found(&conversation, sid)?.clone();
        Ok((conversation, found))
    }

    pub async fn create_webhook(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        new: NewWebhook,
    ) -> Result<(Arc<Conversation>, ScopedWebhook), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.heed(account, &new.filters).await?;
        let new = &new;
        let made = self
            .change(account, current.sid().as_str(), Cause::house(), |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                require_open(conversation)?;
                if conversation.record.webhooks.len() >= MOST_SCOPED {
                    return Err(RelayError::TooManyWebhooks);
                }
                let webhook = ScopedWebhook {
                    sid: WebhookSid::new(context.mint),
                    target: new.target,
                    url: new.url.clone(),
                    method: new.method,
                    filters: new.filters.clone(),
                    triggers: new.triggers.clone(),
                    flow_sid: new.flow_sid.clone(),
                    replay_after: new.replay_after,
                    created: context.now,
                    updated: context.now,
                    rest: serde_json::Map::new(),
                };
                let mut webhooks = conversation.record.webhooks.clone();
                webhooks.push(webhook.clone());
                let mut decision = replaced(context, conversation, webhooks);
                let (birth, mut woken) = (|| self.ledger.birth(), Vec::new());
                let told = self.told(account, service, Cause::api(true), &birth);
                told.replay(&webhook, conversation, &mut decision.batch, &mut woken);
                decision.after.wake.extend(woken.into_iter().map(|subject| Wake::webhook(account, subject)));
                Ok((Some(decision), Some(webhook)))
            })
            .await?;
        Ok((made.0, made.1.ok_or(RelayError::WebhookNotFound)?))
    }

    pub async fn update_webhook(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        sid: &str,
        change: WebhookChange,
    ) -> Result<(Arc<Conversation>, ScopedWebhook), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.heed(account, change.filters.as_deref().unwrap_or_default()).await?;
        let change = &change;
        let changed = self
            .change(account, current.sid().as_str(), Cause::house(), |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                require_open(conversation)?;
                let mut webhook = found(conversation, sid)?.clone();
                change.clone().apply(&mut webhook);
                webhook.updated = context.now;
                let own = |known: &ScopedWebhook| {
                    if known.sid == webhook.sid { webhook.clone() } else { known.clone() }
                };
                let webhooks = conversation.record.webhooks.iter().map(own).collect();
                Ok((Some(replaced(context, conversation, webhooks)), Some(webhook)))
            })
            .await?;
        Ok((changed.0, changed.1.ok_or(RelayError::WebhookNotFound)?))
    }

    pub async fn delete_webhook(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        sid: &str,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.change(account, current.sid().as_str(), Cause::house(), |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            require_open(conversation)?;
            let sid = found(conversation, sid)?.sid.clone();
            let mut webhooks = conversation.record.webhooks.clone();
            webhooks.retain(|known| known.sid != sid);
            Ok((Some(replaced(context, conversation, webhooks)), ()))
        })
        .await?;
        Ok(())
    }

    /// Remembers that receipts of this account are worth a look, before there is a webhook that makes them so: receipts
    /// are moved by whoever knows no conversation.
    pub(in crate::relay) async fn heed(
        &self,
        account: &AccountSid,
        filters: &[String],
    ) -> Result<(), RelayError> {
        let delivery = Event::DeliveryUpdated.name();
        if !filters.iter().any(|name| name == delivery) || self.hooks.scoped_delivery(account) {
            return Ok(());
        }
        self.hooks.load(&self.ledger, account).await?;
        let _turn = self.hooks.turn().await;
        let mut batch = Batch::default();
        batch.put(Hooks::scoped_delivery_key(account), "");
        // Past whatever rides along with the change itself: this commit is not it.
        self.ledger.engine().commit(batch).await?;
        self.hooks.set_scoped_delivery(account);
        Ok(())
    }
}

fn found<'a>(conversation: &'a Conversation, sid: &str) -> Result<&'a ScopedWebhook, RelayError> {
    let mut webhooks = conversation.record.webhooks.iter();
    webhooks.find(|known| known.sid.as_str() == sid).ok_or(RelayError::WebhookNotFound)
}

/// The conversation with other webhooks. Nobody is told of it, and `updated` stays: it is no change of the conversation's.
fn replaced(context: &Context<'_>, conversation: &Conversation, webhooks: Vec<ScopedWebhook>) -> Decision {
    let mut decision = begin(context, conversation);
    Arc::make_mut(&mut decision.next.record).webhooks = webhooks;
    put_record(context, &mut decision);
    finish(decision)
}
