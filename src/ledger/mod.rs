//! The ledger: what is stored is true, what is not never happened.
//!
//! Owns the store's directory, the engines behind the storage boundary, the numbering of writes and the dump.
//! Must not know why anything is stored: no conversation, no provider, no clock (the time is given to it).
//!
//! Invariants:
//! - a commit that answered `Ok` is durable as the settings promise, and visible to every later snapshot;
//! - a snapshot holds exactly the writes up to its number, never half a batch;
//! - numbers only grow, also across restarts, and stay below 2^53;
//! - a ledger that lost acknowledged writes, or that belongs to another store, is refused and never served;
//! - no value over [`fjall::LARGEST`] bytes reaches fjall, which cannot recover a larger one torn by a power cut.

mod alterations;
pub mod damaged;
pub mod dump;
pub mod engine;
pub mod fjall;
mod high;
pub mod incarnation;
pub mod key;
pub mod memory;
pub mod restore;
pub mod rider;
pub mod store;
pub mod tables;
pub mod typed;

pub use typed::{Ledger, LedgerError};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod store_test;
