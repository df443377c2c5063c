//! Permits to send: one per request to a provider, for the lane and, where a channel has such a limit, per recipient.
//!
//! The buckets are `governor`'s, on our clock, and start *empty*: after a start or a changed rate nobody knows what was
//! sent just before, so the burst counts as spent. The same holds per recipient: a bucket that is first needed later is
//! made with what could have come back since. Beside each bucket its own arithmetic is mirrored (`tat`, the moment at
//! which it will be full again), because a peek that takes nothing is what lets a lane prepare a send before it asks.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use trunkline_adapter::{Clock, Rate};

/// Requests leave at slightly less than the rate, so that the jitter of the way to the provider does not push two of
/// them into one period of its clock.
const STRETCH: f64 = 1.01;

/// A lane that waits for a permit is woken a little after its moment, and reads the message before it asks. Without
/// this much forgiven, lateness would add up where the burst is too small to catch up from: fifty a second at once would
/// become forty-five. It is half of what [`STRETCH`] keeps back in each second, so no window of a second or more is
/// above the rate for it...
const GRACE: Duration = Duration::from_millis(5);
/// ...and no more than this part of a period, so that it never comes near another permit.
const GRACE_PART: u32 = 4;

/// The moment at which governor is asked: the present, or up to the grace before it.
#[derive(Clone, Debug)]
struct Moment(Arc<AtomicU64>);

impl Moment {
    fn at(moment: Duration) -> Moment {
        Moment(Arc::new(AtomicU64::new(nanos(moment))))
    }

    fn set(&self, moment: Duration) {
        self.0.store(nanos(moment), Ordering::Relaxed);
    }
}

impl GovernorClock for Moment {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// More than five centuries fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Moment, NoOpMiddleware<Duration>>;

/// One bucket. Times are those of [`Clock::elapsed`].
pub(super) struct Bucket {
    rate: Rate,
    limiter: Limiter,
    moment: Moment,
    clock: Clock,
    period: Duration,
    burst: u32,
    full_at: Duration,
    /// The end of the last wait that was asked for.
    refused_until: Option<Duration>,
}

impl Bucket {
    /// A bucket whose burst was spent `ago`.
    fn spent(rate: Rate, clock: Clock, ago: Duration) -> Bucket {
        let period = stretched(rate);
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        // `with_period` only refuses a period of zero, which `stretched` rules out.
        let quota =
            Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let now = clock.elapsed();
        let moment = Moment::at(now);
        let limiter = RateLimiter::direct_with_clock(quota, moment.clone());
        let back = u32::try_from(ago.as_nanos() / period.as_nanos().max(1)).unwrap_or(u32::MAX);
        let mut bucket = Bucket {
            rate,
            limiter,
            moment,
            clock,
            period,
            burst: burst.get(),
            full_at: now,
            refused_until: None,
        };
        if let Some(gone) = NonZeroU32::new(burst.get().saturating_sub(back)) {
            // A new bucket is full and nobody else has it, so this cannot be refused.
            let _ = bucket.limiter.check_n(gone);
            bucket.full_at = now + period * gone.get();
        }
        bucket
    }

    /// A bucket whose burst was spent just now.
    pub(super) fn empty(rate: Rate, clock: Clock) -> Bucket {
        Bucket::spent(rate, clock, Duration::ZERO)
    }

    /// The rate it was made for.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next permit can be had, or since when.
    pub(super) fn earliest(&self) -> Duration {
        self.full_at.saturating_sub(self.period * (self.burst - 1))
    }

    /// When the next permit can be had that leaves so many for others. Those are taken `now` at the earliest: what came
    /// back since the bucket was full again is lost, and nobody may count on it. The caller's `now`, since time goes on:
    /// a bucket of one would never be found full by a clock that is read twice.
    pub(super) fn earliest_behind(&self, others: u32, now: Duration) -> Duration {
        let full_at = self.full_at.max(now);
        (full_at + self.period * others).saturating_sub(self.period * (self.burst - 1))
    }

    /// Takes a permit where another can be had at once afterwards, or says when to ask again.
    pub(super) fn take_spare(&mut self) -> Result<(), Duration> {
        let now = self.clock.elapsed();
        let until = self.earliest_behind(1, now);
        if until > now { Err(until) } else { self.take() }
    }

