//! The providers' side of every adapter, on this machine: for `trunkline demo`, for tests, and for customers who want
//! to try their own code without a provider.
//!
//! Owns the loopback server that adapters use as their `base_url`, the simulated phones and what is on them, the
//! signed webhooks that go back to the daemon, the fault switches, the JSON API of the phones (`README.md` beside this
//! file) and the page that uses it.
//!
//! Knows nothing of conversations, the store or the REST API: it meets the daemon only over HTTP, as a provider does.
//! What a provider's requests and webhooks look like is the business of each adapter's
//! [`trunkline_adapter::Simulator`].
//!
//! Invariants: the webhooks of one provider leave in the order in which things happened; everything that is kept is
//! bounded; a page of another site can neither read nor switch anything here.

mod answer;
mod api;
mod courier;
mod events;
mod fault;
mod files;
mod host;
mod inside;
mod message;
mod phones;
mod provider;
mod server;
#[cfg(test)]
mod tests;

pub use fault::{Fault, UnknownFault};
pub use files::Attached;
pub use host::{Bound, Host};
pub use inside::{Bridge, Visitor};
pub use message::{Direction, Message, State};
pub use phones::Phone;
pub use provider::{Provider, TypeError};
