//! When a lane stands still as a whole: held for an operator or a provider that is away, or told to slow down.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use trunkline_adapter::Timestamp;

/// Different recipients in trouble, with no success in between, that make it the provider's trouble.
const UNREACHABLE: usize = 5;
/// The first and the longest time between two probes when the operator must act.
const OPERATOR: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// The same when the provider is away: nobody has to act, so look sooner.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The first and the longest pause when a provider says "slower" without saying for how long.
const THROTTLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The longest wish of a provider that is followed.
pub(super) const LONGEST_WISH: Duration = Duration::from_secs(3_600);

/// What stands in the way of a whole lane.
#[derive(Default)]
pub(super) struct Gate {
    hold: Option<Hold>,
    troubled: HashSet<Arc<str>>,
    paused_until: Option<Timestamp>,
    throttle_gap: Option<Duration>,
}

struct Hold {
    reason: String,
    /// Nothing for one that only a new plan releases.
    probe: Option<Probe>,
}

struct Probe {
    at: Timestamp,
    gap: Duration,
    longest: Duration,
}

/// What may leave now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// One, to see how things are.
    Probe,
    /// Nothing before this moment, or before something changes.
    Shut(Option<Timestamp>),
}

impl Gate {
    pub(super) fn passage(&self, now: Timestamp) -> Passage {
        let pause = self.paused_until.filter(|until| *until > now);
        match (&self.hold, pause) {
            (None, None) => Passage::Open,
            (None, Some(until)) => Passage::Shut(Some(until)),
            (Some(Hold { probe: None, .. }), _) => Passage::Shut(None),
            (Some(Hold { probe: Some(probe), .. }), pause) => {
                match pause.max((probe.at > now).then_some(probe.at)) {
                    None => Passage::Probe,
                    later => Passage::Shut(later),
                }
            }
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.hold.as_ref().map(|hold| hold.reason.as_str())
    }

    pub(super) fn held(&self) -> bool {
        self.hold.is_some()
    }

    /// Only a new plan helps.
    pub(super) fn shut(&mut self, reason: &str) {
        self.hold = Some(Hold { reason: reason.to_owned(), probe: None });
    }

    /// The provider says that the operator must act. Says whether the lane was not held before.
    pub(super) fn operator(&mut self, reason: String, now: Timestamp) -> bool {
        self.hold_with(reason, OPERATOR, now)
    }

    /// A recipient could not be served for a reason that passes. Says whether the lane is held from now on.
    pub(super) fn trouble(&mut self, subject: &Arc<str>, reason: &str, now: Timestamp) -> bool {
        if self.held() {
            return self.hold_with(reason.to_owned(), AWAY, now);
        }
        self.troubled.insert(Arc::clone(subject));
        self.troubled.len() >= UNREACHABLE
            && self.hold_with(format!("provider unreachable: {reason}"), AWAY, now)
    }

    /// A permanent hold stays; a probed one waits longer each time.
    fn hold_with(&mut self, reason: String, (first, longest): (Duration, Duration), now: Timestamp) -> bool {
        match &mut self.hold {
            None => {
                let probe = Probe { at: now.plus(first), gap: first, longest };
                self.hold = Some(Hold { reason, probe: Some(probe) });
                true
            }
            Some(Hold { probe: Some(probe), .. }) => {
                // Several that were on their way when the lane was held say the same: only a probe counts.
                if probe.at <= now {
                    probe.gap = (probe.gap * 2).min(probe.longest);
                    probe.at = now.plus(probe.gap);
                }
                false
            }
            Some(Hold { probe: None, .. }) => false,
        }
    }

    /// The provider does its work. Says whether that released the lane.
    pub(super) fn success(&mut self) -> bool {
        self.troubled.clear();
        self.throttle_gap = None;
        match &self.hold {
            Some(Hold { probe: Some(_), .. }) => {
                self.hold = None;
                true
            }
            _ => false,
        }
    }

    /// Something was changed by the operator: holds end, a provider's wish to slow down still counts. Says whether the
    /// lane was held.
    pub(super) fn renew(&mut self) -> bool {
        self.troubled.clear();
        self.hold.take().is_some()
    }

    /// The provider wants the whole lane to slow down. Gives the end of the pause.
    pub(super) fn throttle(&mut self, wish: Option<Duration>, now: Timestamp) -> Timestamp {
        let own = self.throttle_gap.map_or(THROTTLE.0, |gap| (gap * 2).min(THROTTLE.1));
        let pause = match wish {
            Some(wish) => wish.min(LONGEST_WISH),
            None => {
                // Those that were on their way when the pause began say the same thing once more.
                if self.paused_until.is_none_or(|until| until <= now) {
                    self.throttle_gap = Some(own);
                }
                self.throttle_gap.unwrap_or(own)
            }
        };
        self.pause(now.plus(pause))
    }

    /// Nothing leaves before.
    pub(super) fn pause(&mut self, until: Timestamp) -> Timestamp {
        let until = self.paused_until.map_or(until, |before| before.max(until));
        self.paused_until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn probes_come_in_growing_gaps_and_success_releases() {
        let mut gate = Gate::default();
        assert!(gate.operator("wrong token".into(), at(0)));
        assert!(!gate.operator("wrong token".into(), at(0)), "one that was on its way");
        assert_eq!(gate.passage(at(4)), Passage::Shut(Some(at(5))));
        assert_eq!(gate.passage(at(5)), Passage::Probe);
        gate.operator("wrong token".into(), at(5));
        assert_eq!(gate.passage(at(6)), Passage::Shut(Some(at(15))));
        for _ in 0..20 {
            gate.operator("wrong token".into(), at(100_000));
        }
        assert_eq!(gate.reason(), Some("wrong token"));
        assert!(gate.success());
        assert_eq!(gate.passage(at(0)), Passage::Open);
    }

    #[test]
    fn trouble_with_one_recipient_is_not_the_providers() {
        let mut gate = Gate::default();
        for _ in 0..50 {
            assert!(!gate.trouble(&"one".into(), "busy", at(0)));
        }
        gate.success();
        let held: Vec<bool> =
            ["a", "b", "c", "d", "e"].iter().map(|who| gate.trouble(&(*who).into(), "busy", at(0))).collect();
        assert_eq!(held, [false, false, false, false, true]);
        assert_eq!(gate.passage(at(1)), Passage::Probe);
    }

    #[test]
    fn a_missing_proxy_is_never_probed() {
        let mut gate = Gate::default();
        gate.shut("gone");
        assert_eq!(gate.passage(at(1_000_000)), Passage::Shut(None));
        assert!(!gate.success());
        assert!(!gate.operator("wrong token".into(), at(0)) && !gate.trouble(&"a".into(), "busy", at(0)));
        assert_eq!(
            gate.passage(at(1_000_000)),
            Passage::Shut(None),
            "no outcome turns it into one to be probed"
        );
        assert!(gate.renew());
        assert_eq!(gate.passage(at(0)), Passage::Open);
        assert!(!gate.renew(), "it was not held");
    }

    #[test]
    fn gaps_between_probes_and_pauses_stay_below_their_longest() {
        let (mut away, mut slow) = (Gate::default(), Gate::default());
        for who in ["a", "b", "c", "d", "e"] {
            away.trouble(&who.into(), "busy", at(0));
        }
        let mut now = at(0);
        for _ in 0..20 {
            while let Passage::Shut(Some(until)) = away.passage(now) {
                now = until;
            }
            away.trouble(&"a".into(), "busy", now);
        }
        assert_eq!(away.passage(now), Passage::Shut(Some(now.plus(Duration::from_secs(60)))));
        let mut end = at(0);
        for _ in 0..20 {
            end = slow.throttle(None, end);
        }
        assert_eq!(slow.throttle(None, end), end.plus(Duration::from_secs(300)));
        assert_eq!(slow.throttle(Some(Duration::from_secs(90_000)), at(500_000)), at(503_600));
        slow.success();
        assert_eq!(slow.throttle(None, at(600_000)), at(600_001), "it begins anew once something was taken");
    }

    #[test]
    fn pauses_follow_the_provider_or_grow() {
        let mut gate = Gate::default();
        assert_eq!(gate.throttle(Some(Duration::from_secs(30)), at(0)), at(30));
        assert_eq!(gate.passage(at(29)), Passage::Shut(Some(at(30))));
        assert_eq!(gate.passage(at(30)), Passage::Open);
        assert_eq!(gate.throttle(None, at(30)), at(31));
        assert_eq!(gate.throttle(None, at(30)), at(31), "one that was on its way");
        assert_eq!(gate.throttle(None, at(31)), at(33));
    }
}
