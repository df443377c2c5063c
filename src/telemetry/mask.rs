//! Addresses as logs show them: two lines about one person can be joined, the person cannot be read.

use std::sync::OnceLock;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use trunkline_adapter::Address;

static KEY: OnceLock<hmac::Key> = OnceLock::new();

/// Fixes the key, so that lines of several runs can be joined. Only the first call counts, and only before the first
/// address was masked.
pub fn set_key(key: &[u8]) {
    let _ = KEY.set(hmac::Key::new(hmac::HMAC_SHA256, key));
}

/// An address for a log line, such as `sms:+1…~3fa9c1d2`.
pub fn address(address: &Address) -> String {
    let key = KEY.get_or_init(random);
    let tag = hmac::sign(key, address.as_str().as_bytes());
    let tag: String = tag.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    // Two characters of a number say at most part of a country; ids and short codes show nothing.
    let shown = match address.digits() {
        Some(digits) => format!("+{}", digits.chars().take(1).collect::<String>()),
        None => String::new(),
    };
    format!("{}:{shown}…~{tag}", address.channel().name())
}

fn random() -> hmac::Key {
    let mut bytes = [0; 32];
    // Without randomness masks could be guessed, but nothing else would work either; SIDs fail first.
    let _ = SystemRandom::new().fill(&mut bytes);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_person_looks_the_same_and_is_not_shown() {
        let (one, two) = (Address::parse("+12025550123").unwrap(), Address::parse("+12025550124").unwrap());
        assert_eq!(address(&one), address(&one));
        assert_ne!(address(&one), address(&two));
        assert!(!address(&one).contains("2025550123"));
        assert!(!address(&Address::parse("messenger:1029384756").unwrap()).contains("102938"));
    }
}
