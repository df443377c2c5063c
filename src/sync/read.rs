//! Reading objects: what an item holds now, and pages of items. State alone, no log: a row's number is the number of the event
//! that tells it, and what is gone has left a row of its own.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use trunkline_adapter::Timestamp;

use super::object::{ItemKey, Object, Realm};
use super::presence::Presence;
use super::render;
use super::seats::Seats;
use crate::ledger::engine::{Revision, Row, Snapshot};
use crate::ledger::key::{Key, Range};
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    Compact, ConversationRecord, ConversationSid, DeliverySummary, Head, Json, MessageRecord,
    ParticipantRecord, PushBindingRecord, ReceiptSid, ServiceSettings, State, UserRecord, UserSid,
};

/// Rows read at a time.
const PAGE: usize = 500;
/// Participants of a conversation whom nobody minds reading anew.
const FEW: usize = 20;

/// An item as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: ItemKey,
    /// The number it was made with.
    pub created: Revision,
    /// The number of the last change of anything it shows.
    pub changed: Revision,
    /// `None`: it is gone.
    pub shown: Option<Shown>,
}

/// What an item holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub data: Value,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Edge,
    /// With this item, if it is there.
    At(ItemKey),
    /// Behind this item.
    Behind(ItemKey),
}

/// A view of the objects of a service at one moment.
pub struct Reader<'a> {
    pub snapshot: &'a dyn Snapshot,
    pub realm: &'a Realm,
    pub presence: &'a Presence,
    pub seats: &'a Seats,
    /// No event is told under a lower number: where the store was restored, clients may remember later versions of its rows.
    pub floor: Revision,
}

