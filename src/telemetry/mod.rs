//! Metric names, what is recorded under them, and how logs are written. A leaf: any room may use it, it knows none.

pub mod commit;
pub mod mask;
pub mod names;
pub mod outbound;
