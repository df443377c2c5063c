//! Messages.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkline_adapter::{Address, Part, Timestamp};

use super::codec::{compact, read_compact};
use super::{Compact, DecodeError, Delivery, MessageMedia, MessageSid, ParticipantSid};

/// A message of a conversation. Its index is in its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    pub sid: MessageSid,
    pub author: String,
    pub participant: Option<ParticipantSid>,
    pub body: Option<String>,
    /// JSON text.
    pub attributes: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Who it was relayed to; their receipts are rows of their own once something is known.
    pub deliveries: Vec<Delivery>,
    /// JSON of the parts beyond plain text, as the provider gave them; empty when there are none.
    pub parts: Vec<u8>,
    /// The index of the message this one answers.
    pub reply_to: Option<u64>,
    /// Where it came from, if a provider brought it.
    pub source: Option<Source>,
    /// The template it was made from. A message without one is stored as it always was.
    #[serde(skip)]
    pub template: Option<Box<Templated>>,
    /// The files it carries, in their order. A message without any is stored as it always was.
    #[serde(skip)]
    pub media: Vec<MessageMedia>,
    /// What few messages have. One without it is stored as it always was.
    #[serde(skip)]
    pub further: Option<Box<Further>>,
}

/// What a message may have besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Further {
    /// What it is about. No channel here carries one, so only those who read the conversation see it.
    pub subject: Option<String>,
    /// Who changed it last, if that was not its author.
    pub updated_by: Option<String>,
}

impl Further {
    /// Nothing where there is nothing to tell.
    pub fn of(subject: Option<String>, updated_by: Option<String>) -> Option<Box<Further>> {
        let further = Further { subject, updated_by };
        (further != Further::default()).then(|| Box::new(further))
    }
}

/// What a message owes to a template. Whole, so that what was posted is sent whatever becomes of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Templated {
    pub sid: String,
    /// What went into its blanks, in their order: numbers first, then names.
    pub variables: Vec<(String, String)>,
    /// Name and language by which WhatsApp knows it.
    pub named: Option<(String, String)>,
    /// Its text with the blanks filled in.
    pub text: String,
}

/// The format of a message with its template behind it.
const TEMPLATED: u8 = 2;
/// The format of a message with its files behind it, and its template between the two if it has one.
const WITH_MEDIA: u8 = 3;
/// The format of a message with what few have behind all of that.
const WITH_FURTHER: u8 = 4;

/// A provider's name for a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The adapter's kind.
    pub kind: String,
    pub proxy: Address,
    pub id: String,
}

impl Compact for MessageRecord {
    const NAME: &'static str = "message";

    fn encode(&self) -> Bytes {
        if let Some(further) = &self.further {
            return compact(WITH_FURTHER, &(self, &self.template, &self.media, further));
        }
        match &self.template {
            template if !self.media.is_empty() => compact(WITH_MEDIA, &(self, template, &self.media)),
            None => compact(Self::FORMAT, self),
            Some(template) => compact(TEMPLATED, &(self, template)),
        }
    }

    fn decode(payload: &[u8]) -> Result<MessageRecord, DecodeError> {
        let record = match payload.split_first() {
            Some((&Self::FORMAT, rest)) => read_compact(rest),
            Some((&TEMPLATED, rest)) => read_compact(rest)
                .map(|(record, template)| MessageRecord { template: Some(Box::new(template)), ..record }),
            Some((&WITH_MEDIA, rest)) => read_compact(rest).map(|(record, template, media)| {
                let record: MessageRecord = record;
                MessageRecord { template, media, ..record }
            }),
            Some((&WITH_FURTHER, rest)) => read_compact(rest).map(|(record, template, media, further)| {
                let record: MessageRecord = record;
                MessageRecord { template, media, further: Some(further), ..record }
            }),
            Some((format, _)) => Err(format!("unknown format {format}")),
            None => Err("it is empty".to_owned()),
        };
        record.map_err(|reason| DecodeError { what: Self::NAME, reason })
    }
}

impl MessageRecord {
    /// What it is about.
    pub fn subject(&self) -> Option<&str> {
        self.further.as_ref()?.subject.as_deref()
    }

    /// Who changed it last, or else wrote it.
    pub fn updated_by(&self) -> &str {
        self.further.as_ref().and_then(|further| further.updated_by.as_deref()).unwrap_or(&self.author)
    }

    /// The parts beyond plain text.
    pub fn parts(&self) -> Vec<Part> {
        serde_json::from_slice(&self.parts).unwrap_or_default()
    }

