//! Trunkline (rooms)

pub mod bindings;
pub mod http;
pub mod ledger;
pub mod model;
pub mod relay;
pub mod telemetry;
