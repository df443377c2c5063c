//! How much of a lane's time went into waiting for its rate, so that relay times can leave it out.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_adapter::Timestamp;

/// Samples kept, about one a second: more than an hour.
const SAMPLES: usize = 4096;

/// The sum of waits over time.
#[derive(Default)]
pub(super) struct RateWaits {
    total: Duration,
    since: Option<Timestamp>,
    /// Sums at moments, oldest first.
    samples: VecDeque<(Timestamp, Duration)>,
}

impl RateWaits {
    /// Something could be sent if only there were a permit.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.since.is_none() {
            self.sample(now);
            self.since = Some(now);
        }
    }

    /// A permit came, or the wish went away. Says how long the wait was.
    pub(super) fn end(&mut self, now: Timestamp) -> Duration {
        let Some(since) = self.since.take() else { return Duration::ZERO };
        let waited = now.since(since);
        self.total += waited;
        self.sample(now);
        waited
    }

    /// Time spent waiting between a moment and now.
    pub(super) fn after(&self, from: Timestamp, now: Timestamp) -> Duration {
        let running = self.since.map_or(Duration::ZERO, |since| now.since(since));
        (self.total + running).saturating_sub(self.sum_at(from))
    }

    fn sum_at(&self, moment: Timestamp) -> Duration {
        let behind = self.samples.partition_point(|(at, _)| *at <= moment);
        let (Some(before), Some(after)) =
            (behind.checked_sub(1).and_then(|i| self.samples.get(i)), self.samples.get(behind))
        else {
            // Before the first sample nothing is known, after the last one nothing was waited.
            return if behind == 0 {
                self.samples.front().map_or(self.total, |(_, sum)| *sum)
            } else {
                self.total
            };
        };
        let share = moment.since(before.0).as_secs_f64() / after.0.since(before.0).as_secs_f64().max(1e-9);
        before.1 + (after.1 - before.1).mul_f64(share.clamp(0.0, 1.0))
    }

    fn sample(&mut self, now: Timestamp) {
        let close = |at: &(Timestamp, Duration)| now.since(at.0) < Duration::from_secs(1);
        // Between two kept samples the newest one moves along, so that the present is always exact.
        if self.samples.len() >= 2 && self.samples.get(self.samples.len() - 2).is_some_and(close) {
            self.samples.pop_back();
        }
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, self.total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_between_two_moments_are_summed() {
        let at = Timestamp::from_seconds;
        let mut waits = RateWaits::default();
        waits.begin(at(10));
        assert_eq!(waits.end(at(14)), Duration::from_secs(4));
        waits.begin(at(20));
        waits.end(at(22));
        assert_eq!(waits.after(at(5), at(30)), Duration::from_secs(6));
        assert_eq!(waits.after(at(12), at(30)), Duration::from_secs(4), "half of the first wait");
        assert_eq!(waits.after(at(25), at(30)), Duration::ZERO);
        waits.begin(at(30));
        assert_eq!(waits.after(at(25), at(33)), Duration::from_secs(3));
    }
}
