//! Telling events: the work of one account, in order per conversation and webhook, and side by side otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use trunkline_adapter::Timestamp;

use super::dead_letters::DeadLetter;
use super::origins::{Leave, Origins, origin};
use super::outcome::{Ended, Fault, backoff, ended};
use super::settings::{Site, TIMEOUT};
use crate::announce::{EventJob, To};
use crate::egress::{Body, Request};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::key::Range;
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    AccountSid, Compact, ConversationRecord, ConversationSid, Event, HookMethod, HookSettings, MessageRecord,
    ScopedWebhook, WebhookSid,
};
use crate::telemetry::webhooks::{PostOutcome, told};
use crate::work::{self, Job, Queue, Taken, Window};

/// The header with a token that is the same at every try.
pub(super) const TOKEN: &str = "I-Twilio-Idempotency-Token";
/// Requests open at once, of all receivers.
const MOST_OPEN: usize = 256;
/// Conversations and webhooks looked at together.
const WINDOW: usize = 2048;
/// Bytes of an answer that are read; nothing in it matters.
const MOST_ANSWER: usize = 64 * 1024;
/// A receiver that is busy beyond all measure is looked at again after so long.
const BUSY: Duration = Duration::from_millis(50);
/// After a failure to read, the queue is looked at again a little later.
const AGAIN: Duration = Duration::from_secs(1);
/// Tries after which an event lets others pass, where its receiver took something since the last of them.
const TRIES_BESIDE_OTHERS: u32 = 4;
/// The same where the receiver is told nothing else.
const TRIES_ALONE: u32 = 6;
/// Between what an event was ordered by and its token, in the subject of one that others have passed.
const ASIDE: char = '!';
/// Messages read at a time for a webhook that came after them.
const PAGE: usize = 32;

/// Tells the events of one account.
pub struct Post {
    site: Site,
    account: AccountSid,
    /// The last run ended in order; otherwise what waited then may have been told.
    clean: bool,
    depth: Arc<AtomicU64>,
}

/// A request that is open.
struct Flight {
    taken: Taken,
    job: EventJob,
    /// What is told: the job itself, or one message of its replay.
    event: EventJob,
    /// Which message of a replay.
    index: Option<u64>,
    origin: String,
    /// How often its receiver had failed when it began.
    rounds: u32,
    tries: u32,
}

/// What becomes of an event that has to be tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    /// It stays where it is, even where its time is over: the daemon is about to end.
    Stays,
    /// It stays, or becomes a dead letter when its time is over.
    Ends,
    /// It lets those behind it pass, or becomes a dead letter when its time is over.
    StepsAside,
}

type Open = FuturesUnordered<BoxFuture<'static, (Flight, Ended)>>;

impl Post {
    pub fn new(site: Site, account: AccountSid, clean: bool) -> Post {
        Post { site, account, clean, depth: Arc::default() }
    }

    /// How many events wait; kept up while it runs.
    pub fn depth(&self) -> Arc<AtomicU64> {
        self.depth.clone()
    }

