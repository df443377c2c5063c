//! One row on its way: the last gate, the request, and the writing down of how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tracing::Level;
use trunkline_adapter::{Address, Content, Outcome, Timestamp};

use super::mailbox::Site;
use super::outcome::{Case, OPTED_OUT_CODE, Settled, Step, Subjects, judge, settle};
use super::plan::{InForce, Policies};
use super::send::{End, Shipment, send};
use super::span::span;
use crate::ledger::LedgerError;
use crate::ledger::engine::Batch;
use crate::model::{Attempt, AttemptEnd, Compact, Dispatch};
use crate::telemetry::{mask, outbound as metrics};
use crate::work::{Job, Taken};

/// What a lane's futures end in.
pub(super) enum Arrival {
    Landed(Landed),
    /// That a send begins is written down, or could not be; it is to begin at once.
    Noted(Result<Box<Flight>, (Taken, LedgerError)>),
    /// What the row needs was made; its turn comes again.
    Made(Taken),
}

/// A row whose turn is over.
pub(super) struct Landed {
    pub taken: Taken,
    /// The request's outcome; nothing when none was made.
    pub outcome: Option<Outcome>,
    pub result: Result<Settled, LedgerError>,
}

/// One request under way.
pub(super) struct Flight {
    pub site: Arc<Site>,
    pub plan: Arc<InForce>,
    pub policies: Policies,
    pub held: Arc<AtomicBool>,
    pub taken: Taken,
    pub dispatch: Dispatch,
    pub shipment: Box<Shipment>,
    /// Counted as a possible duplicate when the bytes leave.
    pub repeated: bool,
    /// Relay time counts from here: when it came in, or when its recipient's own limit last let go...
    pub from: Timestamp,
    /// ...less what the lane's rate cost since.
    pub limited: Duration,
}

