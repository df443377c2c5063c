//! Files: how a provider hands over those that people sent, and which of ours its channels take.

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use reqwest::{StatusCode, Url};

use crate::{Address, MediaReference, Secret};

/// How the files of inbound messages are had: requests that the adapter names and the daemon makes, through the guard
/// that all its requests to URLs of others go through.
pub trait MediaSource: Send + Sync {
    /// Where the requests may lead, redirects included.
    fn hosts(&self) -> &MediaHosts;

    /// The first request for a file of a message to this proxy address.
    ///
    /// # Errors
    /// When the reference leads nowhere.
    fn begin(&self, proxy: &Address, media: &MediaReference) -> Result<MediaStep, MediaFault>;

    /// What the document behind a [`MediaStep::Ask`] leads to.
    ///
    /// # Errors
    /// When it is not what the provider documents.
    fn told(&self, proxy: &Address, document: &[u8]) -> Result<MediaStep, MediaFault>;

    /// What an answer that is neither a success nor a redirect means.
    fn refused(&self, status: StatusCode) -> MediaFault {
        let again = matches!(status.as_u16(), 408 | 425 | 429 | 500..);
        MediaFault { text: format!("the provider answered {}", status.as_u16()), again }
    }
}

/// One request on the way to a file.
#[derive(Clone, Debug)]
pub enum MediaStep {
    /// A small document that says where the file is.
    Ask(MediaRequest),
    /// The file itself.
    Get(MediaRequest),
}

/// A GET.
#[derive(Clone)]
pub struct MediaRequest {
    /// Where.
    pub url: String,
    /// The whole value of the `Authorization` header. A redirect does not see it.
    pub authorization: Option<Secret>,
}

/// URLs of files are often all that is needed to have them.
impl fmt::Debug for MediaRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaRequest(…)")
    }
}

/// Why a file cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFault {
    /// For logs: no URLs, no secrets.
    pub text: String,
    /// Whether it may be had a little later.
    pub again: bool,
}

impl MediaFault {
    /// It cannot be had, now or later.
    pub fn fatal(text: impl Into<String>) -> MediaFault {
        MediaFault { text: text.into(), again: false }
    }

    /// It may be had later.
    pub fn passing(text: impl Into<String>) -> MediaFault {
        MediaFault { text: text.into(), again: true }
    }
}

/// The hosts at which a provider keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaHosts {
    suffixes: &'static [&'static str],
    base: Option<Url>,
}

/// How a host of the list came on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPlace {
    /// It is where the operator said the provider's API is: trusted like the API, in whatever network it may be.
    Base,
    /// It ends as the provider's hosts do.
    Listed,
}

impl MediaHosts {
    /// Hosts that are one of these names or end with one behind a dot, by https; and whatever has the scheme, host and port of
    /// `base_url`.
    pub fn new(suffixes: &'static [&'static str], base_url: &str) -> MediaHosts {
        MediaHosts { suffixes, base: Url::parse(base_url).ok() }
    }

    /// Where a URL stands; `None` when it is not to be followed.
    ///
    /// ```
    /// use trunkline_adapter::{HostPlace, MediaHosts};
    /// let hosts = MediaHosts::new(&["cdn.example"], "http://127.0.0.1:9/api");
    /// let place = |url: &str| hosts.place(&url.parse().unwrap());
    /// assert_eq!(place("https://a.cdn.example/x"), Some(HostPlace::Listed));
    /// assert_eq!(place("http://127.0.0.1:9/elsewhere"), Some(HostPlace::Base));
    /// assert_eq!(place("https://evilcdn.example/x"), None);
    /// ```
    pub fn place(&self, url: &Url) -> Option<HostPlace> {
        if self.base.as_ref().is_some_and(|base| base.origin() == url.origin() && base.has_host()) {
            return Some(HostPlace::Base);
        }
        let host = url.host_str()?.trim_end_matches('.');
        let ends = |suffix: &&str| {
            host.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let listed = url.scheme() == "https" && self.suffixes.iter().any(ends);
        listed.then_some(HostPlace::Listed)
    }
}

