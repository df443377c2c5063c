//! Delivery statuses: found by the provider's id, or by our own correlation text, or parked until one of them is known.
//! They move receipts forward, never back, and check only the rows they touch.

use trunkline_adapter::{Address, DeliveryStatus, Person, StatusReport, Timestamp};

use super::intake::Origin;
use super::{ATTEMPTS, Relay, RelayError};
use crate::ledger::engine::{Batch, CommitError, Snapshot};
use crate::ledger::key::Range;
use crate::ledger::typed::Stored;
use crate::ledger::{tables, typed};
use crate::model::{
    Binding, Compact, ConversationSid, Correlation, Json, MessageRecord, ParkedStatus, ParticipantSid,
    ProviderIdRow, ReceiptRecord, ReceiptSid, Subject,
};
use crate::telemetry::inbound::status as count_status;

/// Reports kept for one id that nobody knows yet.
const MOST_PARKED: usize = 8;
/// How far back a watermark reaches.
const MOST_MARKED: usize = 500;
/// Providers' clocks and ours differ by this much at most before a watermark misses its message.
const SKEW: std::time::Duration = std::time::Duration::from_secs(2);

/// One part of one send.
struct Part {
    conversation: ConversationSid,
    index: u64,
    participant: ParticipantSid,
    receipt: ReceiptSid,
    part: u32,
}

