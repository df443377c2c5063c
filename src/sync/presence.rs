//! Who is online: whoever has a session, or had one until a moment ago whose network went away. Known in memory
//! alone; a daemon that has just started knows nobody yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::object::Realm;
use crate::ledger::engine::Revision;

/// What the end of a session means for who is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Nothing.
    Stays,
    /// Offline, which is to be told.
    Left,
    /// Online for a while yet; the number names this end.
    Lingers(Revision),
}

#[derive(Default)]
pub struct Presence(Mutex<HashMap<(Realm, String), State>>);

#[derive(Clone, Copy, Default)]
struct State {
    sessions: usize,
    /// Was online since the start.
    came: bool,
    /// The last session's network went away: whether that was all is not known yet.
    lingers: bool,
    /// Which end that was.
    ended: Revision,
    /// The number under which the last change is told.
    changed: Revision,
}

impl Presence {
    /// A session begins. Says whether that made somebody come online.
    pub fn come(&self, realm: &Realm, identity: &str, number: Revision) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = all.entry((realm.clone(), identity.to_owned())).or_default();
        state.sessions += 1;
        state.came = true;
        let news = state.sessions == 1 && !std::mem::take(&mut state.lingers);
        if news {
            state.changed = number;
        }
        news
    }

    /// A session ends, with a goodbye or without.
    pub fn go(&self, realm: &Realm, identity: &str, farewell: bool, number: Revision) -> Gone {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = all.get_mut(&(realm.clone(), identity.to_owned())) else { return Gone::Stays };
        state.sessions = state.sessions.saturating_sub(1);
        if state.sessions > 0 {
            return Gone::Stays;
        }
        state.lingers = !farewell;
        if farewell {
            state.changed = number;
            return Gone::Left;
        }
        state.ended = number;
        Gone::Lingers(number)
    }

    /// The grace of an end is over. Says whether that made somebody go offline.
    pub fn lapse(&self, realm: &Realm, identity: &str, end: Revision, number: Revision) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = all.get_mut(&(realm.clone(), identity.to_owned())) else { return false };
        let news = state.lingers && state.sessions == 0 && state.ended == end;
        if news {
            state.lingers = false;
            state.changed = number;
        }
        news
    }

    /// What else is told with it has changed.
    pub fn touch(&self, realm: &Realm, identity: &str, number: Revision) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((realm.clone(), identity.to_owned())).or_default().changed = number;
    }

    /// Whether somebody is online, and the number of the last change of that.
    pub fn of(&self, realm: &Realm, identity: &str) -> (bool, Revision) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = all.get(&(realm.clone(), identity.to_owned())).copied().unwrap_or_default();
        (state.sessions > 0 || state.lingers, state.changed)
    }

    /// Whether somebody was online since the start.
    pub fn known(&self, realm: &Realm, identity: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(realm.clone(), identity.to_owned())).is_some_and(|state| state.came)
    }
}
