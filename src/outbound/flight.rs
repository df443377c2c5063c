//! One row on its way: the last gate, the request, and the writing down of how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tracing::Instrument;
use trunkline_adapter::{Address, Outcome, Timestamp};

use super::mailbox::Site;
use super::outcome::{Case, OPTED_OUT_CODE, Settled, Step, Subjects, judge, settle};
use super::plan::{LanePlan, Policies};
use super::send::{End, Shipment, send};
use crate::ledger::LedgerError;
use crate::model::Dispatch;
use crate::telemetry::{mask, outbound as metrics};
use crate::work::Taken;

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
    pub plan: Arc<LanePlan>,
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
    pub(super) fn begin(self) -> BoxFuture<'static, Landed> {
        let span = span(&self.site.proxy, &self.dispatch);
        self.run().instrument(span).boxed()
    }

    async fn run(self) -> Landed {
        let Flight { site, plan, policies, held, taken, dispatch, shipment, repeated, from, limited } = self;
        let subjects = Subjects {
            taken: &taken,
            dispatch: &dispatch,
            proxy: &site.proxy,
            kind: plan.kind,
            adapter: &plan.adapter_name,
            part: Some((shipment.part, shipment.parts)),
            receipt: true,
        };
        let surroundings = &site.surroundings;
        let outbound = &shipment.outbound;
        let opted_out = std::iter::once(&outbound.to)
            .chain(&outbound.aliases)
            .any(|address| surroundings.opt_outs.contains(&site.proxy, address));
        if shipment.gated && opted_out {
            tracing::info!("Not sent: the person opted out");
            let result = settle(surroundings, &subjects, &Step::End(End::Fail(OPTED_OUT_CODE))).await;
            return Landed { taken, outcome: None, result };
        }
        if repeated {
            metrics::duplicate(&plan.adapter_name);
            tracing::warn!("Sending what may have been sent before");
        }
        failpoint!("lane::before-send");
        let begun = surroundings.clock.elapsed();
        let outcome = send(&*plan.adapter, outbound).await;
        failpoint!("lane::answered");
        metrics::answered(&plan.adapter_name, &plan.name, &outcome, surroundings.clock.elapsed() - begun);
        let now = surroundings.clock.now();
        let case = Case {
            taken: &taken,
            dispatch: &dispatch,
            policies,
            idempotent: shipment.idempotent,
            held: held.load(Ordering::Relaxed),
            now,
            mint: &surroundings.mint,
        };
        let step = judge(&case, &outcome);
        failpoint!("outcome::judged");
        tracing::info!(
            to = %mask::address(&outbound.to),
            part = shipment.part,
            attempt = taken.job.attempts + 1,
            outcome = metrics::outcome_name(&outcome),
            "Request to the provider ended"
        );
        let result = settle(surroundings, &subjects, &step).await;
        failpoint!("outcome::settled");
        if matches!((&result, &dispatch), (Ok(Settled { complete: true, .. }), Dispatch::Message { .. })) {
            metrics::relayed(&plan.adapter_name, now.since(from).saturating_sub(limited));
        }
        Landed { taken, outcome: Some(outcome), result }
    }
}

/// A span with the names by which a message can be followed through the log.
pub(super) fn span(proxy: &Address, dispatch: &Dispatch) -> tracing::Span {
    match dispatch {
        Dispatch::Message { conversation, index, participant, receipt, .. } => {
            tracing::info_span!("delivery", lane = %proxy, %conversation, index, %participant, %receipt)
        }
        Dispatch::Notice { .. } => tracing::info_span!("notice", lane = %proxy),
    }
}

/// Ends a row without a request.
pub(super) fn finish(
    site: Arc<Site>,
    plan: Arc<LanePlan>,
    taken: Taken,
    dispatch: Dispatch,
    step: Step,
    part: Option<(usize, usize)>,
) -> BoxFuture<'static, Landed> {
    let span = span(&site.proxy, &dispatch);
    let ending = async move {
        let subjects = Subjects {
            taken: &taken,
            dispatch: &dispatch,
            proxy: &site.proxy,
            kind: plan.kind,
            adapter: &plan.adapter_name,
            part,
            receipt: true,
        };
        let result = settle(&site.surroundings, &subjects, &step).await;
        Landed { taken, outcome: None, result }
    };
    ending.instrument(span).boxed()
}
