//! Secrets: compared in constant time, never shown.

use std::fmt;

/// A secret value. Has no `Display`, and its `Debug` is blank.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself, for signing and for `Authorization`.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a presented value is this one, in time that does not depend on where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        // Comparing digests of both under one key hides the length too.
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.0.as_bytes());
        let own = ring::hmac::sign(&key, self.0.as_bytes());
        ring::hmac::verify(&key, presented, own.as_ref()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One or more secrets: the first signs, all verify. Never empty.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// A ring of secrets; `None` if there are none.
    pub fn new(secrets: Vec<Secret>) -> Option<Secrets> {
        (!secrets.is_empty()).then_some(Secrets(secrets))
    }

    /// A ring of one.
    pub fn one(value: impl Into<String>) -> Secrets {
        Secrets(vec![Secret::new(value)])
    }

    /// The one that signs.
    pub fn first(&self) -> &Secret {
        &self.0[0]
    }

    /// All of them, to verify with.
    pub fn all(&self) -> &[Secret] {
        &self.0
    }

    /// Whether a presented value is any of them.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.iter().fold(false, |found, secret| secret.matches(presented) | found)
    }
}
