//! One lane: a task that takes rows in turn, waits for permits, sends, and writes down how it went.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use trunkline_adapter::{Blame, Outcome, Scope, Timestamp};

use super::flight::{Arrival, Flight, Landed, finish};
use super::hold::{Gate, Passage};
use super::lock::lock;
use super::mailbox::{Mail, Site};
use super::outcome::{EXPIRED_CODE, Settled, Step, UNKNOWN_CODE};
use super::plan::{InForce, Surroundings, Unknown};
use super::rate::{Bucket, Pairs};
use super::send::{End, Prepared, dispatch_of, prepare};
use super::span::span;
use super::status::{Last, State};
use super::suspects::Suspects;
use super::waits::RateWaits;
use crate::ledger::LedgerError;
use crate::ledger::engine::CommitError;
use crate::model::Dispatch;
use crate::telemetry::outbound as metrics;
use crate::work::{Queue, Taken, Window};

/// Requests a lane has out at once, one per recipient...
const IN_FLIGHT: usize = 256;
/// ...and before the first of them is known to have been taken, so that a wrong token is not tried more often.
const UNPROVEN: usize = 32;
/// Recipients a lane holds in memory, a kilobyte each.
const WINDOW: usize = 4096;
/// What a removed proxy address says.
pub(super) const NOT_CONFIGURED: &str = "proxy address is not configured";
/// Between two looks for expired messages while a lane pauses and some may be.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks for the oldest message while a lane is busy with more than a few recipients: it is a walk over all
/// of them.
const OLDEST: Duration = Duration::from_millis(100);
const FEW: usize = 64;
/// After the ledger could not be read.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    site: Arc<Site>,
    mail: Mail,
    window: Window,
    rate: Option<Bucket>,
    pairs: Option<Pairs>,
    gate: Gate,
    /// As the gate, for requests that are under way.
    held: Arc<AtomicBool>,
    flights: FuturesUnordered<BoxFuture<'static, Arrival>>,
    /// Flights of which it is being written down that they begin. There is a permit for each of them, not taken yet: it
    /// counts from the moment the request leaves.
    noting: u32,
    /// The provider took something since the plan came or the lane was last held.
    proven: bool,
    waits: RateWaits,
    suspects: Suspects,
    /// Waiting counts from here at the earliest: neither down nor held time makes a message expire.
    resumed: Timestamp,
    /// How the last request ended, until it is reported.
    last: Option<Last>,
    /// The oldest message, and when it was looked for.
    oldest: (Option<Timestamp>, Timestamp),
    /// Another message may be the oldest by now. New ones never are.
    stirred: bool,
    broken: bool,
    /// Counting goes on then, after the queue could not be read.
    count_at: Timestamp,
}

/// How a lane ended when told to.
pub(super) struct Ended {
    /// The end of every send is in the ledger.
    pub written: bool,
    /// Nothing is left of what may have been on its way when the lane was started.
    pub sure: bool,
}

impl Lane {
    /// A lane at work from now on. `clean` is false when rows may have been under way when the last one ended.
    pub(super) fn new(site: Site, clean: bool) -> Lane {
        let Surroundings { ledger, clock, account, .. } = site.surroundings.clone();
        // What was told so far is in the rows the window is about to find.
        drop(site.work.take());
        let window = Window::open(ledger, clock, &account, Queue::Outbound, site.proxy.as_str(), WINDOW);
        let mail = site.mailbox.read();
        let mut lane = Lane {
            window,
            rate: None,
            pairs: None,
            gate: Gate::default(),
            held: Arc::default(),
            flights: FuturesUnordered::new(),
            noting: 0,
            proven: false,
            waits: RateWaits::default(),
            suspects: Suspects::after(clean),
            resumed: clock.now(),
            last: None,
            oldest: (None, Timestamp(0)),
            stirred: true,
            broken: false,
            count_at: Timestamp(0),
            site: Arc::new(site),
            mail: Mail { plan: None, ..mail.clone() },
        };
        lane.planned(mail.plan);
        // A pause is told once, so the first look at the mail must not lose it.
        if let Some(until) = mail.paused_until {
            lane.gate.pause(until);
        }
        lane
    }

