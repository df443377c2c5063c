//! When a busy committer begins its next group. A group costs a sync and some thirty microseconds of a processor whatever
//! is in it, so those who come many at a time wait for each other; who comes alone waits for nobody.

use std::time::{Duration, Instant};

/// From the beginning of one group to that of the next, while they are large.
const BETWEEN: Duration = Duration::from_millis(1);
/// Batches from which a group is large.
const LARGE: usize = 8;

/// The group before.
#[derive(Default)]
pub struct Pace {
    begun: Option<Instant>,
    batches: usize,
}

impl Pace {
    /// How long the next group is to wait for more.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let begun = self.begun.filter(|_| self.batches >= LARGE)?;
        BETWEEN.checked_sub(now.duration_since(begun)).filter(|wait| !wait.is_zero())
    }

    pub fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    /// The group has no more batches than these.
    pub fn gathered(&mut self, batches: usize) {
        self.batches = batches;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn only_those_behind_a_large_group_wait_and_never_longer_than_the_pace() {
        let start = Instant::now();
        let after = |micros| start + Duration::from_micros(micros);
        let mut pace = Pace::default();
        assert_eq!(pace.wait(start), None, "nothing was written yet");
        pace.begin(start);
        pace.gathered(LARGE - 1);
        assert_eq!(pace.wait(after(1)), None);
        pace.gathered(LARGE);
        assert_eq!(pace.wait(after(300)), Some(Duration::from_micros(700)));
        assert_eq!(pace.wait(after(1_000)), None);
        assert_eq!(pace.wait(after(5_000)), None, "they waited for the disk already");
    }
}
