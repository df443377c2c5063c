//! Trunkline: people on SMS, WhatsApp, Messenger and in browsers, in one conversation, on your own host.
//!
//! The rooms, from the ground up. A room may use those above it in this list; `tests/layers.rs` holds the whole table.
//!
//! | room | owns |
//! |---|---|
//! | [`telemetry`] | metric names, log setup, masking; a leaf anyone may use |
//! | [`model`] | the nouns that are stored, and rules that need nothing but themselves |
//! | [`ledger`] | what is stored is true: the engine boundary, fjall, the tables, dump and restore |
//! | [`egress`] | requests to URLs that callers chose: guard, client, signature; a leaf |
//! | [`bindings`] | whose conversation is this pair: a look-up copy of the ledger's rows in sled |
//! | [`work`] | ordered work per subject: window, back-off, wake-ups |
//! | [`announce`] | what is told of a decision, and to which webhooks |
//! | [`relay`] | intake, decisions, receipts: what joins a conversation and who hears it |
//! | [`sync`] | what SDK clients watch: documents, lists and maps over the ledger's rows |
//! | [`outbound`] | lanes: rate, retries, opt-outs, outcomes |
//! | [`webhooks`] | event webhooks on their way out: asking, telling, dead letters |
//! | [`http`] | the server, the REST API, providers' webhooks, the operator's doors |
//! | [`media`] | files: their bytes, links to them, what nobody needs any more |
//! | [`config`] | the file, checked whole; differences; secrets; watching |
//! | [`console`] | the page of simulated phones |
//! | [`simulator`] | the providers' side on loopback, phones to type on, faults |
//! | [`app`] | wiring: start, reload, stop |
//! | [`cli`] | the commands |
//!
//! Words of our own: a **lane** is the way out of one proxy address. A conversation's **head** is the row that every
//! change of it checks and bumps. **Intake** takes what providers tell. A **decision** is the batch that makes a
//! command so. An **outcome** is how a send ended. An **engine** stores rows, in **batches**.

#[macro_use]
mod failpoint;

pub mod announce;
pub mod app;
pub mod bindings;
pub mod cli;
pub mod config;
pub mod console;
pub mod egress;
pub mod forward;
pub mod http;
pub mod ledger;
pub mod media;
pub mod model;
pub mod outbound;
pub mod relay;
pub mod simulator;
pub mod sync;
pub mod telemetry;
pub mod webhooks;
pub mod work;
