//! What can go wrong at a provider, to be switched on and off while the daemon runs.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::watch;

/// A fault of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Takes messages and tells `sent`, but they never reach the phone and no other status follows.
    Drop,
    /// Answers two of three requests with "slow down".
    Throttle,
    /// Answers late.
    Delay,
    /// Posts each of its webhooks twice.
    Duplicate,
    /// Answers nothing until it is switched off.
    Hang,
}

/// Not the name of a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such fault: write drop, throttle, delay, duplicate or hang")]
pub struct UnknownFault;

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 5] = [Fault::Drop, Fault::Throttle, Fault::Delay, Fault::Duplicate, Fault::Hang];

    /// The word in the API and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Drop => "drop",
            Fault::Throttle => "throttle",
            Fault::Delay => "delay",
            Fault::Duplicate => "duplicate",
            Fault::Hang => "hang",
        }
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Fault, UnknownFault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text).ok_or(UnknownFault)
    }
}

/// The switch of one provider. A request that hangs is let go by the turn of the switch, so nothing polls it.
pub(super) struct Switch {
    fault: watch::Sender<Option<Fault>>,
    requests: AtomicU64,
}

impl Switch {
    pub(super) fn off() -> Switch {
        Switch { fault: watch::Sender::new(None), requests: AtomicU64::new(0) }
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        // The share of throttled requests begins anew, so that what a switch does never depends on what was before.
        self.requests.store(0, Ordering::Relaxed);
        self.fault.send_replace(fault);
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        *self.fault.borrow()
    }

    /// Whether this request is one of the two in three.
    pub(super) fn throttles(&self) -> bool {
        self.fault() == Some(Fault::Throttle) && self.requests.fetch_add(1, Ordering::Relaxed) % 3 != 2
    }

    /// Returns as soon as the provider does not hang.
    pub(super) async fn while_hanging(&self) {
        let mut turns = self.fault.subscribe();
        // Fails only without a sender, and `self` holds it.
        let _ = turns.wait_for(|fault| *fault != Some(Fault::Hang)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_read_back() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert_eq!("explode".parse::<Fault>(), Err(UnknownFault));
    }

    #[test]
    fn two_of_three_are_throttled() {
        let switch = Switch::off();
        assert!(!switch.throttles());
        switch.set(Some(Fault::Throttle));
        let answers: Vec<bool> = (0..6).map(|_| switch.throttles()).collect();
        assert_eq!(answers, [true, true, false, true, true, false]);
    }
}
