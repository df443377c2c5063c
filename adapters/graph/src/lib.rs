//! Meta's Graph platform, as far as every channel on it is alike. A kit for adapters, not an adapter.
//!
//! Owns: webhook signatures and the subscription challenge ([`Gate`]), walking a batch ([`Delivery`]), reading values
//! whose types drift ([`lenient`]), error bodies and how a code becomes a class ([`Codebook`]), and the one POST that
//! sends ([`post()`]). Must not know: what a message is on any channel, proxy addresses, the relay.
//!
//! Invariants: nothing of a body is parsed before its signature is verified; no secret, address or message text gets
//! into a [`trunkline_adapter::Cause`]; an answer is never read past [`ANSWER_LIMIT`].
#![warn(missing_docs)]

mod codebook;
mod delivery;
mod gate;
mod json;
pub mod lenient;
#[cfg(any(test, feature = "peer"))]
pub mod peer;
mod post;
pub mod provider;
mod redact;
mod retry_after;
mod settings;
mod signature;
mod upload;

pub use codebook::{Codebook, Rule};
pub use delivery::{Delivery, Event, kind_word, unreadable};
pub use gate::{Gate, Passed};
pub use json::{Json, NULL};
pub use post::{ANSWER_LIMIT, Endpoint, Target, broken_answer, post};
pub use redact::words;
pub use settings::AppSettings;
pub use signature::{SIGNATURE_HEADER, sign};
pub use upload::{FormPart, form_parts, upload, uploaded_id};
