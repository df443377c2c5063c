//! Sends that did not go well: the trace that a queue row and then its receipt keep of them. A message that leaves at the
//! first try has none.

use serde::{Deserialize, Serialize};
use trunkline_adapter::{Outcome, Timestamp};

/// One request to a provider that was not the end of it, or a bad one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Timestamp,
    pub end: AttemptEnd,
    /// The provider's code, 0 where it gave none.
    pub code: u32,
    /// The provider's words, cut short.
    pub text: String,
}

/// How it ended. The order is part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    Retryable,
    Throttled,
    Rejected,
    Unknown,
    /// The provider did not take the file of this part: it goes as a link from here on.
    FileRefused,
}

impl AttemptEnd {
    pub fn name(self) -> &'static str {
        match self {
            AttemptEnd::Retryable => "retryable",
            AttemptEnd::Throttled => "throttled",
            AttemptEnd::Rejected => "rejected",
            AttemptEnd::Unknown => "unknown",
            AttemptEnd::FileRefused => "file_refused",
        }
    }
}

/// The newest that are kept.
const MOST: usize = 8;
/// Bytes of the provider's words.
const MOST_TEXT: usize = 120;

impl Attempt {
    /// What is kept of an outcome; nothing of a good one.
    pub fn of(outcome: &Outcome, at: Timestamp) -> Option<Attempt> {
        let (end, cause) = match outcome {
            Outcome::Accepted { .. } => return None,
            Outcome::Retryable { cause, .. } => (AttemptEnd::Retryable, cause),
            Outcome::Throttled { cause, .. } => (AttemptEnd::Throttled, cause),
            Outcome::Rejected { cause, .. } => (AttemptEnd::Rejected, cause),
            Outcome::Unknown { cause } => (AttemptEnd::Unknown, cause),
        };
        let mut text = cause.text.clone();
        text.truncate(text.floor_char_boundary(MOST_TEXT));
        Some(Attempt { at, end, code: cause.code, text })
    }

    /// Adds attempts to a trace, of which the newest stay, and the newest refusal of a file: what is done next depends on it.
    pub fn remember(trace: &mut Vec<Attempt>, more: impl IntoIterator<Item = Attempt>) {
        trace.extend(more);
        let over = trace.len().saturating_sub(MOST);
        if over == 0 {
            return;
        }
        let refusal = trace[..over].iter().rposition(Attempt::file_refused);
        let refusal = refusal.filter(|_| !trace[over..].iter().any(Attempt::file_refused));
        match refusal {
            Some(at) => {
                trace.swap(at, over);
                trace.drain(..over);
            }
            None => {
                trace.drain(..over);
            }
        }
    }

    /// Whether a file was refused by this one.
    pub fn file_refused(&self) -> bool {
        self.end == AttemptEnd::FileRefused
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use trunkline_adapter::Cause;

    #[test]
    fn a_trace_is_bounded_and_of_what_went_badly() {
        let good = Outcome::Accepted { id: "1".to_owned(), learned: Vec::new(), at: None };
        assert_eq!(Attempt::of(&good, Timestamp(1)), None);
        let mut trace = Vec::new();
        for n in 0..20u32 {
            let cause = Cause { code: n, text: "ü".repeat(100) };
            Attempt::remember(&mut trace, Attempt::of(&Outcome::Unknown { cause }, Timestamp(1)));
        }
        assert_eq!(trace.iter().map(|one| one.code).collect::<Vec<_>>(), (12..20).collect::<Vec<_>>());
        assert!(trace.iter().all(|one| one.text.len() == 120 && one.end == AttemptEnd::Unknown));
    }

    #[test]
    fn the_refusal_of_a_file_outlives_what_comes_after_it() {
        let attempt = |end, code| Attempt { at: Timestamp(1), end, code, text: String::new() };
        let mut trace = vec![attempt(AttemptEnd::Retryable, 0), attempt(AttemptEnd::FileRefused, 1)];
        for code in 2..30 {
            Attempt::remember(&mut trace, [attempt(AttemptEnd::Retryable, code)]);
        }
        let codes: Vec<u32> = trace.iter().map(|one| one.code).collect();
        assert_eq!(codes, [1, 23, 24, 25, 26, 27, 28, 29]);
    }
}