    /// Works until told to stop and everything under way has ended. Says how sure its end is.
    pub(super) async fn run(mut self) -> Ended {
        loop {
            self.read_mail();
            self.window.told(self.site.work.take());
            let wake_at = match self.advance().await {
                Ok(wake_at) => wake_at,
                Err(error) => {
                    tracing::error!(lane = %self.site.proxy, %error, "A lane cannot read its queue");
                    Some(self.now().plus(AFTER_ERROR))
                }
            };
            if self.site.mailbox.typing.any() {
                self.show_typing();
            }
            if self.mail.stop && self.flights.is_empty() {
                self.report(None);
                return Ended { written: !self.broken, sure: !self.suspects.any() };
            }
            self.report(wake_at);
            let counting = self.window.counting() && !self.mail.stop;
            if counting && self.count_at <= self.now() {
                self.stirred = true;
                if let Err(error) = self.window.count_page().await {
                    tracing::error!(lane = %self.site.proxy, %error, "A lane cannot count its queue");
                    self.count_at = self.now().plus(AFTER_ERROR);
                }
                while let Some(Some(arrival)) = self.flights.next().now_or_never() {
                    self.arrive(arrival);
                }
                tokio::task::yield_now().await;
                continue;
            }
            let wake_at = wake_at.into_iter().chain(counting.then_some(self.count_at)).min();
            let now = self.now();
            tokio::select! {
                // Each of them is looked at in every round anyway; an order makes a run repeatable.
                biased;
                Some(arrival) = self.flights.next(), if !self.flights.is_empty() => {
                    self.arrive(arrival);
                    while let Some(Some(arrival)) = self.flights.next().now_or_never() {
                        self.arrive(arrival);
                    }
                }
                () = self.site.mailbox.notify.notified() => {}
                () = self.site.work.told() => {}
                () = tokio::time::sleep(wake_at.map_or(Duration::ZERO, |at| at.since(now))), if wake_at.is_some() => {}
            }
        }
    }

    /// Only while there is nothing that could be sent.
    fn show_typing(&mut self) {
        let free = !self.mail.stop && !self.broken && !self.window.may_have_work();
        let free = free && self.gate.passage(self.now()) == Passage::Open;
        let lane = self.mail.plan.as_ref().zip(self.rate.as_mut()).filter(|_| free);
        self.site.mailbox.typing.show(&self.site.surroundings, lane);
    }

    fn now(&self) -> Timestamp {
        self.site.surroundings.clock.now()
    }

    /// Requests that may be out now.
    fn most(&self) -> usize {
        if self.proven { IN_FLIGHT } else { UNPROVEN }
    }

    fn read_mail(&mut self) {
        let mail = self.site.mailbox.read();
        let plan = mail.plan.clone();
        let paused = mail.paused_until;
        self.mail = Mail { plan: self.mail.plan.take(), ..mail };
        let same = match (&self.mail.plan, &plan) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if !same {
            self.planned(plan);
        }
        if let Some(until) = paused {
            self.gate.pause(until);
        }
    }

    /// A new plan: buckets are kept where their rates are the same, and whatever held the lane gets a new chance.
    fn planned(&mut self, plan: Option<Arc<InForce>>) {
        let clock = self.site.surroundings.clock;
        self.mail.plan = plan;
        self.proven = false;
        let Some(plan) = &self.mail.plan else {
            self.gate.renew();
            self.gate.shut(NOT_CONFIGURED);
            self.held.store(true, Ordering::Relaxed);
            return;
        };
        if self.rate.as_ref().map(Bucket::rate) != Some(plan.rate) {
            self.rate = Some(Bucket::empty(plan.rate, clock));
        }
        match plan.pair_rate {
            Some(rate) if self.pairs.as_ref().map(Pairs::rate) != Some(rate) => {
                self.pairs = Some(Pairs::empty(rate, clock));
            }
            Some(_) => {}
            None => self.pairs = None,
        }
        if self.gate.renew() {
            self.released();
        }
    }

    fn released(&mut self) {
        self.held.store(false, Ordering::Relaxed);
        self.resumed = self.now();
        self.window.hurry();
        tracing::info!(lane = %self.site.proxy, messages = self.window.depth(), "Lane released");
    }

