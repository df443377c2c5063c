//! Follows every committed batch and holds it against rules of its own: what may be written beside what, and what never
//! goes backwards. It knows the layout of rows and none of the daemon's code that writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use trunkline::ledger::engine::{Follower, Write};
use trunkline::ledger::key::{Key, Space};
use trunkline::model::{
    Binding, Head, MessageRecord, ParticipantRecord, PersonBinding, ProviderIdRow, ReceiptRecord, State,
    Subject,
};
use trunkline_adapter::{Clock, DeliveryStatus, Timestamp};

use super::item::{Item, read};

/// Everything that is stored, as the writes told it.
#[derive(Default)]
pub struct Books {
    pub rows: BTreeMap<Key, Bytes>,
    pub heads: BTreeMap<String, Head>,
    /// How often somebody came or went, or the state changed.
    pub changes: BTreeMap<String, u64>,
    pub rosters: BTreeMap<String, BTreeMap<String, Option<PersonBinding>>>,
    pub messages: BTreeMap<(String, u64), MessageRecord>,
    pub receipts: BTreeMap<(String, u64, String), ReceiptRecord>,
    pub queue: BTreeMap<Key, QueueRow>,
    pub cleanup: BTreeMap<Key, String>,
    pub bindings: BTreeMap<(String, String), Binding>,
    pub ids: BTreeMap<Key, ProviderIdRow>,
    /// Who opted out, and by which of all opt-outs.
    pub opt_outs: BTreeMap<(String, String), u64>,
    /// Everything that was ever so.
    pub ever: Ever,
    pub wrong: Vec<String>,
    pub clock: Option<Clock>,
    pub life_began: Timestamp,
    pub expire: Duration,
    pub batches: u64,
}

/// What was ever written, whatever became of it.
#[derive(Default)]
pub struct Ever {
    /// Messages by what a provider calls them, and where they are.
    pub sources: BTreeMap<(String, String, String), (String, u64)>,
    pub messages: BTreeMap<(String, u64), MessageRecord>,
    /// Where each delivery was to go: receipt to (proxy, address).
    pub deliveries: BTreeMap<String, (String, String)>,
    pub left: BTreeSet<String>,
    pub opted: BTreeSet<(String, String)>,
    pub keywords: BTreeSet<String>,
}

/// A send that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueRow {
    pub lane: String,
    pub subject: String,
    pub since: Timestamp,
    /// Nothing for a notice.
    pub message: Option<Waiting>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub conversation: String,
    pub index: u64,
    pub participant: String,
    pub receipt: String,
    pub sent: Vec<String>,
    pub begun: bool,
}

#[derive(Default)]
pub struct Auditor(Mutex<Books>);

