//! The ledger: what is stored is true, what is not never happened.

pub mod engine;
pub mod key;
pub mod tables;
pub mod typed;

pub use typed::{Ledger, LedgerError};
