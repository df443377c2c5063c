//! Black-box tests: the real executable, real sockets, real signatures, and a stand-in for the providers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// These live outside of the program, in real time.
#![allow(clippy::disallowed_methods)]

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
