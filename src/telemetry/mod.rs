//! Metric names, what is recorded under them, and how logs are written. A leaf: any room may use it, it knows none.
#![expect(clippy::disallowed_macros, reason = "what is recorded, is recorded here and nowhere else")]

pub mod commit;
pub mod exporter;
pub mod house;
pub mod http;
pub mod inbound;
pub mod log;
pub mod mask;
pub mod media;
pub mod names;
pub mod outbound;
mod series;
pub mod webhooks;
