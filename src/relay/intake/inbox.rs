//! The inbox: what came in for a conversation whose messages somebody wants to be asked about, or whose making is. It is
//! durable and answered at once, since a provider's timeout must not depend on a third party; the question follows. While
//! a conversation has anything in here, everything that comes in for it goes through here, so nothing overtakes.
//!
//! Here is how something gets into it; how it comes out, when its turn comes, is in [`super::admission`].

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use trunkline_adapter::{Address, Inbound, InboundMessage, Part, Person};

use super::keyword::Asked;
use super::opting::Opting;
use super::{Origin, remember};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::{LedgerError, tables};
use crate::model::{
    AccountSid, Binding, Conversation, ConversationSid, Event, Member, ParticipantSid, message,
};
use crate::relay::after::{After, Wake};
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::work::{self, Queue};

/// Questions that are open at once.
const MOST_ASKED: usize = 64;
/// Rows and bytes of one commit.
const MOST_ROWS: usize = 100;
const MOST_BYTES: usize = 512 * 1024;

/// An event as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct InboxRow {
    pub adapter: String,
    pub kind: String,
    pub event: Inbound,
    /// It is a keyword, and was heard when it came: nobody is written to any more who asked for that, however long what
    /// came before it has to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heard: bool,
    /// Who said it: it stays theirs, and in their conversation, though they may be gone when its turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
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

/// How much waits, by conversation.
pub struct Inbox {
    waiting: Mutex<HashMap<String, u64>>,
    total: AtomicU64,
    /// A place for each question that may be open.
    pub(super) asking: Semaphore,
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

    pub(super) fn remove(&self, conversation: &str, rows: u64) {
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
}

pub(super) fn writer(member: &Member) -> Option<Writer> {
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
