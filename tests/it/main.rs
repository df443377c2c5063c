//! Black-box tests: the real executable, real sockets, real signatures, and a stand-in for the providers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod bindings;
mod config;
mod harness;
mod holds;
mod kills;
mod metrics;
mod notify;
mod rates;
mod relay;
mod repeats;
mod store;