impl Auditor {
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower for Auditor {
    fn committed(&self, writes: &[Write]) {
        self.books().take(writes);
    }
}

/// Whether a receipt may go from one status to another, by the contract's words: never backwards.
fn forward(before: Option<DeliveryStatus>, after: Option<DeliveryStatus>) -> bool {
    use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
    match (before, after) {
        (before, after) if before == after => true,
        (None, Some(_)) => true,
        (Some(Sent), Some(Delivered | Read | Failed | Undelivered)) => true,
        (Some(Delivered), Some(Read)) => true,
        _ => false,
    }
}

impl Books {
    fn fault(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whose open conversation a pair is, and how often that has changed.
    pub fn holder(&self, proxy: &str, address: &str) -> Option<(String, String, u64)> {
        let claim = self.bindings.get(&(proxy.to_owned(), address.to_owned()))?;
        let conversation = claim.conversation.to_string();
        let open = self.heads.get(&conversation).is_some_and(|head| head.state.open());
        let changes = self.changes.get(&conversation).copied().unwrap_or(0);
        open.then(|| (conversation, claim.participant.to_string(), changes))
    }

    fn open(&self, conversation: &str) -> bool {
        self.heads.get(conversation).is_some_and(|head| head.state.open())
    }

    fn going(&self, conversation: &str) -> bool {
        self.heads.get(conversation).is_none_or(|head| head.state == State::Deleted)
    }

    fn take(&mut self, writes: &[Write]) {
        self.batches += 1;
        let mut items = Vec::with_capacity(writes.len());
        for write in writes {
            match read(write) {
                Some(item) => items.push(item),
                None => return self.fault(format!("a row cannot be read: {:?}", write.key())),
            }
        }
        for item in &items {
            self.judge(item, &items);
        }
        for (item, write) in items.into_iter().zip(writes) {
            match write {
                Write::Insert(key, payload) | Write::Put(key, payload) => {
                    self.rows.insert(key.clone(), payload.clone());
                }
                Write::Delete(key) => {
                    self.rows.remove(key);
                }
            }
            self.apply(item);
        }
        self.after(writes);
    }

    fn judge(&mut self, item: &Item, batch: &[Item]) {
        match item {
            Item::Head(of, Some(head)) => self.judge_head(of, head, batch),
            Item::Message(of, index, Some(record)) => self.judge_message(of, *index, record, batch),
            Item::Message(of, index, None) => self.judge_removal(of, *index, batch),
            Item::Participant(of, sid, record) => self.judge_participant(of, sid, record.as_ref(), batch),
            Item::Binding(proxy, address, claim) => self.judge_claim(proxy, address, claim.as_ref(), batch),
            Item::Receipt(of, index, sid, record) => self.judge_receipt(of, *index, sid, record.as_deref()),
            Item::Queue(key, row) => self.judge_row(key, row.as_ref(), batch),
            Item::Id(key, row) => {
                let before = self.ids.get(key);
                let fine = match (before, row) {
                    (None, _) => true,
                    (Some(ProviderIdRow::Event), Some(now)) => now == &ProviderIdRow::Event,
                    (Some(ProviderIdRow::Message { subject: Subject::Inbound, .. }), now) => {
                        now == &Some(ProviderIdRow::Event)
                    }
                    (Some(ProviderIdRow::Message { .. }), _) => true,
                    (Some(ProviderIdRow::Event), None) => false,
                };
                if !fine {
                    let line = format!("a provider's id went from {before:?} to {row:?}");
                    self.fault(line);
                }
            }
            Item::OptOut(proxy, address, Some(row)) if self.ever.keywords.contains(&row.provider_id) => {
                self.fault(format!("{address} opted out of {proxy} a second time by {}", row.provider_id));
            }
            _ => {}
        }
    }

    fn judge_head(&mut self, of: &str, head: &Head, batch: &[Item]) {
        let before = self.heads.get(of);
        let next = before.map_or(0, |before| before.next_index);
        let state = before.map(|before| before.state);
        let mut new: Vec<u64> = batch
            .iter()
            .filter_map(|item| match item {
                Item::Message(conversation, index, Some(_)) if conversation == of && *index >= next => {
                    Some(*index)
                }
                _ => None,
            })
            .collect();
        new.sort_unstable();
        if !new.iter().copied().eq(next..head.next_index) {
            self.fault(format!(
                "{of}: indexes went from {next} to {} with messages {new:?}",
                head.next_index
            ));
        }
        let stepped = match state {
            None | Some(State::Active | State::Inactive) => true,
            Some(State::Closed) => !head.state.open(),
            Some(State::Deleted) => false,
        };
        if !stepped {
            self.fault(format!("{of}: went from {state:?} to {:?}", head.state));
        }
        let cleaning = batch.iter().any(|item| matches!(item, Item::Cleanup(_, Some(name)) if name == of));
        if head.state == State::Deleted && !cleaning {
            self.fault(format!("{of}: removed, and nobody is to clean up"));
        }
    }

    fn judge_message(&mut self, of: &str, index: u64, record: &MessageRecord, batch: &[Item]) {
        let at = (of.to_owned(), index);
        if let Some(before) = self.messages.get(&at) {
            if before.sid != record.sid || before.deliveries != record.deliveries {
                self.fault(format!("{of}/{index}: another message in its place"));
            }
            return;
        }
        if self.ever.messages.contains_key(&at) {
            return self.fault(format!("{of}/{index}: the index was used before"));
        }
        if !batch.iter().any(|item| matches!(item, Item::Head(name, Some(_)) if name == of)) {
            self.fault(format!("{of}/{index}: a message without its head"));
        }
        if !self.open(of) {
            self.fault(format!("{of}/{index}: a message for a conversation that is not open"));
        }
        let author = record.participant.as_ref().map(ToString::to_string);
        let mut expected = BTreeMap::new();
        for (sid, binding) in self.rosters.get(of).into_iter().flatten() {
            if let Some(binding) = binding
                && Some(sid) != author.as_ref()
            {
                expected.insert(sid.clone(), (binding.proxy.to_string(), binding.address.to_string()));
            }
        }
        let got: BTreeSet<String> =
            record.deliveries.iter().map(|delivery| delivery.participant.to_string()).collect();
        if got.len() != record.deliveries.len() || !got.iter().eq(expected.keys()) {
            self.fault(format!("{of}/{index}: goes to {got:?} instead of {:?}", expected.keys()));
        }
        let mut rows = 0;
        for item in batch {
            let Item::Queue(_, Some(row)) = item else { continue };
            let Some(waiting) = &row.message else { continue };
            if waiting.conversation != of || waiting.index != index {
                continue;
            }
            rows += 1;
            let named = record.deliveries.iter().any(|delivery| {
                delivery.participant.as_str() == waiting.participant
                    && delivery.receipt.as_str() == waiting.receipt
            });
            let place = expected.get(&waiting.participant);
            if !named || place != Some(&(row.lane.clone(), row.subject.clone())) || !waiting.sent.is_empty() {
                self.fault(format!("{of}/{index}: a queue row that is nobody's: {row:?}"));
            }
        }
        if rows != record.deliveries.len() {
            self.fault(format!("{of}/{index}: {rows} queue rows for {} people", record.deliveries.len()));
        }
        if let Some(source) = &record.source {
            let name = (source.kind.clone(), source.proxy.to_string(), source.id.clone());
            if let Some(first) = self.ever.sources.get(&name) {
                let line = format!("{of}/{index}: {} is in the house already, at {first:?}", source.id);
                self.fault(line);
            }
            let remembered = batch.iter().any(|item| {
                matches!(item, Item::Id(_, Some(ProviderIdRow::Message { conversation, index: at, subject: Subject::Inbound }))
                    if conversation.as_str() == of && *at == index)
            });
            if !remembered {
                self.fault(format!("{of}/{index}: no row remembers {}", source.id));
            }
        }
    }

    fn judge_removal(&mut self, of: &str, index: u64, batch: &[Item]) {
        let Some(before) = self.messages.get(&(of.to_owned(), index)).cloned() else { return };
        let mut name = vec![b'M'];
        name.extend(index.to_be_bytes());
        let marked =
            batch.iter().any(|item| matches!(item, Item::Tombstone(at, what) if at == of && *what == name));
        if !marked && !self.going(of) {
            self.fault(format!("{of}/{index}: removed without a tombstone"));
        }
        let own = format!("{of}/{index}");
        let cleaning = batch.iter().any(|item| matches!(item, Item::Cleanup(_, Some(name)) if *name == own));
        if !cleaning && !before.deliveries.is_empty() && !self.going(of) {
            self.fault(format!("{of}/{index}: removed, and nobody is to clean up"));
        }
        if let Some(source) = &before.source {
            let event = batch.iter().any(|item| matches!(item, Item::Id(_, Some(ProviderIdRow::Event))));
            if !event {
                self.fault(format!("{of}/{index}: removed, and {} forgotten", source.id));
            }
        }
    }

    fn judge_participant(&mut self, of: &str, sid: &str, record: Option<&ParticipantRecord>, batch: &[Item]) {
        let Some(record) = record else {
            let mut name = vec![b'P'];
            name.extend(sid.bytes());
            let marked = batch.iter().any(|item| {
                matches!(item, Item::Tombstone(at, what)
                    if at == of && *what == name)
            });
            if !marked && !self.going(of) {
                self.fault(format!("{of}: {sid} left without a tombstone"));
            }
            return;
        };
        let Some(binding) = &record.binding else { return };
        let pair = (binding.proxy.to_string(), binding.address.to_string());
        let mut claim = self.bindings.get(&pair).cloned();
        for item in batch {
            if let Item::Binding(proxy, address, now) = item
                && (proxy, address) == (&pair.0, &pair.1)
            {
                claim.clone_from(now);
            }
        }
        let own =
            claim.is_some_and(|claim| claim.conversation.as_str() == of && claim.participant.as_str() == sid);
        if !own && self.open(of) {
            self.fault(format!("{of}: {sid} holds no claim on {pair:?}"));
        }
    }

    fn judge_claim(&mut self, proxy: &str, address: &str, claim: Option<&Binding>, batch: &[Item]) {
        let before = self.bindings.get(&(proxy.to_owned(), address.to_owned())).cloned();
        let Some(before) = before else { return };
        let (of, sid) = (before.conversation.as_str(), before.participant.as_str());
        let there = self.rosters.get(of).is_some_and(|roster| roster.contains_key(sid));
        let leaves = batch
            .iter()
            .any(|item| matches!(item, Item::Participant(at, who, None) if at == of && who == sid));
        if claim.is_some_and(|claim| claim == &before) || !self.open(of) || !there || leaves {
            return;
        }
        self.fault(format!("the claim on ({proxy}, {address}) was taken from {sid} in the open {of}"));
    }

    fn judge_receipt(&mut self, of: &str, index: u64, sid: &str, record: Option<&ReceiptRecord>) {
        let at = (of.to_owned(), index, sid.to_owned());
        let Some(record) = record else {
            let there = self.messages.contains_key(&(of.to_owned(), index));
            if self.receipts.contains_key(&at) && there && !self.going(of) {
                self.fault(format!("{of}/{index}: receipt {sid} vanished"));
            }
            return;
        };
        // While a conversation is cleaned up, or a message, messages go before their receipts.
        let owner = self.messages.get(&(of.to_owned(), index));
        let cleaning = self.cleanup.values().any(|name| *name == format!("{of}/{index}"));
        if !self.going(of)
            && !cleaning
            && !owner.is_some_and(|message| message.deliveries.iter().any(|one| one.receipt.as_str() == sid))
        {
            self.fault(format!("{of}/{index}: receipt {sid} is of no message"));
        }
        let (status, parts) = match self.receipts.get(&at) {
            Some(before) => (before.status, before.parts.clone()),
            None => (None, Vec::new()),
        };
        if !forward(status, record.status) {
            self.fault(format!("{of}/{index}: receipt {sid} went from {status:?} to {:?}", record.status));
        }
        for (part, before) in parts.iter().enumerate() {
            let now = record.parts.get(part).copied().flatten();
            if !forward(*before, now) {
                self.fault(format!("{of}/{index}: part {part} of {sid} went from {before:?} to {now:?}"));
            }
        }
        if record.status == Some(DeliveryStatus::Failed) && status != record.status {
            let code = record.error_code;
            if code == crate::sink::WRONG_TOKEN || code == crate::sink::AWAY {
                self.fault(format!("{of}/{index}: receipt {sid} failed for the operator's fault"));
            }
            let since = self.ever.messages.get(&(of.to_owned(), index)).map(|message| message.created);
            let waited =
                since.zip(self.clock).map(|(since, clock)| clock.now().since(since.max(self.life_began)));
            if code == 30036 && waited.is_some_and(|waited| waited < self.expire) {
                self.fault(format!("{of}/{index}: receipt {sid} expired after {waited:?}"));
            }
        }
    }

    fn judge_row(&mut self, key: &Key, row: Option<&QueueRow>, batch: &[Item]) {
        let Some(before) = self.queue.get(key).cloned() else {
            return;
        };
        let Some(row) = row else {
            let Some(waiting) = &before.message else { return };
            let at = (waiting.conversation.clone(), waiting.index);
            if self.going(&at.0) || !self.messages.contains_key(&at) {
                return;
            }
            let mut receipt = self
                .receipts
                .get(&(at.0.clone(), at.1, waiting.receipt.clone()))
                .map(|one| one.parts.clone());
            for item in batch {
                if let Item::Receipt(of, index, sid, Some(now)) = item
                    && (of, *index, sid) == (&at.0, at.1, &waiting.receipt)
                {
                    receipt = Some(now.parts.clone());
                }
            }
            let told =
                receipt.is_some_and(|parts| parts.get(waiting.sent.len()).copied().flatten().is_some());
            if !told {
                self.fault(format!("{}/{}: a queue row went without a word", at.0, at.1));
            }
            return;
        };
        let same = match (&before.message, &row.message) {
            (None, None) => true,
            (Some(old), Some(new)) => {
                (&old.conversation, old.index, &old.receipt) == (&new.conversation, new.index, &new.receipt)
                    && new.sent.starts_with(&old.sent)
                    && new.sent.len() <= old.sent.len() + 1
            }
            _ => false,
        };
        if !same || before.since != row.since {
            self.fault(format!("a queue row became another: {before:?} {row:?}"));
        }
    }

    fn apply(&mut self, item: Item) {
        match item {
            Item::Head(of, head) => {
                let before = self.heads.get(&of).map(|head| head.state);
                if head.as_ref().map(|head| head.state) != before {
                    *self.changes.entry(of.clone()).or_default() += 1;
                }
                match head {
                    Some(head) => self.heads.insert(of, head),
                    None => self.heads.remove(&of),
                };
            }
            Item::Participant(of, sid, record) => {
                *self.changes.entry(of.clone()).or_default() += 1;
                let roster = self.rosters.entry(of).or_default();
                match record {
                    Some(record) => {
                        roster.insert(sid, record.binding);
                    }
                    None => {
                        roster.remove(&sid);
                        self.ever.left.insert(sid);
                    }
                }
            }
            Item::Message(of, index, Some(record)) => {
                if let Some(source) = &record.source {
                    let name = (source.kind.clone(), source.proxy.to_string(), source.id.clone());
                    self.ever.sources.insert(name, (of.clone(), index));
                }
                self.ever.messages.insert((of.clone(), index), record.clone());
                self.messages.insert((of, index), record);
            }
            Item::Message(of, index, None) => {
                self.messages.remove(&(of, index));
            }
            Item::Receipt(of, index, sid, record) => {
                match record {
                    Some(record) => self.receipts.insert((of, index, sid), *record),
                    None => self.receipts.remove(&(of, index, sid)),
                };
            }
            Item::Queue(key, Some(row)) => {
                if let Some(waiting) = &row.message {
                    let place = (row.lane.clone(), row.subject.clone());
                    self.ever.deliveries.insert(waiting.receipt.clone(), place);
                }
                self.queue.insert(key, row);
            }
            Item::Queue(key, None) => {
                self.queue.remove(&key);
            }
            Item::Cleanup(key, Some(name)) => {
                self.cleanup.insert(key, name);
            }
            Item::Cleanup(key, None) => {
                if let Some(name) = self.cleanup.remove(&key) {
                    self.cleaned(&name);
                }
            }
            Item::Binding(proxy, address, claim) => {
                match claim {
                    Some(claim) => self.bindings.insert((proxy, address), claim),
                    None => self.bindings.remove(&(proxy, address)),
                };
            }
            Item::Id(key, row) => {
                match row {
                    Some(row) => self.ids.insert(key, row),
                    None => self.ids.remove(&key),
                };
            }
            Item::OptOut(proxy, address, row) => match row {
                Some(row) => {
                    self.ever.keywords.insert(row.provider_id);
                    self.ever.opted.insert((proxy.clone(), address.clone()));
                    self.opt_outs.insert((proxy, address), self.ever.keywords.len() as u64);
                }
                None => {
                    self.opt_outs.remove(&(proxy, address));
                }
            },
            Item::Tombstone(..) | Item::Other => {}
        }
    }

    /// Clean-up says that it is done.
    fn cleaned(&mut self, name: &str) {
        let is = |of: &str, index: u64| of == name || format!("{of}/{index}") == name;
        let left = self.rows.keys().filter(|key| key.parts().is_some_and(|parts| parts.partition == name));
        let receipts = self.receipts.keys().filter(|(of, index, _)| of != name && is(of, *index)).count();
        let ids = self.ids.values().filter(|row| match row {
            ProviderIdRow::Message { conversation, index, .. } => is(conversation.as_str(), *index),
            ProviderIdRow::Event => false,
        });
        let left = left.count() + receipts + ids.count();
        let claims = self.bindings.values().filter(|claim| claim.conversation.as_str() == name).count();
        if left + claims > 0 {
            self.fault(format!("{name}: cleaned up, and {left} rows and {claims} claims are left"));
        }
    }

    /// A head goes last, so what is left is looked at when the whole batch is in.
    fn after(&mut self, writes: &[Write]) {
        for write in writes {
            let Write::Delete(key) = write else { continue };
            if key.space() != Some(Space::Head) {
                continue;
            }
            let Some(parts) = key.parts() else { continue };
            self.cleaned(&parts.partition);
            self.rosters.remove(&parts.partition);
        }
    }
}
