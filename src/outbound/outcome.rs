//! What an outcome means for a row, and the one batch that says so.

use std::time::Duration;

use trunkline_adapter::{Address, Blame, Cause, DeliveryStatus, Outcome, Scope, Timestamp};

use super::hold::LONGEST_WISH;
use super::plan::{Policies, Surroundings, Unknown};
use super::send::{End, MessageRow};
use super::span::span;
use crate::announce;
use crate::ledger::engine::{Batch, CommitError, ReadError, Write};
use crate::ledger::key::Space;
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    AccountSid, Attempt, Compact, Dispatch, Mint, Named, ParkedStatus, ProviderIdRow, ReceiptRecord, Subject,
    Via,
};
use crate::telemetry::outbound::Series;
use crate::work::{Job, Queue, Taken};

/// A failed receipt's code when nobody knows what became of the send.
pub(super) const UNKNOWN_CODE: u32 = 30008;
/// A failed receipt's code when a message waited too long.
pub(super) const EXPIRED_CODE: u32 = 30036;
/// A failed receipt's code when the person opted out.
pub(super) const OPTED_OUT_CODE: u32 = 21610;

/// The first and the longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Tries to settle before giving others some time.
const TRIES: u32 = 8;

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One part was taken.
    Accepted { id: String, learned: Vec<Address>, at: Option<Timestamp> },
    /// The row's value changes, and is tried again when it says.
    Later(Job),
    /// Likewise, at once and with a link in the file's place.
    AsLink(Job),
    /// The row ends.
    End(End),
    /// Nothing changes: the lane as a whole has to wait.
    Stay,
}

/// What is needed to judge an outcome.
pub(super) struct Case<'a> {
    pub taken: &'a Taken,
    pub dispatch: &'a Dispatch,
    pub policies: Policies,
    pub idempotent: bool,
    /// The lane is held: its tries are probes and cost a message nothing.
    pub held: bool,
    /// A file was to be sent.
    pub file: bool,
    pub now: Timestamp,
    pub mint: &'a Mint,
}

/// Judges an outcome.
pub(super) fn judge(case: &Case<'_>, outcome: &Outcome) -> Step {
    let tried = case.taken.job.attempts.saturating_add(1);
    match outcome {
        Outcome::Accepted { id, learned, at } => {
            Step::Accepted { id: id.clone(), learned: learned.clone(), at: *at }
        }
        Outcome::Retryable { .. } if case.held => case.stay(),
        Outcome::Retryable { tries: Some(tries), cause, .. } if tried >= *tries => {
            case.fail(case.file, cause)
        }
        Outcome::Retryable { after, .. } => Step::Later(case.later(tried, *after, false)),
        Outcome::Throttled { scope: Scope::Recipient, after, .. } => {
            Step::Later(case.later(tried, *after, false))
        }
        Outcome::Throttled { scope: Scope::Lane | Scope::Account, .. } => case.stay(),
        Outcome::Rejected { blame: Blame::Operator, .. } => case.stay(),
        Outcome::Rejected { blame: Blame::File, cause } => case.fail(case.file, cause),
        Outcome::Rejected { blame: Blame::Message | Blame::Recipient, cause } => case.fail(false, cause),
        Outcome::Unknown { cause } => match case.policies.unknown {
            Unknown::Fail if !case.idempotent => {
                Step::End(End::Fail(if cause.code == 0 { UNKNOWN_CODE } else { cause.code }))
            }
            // While held the next probe may use the same row at once.
            _ if case.held => {
                let job = case.later(case.taken.job.attempts, Some(Duration::ZERO), true);
                Step::Later(job)
            }
            _ => Step::Later(case.later(tried, None, true)),
        },
    }
}

