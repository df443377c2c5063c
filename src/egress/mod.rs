//! Requests to URLs that callers of the API chose: event webhooks, forwarded messages, media.
//!
//! Owns the guard that keeps such a request out of private networks, the one client that makes it, and the signature it
//! carries. Must not know what a request is for.
//!
//! Invariants: only http and https; the address that is connected to was checked, whatever a name resolved to a moment
//! before; no redirect is followed and no proxy asked; neither time nor the size of an answer is the other side's to
//! decide. Providers are sent to by their adapters and never through here; files that they keep for people are fetched here,
//! since their URLs come with what people send.

mod call;
mod fetch;
mod guard;
mod names;
mod sign;

pub use call::{Answer, Body, CallError, Caller, Request};
pub use fetch::{Fetch, Fetched, Fetcher};
pub use guard::{Guard, NotReachable};
pub use names::{Names, ScriptedNames};
pub use sign::{HEADER, sign, with_body_hash};
