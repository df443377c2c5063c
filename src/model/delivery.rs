//! Deliveries: what a message starts for each outside participant, and the text by which a provider's answer finds it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkline_adapter::Address;

use super::{Compact, ConversationSid, ParticipantSid, ReceiptSid};

/// One recipient of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub participant: ParticipantSid,
    pub receipt: ReceiptSid,
}

/// The payload of an outbound queue row. It carries names only; the message itself is read when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dispatch {
    /// A message for a participant.
    Message {
        conversation: ConversationSid,
        index: u64,
        participant: ParticipantSid,
        receipt: ReceiptSid,
        /// Provider ids of the parts that have already left.
        sent: Vec<String>,
        /// A send was begun and its end never written down.
        begun: bool,
    },
    /// A text of ours outside any conversation: the answer to STOP, START or HELP. Goes to opted-out people too.
    Notice { text: String },
    /// A text of the application outside any conversation. Goes to nobody who opted out, and has no receipt.
    Reply {
        text: String,
        /// Parts that have already left.
        sent: u32,
    },
}

/// What an outbound row comes to, as it was when its message was committed: told along with the row, so that a lane that
/// is free sends it without reading anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub text: Arc<str>,
    pub to: Address,
    pub aliases: Vec<Address>,
    /// The number of the message's row, and the one that created it.
    pub message: u64,
    pub born: u64,
    /// It is believed as long as this holds.
    pub standing: Standing,
}

impl Letter {
    /// Longer texts are read when they are sent: letters are kept for thousands of recipients.
    pub const LONGEST: usize = 1024;
}

/// How often anything of some conversations was altered or removed, as opposed to added, up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub group: u32,
    pub altered: u64,
}

impl Compact for Dispatch {
    const NAME: &'static str = "outbound queue row";
}

/// What we ask a provider to give back with every status, so that one that comes before we stored the provider's id
/// still finds its receipt. Our own text, at most 200 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    pub conversation: ConversationSid,
    pub index: u64,
    pub participant: ParticipantSid,
    pub receipt: ReceiptSid,
    /// Which part of the message, from 0.
    pub part: u32,
    /// Of how many; 0 where nobody said. Whoever hears of the first part must not take it for the whole.
    pub parts: u32,
}

impl Correlation {
    pub fn encode(&self) -> String {
        let Correlation { conversation, index, participant, receipt, part, parts } = self;
        format!("{conversation}.{index}.{participant}.{receipt}.{part}.{parts}")
    }

    pub fn decode(text: &str) -> Option<Correlation> {
        let mut fields = text.split('.');
        let correlation = Correlation {
            conversation: ConversationSid::parse(fields.next()?)?,
            index: fields.next()?.parse().ok()?,
            participant: ParticipantSid::parse(fields.next()?)?,
            receipt: ReceiptSid::parse(fields.next()?)?,
            part: fields.next()?.parse().ok()?,
            parts: fields.next().map_or(Some(0), |parts| parts.parse().ok())?,
        };
        fields.next().is_none().then_some(correlation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mint;

    #[test]
    fn correlation_comes_back_and_rubbish_does_not() {
        let mint = Mint::seeded(7);
        let correlation = Correlation {
            conversation: ConversationSid::new(&mint),
            index: 12,
            participant: ParticipantSid::new(&mint),
            receipt: ReceiptSid::new(&mint),
            part: 1,
            parts: 3,
        };
        let text = correlation.encode();
        assert!(text.len() <= 200);
        assert_eq!(Correlation::decode(&text), Some(correlation.clone()));
        let older = text.rsplit_once('.').map(|(before, _)| before);
        assert_eq!(older.and_then(Correlation::decode), Some(Correlation { parts: 0, ..correlation }));
        for rubbish in ["", "....", "CH.1.MB.DY.0", &format!("{text}.0"), &text[1..]] {
            assert_eq!(Correlation::decode(rubbish), None, "{rubbish}");
        }
    }
}