impl Case<'_> {
    /// The row's end; or, where that may help, a link in the file's place. Either way nothing was taken.
    fn fail(&self, link: bool, cause: &Cause) -> Step {
        match link {
            true => Step::AsLink(self.later(0, Some(Duration::ZERO), false)),
            false => Step::End(End::Fail(cause.code)),
        }
    }

    /// The row as it was before the try. Where a begun send was written down, that is taken back: it is known that
    /// nothing was taken.
    fn stay(&self) -> Step {
        match (self.policies.unknown, self.dispatch) {
            (Unknown::Fail, Dispatch::Message { begun: true, .. }) => {
                Step::Later(self.later(self.taken.job.attempts, Some(Duration::ZERO), false))
            }
            _ => Step::Stay,
        }
    }

    /// The row's next value. `begun` is kept for a row that may have been sent, so that the next send counts as a
    /// possible duplicate.
    fn later(&self, attempts: u32, wish: Option<Duration>, maybe_sent: bool) -> Job {
        let wait = match wish {
            Some(wish) => wish.min(LONGEST_WISH),
            None => backoff(attempts, self.mint),
        };
        let mut dispatch = self.dispatch.clone();
        if let Dispatch::Message { begun, .. } = &mut dispatch {
            // A try that surely was not taken says nothing of the one before it.
            *begun = maybe_sent || *begun && self.policies.unknown == Unknown::Resend;
        }
        Job {
            since: self.taken.job.since,
            attempts,
            not_before: self.now.plus(wait),
            payload: dispatch.encode().to_vec(),
            trace: self.taken.job.trace.clone(),
        }
    }
}

/// Half of the wait is fixed, half is chance, so that those who failed together do not come back together.
pub(super) fn backoff(attempts: u32, mint: &Mint) -> Duration {
    let whole = (BACKOFF.0 * 2u32.saturating_pow(attempts.saturating_sub(1).min(16))).min(BACKOFF.1);
    let [high, low, ..] = mint.bytes();
    let chance = f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX);
    whole.mul_f64(0.5 + chance / 2.0)
}

/// What settling did.
pub(super) struct Settled {
    /// The row's new value; nothing when it is gone.
    pub kept: Option<Job>,
    /// The whole message was taken.
    pub complete: bool,
}

/// The row and the request that a step is about.
#[derive(Clone, Copy)]
pub(super) struct Subjects<'a> {
    pub taken: &'a Taken,
    pub dispatch: &'a Dispatch,
    pub proxy: &'a Address,
    pub kind: &'a str,
    /// No row leads from the provider's id to the receipt: statuses have our own text.
    pub correlated: bool,
    pub series: &'a Series,
    /// Which part of how many; nothing when no request was made.
    pub part: Option<(usize, usize)>,
    /// The receipt is written too.
    pub receipt: bool,
    /// The number of the message's row when it was read, where nothing can have been known of the receipt. The first
    /// try takes both for granted: the ledger checks them anyway, and reading them again would be for nothing.
    pub message: Option<MessageRow>,
    /// What the receipt keeps of a request that did not go well.
    pub attempt: Option<&'a Attempt>,
}

/// Trying again leads to the same: a row that is read cannot be understood, or what is written is too large.
fn permanent(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::Decode(_)
            | LedgerError::Read(ReadError::Damaged(_))
            | LedgerError::Commit(CommitError::TooLarge)
    )
}

