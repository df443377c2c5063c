//! Files: what is known of one beside its bytes, and how a message names those it carries.

use std::fmt;

use serde::{Deserialize, Serialize};
use trunkline_adapter::Timestamp;

use super::{ConversationSid, Json, MediaSid, MessageSid, ServiceSid};

/// What some bytes are stored under: their SHA-256. Text in JSON, the bytes alone in compact rows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    pub fn new(digest: [u8; 32]) -> ContentHash {
        ContentHash(digest)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Sixty-four hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<ContentHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut digest = [0; 32];
        for (slot, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        // The standard reader takes a sign too.
        digits.iter().all(u8::is_ascii_hexdigit).then_some(ContentHash(digest))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<ContentHash, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(ContentHash);
        }
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        ContentHash::parse(&text).ok_or_else(|| serde::de::Error::custom("not the hash of a content"))
    }
}

/// What a file is to its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaCategory {
    /// A file beside the text.
    #[default]
    Media,
    /// The text itself, longer or richer than a body may be.
    Body,
    /// What was said before.
    History,
}

impl MediaCategory {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            MediaCategory::Media => "media",
            MediaCategory::Body => "body",
            MediaCategory::History => "history",
        }
    }

    pub fn parse(name: &str) -> Option<MediaCategory> {
        [MediaCategory::Media, MediaCategory::Body, MediaCategory::History]
            .into_iter()
            .find(|category| category.name() == name)
    }
}

/// A file of a service. At most one message carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MediaRecord {
    pub sid: MediaSid,
    pub service: ServiceSid,
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    pub filename: Option<String>,
    #[serde(default)]
    pub category: MediaCategory,
    pub author: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The message that carries it, and where that is.
    #[serde(default)]
    pub conversation: Option<ConversationSid>,
    #[serde(default)]
    pub message: Option<MessageSid>,
    /// What a newer release wrote.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Json for MediaRecord {
    const NAME: &'static str = "media";
}

impl MediaRecord {
    /// As its message names it.
    pub fn named(&self) -> MessageMedia {
        MessageMedia {
            sid: self.sid.clone(),
            content: self.content,
            size: self.size,
            content_type: self.content_type.clone(),
            filename: self.filename.clone(),
            category: self.category,
        }
    }
}

/// A file as the message that carries it names it: all that a reader or a send needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMedia {
    pub sid: MediaSid,
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    pub filename: Option<String>,
    pub category: MediaCategory,
}

impl MessageMedia {
    /// The line that stands for it where it cannot be shown.
    pub fn line(&self) -> String {
        let kind = match self.content_type.split('/').next() {
            Some("image") => "image",
            Some("video") => "video",
            Some("audio") => "audio",
            _ => "file",
        };
        match &self.filename {
            Some(name) => format!("[{kind}: {name}]"),
            None => format!("[{kind}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Mint, compact, read_compact};

    #[test]
    fn a_hash_is_text_in_json_and_its_bytes_in_compact_rows() {
        let hash = ContentHash::new(std::array::from_fn(|place| place as u8 * 7));
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text, format!("\"{hash}\""));
        assert_eq!(serde_json::from_str::<ContentHash>(&text).unwrap(), hash);
        let row = compact(1, &hash);
        assert_eq!(row.len(), 33);
        assert_eq!(read_compact::<ContentHash>(&row[1..]).unwrap(), hash);
        let good = hash.to_string();
        assert_eq!(ContentHash::parse(&good), Some(hash));
        for bad in [&good[1..], &good.to_uppercase(), &good.replace('0', "+"), ""] {
            assert_eq!(ContentHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_record_keeps_what_a_newer_release_wrote() {
        let mint = Mint::seeded(1);
        let record = MediaRecord {
            sid: MediaSid::new(&mint),
            service: ServiceSid::new(&mint),
            content: ContentHash::new([3; 32]),
            size: 5,
            content_type: "image/png".to_owned(),
            filename: Some("cat.png".to_owned()),
            category: MediaCategory::Media,
            author: "system".to_owned(),
            created: Timestamp(1),
            updated: Timestamp(2),
            conversation: None,
            message: None,
            rest: serde_json::Map::new(),
        };
        let mut stored: serde_json::Value = serde_json::from_slice(&Json::encode(&record)).unwrap();
        stored["mood"] = true.into();
        stored.as_object_mut().unwrap().remove("category");
        let read = <MediaRecord as Json>::decode(stored.to_string().as_bytes()).unwrap();
        assert_eq!(read.named(), record.named());
        assert_eq!(read.rest["mood"], true);
        assert_eq!(record.named().line(), "[image: cat.png]");
    }
}
