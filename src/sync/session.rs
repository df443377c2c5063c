//! One connected client: what it watches, how far it knows it, and what waits for its socket.
//!
//! What waits is bounded. Where it would be too much, nothing is kept for that object any more; it is marked, and when the
//! socket has taken what was there, it is brought up to date from the rows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use trunkline_adapter::Notice;

use super::event::Event;
use super::object::{Object, Realm};
use crate::ledger::engine::Revision;
use crate::ledger::tables;
use crate::model::ConversationSid;

/// Notices that may wait for a socket; answers to what the client asked for come on top.
const MOST_WAITING: usize = 1_000;
/// More than this can only be a client that asks and does not read.
const TOO_MANY: usize = 50_000;
/// Room for notices that a session keeps while none waits.
const KEPT: usize = 16;
/// Objects that one client may watch: three for each of three thousand conversations.
pub const MOST_OBJECTS: usize = 10_000;

pub struct Session {
    pub realm: Realm,
    pub identity: String,
    pub(super) digest: [u8; 32],
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    watched: HashMap<Object, Subscription>,
    behind: VecDeque<Object>,
    over: bool,
}

/// A notice, and which object it is of.
struct Waiting {
    of: Option<u64>,
    notice: Notice,
}

struct Subscription {
    /// Stands for the object in what waits.
    mark: u64,
    /// Everything up to this number is known.
    known: Revision,
    /// The highest event that was told. Above `known` only while much is caught up with, in pieces.
    told: Revision,
    phase: Phase,
}

enum Phase {
    Live,
    /// Too much waited; to be caught up with.
    Behind,
    /// Being caught up with; what happens meanwhile waits here.
    Replaying(Vec<Live>),
    /// As before, and more happened than may wait.
    Overrun,
}

/// What happened to an object up to a number.
#[derive(Clone)]
pub(super) struct Live {
    pub events: Vec<Arc<Event>>,
    pub upto: Revision,
}

impl Live {
    /// The object is gone with this.
    pub fn ends_object(&self) -> bool {
        self.events.iter().any(|event| event.ends_object())
    }
}

impl Session {
    pub(super) fn new(realm: Realm, identity: String) -> Session {
        let digest = tables::digest(&identity);
        Session { realm, identity, digest, state: Mutex::default(), woken: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch, from a number on. Says whether it is a new object for this session; nothing, if it would be one too
    /// many.
    pub(super) fn watch(&self, object: &Object, from: Revision) -> Option<bool> {
        let mut state = self.state();
        let fresh = !state.watched.contains_key(object);
        if fresh && state.watched.len() >= MOST_OBJECTS {
            return None;
        }
        // What waits of an earlier time is known to the client, or is told again from here on.
        let mark = state.purge(object);
        let subscription = Subscription { mark, known: from, told: from, phase: Phase::Behind };
        state.watched.insert(object.clone(), subscription);
        Some(fresh)
    }

    /// Stops watching. Says whether it was watched.
    pub(super) fn unwatch(&self, object: &Object) -> bool {
        let mut state = self.state();
        state.purge(object);
        state.watched.remove(object).is_some()
    }

    /// Everything that is watched.
    pub(super) fn objects(&self) -> Vec<Object> {
        self.state().watched.keys().cloned().collect()
    }

    /// What of a conversation is watched, which its client is no member of any more.
    pub(super) fn objects_of(&self, conversation: &ConversationSid) -> Vec<Object> {
        let sid = || conversation.clone();
        let all = [Object::Document(sid()), Object::Messages(sid()), Object::Roster(sid())];
        let state = self.state();
        all.into_iter().filter(|object| state.watched.contains_key(object)).collect()
    }

    /// Something happened to objects.
    pub(super) fn offer<'a>(&self, news: impl Iterator<Item = (&'a Object, &'a Live)>) {
        let mut state = self.state();
        news.for_each(|(object, live)| state.offer(object, live));
        drop(state);
        self.woken.notify_one();
    }

    /// Tells something that has no place in the order of an object, such as that somebody types. Left out where too much
    /// waits: it is stale by the time it could be read.
    pub(super) fn mention(&self, notice: Notice) {
        let mut state = self.state();
        if state.waiting.len() < MOST_WAITING {
            state.waiting.push_back(Waiting { of: None, notice });
        }
        drop(state);
        self.woken.notify_one();
    }

    /// Answers something that the client asked for.
    pub(super) fn answer(&self, notice: Notice) {
        let mut state = self.state();
        state.waiting.push_back(Waiting { of: None, notice });
        if state.waiting.len() > TOO_MANY {
            state.waiting.clear();
            state.over = true;
        }
        drop(state);
        self.woken.notify_one();
    }

    /// Ends the session; the client may come again.
    pub fn end(&self) {
        self.state().over = true;
        self.woken.notify_one();
    }

    /// What there is to do: a notice to hand out, an object to catch up with, or nothing but to wait.
    pub(super) fn step(&self) -> Step {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.pop_front() {
            return Step::Tell(waiting.notice);
        }
        // There may be a hundred thousand that once had much to hear and are idle.
        if state.waiting.capacity() > KEPT {
            state.waiting = VecDeque::new();
        }
        if state.over {
            return Step::End;
        }
        match state.behind.pop_front() {
            Some(object) => Step::CatchUp(object),
            None => Step::Wait,
        }
    }

    pub(super) async fn wait(&self) {
        self.woken.notified().await;
    }

    /// Begins to catch up with an object.
    pub(super) fn replay(&self, object: &Object) -> Option<Replay<'_>> {
        let mut state = self.state();
        let subscription = state.watched.get_mut(object)?;
        match subscription.phase {
            // Somebody else is at it.
            Phase::Replaying(_) | Phase::Overrun => None,
            Phase::Live | Phase::Behind => {
                subscription.phase = Phase::Replaying(Vec::new());
                let told = subscription.told;
                Some(Replay { session: self, object: object.clone(), told, done: false })
            }
        }
    }
}

