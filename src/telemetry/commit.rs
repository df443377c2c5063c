//! What the committer tells.

use std::time::Duration;

use metrics::{counter, histogram};

use super::names;

/// Makes the committer's series exist at zero.
pub fn register() {
    for name in [names::COMMIT_DURATION, names::COMMIT_BATCH] {
        let _ = histogram!(name);
    }
    counter!(names::COMMIT_CONFLICTS).increment(0);
}

/// One group of batches was written and synced together.
pub fn committed(took: Duration, batches: usize) {
    histogram!(names::COMMIT_DURATION).record(took.as_secs_f64());
    histogram!(names::COMMIT_BATCH).record(batches as f64);
}

/// A batch found that a row it relied on had changed.
pub fn conflict() {
    counter!(names::COMMIT_CONFLICTS).increment(1);
}
