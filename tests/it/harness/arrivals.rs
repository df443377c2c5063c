//! What arrived for one person, and which of it came twice.

use std::time::Instant;

use super::Sent;

/// The metric of sends that may repeat an earlier one.
pub const DUPLICATES: &str = "trunkline_duplicate_sends_total";
/// What the daemon logs, and counts, right before it sends something that may have been sent before.
pub const REPEATING: &str = "Sending what may have been sent before";

/// A second arrival of the same text at the same person.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    pub first: Instant,
    pub again: Instant,
}

/// What arrived for one person: the texts in order without repeats, and the repeats. A repeat directly follows its
/// first: sends to one person wait for each other.
pub fn without_repeats(mut arrived: Vec<&Sent>) -> (Vec<String>, Vec<Repeat>) {
    arrived.sort_by_key(|sent| sent.at);
    let (mut texts, mut repeats, mut last): (Vec<String>, Vec<Repeat>, Option<Instant>) = Default::default();
    for sent in arrived {
        match last {
            Some(first) if texts.last().is_some_and(|text| text == sent.text()) => {
                repeats.push(Repeat { first, again: sent.at });
            }
            _ => texts.push(sent.text().to_owned()),
        }
        last = Some(sent.at);
    }
    (texts, repeats)
}

/// Which start excuses each repeat of one person: an unknown outcome needs a sudden end since the first arrival, and each
/// end excuses one. Nothing for those without an excuse.
pub fn excuses(repeats: &[Repeat], starts: &[Instant]) -> Vec<Option<usize>> {
    let mut after = 0;
    repeats
        .iter()
        .map(|repeat| {
            let found = starts
                .iter()
                .skip(after)
                .position(|start| repeat.first < *start && *start <= repeat.again)?;
            after += found + 1;
            Some(after - 1)
        })
        .collect()
}
