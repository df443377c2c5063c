//! Trunkline (rooms)

pub mod bindings;
pub mod cli;
pub mod config;
pub mod console;
pub mod ledger;
pub mod model;
pub mod simulator;
pub mod telemetry;
