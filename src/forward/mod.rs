//! Messages that belong to no conversation, posted to the application as the classic messaging webhook.
//!
//! Owns the webhook's form, the reading of its TwiML answer, and the courier of each messaging service that forwards.
//! Must not know conversations, nor decide what is forwarded: that is a row of the queue `forward`, committed with the
//! acknowledgement of the provider.
//!
//! Invariants: a row goes only with a 2xx, or when nobody took it for too long, and then it is a dead letter; its
//! answers are committed with its end; per person one message is under way at a time, in the order they came; an
//! application that is down slows no other service and nobody's conversation.

mod courier;
mod form;
mod services;
mod target;
mod twiml;

pub use courier::{Courier, GivenUp, Kept};
pub use services::Forwards;
pub use target::Target;
