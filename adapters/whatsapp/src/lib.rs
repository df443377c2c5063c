//! The `whatsapp` adapter: Meta's WhatsApp Cloud API.
//!
//! Owns: the shapes of Cloud API webhooks and sends, who a sender is (phone number, business-scoped user id), and the
//! channel's error codes. Must not know: conversations, the store, any other adapter.
//!
//! Invariants: every element of a batch becomes at least one event, a notice if nothing else; a sender without a phone
//! number is as good as one with; two names are said to be one person only when the provider says so.
#![warn(missing_docs)]

mod adapter;
mod errors;
mod kind;
mod media;
mod person;
mod receive;
mod send;
mod settings;
mod simulator;
mod typing;

pub use kind::Whatsapp;
