//! What providers tell us.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Address, Class, Person, Timestamp};

/// One event of a provider. Its ids are the provider's own and unique per (kind, proxy address).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Inbound {
    /// Somebody wrote.
    Message(InboundMessage),
    /// Somebody changed what they wrote.
    Edit {
        /// The event's own id, for dropping repeats.
        id: String,
        /// The message that was changed.
        of: String,
        /// Who did it.
        from: Person,
        /// Our side.
        to: Address,
        /// What it says now.
        parts: Vec<Part>,
        /// When, by the provider's clock.
        at: Option<Timestamp>,
    },
    /// Somebody took back what they wrote.
    Deletion {
        /// The event's own id, for dropping repeats.
        id: String,
        /// The message that was taken back.
        of: String,
        /// Who did it.
        from: Person,
        /// Our side.
        to: Address,
        /// When, by the provider's clock.
        at: Option<Timestamp>,
    },
    /// Somebody reacted to a message.
    Reaction {
        /// The event's own id, for dropping repeats.
        id: String,
        /// The message reacted to.
        of: String,
        /// Who did it.
        from: Person,
        /// Our side.
        to: Address,
        /// The reaction; `None` takes it back.
        emoji: Option<String>,
        /// When, by the provider's clock.
        at: Option<Timestamp>,
    },
    /// A copy of something that left from our side: ours, or written by an agent in the provider's own inbox.
    Echo(Echo),
    /// How one send went.
    Status(StatusReport),
    /// Everything sent to this person up to a moment was delivered or read.
    Watermark {
        /// The person who got or read it.
        from: Person,
        /// Our side.
        to: Address,
        /// Delivered or read.
        status: DeliveryStatus,
        /// The moment, by the provider's clock.
        until: Timestamp,
    },
    /// Something that leaves no message.
    Signal {
        /// Who.
        from: Person,
        /// Our side.
        to: Address,
        /// What.
        signal: Signal,
    },
    /// One person is known by new addresses from now on.
    Identity {
        /// The names known so far.
        from: Person,
        /// Our side.
        to: Address,
        /// The new names.
        now: Vec<Address>,
    },
    /// The provider tells the operator something (account alerts, policy, thread control), or sent a kind we do not know.
    /// It is counted and its raw form kept.
    Notice {
        /// What it is about, from the provider's vocabulary.
        kind: String,
        /// The event as it came.
        raw: Value,
    },
}

/// A message from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The provider's id of the message.
    pub id: String,
    /// Who wrote.
    pub from: Person,
    /// The proxy address written to.
    pub to: Address,
    /// What it holds, in order.
    pub parts: Vec<Part>,
    /// The provider id of the message this one answers.
    pub reply_to: Option<String>,
    /// When, by the provider's clock.
    pub at: Option<Timestamp>,
}

/// A copy of a message from our side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo {
    /// The provider's id of the message.
    pub id: String,
    /// The proxy address it left from.
    pub from: Address,
    /// Who got it.
    pub to: Person,
    /// Our correlation text, when the message was ours.
    pub correlation: Option<String>,
    /// What it holds.
    pub parts: Vec<Part>,
    /// When, by the provider's clock: what watermarks compare with.
    pub at: Option<Timestamp>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text {
        /// The text itself.
        text: String,
    },
    /// A file, by reference.
    Media(MediaReference),
    /// A place.
    Location {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
        /// What the place is called.
        name: Option<String>,
        /// Its street address.
        address: Option<String>,
    },
    /// Address book entries.
    Contacts {
        /// One or more entries.
        contacts: Vec<Contact>,
    },
    /// A button, list row or quick reply that was tapped.
    Choice {
        /// What the person saw.
        text: String,
        /// What the application put behind it.
        payload: Option<String>,
    },
    /// Anything else the provider structures: an order, a referral, a shared post.
    Structured {
        /// The provider's name for it.
        kind: String,
        /// A line a person can read.
        summary: String,
        /// The original.
        raw: Value,
    },
    /// The provider could not give us the content, or its kind is unknown to us.
    Unsupported {
        /// The provider's name for it.
        kind: String,
        /// The original.
        raw: Value,
    },
}

/// A file at the provider. Fetching it is the media room's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaReference {
    /// What sort of file.
    pub kind: MediaKind,
    /// The provider's media id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where it can be had, if the provider gave a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// MIME type as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// File name as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Text shown with the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Digest as declared, in the provider's own encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Sorts of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Sound.
    Audio,
    /// A recorded voice note.
    Voice,
    /// Any other file.
    Document,
    /// A sticker.
    Sticker,
}

impl MediaKind {
    /// The word shown where the file itself cannot be.
    pub fn word(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
            MediaKind::Voice => "voice message",
            MediaKind::Document => "file",
            MediaKind::Sticker => "sticker",
        }
    }
}

/// An address book entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// The name to show.
    pub name: String,
    /// Phone numbers as written.
    pub phones: Vec<String>,
    /// The original, for a vCard later.
    pub raw: Value,
}

/// How far a send has come. The order is the order of progress, see [`DeliveryStatus::follows`], and part of the daemon's
/// stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// The provider has it.
    Sent,
    /// The person's device has it.
    Delivered,
    /// The person saw it.
    Read,
    /// The network would not deliver it.
    Undelivered,
    /// It never left, or the provider refused it.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Sent,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
        DeliveryStatus::Undelivered,
        DeliveryStatus::Failed,
    ];

    /// The word used in REST answers and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DeliveryStatus::Sent => "sent",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Read => "read",
            DeliveryStatus::Undelivered => "undelivered",
            DeliveryStatus::Failed => "failed",
        }
    }

    /// Whether a receipt at `before` may move to this status: forward only, and a failure that comes after a
    /// delivery is not believed.
    pub fn follows(self, before: Option<DeliveryStatus>) -> bool {
        use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
        match (before, self) {
            (None, _) => true,
            (Some(Failed | Undelivered | Read), _) => false,
            (Some(Sent), Sent) | (Some(Delivered), Sent | Delivered | Failed | Undelivered) => false,
            (Some(Sent), _) | (Some(Delivered), Read) => true,
        }
    }
}

/// How one send went, told later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The provider's id of the message.
    pub id: String,
    /// The proxy address it left from.
    pub from: Address,
    /// Our correlation text, where the provider gives it back.
    pub correlation: Option<String>,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Why it failed.
    pub error: Option<ProviderError>,
    /// Other addresses of the recipient that the report gives away.
    pub learned: Vec<Address>,
    /// When, by the provider's clock.
    pub at: Option<Timestamp>,
}

/// A provider's own code for a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderError {
    /// The code, as the provider documents it.
    pub code: u32,
    /// What kind of failure that is.
    pub class: Class,
    /// The provider's words, cut to a sane length.
    pub text: String,
}

/// What leaves no message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Signal {
    /// The person is typing.
    Typing,
    /// The provider itself took the person off the list (its own keyword handling).
    OptOut {
        /// The provider's id of the event.
        id: String,
    },
    /// The provider itself put the person back.
    OptIn {
        /// The provider's id of the event.
        id: String,
    },
    /// The person opened the chat, followed an advertisement or a link, or agreed to notifications.
    Opened {
        /// The provider's word for it.
        kind: String,
    },
}
