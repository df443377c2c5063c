//! Files that are got from providers.

use std::sync::Arc;

use metrics::{Counter, counter};

use super::names;
use super::series::Shelf;

/// How getting a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    Fetched,
    /// It was not had, this time or for good.
    Failed,
    /// Its URL leads where nobody may be sent.
    Refused,
}

impl FetchOutcome {
    const ALL: [FetchOutcome; 3] = [FetchOutcome::Fetched, FetchOutcome::Failed, FetchOutcome::Refused];

    fn name(self) -> &'static str {
        match self {
            FetchOutcome::Fetched => "fetched",
            FetchOutcome::Failed => "failed",
            FetchOutcome::Refused => "refused",
        }
    }
}

/// One adapter's counters in the order of `ALL`.
struct Series([Counter; FetchOutcome::ALL.len()]);

static ADAPTERS: Shelf<Series> = Shelf::new();

fn series(adapter: &str) -> Arc<Series> {
    ADAPTERS.of(adapter, || {
        Series(FetchOutcome::ALL.map(|outcome| {
            counter!(names::MEDIA_FETCHES, "adapter" => adapter.to_owned(), "outcome" => outcome.name())
        }))
    })
}

/// Makes an adapter's series exist with 0.
pub fn register(adapter: &str) {
    series(adapter).0.iter().for_each(|counter| counter.absolute(0));
}

/// A try to get a file ended.
pub fn fetched(adapter: &str, outcome: FetchOutcome) {
    series(adapter).0[outcome as usize].increment(1);
}
