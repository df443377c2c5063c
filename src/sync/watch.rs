//! Who watches what. The message path looks here at every committed write, so the look is one atomic number per group of
//! partitions, and none at all where nobody is connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::object::{Object, Realm};
use super::session::Session;
use crate::ledger::tables;

/// Partitions are watched together in so many groups.
pub(super) const GROUPS: usize = 1 << 16;

type Watchers = HashMap<Object, Vec<Weak<Session>>>;

pub struct Watches {
    groups: Vec<AtomicU32>,
    realms: Mutex<HashMap<Realm, Watchers>>,
    /// Everybody connected, by a digest of their identity.
    sessions: Mutex<HashMap<[u8; 32], Vec<Weak<Session>>>>,
    open: AtomicU32,
}

impl Default for Watches {
    fn default() -> Watches {
        Watches {
            groups: (0..GROUPS).map(|_| AtomicU32::new(0)).collect(),
            realms: Mutex::default(),
            sessions: Mutex::default(),
            open: AtomicU32::new(0),
        }
    }
}

impl Watches {
    /// Whether anybody is connected.
    pub fn any(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }

    /// Whether somebody may be watching something of this group of partitions.
    pub fn group(&self, group: u32) -> bool {
        self.groups[group as usize % GROUPS].load(Ordering::SeqCst) > 0
    }

    /// A session begins.
    pub fn enter(&self, session: &Arc<Session>) {
        self.open.fetch_add(1, Ordering::SeqCst);
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(session.digest).or_default().push(Arc::downgrade(session));
    }

    /// A session is over, with everything it watched.
    pub fn leave(&self, session: &Session, objects: &[Object]) {
        for object in objects {
            self.remove(session, object);
        }
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(&session.digest) {
            own.retain(|known| !is(known, session));
            if own.is_empty() {
                all.remove(&session.digest);
            }
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    /// From now on the session hears of the object.
    pub fn add(&self, session: &Arc<Session>, object: &Object) {
        {
            let mut realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
            let watchers = realms.entry(session.realm.clone()).or_default();
            watchers.entry(object.clone()).or_default().push(Arc::downgrade(session));
        }
        if let Some(group) = group_of(&session.realm, object) {
            self.groups[group as usize % GROUPS].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The session hears of the object no more.
    pub fn remove(&self, session: &Session, object: &Object) {
        let mut realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watchers) = realms.get_mut(&session.realm) else { return };
        let Some(own) = watchers.get_mut(object) else { return };
        let before = own.len();
        own.retain(|known| !is(known, session));
        let removed = before - own.len();
        if own.is_empty() {
            watchers.remove(object);
        }
        if watchers.is_empty() {
            realms.remove(&session.realm);
        }
        if let Some(group) = group_of(&session.realm, object) {
            let removed = u32::try_from(removed).unwrap_or_default();
            self.groups[group as usize % GROUPS].fetch_sub(removed, Ordering::SeqCst);
        }
    }

    /// Who watches an object.
    pub fn of(&self, realm: &Realm, object: &Object) -> Vec<Arc<Session>> {
        let realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        let watchers = realms.get(realm).and_then(|watchers| watchers.get(object));
        watchers.into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Whether anybody watches an object.
    pub fn watched(&self, realm: &Realm, object: &Object) -> bool {
        let realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        realms.get(realm).is_some_and(|watchers| watchers.contains_key(object))
    }

    /// The services of an account in which anybody watches anything.
    pub fn realms(&self, account: &str) -> Vec<Realm> {
        let realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        realms.keys().filter(|realm| realm.account.as_str() == account).cloned().collect()
    }

    /// The sessions of an identity, in any service.
    pub fn sessions(&self, digest: &[u8; 32]) -> Vec<Arc<Session>> {
        let all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(digest).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }
}

fn is(known: &Weak<Session>, session: &Session) -> bool {
    std::ptr::eq(known.as_ptr(), session)
}

/// The group of the partition that an object's rows are in; those of users are looked at whoever watches.
fn group_of(realm: &Realm, object: &Object) -> Option<u32> {
    tables::head(realm.account.as_str(), object.conversation()?.as_str()).group()
}
