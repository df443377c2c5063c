//! Addresses: where a person or a proxy is reached.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The network an address lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Phone numbers, short codes and alphanumeric senders; written without a prefix.
    Sms,
    /// Written `whatsapp:+15550001` or, for a business-scoped user id, `whatsapp:US.900100`.
    Whatsapp,
    /// Written `messenger:1029384756`.
    Messenger,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Channel; 3] = [Channel::Sms, Channel::Whatsapp, Channel::Messenger];

    /// The lower-case name used in REST answers.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Whatsapp => "whatsapp",
            Channel::Messenger => "messenger",
        }
    }

    /// How long after a person's last message they may be sent free text; `None` for always.
    pub fn window(self) -> Option<Duration> {
        match self {
            Channel::Sms => None,
            Channel::Whatsapp | Channel::Messenger => Some(Duration::from_secs(24 * 3_600)),
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Channel::Sms => "",
            Channel::Whatsapp => "whatsapp:",
            Channel::Messenger => "messenger:",
        }
    }
}

/// An address in its one canonical form, so that equal addresses are equal strings.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    channel: Channel,
    /// With prefix: what `Display` shows and what is stored.
    text: String,
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// Longer than any provider allows.
    #[error("the address is longer than {} characters", Address::MAX)]
    TooLong,
    /// A prefix we carry no channel for.
    #[error("unknown channel prefix {0:?}")]
    UnknownChannel(String),
    /// The part behind the prefix does not fit the channel.
    #[error("not a {0} address")]
    Malformed(&'static str),
}

impl Address {
    /// Longest address, prefix included.
    pub const MAX: usize = 240;

    /// Reads an address as people and APIs write it, and brings it to its canonical form: numbers to E.164,
    /// short codes (3 to 8 digits) and alphanumeric senders (up to 11 characters with a letter) as they are.
    ///
    /// ```
    /// use trunkline_adapter::Address;
    /// assert_eq!(Address::parse("+1 (202) 555-0123").unwrap().to_string(), "+12025550123");
    /// assert_eq!(Address::parse("whatsapp:+12025550123").unwrap().value(), "+12025550123");
    /// assert!(Address::parse("smoke-signal:hill").is_err());
    /// ```
    ///
    /// # Errors
    /// Says what does not fit; the text itself is not repeated, since it may be a person's number.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > Address::MAX {
            return Err(AddressError::TooLong);
        }
        match text.split_once(':') {
            None => Ok(Address::make(Channel::Sms, &sms(text)?)),
            Some(("whatsapp", value)) => Ok(Address::make(Channel::Whatsapp, &whatsapp(value)?)),
            Some(("messenger", value)) => Ok(Address::make(Channel::Messenger, &opaque(value, "messenger")?)),
            Some((prefix, _)) => {
                let prefix: String = prefix.chars().take(20).collect();
                Err(AddressError::UnknownChannel(prefix))
            }
        }
    }

    /// A number a provider wrote, with or without `+`: digits are trusted to be E.164 already.
    ///
    /// # Errors
    /// When it is not 7 to 15 digits.
    pub fn from_digits(channel: Channel, digits: &str) -> Result<Address, AddressError> {
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Malformed(channel.name()));
        }
        Ok(Address::make(channel, &format!("+{digits}")))
    }

    /// An id that only its provider understands, such as a page-scoped id or a business-scoped user id.
    ///
    /// # Errors
    /// When it is empty, too long, or holds anything but visible ASCII, or the channel knows no ids: on SMS everybody
    /// is a number, and what looks like another channel's prefix would be read back as one.
    pub fn from_id(channel: Channel, id: &str) -> Result<Address, AddressError> {
        if channel == Channel::Sms {
            return Err(AddressError::Malformed(channel.name()));
        }
        Ok(Address::make(channel, &opaque(id, channel.name())?))
    }

    fn make(channel: Channel, value: &str) -> Address {
        Address { channel, text: format!("{}{value}", channel.prefix()) }
    }

    /// The network.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// The part behind the prefix.
    pub fn value(&self) -> &str {
        &self.text[self.channel.prefix().len()..]
    }

    /// The digits of a phone number, if this address is one.
    pub fn digits(&self) -> Option<&str> {
        self.value().strip_prefix('+')
    }

    /// Whether somebody there can be written to: an alphanumeric sender only sends.
    pub fn takes_messages(&self) -> bool {
        self.channel != Channel::Sms || !self.text.bytes().any(|byte| byte.is_ascii_alphabetic())
    }

    /// The canonical text, prefix included.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn sms(text: &str) -> Result<String, AddressError> {
    if let Some(number) = e164(text) {
        return Ok(number);
    }
    let short = (3..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let alpha = text.len() <= 11
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'&'));
    if short || alpha { Ok(text.to_owned()) } else { Err(AddressError::Malformed("sms")) }
}

