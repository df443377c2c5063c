//! Whether arrivals keep to a limit, by the clock of whoever they arrive at.

use std::time::{Duration, Instant};

/// Permits by which a window may seem to be above its limit, which share may seem more, and how much: see
/// `tests/it/rates.rs`.
pub const SLACK: f64 = 1.0;
pub const SHARE: f64 = 0.01;
pub const HELD_UP: Duration = Duration::from_millis(100);

/// A rate and its burst.
#[derive(Clone, Copy)]
pub struct Limit {
    pub per_second: f64,
    pub burst: f64,
}

/// For each arrival, by how many arrivals the fullest of the windows that begin with it is above the limit; below zero
/// when none is.
pub fn excesses(times: &[Instant], limit: Limit) -> Vec<f64> {
    // A window from arrival i to arrival j holds j - i + 1 of them. With v(i) = i - rate × t(i) it is above the limit by
    // v(j) - v(i) + 1 - burst, so for each i only the largest v behind it matters.
    let Some(start) = times.first() else { return Vec::new() };
    let value = |place: usize| place as f64 - limit.per_second * (times[place] - *start).as_secs_f64();
    let mut largest = f64::NEG_INFINITY;
    let mut excesses: Vec<f64> = (0..times.len())
        .rev()
        .map(|place| {
            largest = largest.max(value(place));
            largest - value(place) + 1.0 - limit.burst
        })
        .collect();
    excesses.reverse();
    excesses
}

/// The fullest window's excess, and the share of arrivals with which a window begins that is above the slack.
pub fn above(times: &[Instant], limit: Limit) -> (f64, f64) {
    let excesses = excesses(times, limit);
    let worst = excesses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let above = excesses.iter().filter(|excess| **excess > SLACK).count();
    (worst, above as f64 / excesses.len().max(1) as f64)
}

/// Whether that is more than requests that were held up explain.
pub fn exceeded((worst, share): (f64, f64), limit: Limit) -> bool {
    share > SHARE || worst > SLACK + limit.per_second * HELD_UP.as_secs_f64()
}
