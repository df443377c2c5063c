//! What a lane is asked to show: that somebody is writing.
//!
//! An indicator leaves only from a lane that is neither held nor slowed down and has nothing it could send, by a permit of
//! the lane's own rate, and only where another is left for the next message: so a proxy address with a burst of one shows
//! nobody anything.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use trunkline_adapter::{Clock, Outcome, Timestamp, TypingIndicator};

use super::lock::lock;
use super::plan::{InForce, Surroundings};
use super::rate::Bucket;

/// Indicators that wait for their lane to look; it looks at once, so more of them are a flood.
const WAITING: usize = 32;
/// Requests of one lane that are out at once: a provider that does not answer gets no more.
const UNDER_WAY: usize = 16;
/// Nothing is shown for so long after a provider wanted us to slow down.
const QUIET: Duration = Duration::from_secs(60);
/// What a lane is asked to show.
#[derive(Default)]
pub(super) struct Wishes {
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    indicators: Vec<TypingIndicator>,
    /// Requests that are out; they end with the lane.
    out: JoinSet<()>,
    /// Nothing is shown before this moment.
    quiet_until: Arc<AtomicI64>,
}

impl Wishes {
    pub(super) fn add(&self, indicator: TypingIndicator) {
        let mut waiting = lock(&self.waiting);
        if waiting.indicators.len() < WAITING {
            waiting.indicators.push(indicator);
            self.any.store(true, Ordering::Release);
        }
    }

    /// Whether there is something to show; a look at one number.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Shows what may be shown, and forgets the rest. `lane` is the plan and the rate of a lane that is free.
    pub(super) fn show(&self, surroundings: &Surroundings, lane: Option<(&Arc<InForce>, &mut Bucket)>) {
        let mut waiting = lock(&self.waiting);
        self.any.store(false, Ordering::Release);
        let indicators = std::mem::take(&mut waiting.indicators);
        let Some((plan, rate)) = lane else { return };
        while waiting.out.try_join_next().is_some() {}
        let clock = surroundings.clock;
        for indicator in indicators {
            let quiet = clock.now() < Timestamp(waiting.quiet_until.load(Ordering::Relaxed));
            let opted_out = surroundings.opt_outs.contains(&indicator.from, &indicator.to);
            if opted_out || quiet || waiting.out.len() >= UNDER_WAY || rate.take_spare().is_err() {
                continue;
            }
            let (plan, until) = (Arc::clone(plan), Arc::clone(&waiting.quiet_until));
            waiting.out.spawn(request(plan, indicator, clock, until));
        }
    }
}

async fn request(plan: Arc<InForce>, indicator: TypingIndicator, clock: Clock, quiet_until: Arc<AtomicI64>) {
    let Some(display) = plan.adapter.typing() else { return };
    match display.show(&indicator).await {
        Ok(()) => {}
        Err(Outcome::Throttled { after, cause, .. }) => {
            let until = clock.now().plus(after.unwrap_or_default().max(QUIET));
            quiet_until.store(until.0, Ordering::Relaxed);
            tracing::debug!(lane = %plan.proxy, cause = cause.text, "No typing is shown for a while");
        }
        Err(outcome) => tracing::debug!(lane = %plan.proxy, ?outcome, "Typing was not shown"),
    }
}
