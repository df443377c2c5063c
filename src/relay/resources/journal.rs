//! The story of one message, read from the rows that exist anyway: the message, its receipts, what is left in the queue.

use std::sync::Arc;

use super::messages::{find, known, view};
use crate::ledger::engine::Snapshot;
use crate::ledger::{LedgerError, typed};
use crate::model::{
    AccountSid, Compact, Conversation, Delivery, Dispatch, ParticipantRecord, PersonBinding, ReceiptRecord,
    ServiceSid,
};
use crate::relay::command::MessageView;
use crate::relay::{Relay, RelayError};
use crate::work::{self, Job, Queue};

/// How many rows of a recipient's queue are looked through.
const MOST_QUEUED: usize = 1000;

/// A message, who brought it, and how it goes to everybody.
#[derive(Debug)]
pub struct Journal {
    pub conversation: Arc<Conversation>,
    pub message: MessageView,
    /// The binding by which the writer's message found the conversation, while the writer is still there.
    pub matched: Option<PersonBinding>,
    /// In the order of the message's deliveries.
    pub legs: Vec<Leg>,
}

/// One delivery.
#[derive(Debug)]
pub struct Leg {
    pub delivery: Delivery,
    /// How the recipient is reached; nothing when they have left.
    pub binding: Option<PersonBinding>,
    /// What is known of the send, once something is.
    pub receipt: Option<ReceiptRecord>,
    pub waiting: Option<Waiting>,
}

/// A send that is still to come.
#[derive(Debug)]
pub struct Waiting {
    pub job: Job,
    /// The parts that have left.
    pub sent: usize,
    /// Other messages whose turn comes before.
    pub ahead: usize,
}

impl Relay {
    /// What happened to a message so far.
    pub async fn journal(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        message: &str,
    ) -> Result<Journal, RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let snapshot = self.ledger.snapshot();
        let (account, sid) = (account.as_str(), conversation.sid().as_str());
        let (index, record) = find(&*snapshot, account, sid, message).await?;
        let mut receipts = known(&*snapshot, account, sid, index).await?;
        let member = |participant| conversation.member(participant).map(|member| &member.record);
        let writer = record.participant.as_ref().and_then(member);
        let matched = record.source.as_ref().and(writer).and_then(binding);
        let mut legs = Vec::with_capacity(record.deliveries.len());
        for delivery in &record.deliveries {
            let binding = member(&delivery.participant).and_then(binding);
            let waiting = match &binding {
                Some(binding) => waiting(&*snapshot, account, binding, delivery).await?,
                None => None,
            };
            let receipt = receipts.remove(&delivery.receipt);
            legs.push(Leg { delivery: delivery.clone(), binding, receipt, waiting });
        }
        let message = view(&*snapshot, account, sid, index, record).await?;
        Ok(Journal { conversation, message, matched, legs })
    }

    /// Messages from an index on, each with what is known of its deliveries: a page of an export, as of one moment.
    pub async fn exported(
        &self,
        account: &AccountSid,
        sid: &str,
        beyond: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(MessageView, Vec<ReceiptRecord>)>, RelayError> {
        let snapshot = self.ledger.snapshot();
        let account = account.as_str();
        // What is being removed is seen by nobody, its rows may be half gone.
        if typed::conversation(&*snapshot, account, sid).await?.is_none() {
            return Err(RelayError::ConversationNotFound);
        }
        let rows = super::messages::page(&*snapshot, account, sid, false, beyond, limit).await?;
        let mut told = Vec::with_capacity(rows.len());
        for (index, record) in rows {
            let mut receipts = known(&*snapshot, account, sid, index).await?;
            let in_order =
                record.deliveries.iter().filter_map(|delivery| receipts.remove(&delivery.receipt)).collect();
            told.push((view(&*snapshot, account, sid, index, record).await?, in_order));
        }
        Ok(told)
    }
}

fn binding(record: &ParticipantRecord) -> Option<PersonBinding> {
    record.binding.clone()
}

async fn waiting(
    snapshot: &dyn Snapshot,
    account: &str,
    binding: &PersonBinding,
    delivery: &Delivery,
) -> Result<Option<Waiting>, LedgerError> {
    let (lane, subject) = (binding.proxy.as_str(), binding.address.as_str());
    let jobs = work::rows_of(snapshot, account, Queue::Outbound, lane, subject, MOST_QUEUED).await?;
    let found =
        jobs.into_iter().enumerate().find_map(|(ahead, job)| match Dispatch::decode(&job.payload).ok()? {
            Dispatch::Message { receipt, sent, .. } if receipt == delivery.receipt => {
                Some(Waiting { job, sent: sent.len(), ahead })
            }
            _ => None,
        });
    Ok(found)
}
