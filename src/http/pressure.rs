//! How many requests are let in at once, so that those that are let in are answered soon.
//!
//! A fixed bound is a guess about a machine: where answers take longer than usual, as many as the bound allows wait for each
//! other, and all of them are late. So the bound gives way as soon as answers are slow, and comes back when they are not.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// An answer that takes longer says that too many are inside.
const SLOW: Duration = Duration::from_millis(30);
/// What a slow answer takes off, where a quick one adds one: one slow answer in twenty is where the two are even.
const STEP_DOWN: usize = 19;
/// However slow answers are, so many are let in: a disk that is slow is used best by many at once.
const FEWEST: usize = 64;

/// The bound of a listener.
#[derive(Debug)]
pub(super) struct Pressure {
    most: usize,
    allowed: AtomicUsize,
}

impl Pressure {
    pub(super) fn new(most: usize) -> Pressure {
        Pressure { most, allowed: AtomicUsize::new(most) }
    }

    /// Whether one may stay who has come in as the last of so many.
    pub(super) fn admits(&self, inside: usize) -> bool {
        inside <= self.allowed.load(Relaxed)
    }

    /// A request was answered in this time, when so many were inside.
    pub(super) fn answered(&self, inside: usize, took: Duration) {
        // Two at once may overwrite each other's step; the next answer makes up for it.
        let allowed = self.allowed.load(Relaxed);
        let next = if took > SLOW {
            // Who is slow while the house is nearly empty is slow for a reason of their own.
            if inside * 2 < allowed {
                allowed
            } else {
                allowed.saturating_sub(STEP_DOWN).max(FEWEST.min(self.most))
            }
        } else {
            (allowed + 1).min(self.most)
        };
        if next != allowed {
            self.allowed.store(next, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);
    const LATE: Duration = Duration::from_millis(400);

    #[test]
    fn slow_answers_let_fewer_in_and_quick_ones_more_again() {
        let pressure = Pressure::new(1024);
        assert!(pressure.admits(1024) && !pressure.admits(1025));
        (0..1000).for_each(|_| pressure.answered(1024, LATE));
        assert!(pressure.admits(FEWEST) && !pressure.admits(FEWEST + 1), "never less than the fewest");
        (0..2000).for_each(|_| pressure.answered(64, QUICK));
        assert!(pressure.admits(1024) && !pressure.admits(1025), "never more than the most");
    }

    #[test]
    fn one_who_is_slow_alone_takes_nothing_off() {
        let pressure = Pressure::new(1024);
        (0..1000).for_each(|_| pressure.answered(3, LATE));
        assert!(pressure.admits(1024));
    }

    #[test]
    fn a_small_bound_stays_what_it_is() {
        let pressure = Pressure::new(1);
        (0..10).for_each(|_| pressure.answered(1, LATE));
        assert!(pressure.admits(1) && !pressure.admits(2));
    }
}
