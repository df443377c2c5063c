//! Black-box tests: the real executable, real sockets, real signatures, and a stand-in for the providers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a real daemon is measured by the real clock")]

mod bad_input;
mod bindings;
mod clients;
mod config;
mod extensions;
mod files;
mod files_guard;
mod files_way;
mod harness;
mod holds;
mod kills;
mod large_files;
mod media;
mod metrics;
mod notify;
mod people;
mod rates;
mod relay;
mod repeats;
mod store;
mod timers;
mod typing;
mod unbound;
mod webhooks;
mod webhooks_lasting;
