//! Trunkline (rooms)

pub mod app;
pub mod bindings;
pub mod cli;
pub mod config;
pub mod http;
pub mod ledger;
pub mod model;
pub mod outbound;
pub mod telemetry;
pub mod work;
