//! The `messenger` adapter: Facebook pages on the Messenger Platform.
//!
//! Owns: the shapes of page webhooks and sends, ids for events that come without one, and the channel's error codes.
//! Must not know: conversations, the store, any other adapter.
//!
//! Invariants: every element of a batch becomes at least one event, a notice if nothing else; what a page itself wrote is
//! an echo and never a message; a thread that another app owns is read and never answered.
#![warn(missing_docs)]

mod adapter;
mod errors;
mod kind;
mod media;
mod receive;
mod send;
mod settings;
mod simulator;
mod typing;

pub use kind::Messenger;
