//! Delivery statuses: found by the provider's id, or by our own correlation text, or parked until one of them is known.
//! They move receipts forward, never back, and check only the rows they touch.

use trunkline_adapter::{Address, DeliveryStatus, Person, StatusReport, Timestamp};

use super::Origin;
use crate::announce::{Cause, Place};
use crate::ledger::engine::{Batch, CommitError, Revision, Snapshot};
use crate::ledger::key::{Key, Range};
use crate::ledger::typed::Stored;
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    Binding, Compact, ConversationSid, Correlation, Json, MessageRecord, Named, ParkedStatus, ParticipantSid,
    ProviderIdRow, ReceiptRecord, ReceiptSid, Subject, Via,
};
use crate::relay::after::After;
use crate::relay::{ATTEMPTS, Relay, RelayError, decide};
use crate::telemetry::inbound::{InboundOutcome, status as count_status};

/// Reports kept for one id that nobody knows yet.
const MOST_PARKED: usize = 8;
/// How many messages back a watermark reaches.
const MOST_MARKED: usize = 512;
/// Messages read at a time; mostly the newest few are all.
const PAGE: usize = 16;
/// Receipts moved by one commit.
const MOST_AT_ONCE: usize = 200;
/// The same where each may be told to several.
const MOST_TOLD: usize = 25;
/// Providers' clocks and ours differ by this much at most before a watermark misses its message.
const SKEW: std::time::Duration = std::time::Duration::from_secs(2);

/// One part of one send.
struct Part {
    conversation: ConversationSid,
    index: u64,
    participant: ParticipantSid,
    receipt: ReceiptSid,
    part: u32,
    /// Of how many, where that is known.
    parts: u32,
}