fn whatsapp(value: &str) -> Result<String, AddressError> {
    match e164(value) {
        Some(number) => Ok(number),
        None if value.starts_with('+') => Err(AddressError::Malformed("whatsapp")),
        // A business-scoped user id: two letters, a dot, letters and digits.
        None if value.get(2..3) == Some(".")
            && value.bytes().take(2).all(|byte| byte.is_ascii_uppercase()) =>
        {
            opaque(value, "whatsapp")
        }
        None => Err(AddressError::Malformed("whatsapp")),
    }
}

/// E.164 of a text that begins with `+`. New number ranges come faster than metadata, so a number the library calls
/// possible but not valid is kept, and one it cannot read is kept when it is plain digits of a sane length.
fn e164(text: &str) -> Option<String> {
    let rest = text.strip_prefix('+')?;
    if !rest.chars().all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')) {
        return None;
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    if !(7..=15).contains(&digits.len()) {
        return None;
    }
    // What is left when a prefix was taken off may look as if it had one more. The canonical form has none, or it would
    // be another number when it is read again.
    let mut number = format!("+{digits}");
    for _ in 0..ROUNDS {
        let Ok(read) = phonenumber::parse(None, &number) else { return Some(number) };
        let next = read.format().mode(phonenumber::Mode::E164).to_string();
        if next == number || !(8..=16).contains(&next.len()) {
            return Some(number);
        }
        number = next;
    }
    Some(format!("+{digits}"))
}

/// More prefixes than any number has.
const ROUNDS: usize = 8;

fn opaque(id: &str, channel: &'static str) -> Result<String, AddressError> {
    if id.is_empty() || id.len() > 200 || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AddressError::Malformed(channel));
    }
    Ok(id.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Shows the channel only: addresses are people's numbers and must not reach a log by accident.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}:…)", self.channel.name())
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What is stored was canonical when it was written; parsing it again would cost on every read.
        let channel = match text.split_once(':') {
            None => Channel::Sms,
            Some(("whatsapp", _)) => Channel::Whatsapp,
            Some(("messenger", _)) => Channel::Messenger,
            Some(_) => return Err(serde::de::Error::custom("unknown channel prefix")),
        };
        Ok(Address { channel, text })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn canonical_forms() {
        for (written, canonical) in [
            ("+1 (202) 555-0123", "+12025550123"),
            ("+44 (0)20 7946 0018", "+442079460018"),
            ("+15550001111", "+15550001111"),
            ("whatsapp:+15550002222", "whatsapp:+15550002222"),
            ("whatsapp:US.900100", "whatsapp:US.900100"),
            ("messenger:1029384756", "messenger:1029384756"),
            ("12345", "12345"),
            ("ACME Inc", "ACME Inc"),
        ] {
            assert_eq!(Address::parse(written).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn a_canonical_form_is_its_own_canonical_form() {
        for written in [
            "+550215102-3-3",
            "+55 0 21 5102 3344",
            "+39 06 1234567",
            "+5404401512345",
            "+52 044 55 1234 5678",
        ] {
            let address = Address::parse(written).unwrap();
            assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address), "{written}");
        }
    }

    #[test]
    fn refused_forms() {
        for written in [
            "",
            "  ",
            "+12",
            "tel:+15550001",
            "whatsapp:15550002222",
            "whatsapp:",
            "messenger:a b",
            "+1555abc0000",
            "1",
        ] {
            assert!(Address::parse(written).is_err(), "{written:?}");
        }
        assert_eq!(Address::parse(&"9".repeat(300)), Err(AddressError::TooLong));
    }

    #[test]
    fn ids_are_of_channels_that_have_them() {
        assert_eq!(Address::from_id(Channel::Whatsapp, "US.1").unwrap().as_str(), "whatsapp:US.1");
        assert!(Address::from_id(Channel::Sms, "whatsapp:US.1").is_err());
        assert!(Address::from_id(Channel::Messenger, "a b").is_err());
    }

    #[test]
    fn a_log_line_never_shows_the_number() {
        assert_eq!(format!("{:?}", Address::parse("+15550001111").unwrap()), "Address(sms:…)");
    }
}