    /// Starts what can be started. Says when to look again if nothing happens before.
    async fn advance(&mut self) -> Result<Option<Timestamp>, LedgerError> {
        loop {
            let now = self.now();
            if self.mail.stop || self.broken || self.flights.len() >= self.most() {
                return Ok(None);
            }
            let Some(plan) = self.mail.plan.clone() else { return Ok(None) };
            match self.gate.passage(now) {
                Passage::Open => {}
                Passage::Probe if self.flights.is_empty() => {}
                Passage::Probe => return Ok(None),
                // A held lane without anything to probe with needs no timer.
                Passage::Shut(_) if self.window.is_empty() => return Ok(None),
                Passage::Shut(Some(until)) if !self.gate.held() => return self.pass_time(&plan, until).await,
                Passage::Shut(until) => return Ok(until),
            }
            if !self.window.may_have_work() {
                self.waits.end(now);
                if self.window.is_empty() && self.suspects.any() {
                    self.suspects.clear();
                }
                return Ok(self.window.next_due());
            }
            self.stirred = true;
            let Some(taken) = self.window.next().await? else { continue };
            failpoint!("lane::taken");
            if let Some(at) = self.start(plan, taken).await? {
                return Ok(Some(at));
            }
        }
    }

    /// The lane pauses by the provider's wish: what has waited too long ends all the same. Says when to look again.
    async fn pass_time(
        &mut self,
        plan: &Arc<InForce>,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.now();
        let Some(oldest) = self.window.oldest() else { return Ok(Some(until)) };
        let expires = oldest.max(self.resumed).plus(self.mail.policies.expire);
        if expires > now {
            return Ok(Some(until.min(expires)));
        }
        self.stirred = true;
        // Each recipient once: whose message has time left goes back to the end of the line.
        let mut fresh = HashSet::new();
        while self.flights.len() < self.most()
            && let Some(taken) = self.window.next().await?
        {
            let seen = !fresh.insert(Arc::clone(&taken.subject));
            if !seen && now.since(taken.job.since.max(self.resumed)) >= self.mail.policies.expire {
                fresh.remove(&taken.subject);
                self.expired(plan, taken);
                continue;
            }
            self.window.put_back(&taken.subject, taken.job, None);
            if seen {
                break;
            }
        }
        // What is told here of the oldest may be in hand or outside the window, so there is no better moment.
        Ok(Some(until.min(now.plus(EXPIRY_PAUSE))))
    }

    /// Ends a row that waited too long.
    fn expired(&mut self, plan: &Arc<InForce>, taken: Taken) {
        let dispatch = dispatch_of(&taken).unwrap_or(Dispatch::Notice { text: String::new() });
        span(&self.site.proxy, &dispatch)
            .in_scope(|| tracing::warn!("Message expired before it could be sent"));
        self.finish(Arc::clone(plan), taken, dispatch, End::Fail(EXPIRED_CODE));
    }

    fn earliest_permit(&self, now: Timestamp) -> Option<Timestamp> {
        let elapsed = self.site.surroundings.clock.elapsed();
        let earliest = self.rate.as_ref()?.earliest_behind(self.noting, elapsed);
        (earliest > elapsed).then(|| now.plus(round_up(earliest - elapsed)))
    }

