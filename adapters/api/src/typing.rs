//! That somebody is writing, as channels show it before there is a message.

use std::time::Duration;

use crate::{Address, BoxFuture, Outcome};

/// How a channel shows a person that somebody is writing to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// How long it shows unless it is told again. A message ends it.
    pub lasts: Duration,
}

/// Somebody is writing to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypingIndicator {
    /// The proxy address they write from.
    pub from: Address,
    /// The person who is to see it.
    pub to: Address,
    /// The provider's id of the last message that this person wrote to the proxy address. Channels may want it, and one that
    /// does may show that message as read from then on.
    pub answers: String,
}

/// Shows people that somebody is writing to them. See [`crate::Capabilities::typing`].
pub trait TypingDisplay: Send + Sync {
    /// One request. Nobody waits for it, nothing is tried again, and what goes wrong is nobody's loss.
    ///
    /// # Errors
    /// How it ended instead: as a send would. [`Outcome::Throttled`] makes the daemon show nothing for a while.
    fn show<'a>(&'a self, indicator: &'a TypingIndicator) -> BoxFuture<'a, Result<(), Outcome>>;
}
