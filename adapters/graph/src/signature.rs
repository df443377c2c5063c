//! `X-Hub-Signature-256`: HMAC-SHA256 under the app secret, over the body's bytes as they came.

use http::HeaderMap;
use ring::hmac;
use trunkline_adapter::Secrets;

/// The header a delivery's signature is in.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";

const PREFIX: &str = "sha256=";

/// The value of the signature header for a body.
///
/// ```
/// let header = trunkline_graph::sign("app-secret-0001", br#"{"object":"page","entry":[]}"#);
/// assert_eq!(header, "sha256=e4e1088fabde2bd65d19510efd87ea272309a0cd99b07c6930d7a5d161c67c2d");
/// ```
pub fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut header = PREFIX.to_owned();
    for byte in hmac::sign(&key, body).as_ref() {
        for nibble in [byte >> 4, byte & 15] {
            header.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    header
}

/// Whether exactly one signature header is there and it is right under any secret of the ring. Every secret is tried,
/// so that the time taken does not tell which one matched.
pub(crate) fn verify(secrets: &Secrets, headers: &HeaderMap, body: &[u8]) -> bool {
    let mut values = headers.get_all(SIGNATURE_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some(tag) = decode(value.as_bytes()) else { return false };
    secrets.all().iter().fold(false, |found, secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        hmac::verify(&key, body, &tag).is_ok() | found
    })
}

/// The 32 bytes behind the prefix; only the one spelling Meta uses, lower-case hex.
fn decode(header: &[u8]) -> Option<[u8; 32]> {
    let hex = header.strip_prefix(PREFIX.as_bytes())?;
    if hex.len() != 64 {
        return None;
    }
    let mut tag = [0; 32];
    for (byte, pair) in tag.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(tag)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use trunkline_adapter::Secret;

    const BODY: &[u8] = br#"{"object":"page","entry":[]}"#;

    fn accepts(secrets: &Secrets, header: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(SIGNATURE_HEADER, header.parse().unwrap());
        verify(secrets, &headers, body)
    }

    #[test]
    fn the_published_vector_verifies() {
        let secrets = Secrets::one("app-secret-0001");
        let vector = "sha256=e4e1088fabde2bd65d19510efd87ea272309a0cd99b07c6930d7a5d161c67c2d";
        assert_eq!(sign("app-secret-0001", BODY), vector);
        assert!(accepts(&secrets, vector, BODY));
    }

    #[test]
    fn any_secret_of_the_ring_will_do_and_no_other() {
        let ring = Secrets::new(vec![Secret::new("new"), Secret::new("old")]).unwrap();
        assert!(accepts(&ring, &sign("new", BODY), BODY));
        assert!(accepts(&ring, &sign("old", BODY), BODY));
        assert!(!accepts(&ring, &sign("older", BODY), BODY));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let secrets = Secrets::one("s");
        let header = sign("s", BODY);
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert!(!accepts(&secrets, &header, &body), "byte {at}");
        }
    }

    #[test]
    fn only_the_documented_spelling_counts() {
        let secrets = Secrets::one("s");
        let good = sign("s", BODY);
        let hex = good.strip_prefix("sha256=").unwrap();
        for header in [
            String::new(),
            hex.to_owned(),
            format!("sha1={hex}"),
            format!("SHA256={hex}"),
            format!("sha256={}", hex.to_uppercase()),
            format!("sha256={}", &hex[..62]),
            format!("{good}00"),
            format!("sha256={}", "g".repeat(64)),
        ] {
            assert!(!accepts(&secrets, &header, BODY), "{header:?}");
        }
        assert!(!verify(&secrets, &HeaderMap::new(), BODY), "no header at all");
        let mut twice = HeaderMap::new();
        twice.append(SIGNATURE_HEADER, good.parse().unwrap());
        twice.append(SIGNATURE_HEADER, good.parse().unwrap());
        assert!(!verify(&secrets, &twice, BODY), "two headers");
    }
}
