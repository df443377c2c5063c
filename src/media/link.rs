//! Links that need no credentials: they name a file and an hour, and carry our signature over both. The key is the
//! store's own, so a link outlives restarts, and API keys that come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, BytesMut};
use ring::hmac;
use trunkline_adapter::{Clock, Timestamp};

use crate::ledger::key::{put_name, take_name};

/// Makes and reads links.
pub struct Links {
    key: hmac::Key,
    clock: Clock,
    /// Seconds.
    ttl: AtomicU64,
}

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    pub account: String,
    pub media: String,
    /// Not to the file itself, but to a JPEG of at most so many bytes made of it.
    pub jpeg: Option<u64>,
}

/// Why a link leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLink {
    /// We never made it.
    Forged,
    /// Its time is over.
    Expired,
}

/// The layout of what is signed; a link of another one is not ours.
const VERSION: u8 = 1;
/// The layout of a link to a picture that is made of the file.
const OF_JPEG: u8 = 2;
/// Bytes of the signature that a link carries.
const SIGNED: usize = 16;

impl Links {
    pub fn new(key: &[u8; 32], clock: Clock) -> Links {
        Links { key: hmac::Key::new(hmac::HMAC_SHA256, key), clock, ttl: AtomicU64::new(3600) }
    }

    /// How long links live, as configured; a reload changes it for those to come.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.load(Ordering::Relaxed))
    }

    pub fn set_ttl(&self, ttl: Duration) {
        self.ttl.store(ttl.as_secs(), Ordering::Relaxed);
    }

    /// The link to a file, below the address the world knows us by.
    pub fn url(&self, root: &str, account: &str, media: &str, jpeg: Option<u64>, ttl: Duration) -> String {
        let expires = u64::try_from(self.clock.now().plus(ttl).millis() / 1000).unwrap_or_default();
        let mut link = BytesMut::with_capacity(64);
        link.put_u8(if jpeg.is_some() { OF_JPEG } else { VERSION });
        link.put_u64(expires);
        jpeg.into_iter().for_each(|most| link.put_u64(most));
        put_name(&mut link, account);
        put_name(&mut link, media);
        let signature = hmac::sign(&self.key, &link);
        link.put_slice(&signature.as_ref()[..SIGNED]);
        format!("{root}/media/{}", URL_SAFE_NO_PAD.encode(&link))
    }

    /// What the last part of a link's path leads to.
    pub fn read(&self, signed: &str) -> Result<Linked, BadLink> {
        // Far longer than any of ours.
        let bytes = Some(signed).filter(|signed| signed.len() <= 1024);
        let bytes = bytes.and_then(|signed| URL_SAFE_NO_PAD.decode(signed).ok()).ok_or(BadLink::Forged)?;
        let at = bytes.len().checked_sub(SIGNED).ok_or(BadLink::Forged)?;
        let (link, signature) = bytes.split_at(at);
        let expected = hmac::sign(&self.key, link);
        // Compared as a whole, whatever differs first.
        let differs = expected.as_ref().iter().zip(signature).fold(0, |differs, (a, b)| differs | (a ^ b));
        if differs != 0 {
            return Err(BadLink::Forged);
        }
        let (expires, linked) = unpack(link).ok_or(BadLink::Forged)?;
        if expires < self.clock.now() { Err(BadLink::Expired) } else { Ok(linked) }
    }
}

fn unpack(link: &[u8]) -> Option<(Timestamp, Linked)> {
    let (version, rest) = link.split_first()?;
    let (expires, rest) = rest.split_first_chunk()?;
    let (jpeg, rest) = match *version {
        VERSION => (None, rest),
        OF_JPEG => rest.split_first_chunk().map(|(most, rest)| (Some(u64::from_be_bytes(*most)), rest))?,
        _ => return None,
    };
    let seconds = i64::try_from(u64::from_be_bytes(*expires)).ok()?;
    let (account, rest) = take_name(rest)?;
    let (media, rest) = take_name(rest)?;
    let expires = Timestamp(seconds.checked_mul(1_000_000)?);
    rest.is_empty().then_some((expires, Linked { account, media, jpeg }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const MEDIA: &str = "ME0123456789abcdef0123456789abcdef";
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Clock {
        Clock::at(Timestamp(seconds * 1_000_000))
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_leads_to_its_file_until_its_hour_is_over() {
        let key = [7; 32];
        let links = Links::new(&key, at(1_000_000));
        let url = links.url("https://x.example", ACCOUNT, MEDIA, None, HOUR);
        let signed = url.strip_prefix("https://x.example/media/").unwrap();
        assert!(url.len() < 140, "{url}");
        let linked = Linked { account: ACCOUNT.to_owned(), media: MEDIA.to_owned(), jpeg: None };
        assert_eq!(links.read(signed), Ok(linked.clone()));
        // After a restart with the same key too.
        assert_eq!(Links::new(&key, at(1_003_599)).read(signed), Ok(linked));
        assert_eq!(Links::new(&key, at(1_003_601)).read(signed), Err(BadLink::Expired));
        assert_eq!(Links::new(&[8; 32], at(1_000_000)).read(signed), Err(BadLink::Forged));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_to_a_picture_made_of_a_file_says_how_large_it_may_be() {
        let links = Links::new(&[7; 32], at(1_000_000));
        let url = links.url("", ACCOUNT, MEDIA, Some(5_000_000), HOUR);
        let read = links.read(url.strip_prefix("/media/").unwrap()).unwrap();
        assert_eq!((read.media.as_str(), read.jpeg), (MEDIA, Some(5_000_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_text_is_a_link() {
        let links = Links::new(&[7; 32], at(1_000_000));
        let url = links.url("", ACCOUNT, MEDIA, None, HOUR);
        let good = URL_SAFE_NO_PAD.decode(url.strip_prefix("/media/").unwrap()).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert_eq!(links.read(&URL_SAFE_NO_PAD.encode(&bad)), Err(BadLink::Forged), "byte {place}");
            bad.truncate(place);
            assert_eq!(links.read(&URL_SAFE_NO_PAD.encode(&bad)), Err(BadLink::Forged), "cut at {place}");
        }
        for text in ["", "x", "!", "../../etc/passwd", &"A".repeat(4096)] {
            assert_eq!(links.read(text), Err(BadLink::Forged), "{text}");
        }
    }
}
