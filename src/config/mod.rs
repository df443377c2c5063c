//! Configuration: from a file to a [`Config`] in which every value is meaningful, or to every mistake at once.
//!
//! Owns the keys of `config.example.toml`, their defaults and bounds, where secrets come from, what differs between two
//! configurations, and watching the files. Knows nothing of the rooms that are configured: `app` and `cli` read a
//! [`Config`] and fill each room's own settings. Which keys an adapter has is asked of its kind.
//!
//! Invariants: nothing re-validates what stands in a [`Config`]; loading never stops at the first mistake; the same
//! loader serves `check`, `serve` and reloads; no secret is ever part of a line or of a note.

mod account;
mod adapter;
mod catalogue;
mod diff;
#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod fake_kinds;
mod headers;
mod inventory;
mod line;
mod load;
#[cfg(test)]
mod load_tests;
mod media;
mod messaging_service;
mod network;
mod outline;
mod secret;
mod sections;
mod summary;
mod syntax;
mod template;
mod watch;

pub use account::{Account, ApiKey};
pub use adapter::{AdapterConfig, ProxyConfig};
pub use diff::{AdapterChange, Change, diff};
pub use line::Line;
pub use load::{Config, Loaded, Refused, load};
pub use media::{Media, MediaPlace};
pub use messaging_service::{Inbound, MessagingService};
pub use network::Network;
pub use secret::SystemSecrets;
pub use sections::{
    Durability, Egress, Limits, Log, LogFormat, LogLevel, OnTimeout, OptOut, Queue, Server, Store,
    UnknownOutcome, Webhooks,
};
pub use summary::{Usual, summary};
pub use template::TemplateConfig;
pub use watch::Watch;
