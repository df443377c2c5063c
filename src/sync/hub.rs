//! Where sessions are opened, objects are watched, and what was committed is told: read once, encoded once, for all.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use trunkline_adapter::Notice;

use super::event::{self, Event};
use super::feed::{Feed, Ready};
use super::object::{ItemKey, Object, Realm};
use super::presence::{Gone, Presence};
use super::read::{Entry, Reader};
use super::render;
use super::seats::Seats;
use super::session::{Live, Session, Step};
use crate::ledger::engine::{Follower, Revision, Snapshot};
use crate::ledger::key::{Key, Space};
use crate::ledger::store::Restoration;
use crate::ledger::{Ledger, LedgerError, tables, typed};
use crate::model::{ConversationSid, ParticipantRecord, ParticipantSid, UserRecord};

/// Most events told of one object at once; the rest follows when the socket has taken them.
const PIECE: usize = 500;
/// Seconds a client shows that somebody types, counted from the last word about it.
const TYPING: u32 = 6;

/// Whoever loses their network stays online for so long: clients come back by themselves within seconds, and a tunnel is no
/// news. A network that is gone is noticed within 50 seconds, so nobody is shown online for more than two minutes.
const GRACE: Duration = Duration::from_secs(60);

/// How clients are told that there is no such object, or none for them.
const NOT_FOUND: (u16, u32, &str) = (404, 54100, "Not found");

/// The synchronised view.
pub struct Hub {
    feed: Arc<Feed>,
    ledger: Ledger,
    presence: Presence,
    seats: Seats,
    restoration: OnceLock<Restoration>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.feed.stop();
    }
}

/// A follower that is there from the store's first commit on; to be given to [`Hub::new`].
#[derive(Clone, Default)]
pub struct Tap(Arc<Feed>);

impl Tap {
    /// What the store's committer is to tell.
    pub fn follower(&self) -> Arc<dyn Follower> {
        Arc::clone(&self.0) as Arc<dyn Follower>
    }
}

impl Hub {
    pub fn new(tap: &Tap, ledger: Ledger) -> Hub {
        tap.0.start(ledger.engine());
        Hub {
            feed: Arc::clone(&tap.0),
            ledger,
            presence: Presence::default(),
            seats: Seats::default(),
            restoration: OnceLock::new(),
        }
    }

    /// The store was made from a dump. Before the first session.
    pub fn restored(&self, restoration: Restoration) {
        // The first one stays: there is one store.
        let _ = self.restoration.set(restoration);
    }

    fn restoration(&self) -> Restoration {
        self.restoration.get().copied().unwrap_or_default()
    }

    /// Tells what is committed to those who watch it; runs until dropped.
    pub async fn run(self: Arc<Hub>) {
        loop {
            let ready = self.feed.next().await;
            if let Err(error) = self.dispatch(ready).await {
                tracing::error!(%error, "What was committed cannot be read; clients are brought up to date when they come again");
            }
        }
    }

