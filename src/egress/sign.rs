//! `X-Twilio-Signature` on what we send: base64 of HMAC-SHA1, keyed with the account's auth token, over the URL as it is
//! called and the form.

use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use ring::{digest, hmac};

/// The header that carries it.
pub const HEADER: &str = "X-Twilio-Signature";
/// The query parameter that vouches for a body which is no form.
const BODY_HASH: &str = "bodySHA256";

/// Signs a request to `url`. `form` holds the parameters of a form's body; none of them for a GET, whose parameters stand
/// in the URL, nor for a body of another type, whose hash does (see [`with_body_hash`]).
///
/// Names in byte order, each followed by its value; of a repeated name each distinct value once, in byte order.
pub fn sign(token: &str, url: &Url, form: &[(String, String)]) -> String {
    // What HMAC-SHA1 is here is the validators' to say; SHA-1's collisions do not touch it as a MAC.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(url.as_str().as_bytes());
    let mut sorted: Vec<_> = form.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    for (name, value) in sorted {
        context.update(name.as_bytes());
        context.update(value.as_bytes());
    }
    STANDARD.encode(context.sign())
}

/// The URL at which a body that is no form is posted: with the body's hash in it, so that the signature covers both.
pub fn with_body_hash(mut url: Url, body: &[u8]) -> Url {
    let mut hash = String::with_capacity(64);
    for byte in digest::digest(&digest::SHA256, body).as_ref() {
        // Writing to a string does not fail.
        let _ = write!(hash, "{byte:02x}");
    }
    url.query_pairs_mut().append_pair(BODY_HASH, &hash);
    url
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_documented_example() {
        // From the security chapter of the provider's documentation.
        let url = Url::parse("https://mycompany.com/myapp.php?foo=1&bar=2").unwrap();
        let form = pairs(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]);
        assert_eq!(sign("12345", &url, &form), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn order_and_repeats_do_not_matter() {
        let url = Url::parse("https://a.example/").unwrap();
        let one = sign("t", &url, &pairs(&[("b", "2"), ("a", "1"), ("a", "0"), ("a", "1"), ("c", "")]));
        assert_eq!(one, sign("t", &url, &pairs(&[("a", "0"), ("a", "1"), ("b", "2"), ("c", "")])));
        assert_ne!(one, sign("t", &url, &pairs(&[("a", "0"), ("a", "1"), ("b", "2")])));
        assert_ne!(one, sign("u", &url, &pairs(&[("a", "0"), ("a", "1"), ("b", "2"), ("c", "")])));
    }

    #[test]
    fn a_body_that_is_no_form_is_vouched_for_in_the_url() {
        let bare = Url::parse("https://a.example/x").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(with_body_hash(bare, b"").as_str(), format!("https://a.example/x?bodySHA256={empty}"));
        let query = Url::parse("https://a.example/x?y=1").unwrap();
        assert_eq!(
            with_body_hash(query, b"").as_str(),
            format!("https://a.example/x?y=1&bodySHA256={empty}")
        );
    }
}