/// Writes a step down. Comes back only when it is in the ledger, or when the ledger cannot be written any more. Where
/// what is stored about the receipt cannot be understood, the row goes on or ends without it.
pub(super) async fn settle(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    step: &Step,
) -> Result<Settled, LedgerError> {
    let mut subjects = *subjects;
    let mut tries = 0;
    loop {
        match try_settle(site, &subjects, step).await {
            Ok(settled) => return Ok(settled),
            Err(LedgerError::Commit(CommitError::Conflict(_))) => subjects.message = None,
            Err(error @ LedgerError::Commit(CommitError::Fatal(_))) => return Err(error),
            Err(error) if subjects.receipt && permanent(&error) => {
                span(subjects.proxy, subjects.dispatch)
                    .in_scope(|| tracing::error!(%error, "A send goes without its receipt"));
                subjects.receipt = false;
            }
            Err(error) => {
                span(subjects.proxy, subjects.dispatch)
                    .in_scope(|| tracing::error!(%error, "The end of a send cannot be written down yet"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        tries += 1;
        if tries % TRIES == 0 {
            // The send cannot be taken back, so its end is written however long others keep changing the receipt.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn try_settle(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    step: &Step,
) -> Result<Settled, LedgerError> {
    let key = subjects.taken.key.clone();
    let mut batch = Batch::default();
    let mut statuses = Vec::new();
    let mut learned = Vec::new();
    let settled = match step {
        Step::Stay => return Ok(Settled { kept: Some(subjects.taken.job.clone()), complete: false }),
        Step::Later(job) | Step::AsLink(job) => {
            batch.put(key, job.encode());
            Settled { kept: Some(job.clone()), complete: false }
        }
        Step::End(end) => {
            batch.delete(key);
            if let End::Fail(code) = end {
                fail(site, subjects, *code, &mut batch, &mut statuses).await?;
            }
            Settled { kept: None, complete: false }
        }
        Step::Accepted { id, learned: given, at } => {
            learned.clone_from(given);
            accept(site, subjects, id, *at, &mut batch, &mut statuses, &mut learned).await?
        }
    };
    let mut woken = Vec::new();
    if !statuses.is_empty() && site.hooks.any() {
        woken = Box::pin(told(site, subjects, &mut batch)).await?;
    }
    failpoint!("receipt::before-commit");
    site.ledger.commit(batch).await?;
    failpoint!("receipt::committed");
    for subject in woken {
        site.wakeups.work(Queue::Webhook, &site.account, &subject);
    }
    for status in statuses {
        subjects.series.delivery_status(status);
    }
    if let (Dispatch::Message { conversation, participant, .. }, false) =
        (subjects.dispatch, learned.is_empty())
    {
        site.learned.learned(&site.account, conversation, participant, learned);
    }
    Ok(settled)
}

/// Adds what a receipt that moves is told by, as the batch writes it.
async fn told(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    batch: &mut Batch,
) -> Result<Vec<String>, LedgerError> {
    let Dispatch::Message { conversation, index, .. } = subjects.dispatch else { return Ok(Vec::new()) };
    let moved = batch.writes.iter().find_map(|write| match write {
        Write::Put(key, row) if key.space() == Some(Space::Receipt) => Some(row.clone()),
        _ => None,
    });
    let (Some(row), Some(account)) = (moved, AccountSid::parse(&site.account)) else { return Ok(Vec::new()) };
    let receipt = ReceiptRecord::decode(&row)?;
    let place = announce::Place { account: &account, conversation, index: *index, proxy: subjects.proxy };
    let now = site.clock.now();
    announce::receipt_moved(&site.hooks, &site.ledger, &site.mint, now, place, &receipt, batch).await
}

/// A receipt as it is now, with the check that it still is; nothing when none is to be written, or when the message is
/// gone and nobody could ask for its receipt.
async fn receipt_of(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    batch: &mut Batch,
) -> Result<Option<(crate::ledger::key::Key, ReceiptRecord)>, LedgerError> {
    let Dispatch::Message { conversation, index, participant, receipt, .. } = subjects.dispatch else {
        return Ok(None);
    };
    if !subjects.receipt {
        return Ok(None);
    }
    let (account, sid) = (site.account.as_str(), conversation.as_str());
    if let Some(row) = subjects.message {
        let key = tables::receipt(account, sid, *index, receipt.as_str());
        batch.at(tables::message(account, sid, *index), row.changed);
        batch.absent_since(key.clone(), row.created);
        return Ok(Some((key, ReceiptRecord::new(receipt.clone(), participant.clone(), site.clock.now()))));
    }
    let snapshot = site.ledger.snapshot();
    let Some(message) = typed::message(&*snapshot, account, sid, *index).await? else { return Ok(None) };
    let key = tables::receipt(account, sid, *index, receipt.as_str());
    let record = match typed::compact::<ReceiptRecord>(&*snapshot, &key).await? {
        Some(stored) => {
            batch.at(key.clone(), stored.changed);
            stored.record
        }
        None => {
            // A message removed in this moment took its receipts along: none may come after it.
            batch.at(tables::message(account, sid, *index), message.changed);
            batch.absent(key.clone());
            ReceiptRecord::new(receipt.clone(), participant.clone(), site.clock.now())
        }
    };
    Ok(Some((key, record)))
}

async fn fail(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    code: u32,
    batch: &mut Batch,
    statuses: &mut Vec<DeliveryStatus>,
) -> Result<(), LedgerError> {
    let Some((key, mut record)) = receipt_of(site, subjects, batch).await? else { return Ok(()) };
    // The part that failed is named, so that a late status of an earlier part does not hide it.
    let sent = match subjects.dispatch {
        Dispatch::Message { sent, .. } => sent.len(),
        Dispatch::Notice { .. } | Dispatch::Reply { .. } => 0,
    };
    // A status may have told of that part already; then it is one behind it that does not leave any more.
    let now = site.clock.now();
    let tries = subjects.taken.job.trace.iter().chain(subjects.attempt).cloned();
    Attempt::remember(&mut record.attempts, tries);
    if (sent..record.parts.len().max(sent + 1))
        .any(|part| record.advance(part, DeliveryStatus::Failed, code, now))
    {
        batch.put(key, record.encode());
        statuses.push(DeliveryStatus::Failed);
    }
    Ok(())
}

async fn accept(
    site: &Surroundings,
    subjects: &Subjects<'_>,
    id: &str,
    at: Option<Timestamp>,
    batch: &mut Batch,
    statuses: &mut Vec<DeliveryStatus>,
    learned: &mut Vec<Address>,
) -> Result<Settled, LedgerError> {
    let now = site.clock.now();
    let (part, parts) = subjects.part.unwrap_or((0, 1));
    let complete = part + 1 >= parts;
    let key = subjects.taken.key.clone();
    let Dispatch::Message { conversation, index, participant, receipt, sent, .. } = subjects.dispatch else {
        let kept = match subjects.dispatch {
            Dispatch::Reply { text, sent } if !complete => {
                let payload = Dispatch::Reply { text: text.clone(), sent: sent + 1 }.encode().to_vec();
                let since = subjects.taken.job.since;
                Some(Job { since, attempts: 0, not_before: Timestamp(0), payload, trace: Vec::new() })
            }
            _ => None,
        };
        match &kept {
            Some(job) => batch.put(key, job.encode()),
            None => batch.delete(key),
        };
        return Ok(Settled { kept, complete });
    };
    let kept = if complete {
        batch.delete(key);
        None
    } else {
        let mut sent = sent.clone();
        sent.push(id.to_owned());
        let dispatch = Dispatch::Message {
            conversation: conversation.clone(),
            index: *index,
            participant: participant.clone(),
            receipt: receipt.clone(),
            sent,
            begun: false,
        };
        let payload = dispatch.encode().to_vec();
        let (since, not_before) = (subjects.taken.job.since, Timestamp(0));
        let job = Job { since, attempts: 0, not_before, payload, trace: Vec::new() };
        batch.put(key, job.encode());
        Some(job)
    };
    let Some((receipt_key, mut record)) = receipt_of(site, subjects, batch).await? else {
        return Ok(Settled { kept, complete });
    };
    if record.parts.len() < parts {
        record.parts.resize(parts, None);
    }
    if !subjects.taken.job.trace.is_empty() {
        Attempt::remember(&mut record.attempts, subjects.taken.job.trace.iter().cloned());
    }
    let via = Via { kind: subjects.kind.to_owned(), proxy: subjects.proxy.clone() };
    let named = record.name_newest(part, id, via);
    if complete {
        // The provider's own time, if an echo told it before, is what watermarks compare with.
        record.taken_at = at.or(record.taken_at).or(Some(now));
    }
    record.updated = now;
    if record.advance(part, DeliveryStatus::Sent, 0, now) {
        statuses.push(DeliveryStatus::Sent);
    }
    let account = site.account.as_str();
    let parked_key = tables::parked(account, subjects.kind, subjects.proxy, id);
    let parked = match subjects.message {
        Some(_) => None,
        None => typed::json::<ParkedStatus>(&*site.ledger.snapshot(), &parked_key).await?,
    };
    match parked {
        None => {
            // Nobody can tell of a send before its message is there.
            batch.absent_since(parked_key, subjects.message.map_or(0, |row| row.created));
        }
        Some(parked) => {
            batch.at(parked_key.clone(), parked.changed);
            batch.delete(parked_key);
            for report in parked.record.reports {
                let code = report.error.map_or(0, |error| error.code);
                if record.advance(part, report.status, code, now) {
                    statuses.push(report.status);
                }
                learned.extend(report.learned);
            }
        }
    }
    if named == Named::Not || subjects.correlated {
        batch.put(receipt_key, record.encode());
        return Ok(Settled { kept, complete });
    }
    let subject = Subject::Outbound {
        participant: participant.clone(),
        receipt: receipt.clone(),
        part: u32::try_from(part).unwrap_or(u32::MAX),
    };
    let row = ProviderIdRow::Message { conversation: conversation.clone(), index: *index, subject };
    batch.put(tables::provider_id(account, subjects.kind, subjects.proxy, id), row.encode());
    batch.put(receipt_key, record.encode());
    Ok(Settled { kept, complete })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::house_test::House;
    use super::*;
    use crate::work::{Queue, row_key};

    #[tokio::test]
    async fn a_try_that_was_not_taken_does_not_hide_one_that_may_have_been() {
        let mut house = House::new(|_, _| unreachable!()).await;
        let (index, _) = house.post("+15550100", "x").await;
        let site = house.around.clone();
        let key = row_key(&site.account, Queue::Outbound, house.plan.proxy.as_str(), "+15550100", index);
        let row = site.ledger.snapshot().get(&key).await.unwrap().unwrap();
        let job = Job::decode(&row.payload).unwrap();
        let mut dispatch = Dispatch::decode(&job.payload).unwrap();
        if let Dispatch::Message { begun, .. } = &mut dispatch {
            *begun = true;
        }
        let taken = Taken { subject: "+15550100".into(), key, job, old: false, letter: None };
        for (unknown, kept) in [(Unknown::Resend, true), (Unknown::Fail, false)] {
            let case = Case {
                taken: &taken,
                dispatch: &dispatch,
                policies: Policies { unknown, ..house.policies },
                idempotent: false,
                held: false,
                file: false,
                now: site.clock.now(),
                mint: &site.mint,
            };
            let cause = Cause::new("busy");
            let step = judge(&case, &Outcome::Retryable { after: None, tries: None, cause });
            let Step::Later(job) = step else { panic!("{step:?}") };
            let again = Dispatch::decode(&job.payload).unwrap();
            assert!(matches!(again, Dispatch::Message { begun, .. } if begun == kept), "{unknown:?}");
        }
    }

    #[tokio::test]
    async fn a_first_receipt_is_not_written_when_its_message_goes_in_this_moment() {
        let mut house = House::new(|_, _| unreachable!()).await;
        let (index, receipt) = house.post("+15550100", "x").await;
        let (site, proxy) = (house.around.clone(), house.plan.proxy.clone());
        let key = row_key(&site.account, Queue::Outbound, proxy.as_str(), "+15550100", index);
        let row = site.ledger.snapshot().get(&key).await.unwrap().unwrap();
        let job = Job::decode(&row.payload).unwrap();
        let dispatch = Dispatch::decode(&job.payload).unwrap();
        let taken = Taken { subject: "+15550100".into(), key, job, old: false, letter: None };
        let message = tables::message(&site.account, house.conversation.as_str(), index);
        let read = site.ledger.snapshot().get(&message).await.unwrap().unwrap();
        let read = MessageRow { changed: read.changed, created: read.created };
        let series = crate::telemetry::outbound::register("us", "");
        let subjects = Subjects {
            taken: &taken,
            dispatch: &dispatch,
            proxy: &proxy,
            kind: "scripted",
            correlated: false,
            series: &series,
            part: None,
            receipt: true,
            message: Some(read),
            attempt: None,
        };
        let (mut granted, mut looked) = (Batch::default(), Batch::default());
        let (_, record) = receipt_of(&site, &subjects, &mut granted).await.unwrap().unwrap();
        assert_eq!(record.sid, receipt);
        let subjects = Subjects { message: None, ..subjects };
        let (_, record) = receipt_of(&site, &subjects, &mut looked).await.unwrap().unwrap();
        assert_eq!(record.sid, receipt);
        let mut removal = Batch::default();
        removal.delete(message);
        site.ledger.commit(removal).await.unwrap();
        for batch in [granted, looked] {
            assert!(matches!(site.ledger.commit(batch).await, Err(CommitError::Conflict(_))));
        }
        assert!(receipt_of(&site, &subjects, &mut Batch::default()).await.unwrap().is_none());
    }
}