impl Flight {
    /// The request and everything behind it, as one future.
    pub(super) fn begin(self) -> BoxFuture<'static, Arrival> {
        self.run().map(Arrival::Landed).boxed()
    }

    /// Writes down that the send begins, so that after a crash its message is not sent twice.
    pub(super) fn note(mut self) -> BoxFuture<'static, Arrival> {
        if let Dispatch::Message { begun, .. } = &mut self.dispatch {
            *begun = true;
        }
        let job = Job { payload: self.dispatch.encode().to_vec(), ..self.taken.job.clone() };
        let mut batch = Batch::default();
        batch.put(self.taken.key.clone(), job.encode());
        async move {
            failpoint!("lane::before-begun");
            let noted = self.site.surroundings.ledger.commit(batch).await;
            Arrival::Noted(match noted {
                Ok(_) => {
                    self.taken.job = job;
                    Ok(Box::new(self))
                }
                Err(error) => Err((self.taken, error.into())),
            })
        }
        .boxed()
    }

    /// Puts the row back as if no send had begun.
    pub(super) fn call_off(self) -> BoxFuture<'static, Arrival> {
        let Flight { site, plan, mut dispatch, taken, .. } = self;
        if let Dispatch::Message { begun, .. } = &mut dispatch {
            *begun = false;
        }
        let job = Job { payload: dispatch.encode().to_vec(), ..taken.job.clone() };
        finish(site, plan, taken, dispatch, Step::Later(job), None)
    }

    async fn run(self) -> Landed {
        let Flight { site, plan, policies, held, taken, dispatch, shipment, repeated, from, limited } = self;
        let subjects = Subjects {
            taken: &taken,
            dispatch: &dispatch,
            proxy: &site.proxy,
            kind: plan.kind,
            correlated: shipment.correlated,
            series: &plan.series,
            part: Some((shipment.part, shipment.parts)),
            receipt: true,
            message: shipment.message,
            attempt: None,
        };
        let surroundings = &site.surroundings;
        let outbound = &shipment.outbound;
        let opted_out = std::iter::once(&outbound.to)
            .chain(&outbound.aliases)
            .any(|address| surroundings.opt_outs.contains(&site.proxy, address));
        if shipment.gated && opted_out {
            span(&site.proxy, &dispatch).in_scope(|| tracing::info!("Not sent: the person opted out"));
            let result = settle(surroundings, &subjects, &Step::End(End::Fail(OPTED_OUT_CODE))).await;
            return Landed { taken, outcome: None, result };
        }
        if repeated {
            plan.series.duplicate();
            span(&site.proxy, &dispatch)
                .in_scope(|| tracing::warn!("Sending what may have been sent before"));
        }
        failpoint!("lane::before-send");
        let begun = surroundings.clock.elapsed();
        let outcome = send(&*plan.adapter, outbound).await;
        failpoint!("lane::answered");
        plan.series.answered(&outcome, surroundings.clock.elapsed() - begun);
        let now = surroundings.clock.now();
        let case = Case {
            taken: &taken,
            dispatch: &dispatch,
            policies,
            idempotent: shipment.idempotent,
            held: held.load(Ordering::Relaxed),
            file: matches!(outbound.content, Content::Media(_)),
            now,
            mint: &surroundings.mint,
        };
        let mut step = judge(&case, &outcome);
        let mut attempt = Attempt::of(&outcome, now);
        match &mut step {
            Step::Later(job) => Attempt::remember(&mut job.trace, attempt.clone()),
            Step::AsLink(job) => {
                attempt = attempt.map(|attempt| Attempt { end: AttemptEnd::FileRefused, ..attempt });
                Attempt::remember(&mut job.trace, attempt.clone());
            }
            Step::Accepted { .. } | Step::End(_) | Step::Stay => {}
        }
        failpoint!("outcome::judged");
        log(&site.proxy, &dispatch, &shipment, taken.job.attempts + 1, &outcome);
        let subjects = Subjects { attempt: attempt.as_ref(), ..subjects };
        let result = settle(surroundings, &subjects, &step).await;
        failpoint!("outcome::settled");
        if matches!((&result, &dispatch), (Ok(Settled { complete: true, .. }), Dispatch::Message { .. })) {
            plan.series.relayed(now.since(from).saturating_sub(limited));
        }
        Landed { taken, outcome: Some(outcome), result }
    }
}

/// Says how a request ended. Success is the usual thing: a line of it, and the span around it, would cost more than the
/// send itself, so it is for those who look for it.
fn log(proxy: &Address, dispatch: &Dispatch, shipment: &Shipment, attempt: u32, outcome: &Outcome) {
    macro_rules! line {
        ($level:expr) => {
            span(proxy, dispatch).in_scope(|| {
                tracing::event!(
                    $level,
                    to = %mask::address(&shipment.outbound.to),
                    part = shipment.part,
                    attempt,
                    outcome = metrics::outcome_name(outcome),
                    "Request to the provider ended"
                );
            })
        };
    }
    match outcome {
        Outcome::Accepted { .. } if tracing::enabled!(Level::DEBUG) => line!(Level::DEBUG),
        Outcome::Accepted { .. } => {}
        _ => line!(Level::INFO),
    }
}

/// Ends a row without a request.
pub(super) fn finish(
    site: Arc<Site>,
    plan: Arc<InForce>,
    taken: Taken,
    dispatch: Dispatch,
    step: Step,
    part: Option<(usize, usize)>,
) -> BoxFuture<'static, Arrival> {
    let ending = async move {
        let subjects = Subjects {
            taken: &taken,
            dispatch: &dispatch,
            proxy: &site.proxy,
            kind: plan.kind,
            correlated: plan.correlated(),
            series: &plan.series,
            part,
            receipt: true,
            message: None,
            attempt: None,
        };
        let result = settle(&site.surroundings, &subjects, &step).await;
        Arrival::Landed(Landed { taken, outcome: None, result })
    };
    ending.boxed()
}