impl Reader<'_> {
    pub(super) fn account(&self) -> &str {
        self.realm.account.as_str()
    }

    pub(super) fn service(&self) -> &str {
        self.realm.service.as_str()
    }

    /// A conversation of this service that is there.
    pub(super) async fn head(
        &self,
        sid: &ConversationSid,
    ) -> Result<Option<typed::Stored<Head>>, LedgerError> {
        let head = typed::compact::<Head>(self.snapshot, &tables::head(self.account(), sid.as_str())).await?;
        Ok(head.filter(|head| head.record.service == self.realm.service))
    }

    async fn living(&self, sid: &ConversationSid) -> Result<bool, LedgerError> {
        Ok(self.head(sid).await?.is_some_and(|head| head.record.state != State::Deleted))
    }

    /// Whether there is such an object.
    pub async fn exists(&self, object: &Object) -> Result<bool, LedgerError> {
        match object {
            Object::Document(sid) | Object::Messages(sid) | Object::Roster(sid) => self.living(sid).await,
            Object::Profile(identity) | Object::Memberships(identity) => {
                Ok(self.user(identity).await?.is_some())
            }
        }
    }

    /// The participant that an identity is in a conversation.
    pub async fn member(
        &self,
        sid: &ConversationSid,
        identity: &str,
    ) -> Result<Option<typed::Stored<ParticipantRecord>>, LedgerError> {
        if let Some(name) = self.seats.of(self.realm, sid, identity) {
            let key = tables::participant(self.account(), sid.as_str(), &name);
            let found = typed::json::<ParticipantRecord>(self.snapshot, &key).await?;
            if let Some(found) = found.filter(|found| found.record.identity.as_deref() == Some(identity)) {
                return Ok(Some(found));
            }
        }
        let rows = self.all(&tables::participants(self.account(), sid.as_str())).await?;
        // Where there are many, others will come and ask the same.
        let many = rows.len() > FEW;
        // Most rows are other people's, and need not be understood.
        let spelt = serde_json::to_string(identity).unwrap_or_default();
        let mut found = None;
        for (_, row) in rows {
            if !many && !contains(&row.payload, spelt.as_bytes()) {
                continue;
            }
            let record = ParticipantRecord::decode(&row.payload)?;
            let Some(own) = record.identity.as_deref() else { continue };
            if many || own == identity {
                self.seats.note(self.realm, sid, own, &record.sid);
            }
            if own == identity {
                found = Some(typed::Stored { record, created: row.created, changed: row.changed });
            }
        }
        Ok(found)
    }

    /// A conversation's document.
    pub async fn conversation(
        &self,
        sid: &ConversationSid,
    ) -> Result<Option<ConversationRecord>, LedgerError> {
        if !self.living(sid).await? {
            return Ok(None);
        }
        let key = tables::conversation(self.account(), sid.as_str());
        Ok(typed::json::<ConversationRecord>(self.snapshot, &key).await?.map(|stored| stored.record))
    }

    /// Whether somebody left a conversation, or was taken out of it, and has not come back.
    pub async fn departed(&self, sid: &ConversationSid, identity: &str) -> Result<bool, LedgerError> {
        let key = tables::departure(self.account(), self.service(), identity, sid.as_str());
        Ok(self.snapshot.get(&key).await?.is_some())
    }

    async fn user(&self, identity: &str) -> Result<Option<typed::Stored<UserRecord>>, LedgerError> {
        let key = tables::user_identity(self.account(), self.service(), identity);
        let Some(row) = self.snapshot.get(&key).await? else { return Ok(None) };
        let Some(sid) = std::str::from_utf8(&row.payload).ok().and_then(UserSid::parse) else {
            return Ok(None);
        };
        typed::json(self.snapshot, &tables::user(self.account(), self.service(), sid.as_str())).await
    }

    /// When an object was made and last changed, as far as its own record says.
    pub async fn dates(&self, object: &Object) -> Result<(Timestamp, Timestamp), LedgerError> {
        let dates = match object {
            Object::Document(sid) | Object::Messages(sid) | Object::Roster(sid) => {
                self.conversation(sid).await?.map(|record| (record.created, record.updated))
            }
            Object::Profile(identity) | Object::Memberships(identity) => {
                self.user(identity).await?.map(|user| (user.record.created, user.record.updated))
            }
        };
        Ok(dates.unwrap_or((Timestamp(0), Timestamp(0))))
    }

    /// An item by its key; also one that is gone, where something is left of it.
    pub async fn entry(&self, object: &Object, key: &ItemKey) -> Result<Option<Entry>, LedgerError> {
        Ok(self.row(object, key).await?.map(|entry| self.raised(entry)))
    }

    fn raised(&self, entry: Entry) -> Entry {
        Entry { created: entry.created.max(self.floor), changed: entry.changed.max(self.floor), ..entry }
    }

    async fn row(&self, object: &Object, key: &ItemKey) -> Result<Option<Entry>, LedgerError> {
        match (object, key) {
            (Object::Document(sid), ItemKey::Whole) => self.document(sid).await,
            (Object::Messages(sid), ItemKey::Index(index)) => self.message(sid, *index).await,
            (Object::Roster(sid), ItemKey::Key(name)) => self.participant(sid, name).await,
            (Object::Profile(identity), ItemKey::Key(name)) => self.profile(identity, name).await,
            (Object::Memberships(identity), ItemKey::Key(name)) => match ConversationSid::parse(name) {
                Some(sid) => self.membership(identity, &sid).await,
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    pub(super) async fn document(&self, sid: &ConversationSid) -> Result<Option<Entry>, LedgerError> {
        let Some(head) = self.head(sid).await? else { return Ok(None) };
        let gone = Entry { key: ItemKey::Whole, created: head.created, changed: head.changed, shown: None };
        if head.record.state == State::Deleted {
            return Ok(Some(gone));
        }
        let key = tables::conversation(self.account(), sid.as_str());
        let Some(stored) = typed::json::<ConversationRecord>(self.snapshot, &key).await? else {
            return Ok(Some(gone));
        };
        let newest = Range::prefix(&tables::messages(self.account(), sid.as_str())).reversed();
        let last = self.snapshot.scan(newest, 1).await?;
        let last = match last.first() {
            Some((key, row)) => tables::message_index(key).zip(Some(MessageRecord::decode(&row.payload)?)),
            None => None,
        };
        let (head, record) = (&head, stored.record);
        let marks = [head.record.document, head.record.messages].map(|mark| mark.number(head.changed));
        let data =
            render::document(&head.record, &record, last.as_ref().map(|(index, record)| (*index, record)));
        Ok(Some(Entry {
            key: ItemKey::Whole,
            created: head.created,
            changed: marks.into_iter().max().unwrap_or_default().max(stored.changed),
            shown: Some(Shown { data, created: record.created, updated: record.updated }),
        }))
    }

    async fn message(&self, sid: &ConversationSid, index: u64) -> Result<Option<Entry>, LedgerError> {
        let (account, conversation) = (self.account(), sid.as_str());
        let key = ItemKey::Index(index);
        let Some(stored) = typed::message(self.snapshot, account, conversation, index).await? else {
            let key = tables::message_tombstones(account, conversation, index).1;
            return self.gone(ItemKey::Index(index), &key).await;
        };
        let (record, mut changed) = (stored.record, stored.changed);
        let mut delivery = None;
        if !record.deliveries.is_empty() {
            let receipts = typed::receipts(self.snapshot, account, conversation, index).await?;
            let mut statuses: HashMap<ReceiptSid, _> = HashMap::new();
            for receipt in receipts {
                changed = changed.max(receipt.changed);
                statuses.insert(receipt.record.sid, receipt.record.status);
            }
            let known = |sid| statuses.get(sid).copied().flatten();
            let of: Vec<_> = record.deliveries.iter().map(|delivery| known(&delivery.receipt)).collect();
            delivery = DeliverySummary::of(&of);
        }
        let data = render::message(&record, delivery);
        let shown = Some(Shown { data, created: record.created, updated: record.updated });
        Ok(Some(Entry { key, created: stored.created, changed, shown }))
    }

    async fn participant(&self, sid: &ConversationSid, name: &str) -> Result<Option<Entry>, LedgerError> {
        let (account, conversation) = (self.account(), sid.as_str());
        let key = tables::participant(account, conversation, name);
        match typed::json::<ParticipantRecord>(self.snapshot, &key).await? {
            Some(stored) => Ok(Some(seated(&stored))),
            None => {
                let left = tables::tombstone(account, conversation, b'P', name.as_bytes());
                self.gone(ItemKey::Key(name.to_owned()), &left).await
            }
        }
    }

    pub(super) async fn profile(&self, identity: &str, name: &str) -> Result<Option<Entry>, LedgerError> {
        let Some(stored) = self.user(identity).await? else { return Ok(None) };
        if name == render::REACHABILITY {
            return self.reachability(identity, &stored).await;
        }
        Ok(render::profile(&stored.record, name).map(|data| {
            let shown = Shown { data, created: stored.record.created, updated: stored.record.updated };
            Entry {
                key: ItemKey::Key(name.to_owned()),
                created: stored.created,
                changed: stored.changed,
                shown: Some(shown),
            }
        }))
    }

    /// Where the service wants it known.
    async fn reachability(
        &self,
        identity: &str,
        user: &typed::Stored<UserRecord>,
    ) -> Result<Option<Entry>, LedgerError> {
        let key = tables::service_settings(self.account(), self.service());
        let settings = typed::json::<ServiceSettings>(self.snapshot, &key).await?;
        if !settings.is_some_and(|settings| settings.record.reachability) {
            return Ok(None);
        }
        let (online, changed) = self.presence.of(self.realm, identity);
        let spelt = serde_json::to_string(identity).unwrap_or_default();
        let devices = self.all(&tables::push_bindings(self.account(), self.service())).await?;
        let mut notifiable = false;
        for (_, row) in devices.iter().filter(|(_, row)| contains(&row.payload, spelt.as_bytes())) {
            notifiable |= PushBindingRecord::decode(&row.payload)?.identity == identity;
        }
        let data = render::reachability(online, notifiable);
        let shown = Shown { data, created: user.record.created, updated: user.record.updated };
        Ok(Some(Entry {
            key: ItemKey::Key(render::REACHABILITY.to_owned()),
            created: user.created,
            changed: changed.max(user.created),
            shown: Some(shown),
        }))
    }

    pub(super) async fn membership(
        &self,
        identity: &str,
        sid: &ConversationSid,
    ) -> Result<Option<Entry>, LedgerError> {
        let key = || ItemKey::Key(sid.as_str().to_owned());
        let head = self.head(sid).await?;
        let living = head.as_ref().is_some_and(|head| head.record.state != State::Deleted);
        let member = match living {
            true => self.member(sid, identity).await?,
            false => None,
        };
        if let Some(stored) = member {
            let record = &stored.record;
            let data = render::membership(sid, record);
            let shown = Shown { data, created: record.created, updated: record.updated };
            return Ok(Some(Entry {
                key: key(),
                created: stored.created,
                changed: stored.changed,
                shown: Some(shown),
            }));
        }
        let left = tables::departure(self.account(), self.service(), identity, sid.as_str());
        if let Some(entry) = self.gone(key(), &left).await? {
            return Ok(Some(entry));
        }
        // It is being removed, and has not come to this member yet.
        let deleted = head.filter(|head| head.record.state == State::Deleted);
        Ok(deleted.map(|head| Entry {
            key: key(),
            created: head.created,
            changed: head.changed,
            shown: None,
        }))
    }

    async fn gone(&self, key: ItemKey, left: &Key) -> Result<Option<Entry>, LedgerError> {
        let row = self.snapshot.get(left).await?;
        Ok(row.map(|row| Entry { key, created: row.created, changed: row.changed, shown: None }))
    }

    /// Items from a place on, in the order of their keys or against it.
    pub async fn page(
        &self,
        object: &Object,
        place: &Place,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let account = self.account();
        let mut page = Vec::new();
        match object {
            Object::Document(_) => {}
            Object::Messages(sid) => {
                let prefix = tables::messages(account, sid.as_str());
                let at = |key: &ItemKey| match key {
                    ItemKey::Index(index) => Some(tables::message(account, sid.as_str(), *index)),
                    ItemKey::Whole | ItemKey::Key(_) => None,
                };
                let rows = self.snapshot.scan(run(&prefix, place, descending, at), limit).await?;
                for index in rows.iter().filter_map(|(key, _)| tables::message_index(key)) {
                    page.extend(self.message(sid, index).await?.filter(|entry| entry.shown.is_some()));
                }
            }
            Object::Roster(sid) => {
                let prefix = tables::participants(account, sid.as_str());
                let at = |key: &ItemKey| match key {
                    ItemKey::Key(name) => Some(tables::participant(account, sid.as_str(), name)),
                    ItemKey::Whole | ItemKey::Index(_) => None,
                };
                let range = run(&prefix, place, descending, at);
                let rows = typed::json_page::<ParticipantRecord>(self.snapshot, range, limit).await?;
                page.extend(rows.iter().map(|(_, stored)| seated(stored)));
            }
            Object::Profile(identity) => {
                let names = [render::ATTRIBUTES, render::FRIENDLY_NAME, render::REACHABILITY];
                for name in cut(names.map(str::to_owned).into(), place, descending, limit) {
                    page.extend(self.profile(identity, &name).await?);
                }
            }
            Object::Memberships(identity) => {
                let places = self.places(identity).await?;
                let places = places.iter().map(|sid| sid.as_str().to_owned()).collect();
                // All of them, until there are enough: an entry in the index may be of a conversation that is going.
                for name in cut(places, place, descending, usize::MAX) {
                    if page.len() == limit {
                        break;
                    }
                    let Some(sid) = ConversationSid::parse(&name) else { continue };
                    let entry = self.membership(identity, &sid).await?;
                    page.extend(entry.filter(|entry| entry.shown.is_some()));
                }
            }
        }
        Ok(page.into_iter().map(|entry| self.raised(entry)).collect())
    }

    /// The index of the first message written above a number; the next to be given where there is none.
    pub async fn first_above(&self, sid: &ConversationSid, number: Revision) -> Result<u64, LedgerError> {
        let mut first = self.head(sid).await?.map_or(0, |head| head.record.next_index);
        self.walk(&tables::messages(self.account(), sid.as_str()), |key, row| {
            if row.created > number {
                first = tables::message_index(key).map_or(first, |at| first.min(at));
            }
        })
        .await?;
        Ok(first)
    }

    /// The conversations that an identity is in, in the order of their SIDs.
    pub(super) async fn places(&self, identity: &str) -> Result<Vec<ConversationSid>, LedgerError> {
        let prefix = tables::persons(self.account(), &tables::identity_name(identity));
        let mut places = BTreeMap::new();
        for (_, row) in self.all(&prefix).await? {
            let row = crate::model::PersonRow::decode(&row.payload)?;
            if row.service == self.realm.service {
                places.insert(row.conversation, ());
            }
        }
        Ok(places.into_keys().collect())
    }

    async fn all(&self, prefix: &Key) -> Result<Vec<(Key, Row)>, LedgerError> {
        let mut all = Vec::new();
        let mut range = Range::prefix(prefix);
        loop {
            let rows = self.snapshot.scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(all) };
            range = Range::after(prefix, last);
            all.extend(rows);
        }
    }

    pub(super) async fn walk(
        &self,
        prefix: &Key,
        mut each: impl FnMut(&Key, &Row),
    ) -> Result<(), LedgerError> {
        let mut range = Range::prefix(prefix);
        loop {
            let rows = self.snapshot.scan(range, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            range = Range::after(prefix, last);
            rows.iter().for_each(|(key, row)| each(key, row));
            // A long walk lets others have their turn.
            tokio::task::yield_now().await;
        }
    }
}

fn seated(stored: &typed::Stored<ParticipantRecord>) -> Entry {
    let record = &stored.record;
    let data = render::participant(record);
    Entry {
        key: ItemKey::Key(record.sid.as_str().to_owned()),
        created: stored.created,
        changed: stored.changed,
        shown: Some(Shown { data, created: record.created, updated: record.updated }),
    }
}

/// The run of rows from a place on. A key of the wrong shape is no place, and the run begins at its edge.
fn run(prefix: &Key, place: &Place, descending: bool, at: impl Fn(&ItemKey) -> Option<Key>) -> Range {
    let key = match place {
        Place::Edge => None,
        Place::At(key) | Place::Behind(key) => at(key),
    };
    match (key, place, descending) {
        (None, _, false) | (_, Place::Edge, false) => Range::prefix(prefix),
        (None, _, true) | (_, Place::Edge, true) => Range::prefix(prefix).reversed(),
        (Some(key), Place::At(_), false) => Range::from(prefix, &key),
        (Some(key), Place::Behind(_), false) => Range::after(prefix, &key),
        (Some(key), Place::Behind(_), true) => Range::until(prefix, &key).reversed(),
        (Some(key), Place::At(_), true) => {
            let mut behind = key.as_bytes().to_vec();
            behind.push(0);
            Range::until(prefix, &Key::from_bytes(behind.into())).reversed()
        }
    }
}

/// As [`run`], of keys that are at hand and in order.
fn cut(mut keys: Vec<String>, place: &Place, descending: bool, limit: usize) -> Vec<String> {
    keys.retain(|key| match (place, descending) {
        (Place::At(ItemKey::Key(at)), false) => key >= at,
        (Place::At(ItemKey::Key(at)), true) => key <= at,
        (Place::Behind(ItemKey::Key(at)), false) => key > at,
        (Place::Behind(ItemKey::Key(at)), true) => key < at,
        _ => true,
    });
    if descending {
        keys.reverse();
    }
    keys.truncate(limit);
    keys
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
