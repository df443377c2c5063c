//! One messaging service's queue, posted row by row.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use trunkline_adapter::{Address, Clock, Timestamp};

use super::target::{Target, Today};
use super::twiml::Reply;
use super::{form, twiml};
use crate::egress::{Answer, Body, CallError, Caller, Request};
use crate::ledger::engine::Batch;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{AccountSid, Compact, Dispatch, Forwarded, Json, Mint};
use crate::telemetry::mask;
use crate::work::{self, Job, Queue, Taken, Wakeups, Window};

/// People whose messages are under way at the same time.
const WINDOW: usize = 64;
/// How long an application may take, as the original allows.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer.
const MOST: usize = 64 * 1024;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// After a failure of our own the row is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(5);
const REPEAT: &str = "I-Twilio-Idempotency-Token";

/// A message that nobody took.
pub struct GivenUp<'a> {
    pub service: &'a str,
    pub message: &'a Forwarded,
    /// Where and how it was posted.
    pub url: &'a str,
    pub token: String,
    pub parameters: Vec<(String, String)>,
    /// What it was ordered by.
    pub subject: &'a str,
    pub since: Timestamp,
    pub attempts: u32,
    pub reason: String,
}

/// Keeps what nobody took, where an operator finds it. Plugged in by `app`.
pub trait Kept: Send + Sync {
    /// Adds it to the batch that ends its row.
    fn bury(&self, account: &AccountSid, given_up: GivenUp<'_>, batch: &mut Batch);

    /// That batch was committed.
    fn buried<'a>(&'a self, account: &'a AccountSid) -> BoxFuture<'a, ()>;
}

/// What couriers share.
pub struct Courier {
    pub ledger: Ledger,
    pub clock: Clock,
    pub wakeups: Wakeups,
    pub caller: Caller,
    pub mint: Mint,
    pub account: AccountSid,
    pub kept: Arc<dyn Kept>,
    pub(super) today: Today,
}

/// How a try ended.
enum End {
    /// Taken, with these answers on their way.
    Done,
    /// To be tried again.
    Again(Job),
}

impl Courier {
    pub fn new(
        ledger: Ledger,
        clock: Clock,
        wakeups: Wakeups,
        caller: Caller,
        mint: Mint,
        account: AccountSid,
        kept: Arc<dyn Kept>,
    ) -> Courier {
        Courier { ledger, clock, wakeups, caller, mint, account, kept, today: Today::default() }
    }

    fn today(&self) -> Arc<Target> {
        self.today.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forwards what one messaging service has to; runs until dropped, and sleeps while there is nothing.
    pub(super) async fn serve(self: Arc<Courier>, service: String) {
        let woken = self.wakeups.register(Queue::Forward, &service);
        let (ledger, account) = (self.ledger.clone(), self.account.as_str());
        let window = Window::open(ledger, self.clock, account, Queue::Forward, &service, WINDOW);
        let mut window = window.uncounted();
        let mut under_way = FuturesUnordered::new();
        let mut failed = None::<Timestamp>;
        loop {
            window.told(woken.take());
            while under_way.len() < WINDOW && failed.is_none_or(|until| until <= self.clock.now()) {
                match window.next().await {
                    Ok(Some(taken)) => {
                        let (courier, service) = (self.clone(), service.clone());
                        under_way.push(async move {
                            let end = courier.carry(&service, &taken).await;
                            (taken, end)
                        });
                        failed = None;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, "Messages to forward cannot be read");
                        failed = Some(self.clock.now().plus(AGAIN));
                    }
                }
            }
            // With nothing free, only an end changes anything.
            let due = window.next_due().into_iter().chain(failed).min();
            let due = due.filter(|_| under_way.len() < WINDOW);
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due.since(self.clock.now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((taken, end)) = under_way.next(), if !under_way.is_empty() => match end {
                    End::Done => window.done(&taken.subject),
                    End::Again(job) => {
                        let due = job.not_before;
                        window.put_back(&taken.subject, job, Some(due));
                    }
                },
                () = woken.told() => {}
                () = sleep => {}
            }
        }
    }

