//! The crash matrix: the daemon dies at every named place between a message's arrival and its receipt, and at random
//! moments, again and again; after each death an observer outside the process holds the contract's promises against
//! what people, providers and callers saw.
//!
//! `TRUNKLINE_CRASH=long` goes on for minutes and hundreds of deaths; otherwise each place is visited once.
//! `TRUNKLINE_SEED` repeats a run's choices (the times of the machine remain its own).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a real daemon is measured by the real clock")]

mod beside;
mod book;
#[path = "../it/harness/mod.rs"]
mod harness;
mod matrix;
mod observer;
mod points;
mod site;
mod talk;
mod workload;