    /// The text a recipient on a text-only channel gets: the body, or a line that says what else there was.
    pub fn relayed_text(&self) -> String {
        relayed_text(self.body.as_deref(), &self.parts, &self.media)
    }
}

/// As [`MessageRecord::relayed_text`], of a message that is not one yet.
pub fn relayed_text(body: Option<&str>, parts: &[u8], media: &[MessageMedia]) -> String {
    match body {
        Some(body) if !body.is_empty() => body.to_owned(),
        _ => describe(&serde_json::from_slice::<Vec<Part>>(parts).unwrap_or_default())
            .unwrap_or_else(|| media.iter().map(MessageMedia::line).collect::<Vec<_>>().join("\n")),
    }
}

/// The body of a message made of these parts: its text, captions and choices, a line each.
pub fn body(parts: &[Part]) -> Option<String> {
    let lines: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text { text } | Part::Choice { text, .. } => Some(text.as_str()),
            Part::Media(media) => media.caption.as_deref(),
            Part::Structured { summary, .. } => Some(summary.as_str()),
            Part::Location { .. } | Part::Contacts { .. } | Part::Unsupported { .. } => None,
        })
        .filter(|line| !line.is_empty())
        .collect();
    let mut text = lines.join("\n");
    text.truncate(text.floor_char_boundary(MOST_BODY));
    (!text.is_empty()).then_some(text)
}

/// What parts without text are called where they cannot be shown.
pub fn describe(parts: &[Part]) -> Option<String> {
    let lines: Vec<String> = parts
        .iter()
        .map(|part| match part {
            Part::Text { text } | Part::Choice { text, .. } => text.clone(),
            Part::Media(media) => match &media.filename {
                Some(name) => format!("[{}: {name}]", media.kind.word()),
                None => format!("[{}]", media.kind.word()),
            },
            Part::Location { latitude, longitude, name, .. } => match name {
                Some(name) => format!("{name}: https://maps.google.com/?q={latitude},{longitude}"),
                None => format!("https://maps.google.com/?q={latitude},{longitude}"),
            },
            Part::Contacts { contacts } => contacts
                .iter()
                .map(|contact| format!("{} {}", contact.name, contact.phones.join(", ")))
                .collect::<Vec<_>>()
                .join("\n"),
            Part::Structured { summary, .. } => summary.clone(),
            Part::Unsupported { .. } => "[unsupported message]".to_owned(),
        })
        .filter(|line| !line.is_empty())
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The parts worth keeping beside the body, as JSON; empty for plain text.
pub fn kept_parts(parts: &[Part]) -> Vec<u8> {
    let kept: Vec<&Part> = parts.iter().filter(|part| !matches!(part, Part::Text { .. })).collect();
    if kept.is_empty() {
        return Vec::new();
    }
    let kept = serde_json::to_vec(&kept).unwrap_or_default();
    if kept.len() <= MOST_KEPT {
        return kept;
    }
    let instead = Part::Unsupported { kind: "too_large".to_owned(), raw: serde_json::Value::Null };
    serde_json::to_vec(&[instead]).unwrap_or_default()
}

/// The most bytes of a message's text that are kept; far above what any channel carries, and far below what one
/// commit takes.
pub const MOST_BODY: usize = 256 * 1024;
/// The most bytes of a message's other parts that are kept.
pub const MOST_KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Mint;

    #[test]
    fn few_have_more_and_all_others_are_stored_as_ever() {
        let plain = MessageRecord {
            sid: MessageSid::new(&Mint::seeded(1)),
            author: "ana".to_owned(),
            participant: None,
            body: Some("hi".to_owned()),
            attributes: "{}".to_owned(),
            created: Timestamp(1),
            updated: Timestamp(2),
            deliveries: Vec::new(),
            parts: Vec::new(),
            reply_to: None,
            source: None,
            template: None,
            media: Vec::new(),
            further: None,
        };
        assert_eq!(Further::of(None, None), None);
        assert_eq!((plain.encode()[0], plain.updated_by(), plain.subject()), (1, "ana", None));
        let told = Templated {
            sid: "HX1".to_owned(),
            variables: vec![("1".to_owned(), "x".to_owned())],
            named: None,
            text: "hi x".to_owned(),
        };
        let further = Further::of(Some("order 17".to_owned()), Some("bob".to_owned()));
        for template in [None, Some(Box::new(told))] {
            let more = MessageRecord { template, further: further.clone(), ..plain.clone() };
            let payload = more.encode();
            assert_eq!(payload[0], WITH_FURTHER);
            let read = MessageRecord::decode(&payload).unwrap();
            assert_eq!((read.updated_by(), read.subject()), ("bob", Some("order 17")));
            assert_eq!(read, more);
        }
    }
}
