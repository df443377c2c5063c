//! The inbox: what came in for a conversation whose messages somebody wants to be asked about, or whose making is. It is durable and answered
//! at once, since a provider's timeout must not depend on a third party; the question follows. While a conversation has
//! anything in here, everything that comes in for it goes through here, so nothing overtakes.
//!
//! A row is deleted after what it led to was committed. One that is worked on again after a crash finds the provider's id
//! known and changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use trunkline_adapter::{Address, Echo, Inbound, InboundMessage, Part, Person, Timestamp};

use super::events::{Touch, edited};
use super::fetching::{Complete, Gathered, Parcel};
use super::keyword::Asked;
use super::opting::Opting;
use super::{Origin, remember, takes};
use crate::announce::{self, Cause};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::{LedgerError, tables};
use crate::model::{
    AccountSid, Binding, Conversation, ConversationSid, Event, Member, ParticipantSid, message,
};
use crate::relay::asking::{Amended, Said, Whose};
use crate::relay::commit::{After, Wake};
use crate::relay::media::Attachment;
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};
use crate::work::{self, Queue, Taken, Window};

/// Conversations looked at together.
const WINDOW: usize = 1024;
/// Events that are worked on at once: as many as there are conversations in the window, since some wait long for files or
/// for an answer, and nobody else should.
const MOST_OPEN: usize = WINDOW;
/// Questions that are open at once.
const MOST_ASKED: usize = 64;
/// After a failure an event is tried again a little later.
const AGAIN: Duration = Duration::from_secs(5);
/// Why something is among what could not be read.
const REFUSED: &str = "refused by a pre-action webhook";
/// Rows and bytes of one commit.
const MOST_ROWS: usize = 100;
const MOST_BYTES: usize = 512 * 1024;

/// An event as it is kept.
#[derive(Serialize, Deserialize)]
struct InboxRow {
    adapter: String,
    kind: String,
    event: Inbound,
    /// It is a keyword, and was heard when it came: nobody is written to any more who asked for that, however long what
    /// came before it has to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    heard: bool,
    /// Who said it: it stays theirs, and in their conversation, though they may be gone when its turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    writer: Option<Writer>,
}

/// Whoever wrote something, as they were in the conversation when it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::relay) struct Writer {
    pub participant: ParticipantSid,
    pub address: Address,
}

/// A row that is about to be kept, and the keyword in it.
struct Kept {
    payload: Vec<u8>,
    word: Option<Word>,
}

/// A keyword that came in.
struct Word {
    asked: Asked,
    id: String,
    proxy: Address,
    from: Address,
}

/// How an event came that waited.
struct Came {
    since: Timestamp,
    heard: bool,
    writer: Option<Writer>,
}

/// How much waits, by conversation.
pub struct Inbox {
    waiting: Mutex<HashMap<String, u64>>,
    total: AtomicU64,
    asking: Semaphore,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox { waiting: Mutex::default(), total: AtomicU64::new(0), asking: Semaphore::new(MOST_ASKED) }
    }
}

impl Inbox {
    fn add(&self, conversation: &str, rows: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting.entry(conversation.to_owned()).or_default() += rows;
        self.total.fetch_add(rows, Ordering::AcqRel);
    }

    fn remove(&self, conversation: &str, rows: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = waiting.get_mut(conversation) {
            *left = left.saturating_sub(rows);
            if *left == 0 {
                waiting.remove(conversation);
            }
        }
        self.total.fetch_sub(rows, Ordering::AcqRel);
    }

    fn has(&self, conversation: &str) -> bool {
        self.total.load(Ordering::Acquire) > 0
            && self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(conversation)
    }
}

impl Relay {
    /// Events that wait.
    pub fn inbox_depth(&self) -> u64 {
        self.inbox.total.load(Ordering::Relaxed)
    }

    /// Whether what came in for a conversation, and raises these questions, goes to the inbox. Nobody who has no webhooks pays more than two looks at
    /// memory for it.
    pub(in crate::relay) fn to_inbox(
        &self,
        account: &AccountSid,
        binding: &Binding,
        questions: impl IntoIterator<Item = Event>,
    ) -> bool {
        let mut questions = questions.into_iter();
        self.inbox.has(binding.conversation.as_str())
            || questions.any(|question| self.hooks.pre(account, &binding.service, question).is_some())
    }

