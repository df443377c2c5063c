//! The nouns that are stored, and the rules that need nothing but themselves.
//!
//! No I/O, no clock, no async. Every record states its own encoding; `ledger` stores what it is given.
//!
//! Invariants: nothing is ever read out of a SID (imported ones are foreign); order comes from birth numbers and
//! message indexes; a receipt never goes backwards.

pub mod address_configuration;
mod attempt;
mod codec;
pub mod conversation;
pub mod delivery;
mod forwarded;
pub mod idempotency;
pub mod ids;
pub mod media;
pub mod message;
pub mod participant;
pub mod provider_id;
pub mod push;
pub mod receipt;
pub mod role;
pub mod service;
pub mod timers;
pub mod user;
pub mod webhook;

pub use address_configuration::{AddressConfiguration, AddressKind, AutoCreation, AutoCreationKind};
pub use attempt::{Attempt, AttemptEnd};
pub use codec::{Compact, DecodeError, Json, compact, read_compact};
pub use conversation::{Binding, Conversation, ConversationRecord, Head, Member, State};
pub use delivery::{Correlation, Delivery, Dispatch, Letter, Standing};
pub use forwarded::Forwarded;
pub use idempotency::IdempotencyRecord;
pub use ids::{
    AccountSid, AddressConfigurationSid, ConversationSid, CredentialSid, MediaSid, MessageSid, Mint,
    ParticipantSid, PushBindingSid, ReceiptSid, RoleSid, ServiceSid, UserSid, WebhookSid,
};
pub use media::{ContentHash, MediaCategory, MediaRecord, MessageMedia};
pub use message::{Further, MessageRecord, Source, Templated};
pub use participant::{GroupRow, ParticipantRecord, PersonBinding, PersonRow, Seat};
pub use provider_id::{ParkedStatus, ProviderIdRow, Subject};
pub use push::{CredentialRecord, PushBindingRecord};
pub use receipt::{DeliverySummary, Named, Rating, ReceiptRecord, Via};
pub use role::{RoleKind, RoleRecord};
pub use service::{AccountSettings, OptOutRow, ServiceRecord, ServiceSettings};
pub use timers::Timers;
pub use user::{Leaving, UserRecord};
pub use webhook::{Event, HookMethod, HookSettings, HookTarget, ScopedWebhook};

/// The number of one write. Ordered within a partition, and compared only there; below 2^53 so that
/// JavaScript can carry it.
pub type Revision = u64;
