//! What leaves, and how that went.

use std::time::Duration;

use crate::{Address, MediaFile, Timestamp};

/// One request to a provider: one part of one message to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The proxy address it leaves from.
    pub from: Address,
    /// The address it goes to.
    pub to: Address,
    /// Other addresses of the same person; a provider may prefer one of them.
    pub aliases: Vec<Address>,
    /// What to send.
    pub content: Content,
    /// Our own text that the provider is asked to give back with every status, at most 200 visible ASCII characters.
    pub correlation: String,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text within the channel's limit (see [`crate::TextLimit`]).
    Text {
        /// The text itself.
        body: String,
    },
    /// A text that was approved beforehand, for channels that take free text for a while only.
    Template(Template),
    /// A file within the channel's limits (see [`crate::MediaLimits`]).
    Media(MediaFile),
}

impl Content {
    /// What a person reads: the text itself, that of the template with its blanks filled in, or the file's caption.
    pub fn text(&self) -> &str {
        match self {
            Content::Text { body } => body,
            Content::Template(template) => &template.text,
            Content::Media(file) => file.caption.as_deref().unwrap_or_default(),
        }
    }
}

/// A template with what goes into its blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The template's SID, `HX…`.
    pub sid: String,
    /// What goes into the blanks, in their order: numbers first, then names.
    pub variables: Vec<(String, String)>,
    /// Name and language by which WhatsApp knows it.
    pub named: Option<(String, String)>,
    /// The text with its blanks filled in.
    pub text: String,
}

/// How a send ended. A value, not an error: the lane's behaviour is a `match` on it.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it. That is not delivery: statuses follow.
    Accepted {
        /// The provider's id of the message.
        id: String,
        /// Other addresses of the recipient that the answer gives away.
        learned: Vec<Address>,
        /// When, by the provider's clock, if it says.
        at: Option<Timestamp>,
    },
    /// Not taken, and worth another try.
    Retryable {
        /// The provider's wish for the next try.
        after: Option<Duration>,
        /// How many tries make sense in all; `None` until the message expires.
        tries: Option<u32>,
        /// Why.
        cause: Cause,
    },
    /// Not taken: too fast.
    Throttled {
        /// The provider's wish for the next try.
        after: Option<Duration>,
        /// What must slow down.
        scope: Scope,
        /// Why.
        cause: Cause,
    },
    /// Refused for good, or until somebody acts.
    Rejected {
        /// Who must act.
        blame: Blame,
        /// Why.
        cause: Cause,
    },
    /// The request left and no usable answer came: nobody knows whether it was taken.
    Unknown {
        /// What was seen.
        cause: Cause,
    },
}

/// Why, in the provider's code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The code for the receipt; 0 where the provider gave none.
    pub code: u32,
    /// For logs and `lanes`. No secrets, no addresses, no message text.
    pub text: String,
}

impl Cause {
    /// A cause without a provider's code.
    pub fn new(text: impl Into<String>) -> Cause {
        Cause { code: 0, text: text.into() }
    }
}

/// What a throttle applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The proxy address.
    Lane,
    /// This recipient only.
    Recipient,
    /// Everything of the provider account.
    Account,
}

/// Who must act on a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The message: another text might pass.
    Message,
    /// The file in it: its type or size is not taken here. A text with a link to it might pass.
    File,
    /// The recipient: gone, invalid, blocked us, window shut.
    Recipient,
    /// The operator: credentials, configuration, account. Holds the lane, fails nothing.
    Operator,
}
