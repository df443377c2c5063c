//! Holds the contract's promises against what was seen from outside, once the daemon is up and has nothing left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;
use trunkline_adapter::DeliveryStatus;

use crate::book::{Book, Promise, id_of};
use crate::harness::arrivals::{Repeat, excuses, without_repeats};
use crate::harness::{Client, Sent};
use crate::site::Life;
use crate::talk::{Person, Talk};

/// Failed receipts that a person who opted out, or an unknown outcome, explains.
const OPTED_OUT: u64 = 21610;
const UNKNOWN: u64 = 30008;

/// A duplicate, and which life's start excuses it.
pub struct Excused {
    pub repeat: Repeat,
    pub life: usize,
}

/// What one look found.
#[derive(Default)]
pub struct Findings {
    /// Whose arrivals were looked at: some are in two conversations.
    looked_at: BTreeSet<String>,
    pub acknowledged: u64,
    pub arrived: u64,
    pub excused: Vec<Excused>,
}

/// What the observer looks with.
pub struct Observer<'a> {
    pub client: &'a Client,
    pub book: &'a Book,
    /// Everything that arrived for the people looked at, by address.
    pub arrived: BTreeMap<&'a str, Vec<&'a Sent>>,
    pub lives: &'a [Life],
    /// Nobody repeats a send whose outcome is unknown.
    pub unknown_fails: bool,
}

pub fn status_of(receipt: &Value) -> Option<DeliveryStatus> {
    let name = receipt["status"].as_str()?;
    Some(DeliveryStatus::ALL.into_iter().find(|status| status.name() == name).expect("a status we know"))
}

