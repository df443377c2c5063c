//! The contract between Trunkline and a messaging provider.
//!
//! An adapter turns one provider's wire into the nouns of this crate and back. It never sees a conversation and
//! never touches the store. To write one:
//!
//! 1. Make a [`AdapterKind`] that reads its `[adapter.settings]` and `[[adapter.proxy]]` keys from [`Section`]s and
//!    returns a [`Blueprint`]. Every mistake is recorded as a [`Problem`], none stops the reading.
//! 2. Implement [`Adapter::send`]: one HTTP request (or one submit), its answer turned into an [`Outcome`].
//! 3. Implement [`Webhook::receive`] if the provider calls us: verify the signature on the raw bytes, then parse every
//!    event of the request into [`Inbound`]s. It is a plain function, so tests and fuzzers need no network.
//! 4. Put the provider's error codes into a table of [`Class`]es; [`Failure`] turns a class into an outcome.
//! 5. Implement [`Simulator`], the provider's own side of the same wire, so that `trunkline demo` and the tests can play it.
//!    The law: `receive(simulator.message(x))` gives back `x`.
//! 6. Where people send files: implement [`MediaSource`], which names the requests by which the daemon gets them, and say in
//!    [`Capabilities::media`] which files may be sent ([`Content::Media`]).
//! 7. Where people are shown that somebody is writing to them: implement [`TypingDisplay`], and say so in
//!    [`Capabilities::typing`].
//! 8. Add the kind to the one list of kinds in the daemon (`src/app/registry.rs`).
//!
//! Parsing is synchronous and pure; only [`Adapter::send`] may wait.
#![warn(missing_docs)]

mod address;
mod capabilities;
mod classify;
mod clock;
mod inbound;
mod kind;
mod media;
mod outbound;
mod person;
mod secret;
pub mod segment;
mod session;
pub mod settings;
pub mod simulator;
mod typing;
mod webhook;

pub use address::{Address, AddressError, Channel};
pub use capabilities::{Capabilities, OverLimit, Rate, Receipts, Templates, TextLimit, TextUnit};
pub use classify::{Class, Failure};
pub use clock::{Clock, Timestamp};
pub use futures_util::future::BoxFuture;
pub use inbound::{
    Contact, DeliveryStatus, Echo, Inbound, InboundMessage, MediaKind, MediaReference, Part, ProviderError,
    Signal, StatusReport,
};
pub use kind::{Adapter, AdapterKind, Blueprint, Kit};
pub use media::{
    Fit, HostPlace, JPEG, MediaFault, MediaFile, MediaHosts, MediaLimits, MediaReader, MediaRequest,
    MediaRule, MediaSource, MediaStep,
};
pub use outbound::{Blame, Cause, Content, Outbound, Outcome, Scope, Template};
pub use person::{Person, lookalike};
pub use secret::{Secret, Secrets};
pub use session::{
    Answer, Call, Caller, Crowd, Denied, Door, Host, Member, Notice, Reception, Stream, Tokens, Visit,
};
pub use settings::{Problem, Section};
pub use simulator::Simulator;
pub use typing::{Typing, TypingDisplay, TypingIndicator};
pub use webhook::{Received, Refusal, Reply, Webhook, WebhookRequest};