    /// Takes a permit, or says when to ask again.
    pub(super) fn take(&mut self) -> Result<(), Duration> {
        let now = self.clock.elapsed();
        // As if asked when the permit came, unless that is too long ago; never before it came.
        let moment = self.earliest().clamp(now.saturating_sub(grace(self.period)), now);
        self.moment.set(moment);
        match self.limiter.check() {
            Ok(()) => {
                self.full_at = self.full_at.max(moment) + self.period;
                Ok(())
            }
            Err(until) => {
                let until = until.earliest_possible();
                self.refused_until = Some(until);
                Err(until)
            }
        }
    }
}

fn stretched(rate: Rate) -> Duration {
    rate.period.mul_f64(STRETCH).max(Duration::from_nanos(1))
}

fn grace(period: Duration) -> Duration {
    GRACE.min(period / GRACE_PART)
}

/// The limits per recipient of one lane.
pub(super) struct Pairs {
    rate: Rate,
    clock: Clock,
    since: Duration,
    buckets: HashMap<Arc<str>, Bucket>,
    sweep_at: usize,
}

impl Pairs {
    /// Every recipient's burst counts as spent now.
    pub(super) fn empty(rate: Rate, clock: Clock) -> Pairs {
        Pairs { rate, clock, since: clock.elapsed(), buckets: HashMap::new(), sweep_at: 256 }
    }

    /// The rate they were made for.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a permit for a recipient, or says when to ask again.
    pub(super) fn take(&mut self, recipient: &Arc<str>) -> Result<(), Duration> {
        let now = self.clock.elapsed();
        if self.buckets.len() >= self.sweep_at {
            // A bucket that is full again is no different from one that was never made.
            self.buckets.retain(|_, bucket| bucket.full_at + GRACE > now);
            self.sweep_at = (self.buckets.len() * 2).max(256);
        }
        let ago = now.saturating_sub(self.since);
        let (rate, clock) = (self.rate, self.clock);
        self.buckets.entry(Arc::clone(recipient)).or_insert_with(|| Bucket::spent(rate, clock, ago)).take()
    }

    /// Until when a recipient was last made to wait.
    pub(super) fn waited_until(&self, recipient: &str) -> Option<Duration> {
        self.buckets.get(recipient)?.refused_until
    }

    /// Recipients remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use trunkline_adapter::Timestamp;

