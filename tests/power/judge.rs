//! What an image of the disk holds, and whether that is what was promised.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use trunkline::ledger::engine::Durability;
use trunkline::ledger::engine::Row;
use trunkline::ledger::key::{Key, Range, Space};
use trunkline::ledger::store::{Store, StoreSettings};
use trunkline::ledger::tables;
use trunkline::model::{
    Compact, ConversationRecord, Dispatch, Head, Json, MessageRecord, ParticipantRecord, ProviderIdRow,
    ReceiptRecord, Subject,
};
use trunkline::work::{Job, Queue};

use super::journal::{Event, Journal};
use super::load;
use super::wire::{Book, Promise};
use crate::harness::provider::now;

/// What somebody outside knew, and since which moment of the journal.
#[derive(Default)]
pub struct Known {
    pub promises: Vec<(usize, Promise)>,
    /// What somebody was shown, who had changed nothing: it must stay as well.
    pub sights: Vec<(usize, Promise)>,
    /// Names of ours (SIDs, and the numbers of messages) that left over a socket, in answers and in requests to
    /// providers: what they name must stay.
    pub names: Vec<(usize, String)>,
    /// Requests to providers.
    pub sends: usize,
}

const SID: usize = 34;

/// The names in some bytes.
fn names(bytes: &[u8], mut found: impl FnMut(&str)) {
    let hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        if rest.len() >= SID && matches!(&rest[..2], b"CH" | b"MB" | b"IM" | b"DY") && hex(&rest[2..SID]) {
            found(std::str::from_utf8(&rest[..SID]).unwrap());
        }
        if let Some(serial) = serial(rest) {
            found(&format!("t{serial:06}x"));
        }
    }
}

/// The number of a message whose text begins here.
pub fn serial(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"t")?.get(..7)?.strip_suffix(b"x")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Known {
    pub fn learn(journal: &Journal, book: &Book) -> Known {
        let by_port = book.by_port();
        let mut answered: HashMap<u16, usize> = HashMap::new();
        let mut seen = HashSet::new();
        let mut known = Known::default();
        for (at, event) in journal.events.iter().enumerate() {
            let Event::Send { port, bytes } = event else { continue };
            let bytes = journal.bytes(bytes);
            names(bytes, |name| {
                if seen.insert(name.to_owned()) {
                    known.names.push((at + 1, name.to_owned()));
                }
            });
            known.sends += usize::from(bytes.starts_with(b"POST "));
            if let Some(promises) = by_port.get(port)
                && bytes.starts_with(b"HTTP/1.1 ")
            {
                let nth = answered.entry(*port).or_default();
                let page = promises.get(*nth).expect("no more answers than requests");
                *nth += 1;
                if bytes[9] == b'2' {
                    let into = if page.shown { &mut known.sights } else { &mut known.promises };
                    into.extend(page.promises.iter().map(|promise| (at + 1, promise.clone())));
                }
            }
        }
        known
    }

    /// Promises of messages that were made before a moment.
    pub fn messages(&self, moment: usize) -> impl Iterator<Item = u64> {
        self.promises.iter().take_while(move |(at, _)| *at <= moment).filter_map(|(_, promise)| match promise
        {
            Promise::Message(serial) => Some(*serial),
            Promise::Attributes(..) | Promise::Receipt(..) => None,
        })
    }

    /// How many things had been seen before a moment by others than those who caused them: shown by an answer, or named
    /// in what left.
    pub fn seen(&self, moment: usize) -> usize {
        let names = self.names.iter().take_while(|(at, _)| *at <= moment).count();
        names + self.sights.iter().take_while(|(at, _)| *at <= moment).count()
    }
}

impl Known {
    /// Everything that must be on the disk, in the bytes that it has there, and since when.
    pub fn left(&self) -> Vec<(usize, String)> {
        let promised = self.promises.iter().filter_map(|(at, promise)| match promise {
            Promise::Message(serial) => Some((*at, format!("t{serial:06}x"))),
            Promise::Attributes(..) | Promise::Receipt(..) => None,
        });
        // Attributes begin with their version, and a receipt with its name.
        let shown = self.sights.iter().filter_map(|(at, sight)| match sight {
            Promise::Attributes(_, version) => Some((*at, format!("{{\\\"v\\\":{version},"))),
            Promise::Receipt(sid, _) => Some((*at, format!("{{\"sid\":\"{sid}\""))),
            Promise::Message(_) => None,
        });
        let mut left: Vec<(usize, String)> =
            self.names.iter().cloned().chain(promised).chain(shown).collect();
        left.sort();
        left
    }