impl State {
    fn offer(&mut self, object: &Object, live: &Live) {
        let State { waiting, watched, behind, .. } = self;
        let Some(subscription) = watched.get_mut(object) else { return };
        match &mut subscription.phase {
            Phase::Behind | Phase::Overrun => {}
            Phase::Replaying(meanwhile) if meanwhile.len() >= MOST_WAITING => {
                subscription.phase = Phase::Overrun;
            }
            Phase::Replaying(meanwhile) => meanwhile.push(live.clone()),
            Phase::Live => {
                if waiting.len() + live.events.len() > MOST_WAITING {
                    subscription.phase = Phase::Behind;
                    behind.push_back(object.clone());
                } else {
                    subscription.tell(live, waiting);
                }
            }
        }
    }

    /// Drops what waits of an object. Gives its mark.
    fn purge(&mut self, object: &Object) -> u64 {
        let mark = std::hash::BuildHasher::hash_one(&foldhash::fast::FixedState::default(), object);
        self.waiting.retain(|waiting| waiting.of != Some(mark));
        mark
    }
}

impl Subscription {
    fn tell(&mut self, live: &Live, waiting: &mut VecDeque<Waiting>) {
        for event in live.events.iter().filter(|event| event.id > self.told) {
            waiting.push_back(Waiting { of: Some(self.mark), notice: event.notice(self.known) });
        }
        self.told = self.told.max(live.upto);
        self.known = self.known.max(live.upto);
    }
}

pub(super) enum Step {
    Tell(Notice),
    CatchUp(Object),
    Wait,
    End,
}

/// An object that is being caught up with. One that is dropped half-way is caught up with again.
pub(super) struct Replay<'a> {
    session: &'a Session,
    object: Object,
    /// Where it begins.
    pub told: Revision,
    done: bool,
}

impl Replay<'_> {
    /// Nothing happened: the client knows all there is to know.
    pub fn nothing(self) {
        let told = self.told;
        self.end(Live { events: Vec::new(), upto: told }, true);
    }

    /// Tells what happened up to a number, and what happened meanwhile. What is not whole goes on when the socket has taken
    /// this.
    pub fn end(mut self, live: Live, whole: bool) {
        self.done = true;
        let mut state = self.session.state();
        let State { waiting, watched, behind, .. } = &mut *state;
        let Some(subscription) = watched.get_mut(&self.object) else { return };
        for event in live.events.iter().filter(|event| event.id > subscription.told) {
            let notice = event.notice(subscription.known);
            waiting.push_back(Waiting { of: Some(subscription.mark), notice });
        }
        subscription.told = subscription.told.max(live.upto);
        let meanwhile = std::mem::replace(&mut subscription.phase, Phase::Behind);
        match meanwhile {
            Phase::Replaying(meanwhile) if whole => {
                subscription.known = subscription.told;
                subscription.phase = Phase::Live;
                meanwhile.iter().for_each(|live| subscription.tell(live, waiting));
            }
            Phase::Overrun if whole => {
                subscription.known = subscription.told;
                behind.push_back(self.object.clone());
            }
            _ => behind.push_back(self.object.clone()),
        }
        drop(state);
        self.session.woken.notify_one();
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.session.state();
        let State { watched, behind, .. } = &mut *state;
        if let Some(subscription) = watched.get_mut(&self.object) {
            subscription.phase = Phase::Behind;
            behind.push_back(self.object.clone());
        }
        drop(state);
        self.session.woken.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountSid, Mint, ServiceSid};

    #[test]
    fn an_idle_session_keeps_no_room_for_what_it_was_told() {
        let mint = Mint::seeded(1);
        let realm = Realm { account: AccountSid::new(&mint), service: ServiceSid::new(&mint) };
        let session = Session::new(realm, "ada".to_owned());
        for _ in 0..MOST_WAITING {
            session.answer(Notice { message_type: "twilio.sync.event", payload: "{}".into() });
        }
        let told = std::iter::from_fn(|| match session.step() {
            Step::Tell(notice) => Some(notice),
            Step::CatchUp(_) | Step::Wait | Step::End => None,
        });
        assert_eq!(told.count(), MOST_WAITING);
        assert!(session.state().waiting.capacity() <= KEPT);
    }
}