impl Observer<'_> {
    fn broken(&self, promise: Promise, how: String) {
        self.book.broken(promise, how);
    }

    /// Looks at a conversation that is there.
    pub async fn look(&self, talk: &Talk, findings: &mut Findings) {
        let messages = self.client.messages(&talk.sid).await;
        let body = |message: &Value| message["body"].as_str().unwrap_or_default().to_owned();
        let bodies: Vec<String> = messages.iter().map(body).collect();
        let ids: Vec<&str> = bodies.iter().map(|body| id_of(body)).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        if unique.len() != ids.len() {
            self.broken(Promise::StoredTwice, format!("{}: {ids:?}", talk.sid));
        }
        for (place, message) in messages.iter().enumerate() {
            if message["index"] != place {
                self.broken(Promise::OutOfOrder, format!("{} has no index {place}", talk.sid));
            }
        }
        let (acknowledged, unwanted, late) = {
            let known = self.book.known.lock().unwrap();
            let late: Vec<&str> =
                ids.iter().copied().filter(|id| known.too_late.get(*id) == Some(&talk.sid)).collect();
            (known.acknowledged.get(&talk.sid).cloned().unwrap_or_default(), known.unwanted.clone(), late)
        };
        findings.acknowledged += acknowledged.len() as u64;
        for id in acknowledged.iter().filter(|id| !unique.contains(id.as_str())) {
            self.broken(Promise::Lost, format!("{id} was acknowledged and is not in {}", talk.sid));
        }
        for id in late {
            self.broken(Promise::Undone, format!("{id} is in {}, which was closed", talk.sid));
        }
        let mut receipts = Vec::with_capacity(messages.len());
        for message in &messages {
            receipts.push(self.client.receipts(&talk.sid, message["sid"].as_str().unwrap()).await);
        }
        for person in &talk.people {
            let mut expected: Vec<(&str, &str)> = Vec::new();
            let mut may_be_missing: BTreeSet<&str> = BTreeSet::new();
            for ((message, body), receipts) in messages.iter().zip(&bodies).zip(&receipts) {
                if message["participant_sid"] == person.sid.as_str() {
                    continue;
                }
                let id = id_of(body);
                let receipt =
                    receipts.iter().find(|receipt| receipt["participant_sid"] == person.sid.as_str());
                let Some(receipt) = receipt else {
                    // What waited behind an earlier conversation's end may have come before this person did.
                    if self.book.known.lock().unwrap().too_late.contains_key(id) {
                        continue;
                    }
                    self.broken(
                        Promise::Lost,
                        format!("{id} has no receipt for {} in {}", person.address, talk.sid),
                    );
                    continue;
                };
                if self.explained(talk, id, person, receipt) {
                    may_be_missing.insert(id);
                }
                let gone = unwanted.contains(&(id.to_owned(), person.address.clone()));
                // Nobody knows of a send that began before the opt-out was looked at.
                let explained = [Some(OPTED_OUT), self.unknown_fails.then_some(UNKNOWN)];
                if gone && !explained.contains(&receipt["error_code"].as_u64()) {
                    self.broken(
                        Promise::Undone,
                        format!("{id} to {}, who opted out: {receipt}", person.address),
                    );
                }
                expected.push((id, body));
            }
            self.compare(person, &expected, &may_be_missing, findings);
        }
    }

    /// Looks at one receipt; says whether it tells why the message need not have arrived.
    fn explained(&self, talk: &Talk, id: &str, person: &Person, receipt: &Value) -> bool {
        let status = status_of(receipt);
        self.book.saw(receipt["sid"].as_str().unwrap(), status);
        let told = {
            let known = self.book.known.lock().unwrap();
            known.told.get(&(id.to_owned(), person.address.clone())).copied()
        };
        match status {
            Some(DeliveryStatus::Failed | DeliveryStatus::Undelivered) => {
                let code = receipt["error_code"].as_u64().unwrap_or_default();
                let why = code == OPTED_OUT || self.unknown_fails && code == UNKNOWN;
                if !why {
                    self.broken(
                        Promise::Lost,
                        format!("{id} to {} in {}: {receipt}", person.address, talk.sid),
                    );
                }
                why
            }
            Some(status) => {
                // A read mark says nothing of parts that leave later, and a watermark reaches only what was taken.
                let parts = self.arrived.get(person.address.as_str()).into_iter().flatten();
                let whole = parts
                    .filter(|sent| id_of(sent.text()) == id)
                    .map(|sent| sent.text())
                    .collect::<BTreeSet<_>>();
                let by_name = !person.address.starts_with("messenger:") && whole.len() == 1;
                if by_name && told.is_some_and(|told| status < told) {
                    let how = format!(
                        "{id} to {}: a provider told {told:?}, the receipt says {status:?}",
                        person.address
                    );
                    self.broken(Promise::Status, how);
                }
                false
            }
            None => {
                self.broken(Promise::Lost, format!("{id} to {} was never sent: {receipt}", person.address));
                false
            }
        }
    }

    /// Everything expected arrived in order; what came twice has an excuse.
    fn compare(
        &self,
        person: &Person,
        expected: &[(&str, &str)],
        may_be_missing: &BTreeSet<&str>,
        findings: &mut Findings,
    ) {
        let address = &person.address;
        let arrived = self.texts(address, findings);
        let mut came: Vec<(&str, Vec<&str>)> = Vec::new();
        for text in &arrived {
            match came.last_mut() {
                Some((id, words)) if *id == id_of(text) => words.extend(text.split_whitespace()),
                _ => came.push((id_of(text), text.split_whitespace().collect())),
            }
        }
        let stored: Vec<&str> = expected.iter().map(|(id, _)| *id).collect();
        let there: BTreeSet<&str> = came.iter().map(|(id, _)| *id).collect();
        for (id, body) in expected.iter().filter(|(id, _)| !may_be_missing.contains(id)) {
            match came.iter().find(|(came, _)| came == id) {
                None => self.broken(Promise::Lost, format!("{id} never came to {address}")),
                Some((_, words)) if *words != body.split_whitespace().collect::<Vec<_>>() => {
                    self.broken(
                        Promise::Lost,
                        format!("{id} came to {address} incomplete or mixed: {words:?}"),
                    );
                }
                Some(_) => {}
            }
        }
        let order: Vec<&str> = stored.iter().copied().filter(|id| there.contains(id)).collect();
        let came: Vec<&str> = came.into_iter().map(|(id, _)| id).collect();
        if came != order {
            // What is not in this conversation belongs to another one of the same person, or to none.
            let own: Vec<&str> = came.iter().copied().filter(|id| stored.contains(id)).collect();
            if own != order {
                self.broken(Promise::OutOfOrder, format!("{address} got {came:?} instead of {order:?}"));
            }
        }
        for id in came {
            let known = self.book.known.lock().unwrap();
            let unwanted = known.unwanted.contains(&(id.to_owned(), address.clone()));
            // Somebody's later conversation may have taken it: it waited behind what was still on its way.
            let late = known.too_late.contains_key(id) && !stored.contains(&id);
            drop(known);
            if unwanted || late {
                self.broken(Promise::Undone, format!("{id} came to {address}"));
            }
        }
    }

    /// What arrived for somebody, without duplicates; those are looked at here.
    fn texts(&self, address: &str, findings: &mut Findings) -> Vec<String> {
        // A notice about keywords is no message.
        let ours = |sent: &&&Sent| {
            let number = id_of(sent.text()).strip_prefix('m');
            sent.text() == "STOP" || number.is_some_and(|number| number.parse::<u64>().is_ok())
        };
        let arrived: Vec<&Sent> =
            self.arrived.get(address).into_iter().flatten().filter(ours).copied().collect();
        let count = arrived.len() as u64;
        let (texts, repeats) = without_repeats(arrived);
        if !findings.looked_at.insert(address.to_owned()) {
            return texts;
        }
        findings.arrived += count;
        // A life that ended in order leaves no doubt behind.
        let doubtful: Vec<usize> =
            (1..self.lives.len()).filter(|life| self.lives[life - 1].died.is_some()).collect();
        let starts: Vec<Instant> = doubtful.iter().map(|life| self.lives[*life].started).collect();
        for (repeat, start) in repeats.iter().zip(excuses(&repeats, &starts)) {
            match start.filter(|_| !self.unknown_fails) {
                Some(start) => findings.excused.push(Excused { repeat: *repeat, life: doubtful[start] }),
                None => {
                    self.broken(Promise::Duplicate, format!("{address} got something twice without a kill"))
                }
            }
        }
        texts
    }

    /// Looks at a conversation that was removed: it is gone, and what still arrived keeps to the order.
    pub async fn look_at_removed(&self, talk: &Talk, findings: &mut Findings) {
        let answer = self.client.get(&talk.path()).await;
        if answer.status != 404 {
            self.broken(
                Promise::Undone,
                format!("{} was removed: {} {}", talk.sid, answer.status, answer.text),
            );
        }
        for person in &talk.people {
            // They were written one after another.
            let texts = self.texts(&person.address, findings);
            let numbers: Vec<u64> = texts.iter().filter_map(|text| id_of(text)[1..].parse().ok()).collect();
            if !numbers.is_sorted_by(|one, next| one < next) {
                self.broken(Promise::OutOfOrder, format!("{} got {texts:?}", person.address));
            }
        }
    }
}