    /// Runs until told to stop, then until nothing is open; sleeps while there is nothing to do.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let lane = self.account.as_str();
        let woken = self.site.wakeups.register(Queue::Webhook, lane);
        let (ledger, clock) = (self.site.ledger.clone(), self.site.clock);
        let mut window = Window::open(ledger, clock, lane, Queue::Webhook, lane, WINDOW);
        let (mut origins, mut open) = (Origins::default(), Open::new());
        tokio::pin!(stop);
        loop {
            window.told(woken.take());
            let mut pause = None;
            while open.len() < MOST_OPEN {
                match window.next().await {
                    Ok(Some(taken)) => self.begin(taken, &mut window, &mut origins, &mut open).await,
                    Ok(None) if window.counting() => match window.count_page().await {
                        Ok(()) => {}
                        Err(error) => pause = Some(error),
                    },
                    Ok(None) => break,
                    Err(error) => pause = Some(error),
                }
                if pause.is_some() {
                    break;
                }
            }
            if let Some(error) = &pause {
                tracing::error!(%error, "Events cannot be read");
            }
            self.depth.store(window.depth(), Ordering::Relaxed);
            let due = window.next_due().map(|due| due.since(clock.now()));
            let due = if pause.is_some() { Some(AGAIN) } else { due };
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some((flight, ended)) = open.next(), if !open.is_empty() => {
                    self.finish(flight, ended, &mut window, &mut origins, &mut open).await;
                }
                () = woken.told() => {}
                () = sleep => {}
            }
        }
        while let Some((flight, ended)) = open.next().await {
            self.settle(&flight, &ended, Otherwise::Stays).await;
        }
    }

    /// Sends what is in hand, or says when.
    async fn begin(&self, taken: Taken, window: &mut Window, origins: &mut Origins, open: &mut Open) {
        let Ok(mut job) = EventJob::decode(&taken.job.payload) else {
            tracing::error!(subject = %taken.subject, "An event's row cannot be read and is dropped");
            let mut batch = Batch::default();
            batch.delete(taken.key.clone());
            self.commit(batch).await;
            window.done(&taken.subject);
            return;
        };
        let found = self.prepare(&taken, &mut job).await;
        let (event, index) = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                let mut batch = Batch::default();
                batch.delete(taken.key.clone());
                self.commit(batch).await;
                window.done(&taken.subject);
                return;
            }
            Err(error) => {
                tracing::error!(%error, subject = %taken.subject, "An event cannot be made ready");
                let due = self.site.clock.now().plus(AGAIN);
                window.put_back(&taken.subject, taken.job, Some(due));
                return;
            }
        };
        let now = self.site.clock.now();
        let origin = origin(&event.url);
        let tries = taken.job.attempts + u32::from(taken.old && !self.clean);
        let mut flight = Flight { taken, job, event, index, origin, rounds: 0, tries };
        if origins.down(&flight.origin) && self.expired(&flight.taken.job, now) {
            // Others have shown that nobody is there.
            let ended = Ended::Refused("no answer for as long as it was retried".to_owned());
            let kept = self.settle(&flight, &ended, Otherwise::Ends).await;
            give_back(window, &flight.taken, kept);
            return;
        }
        match origins.ask(&flight.origin, now) {
            Leave::Go(rounds) => {
                flight.rounds = rounds;
                open.push(self.send(flight));
            }
            Leave::Down(due) => {
                let (subject, job) = (flight.taken.subject.clone(), flight.taken.job);
                window.put_back(&subject, job, Some(due));
            }
            Leave::Busy => {
                if let Some(taken) = origins.park(&flight.origin, flight.taken) {
                    let (subject, job) = (taken.subject.clone(), taken.job);
                    window.put_back(&subject, job, Some(now.plus(BUSY)));
                }
            }
        }
    }

    fn send(&self, flight: Flight) -> BoxFuture<'static, (Flight, Ended)> {
        let mut pairs = flight.event.params.clone();
        pairs.push(("RetryCount".to_owned(), flight.tries.to_string()));
        let request = Request {
            url: flight.event.url.clone(),
            body: match flight.event.method {
                HookMethod::Get => Body::Query(pairs),
                HookMethod::Post => Body::Form(pairs),
            },
            headers: vec![(TOKEN, flight.event.token.clone())],
            timeout: TIMEOUT,
            most: MOST_ANSWER,
        };
        let (caller, token) = (self.site.caller.clone(), self.site.token(&self.account));
        async move {
            failpoint!("webhook::taken");
            let answer = caller.call(request, &token).await;
            failpoint!("webhook::answered");
            (flight, ended(&answer))
        }
        .boxed()
    }

    async fn finish(
        &self,
        flight: Flight,
        ended: Ended,
        window: &mut Window,
        origins: &mut Origins,
        open: &mut Open,
    ) {
        let answered = !matches!(ended, Ended::Again(..));
        let others = origins.takes_others(&flight.origin);
        let otherwise = match lets_pass(&flight.taken.subject, flight.tries + 1, &ended, others) {
            true => Otherwise::StepsAside,
            false => Otherwise::Ends,
        };
        let wait = |rounds| backoff(rounds, &self.site.mint);
        let now = self.site.clock.now();
        let back = origins.ended(&flight.origin, answered, flight.rounds, wait, now);
        let kept = self.settle(&flight, &ended, otherwise).await;
        give_back(window, &flight.taken, kept);
        if back {
            window.hurry();
        }
        // One request has ended, so one may begin; of a receiver that is down, none is kept waiting in hand.
        while let Some(parked) = origins.unpark(&flight.origin) {
            self.begin(parked, window, origins, open).await;
            if !origins.down(&flight.origin) {
                break;
            }
        }
    }

    /// Puts an event where it is tried on its own; gives what is left of its row.
    fn step_aside(&self, flight: &Flight, now: Timestamp, batch: &mut Batch) -> Option<Job> {
        let Flight { taken, event, tries, .. } = flight;
        let attempts = tries + 1;
        let not_before = now.plus(backoff(attempts, &self.site.mint));
        let alone = Job { attempts, not_before, payload: event.encode().to_vec(), ..taken.job.clone() };
        let (lane, subject) = (self.account.as_str(), aside_of(taken, event));
        let key = work::row_key(lane, Queue::Webhook, lane, &subject, self.site.ledger.birth());
        batch.insert(key, alone.encode());
        let next = self.advanced(flight, now);
        match &next {
            Some(next) => batch.put(taken.key.clone(), next.encode()),
            None => batch.delete(taken.key.clone()),
        };
        next
    }

    /// Writes down what became of a try; gives the row's new value, if there still is one.
    async fn settle(&self, flight: &Flight, ended: &Ended, otherwise: Otherwise) -> Option<Job> {
        let now = self.site.clock.now();
        let Flight { taken, event, .. } = flight;
        let mut batch = Batch::default();
        let reason = match ended {
            Ended::Taken => None,
            Ended::Refused(reason) => Some(reason),
            Ended::Again(reason, _) if otherwise != Otherwise::Stays && self.expired(&taken.job, now) => {
                Some(reason)
            }
            Ended::Again(reason, _) if otherwise == Otherwise::StepsAside => {
                let next = self.step_aside(flight, now, &mut batch);
                tracing::warn!(
                    account = %self.account, subject = %taken.subject, event = %event.event, reason,
                    "An event lets those behind it pass: its receiver takes others, and not this one"
                );
                self.commit(batch).await;
                self.site.wakeups.work(Queue::Webhook, self.account.as_str(), &aside_of(taken, event));
                told(PostOutcome::Retried);
                return next;
            }
            Ended::Again(reason, _) => {
                let attempts = flight.tries + 1;
                let not_before = now.plus(backoff(attempts, &self.site.mint));
                let again = Job { attempts, not_before, ..taken.job.clone() };
                batch.put(taken.key.clone(), again.encode());
                told(PostOutcome::Retried);
                tracing::debug!(account = %self.account, subject = %taken.subject, reason, "An event is told again");
                self.commit(batch).await;
                return Some(again);
            }
        };
        let next = self.advanced(flight, now);
        match &next {
            Some(next) => batch.put(taken.key.clone(), next.encode()),
            None => batch.delete(taken.key.clone()),
        };
        if let Some(reason) = reason {
            let letter = DeadLetter {
                event: event.clone(),
                message: None,
                subject: taken.subject.to_string(),
                since: taken.job.since,
                attempts: flight.tries + 1,
                reason: reason.clone(),
                at: now,
                rest: serde_json::Map::new(),
            };
            self.site.letters.bury(&self.account, &letter, &mut batch);
            tracing::warn!(
                account = %self.account, subject = %taken.subject, event = %event.event, reason,
                "An event became a dead letter"
            );
        }
        self.commit(batch).await;
        failpoint!("webhook::settled");
        if reason.is_some() {
            self.site.letters.buried(&self.account).await;
            told(PostOutcome::Dead);
        } else {
            told(PostOutcome::Taken);
        }
        next
    }

    /// The row of a replay after one more message.
    fn advanced(&self, flight: &Flight, now: Timestamp) -> Option<Job> {
        let (index, mut job) = (flight.index?, flight.job.clone());
        let replay = job.replay.as_mut()?;
        replay.next = index + 1;
        let more = replay.next < replay.until;
        let payload = job.encode().to_vec();
        more.then_some(Job { since: now, attempts: 0, not_before: Timestamp(0), payload, trace: Vec::new() })
    }

    fn expired(&self, job: &Job, now: Timestamp) -> bool {
        now.since(job.since) > self.site.settings().retry_for
    }

    /// Comes back when it is written, or when the ledger cannot be written any more.
    async fn commit(&self, batch: Batch) {
        loop {
            match self.site.ledger.commit(batch.clone()).await {
                Ok(_) | Err(CommitError::Fatal(_)) => break,
                Err(error) => {
                    tracing::error!(%error, "What became of an event cannot be written down yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// What is told next of a row. One that was tried goes where its webhook points now; where that is gone, it goes where
    /// it went. Nothing when a replay is at its end.
    async fn prepare(
        &self,
        taken: &Taken,
        job: &mut EventJob,
    ) -> Result<Option<(EventJob, Option<u64>)>, LedgerError> {
        if job.replay.is_some() {
            let To::Conversation(conversation, sid) = job.to.clone() else { return Ok(None) };
            return self.next_of_replay(&conversation, &sid, job).await;
        }
        if taken.job.attempts > 0 {
            self.redirect(job).await?;
        }
        Ok(Some((job.clone(), None)))
    }

    async fn redirect(&self, job: &mut EventJob) -> Result<(), LedgerError> {
        let now = match &job.to {
            To::Account => self.stored("").await?,
            To::Service(service) => self.stored(service.as_str()).await?,
            To::Conversation(conversation, sid) => {
                let hook = self.scoped(conversation, sid).await?;
                hook.and_then(|hook| Some((hook.url?, hook.method)))
            }
        };
        if let Some((url, method)) = now {
            (job.url, job.method) = (url, method);
        }
        Ok(())
    }

    async fn stored(&self, name: &str) -> Result<Option<(String, HookMethod)>, LedgerError> {
        let key = tables::hook(self.account.as_str(), name);
        let row = typed::json::<HookSettings>(&*self.site.ledger.snapshot(), &key).await?;
        Ok(row.and_then(|row| Some((row.record.post_url?, row.record.method))))
    }

    async fn scoped(
        &self,
        conversation: &ConversationSid,
        sid: &WebhookSid,
    ) -> Result<Option<ScopedWebhook>, LedgerError> {
        let key = tables::conversation(self.account.as_str(), conversation.as_str());
        let row = typed::json::<ConversationRecord>(&*self.site.ledger.snapshot(), &key).await?;
        Ok(row.and_then(|row| row.record.webhooks.into_iter().find(|hook| &hook.sid == sid)))
    }

    /// The next message that a webhook hears of what was said before it.
    async fn next_of_replay(
        &self,
        conversation: &ConversationSid,
        sid: &WebhookSid,
        job: &mut EventJob,
    ) -> Result<Option<(EventJob, Option<u64>)>, LedgerError> {
        let Some(hook) = self.scoped(conversation, sid).await? else { return Ok(None) };
        let (account, own) = (self.account.as_str(), conversation.as_str());
        let prefix = tables::messages(account, own);
        while let Some(replay) = job.replay.as_mut().filter(|replay| replay.next < replay.until) {
            let range = Range::from(&prefix, &tables::message(account, own, replay.next));
            let rows = self.site.ledger.snapshot().scan(range, PAGE).await?;
            if rows.is_empty() {
                return Ok(None);
            }
            for (key, row) in rows {
                let Some(index) = tables::message_index(&key) else { continue };
                if index >= replay.until {
                    return Ok(None);
                }
                replay.next = index + 1;
                let record = MessageRecord::decode(&row.payload)?;
                let Some(url) = hook.hears(Event::MessageAdded, record.body.as_deref()) else { continue };
                let mut event = job.of_message(index, &record);
                (event.url, event.method) = (url.to_owned(), hook.method);
                return Ok(Some((event, Some(index))));
            }
        }
        Ok(None)
    }
}

/// What an event that stepped aside is ordered by: nothing but itself.
fn aside_of(taken: &Taken, event: &EventJob) -> String {
    format!("{}{ASIDE}{}", taken.subject, event.token)
}

/// Whether those behind an event may pass it. Order is kept while a receiver is well; one that takes what others are told
/// and does not take this event has a trouble with this event. Where nothing else is told to it, that it answers at all
/// has to do, if the answer is its own: a gateway's says that nobody is behind it.
fn lets_pass(subject: &str, tries: u32, ended: &Ended, takes_others: bool) -> bool {
    let Ended::Again(_, fault) = ended else { return false };
    let others = tries >= TRIES_BESIDE_OTHERS && takes_others;
    let alone = tries >= TRIES_ALONE && *fault == Fault::Own;
    (others || alone) && !subject.contains(ASIDE)
}

fn give_back(window: &mut Window, taken: &Taken, kept: Option<Job>) {
    match kept {
        Some(job) => {
            let due = (job.not_before > Timestamp(0)).then_some(job.not_before);
            window.put_back(&taken.subject, job, due);
        }
        None => window.done(&taken.subject),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_steps_aside_where_its_receiver_is_well_and_only_once() {
        let own = Ended::Again("answered 500".to_owned(), Fault::Own);
        let way = Ended::Again("no way".to_owned(), Fault::Way);
        for (tries, ended, takes_others, passed) in [
            (TRIES_BESIDE_OTHERS - 1, &own, true, false),
            (TRIES_BESIDE_OTHERS, &own, true, true),
            (TRIES_BESIDE_OTHERS, &way, true, true),
            (TRIES_ALONE - 1, &own, false, false),
            (TRIES_ALONE, &own, false, true),
            // Whoever does not answer at all is not well, however long it takes.
            (10_000, &way, false, false),
            (10_000, &Ended::Taken, true, false),
            (10_000, &Ended::Refused("answered 422".to_owned()), true, false),
        ] {
            let case = format!("{tries} {ended:?} {takes_others}");
            assert_eq!(lets_pass("CH1/A", tries, ended, takes_others), passed, "{case}");
            assert!(!lets_pass("CH1/A!token", tries, ended, takes_others), "{case}");
        }
    }
}