impl Relay {
    pub(in crate::relay) async fn take_status(
        &self,
        origin: Origin<'_>,
        report: StatusReport,
    ) -> Result<(), RelayError> {
        let account = origin.account.as_str();
        let id_key = tables::provider_id(account, origin.kind, &report.from, &report.id);
        for _ in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            let mut batch = Batch::default();
            let known = typed::compact::<ProviderIdRow>(&*snapshot, &id_key).await?;
            let mut unnamed = false;
            let part = match known.map(|row| row.record) {
                Some(ProviderIdRow::Message {
                    conversation,
                    index,
                    subject: Subject::Outbound { participant, receipt, part },
                }) => Part { conversation, index, participant, receipt, part, parts: 0 },
                // About something that came in, or an event: nothing of ours to move.
                Some(_) => return Ok(()),
                None => {
                    let unproven = match self.correlated(&*snapshot, origin, &report).await? {
                        Correlated::Ours(part) => Ok(part),
                        Correlated::Unproven(receipt) => Err(Some(receipt)),
                        Correlated::Not => Err(None),
                    };
                    match unproven {
                        Ok(part) => {
                            unnamed = true;
                            part
                        }
                        Err(receipt) => match self.park(&*snapshot, origin, &report, receipt).await? {
                            Ok(()) => return Ok(()),
                            Err(Conflict) => continue,
                        },
                    }
                }
            };
            let receipt_key =
                tables::receipt(account, part.conversation.as_str(), part.index, part.receipt.as_str());
            let stored = typed::compact::<ReceiptRecord>(&*snapshot, &receipt_key).await?;
            match &stored {
                Some(row) => {
                    batch.at(receipt_key.clone(), row.changed);
                }
                None => {
                    // The first that is heard of it: a message that is being removed must not leave a receipt behind.
                    let message = tables::message(account, part.conversation.as_str(), part.index);
                    let Some(row) = snapshot.get(&message).await? else { return Ok(()) };
                    batch.at(message, row.changed);
                    batch.absent(receipt_key.clone());
                }
            }
            let now = self.clock.now();
            let before = stored.as_ref().and_then(|row| row.record.status);
            let mut record = stored.map_or_else(
                || ReceiptRecord::new(part.receipt.clone(), part.participant.clone(), now),
                |row| row.record,
            );
            let moved = move_part(&mut record, &part, &report, now);
            if moved && record.status == Some(DeliveryStatus::Read) {
                // Before the receipt: after a crash in between, the provider's repeat finds that it still has to move.
                let at = report.at.unwrap_or(now);
                self.has_read(origin, &part.conversation, (&part.participant, &report.from), part.index, at)
                    .await?;
            }
            let timed = report.at.is_some() && record.taken_at.is_none();
            if timed {
                record.taken_at = report.at;
            }
            let place = usize::try_from(part.part).unwrap_or(usize::MAX);
            let via = Via { kind: origin.kind.to_owned(), proxy: report.from.clone() };
            // What is remembered of an id must stand in the receipt, with which it is forgotten.
            let named = record.name(place, &report.id, via);
            let correlated =
                self.proxies.get(origin.account, &report.from).is_some_and(|ours| ours.correlated);
            if unnamed && named != Named::Not && !correlated {
                batch.absent(id_key.clone());
                batch.put(id_key.clone(), outbound(&part).encode());
            }
            if moved || timed || named == Named::Now {
                batch.put(receipt_key, record.encode());
            }
            if batch.writes.is_empty() {
                return Ok(());
            }
            let mut woken = Vec::new();
            if record.status != before && self.hooks.any() {
                let place = Place {
                    account: origin.account,
                    conversation: &part.conversation,
                    index: part.index,
                    proxy: &report.from,
                };
                woken = Box::pin(self.tell_receipt(place, &record, &mut batch)).await?;
            }
            failpoint!("status::before-commit");
            match self.ledger.commit(batch).await {
                Ok(_) => {
                    failpoint!("status::committed");
                    self.wake_tellers(origin.account, woken);
                    if moved {
                        count_status(origin.adapter, report.status);
                        tracing::info!(
                            adapter = origin.adapter, conversation = %part.conversation, index = part.index,
                            receipt = %part.receipt, status = report.status.name(), "A receipt moved",
                        );
                    }
                    self.learn(origin.account, &part.conversation, &part.participant, &report.learned).await;
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Somebody's read horizon follows what their channel tells, of whoever is still there: forward only, in a commit of its
    /// own. So nobody pays for it whose channel tells no reading.
    async fn has_read(
        &self,
        origin: Origin<'_>,
        conversation: &ConversationSid,
        (participant, proxy): (&ParticipantSid, &Address),
        index: u64,
        at: Timestamp,
    ) -> Result<(), RelayError> {
        let (account, sid) = (origin.account, conversation.as_str());
        let Some(known) = self.load(account, sid).await? else { return Ok(()) };
        let member = known.member(participant);
        if member.is_none_or(|member| member.record.last_read_message_index >= Some(index)) {
            return Ok(());
        }
        let read = self.change(account, sid, Cause::channel(proxy), |known, context| async move {
            Ok((decide::roster::read(&context, &known, participant, index, at), ()))
        });
        match read.await {
            Ok(_) | Err(RelayError::ConversationNotFound) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// The send our own text names, if there is such a delivery. The text came from outside, so it is held against
    /// the message.
    async fn correlated(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        report: &StatusReport,
    ) -> Result<Correlated, RelayError> {
        let Some(found) = report.correlation.as_deref().and_then(Correlation::decode) else {
            return Ok(Correlated::Not);
        };
        let (account, conversation) = (origin.account.as_str(), found.conversation.as_str());
        let Some(row) = typed::message(snapshot, account, conversation, found.index).await? else {
            return Ok(Correlated::Not);
        };
        let ours =
            row.record.deliveries.iter().any(|delivery| {
                delivery.receipt == found.receipt && delivery.participant == found.participant
            });
        if !ours {
            return Ok(Correlated::Not);
        }
        // Only the line it left from may tell of a send: that of somebody who is there, or the one in the receipt.
        let known = self.load(origin.account, conversation).await?;
        let member = known.as_ref().and_then(|known| known.member(&found.participant));
        let line = member.and_then(|member| member.record.binding.as_ref()).map(|binding| &binding.proxy);
        if line != Some(&report.from) {
            let key = tables::receipt(account, conversation, found.index, found.receipt.as_str());
            let stored = typed::compact::<ReceiptRecord>(snapshot, &key).await?;
            let proven = stored.as_ref().is_some_and(|stored| {
                let via = Via { kind: origin.kind.to_owned(), proxy: report.from.clone() };
                stored.record.via.as_ref() == Some(&via) && stored.record.ids().any(|id| id == &report.id)
            });
            if !proven {
                return Ok(Correlated::Unproven((key, stored.map(|stored| stored.changed))));
            }
        }
        Ok(Correlated::Ours(Part {
            conversation: found.conversation,
            index: found.index,
            participant: found.participant,
            receipt: found.receipt,
            part: found.part,
            parts: found.parts,
        }))
    }

    /// Keeps a report until the send it is about says its id. Either that send's outcome or this commit meets a
    /// conflict, so none of the two can miss the other: on the id's row, or on the receipt where no row leads to it.
    async fn park(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        report: &StatusReport,
        receipt: Option<ReceiptRow>,
    ) -> Result<Result<(), Conflict>, RelayError> {
        let account = origin.account.as_str();
        let key = tables::parked(account, origin.kind, &report.from, &report.id);
        let stored: Option<Stored<ParkedStatus>> = typed::json(snapshot, &key).await?;
        let mut batch = Batch::default();
        batch.absent(tables::provider_id(account, origin.kind, &report.from, &report.id));
        match receipt {
            Some((key, Some(changed))) => batch.at(key, changed),
            Some((key, None)) => batch.absent(key),
            None => &mut batch,
        };
        match &stored {
            Some(row) => batch.at(key.clone(), row.changed),
            None => batch.absent(key.clone()),
        };
        let since = self.clock.now();
        let mut parked = stored.map_or(ParkedStatus { reports: Vec::new(), since }, |row| row.record);
        if parked.reports.len() >= MOST_PARKED || parked.reports.contains(report) {
            return Ok(Ok(()));
        }
        parked.reports.push(report.clone());
        batch.put(key, parked.encode());
        failpoint!("status::before-park");
        let after = After { parked: true, ..After::default() };
        match self.commits.commit(origin.account, batch, after).await {
            Ok(()) => Ok(Ok(())),
            Err(CommitError::Conflict(_)) => Ok(Err(Conflict)),
            Err(other) => Err(other.into()),
        }
    }

    /// Everything sent to a person up to a moment was delivered or read.
    pub(in crate::relay) async fn take_watermark(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        (from, to): (&Person, &Address),
        status: DeliveryStatus,
        until: Timestamp,
    ) -> Result<(), RelayError> {
        self.in_conversation(origin, binding, (to, from), |sid| async move {
            let conversation = self.load(origin.account, sid.as_str()).await?;
            let member = conversation.as_ref().and_then(|conversation| conversation.bound(to, from));
            let Some(member) = member else { return Ok(InboundOutcome::Unbound) };
            let participant = &member.record.sid;
            let mark = Watermark { conversation: &sid, participant, proxy: to, status, until };
            for _ in 0..ATTEMPTS {
                match self.mark(origin, &mark).await {
                    Err(RelayError::Ledger(LedgerError::Commit(CommitError::Conflict(_)))) => {}
                    other => return other.map(|()| InboundOutcome::Accepted),
                }
            }
            Err(RelayError::Contended)
        })
        .await?;
        Ok(())
    }

    /// Walks back from the newest message to one that has come this far already, and then marks what it passed, oldest
    /// first: were it cut off half-way, the repeat would find the rest.
    async fn mark(&self, origin: Origin<'_>, mark: &Watermark<'_>) -> Result<(), RelayError> {
        let (account, sid) = (origin.account.as_str(), mark.conversation.as_str());
        let snapshot = self.ledger.snapshot();
        let prefix = tables::messages(account, sid);
        let mut range = Range::prefix(&prefix).reversed();
        let mut passed = Vec::new();
        'back: for _ in 0..MOST_MARKED / PAGE {
            let page = snapshot.scan(range, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            range = Range::until(&prefix, last).reversed();
            for (key, row) in page {
                let Some(index) = tables::message_index(&key) else { continue };
                let message = MessageRecord::decode(&row.payload).map_err(LedgerError::from)?;
                let delivery =
                    message.deliveries.iter().find(|delivery| &delivery.participant == mark.participant);
                let Some(delivery) = delivery else { continue };
                let key = tables::receipt(account, sid, index, delivery.receipt.as_str());
                // Without a row it has not left yet, so nobody can have seen it.
                let Some(stored) = typed::compact::<ReceiptRecord>(&*snapshot, &key).await? else { continue };
                if stored.record.taken_at.unwrap_or(message.created) > mark.until.plus(SKEW) {
                    continue;
                }
                if stored
                    .record
                    .status
                    .is_some_and(|before| before >= mark.status && before <= DeliveryStatus::Read)
                {
                    break 'back;
                }
                passed.push((key, stored));
            }
        }
        let now = self.clock.now();
        let newest = passed.first().and_then(|(key, _)| tables::receipt_index(key));
        if let Some(newest) = newest.filter(|_| mark.status == DeliveryStatus::Read) {
            // As with a single status: before the receipts.
            let of = (mark.participant, mark.proxy);
            self.has_read(origin, mark.conversation, of, newest, mark.until.min(now)).await?;
        }
        passed.reverse();
        let told = self.hooks.hear_delivery(origin.account);
        for some in passed.chunks(if told { MOST_TOLD } else { MOST_AT_ONCE }) {
            let (mut batch, mut moved_here, mut woken) = (Batch::default(), 0, Vec::new());
            for (key, stored) in some {
                let mut record = stored.record.clone();
                // A part of which nothing is known has not left.
                let mut moved = false;
                for (part, before) in stored.record.parts.iter().enumerate() {
                    moved |= before.is_some() && record.advance(part, mark.status, 0, now);
                }
                if moved {
                    batch.at(key.clone(), stored.changed);
                    batch.put(key.clone(), record.encode());
                    moved_here += 1;
                    if let Some(index) = tables::receipt_index(key).filter(|_| told) {
                        let place = Place {
                            account: origin.account,
                            conversation: mark.conversation,
                            index,
                            proxy: mark.proxy,
                        };
                        woken.extend(Box::pin(self.tell_receipt(place, &record, &mut batch)).await?);
                    }
                }
            }
            if moved_here > 0 {
                failpoint!("status::before-watermark");
                self.ledger.commit(batch).await?;
                self.wake_tellers(origin.account, woken);
            }
            (0..moved_here).for_each(|_| count_status(origin.adapter, mark.status));
        }
        Ok(())
    }
}

/// How far a person has got or seen what was sent to them.
struct Watermark<'a> {
    conversation: &'a ConversationSid,
    participant: &'a ParticipantSid,
    proxy: &'a Address,
    status: DeliveryStatus,
    until: Timestamp,
}

struct Conflict;

/// What our own text in a status leads to.
enum Correlated {
    Ours(Part),
    /// A delivery of ours, of which nobody knows yet that it left from there.
    Unproven(ReceiptRow),
    Not,
}

/// A receipt and its number, if there is one yet.
type ReceiptRow = (Key, Option<Revision>);

fn outbound(part: &Part) -> ProviderIdRow {
    ProviderIdRow::Message {
        conversation: part.conversation.clone(),
        index: part.index,
        subject: Subject::Outbound {
            participant: part.participant.clone(),
            receipt: part.receipt.clone(),
            part: part.part,
        },
    }
}

fn move_part(record: &mut ReceiptRecord, part: &Part, report: &StatusReport, now: Timestamp) -> bool {
    let code = report.error.as_ref().map_or(0, |error| error.code);
    let place = usize::try_from(part.part).unwrap_or(usize::MAX);
    record.expect_parts(usize::try_from(part.parts).unwrap_or(usize::MAX));
    record.advance(place, report.status, code, now)
}

#[cfg(test)]
#[path = "statuses_test.rs"]
mod tests;
