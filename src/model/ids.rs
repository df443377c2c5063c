//! SIDs: two letters that say what a thing is, and thirty-two hexadecimal digits that say nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use serde::de::Visitor;
use serde::{Deserialize, Serialize};

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The two letters.
            pub const PREFIX: &'static str = $prefix;

            /// A SID of this shape, wherever it was made.
            pub fn parse(text: &str) -> Option<$name> {
                well_formed(text, $prefix).then(|| $name(text.into()))
            }

            /// A new random one.
            pub fn new(mint: &Mint) -> $name {
                $name(mint.sid($prefix))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(Text).map($name)
            }
        }
    };
}

/// Reads a SID's text into the memory it stays in. (`Cow` would not: serde always gives an owned one.)
struct Text;

impl Visitor<'_> for Text {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SID")
    }

    fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(text.into())
    }
}

sid!(
    /// An account.
    AccountSid, "AC");
sid!(
    /// A conversation service.
    ServiceSid, "IS");
sid!(
    /// A conversation.
    ConversationSid, "CH");
sid!(
    /// A participant.
    ParticipantSid, "MB");
sid!(
    /// A message.
    MessageSid, "IM");
sid!(
    /// A delivery receipt.
    ReceiptSid, "DY");
sid!(
    /// A user.
    UserSid, "US");
sid!(
    /// A role.
    RoleSid, "RL");
sid!(
    /// Credentials for a push service.
    CredentialSid, "CR");
sid!(
    /// A device that gets pushes.
    PushBindingSid, "BS");

sid!(
    /// A file.
    MediaSid, "ME");

sid!(
    /// A webhook of one conversation.
    WebhookSid, "WH");

sid!(
    /// The configuration of one of our addresses.
    AddressConfigurationSid, "IG");

impl MessageSid {
    /// A new one for the message at an index. It leads there, so that no row has to.
    pub fn at(mint: &Mint, index: u64) -> MessageSid {
        let mut bytes = mint.bytes();
        let (chance, place) = bytes.split_at_mut(8);
        let veil = veil(chance);
        place.copy_from_slice(&(index ^ veil).to_be_bytes());
        MessageSid(spell(MessageSid::PREFIX, bytes))
    }

    /// Where to look for the message first. A SID may be foreign, so it may not be there: what is found must carry it.
    pub fn likely_index(&self) -> Option<u64> {
        let digits = self.0.get(MessageSid::PREFIX.len()..)?;
        let (chance, place) = (digits.get(..16)?, digits.get(16..)?);
        let chance = u64::from_str_radix(chance, 16).ok()?;
        Some(u64::from_str_radix(place, 16).ok()? ^ veil(&chance.to_be_bytes()))
    }
}

/// What an index is covered with, so that neighbours do not look alike. It hides nothing: an index is no secret.
fn veil(chance: &[u8]) -> u64 {
    let mut state = chance.iter().fold(0, |state, byte| state << 8 | u64::from(*byte));
    splitmix(&mut state)
}

/// Whether a text is the prefix and thirty-two hexadecimal digits of either case.
pub fn well_formed(text: &str, prefix: &str) -> bool {
    text.len() == 34
        && text.starts_with(prefix)
        && text.bytes().skip(prefix.len()).all(|byte| byte.is_ascii_hexdigit())
}

/// Where random names come from: the system, or a seed so that a simulation repeats itself.
pub struct Mint(Source);

enum Source {
    System(Mutex<Pool>),
    Seeded(Mutex<u64>),
}

/// Bytes from the system, fetched many at a time: every fetch is a system call, and each byte is given out once.
struct Pool {
    random: SystemRandom,
    bytes: Box<[u8; POOL]>,
    given: usize,
}

/// Bytes fetched at a time; sixteen names.
const POOL: usize = 256;

impl Pool {
    fn take(&mut self) -> [u8; 16] {
        if self.given >= POOL {
            // The kernel's generator does not fail once the system is up; a daemon cannot go on without it.
            #[expect(clippy::expect_used, reason = "no name can be made without randomness")]
            self.random.fill(&mut self.bytes[..]).expect("the system's random generator works");
            self.given = 0;
        }
        let mut taken = [0; 16];
        let from = &mut self.bytes[self.given..self.given + 16];
        taken.copy_from_slice(from);
        // What was given out is nobody else's to find here.
        from.fill(0);
        self.given += 16;
        taken
    }
}

impl Mint {
    /// Names nobody can guess.
    pub fn system() -> Mint {
        let pool = Pool { random: SystemRandom::new(), bytes: Box::new([0; POOL]), given: POOL };
        Mint(Source::System(Mutex::new(pool)))
    }

    /// The same names in the same order for the same seed.
    pub fn seeded(seed: u64) -> Mint {
        Mint(Source::Seeded(Mutex::new(seed)))
    }

    /// Sixteen random bytes.
    pub fn bytes(&self) -> [u8; 16] {
        match &self.0 {
            Source::System(pool) => pool.lock().unwrap_or_else(PoisonError::into_inner).take(),
            Source::Seeded(state) => {
                let mut bytes = [0; 16];
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                for half in bytes.chunks_exact_mut(8) {
                    half.copy_from_slice(&splitmix(&mut state).to_be_bytes());
                }
                bytes
            }
        }
    }

    fn sid(&self, prefix: &str) -> Arc<str> {
        spell(prefix, self.bytes())
    }
}

fn spell(prefix: &str, bytes: [u8; 16]) -> Arc<str> {
    let mut sid = [0; 34];
    let (letters, digits) = sid.split_at_mut(2);
    letters.copy_from_slice(prefix.as_bytes());
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    // Two letters and digits, all of them ASCII.
    std::str::from_utf8(&sid).unwrap_or_default().into()
}

/// Shows which kind it is; the bytes to come are nobody's business.
impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "Mint(system)",
            Source::Seeded(_) => "Mint(seeded)",
        })
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        let mint = Mint::seeded(1);
        let sid = ConversationSid::new(&mint);
        assert!(ConversationSid::parse(sid.as_str()).is_some());
        assert!(MessageSid::parse(sid.as_str()).is_none());
        assert!(
            ConversationSid::parse("CHFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF").is_some(),
            "foreign SIDs keep their case"
        );
        assert!(ConversationSid::parse("CH0").is_none());
        assert_ne!(ConversationSid::new(&mint), sid);
    }

    #[test]
    fn a_message_sid_leads_to_its_index_and_any_other_is_harmless() {
        let mint = Mint::seeded(1);
        for index in [0, 1, 77, u64::MAX] {
            let sid = MessageSid::at(&mint, index);
            assert_eq!(MessageSid::parse(sid.as_str()).and_then(|sid| sid.likely_index()), Some(index));
        }
        assert_ne!(MessageSid::at(&mint, 5).as_str()[18..], MessageSid::at(&mint, 5).as_str()[18..]);
        assert!(
            MessageSid::parse("IMFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF")
                .and_then(|sid| sid.likely_index())
                .is_some()
        );
    }

    #[test]
    fn no_byte_of_the_system_is_given_out_twice() {
        let mint = Mint::system();
        let mut seen: Vec<[u8; 16]> = (0..10 * POOL / 16).map(|_| mint.bytes()).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10 * POOL / 16);
        assert!(!seen.contains(&[0; 16]));
    }
}
