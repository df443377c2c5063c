//! What the suites stand on: a daemon as a child process, a stand-in for the providers, and the callers around them.
//!
//! Nothing here looks inside the daemon: it is started, asked over its sockets, and killed. Waits are for events (a log
//! line, a request at the sink); where only asking again can tell, [`Daemon::eventually`] asks with a deadline.

#![allow(dead_code, unused_imports, reason = "each suite uses its part")]

pub mod arrivals;
pub mod client;
pub mod config;
pub mod daemon;
pub mod dice;
pub mod files;
pub mod guest;
pub mod hooks;
pub mod limits;
pub mod provider;
pub mod readings;
pub mod road;
pub mod shelf;
pub mod sink;
pub mod world;

use std::time::Duration;

pub use client::{Answer, Client, Conversation, Relation, read};
pub use config::{Adapter, Config, Proxy};
pub use daemon::Daemon;
pub use files::As;
pub use guest::Guest;
pub use provider::Phone;
pub use readings::{Metrics, Row};
pub use road::Road;
pub use shelf::FileAct;
pub use sink::{Act, Sent, Sink};
pub use world::World;

/// How long anything may take before a test gives up. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The proxy addresses of [`Config::dev`].
pub const SMS: &str = "+15550001111";
pub const WHATSAPP: &str = "whatsapp:+15550002222";
pub const PAGE: &str = "messenger:1029384756";

/// Runs something that blocks, so that the runtime's other tasks go on.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Suites that measure time or load the machine take turns.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
