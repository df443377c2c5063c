//! The name of one life of a store.

use std::fmt;

use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

/// Names one life of a store: a restored copy is another one. Page tokens and cursors carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub(super) [u8; 16]);

impl Incarnation {
    /// Of a ledger that does not know its own.
    pub const NONE: Incarnation = Incarnation([0; 16]);

    /// Draws a new one.
    pub(super) fn draw() -> Result<Incarnation, Unspecified> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Incarnation(bytes))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
