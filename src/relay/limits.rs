//! The documented limits that operators may raise or lower. A limit that is lowered sends nobody away: it holds for
//! those who come.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::decide::Roster;

/// What a configuration sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub roster: Roster,
    /// Open conversations of one identity in a service. Closed ones do not count.
    pub conversations_per_user: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { roster: Roster::default(), conversations_per_user: 1000 }
    }
}

/// The limits of the running configuration; a reload replaces them.
pub struct Limits {
    participants: AtomicUsize,
    outside: AtomicUsize,
    conversations_per_user: AtomicUsize,
}

impl Default for Limits {
    fn default() -> Limits {
        let Settings { roster: Roster { participants, outside }, conversations_per_user } =
            Settings::default();
        Limits {
            participants: participants.into(),
            outside: outside.into(),
            conversations_per_user: conversations_per_user.into(),
        }
    }
}

impl Limits {
    pub fn replace(&self, settings: Settings) {
        self.participants.store(settings.roster.participants, Ordering::Relaxed);
        self.outside.store(settings.roster.outside, Ordering::Relaxed);
        self.conversations_per_user.store(settings.conversations_per_user, Ordering::Relaxed);
    }

    pub(super) fn roster(&self) -> Roster {
        let read = |limit: &AtomicUsize| limit.load(Ordering::Relaxed);
        Roster { participants: read(&self.participants), outside: read(&self.outside) }
    }

    pub(super) fn conversations_per_user(&self) -> usize {
        self.conversations_per_user.load(Ordering::Relaxed)
    }
}
