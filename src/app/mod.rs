//! Wiring: what is started, in which order, what a reload swaps, and how it all ends.
//!
//! The only room, with `cli`, that sees the whole configuration; every other room is told its own part. Start and end
//! mirror each other: store, relay, lanes, listeners, ready; and back.

mod build;
mod daemon;
mod dead_letters;
mod files;
mod forwarding;
mod house;
mod listeners;
mod notify;
mod plugs;
pub mod registry;
mod roster;
mod running;
mod staff;
mod store_key;
mod tellers;
mod walks;

pub use build::usual_rates;
pub use daemon::{Daemon, Sockets, Start, StartError};