impl MediaReference {
    /// The digest that was declared, whichever of the two spellings the provider chose.
    pub fn digest(&self) -> Option<[u8; 32]> {
        let text = self.sha256.as_deref()?.trim();
        let bytes = if text.len() == 64 {
            let pairs = text.as_bytes().chunks_exact(2);
            pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
        } else {
            STANDARD.decode(text).ok()
        };
        bytes?.try_into().ok()
    }
}

/// One file on its way to a person.
#[derive(Clone)]
pub struct MediaFile {
    /// Names the bytes: equal for equal ones, so that an upload can be used again.
    pub key: String,
    /// Bytes in all.
    pub size: u64,
    /// MIME type.
    pub content_type: String,
    /// What the file is called, if it is called anything.
    pub filename: Option<String>,
    /// Text to show with it; nothing where the channel shows none.
    pub caption: Option<String>,
    /// A link that a provider may fetch it by, for the next minutes.
    pub link: String,
    /// The bytes, for providers that are handed them.
    pub reader: Arc<dyn MediaReader>,
}

/// Reads the bytes of a file, as often as it is asked to.
pub trait MediaReader: Send + Sync {
    /// From the beginning.
    fn open(&self) -> BoxFuture<'_, io::Result<BoxStream<'static, io::Result<Bytes>>>>;
}

impl fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaFile({} of {} bytes)", self.content_type, self.size)
    }
}

/// Equal in what is sent; a reader gives what the key names.
impl PartialEq for MediaFile {
    fn eq(&self, other: &MediaFile) -> bool {
        let of = |file: &MediaFile| {
            let (name, caption) = (file.filename.clone(), file.caption.clone());
            (file.key.clone(), file.size, file.content_type.clone(), name, caption, file.link.clone())
        };
        of(self) == of(other)
    }
}

impl Eq for MediaFile {}

/// Which files a proxy address takes, one in a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaLimits {
    /// From the most particular to the most general.
    pub rules: &'static [MediaRule],
    /// The receipt's code for a file that is not there any more.
    pub lost: u32,
}

/// What holds for files of some types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaRule {
    /// `image/jpeg`, or `audio/*`, or `*/*`.
    pub types: &'static [&'static str],
    /// Bytes.
    pub most: u64,
    /// Characters of text that may be shown with the file; 0 for none.
    pub caption: usize,
}