impl Relay {
    pub(super) async fn take_status(
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
            let part = match known.map(|row| row.record) {
                Some(ProviderIdRow::Message {
                    conversation,
                    index,
                    subject: Subject::Outbound { participant, receipt, part },
                }) => Part { conversation, index, participant, receipt, part },
                // About something that came in, or an event: nothing of ours to move.
                Some(_) => return Ok(()),
                None => match self.correlated(&*snapshot, origin, &report).await? {
                    Some(part) => {
                        batch.absent(id_key.clone());
                        batch.put(id_key.clone(), outbound(&part).encode());
                        part
                    }
                    None => match self.park(&*snapshot, origin, &report).await? {
                        Ok(()) => return Ok(()),
                        Err(Conflict) => continue,
                    },
                },
            };
            let receipt_key =
                tables::receipt(account, part.conversation.as_str(), part.index, part.receipt.as_str());
            let stored = typed::json::<ReceiptRecord>(&*snapshot, &receipt_key).await?;
            match &stored {
                Some(row) => batch.at(receipt_key.clone(), row.changed),
                None => batch.absent(receipt_key.clone()),
            };
            let now = self.clock.now();
            let mut record = stored.map_or_else(
                || ReceiptRecord::new(part.receipt.clone(), part.participant.clone(), now),
                |row| row.record,
            );
            let moved = move_part(&mut record, part.part, &report, now);
            let timed = report.at.is_some() && record.taken_at.is_none();
            if timed {
                record.taken_at = report.at;
            }
            if moved || timed {
                batch.put(receipt_key, record.encode());
            }
            if batch.writes.is_empty() {
                return Ok(());
            }
            match self.ledger.commit(batch).await {
                Ok(_) => {
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

    /// The send our own text names, if there is such a delivery. The text came from outside, so it is held against
    /// the message.
    async fn correlated(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        report: &StatusReport,
    ) -> Result<Option<Part>, RelayError> {
        let Some(found) = report.correlation.as_deref().and_then(Correlation::decode) else {
            return Ok(None);
        };
        let (account, conversation) = (origin.account.as_str(), found.conversation.as_str());
        let Some(row) = typed::message(snapshot, account, conversation, found.index).await? else {
            return Ok(None);
        };
        let ours =
            row.record.deliveries.iter().any(|delivery| {
                delivery.receipt == found.receipt && delivery.participant == found.participant
            });
        Ok(ours.then_some(Part {
            conversation: found.conversation,
            index: found.index,
            participant: found.participant,
            receipt: found.receipt,
            part: found.part,
        }))
    }

    /// Keeps a report until the send it is about says its id. Either that send's outcome or this commit meets a
    /// conflict, so none of the two can miss the other.
    async fn park(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        report: &StatusReport,
    ) -> Result<Result<(), Conflict>, RelayError> {
        let account = origin.account.as_str();
        let key = tables::parked(account, origin.kind, &report.from, &report.id);
        let stored: Option<Stored<ParkedStatus>> = typed::json(snapshot, &key).await?;
        let mut batch = Batch::default();
        batch.absent(tables::provider_id(account, origin.kind, &report.from, &report.id));
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
        match self.ledger.commit(batch).await {
            Ok(_) => {
                self.parked.arm();
                Ok(Ok(()))
            }
            Err(CommitError::Conflict(_)) => Ok(Err(Conflict)),
            Err(other) => Err(other.into()),
        }
    }

    /// Everything sent to a person up to a moment was delivered or read.
    pub(super) async fn take_watermark(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        from: &Person,
        to: &Address,
        status: DeliveryStatus,
        until: Timestamp,
    ) -> Result<(), RelayError> {
        let Some(binding) = binding else { return Ok(()) };
        let conversation = self.load(origin.account, binding.conversation.as_str()).await?;
        let Some(member) = conversation.as_ref().and_then(|conversation| conversation.bound(to, from)) else {
            return Ok(());
        };
        let participant = member.record.sid.clone();
        for _ in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            let (batch, moved) =
                self.mark(&*snapshot, origin, &binding.conversation, &participant, status, until).await?;
            if moved == 0 {
                return Ok(());
            }
            match self.ledger.commit(batch).await {
                Ok(_) => {
                    (0..moved).for_each(|_| count_status(origin.adapter, status));
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Walks back from the newest message until one that has come this far already.
    async fn mark(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        conversation: &ConversationSid,
        participant: &ParticipantSid,
        status: DeliveryStatus,
        until: Timestamp,
    ) -> Result<(Batch, usize), RelayError> {
        let (account, sid) = (origin.account.as_str(), conversation.as_str());
        let now = self.clock.now();
        let (mut batch, mut moved) = (Batch::default(), 0);
        let range = Range::prefix(&tables::messages(account, sid)).reversed();
        for (key, row) in snapshot.scan(range, MOST_MARKED).await? {
            let Some(index) = tables::message_index(&key) else { continue };
            let message = MessageRecord::decode(&row.payload).map_err(crate::ledger::LedgerError::from)?;
            let delivery = message.deliveries.iter().find(|delivery| &delivery.participant == participant);
            let Some(delivery) = delivery else { continue };
            let key = tables::receipt(account, sid, index, delivery.receipt.as_str());
            // Without a row it has not left yet, so nobody can have seen it.
            let Some(stored) = typed::json::<ReceiptRecord>(snapshot, &key).await? else { continue };
            let mut record = stored.record;
            if record.taken_at.unwrap_or(message.created) > until.plus(SKEW) {
                continue;
            }
            if record.status.is_some_and(|before| before >= status && before <= DeliveryStatus::Read) {
                break;
            }
            let mut any = false;
            for part in 0..record.parts.len() {
                any |= record.advance(part, status, 0, now);
            }
            // Room for the limit of one batch; the next watermark takes the rest.
            if any && moved < 200 {
                batch.at(key.clone(), stored.changed);
                batch.put(key, record.encode());
                moved += 1;
            }
        }
        Ok((batch, moved))
    }
}

struct Conflict;

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

fn move_part(record: &mut ReceiptRecord, part: u32, report: &StatusReport, now: Timestamp) -> bool {
    let code = report.error.as_ref().map_or(0, |error| error.code);
    let place = usize::try_from(part).unwrap_or(usize::MAX);
    let moved = record.advance(place, report.status, code, now);
    if moved {
        if record.provider_ids.len() <= place {
            record.provider_ids.resize(place + 1, String::new());
        }
        if record.provider_ids[place].is_empty() {
            record.provider_ids[place].clone_from(&report.id);
        }
    }
    moved
}
