//! From what a decision writes to the events it is told by.

use std::sync::Arc;

use bytes::Bytes;
use trunkline_adapter::Timestamp;

use super::cause::Cause;
use super::hooks::Hooks;
use super::job::{EventJob, Replay, To};
use super::params::{self, Pairs};
use crate::ledger::engine::{Batch, Write};
use crate::ledger::key::Space;
use crate::ledger::{LedgerError, tables};
use crate::model::{
    AccountSid, Compact, Conversation, ConversationRecord, Event, HookMethod, Json, Member, MessageRecord,
    Mint, ScopedWebhook, ServiceSid, State, UserRecord,
};
use crate::work::{self, Queue};

/// Whose events they are, and what making them takes.
pub struct Told<'a> {
    pub hooks: &'a Hooks,
    pub account: &'a AccountSid,
    pub service: &'a ServiceSid,
    /// The webhooks of the conversation that it is about.
    pub scoped: &'a [ScopedWebhook],
    pub cause: Cause,
    pub now: Timestamp,
    pub mint: &'a Mint,
    /// Numbers that grow.
    pub birth: &'a (dyn Fn() -> u64 + Sync),
}

/// What a decision about a conversation changes.
pub struct Changes<'a> {
    /// As it was; nothing where it is new.
    pub before: Option<&'a Conversation>,
    /// As it will be.
    pub next: &'a Conversation,
    /// The messages that go, as they are.
    pub gone: &'a [(u64, MessageRecord)],
}

