//! What callers ask of the relay. Values are already checked for shape; the relay checks them against the world.

use std::sync::Arc;

use trunkline_adapter::{Address, Part, Timestamp};

use crate::model::push::{Hidden, PushKind};
use crate::model::service::{Notice, Notifications};
use crate::model::{
    AddressConfiguration, AddressKind, AutoCreationKind, Conversation, ConversationSid, CredentialRecord,
    DeliverySummary, HookMethod, HookSettings, HookTarget, MediaSid, MessageRecord, ParticipantRecord,
    ParticipantSid, RoleKind, ScopedWebhook, ServiceSid, State, Templated,
};

/// A value that a request may leave alone, clear or set.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Change<T> {
    /// The value after the change.
    pub fn apply(self, before: Option<T>) -> Option<T> {
        match self {
            Change::Keep => before,
            Change::Clear => None,
            Change::Set(value) => Some(value),
        }
    }

    /// The value that is set.
    pub fn set(&self) -> Option<&T> {
        match self {
            Change::Set(value) => Some(value),
            Change::Keep | Change::Clear => None,
        }
    }

    pub fn is_keep(&self) -> bool {
        matches!(self, Change::Keep)
    }
}

/// A conversation to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewConversation {
    /// Where somebody had to be told it before; else it gets one.
    pub sid: Option<ConversationSid>,
    pub friendly_name: Option<String>,
    pub unique_name: Option<String>,
    pub messaging_service_sid: Option<String>,
    /// JSON text.
    pub attributes: Option<String>,
    /// Created idle instead of active.
    pub inactive: bool,
    /// Seconds; the account's default where nothing is said.
    pub inactive_after: Change<u64>,
    pub closed_after: Change<u64>,
    /// Its own webhooks, there before anything happens in it.
    pub webhooks: Vec<ScopedWebhook>,
    /// The user who makes it at a client.
    pub created_by: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Changes to a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationChange {
    pub friendly_name: Change<String>,
    pub unique_name: Change<String>,
    pub messaging_service_sid: Change<String>,
    pub attributes: Option<String>,
    pub state: Option<State>,
    /// Seconds.
    pub inactive_after: Change<u64>,
    pub closed_after: Change<u64>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Somebody to be added.
#[derive(Clone, Debug, PartialEq)]
pub struct NewParticipant {
    pub who: Who,
    pub role_sid: Option<String>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// How a participant is named.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// A chat user.
    Identity(String),
    /// An outside person on one of our proxy addresses.
    Bound { address: Address, proxy: Address },
    /// An outside person in a group text.
    Outside(Address),
    /// Our side of a group text: the address of ours that the others see, and who is behind it.
    Projected { address: Address, identity: Option<String> },
}

/// Changes to a participant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParticipantChange {
    /// Another proxy address of ours to reach an outside person through; without one they are in a group text.
    pub proxy: Change<Address>,
    /// The address of ours that those in the group text see.
    pub projected: Change<Address>,
    /// Who is behind a projected address from now on.
    pub identity: Option<String>,
    pub role_sid: Change<String>,
    pub attributes: Option<String>,
    pub last_read_message_index: Change<u64>,
    pub last_read_timestamp: Change<Timestamp>,
    pub muted: Option<bool>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// A message to be posted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    pub author: String,
    /// The template its body was made from.
    pub template: Option<Box<Templated>>,
    /// Files of the same service, none of them in a message yet.
    pub media: Vec<MediaSid>,
    pub body: Option<String>,
    pub subject: Option<String>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Changes to the stored copy of a message; nothing is sent again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageChange {
    /// Who changes it, if that may be another than its author.
    pub by: Option<String>,
    pub author: Option<String>,
    pub body: Change<String>,
    pub subject: Change<String>,
    /// What it holds beside its text, where its writer changed that at the provider.
    pub parts: Option<Vec<Part>>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
}

/// Which conversations a list shows, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConversationFilter {
    pub state: Option<State>,
    /// Created at or after.
    pub start: Option<Timestamp>,
    /// Created at or before.
    pub end: Option<Timestamp>,
}

/// A message as callers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    pub index: u64,
    pub record: MessageRecord,
    /// `None` where nobody outside was to get it.
    pub delivery: Option<DeliverySummary>,
}

/// A role to be. Its permissions are known and fit its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRole {
    pub friendly_name: String,
    pub kind: RoleKind,
    pub permissions: Vec<String>,
}

/// A user to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewUser {
    pub identity: String,
    pub friendly_name: Option<String>,
    pub attributes: Option<String>,
    /// The service's default role otherwise.
    pub role: Option<String>,
}

/// Changes to a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserChange {
    pub friendly_name: Change<String>,
    pub attributes: Option<String>,
    pub role: Option<String>,
}

/// Changes to a service's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceChange {
    pub creator_role: Option<String>,
    pub conversation_role: Option<String>,
    pub service_role: Option<String>,
    pub reachability: Option<bool>,
    pub notifications: NotificationsChange,
}

/// Changes to the pushes of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotificationsChange {
    pub log: Option<bool>,
    pub badge_count: Option<bool>,
    pub new_message: NoticeChange,
    pub new_message_with_media: NoticeChange,
    pub added: NoticeChange,
    pub removed: NoticeChange,
}

/// Changes to one kind of push.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoticeChange {
    pub enabled: Option<bool>,
    pub template: Change<String>,
    pub sound: Change<String>,
}

impl NotificationsChange {
    /// Makes the changes.
    pub fn apply(&self, to: &mut Notifications) {
        to.log = self.log.unwrap_or(to.log);
        to.badge_count = self.badge_count.unwrap_or(to.badge_count);
        for (change, notice) in [
            (&self.new_message, &mut to.new_message),
            (&self.new_message_with_media, &mut to.new_message_with_media),
            (&self.added, &mut to.added),
            (&self.removed, &mut to.removed),
        ] {
            change.apply(notice);
        }
    }
}