    /// The numbers of messages that left before a moment.
    pub fn serials(&self, moment: usize) -> impl Iterator<Item = u64> {
        let names = self.names.iter().take_while(move |(at, _)| *at <= moment);
        names.filter_map(|(_, name)| serial(name.as_bytes()))
    }
}

/// A message in an image.
#[derive(Clone, Debug)]
pub struct Kept {
    pub sid: String,
    /// The receipts of its deliveries.
    pub receipts: Vec<String>,
}

/// What an image holds.
#[derive(Default)]
pub struct Found {
    pub messages: BTreeMap<u64, Vec<Kept>>,
    names: HashSet<String>,
    attributes: HashMap<String, u64>,
    /// Receipts that are still to be sent, and those about which something is known.
    pub queued: HashSet<String>,
    pub settled: HashMap<String, ReceiptRecord>,
    /// Halves of what is written as one.
    pub torn: Vec<String>,
    /// Participants by conversation.
    pub members: HashMap<String, usize>,
    pub bindings: usize,
}

/// Opens an image as the daemon would, and gives every row.
pub fn open(image: &Path) -> Result<Vec<(Key, Row)>, String> {
    let settings = StoreSettings {
        path: image.to_owned(),
        durability: Durability::Power,
        keep_free: 0,
        cache_bytes: 8 << 20,
    };
    let now = u64::try_from(now().0).unwrap();
    // On a thread of its own: a panic is an answer too, and a scan outside of a runtime is done at once.
    let opened = std::thread::spawn(move || {
        let store =
            Store::open_with(settings, now, Vec::new(), Box::new(|_| {})).map_err(|error| words(&error))?;
        let snapshot = store.engine().snapshot();
        let rows = snapshot.scan(Range::all(), usize::MAX);
        futures_util::FutureExt::now_or_never(rows).expect("done at once").map_err(|error| words(&error))
    });
    opened.join().unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// The rows taken apart, and held against each other.
pub fn read(rows: &[(Key, Row)]) -> Found {
    let mut found = Found::default();
    let mut heads: HashMap<String, u64> = HashMap::new();
    let mut indexes: HashMap<String, BTreeSet<u64>> = HashMap::new();
    let mut sources = Vec::new();
    let mut inbound = Vec::new();
    let mut queued = Vec::new();
    let mut bound = 0;
    let keys: HashSet<&[u8]> = rows.iter().map(|(key, _)| key.as_bytes()).collect();
    for (key, row) in rows {
        let parts = key.parts().expect("a key of ours");
        let payload = &row.payload[..];
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match parts.space {
            Space::Message => {
                let index = tables::message_index(key).unwrap();
                let message = MessageRecord::decode(payload).unwrap();
                let sid = message.sid.as_str().to_owned();
                if message.sid.likely_index() != Some(index) {
                    found.torn.push(format!("{sid} does not lead to its index {index}"));
                }
                found.names.insert(sid.clone());
                indexes.entry(parts.partition.clone()).or_default().insert(index);
                let body = message.body.unwrap_or_default();
                let receipts: Vec<String> =
                    message.deliveries.iter().map(|delivery| delivery.receipt.as_str().to_owned()).collect();
                found.names.extend(receipts.iter().cloned());
                match serial(body.as_bytes()) {
                    Some(serial) if body == load::body(serial).trim_end() || body == load::body(serial) => {
                        found.names.insert(format!("t{serial:06}x"));
                        let kept = Kept { sid, receipts };
                        found.messages.entry(serial).or_default().push(kept);
                    }
                    _ => found.torn.push(format!("{sid} has another text: {:.40}", body)),
                }
                if let Some(source) = message.source {
                    let key = tables::provider_id(&parts.account, &source.kind, &source.proxy, &source.id);
                    sources.push((key, parts.partition.clone(), index));
                }
            }
            Space::Receipt => {
                let receipt = ReceiptRecord::decode(payload).unwrap();
                found.names.insert(receipt.sid.as_str().to_owned());
                found.settled.insert(receipt.sid.as_str().to_owned(), receipt);
            }
            Space::Queue if parts.rest.first() == Some(&(Queue::Outbound as u8)) => {
                let job = Job::decode(payload).unwrap();
                if let Dispatch::Message { conversation, index, receipt, .. } =
                    Dispatch::decode(&job.payload).unwrap()
                {
                    queued.push((conversation.as_str().to_owned(), index));
                    found.queued.insert(receipt.as_str().to_owned());
                }
            }
            Space::Head => {
                heads.insert(parts.partition.clone(), Head::decode(payload).unwrap().next_index);
            }
            Space::Participant => {
                found.names.insert(text(parts.rest));
                *found.members.entry(parts.partition.clone()).or_default() += 1;
                bound += usize::from(ParticipantRecord::decode(payload).unwrap().binding.is_some());
            }
            Space::Binding => found.bindings += 1,
            Space::Conversation => {
                let record = ConversationRecord::decode(payload).unwrap();
                let sid = record.sid.as_str().to_owned();
                found.names.insert(sid.clone());
                let attributes: serde_json::Value = serde_json::from_str(&record.attributes).unwrap();
                let version = attributes["v"].as_u64().unwrap_or(0);
                if version > 0 && record.attributes != load::attributes(version) {
                    found.torn.push(format!("the attributes {version} of {sid} are others"));
                }
                found.attributes.insert(sid, version);
            }
            Space::ProviderId => {
                if let ProviderIdRow::Message { conversation, index, subject: Subject::Inbound } =
                    ProviderIdRow::decode(payload).unwrap()
                {
                    inbound.push((conversation.as_str().to_owned(), index));
                }
            }
            _ => {}
        }
    }
    let mut torn = Vec::new();
    let there =
        |conversation: &str, index: &u64| indexes.get(conversation).is_some_and(|all| all.contains(index));
    for (conversation, next) in &heads {
        let count = indexes.get(conversation).map_or(0, BTreeSet::len);
        if count as u64 != *next {
            torn.push(format!("{conversation} has {count} messages, its head says {next}"));
        }
    }
    for (key, conversation, index) in &sources {
        if !keys.contains(key.as_bytes()) {
            torn.push(format!("{conversation} {index} has no provider id"));
        }
    }
    for (what, all) in [("a provider id", &inbound), ("a queue row", &queued)] {
        for (conversation, index) in all {
            if !there(conversation, index) {
                torn.push(format!("{what} is of {conversation} {index}, which is not there"));
            }
        }
    }
    for kept in found.messages.values().flatten() {
        for receipt in &kept.receipts {
            if !found.queued.contains(receipt) && !found.settled.contains_key(receipt) {
                torn.push(format!("{receipt} of {} is neither queued nor settled", kept.sid));
            }
        }
    }
    if found.bindings != bound {
        torn.push(format!("{bound} participants have {} bindings", found.bindings));
    }
    found.torn.extend(torn);
    found
}

impl Found {
    /// What is not there of what was known at a moment.
    pub fn lost(&self, known: &Known, moment: usize) -> Vec<String> {
        let mut lost = Vec::new();
        for (word, all) in [("answered", &known.promises), ("shown", &known.sights)] {
            let before = all.iter().take_while(|(at, _)| *at <= moment);
            for (at, promise) in before.filter(|(_, promise)| !self.keeps(promise)) {
                lost.push(match promise {
                    Promise::Message(serial) => format!("message {serial}, {word} at {at}"),
                    Promise::Attributes(sid, version) => {
                        format!("attributes {version} of {sid}, {word} at {at}")
                    }
                    Promise::Receipt(sid, status) => {
                        format!("that {sid} is {}, {word} at {at}", status.name())
                    }
                });
            }
        }
        for (at, name) in known.names.iter().take_while(|(at, _)| *at <= moment) {
            if !self.names.contains(name) {
                lost.push(format!("{name}, which left at {at}"));
            }
        }
        lost
    }

    fn keeps(&self, promise: &Promise) -> bool {
        match promise {
            Promise::Message(serial) => self.messages.contains_key(serial),
            Promise::Attributes(sid, version) => {
                self.attributes.get(sid).is_some_and(|found| found >= version)
            }
            // Receipts move forward only.
            Promise::Receipt(sid, status) => {
                self.settled.get(sid).is_some_and(|found| found.status >= Some(*status))
            }
        }
    }

    /// Messages that are there more than once.
    pub fn doubled(&self) -> Vec<String> {
        let twice = self.messages.iter().filter(|(_, kept)| kept.len() > 1);
        twice.map(|(serial, kept)| format!("message {serial} is there {} times", kept.len())).collect()
    }
}