/// How a file can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As it is.
    Whole(&'static MediaRule),
    /// As a JPEG made of it.
    Jpeg(&'static MediaRule),
    /// Not at all.
    No,
}

/// The type that pictures are made into.
pub const JPEG: &str = "image/jpeg";
/// Types of which a JPEG can be made without losing what they show. A GIF is not among them: it may move.
const PICTURES: [&str; 6] = [JPEG, "image/png", "image/webp", "image/bmp", "image/x-ms-bmp", "image/tiff"];

impl MediaLimits {
    /// How a file of this type and size goes: as it is where a rule names its type; a picture as a JPEG where there is a
    /// rule for those; else as it is where a rule takes anything.
    pub fn fit(&self, content_type: &str, size: u64) -> Fit {
        let bare = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let named = |rule: &&MediaRule| rule.size_and(size, |name| name != "*/*" && matches(name, &bare));
        if let Some(rule) = self.rules.iter().find(named) {
            return Fit::Whole(rule);
        }
        let jpeg = self.rules.iter().find(|rule| rule.types.contains(&JPEG));
        if let Some(rule) = jpeg.filter(|_| PICTURES.contains(&bare.as_str())) {
            return Fit::Jpeg(rule);
        }
        let any = self.rules.iter().find(|rule| rule.size_and(size, |name| name == "*/*"));
        any.map_or(Fit::No, Fit::Whole)
    }
}

impl MediaRule {
    fn size_and(&self, size: u64, takes: impl Fn(&str) -> bool) -> bool {
        size <= self.most && self.types.iter().any(|name| takes(name))
    }
}

fn matches(name: &str, content_type: &str) -> bool {
    match name.strip_suffix("/*") {
        Some(major) => content_type.split('/').next() == Some(major),
        None => name == content_type,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    static RULES: [MediaRule; 3] = [
        MediaRule { types: &["image/jpeg", "image/png"], most: 100, caption: 10 },
        MediaRule { types: &["audio/*"], most: 200, caption: 0 },
        MediaRule { types: &["*/*"], most: 1000, caption: 10 },
    ];

    #[test]
    fn a_file_goes_whole_or_made_smaller_or_by_the_rule_for_anything() {
        let limits = MediaLimits { rules: &RULES, lost: 1 };
        for (content_type, size, fit) in [
            ("image/jpeg", 100, Fit::Whole(&RULES[0])),
            ("IMAGE/JPEG; x=y", 100, Fit::Whole(&RULES[0])),
            ("image/jpeg", 101, Fit::Jpeg(&RULES[0])),
            ("image/webp", 1, Fit::Jpeg(&RULES[0])),
            ("image/gif", 1, Fit::Whole(&RULES[2])),
            ("audio/ogg", 200, Fit::Whole(&RULES[1])),
            ("audio/ogg", 201, Fit::Whole(&RULES[2])),
            ("", 1, Fit::Whole(&RULES[2])),
            ("application/pdf", 1001, Fit::No),
        ] {
            assert_eq!(limits.fit(content_type, size), fit, "{content_type} {size}");
        }
        let narrow = MediaLimits { rules: &RULES[1..2], lost: 1 };
        assert_eq!(narrow.fit("image/webp", 1), Fit::No);
    }

    #[test]
    fn only_hosts_of_the_list_and_the_base_are_followed() {
        let hosts = MediaHosts::new(&["twilio.com", "fbcdn.net"], "http://10.0.0.1:8080/provider/us");
        for (url, place) in [
            ("https://api.twilio.com/x", Some(HostPlace::Listed)),
            ("https://twilio.com./x", Some(HostPlace::Listed)),
            ("https://a.b.fbcdn.net:444/x", Some(HostPlace::Listed)),
            ("http://10.0.0.1:8080/x", Some(HostPlace::Base)),
            ("http://api.twilio.com/x", None),
            ("https://nottwilio.com/x", None),
            ("https://twilio.com.evil.example/x", None),
            ("https://evil.example/twilio.com", None),
            ("https://twilio.com@evil.example/", None),
            ("https://10.0.0.1:8080/x", None),
            ("http://10.0.0.1:8081/x", None),
            ("http://2130706433/", None),
            ("http://[::ffff:127.0.0.1]/", None),
            ("file:///etc/passwd", None),
            ("gopher://api.twilio.com/x", None),
            ("data:text/plain,x", None),
        ] {
            assert_eq!(hosts.place(&url.parse().unwrap()), place, "{url}");
        }
        assert_eq!(MediaHosts::new(&[], "not a url").place(&"file:///x".parse().unwrap()), None);
    }

    #[test]
    fn digests_are_read_in_hex_and_in_base64() {
        let reference = |sha256: &str| MediaReference {
            kind: crate::MediaKind::Image,
            id: None,
            url: None,
            content_type: None,
            filename: None,
            caption: None,
            sha256: Some(sha256.to_owned()),
        };
        let digest = [7; 32];
        assert_eq!(reference(&STANDARD.encode(digest)).digest(), Some(digest));
        assert_eq!(reference(&"07".repeat(32)).digest(), Some(digest));
        for wrong in ["", "07", &"zz".repeat(32), &STANDARD.encode([7; 31]), &"é".repeat(32)] {
            assert_eq!(reference(wrong).digest(), None, "{wrong}");
        }
    }
}
