//! `X-Twilio-Signature`: base64 of HMAC-SHA1, keyed with the auth token, over the URL and the sorted form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use trunkline_adapter::Secrets;

use crate::form::Pairs;

/// The header that carries it.
pub(crate) const HEADER: &str = "x-twilio-signature";
/// The query parameter that vouches for a body which is no form.
pub(crate) const BODY_HASH: &str = "bodySHA256";

/// The signature Twilio would put on a request to `url` with these form parameters (none for GET and for JSON).
///
/// ```
/// let params = [("To", "+15550001"), ("From", "+15550002")];
/// let signature = trunkline_twilio::sign("token", "https://bridge.example/in?x=1", &params);
/// assert_eq!(signature.len(), 28);
/// ```
pub fn sign(token: &str, url: &str, params: &[(&str, &str)]) -> String {
    let pairs = params.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    STANDARD.encode(tag(&key(token), url, &canonical(&pairs.collect::<Pairs>())))
}

/// The form as it is signed: names in byte order, each followed by its value; of a repeated name each distinct value,
/// in byte order.
pub(crate) fn canonical(pairs: &Pairs) -> Vec<&[u8]> {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.into_iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]).collect()
}

/// A presented signature, ready to be compared.
pub(crate) struct Presented<'a> {
    signature: Vec<u8>,
    /// What follows the URL in the signed text, piece by piece.
    form: &'a [&'a [u8]],
}

impl<'a> Presented<'a> {
    /// `None` when the header is not base64 at all.
    pub(crate) fn new(header: &str, form: &'a [&'a [u8]]) -> Option<Presented<'a>> {
        let signature = STANDARD.decode(header).ok()?;
        Some(Presented { signature, form })
    }

    /// Whether it is right for this URL under any of the tokens, in time that tells nothing about where it is wrong.
    pub(crate) fn holds(&self, tokens: &Secrets, url: &str) -> bool {
        let mut found = false;
        for url in spellings(url) {
            for token in tokens.all() {
                let key = key(token.expose());
                let own = tag(&key, &url, self.form);
                // Comparing what both become under the key tells nothing about where they differ.
                let blind = hmac::sign(&key, own.as_ref());
                found |= hmac::verify(&key, &self.signature, blind.as_ref()).is_ok();
            }
        }
        found
    }
}

/// HMAC-SHA1 is what Twilio's auth token scheme is; SHA-1's collisions do not touch it as a MAC.
fn key(token: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes())
}

/// Fed piece by piece: a form may be megabytes, and nobody knows yet whether it deserves a copy.
fn tag(key: &hmac::Key, url: &str, form: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(url.as_bytes());
    form.iter().for_each(|piece| context.update(piece));
    context.sign()
}

/// Whether the body is the one whose hash stands in the URL.
pub(crate) fn hash_matches(body: &[u8], hash: &str) -> bool {
    use std::fmt::Write;
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    let mut own = String::with_capacity(64);
    for byte in digest.as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(own, "{byte:02x}");
    }
    // Both sides are public: the hash stands in the URL, and the signature over the URL is what proves it.
    own.eq_ignore_ascii_case(hash)
}

/// A URL as it is, without its port, and with the default port written out: Twilio is not consistent about which of
/// them it signs.
fn spellings(url: &str) -> Vec<String> {
    let mut all = vec![url.to_owned()];
    let Some((scheme, rest)) = url.split_once("://") else { return all };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand inside its brackets.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    if host.len() < authority.len() {
        all.push(format!("{scheme}://{host}{tail}"));
    } else {
        let port = if scheme == "http" { 80 } else { 443 };
        all.push(format!("{scheme}://{host}:{port}{tail}"));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const TOKEN: &str = "12345678901234567890123456789012";
    const URL: &str = "https://bridge.example/in/twilio/abc?x=1";

    #[test]
    fn published_and_computed_vectors() {
        let message = [
            ("To", "+15550001"),
            ("From", "+15550002"),
            ("Body", "hi there"),
            ("MessageSid", "SM00000000000000000000000000000001"),
        ];
        assert_eq!(sign(TOKEN, URL, &message), "FjGOyXfi5L/hcBOgZDaP4KJRR98=");
        let repeated = [("A", "2"), ("A", "1"), ("A", "1")];
        assert_eq!(
            sign(TOKEN, "https://bridge.example/in/twilio/abc", &repeated),
            "HR8l5fgK22MgzdRc1k9wriEwsNo="
        );
        // The example of Twilio's own documentation and libraries.
        let call = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(sign("12345", url, &call), "GvWf1cFY/Q7PnoempGyD5oXAezc=");
    }

    #[test]
    fn the_body_hash_is_of_the_raw_body() {
        let hash = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
        assert!(hash_matches(br#"{"a":1}"#, hash));
        assert!(!hash_matches(br#"{"a": 1}"#, hash));
        assert!(!hash_matches(br#"{"a":1}"#, ""));
    }

    #[test]
    fn the_port_may_be_written_or_not() {
        for (signed, seen) in [
            ("https://b.example/in", "https://b.example:443/in"),
            ("https://b.example:443/in", "https://b.example/in"),
            ("http://b.example:80/in?a=1:2", "http://b.example/in?a=1:2"),
            ("https://b.example/in", "https://b.example:8443/in"),
            ("https://[2001:db8::1]/in", "https://[2001:db8::1]:443/in"),
        ] {
            let signature = sign(TOKEN, signed, &[]);
            let presented = Presented::new(&signature, &[]).unwrap();
            assert!(presented.holds(&Secrets::one(TOKEN), seen), "{seen}");
            assert!(!presented.holds(&Secrets::one(TOKEN), "https://other.example/in"));
        }
    }
}