    /// Whether anything waits at all.
    pub(in crate::relay) fn inbox_has_any(&self) -> bool {
        self.inbox.total.load(Ordering::Acquire) > 0
    }

    /// Keeps what is of a pair that had no conversation when others of it came, and they still wait: a conversation may
    /// have been made of the first of them meanwhile. Gives back the rest.
    pub(in crate::relay) async fn behind_their_own(
        &self,
        origin: Origin<'_>,
        events: Vec<Inbound>,
    ) -> Result<Vec<Inbound>, RelayError> {
        let mut rest = Vec::with_capacity(events.len());
        for event in events {
            let subject = super::pair(&event).map(|(proxy, person)| pair_subject(proxy, person));
            match subject.filter(|subject| self.inbox.has(subject)) {
                Some(subject) => self.put_in_inbox(origin, &subject, vec![event]).await?,
                None => rest.push(event),
            }
        }
        Ok(rest)
    }

    /// Keeps events of one conversation, or of one pair without, in their order.
    pub(in crate::relay) async fn put_in_inbox(
        &self,
        origin: Origin<'_>,
        subject: &str,
        events: Vec<Inbound>,
    ) -> Result<(), RelayError> {
        let current = match ConversationSid::parse(subject) {
            Some(_) => self.load(origin.account, subject).await?,
            None => None,
        };
        let mut rows =
            events.into_iter().map(|event| self.to_keep(origin, event, current.as_deref())).peekable();
        while rows.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while some.len() < MOST_ROWS
                && let Some(row) =
                    rows.next_if(|row: &Kept| some.is_empty() || bytes + row.payload.len() <= MOST_BYTES)
            {
                bytes += row.payload.len();
                some.push(row);
            }
            // Before the commit: whoever comes after the answer must see it.
            let count = some.len() as u64;
            self.inbox.add(subject, count);
            failpoint!("inbox::before-keep");
            if let Err(error) = self.keep_rows(origin, subject, &some).await {
                self.inbox.remove(subject, count);
                return Err(error);
            }
            failpoint!("inbox::kept");
        }
        Ok(())
    }

    /// One commit of rows, with what their keywords change. A word has a row of its own, so that its repeat is not heard.
    async fn keep_rows(&self, origin: Origin<'_>, subject: &str, rows: &[Kept]) -> Result<(), RelayError> {
        let account = origin.account.as_str();
        for _ in 0..ATTEMPTS {
            let (mut batch, mut after) = (Batch { intake: true, ..Batch::default() }, After::default());
            let (snapshot, mut opting, mut heard) =
                (self.ledger.snapshot(), Opting::default(), BTreeSet::new());
            for Kept { payload, word } in rows {
                let (seq, now) = (self.ledger.birth(), self.clock.now());
                let payload = payload.clone().into();
                work::enqueue(&mut batch, account, Queue::Inbox, account, subject, seq, now, payload);
                after.wake.push(Wake::inbox(origin.account, subject));
                let Some(word) = word else { continue };
                let id = |id: &str| tables::provider_id(account, origin.kind, &word.proxy, id);
                let (message, own) = (id(&word.id), id(&format!("{} keyword", word.id)));
                if !heard.insert(own.clone())
                    || snapshot.get(&own).await?.is_some()
                    || snapshot.get(&message).await?.is_some()
                {
                    continue;
                }
                remember(&mut batch, own);
                let pair = (&word.proxy, &word.from);
                opting.hear(&*snapshot, origin.account, pair, word.asked, &word.id).await?;
            }
            opting.write(&self.context(origin.account, false), &mut batch, &mut after);
            match self.commits.commit(origin.account, batch, after).await {
                Err(CommitError::Conflict(_)) => {}
                done => return done.map_err(RelayError::from),
            }
        }
        Err(RelayError::Contended)
    }

    fn to_keep(&self, origin: Origin<'_>, event: Inbound, current: Option<&Conversation>) -> Kept {
        let word = match &event {
            Inbound::Message(message) => {
                self.asked(origin.account, &message.to, &message.parts).map(|asked| Word {
                    asked,
                    id: message.id.clone(),
                    proxy: message.to.clone(),
                    from: message.from.address.clone(),
                })
            }
            _ => None,
        };
        let writer = match &event {
            Inbound::Message(message) => {
                current.and_then(|current| writer(current.bound(&message.to, &message.from)?))
            }
            _ => None,
        };
        Kept { payload: encoded(origin, event, word.is_some(), writer), word }
    }

    /// Counts what an earlier run left. Before anything comes in.
    pub async fn open_inbox(&self, account: &AccountSid) -> Result<(), LedgerError> {
        let found =
            work::waiting(&*self.ledger.snapshot(), account.as_str(), Queue::Inbox, account.as_str()).await?;
        for (subject, rows) in found {
            self.inbox.add(&subject, rows);
        }
        Ok(())
    }

    /// Works through the inbox of an account: conversations side by side, each in its order; runs until dropped, and
    /// sleeps while there is nothing.
    pub async fn work_through_inbox(self: Arc<Relay>, account: AccountSid) {
        let lane = account.as_str();
        let woken = self.wakeups.register(Queue::Inbox, lane);
        let window = Window::open(self.ledger.clone(), self.clock, lane, Queue::Inbox, lane, WINDOW);
        let (mut window, mut open) = (window.uncounted(), FuturesUnordered::new());
        loop {
            window.told(woken.take());
            let mut due = None;
            while open.len() < MOST_OPEN {
                match window.next().await {
                    Ok(Some(taken)) => open.push(self.work_on(&account, taken)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, "The inbox cannot be read");
                        due = Some(AGAIN);
                        break;
                    }
                }
            }
            let due = due.or_else(|| window.next_due().map(|due| due.since(self.clock.now())));
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((taken, done)) = open.next(), if !open.is_empty() => {
                    let taken: Taken = taken;
                    match done {
                        None => {
                            self.inbox.remove(&taken.subject, 1);
                            window.done(&taken.subject);
                        }
                        Some(pause) => {
                            let due = self.clock.now().plus(pause);
                            window.put_back(&taken.subject, taken.job, Some(due));
                        }
                    }
                }
                () = woken.told() => {}
                () = sleep => {}
            }
        }
    }

    /// Works on one row; says after which pause it is to be looked at again, if it is.
    async fn work_on(&self, account: &AccountSid, taken: Taken) -> (Taken, Option<Duration>) {
        failpoint!("inbox::taken");
        let worked = match serde_json::from_slice::<InboxRow>(&taken.job.payload) {
            Ok(row) => {
                let origin = Origin { adapter: &row.adapter, kind: &row.kind, account };
                let came = Came { since: taken.job.since, heard: row.heard, writer: row.writer };
                self.admit(origin, &taken.subject, row.event, came).await
            }
            Err(error) => {
                tracing::error!(%error, conversation = %taken.subject, "A row of the inbox cannot be read and is dropped");
                Ok(None)
            }
        };
        let worked = match worked {
            Ok(None) => {
                let mut batch = Batch::default();
                batch.delete(taken.key.clone());
                let deleted = self.ledger.commit(batch).await.map(|_| None).map_err(RelayError::from);
                self.partly.forget(&taken.subject);
                failpoint!("inbox::done");
                deleted
            }
            other => other,
        };
        let again = worked.unwrap_or_else(|error| {
            tracing::warn!(%error, conversation = %taken.subject, "What came in is looked at again later");
            Some(AGAIN)
        });
        (taken, again)
    }

    /// Takes one event whose turn has come; says how long it must wait if it cannot be taken yet.
    async fn admit(
        &self,
        origin: Origin<'_>,
        sid: &str,
        event: Inbound,
        came: Came,
    ) -> Result<Option<Duration>, RelayError> {
        let message = match event {
            Inbound::Message(message) => message,
            event => return self.admit_event(origin, sid, event, came.since).await,
        };
        let own = tables::provider_id(origin.account.as_str(), origin.kind, &message.to, &message.id);
        if self.ledger.snapshot().get(&own).await?.is_some() {
            inbound(origin.adapter, InboundOutcome::Duplicate);
            return Ok(None);
        }
        let Some(conversation) = ConversationSid::parse(sid) else {
            Box::pin(self.find_again(origin, message, true)).await?;
            return Ok(None);
        };
        let whole = message.clone();
        let parcel = Parcel {
            subject: sid,
            id: &whole.id,
            proxy: &whole.to,
            author: &whole.from.address,
            parts: &whole.parts,
            since: came.since,
        };
        let (parts, media) = match self.with_files(origin, &parcel).await? {
            Gathered::Complete(complete) => (complete.parts, complete.media),
            Gathered::Later(pause) => return Ok(Some(pause)),
        };
        let message = InboundMessage { parts, ..message };
        let asked = {
            let _turn = self.inbox.asking.acquire().await;
            self.ask_inbound(origin, sid, &message, &media, &came).await
        };
        let mut amended = match asked {
            Ok(amended) => amended,
            Err(RelayError::Vetoed | RelayError::Improper(_)) => {
                self.refuse(origin, message, came.heard).await?;
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        amended.media = media;
        (amended.accepted, amended.heard, amended.writer) = (Some(came.since), came.heard, came.writer);
        failpoint!("inbox::fetched");
        let fates = self.append_inbound(origin, &conversation, vec![message], Some(&amended)).await?;
        for fate in fates {
            if self.follow_up(origin, &conversation, fate).await.is_some() {
                // It was closed before this came, or is gone; or nobody knows who wrote it.
                Box::pin(self.find_again(origin, whole.clone(), true)).await?;
            }
        }
        Ok(None)
    }

    /// Takes an event that is no message; says how long it must wait if it cannot be taken yet.
    async fn admit_event(
        &self,
        origin: Origin<'_>,
        sid: &str,
        event: Inbound,
        since: Timestamp,
    ) -> Result<Option<Duration>, RelayError> {
        let binding = match super::pair(&event) {
            Some((proxy, person)) => self.bound_person(origin.account, proxy, person).await?,
            None => None,
        };
        let binding = binding.as_ref();
        let (id, of, from, to, parts) = match &event {
            Inbound::Edit { id, of, from, to, parts, .. } => (id, of, from, to, parts),
            Inbound::Echo(echo) if self.brings_files(origin, echo).await? => {
                let author = &echo.from;
                let parcel =
                    Parcel { subject: sid, id: &echo.id, proxy: author, author, parts: &echo.parts, since };
                return Ok(match self.with_files(origin, &parcel).await? {
                    Gathered::Complete(Complete { parts, media }) => {
                        let echo = Echo { parts, ..echo.clone() };
                        self.join_echo(origin, binding, &echo, &media).await?;
                        None
                    }
                    Gathered::Later(pause) => Some(pause),
                });
            }
            _ => return self.take_event(origin, binding, event).await.map(|()| None),
        };
        let (touch, mut change) = (Touch { id, of, from, to }, edited(parts));
        let asked = {
            let _turn = self.inbox.asking.acquire().await;
            self.ask_edit(origin, sid, touch, &mut change).await
        };
        match asked {
            Ok(()) => self.take_edit(origin, binding, touch, &change).await,
            Err(RelayError::Vetoed | RelayError::Improper(_)) => {
                self.refuse_edit(origin, touch, json!({ "edit": event })).await
            }
            Err(other) => Err(other),
        }
        .map(|()| None)
    }

    /// What is said with the files it refers to, where there is still a conversation to say it in.
    async fn with_files(&self, origin: Origin<'_>, parcel: &Parcel<'_>) -> Result<Gathered, RelayError> {
        if self.waits_for_files(parcel.parts)
            && let Some(current) = self.load(origin.account, parcel.subject).await?
        {
            return self.gather(origin, &current.head.service, parcel).await;
        }
        Ok(Gathered::Complete(Complete { parts: parcel.parts.to_vec(), media: Vec::new() }))
    }

    async fn ask_inbound(
        &self,
        origin: Origin<'_>,
        sid: &str,
        message: &InboundMessage,
        media: &[Attachment],
        came: &Came,
    ) -> Result<Amended, RelayError> {
        let Some(current) = self.load(origin.account, sid).await? else { return Ok(Amended::default()) };
        let accepted = Amended { accepted: Some(came.since), ..Amended::default() };
        let bound = current.bound(&message.to, &message.from).and_then(writer);
        let written = bound.or_else(|| came.writer.clone()).filter(|_| takes(&current, Some(&accepted)));
        // Who was never in it has nothing to say here.
        let Some(Writer { participant, address }) = written else { return Ok(Amended::default()) };
        let body = message::body(&message.parts);
        let cause = Cause::channel(&message.to);
        let whose = Whose { account: origin.account, service: &current.head.service, cause };
        let said = Said {
            body: body.as_deref(),
            author: address.as_str(),
            participant: Some(participant.as_str()),
            attributes: None,
            media: crate::relay::media::told(media).or_else(|| announce::media(&message.parts, &[])),
        };
        self.ask_message(whose, &current, &said).await
    }

    /// A change that was refused: kept with what cannot be read, and remembered, so that its repeat changes nothing.
    async fn refuse_edit(
        &self,
        origin: Origin<'_>,
        touch: Touch<'_>,
        raw: serde_json::Value,
    ) -> Result<(), RelayError> {
        self.keep(origin, REFUSED, raw).await?;
        let own = tables::provider_id(origin.account.as_str(), origin.kind, touch.to, touch.id);
        let mut batch = Batch::default();
        remember(&mut batch, own);
        match self.commits.commit(origin.account, batch, After::default()).await {
            // The only check there is: it is known already.
            Ok(()) | Err(CommitError::Conflict(_)) => {}
            Err(other) => return Err(other.into()),
        }
        inbound(origin.adapter, InboundOutcome::Refused);
        Ok(())
    }

    /// A message that was refused: kept with what cannot be read, and remembered, so that its repeat changes nothing. A
    /// keyword in it counts all the same: nobody may veto that somebody opts out.
    pub(in crate::relay) async fn refuse(
        &self,
        origin: Origin<'_>,
        message: InboundMessage,
        heard: bool,
    ) -> Result<(), RelayError> {
        self.keep(origin, REFUSED, json!({ "message": message })).await?;
        let account = origin.account;
        let own = tables::provider_id(account.as_str(), origin.kind, &message.to, &message.id);
        for _ in 0..ATTEMPTS {
            let (mut batch, mut after) = (Batch::default(), After::default());
            remember(&mut batch, own.clone());
            if !heard && let Some(asked) = self.asked(account, &message.to, &message.parts) {
                let (snapshot, mut opting) = (self.ledger.snapshot(), Opting::default());
                let pair = (&message.to, &message.from.address);
                opting.hear(&*snapshot, account, pair, asked, &message.id).await?;
                opting.write(&self.context(account, false), &mut batch, &mut after);
            }
            match self.commits.commit(account, batch, after).await {
                Ok(()) => {
                    inbound(origin.adapter, InboundOutcome::Refused);
                    return Ok(());
                }
                Err(CommitError::Conflict(key)) if key == own => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}

fn writer(member: &Member) -> Option<Writer> {
    let address = member.record.binding.as_ref()?.address.clone();
    Some(Writer { participant: member.record.sid.clone(), address })
}

/// What a pair without a conversation is called in here; no SID has a space.
pub(in crate::relay) fn pair_subject(proxy: &Address, person: &Person) -> String {
    let mut subject = format!("{proxy} {}", person.address);
    // As long as a key keeps whole.
    subject.truncate(subject.floor_char_boundary(240));
    subject
}

/// A row's payload. Nothing longer than a commit takes, whatever somebody sent: texts and parts are cut as they are where
/// they are stored, and further until they fit.
fn encoded(origin: Origin<'_>, event: Inbound, heard: bool, writer: Option<Writer>) -> Vec<u8> {
    let row = |event| {
        let (adapter, kind) = (origin.adapter.to_owned(), origin.kind.to_owned());
        InboxRow { adapter, kind, event, heard, writer: writer.clone() }
    };
    let encode = |row: &InboxRow| serde_json::to_vec(row).unwrap_or_default();
    let whole = row(event);
    let payload = encode(&whole);
    let Inbound::Message(message) = whole.event else { return payload };
    if payload.len() <= MOST_BYTES {
        return payload;
    }
    let text = message::body(&message.parts).unwrap_or_default();
    let kept: Vec<Part> = serde_json::from_slice(&message::kept_parts(&message.parts)).unwrap_or_default();
    let mut most = text.len();
    loop {
        let cut = text[..text.floor_char_boundary(most)].to_owned();
        let mut parts = vec![Part::Text { text: cut }];
        if most == text.len() {
            parts.extend(kept.iter().cloned());
        }
        let payload = encode(&row(Inbound::Message(InboundMessage { parts, ..message.clone() })));
        if payload.len() <= MOST_BYTES || most == 0 {
            return payload;
        }
        most /= 2;
    }
}