    /// No run of sends may exceed the burst plus what comes back in its time and the grace.
    fn within(rate: Rate, sends: &[Duration]) -> bool {
        sends.iter().enumerate().all(|(first, start)| {
            sends[first..].iter().enumerate().all(|(more, end)| {
                let span = (*end - *start + grace(stretched(rate))).as_nanos() / rate.period.as_nanos();
                (more as u128) < u128::from(rate.burst) + span
            })
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_window_is_above_the_rate_over_any_restarts(
            burst in 1u32..8,
            period in 10u64..1_000,
            // Idle times in milliseconds before each send; every now and then the bucket is made anew.
            plan in proptest::collection::vec((0u64..3_000, 0u8..10), 1..120),
        ) {
            let rate = Rate { period: Duration::from_millis(period), burst };
            let sends = runtime().block_on(async {
                let clock = Clock::at(Timestamp(0));
                let mut bucket = Bucket::empty(rate, clock);
                let mut sends = Vec::new();
                for (idle, restart) in plan {
                    if idle > 1_500 {
                        tokio::time::advance(Duration::from_millis(idle - 1_500)).await;
                    }
                    if restart == 0 {
                        bucket = Bucket::empty(rate, clock);
                    }
                    assert_eq!(bucket.earliest() <= clock.elapsed(), bucket.limiter_would_allow());
                    while let Err(at) = bucket.take() {
                        assert_eq!(at, bucket.earliest());
                        tokio::time::advance(at - clock.elapsed()).await;
                    }
                    sends.push(clock.elapsed());
                }
                sends
            });
            prop_assert!(within(rate, &sends));
        }
    }

    impl Bucket {
        /// What governor itself would say, found out on a mirror so that nothing is taken.
        fn limiter_would_allow(&self) -> bool {
            let now = self.clock.elapsed();
            let missing = self.full_at.saturating_sub(now).as_nanos().div_ceil(self.period.as_nanos());
            missing < u128::from(self.burst)
                || self.full_at.saturating_sub(now) <= self.period * (self.burst - 1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_does_not_add_up_beyond_the_grace() {
        let clock = Clock::at(Timestamp(0));
        let rate = Rate { period: Duration::from_millis(20), burst: 1 };
        for (late, most) in [(4_000, 20_220), (9_000, 24_250)] {
            let mut bucket = Bucket::empty(rate, clock);
            let start = clock.elapsed();
            for _ in 0..500 {
                tokio::time::advance(bucket.earliest() - clock.elapsed() + Duration::from_micros(late)).await;
                bucket.take().unwrap();
            }
            let each = (clock.elapsed() - start) / 500;
            assert!(each < Duration::from_micros(most), "{each:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_is_never_worth_a_second_permit() {
        let clock = Clock::at(Timestamp(0));
        for period in [1, 2, 4, 8, 16] {
            let mut bucket = Bucket::empty(Rate { period: Duration::from_millis(period), burst: 1 }, clock);
            tokio::time::advance(bucket.earliest() - clock.elapsed() + Duration::from_secs(1)).await;
            bucket.take().unwrap();
            assert!(bucket.take().is_err(), "every {period} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_behind_others_gets_the_permit_after_theirs() {
        let clock = Clock::at(Timestamp(0));
        let mut bucket = Bucket::empty(Rate { period: Duration::from_secs(1), burst: 3 }, clock);
        let behind: Vec<Duration> =
            (0..5).map(|others| bucket.earliest_behind(others, clock.elapsed())).collect();
        for at in behind {
            assert_eq!(at, bucket.earliest());
            tokio::time::advance(at - clock.elapsed()).await;
            bucket.take().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_was_idle_promises_no_more_than_its_burst() {
        let clock = Clock::at(Timestamp(0));
        let mut bucket = Bucket::empty(Rate { period: Duration::from_secs(1), burst: 3 }, clock);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        let now = clock.elapsed();
        assert!((0..3).all(|others| bucket.earliest_behind(others, now) <= now));
        let behind = bucket.earliest_behind(3, now);
        assert!(behind > now && bucket.earliest_behind(4, now) > behind);
        for _ in 0..3 {
            bucket.take().unwrap();
        }
        assert!(bucket.take().is_err());
        tokio::time::advance(behind - now).await;
        bucket.take().unwrap();
    }

    #[test]
    fn a_bucket_of_one_that_was_idle_gives_its_permit_while_time_goes_on() {
        let clock = Clock::at(Timestamp(0));
        let mut bucket = Bucket::empty(Rate { period: Duration::from_nanos(1), burst: 1 }, clock);
        let now = clock.elapsed();
        assert!(bucket.earliest_behind(0, now) <= now);
        bucket.take().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_recipient_first_seen_later_gets_only_what_came_back() {
        let clock = Clock::at(Timestamp(0));
        let rate = Rate { period: Duration::from_secs(6), burst: 10 };
        let mut pairs = Pairs::empty(rate, clock);
        let taken = |pairs: &mut Pairs, who: &str| {
            let who: Arc<str> = who.into();
            (0..20).take_while(|_| pairs.take(&who).is_ok()).count()
        };
        assert_eq!(taken(&mut pairs, "at once"), 0);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(taken(&mut pairs, "after a while"), 3);
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(taken(&mut pairs, "much later"), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn recipients_with_full_buckets_are_forgotten() {
        let clock = Clock::at(Timestamp(0));
        let mut pairs = Pairs::empty(Rate { period: Duration::from_secs(1), burst: 2 }, clock);
        tokio::time::advance(Duration::from_secs(10)).await;
        for recipient in 0..10_000 {
            let _ = pairs.take(&recipient.to_string().into());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!(pairs.len() < 600, "{}", pairs.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recipient_who_has_to_wait_is_not_forgotten_however_many_others_come() {
        let clock = Clock::at(Timestamp(0));
        // For long, and for less than the grace.
        for period in [Duration::from_secs(100), Duration::from_millis(2)] {
            let mut pairs = Pairs::empty(Rate { period, burst: 2 }, clock);
            tokio::time::advance(Duration::from_secs(1_000)).await;
            let waits: Arc<str> = "waits".into();
            pairs.take(&waits).unwrap();
            pairs.take(&waits).unwrap();
            for recipient in 0..1_000 {
                pairs.take(&recipient.to_string().into()).unwrap();
            }
            assert!(pairs.take(&waits).is_err(), "every {period:?}");
        }
    }
}