    /// Brings one row on its way, or to its end, or puts it back. Says when there is a permit if there is none now.
    async fn start(&mut self, plan: Arc<InForce>, taken: Taken) -> Result<Option<Timestamp>, LedgerError> {
        let now = self.now();
        let policies = self.mail.policies;
        let Some(dispatch) = dispatch_of(&taken) else {
            tracing::error!(lane = %self.site.proxy, "A queue row cannot be read and is dropped");
            let dispatch = Dispatch::Notice { text: String::new() };
            self.finish(plan, taken, dispatch, End::Drop);
            return Ok(None);
        };
        let waited = now.since(taken.job.since.max(self.resumed));
        if waited >= policies.expire && !self.gate.held() {
            self.expired(&plan, taken);
            return Ok(None);
        }
        // Asked before anything is read, and without taking it: a permit that is taken must be used at once.
        if let Some(at) = self.earliest_permit(now) {
            self.waits.begin(now);
            self.window.return_first(&taken.subject);
            return Ok(Some(at));
        }
        let shipment = match prepare(&self.site.surroundings, &plan, &taken, &dispatch).await {
            Ok(Prepared::Send(shipment)) => shipment,
            Ok(Prepared::End(end)) => {
                self.finish(plan, taken, dispatch, end);
                return Ok(None);
            }
            Ok(Prepared::Make(making)) => {
                // Before there is a permit, which counts from the moment the request leaves.
                self.flights.push(making.map(|()| Arrival::Made(taken)).boxed());
                return Ok(None);
            }
            Ok(Prepared::Known { id, part, parts }) => {
                span(&self.site.proxy, &dispatch).in_scope(|| tracing::info!("The provider has it already"));
                let step = Step::Accepted { id, learned: Vec::new(), at: None };
                let part = Some((part, parts));
                self.flights.push(finish(Arc::clone(&self.site), plan, taken, dispatch, step, part));
                return Ok(None);
            }
            Err(error) => {
                self.window.put_back(&taken.subject, taken.job, Some(now.plus(AFTER_ERROR)));
                return Err(error);
            }
        };
        if policies.unknown == Unknown::Fail && matches!(dispatch, Dispatch::Message { begun: true, .. }) {
            span(&self.site.proxy, &dispatch)
                .in_scope(|| tracing::warn!("Nobody knows whether this was sent; failed by policy"));
            self.finish(plan, taken, dispatch, End::Fail(UNKNOWN_CODE));
            return Ok(None);
        }
        let clock = self.site.surroundings.clock;
        if let Some(pairs) = &mut self.pairs
            && let Err(at) = pairs.take(&taken.subject)
        {
            let due = now.plus(round_up(at.saturating_sub(clock.elapsed())));
            self.window.put_back(&taken.subject, taken.job, Some(due));
            return Ok(None);
        }
        let suspect = self.suspects.first(&taken);
        let repeated = !shipment.idempotent
            && (suspect && policies.unknown == Unknown::Resend
                || matches!(dispatch, Dispatch::Message { begun: true, .. }));
        let note = policies.unknown == Unknown::Fail
            && !shipment.idempotent
            && matches!(dispatch, Dispatch::Message { .. });
        let pair_wait = self.pairs.as_ref().and_then(|pairs| pairs.waited_until(&taken.subject));
        let free = pair_wait.map(|until| Timestamp(now.0 - micros(clock.elapsed().saturating_sub(until))));
        let flight = Flight {
            limited: Duration::ZERO,
            from: taken.job.since.max(free.unwrap_or_default()),
            site: Arc::clone(&self.site),
            policies,
            held: Arc::clone(&self.held),
            plan,
            taken,
            dispatch,
            shipment,
            repeated,
        };
        if note {
            self.noting += 1;
            self.flights.push(flight.note());
        } else {
            self.launch(flight);
        }
        // The permit counts from now: the request leaves before the rows of others are read.
        while let Some(Some(arrival)) = self.flights.next().now_or_never() {
            self.arrive(arrival);
        }
        Ok(None)
    }

    /// Takes the permit that was there a moment ago, and sends.
    fn launch(&mut self, mut flight: Flight) {
        if let Some(Err(_)) = self.rate.as_mut().map(Bucket::take) {
            // Only this lane takes permits, but a new plan may have come in between.
            self.flights.push(flight.call_off());
            return;
        }
        let now = self.now();
        flight.plan.series.rate_waited(self.waits.end(now));
        flight.limited = self.waits.after(flight.from, now);
        failpoint!("lane::permitted");
        self.flights.push(flight.begin());
    }

