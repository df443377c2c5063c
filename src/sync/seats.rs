//! Which participant an identity was found to be in a conversation. A hint: whoever takes it reads that participant's row and
//! looks whose it is. Without one, the participants are read until the right one comes, and a client that starts asks
//! for every conversation of its own four times and more.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::object::Realm;
use crate::model::{ConversationSid, ParticipantSid};

/// Hints that are kept; one more, and all are forgotten.
const MOST: usize = 1 << 16;
const PREFIX: &str = "MB";

/// See the module. Hashes and digits, so that a hint takes 32 bytes: two that are taken for each other are found out.
#[derive(Default)]
pub struct Seats {
    hints: Mutex<HashMap<u64, u128>>,
    hasher: RandomState,
}

impl Seats {
    pub fn of(&self, realm: &Realm, sid: &ConversationSid, identity: &str) -> Option<String> {
        let hint = self.hints().get(&self.hash(realm, sid, identity)).copied()?;
        Some(format!("{PREFIX}{hint:032x}"))
    }

    pub fn note(&self, realm: &Realm, sid: &ConversationSid, identity: &str, participant: &ParticipantSid) {
        let digits = participant.as_str().strip_prefix(PREFIX);
        let Some(hint) = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok()) else { return };
        let mut hints = self.hints();
        if hints.len() >= MOST {
            hints.clear();
        }
        hints.insert(self.hash(realm, sid, identity), hint);
    }

    fn hash(&self, realm: &Realm, sid: &ConversationSid, identity: &str) -> u64 {
        self.hasher.hash_one((realm, sid, identity))
    }

    fn hints(&self) -> MutexGuard<'_, HashMap<u64, u128>> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{AccountSid, Mint, ServiceSid};

    #[test]
    fn a_hint_is_of_one_identity_in_one_conversation() {
        let mint = Mint::seeded(1);
        let realm = Realm { account: AccountSid::new(&mint), service: ServiceSid::new(&mint) };
        let (here, there) = (ConversationSid::new(&mint), ConversationSid::new(&mint));
        let (ada, bob) = (ParticipantSid::new(&mint), ParticipantSid::new(&mint));
        let seats = Seats::default();
        seats.note(&realm, &here, "ada", &ada);
        seats.note(&realm, &here, "bob", &bob);
        assert_eq!(seats.of(&realm, &here, "ada").as_deref(), Some(ada.as_str()));
        assert_eq!(seats.of(&realm, &here, "bob").as_deref(), Some(bob.as_str()));
        assert_eq!(seats.of(&realm, &there, "ada"), None);
        // Back under another number.
        seats.note(&realm, &here, "ada", &bob);
        assert_eq!(seats.of(&realm, &here, "ada").as_deref(), Some(bob.as_str()));
    }

    #[test]
    fn hints_are_bounded() {
        let mint = Mint::seeded(1);
        let realm = Realm { account: AccountSid::new(&mint), service: ServiceSid::new(&mint) };
        let (sid, who) = (ConversationSid::new(&mint), ParticipantSid::new(&mint));
        let seats = Seats::default();
        for at in 0..=MOST {
            seats.note(&realm, &sid, &at.to_string(), &who);
        }
        assert!(seats.of(&realm, &sid, "0").is_none());
        assert!(seats.of(&realm, &sid, &MOST.to_string()).is_some());
    }
}
