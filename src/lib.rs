//! Trunkline (rooms)

pub mod bindings;
pub mod ledger;
pub mod model;
pub mod outbound;
pub mod telemetry;
pub mod work;
