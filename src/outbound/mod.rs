//! Lanes: one per proxy address, from the queue to the provider.
//!
//! Owns the order, rate, retries, holding and outcomes of sends, and the opt-out set asked right before a send. Must
//! not know adapters beyond their contract, nor who put a row into a queue.
//!
//! A row of the outbound queue belongs to the lane of its proxy address; its subject is the recipient's address, its
//! payload a [`crate::model::Dispatch`], its sequence a birth number of the ledger (a message's index would not do:
//! one address may be in several conversations over time).
//!
//! Invariants:
//! - per recipient one request is out at a time, and the next leaves only when the last outcome is committed;
//! - a permit per request; no window of time ever holds more requests than the rate allows, whatever was reloaded or
//!   restarted;
//! - nothing leaves for somebody who opted out, but our own answers to STOP, START and HELP;
//! - the end of a send, the receipt, the provider's id and the row's deletion are one batch;
//! - an operator's fault holds the lane and fails nothing.

mod flight;
mod hold;
mod lane;
mod lanes;
mod lock;
mod mailbox;
mod opt_out;
mod outcome;
mod pieces;
mod plan;
mod rate;
mod send;
mod span;
mod status;
mod suspects;
mod typing;
mod waits;
mod wishes;

pub use lanes::Lanes;
pub use opt_out::OptOuts;
pub use plan::{Files, LanePlan, Learned, Policies, Ready, Surroundings, Unknown};
pub use status::{LaneStatus, LastOutcome};
pub use typing::TypingIndicators;

#[cfg(test)]
mod files_test;
#[cfg(test)]
mod house_test;
#[cfg(test)]
mod lane_test;
#[cfg(test)]
mod lanes_test;
#[cfg(test)]
mod noting_test;
#[cfg(test)]
mod standing_test;
#[cfg(test)]
mod trouble_test;
#[cfg(test)]
mod typing_test;
