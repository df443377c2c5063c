//! Trunkline (rooms)

pub mod bindings;
pub mod cli;
pub mod config;
pub mod ledger;
pub mod model;
pub mod relay;
pub mod telemetry;
pub mod work;