impl Told<'_> {
    /// Adds the rows that tell a decision to its batch; gives the subjects to wake afterwards.
    ///
    /// # Errors
    /// When a row that the batch writes cannot be read.
    pub fn decision(&self, changes: &Changes<'_>, batch: &mut Batch) -> Result<Vec<String>, LedgerError> {
        let mut wake = Vec::new();
        let Changes { before, next, gone } = changes;
        if next.head.state == State::Deleted {
            let state = before.map_or(State::Deleted, |before| before.head.state);
            self.conversation(Event::ConversationRemoved, next, state, true, batch, &mut wake);
            return Ok(wake);
        }
        let before = *before;
        let woke = before.is_some_and(|before| before.head.state != next.head.state);
        match before {
            None => {
                self.conversation(Event::ConversationAdded, next, next.head.state, false, batch, &mut wake)
            }
            Some(before) if changed(&before.record, &next.record, woke) => {
                self.conversation(Event::ConversationUpdated, next, next.head.state, false, batch, &mut wake);
            }
            Some(_) => {}
        }
        for user in users(batch)? {
            self.user_added(&user, batch, &mut wake);
        }
        self.roster(before, next, batch, &mut wake);
        for (event, index, record) in messages(next, batch)? {
            self.message(event, next, index, &record, batch, &mut wake);
        }
        for (index, record) in *gone {
            self.message(Event::MessageRemoved, next, *index, record, batch, &mut wake);
        }
        if let Some(before) = before.filter(|_| woke) {
            self.state(before.head.state, next, batch, &mut wake);
        }
        Ok(wake)
    }

    fn conversation(
        &self,
        event: Event,
        next: &Conversation,
        state: State,
        removed: bool,
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        self.tell(event, next.sid().as_str(), None, batch, wake, |pairs| {
            params::conversation(pairs, next, state);
            if removed {
                pairs.put("DateRemoved", params::instant(self.now));
            }
        });
    }

    fn roster(
        &self,
        before: Option<&Conversation>,
        next: &Conversation,
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        let none = Arc::default();
        let earlier = before.map_or(&none, |before| &before.members);
        if Arc::ptr_eq(earlier, &next.members) {
            return;
        }
        for member in next.members.iter() {
            match earlier.iter().find(|known| known.record.sid == member.record.sid) {
                None => self.participant(Event::ParticipantAdded, next, member, batch, wake),
                Some(known) if differs(known, member) => {
                    self.participant(Event::ParticipantUpdated, next, member, batch, wake);
                }
                Some(_) => {}
            }
        }
        for member in earlier.iter() {
            if next.member(&member.record.sid).is_none() {
                self.participant(Event::ParticipantRemoved, next, member, batch, wake);
            }
        }
    }

    fn participant(
        &self,
        event: Event,
        next: &Conversation,
        member: &Member,
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        let record = &member.record;
        self.tell(event, next.sid().as_str(), None, batch, wake, |pairs| {
            pairs.put("ConversationSid", next.sid().as_str()).put("ParticipantSid", record.sid.as_str());
            pairs.put("DateCreated", params::instant(record.created));
            params::participant(pairs, record);
            if event != Event::ParticipantAdded {
                pairs.put("DateUpdated", params::instant(record.updated));
                pairs.maybe(
                    "LastReadMessageIndex",
                    record.last_read_message_index.map(|index| index.to_string()),
                );
            }
            if event == Event::ParticipantRemoved {
                pairs.put("DateRemoved", params::instant(self.now));
            }
        });
    }

    /// A message that was added, changed or removed.
    pub fn message(
        &self,
        event: Event,
        next: &Conversation,
        index: u64,
        record: &MessageRecord,
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        let body = record.body.as_deref();
        self.tell(event, next.sid().as_str(), body, batch, wake, |pairs| {
            self.message_params(event, next, index, record, pairs);
        });
    }

    fn message_params(
        &self,
        event: Event,
        next: &Conversation,
        index: u64,
        record: &MessageRecord,
        pairs: &mut Pairs,
    ) {
        pairs.put("ConversationSid", next.sid().as_str());
        pairs.maybe("MessagingServiceSid", next.record.messaging_service_sid.as_deref());
        params::message(pairs, index, record);
        if event != Event::MessageAdded {
            pairs.put("DateUpdated", params::instant(record.updated));
        }
        if event == Event::MessageRemoved {
            pairs.put("DateRemoved", params::instant(self.now));
        }
    }

    /// A new webhook hears of what was said before it: from the message behind the one it names, and from the very first
    /// where it names index 0.
    pub fn replay(
        &self,
        hook: &ScopedWebhook,
        conversation: &Conversation,
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        let (Some(after), Some(url)) = (hook.replay_after, &hook.url) else { return };
        let next = if after == 0 { 0 } else { after.saturating_add(1) };
        let replay = Replay { next, until: conversation.head.next_index };
        if replay.next >= replay.until {
            return;
        }
        let mut pairs = params::common(Event::MessageAdded, self.account, self.service, self.cause.source);
        pairs.put("ConversationSid", conversation.sid().as_str());
        pairs.maybe("MessagingServiceSid", conversation.record.messaging_service_sid.as_deref());
        let to = To::Conversation(conversation.sid().clone(), hook.sid.clone());
        let row = Row { event: Event::MessageAdded, to, url, method: hook.method, replay: Some(replay) };
        self.put(row, conversation.sid().as_str(), pairs, batch, wake);
    }

    fn state(&self, from: State, next: &Conversation, batch: &mut Batch, wake: &mut Vec<String>) {
        self.tell(Event::ConversationStateUpdated, next.sid().as_str(), None, batch, wake, |pairs| {
            pairs.put("ConversationSid", next.sid().as_str());
            pairs.maybe("MessagingServiceSid", next.record.messaging_service_sid.as_deref());
            pairs.put("StateFrom", from.name()).put("StateTo", next.head.state.name());
            pairs.put("StateUpdated", params::instant(self.now)).put("Reason", self.cause.reason.name());
        });
    }

    /// A user that came.
    pub fn user_added(&self, user: &UserRecord, batch: &mut Batch, wake: &mut Vec<String>) {
        self.tell(Event::UserAdded, user.sid.as_str(), None, batch, wake, |pairs| params::user(pairs, user));
    }

    /// A user that was changed, who is online and has a device that gets pushes, or not.
    pub fn user_updated(
        &self,
        user: &UserRecord,
        (online, notifiable): (bool, bool),
        batch: &mut Batch,
        wake: &mut Vec<String>,
    ) {
        self.tell(Event::UserUpdated, user.sid.as_str(), None, batch, wake, |pairs| {
            params::user(pairs, user);
            pairs.put("DateUpdated", params::instant(user.updated));
            pairs.put("isOnline", online.to_string()).put("isNotifiable", notifiable.to_string());
        });
    }

    /// Adds one event for everybody who listens to it.
    pub(super) fn tell(
        &self,
        event: Event,
        about: &str,
        body: Option<&str>,
        batch: &mut Batch,
        wake: &mut Vec<String>,
        render: impl Fn(&mut Pairs),
    ) {
        let told = match event {
            Event::DeliveryUpdated => true,
            Event::ConversationStateUpdated => self.cause.tells_state(),
            _ => self.cause.told,
        };
        if !told {
            return;
        }
        let mut rendered: Option<Pairs> = None;
        let mut pairs = || {
            let make = || {
                let mut pairs = params::common(event, self.account, self.service, self.cause.source);
                render(&mut pairs);
                pairs
            };
            rendered.get_or_insert_with(make).clone()
        };
        if let Some((to, settings)) = self.hooks.of_service(self.account, self.service)
            && settings.wants(event)
            && let Some(url) = &settings.post_url
        {
            let row = Row { event, to, url, method: settings.method, replay: None };
            self.put(row, about, pairs(), batch, wake);
        }
        for hook in self.scoped.iter().filter(|_| event.is_scoped()) {
            let Some(url) = hook.hears(event, body) else { continue };
            let Some(conversation) = crate::model::ConversationSid::parse(about) else { continue };
            let to = To::Conversation(conversation, hook.sid.clone());
            let row = Row { event, to, url, method: hook.method, replay: None };
            self.put(row, about, pairs(), batch, wake);
        }
    }

    fn put(&self, row: Row<'_>, about: &str, pairs: Pairs, batch: &mut Batch, wake: &mut Vec<String>) {
        let Row { event, to, url, method, replay } = row;
        let token: String = self.mint.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let subject = to.subject(about);
        let (event, url) = (event.name().to_owned(), url.to_owned());
        let job = EventJob { event, to, url, method, token, params: pairs.0, replay };
        let (account, seq) = (self.account.as_str(), (self.birth)());
        work::enqueue(batch, account, Queue::Webhook, account, &subject, seq, self.now, job.encode());
        wake.push(subject);
    }
}

