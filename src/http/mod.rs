//! HTTP: the server, the route table, credentials, forms, pages, errors, and the three things behind them: the REST
//! API (`api/`), what SDK clients call over their sockets (`client/`), the providers' webhooks, the operator's doors.
//!
//! It knows PascalCase parameters, codes and URLs, and nothing of rows, lanes or decisions: it asks the relay.
//!
//! Invariants: no input makes a 500; nothing is answered with success before the relay said that it is durable; every
//! body is bounded before it is read; metric labels come from the route table.

pub mod admin;
pub mod api;
pub mod auth;
pub mod base;
pub mod body;
mod client;
pub mod error;
pub mod form;
pub mod front;
mod idempotency;
pub mod media;
pub mod operator;
pub mod paging;
mod patience;
mod pressure;
pub mod provider;
pub mod route;
pub mod server;
pub mod socket;
pub mod token;
pub mod tokens;

pub use auth::{Account, Accounts};
pub use base::Base;
pub use client::Clients;
pub use front::Front;
pub use operator::Operator;
pub use provider::{AdapterEntry, Inlet};
pub use server::{Limits, Listener, serve};
pub use socket::Sockets;
pub use tokens::Tokens;