    /// Tries one row and writes its end down.
    async fn carry(&self, service: &str, taken: &Taken) -> End {
        let stay = |job: Job| End::Again(Job { not_before: self.clock.now().plus(AGAIN), ..job });
        let forwarded = match Forwarded::decode(&taken.job.payload) {
            Ok(forwarded) => forwarded,
            Err(error) => {
                tracing::error!(%error, "A message to forward cannot be read and is dropped");
                return self.ended(taken, Batch::default()).await.unwrap_or_else(|_| stay(taken.job.clone()));
            }
        };
        let today = self.today();
        // Without a URL the courier is about to be ended.
        let Some(url) = today.urls.get(service) else { return stay(taken.job.clone()) };
        let request = Request {
            url: url.clone(),
            body: Body::Form(form::parameters(self.account.as_str(), service, &forwarded)),
            headers: vec![(REPEAT, form::token(&forwarded))],
            timeout: TIMEOUT,
            most: MOST,
        };
        failpoint!("forward::taken");
        let answer = self.caller.call(request, &today.token).await;
        failpoint!("forward::answered");
        let end = match &answer {
            Ok(answer) if (200..300).contains(&answer.status) => {
                self.taken(&today, taken, &forwarded, answer).await
            }
            refused => self.refused((&today, service, url), taken, &forwarded, refused).await,
        };
        end.unwrap_or_else(|error| {
            tracing::error!(%error, "The end of a forwarded message cannot be written down yet");
            stay(taken.job.clone())
        })
    }

    /// The application has it: its answers go on their way in the commit that ends the row.
    async fn taken(
        &self,
        today: &Target,
        taken: &Taken,
        forwarded: &Forwarded,
        answer: &Answer,
    ) -> Result<End, LedgerError> {
        let replies = twiml::replies(&answer.content_type, &answer.body).unwrap_or_else(|error| {
            tracing::warn!(%error, "The answer to a forwarded message says nothing to us");
            Vec::new()
        });
        let mut batch = Batch::default();
        let mut wake = Vec::new();
        for reply in replies {
            let Some((from, to)) = ends(today, forwarded, &reply) else {
                tracing::warn!("An answer to a forwarded message is not sent: from or to does not fit");
                continue;
            };
            let payload = Dispatch::Reply { text: reply.text, sent: 0 }.encode();
            let (account, lane, subject) = (self.account.as_str(), from.as_str(), to.as_str());
            let (seq, now) = (self.ledger.birth(), self.clock.now());
            work::enqueue(&mut batch, account, Queue::Outbound, lane, subject, seq, now, payload);
            wake.push((from, to));
        }
        let end = self.ended(taken, batch).await?;
        for (from, to) in wake {
            self.wakeups.work(Queue::Outbound, from.as_str(), to.as_str());
        }
        Ok(end)
    }

    async fn refused(
        &self,
        (today, service, url): (&Target, &str, &str),
        taken: &Taken,
        forwarded: &Forwarded,
        answer: &Result<Answer, CallError>,
    ) -> Result<End, LedgerError> {
        let reason = match answer {
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => error.to_string(),
        };
        let (now, attempts) = (self.clock.now(), taken.job.attempts + 1);
        if now.since(taken.job.since) >= today.give_up {
            let from = mask::address(&forwarded.from);
            tracing::error!(%service, %from, %reason, "A message that nobody took became a dead letter");
            let given_up = GivenUp {
                service,
                message: forwarded,
                url,
                token: form::token(forwarded),
                parameters: form::parameters(self.account.as_str(), service, forwarded),
                subject: &taken.subject,
                since: taken.job.since,
                attempts,
                reason,
            };
            let mut batch = Batch::default();
            self.kept.bury(&self.account, given_up, &mut batch);
            let end = self.ended(taken, batch).await?;
            self.kept.buried(&self.account).await;
            return Ok(end);
        }
        tracing::warn!(%service, attempts, %reason, "A message was not forwarded and is tried again");
        let wait = (BACKOFF.0 * 2_u32.saturating_pow(attempts.min(16) - 1)).min(BACKOFF.1);
        let chance = f64::from(self.mint.bytes()[0]) / 255.0;
        let not_before = now.plus(wait.mul_f64(0.5 + chance / 2.0));
        let job = Job { attempts, not_before, ..taken.job.clone() };
        let mut batch = Batch::default();
        batch.put(taken.key.clone(), job.encode());
        self.ledger.commit(batch).await?;
        Ok(End::Again(job))
    }

    async fn ended(&self, taken: &Taken, mut batch: Batch) -> Result<End, LedgerError> {
        batch.delete(taken.key.clone());
        match self.ledger.commit(batch).await {
            Ok(_) => {
                failpoint!("forward::ended");
                Ok(End::Done)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// From which address of ours an answer leaves, and whom it is for; nothing where it cannot.
fn ends(today: &Target, forwarded: &Forwarded, reply: &Reply) -> Option<(Address, Address)> {
    let from = match &reply.from {
        Some(from) => Address::parse(from).ok().filter(|from| today.proxies.contains(from))?,
        None => forwarded.to.clone(),
    };
    let to = match &reply.to {
        Some(to) => Address::parse(to).ok().filter(Address::takes_messages)?,
        None => forwarded.from.clone(),
    };
    (from.channel() == to.channel() && from != to).then_some((from, to))
}

#[cfg(test)]
#[path = "courier_test.rs"]
mod tests;