    /// A view of a service's objects as of a snapshot.
    pub fn reader<'a>(&'a self, snapshot: &'a dyn Snapshot, realm: &'a Realm) -> Reader<'a> {
        let Restoration { began, .. } = self.restoration();
        let floor = if began > 0 { began + 1 } else { 0 };
        Reader { snapshot, realm, presence: &self.presence, seats: &self.seats, floor }
    }

    pub fn snapshot(&self) -> Box<dyn Snapshot> {
        self.ledger.snapshot()
    }

    /// A session begins.
    pub async fn open(&self, realm: Realm, identity: String) -> Arc<Session> {
        let session = Arc::new(Session::new(realm, identity));
        let first = !self.feed.watches.any();
        self.feed.watches.enter(&session);
        self.feed.entered(first);
        if self.presence.come(&session.realm, &session.identity, self.ledger.birth()) {
            self.tell_presence(&session.realm, &session.identity).await;
        }
        session
    }

    /// A session is over, with a goodbye of its client or without.
    pub fn close(&self, session: &Session, farewell: bool) -> Gone {
        self.feed.watches.leave(session, &session.objects());
        self.presence.go(&session.realm, &session.identity, farewell, self.ledger.birth())
    }

    /// Tells what the end of a session made of somebody, at once or after the grace of one without a goodbye.
    pub async fn tell_gone(&self, realm: &Realm, identity: &str, gone: Gone) {
        if let Gone::Lingers(end) = gone {
            tokio::time::sleep(GRACE).await;
            if !self.presence.lapse(realm, identity, end, self.ledger.birth()) {
                return;
            }
        }
        if gone != Gone::Stays {
            self.tell_presence(realm, identity).await;
        }
    }

    /// Whether somebody is online; nothing where they never were.
    pub fn online(&self, realm: &Realm, identity: &str) -> Option<bool> {
        self.presence.known(realm, identity).then(|| self.presence.of(realm, identity).0)
    }

    /// Somebody has a device more or less that gets pushes.
    pub async fn tell_devices(&self, realm: &Realm, identity: &str) {
        self.presence.touch(realm, identity, self.ledger.birth());
        self.tell_presence(realm, identity).await;
    }

    /// Somebody came online or went: told to those who watch their profile.
    pub async fn tell_presence(&self, realm: &Realm, identity: &str) {
        let object = Object::Profile(identity.to_owned());
        let watching = self.feed.watches.of(realm, &object);
        if watching.is_empty() {
            return;
        }
        let snapshot = self.ledger.snapshot();
        let key = ItemKey::Key(render::REACHABILITY.to_owned());
        match self.reader(&*snapshot, realm).entry(&object, &key).await {
            Ok(Some(entry)) => {
                let event = Event::new(&object, entry);
                // Its number is none of a row's, so it has no place in the order of rows.
                watching.iter().for_each(|session| session.mention(event.notice(event.id)));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "Who is online cannot be told"),
        }
    }

    /// Somebody types, at a client or on a channel that tells it: told to the others' sockets. Whoever is outside has no
    /// identity.
    pub fn typing(&self, realm: &Realm, conversation: &ConversationSid, by: Option<&str>, others: &[&str]) {
        let payload = json!({ "channel_sid": conversation, "identity": by, "typing_timeout": TYPING });
        let payload = Bytes::from(payload.to_string());
        let notice = Notice { message_type: "twilio.ipmsg.typing_indicator", payload };
        for other in others.iter().filter(|other| Some(**other) != by) {
            for session in self.feed.watches.sessions(&tables::digest(other)) {
                if &session.realm == realm {
                    session.mention(notice.clone());
                }
            }
        }
    }

    /// Begins to watch an object and brings the client up to date; `from` is the last event it knows, nothing if it knows
    /// what it just read. The answer goes the way of all notices.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub async fn subscribe<F, D>(
        &self,
        session: &Arc<Session>,
        object: Object,
        from: Option<Revision>,
        correlation: &Value,
        admitted: F,
    ) -> Result<(), LedgerError>
    where
        F: FnOnce() -> D,
        D: Future<Output = Result<bool, LedgerError>>,
    {
        let (name, kind) = (object.name(), object.kind());
        let newest = self.ledger.engine().published();
        let from = from.unwrap_or(newest).min(newest);
        match session.watch(&object, from) {
            None => {
                let error = (429, 54000, "too many objects are watched");
                session.answer(event::failed(&name, kind.name(), correlation, error));
                return Ok(());
            }
            Some(fresh) if fresh => self.feed.watches.add(session, &object),
            Some(_) => {}
        }
        // Looked at only now: whoever is taken out of a conversation from here on is found watching.
        if !admitted().await? {
            self.forget(session, &object);
            session.answer(event::failed(&name, kind.name(), correlation, NOT_FOUND));
            self.disown(session, &object, from);
            return Ok(());
        }
        let told = self.catch_up(session, &object).await?;
        session.answer(event::established(&name, kind, correlation, told.unwrap_or(from)));
        Ok(())
    }

    /// Whoever joined a conversation in a time that a restored store does not know still has it in their list, and no row
    /// says otherwise. That they ask for its messages betrays it.
    fn disown(&self, session: &Session, object: &Object, from: Revision) {
        let began = self.restoration().began;
        let Object::Messages(sid) = object else { return };
        if from < began {
            let list = Object::Memberships(session.identity.clone());
            let key = ItemKey::Key(sid.as_str().to_owned());
            let event = Event::new(&list, Entry { key, created: 0, changed: began, shown: None });
            session.mention(event.notice(began));
        }
    }

    /// Answers a wish to watch something that is not there.
    pub fn refuse(&self, session: &Session, name: &str, kind: &str, correlation: &Value) {
        session.answer(event::failed(name, kind, correlation, NOT_FOUND));
    }

    /// Stops watching an object, which need not exist.
    pub fn cancel(&self, session: &Session, name: &str, kind: &str, correlation: &Value) {
        if let Some(object) = Object::parse(name) {
            self.forget(session, &object);
        }
        session.answer(event::canceled(name, kind, correlation));
    }

    fn forget(&self, session: &Session, object: &Object) {
        if session.unwatch(object) {
            self.feed.watches.remove(session, object);
        }
    }

    /// The next notice of a session; nothing when it is over.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&self, session: &Session) -> Option<Notice> {
        loop {
            match session.step() {
                Step::Tell(notice) => return Some(notice),
                Step::End => return None,
                Step::Wait => session.wait().await,
                Step::CatchUp(object) => {
                    // On its own: it is rare and large, and every idle session waits in this function.
                    if let Err(error) = Box::pin(self.catch_up(session, &object)).await {
                        tracing::error!(%error, "A client cannot be brought up to date; its session ends");
                        return None;
                    }
                }
            }
        }
    }

    /// Tells a client what happened to an object since it last heard of it. Gives the number up to which it knows now.
    async fn catch_up(&self, session: &Session, object: &Object) -> Result<Option<Revision>, LedgerError> {
        let Some(replay) = session.replay(object) else { return Ok(None) };
        let realm = &session.realm;
        let told = replay.told;
        let partition = object.conversation();
        let group = partition.and_then(|sid| tables::head(realm.account.as_str(), sid.as_str()).group());
        if group.is_some_and(|group| self.feed.quiet(group, told)) {
            replay.nothing();
            return Ok(Some(told));
        }
        let snapshot = self.ledger.snapshot();
        let reader = self.reader(&*snapshot, realm);
        let changed = reader.since(object, told).await?;
        let whole = changed.len() <= PIECE;
        let mut events = Vec::with_capacity(changed.len().min(PIECE));
        let mut upto = snapshot.number().max(told);
        events.extend(self.lost(&reader, object, told).await?);
        for (number, key) in changed.into_iter().take(PIECE) {
            events.extend(reader.entry(object, &key).await?.map(|entry| Arc::new(Event::new(object, entry))));
            if !whole {
                upto = number;
            }
        }
        replay.end(Live { events, upto }, whole);
        Ok(Some(upto))
    }

    /// Messages that a client may hold from before the store was restored, and that are not in it: nobody knows which, but
    /// each had an index not given before, and each cost the old store a number. Where an index was given since, another
    /// message is told behind this under it; a client that still held the old one would take it for that one, changed.
    async fn lost(
        &self,
        reader: &Reader<'_>,
        object: &Object,
        told: Revision,
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let Restoration { known, began } = self.restoration();
        let Object::Messages(sid) = object else { return Ok(Vec::new()) };
        if told >= began {
            return Ok(Vec::new());
        }
        let next = reader.first_above(sid, began).await?;
        let most = told.saturating_sub(known).min(PIECE as u64);
        let gone = |index| Entry { key: ItemKey::Index(index), created: 0, changed: began, shown: None };
        Ok((next..next + most).map(|index| Arc::new(Event::new(object, gone(index)))).collect())
    }

    async fn dispatch(&self, ready: Ready) -> Result<(), LedgerError> {
        let Ready { keys, snapshot } = ready;
        let mut dirty: HashMap<(Realm, Object), BTreeSet<ItemKey>> = HashMap::new();
        for key in keys {
            for (realm, object, item) in self.touched(&*snapshot, &key).await? {
                dirty.entry((realm, object)).or_default().insert(item);
            }
        }
        let upto = snapshot.number();
        let mut news = Vec::with_capacity(dirty.len());
        let mut turns = Vec::new();
        for ((realm, object), items) in dirty {
            let watching = self.feed.watches.of(&realm, &object);
            if watching.is_empty() {
                continue;
            }
            let reader = self.reader(&*snapshot, &realm);
            let mut events = Vec::with_capacity(items.len());
            for item in &items {
                events.extend(
                    reader.entry(&object, item).await?.map(|entry| Arc::new(Event::new(&object, entry))),
                );
            }
            events.sort_by_key(|event| event.id);
            turns.extend(watching.into_iter().map(|session| (session, news.len())));
            news.push((realm, object, Live { events, upto }));
        }
        // Session by session: what a commit changed for one leaves in one write.
        turns.sort_unstable_by_key(|(session, at)| (Arc::as_ptr(session).addr(), *at));
        for turn in turns.chunk_by(|(one, _), (other, _)| Arc::ptr_eq(one, other)) {
            let Some((session, _)) = turn.first() else { continue };
            let told = turn.iter().filter_map(|(_, at)| news.get(*at));
            session.offer(told.map(|(_, object, live)| (object, live)));
        }
        for (realm, object, _) in news.iter().filter(|(_, _, live)| live.ends_object()) {
            self.feed.watches.of(realm, object).iter().for_each(|session| self.forget(session, object));
        }
        Ok(())
    }

    /// The watched items that a written row shows in.
    async fn touched(
        &self,
        snapshot: &dyn Snapshot,
        key: &Key,
    ) -> Result<Vec<(Realm, Object, ItemKey)>, LedgerError> {
        let Some(parts) = key.parts() else { return Ok(Vec::new()) };
        let watches = &self.feed.watches;
        let mut found = Vec::new();
        let mut note = |object: Object, item: ItemKey| {
            for realm in watches.realms(&parts.account) {
                if watches.watched(&realm, &object) {
                    found.push((realm, object.clone(), item.clone()));
                }
            }
        };
        let conversation = || ConversationSid::parse(&parts.partition);
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
        match parts.space {
            Space::Head | Space::Conversation => {
                conversation().into_iter().for_each(|sid| note(Object::Document(sid), ItemKey::Whole));
            }
            Space::Message | Space::Receipt => {
                let index = tables::message_index(key).or_else(|| tables::receipt_index(key));
                if let Some((sid, index)) = conversation().zip(index) {
                    note(Object::Messages(sid), ItemKey::Index(index));
                }
            }
            Space::Tombstone => match (conversation(), tables::tombstone_index(key)) {
                (Some(sid), Some(index)) => note(Object::Messages(sid), ItemKey::Index(index)),
                (Some(sid), None) => {
                    let name = parts.rest.get(1..).and_then(text);
                    name.into_iter().for_each(|name| note(Object::Roster(sid.clone()), ItemKey::Key(name)));
                }
                (None, _) => {}
            },
            Space::Participant => {
                let name = text(parts.rest).and_then(|name| ParticipantSid::parse(&name));
                let Some((sid, name)) = conversation().zip(name) else { return Ok(found) };
                note(Object::Roster(sid.clone()), ItemKey::Key(name.as_str().to_owned()));
                let row = typed::json::<ParticipantRecord>(snapshot, key).await?;
                if let Some(identity) = row.and_then(|row| row.record.identity) {
                    note(Object::Memberships(identity), ItemKey::Key(sid.as_str().to_owned()));
                }
            }
            Space::User => {
                if let Some(row) = typed::json::<UserRecord>(snapshot, key).await? {
                    for name in [render::ATTRIBUTES, render::FRIENDLY_NAME] {
                        let object = Object::Profile(row.record.identity.clone());
                        note(object, ItemKey::Key(name.to_owned()));
                    }
                }
            }
            Space::Departure => {
                let Some((digest, sid)) = tables::departure_of(key) else { return Ok(found) };
                let left = snapshot.get(key).await?.is_some();
                for session in watches.sessions(&digest) {
                    let here = session.realm.account.as_str() == parts.account
                        && session.realm.service.as_str() == parts.partition;
                    if !here {
                        continue;
                    }
                    let object = Object::Memberships(session.identity.clone());
                    found.push((session.realm.clone(), object, ItemKey::Key(sid.to_owned())));
                    // Whoever is out hears no more of it, from this very group of commits on.
                    if let Some(conversation) = ConversationSid::parse(sid).filter(|_| left) {
                        for object in session.objects_of(&conversation) {
                            self.forget(&session, &object);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(found)
    }
}
