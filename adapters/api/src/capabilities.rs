//! What a proxy address can do. Data, so that nobody outside an adapter asks which kind it is.

use std::time::Duration;

use crate::{Cause, Channel, MediaLimits, Typing};

/// What one proxy address can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    /// The network it lives on.
    pub channel: Channel,
    /// How much text one send may carry.
    pub text: TextLimit,
    /// Which statuses the provider tells.
    pub receipts: Receipts,
    /// The receipt's code for free text after the channel's window has shut (see [`Channel::window`]); `None` where
    /// the provider has none.
    pub shut: Option<u32>,
    /// How templates are taken.
    pub templates: Templates,
    /// Which files are taken; `None` for none at all, so that a link in a text stands for each.
    pub media: Option<MediaLimits>,
    /// How people are shown that somebody is writing to them; `None` where they are not. Such a request takes one of the
    /// permits of [`Capabilities::rate`], and only where another is left for a message.
    pub typing: Option<Typing>,
    /// Repeating a send with the same correlation text is harmless.
    pub idempotent: bool,
    /// It can carry group texts: everybody in them is told of every message at once, and sees the others. Whoever writes
    /// the first adapter that can also gives the contract what that takes, which nothing else needs: the other
    /// recipients in [`crate::Outbound`], so that one send reaches all of them and one receipt comes back for each; and
    /// the other recipients in [`crate::InboundMessage`], so that the set of those who write to each other names the
    /// conversation. None of ours can; the relay keeps the rules of such conversations all the same.
    pub group_texts: bool,
    /// Whether the STOP, START and HELP keywords are ours to handle here.
    pub keywords: bool,
    /// The rate when the operator sets none.
    pub rate: Rate,
    /// The limit per recipient, where the channel has one and the operator sets none.
    pub pair_rate: Option<Rate>,
}

/// How a provider takes templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Templates {
    /// Not at all: their text is sent like any other.
    Text,
    /// By the name and language they have on WhatsApp; those without, as text.
    Named,
    /// By their SID.
    Sid,
}

/// Which statuses come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// Delivery is told.
    pub delivered: bool,
    /// Reading is told.
    pub read: bool,
    /// Every status gives our correlation text back, and nothing else that comes from there names a send by its id: nobody
    /// quotes it or reacts to it. Then no id of a send has to lead to it.
    pub correlated: bool,
}

/// A rate: `burst` at once, then one every `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time between two permits once the burst is spent.
    pub period: Duration,
    /// Permits that may be spent at once.
    pub burst: u32,
}

impl Rate {
    /// So many a second.
    pub fn per_second(count: f64, burst: u32) -> Rate {
        Rate { period: Duration::from_secs_f64(1.0 / count.max(1e-6)), burst: burst.max(1) }
    }

    /// So many a minute.
    pub fn per_minute(count: f64, burst: u32) -> Rate {
        Rate::per_second(count / 60.0, burst)
    }
}

/// How much text one send may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimit {
    /// The most of `unit`.
    pub most: usize,
    /// What is counted.
    pub unit: TextUnit,
    /// What happens to longer text.
    pub over: OverLimit,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUnit {
    /// Unicode scalar values.
    Characters,
    /// Bytes of UTF-8.
    Bytes,
}

/// What happens to text over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// It goes out in several sends, broken at a line, a space, or between characters.
    Split,
    /// It fails with this code.
    Fail(u32),
}

impl TextLimit {
    /// The texts to send for this text, in order.
    ///
    /// # Errors
    /// The failure when the channel does not take longer text.
    pub fn pieces(&self, text: &str) -> Result<Vec<String>, Cause> {
        if self.measure(text) <= self.most {
            return Ok(vec![text.to_owned()]);
        }
        match self.over {
            OverLimit::Fail(code) => Err(Cause { code, text: format!("text is longer than {}", self.most) }),
            OverLimit::Split => Ok(self.split(text)),
        }
    }

    fn measure(&self, text: &str) -> usize {
        match self.unit {
            TextUnit::Characters => text.chars().count(),
            TextUnit::Bytes => text.len(),
        }
    }

    fn split(&self, text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while self.measure(rest) > self.most {
            let cut = self.cut(rest);
            let (piece, tail) = rest.split_at(cut);
            pieces.push(piece.trim_end().to_owned());
            rest = tail.trim_start_matches([' ', '\n']);
        }
        if !rest.is_empty() {
            pieces.push(rest.to_owned());
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// Where to break: at the last line end or space in the second half, else as late as fits.
    fn cut(&self, text: &str) -> usize {
        let mut used = 0;
        let mut end = text.len();
        for (at, character) in text.char_indices() {
            used += match self.unit {
                TextUnit::Characters => 1,
                TextUnit::Bytes => character.len_utf8(),
            };
            if used > self.most {
                // A limit below one character could never advance.
                end = if at == 0 { character.len_utf8() } else { at };
                break;
            }
        }
        let window = &text[..end];
        let late = |at: &usize| *at > end / 2;
        window.rfind('\n').filter(late).or_else(|| window.rfind(' ').filter(late)).unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn long_text_breaks_at_spaces_and_loses_no_word() {
        let limit = TextLimit { most: 20, unit: TextUnit::Characters, over: OverLimit::Split };
        let text = "one two three four five six seven eight nine ten";
        let pieces = limit.pieces(text).unwrap();
        assert!(pieces.iter().all(|piece| piece.chars().count() <= 20));
        assert_eq!(pieces.join(" "), text);
    }

    #[test]
    fn text_without_spaces_breaks_between_characters() {
        let limit = TextLimit { most: 4, unit: TextUnit::Bytes, over: OverLimit::Split };
        assert_eq!(limit.pieces("ééééé").unwrap(), ["éé", "éé", "é"]);
    }

    #[test]
    fn text_at_the_limit_is_one_piece_and_over_it_may_fail() {
        let limit = TextLimit { most: 3, unit: TextUnit::Characters, over: OverLimit::Fail(21617) };
        assert_eq!(limit.pieces("abc").unwrap(), ["abc"]);
        assert_eq!(limit.pieces("abcd").unwrap_err().code, 21617);
    }
}
