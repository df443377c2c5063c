//! Who is here: how many there may be, who came back, and when all are to go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use trunkline_adapter::{Caller, Crowd};

/// What every session is told at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Counts changes of the accounts.
    pub(crate) accounts: u64,
    pub(crate) draining: bool,
}

/// Every open socket, and whose it is.
pub(crate) struct Registry {
    people: Mutex<People>,
    phase: watch::Sender<Phase>,
    open: watch::Sender<usize>,
}

#[derive(Default)]
struct People {
    sessions: HashMap<u128, Session>,
    /// How many sessions somebody has.
    count: HashMap<Arc<str>, usize>,
}

struct Session {
    person: Arc<str>,
    cut: Arc<Notify>,
}

/// There are too many sockets, or too many of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A socket that is open; left by dropping it.
pub(crate) struct Place {
    registry: Arc<Registry>,
}

/// Somebody's session; left by dropping it.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    /// What the client shows when it comes back.
    pub(crate) token: u128,
    /// Told when the same client came back on another socket.
    pub(crate) cut: Arc<Notify>,
}

impl Registry {
    pub(crate) fn new() -> Arc<Registry> {
        let (phase, _) = watch::channel(Phase::default());
        let (open, _) = watch::channel(0);
        Arc::new(Registry { people: Mutex::default(), phase, open })
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Sessions that were let in.
    pub(crate) fn sessions(&self) -> usize {
        self.people().sessions.len()
    }

    /// Takes a socket in. Beyond the limit some are still taken, so that they can be told; beyond those, none.
    pub(crate) fn place(self: &Arc<Self>, crowd: Crowd) -> Option<Place> {
        let mut taken = false;
        self.open.send_modify(|open| {
            taken = *open < crowd.total.saturating_mul(2).max(1);
            *open += usize::from(taken);
        });
        taken.then(|| Place { registry: Arc::clone(self) })
    }

    /// Lets somebody in. A client that shows the token of a session which is still there has lost that socket without
    /// our knowing: it makes room for the new one.
    pub(crate) fn seat(
        self: &Arc<Self>,
        caller: &Caller,
        returning: Option<u128>,
        fresh: u128,
        crowd: Crowd,
    ) -> Result<Seat, Full> {
        let person: Arc<str> = format!("{}\n{}", caller.service, caller.identity).into();
        let mut people = self.people();
        let lost =
            returning.filter(|token| people.sessions.get(token).is_some_and(|old| old.person == person));
        if let Some(token) = lost
            && let Some(old) = people.leave(token)
        {
            old.cut.notify_one();
        }
        let own = people.count.get(&person).copied().unwrap_or(0);
        if people.sessions.len() >= crowd.total || own >= crowd.per_identity {
            return Err(Full);
        }
        let cut = Arc::new(Notify::new());
        *people.count.entry(Arc::clone(&person)).or_default() += 1;
        people.sessions.insert(fresh, Session { person, cut: Arc::clone(&cut) });
        Ok(Seat { registry: Arc::clone(self), token: fresh, cut })
    }

    pub(crate) fn recheck(&self) {
        self.phase.send_modify(|phase| phase.accounts += 1);
    }

    /// Tells everybody to go and waits until the last has gone.
    pub(crate) async fn drain(&self) {
        self.phase.send_modify(|phase| phase.draining = true);
        // The sender is ours, so there is no error to have.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl People {
    fn leave(&mut self, token: u128) -> Option<Session> {
        let session = self.sessions.remove(&token)?;
        if let Some(count) = self.count.get_mut(&session.person) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&session.person);
            }
        }
        Some(session)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.send_modify(|open| *open -= 1);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.people().leave(self.token);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use trunkline_adapter::Timestamp;

    fn caller(identity: &str) -> Caller {
        Caller {
            account: "AC1".into(),
            service: "IS1".into(),
            identity: identity.into(),
            key: "SK1".into(),
            proof: 0,
            expires: Timestamp(0),
            push_credential: None,
        }
    }

    #[test]
    fn limits_hold_and_places_come_back() {
        let registry = Registry::new();
        let crowd = Crowd { total: 3, per_identity: 2 };
        let seat = |identity: &str, token| registry.seat(&caller(identity), None, token, crowd);
        let first = seat("ada", 1).unwrap();
        let _second = seat("ada", 2).unwrap();
        assert!(seat("ada", 3).is_err());
        let _third = seat("bob", 4).unwrap();
        assert!(seat("cyd", 5).is_err());
        drop(first);
        let _fourth = seat("ada", 6).unwrap();
        assert_eq!(registry.sessions(), 3);
    }

    #[tokio::test]
    async fn who_comes_back_takes_the_place_of_the_lost_socket_and_of_nobody_else() {
        let registry = Registry::new();
        let crowd = Crowd { total: 10, per_identity: 1 };
        let lost = registry.seat(&caller("ada"), None, 1, crowd).unwrap();
        assert!(
            registry.seat(&caller("bob"), Some(1), 2, crowd).is_ok(),
            "a stranger with her token cuts nobody"
        );
        assert!(registry.seat(&caller("ada"), None, 3, crowd).is_err());
        let back = registry.seat(&caller("ada"), Some(1), 4, crowd).unwrap();
        lost.cut.notified().await;
        // The lost one's end takes nothing away from the new one.
        drop(lost);
        assert!(registry.seat(&caller("ada"), None, 5, crowd).is_err());
        drop(back);
        assert!(registry.seat(&caller("ada"), None, 6, crowd).is_ok());
    }

    #[test]
    fn some_too_many_are_let_in_to_be_told() {
        let registry = Registry::new();
        let crowd = Crowd { total: 1, per_identity: 1 };
        let _places = [registry.place(crowd).unwrap(), registry.place(crowd).unwrap()];
        assert!(registry.place(crowd).is_none());
    }
}