impl NoticeChange {
    fn apply(&self, to: &mut Notice) {
        to.enabled = self.enabled.unwrap_or(to.enabled);
        to.template = self.template.clone().apply(to.template.take());
        to.sound = self.sound.clone().apply(to.sound.take());
    }
}

/// Changes to what an account has set for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountChange {
    pub default_service: Option<ServiceSid>,
    pub messaging_service: Change<String>,
    pub inactive_timer: Change<String>,
    pub closed_timer: Change<String>,
}

/// The configuration of an address to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAddress {
    pub kind: AddressKind,
    /// In its one form.
    pub address: String,
    pub country: Option<String>,
    pub change: AddressChange,
}

/// Changes to the configuration of an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AddressChange {
    pub friendly_name: Change<String>,
    pub enabled: Option<bool>,
    pub kind: Option<AutoCreationKind>,
    pub service: Change<ServiceSid>,
    pub webhook_url: Change<String>,
    pub webhook_method: Option<HookMethod>,
    pub webhook_filters: Option<Vec<String>>,
    pub studio_flow_sid: Change<String>,
    pub studio_retry_count: Change<u32>,
}

impl AddressChange {
    /// Makes the changes.
    pub fn apply(self, to: &mut AddressConfiguration) {
        to.friendly_name = self.friendly_name.apply(to.friendly_name.take());
        let auto = &mut to.auto_creation;
        auto.enabled = self.enabled.unwrap_or(auto.enabled);
        auto.kind = self.kind.unwrap_or(auto.kind);
        auto.service = self.service.apply(auto.service.take());
        auto.webhook_url = self.webhook_url.apply(auto.webhook_url.take());
        auto.webhook_method = self.webhook_method.unwrap_or(auto.webhook_method);
        if let Some(filters) = self.webhook_filters {
            auto.webhook_filters = filters;
        }
        auto.studio_flow_sid = self.studio_flow_sid.apply(auto.studio_flow_sid.take());
        auto.studio_retry_count = self.studio_retry_count.apply(auto.studio_retry_count.take());
    }
}

/// Changes to credentials for a push service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CredentialChange {
    pub kind: Option<PushKind>,
    pub friendly_name: Change<String>,
    pub sandbox: Option<bool>,
    pub certificate: Change<Hidden>,
    pub private_key: Change<Hidden>,
    pub api_key: Change<Hidden>,
    pub secret: Change<Hidden>,
}

impl CredentialChange {
    /// Makes the changes.
    pub fn apply(self, to: &mut CredentialRecord) {
        to.kind = self.kind.unwrap_or(to.kind);
        to.friendly_name = self.friendly_name.apply(to.friendly_name.take());
        to.sandbox = self.sandbox.unwrap_or(to.sandbox);
        to.certificate = self.certificate.apply(to.certificate.take());
        to.private_key = self.private_key.apply(to.private_key.take());
        to.api_key = self.api_key.apply(to.api_key.take());
        to.secret = self.secret.apply(to.secret.take());
    }
}

/// A device that a client registers for pushes.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPushBinding {
    pub identity: String,
    pub kind: PushKind,
    /// The name by which the push service knows it.
    pub endpoint: String,
    /// The credential that the client's token names.
    pub credential: Option<String>,
    pub message_types: Vec<String>,
}

/// Changes to the event webhooks of an account or a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HookChange {
    pub pre_url: Change<String>,
    pub post_url: Change<String>,
    pub method: Option<HookMethod>,
    /// Replaces the whole list.
    pub filters: Option<Vec<String>>,
    pub flex: Option<bool>,
}

impl HookChange {
    /// Makes the changes.
    pub fn apply(self, to: &mut HookSettings) {
        to.pre_url = self.pre_url.apply(to.pre_url.take());
        to.post_url = self.post_url.apply(to.post_url.take());
        to.method = self.method.unwrap_or(to.method);
        if let Some(filters) = self.filters {
            to.filters = filters;
        }
        to.flex = self.flex.unwrap_or(to.flex);
    }
}

/// A webhook of a conversation to be. What its target needs is there.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWebhook {
    pub target: HookTarget,
    pub url: Option<String>,
    pub method: HookMethod,
    pub filters: Vec<String>,
    pub triggers: Vec<String>,
    pub flow_sid: Option<String>,
    pub replay_after: Option<u64>,
}

/// Changes to a webhook of a conversation. What belongs to another target changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookChange {
    pub url: Option<String>,
    pub method: Option<HookMethod>,
    pub filters: Option<Vec<String>>,
    pub triggers: Option<Vec<String>>,
    pub flow_sid: Option<String>,
}

impl WebhookChange {
    /// Makes the changes.
    pub fn apply(self, to: &mut ScopedWebhook) {
        if to.target == HookTarget::Studio {
            to.flow_sid = self.flow_sid.or(to.flow_sid.take());
            return;
        }
        to.url = self.url.or(to.url.take());
        to.method = self.method.unwrap_or(to.method);
        if let Some(filters) = self.filters {
            to.filters = filters;
        }
        if let Some(triggers) = self.triggers.filter(|_| to.target == HookTarget::Trigger) {
            to.triggers = triggers;
        }
    }
}

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub conversation: Arc<Conversation>,
    pub participant: ParticipantRecord,
}

impl Membership {
    /// Its place in lists, which are in the order of the conversations' SIDs.
    pub fn place(&self) -> String {
        Membership::place_of(self.conversation.sid(), &self.participant.sid)
    }

    pub(super) fn place_of(conversation: &ConversationSid, participant: &ParticipantSid) -> String {
        format!("{conversation}{participant}")
    }
}
