//! People: an address and the other names the same person goes by.

use serde::{Deserialize, Serialize};

use crate::{Address, Channel};

/// Longest name that is kept of what somebody calls themselves, in characters.
const LONGEST_NAME: usize = 200;

/// Somebody outside. Never "a phone number": WhatsApp users may show none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// The same, under the name that they show.
    #[must_use]
    pub fn called(mut self, name: Option<&str>) -> Person {
        self.name = name.map(|name| name.chars().take(LONGEST_NAME).collect());
        self
    }

    /// Every address to look the person up by, surest first.
    pub fn candidates(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.aliases).chain(&self.lookalikes)
    }
}

/// The other spelling of a WhatsApp number in countries where a digit for mobile lines comes and goes: Mexico's old 1,
/// Argentina's 9, Brazil's ninth digit. The provider's spelling and the one people type differ there.
pub fn lookalike(address: &Address) -> Option<Address> {
    let digits = address.digits().filter(|_| address.channel() == Channel::Whatsapp)?;
    let other = match (digits.get(..2)?, digits.len()) {
        ("52", 12) => format!("521{}", &digits[2..]),
        ("52", 13) => format!("52{}", digits.strip_prefix("521")?),
        ("54", 12) => format!("549{}", &digits[2..]),
        ("54", 13) => format!("54{}", digits.strip_prefix("549")?),
        // Only mobile lines have two spellings; those begin with 6 to 9.
        ("55", 12) if matches!(digits.as_bytes()[4], b'6'..=b'9') => {
            format!("{}9{}", &digits[..4], &digits[4..])
        }
        ("55", 13) if digits.as_bytes()[4] == b'9' && matches!(digits.as_bytes()[5], b'6'..=b'9') => {
            format!("{}{}", &digits[..4], &digits[5..])
        }
        _ => return None,
    };
    Address::from_digits(Channel::Whatsapp, &other).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_bounded_in_characters() {
        let named = |name: &str| Person::new(Address::parse("+15550199").unwrap()).called(Some(name)).name;
        assert_eq!(named(&"é".repeat(LONGEST_NAME + 1)), Some("é".repeat(LONGEST_NAME)));
        assert_eq!(named("Ana"), Some("Ana".to_owned()));
    }

    #[test]
    fn lookalikes_go_both_ways() {
        let number = |digits: &str| Address::from_digits(Channel::Whatsapp, digits).unwrap();
        for (one, other) in [
            ("5215512345678", "525512345678"),
            ("5491123456789", "541123456789"),
            ("5511987654321", "551187654321"),
        ] {
            assert_eq!(lookalike(&number(one)), Some(number(other)));
            assert_eq!(lookalike(&number(other)), Some(number(one)));
        }
        for single in ["15550199", "5511323456789", "551132345678", "525512345", "4915112345678"] {
            assert_eq!(lookalike(&number(single)), None, "{single}");
        }
        assert_eq!(
            lookalike(&Address::parse("+525512345678").unwrap()),
            None,
            "SMS numbers have one spelling"
        );
    }
}
