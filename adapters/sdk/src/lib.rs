//! The `sdk` adapter: people who hold a WebSocket open with the official JavaScript SDK.
//!
//! Owns: the frames on the socket, the order of a session from its `init` to its end, back-pressure, how many there may
//! be, and how they are let go. Must not know: what a call does, what an event means, any other adapter.
//!
//! Invariants: nothing is read from a socket whose answers it does not take; a notice is asked for only when the socket
//! can take it; what a stranger sends before a verified token is one frame, bounded and in time; a session outlives
//! neither its token nor the key that made it.
#![warn(missing_docs)]

mod call;
mod door;
pub mod frame;
mod greeting;
mod header;
mod kind;
mod registry;
mod session;
mod settings;
mod websocket;
mod wire;

#[cfg(test)]
mod session_tests;

pub use kind::Sdk;