    /// Whether what held when the note was begun still holds: while it was written, the plan may have been taken away or
    /// changed, and the lane may have been held or told to slow down.
    fn may_leave(&mut self, flight: &Flight) -> bool {
        self.read_mail();
        let planned = self.mail.plan.as_ref().is_some_and(|plan| Arc::ptr_eq(plan, &flight.plan));
        planned
            && match self.gate.passage(self.now()) {
                Passage::Open => true,
                Passage::Probe => self.flights.is_empty(),
                Passage::Shut(_) => false,
            }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Landed(landed) => self.land(landed),
            Arrival::Made(taken) => self.window.return_first(&taken.subject),
            Arrival::Noted(noted) => {
                self.noting -= 1;
                match noted {
                    Ok(flight) if self.may_leave(&flight) => self.launch(*flight),
                    Ok(flight) => self.flights.push(flight.call_off()),
                    Err((taken, error)) => {
                        tracing::error!(lane = %self.site.proxy, %error, "The begin of a send could not be written down");
                        let due = self.now().plus(AFTER_ERROR);
                        self.window.put_back(&taken.subject, taken.job, Some(due));
                    }
                }
            }
        }
    }

    /// Ends a row without a request.
    fn finish(&mut self, plan: Arc<InForce>, taken: Taken, dispatch: Dispatch, end: End) {
        self.flights.push(finish(Arc::clone(&self.site), plan, taken, dispatch, Step::End(end), None));
    }

    fn land(&mut self, landed: Landed) {
        self.stirred = true;
        let Landed { taken, outcome, result } = landed;
        match result {
            Ok(Settled { kept: None, .. }) => self.window.done(&taken.subject),
            Ok(Settled { kept: Some(job), .. }) => {
                // It is looked at again no later than it expires, however long its back-off.
                let expires = job.since.max(self.resumed).plus(self.mail.policies.expire);
                let due = job.not_before.min(expires);
                self.window.put_back(&taken.subject, job, Some(due));
            }
            Err(error) => {
                if matches!(error, LedgerError::Commit(CommitError::Fatal(_))) {
                    // The process is about to end; sending on without being able to say so would double texts.
                    self.broken = true;
                }
                tracing::error!(lane = %self.site.proxy, %error, "The end of a send could not be written down");
                self.window.return_first(&taken.subject);
            }
        }
        if let Some(outcome) = outcome {
            self.learn(&taken.subject, &outcome);
        }
    }

    /// What an outcome says about the lane as a whole.
    fn learn(&mut self, subject: &Arc<str>, outcome: &Outcome) {
        let now = self.now();
        let (code, text) = match outcome {
            Outcome::Accepted { .. } => (0, String::new()),
            Outcome::Retryable { cause, .. }
            | Outcome::Throttled { cause, .. }
            | Outcome::Rejected { cause, .. }
            | Outcome::Unknown { cause } => (cause.code, cause.text.clone()),
        };
        self.last = Some(Last { outcome: metrics::outcome_name(outcome), code, text, at: now });
        let held = match outcome {
            Outcome::Accepted { .. }
            | Outcome::Rejected { blame: Blame::Message | Blame::File | Blame::Recipient, .. }
            | Outcome::Throttled { scope: Scope::Recipient, .. } => {
                if self.gate.success() {
                    self.released();
                }
                false
            }
            Outcome::Rejected { blame: Blame::Operator, cause } => {
                let reason = match cause.code {
                    0 => cause.text.clone(),
                    code => format!("{} ({code})", cause.text),
                };
                self.gate.operator(reason, now)
            }
            Outcome::Retryable { cause, .. } | Outcome::Unknown { cause } => {
                self.gate.trouble(subject, &cause.text, now)
            }
            Outcome::Throttled { after, scope, .. } => {
                let until = self.gate.throttle(*after, now);
                if let (Scope::Account, Some(plan)) = (scope, &self.mail.plan) {
                    (self.site.pause_adapter)(&plan.adapter_name, until);
                }
                false
            }
        };
        self.proven |= matches!(outcome, Outcome::Accepted { .. });
        if held {
            self.proven = false;
            self.held.store(true, Ordering::Relaxed);
            let reason = self.gate.reason().unwrap_or_default();
            tracing::error!(lane = %self.site.proxy, reason, messages = self.window.depth(), "Lane held");
        }
    }

    fn report(&mut self, wake_at: Option<Timestamp>) {
        let state = match () {
            () if self.gate.held() => State::Held,
            () if !self.flights.is_empty() => State::Sending,
            () if self.window.is_empty() => State::Idle,
            () => State::Waiting,
        };
        let now = self.now();
        let busy = state == State::Sending && self.window.held() > FEW && now.since(self.oldest.1) < OLDEST;
        if self.oldest.0.is_none() || self.stirred && !busy {
            self.oldest = (self.window.oldest(), now);
            self.stirred = false;
        }
        let mut standing = lock(&self.site.mailbox.standing);
        if standing.reason.as_deref() != self.gate.reason() {
            standing.reason = self.gate.reason().map(str::to_owned);
        }
        standing.state = state;
        standing.depth = self.window.depth();
        standing.oldest = self.oldest.0;
        standing.last = self.last.take().or_else(|| standing.last.take());
        standing.next_try = if state == State::Idle { None } else { wake_at };
    }
}

/// Clocks here count microseconds and buckets nanoseconds: waking a little late is cheaper than waking twice.
fn round_up(duration: Duration) -> Duration {
    duration + Duration::from_micros(1)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
