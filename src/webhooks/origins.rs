//! Receivers by host: how many requests each has open, and which of them do not answer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use reqwest::Url;
use trunkline_adapter::Timestamp;

use super::settings::TIMEOUT;
use crate::work::Taken;

/// Requests that one receiver has open.
const MOST_OPEN: usize = 16;
/// Failures in a row after which a receiver counts as down.
const DOWN: u32 = 3;
/// The longest a receiver that is down is left alone.
const LONGEST: Duration = Duration::from_secs(60);
/// Rows that wait in hand for one receiver with enough open.
const MOST_PARKED: usize = 256;
/// Receivers remembered that have nothing open and are not down.
const REMEMBERED: usize = 1024;

/// What may be done for a receiver now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// One request, begun after so many failed rounds: see [`Origins::ended`].
    Go(u32),
    /// Enough are open.
    Busy,
    /// It does not answer; somebody asks again at this moment.
    Down(Timestamp),
}

struct State {
    /// It has taken something, as far as is remembered.
    took: bool,
    open: usize,
    /// Requests that failed since the last answer.
    failures: u32,
    /// The same without those that were under way when another had failed: what fails together is one trouble.
    rounds: u32,
    not_before: Timestamp,
    parked: VecDeque<Taken>,
}

impl Default for State {
    fn default() -> State {
        State {
            took: false,
            open: 0,
            failures: 0,
            rounds: 0,
            not_before: Timestamp(0),
            parked: VecDeque::new(),
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Origins(HashMap<String, State>);

/// The receiver that a URL names; the URL itself where it cannot be read.
pub fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

impl Origins {
    /// Whether a request may be made; if so, it counts as open.
    pub fn ask(&mut self, origin: &str, now: Timestamp) -> Leave {
        if self.0.len() > REMEMBERED {
            self.0.retain(|_, state| state.open > 0 || state.failures > 0 || !state.parked.is_empty());
        }
        let state = self.0.entry(origin.to_owned()).or_default();
        if state.failures >= DOWN {
            if state.not_before > now {
                return Leave::Down(state.not_before);
            }
            if state.open > 0 {
                // Whoever asks for all of them is on the way, and is back by then.
                return Leave::Down(now.plus(TIMEOUT));
            }
        }
        if state.open >= MOST_OPEN {
            return Leave::Busy;
        }
        state.open += 1;
        Leave::Go(state.rounds)
    }

    /// Whether a receiver does not answer.
    pub fn down(&self, origin: &str) -> bool {
        self.0.get(origin).is_some_and(|state| state.failures >= DOWN)
    }

    /// A request ended that was begun after so many failed rounds; says whether the receiver is back. It is left alone
    /// for longer with every round: sixteen requests that one outage meets together are no reason to wait for a minute.
    pub fn ended(
        &mut self,
        origin: &str,
        answered: bool,
        begun: u32,
        wait: impl FnOnce(u32) -> Duration,
        now: Timestamp,
    ) -> bool {
        let Some(state) = self.0.get_mut(origin) else { return false };
        state.open = state.open.saturating_sub(1);
        if answered {
            let back = state.failures >= DOWN;
            (state.took, state.failures, state.rounds, state.not_before) = (true, 0, 0, Timestamp(0));
            return back;
        }
        state.failures = state.failures.saturating_add(1);
        if begun >= state.rounds {
            state.rounds = state.rounds.saturating_add(1);
            state.not_before = now.plus(wait(state.rounds).min(LONGEST));
        }
        false
    }

    /// Whether something else was taken since an event's last try failed: then nothing has failed since.
    pub fn takes_others(&self, origin: &str) -> bool {
        self.0.get(origin).is_some_and(|state| state.took && state.failures == 0)
    }

    /// Keeps a row in hand until a request of its receiver ends; gives it back where too many are kept.
    pub fn park(&mut self, origin: &str, taken: Taken) -> Option<Taken> {
        match self.0.get_mut(origin) {
            Some(state) if state.parked.len() < MOST_PARKED => {
                state.parked.push_back(taken);
                None
            }
            _ => Some(taken),
        }
    }

    /// The next row that was kept for a receiver.
    pub fn unpark(&mut self, origin: &str) -> Option<Taken> {
        self.0.get_mut(origin)?.parked.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(rounds: u32) -> Duration {
        Duration::from_secs(10) * rounds
    }

    #[test]
    fn a_receiver_has_so_many_open_and_one_that_is_down_is_asked_now_and_then() {
        let (mut origins, now) = (Origins::default(), Timestamp(1_000_000));
        for _ in 0..MOST_OPEN {
            assert_eq!(origins.ask("a", now), Leave::Go(0));
        }
        assert_eq!((origins.ask("a", now), origins.ask("b", now)), (Leave::Busy, Leave::Go(0)));
        for _ in 0..DOWN {
            assert!(!origins.ended("a", false, 0, wait, now));
        }
        assert!(origins.down("a") && !origins.down("b"));
        assert_eq!(origins.ask("a", now), Leave::Down(now.plus(wait(1))));
        let later = now.plus(wait(1));
        let back = Leave::Down(later.plus(TIMEOUT));
        assert_eq!(origins.ask("a", later), back, "others are still open");
        for _ in DOWN as usize..MOST_OPEN {
            origins.ended("a", false, 0, wait, later);
        }
        assert_eq!((origins.ask("a", later), origins.ask("a", later)), (Leave::Go(1), back));
        assert!(origins.ended("a", true, 1, wait, later), "it is back");
        assert!(!origins.down("a") && origins.takes_others("a") && !origins.takes_others("b"));
        assert_eq!((origins.ask("a", later), origins.ask("a", later)), (Leave::Go(0), Leave::Go(0)));
    }

    #[test]
    fn what_fails_together_is_waited_for_once_and_what_fails_again_longer() {
        let (mut origins, mut now) = (Origins::default(), Timestamp(1_000_000));
        for _ in 0..MOST_OPEN {
            origins.ask("a", now);
        }
        for _ in 0..MOST_OPEN {
            origins.ended("a", false, 0, wait, now);
        }
        for round in 1..=9 {
            let due = now.plus(wait(round).min(LONGEST));
            assert_eq!(origins.ask("a", now), Leave::Down(due), "round {round}");
            now = due;
            assert_eq!(origins.ask("a", now), Leave::Go(round));
            origins.ended("a", false, round, wait, now);
        }
    }

    #[test]
    fn receivers_are_told_apart_by_scheme_host_and_port() {
        assert_eq!(origin("https://u:p@a.example/x?y#z"), "https://a.example");
        assert_eq!(origin("http://A.example:8080/"), "http://a.example:8080");
        assert_eq!(origin("nonsense"), "nonsense");
    }
}
