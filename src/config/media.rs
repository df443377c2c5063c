//! `[media]`: where files lie, and how long links to them live.

use std::time::Duration;

use trunkline_adapter::Section;

/// `[media]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub place: MediaPlace,
    /// How long a link to a file leads there.
    pub link_ttl: Duration,
}

/// Where files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaPlace {
    /// Beside the ledger.
    Files,
    /// In S3-compatible storage, below a prefix that may be empty.
    Bucket { bucket: String, prefix: String },
}

/// Shorter, and a provider that fetches when its own queue has moved would come too late; longer, and a link that is
/// passed on is nearly a public file.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);

impl Media {
    pub(super) fn read(section: &mut Section) -> Media {
        let place = match section.string("url") {
            None => MediaPlace::Files,
            Some(url) => place(&url).unwrap_or_else(|| {
                section.problem("url", "must be \"file:\" or \"s3://bucket/prefix\"", None);
                MediaPlace::Files
            }),
        };
        let link_ttl = super::sections::duration(section, "link_ttl", TTL, Duration::from_secs(3600));
        Media { place, link_ttl }
    }
}

fn place(url: &str) -> Option<MediaPlace> {
    if url == "file:" {
        return Some(MediaPlace::Files);
    }
    let (bucket, prefix) = match url.strip_prefix("s3://")?.split_once('/') {
        Some((bucket, prefix)) => (bucket, prefix.trim_end_matches('/')),
        None => (url.strip_prefix("s3://")?, ""),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let named = (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain);
    let walks = prefix.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    (named && (prefix.is_empty() || !walks))
        .then(|| MediaPlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_files_or_a_bucket() {
        let bucket = |bucket: &str, prefix: &str| {
            Some(MediaPlace::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(place("file:"), Some(MediaPlace::Files));
        assert_eq!(place("s3://my-bucket"), bucket("my-bucket", ""));
        assert_eq!(place("s3://my-bucket/"), bucket("my-bucket", ""));
        assert_eq!(place("s3://my.bucket/a/b/"), bucket("my.bucket", "a/b"));
        for bad in [
            "",
            "s3:",
            "s3://",
            "s3://a",
            "s3://Bad_Name",
            "s3://bucket//x",
            "s3://bucket/../x",
            "/srv",
            "https://x",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
