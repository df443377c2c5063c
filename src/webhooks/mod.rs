//! Event webhooks on their way out: asking before something happens, telling afterwards.
//!
//! Owns the requests, the work of telling with its retries, and the dead letters. Must not know what an event is about;
//! what is told was rendered where it was decided (`announce`).
//!
//! Invariants: an event leaves its row only when its receiver took it, or for the dead letters; per conversation and
//! webhook one event is out at a time; a receiver that does not answer holds up nobody's events but its own.

mod ask;
mod dead_letters;
mod origins;
mod outcome;
mod post;
mod settings;

pub use ask::Asker;
pub use dead_letters::{DeadLetter, DeadLetters, Unforwarded};
pub use post::Post;
pub use settings::{AGENT, OnTimeout, Settings, Site};