/// One row to be.
struct Row<'a> {
    event: Event,
    to: To,
    url: &'a str,
    method: HookMethod,
    replay: Option<Replay>,
}

/// Whether a document says something else. What a change of state alone writes is told as one.
fn changed(before: &Arc<ConversationRecord>, next: &Arc<ConversationRecord>, woke: bool) -> bool {
    if Arc::ptr_eq(before, next) {
        return false;
    }
    let plain = |record: &ConversationRecord| {
        let mut plain = record.clone();
        plain.webhooks.clear();
        if woke {
            plain.updated = Timestamp(0);
        }
        plain
    };
    plain(before) != plain(next)
}

/// Whether a participant says something else; other addresses that were learnt are no change of theirs.
fn differs(before: &Member, next: &Member) -> bool {
    let plain = |member: &Member| {
        let mut record = member.record.clone();
        if let Some(binding) = &mut record.binding {
            binding.aliases.clear();
        }
        record
    };
    plain(before) != plain(next)
}

/// Users that are born in a batch.
fn users(batch: &Batch) -> Result<Vec<UserRecord>, LedgerError> {
    let rows = batch.writes.iter().filter_map(|write| match write {
        Write::Insert(key, row) | Write::Put(key, row) if key.space() == Some(Space::User) => Some(row),
        _ => None,
    });
    rows.map(|row: &Bytes| Ok(UserRecord::decode(row)?)).collect()
}

/// Messages that a batch adds or changes.
fn messages(next: &Conversation, batch: &Batch) -> Result<Vec<(Event, u64, MessageRecord)>, LedgerError> {
    let mut found = Vec::new();
    for write in &batch.writes {
        let (event, key, row) = match write {
            Write::Insert(key, row) => (Event::MessageAdded, key, row),
            Write::Put(key, row) => (Event::MessageUpdated, key, row),
            Write::Delete(_) => continue,
        };
        if key.space() != Some(Space::Message) {
            continue;
        }
        let Some(index) = tables::message_index(key) else { continue };
        // A new one has the index that the head counts on from.
        debug_assert!(index < next.head.next_index, "a message beyond the head");
        found.push((event, index, MessageRecord::decode(row)?));
    }
    Ok(found)
}
