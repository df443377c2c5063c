//! Clients on the memory engine: what they may do, what they are told, and that whoever was away ends with what is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
