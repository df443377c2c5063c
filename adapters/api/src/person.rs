//! People: an address and the other names the same person goes by.

use serde::Serialize;

use crate::Address;

/// Somebody outside. Never "a phone number": WhatsApp users may show none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The surest name: an id the provider vouches for, else the number.
    pub address: Address,
    /// Other addresses the provider says belong to the same person.
    pub aliases: Vec<Address>,
    /// Addresses the same person is known to be written with (an extra digit in some countries); tried, never stored.
    pub lookalikes: Vec<Address>,
    /// The name the person shows.
    pub name: Option<String>,
}

impl Person {
    /// Somebody known by one address only.
    pub fn new(address: Address) -> Person {
        Person { address, aliases: Vec::new(), lookalikes: Vec::new(), name: None }
    }

    /// Every address to look the person up by, surest first.
    pub fn candidates(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.aliases).chain(&self.lookalikes)
    }
}
