//! What is told of a decision, and to which webhooks: the rows that land in the decision's own batch.
//!
//! Owns the memory of which webhooks an account and its services have, the parameters of every event, and the work that
//! telling one is. Must not know how an event is sent, nor decide anything.
//!
//! Invariants: an event is told if and only if what it tells of was committed; what is told is read from what is
//! written, so no decision can forget to tell; where nobody listens nothing is read, rendered or written.

mod ask;
mod cause;
mod client;
mod hooks;
mod job;
mod params;
mod receipts;
mod tell;

pub use ask::{Ask, Verdict};
pub use cause::{Cause, Reason};
pub use client::on_behalf;
pub use hooks::Hooks;
pub use job::{EventJob, Replay, To};
pub use params::{Pairs, binding, common, conversation, instant, media, message, participant, seat, user};
pub use receipts::{Place, receipt_moved};
pub use tell::{Changes, Told};
