//! That somebody is writing, shown to people whose channel shows it: best effort, kept nowhere, never in a message's way.
//! Here whom it is worth to be shown; when it leaves is the matter of `wishes`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use trunkline_adapter::{Address, Clock, Timestamp, TypingIndicator};

use super::lock::lock;
use super::mailbox::Handle;

/// People are shown it again when a third of the time has passed for which their channel shows it: clients say that
/// somebody still writes every few seconds.
const PART: u32 = 3;
/// People of whom it is remembered when they were last shown it, before those long ago are forgotten.
const REMEMBERED: usize = 1_024;

/// Shows people that somebody is writing to them, through the lanes.
pub struct TypingIndicators {
    lanes: Weak<Mutex<BTreeMap<Address, Handle>>>,
    clock: Clock,
    /// Until when a person, written to from a proxy address, needs to be shown nothing.
    shown: Mutex<HashMap<(Address, Address), Timestamp>>,
}

impl TypingIndicators {
    pub(super) fn new(lanes: Weak<Mutex<BTreeMap<Address, Handle>>>, clock: Clock) -> TypingIndicators {
        TypingIndicators { lanes, clock, shown: Mutex::default() }
    }

    /// Whether the channel of a proxy address shows people that somebody is writing, and this one was not shown it just
    /// now.
    pub fn wanted(&self, proxy: &Address, to: &Address) -> bool {
        let now = self.clock.now();
        let shown = lock(&self.shown).get(&(proxy.clone(), to.clone())).is_some_and(|until| *until > now);
        !shown && self.lasts(proxy).is_some()
    }

    /// How long a channel shows it; nothing where it does not, or where there is no such lane.
    fn lasts(&self, proxy: &Address) -> Option<Duration> {
        let lanes = self.lanes.upgrade()?;
        let plan = lock(&lanes).get(proxy)?.mailbox.plan()?;
        Some(plan.adapter.capabilities(proxy)?.typing?.lasts)
    }

    /// Shows it, if that costs no message anything.
    pub fn show(&self, indicator: TypingIndicator) {
        let (Some(lasts), Some(lanes)) = (self.lasts(&indicator.from), self.lanes.upgrade()) else { return };
        let now = self.clock.now();
        let mut shown = lock(&self.shown);
        if shown.len() >= REMEMBERED {
            shown.retain(|_, until| *until > now);
        }
        if shown.len() < REMEMBERED {
            shown.insert((indicator.from.clone(), indicator.to.clone()), now.plus(lasts / PART));
            drop(shown);
            if let Some(handle) = lock(&lanes).get(&indicator.from) {
                handle.mailbox.wish(indicator);
            }
        }
    }
}
