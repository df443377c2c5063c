//! All lanes of an account: who has one, how it is told things, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use trunkline_adapter::{Address, Timestamp};

use super::lane::{Lane, NOT_CONFIGURED};
use super::lock::lock;
use super::mailbox::{Handle, Mailbox, Site};
use super::plan::{InForce, LanePlan, Policies, Surroundings};
use super::status::{LaneStatus, State};
use super::typing::TypingIndicators;
use crate::ledger::LedgerError;
use crate::ledger::engine::Batch;
use crate::ledger::key::{Key, Range, Space};
use crate::model::Json;
use crate::telemetry::outbound as metrics;
use crate::work::{Queue, Window};

/// Between two starts of a lane that panics, at first and at most.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A lane that ever was: its rows are found again when its proxy address is configured no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LaneRow {
    proxy: Address,
    /// The adapter that last had it.
    adapter: String,
}

impl Json for LaneRow {
    const NAME: &'static str = "lane";
}

fn lane_key(account: &str, proxy: &str) -> Key {
    Key::new(account, "", Space::Lane, proxy.as_bytes())
}

/// See the module. Dropping it does not stop the lanes; [`Lanes::drain`] does.
pub struct Lanes {
    surroundings: Surroundings,
    lanes: Arc<Mutex<BTreeMap<Address, Handle>>>,
    /// Changes of plan happen one after another.
    applying: tokio::sync::Mutex<()>,
    /// Adapters and names whose gauges were set: one that is no more goes back to zero.
    published: Mutex<BTreeSet<(String, String)>>,
}

impl Lanes {
    /// Starts a lane for every plan and for every proxy address that still has rows. `clean` is false when the last
    /// run did not end in a complete [`Lanes::drain`].
    pub async fn start(
        surroundings: Surroundings,
        plans: Vec<LanePlan>,
        policies: Policies,
        clean: bool,
    ) -> Result<Lanes, LedgerError> {
        let known = stored_lanes(&surroundings).await?;
        let lanes = Lanes {
            surroundings,
            lanes: Arc::default(),
            applying: tokio::sync::Mutex::new(()),
            published: Mutex::default(),
        };
        let mut forgotten = Batch::default();
        for row in known {
            if plans.iter().any(|plan| plan.proxy == row.proxy) {
                continue;
            }
            if lanes.has_rows(&row.proxy).await? {
                tracing::warn!(lane = %row.proxy, "Messages wait for a proxy address that is not configured");
                let _ = metrics::register(&row.adapter, "");
                lanes.spawn(row.proxy.clone(), None, (row.adapter, String::new()), policies, clean);
            } else {
                forgotten.delete(lane_key(&lanes.surroundings.account, row.proxy.as_str()));
            }
        }
        if !forgotten.writes.is_empty() {
            lanes.surroundings.ledger.commit(forgotten).await?;
        }
        lanes.adopt(plans, policies, clean).await?;
        Ok(lanes)
    }

    /// Makes the lanes follow a new configuration. A lane whose plan is the same notices nothing; one whose proxy
    /// address is gone is held with what it has.
    pub async fn apply(&self, plans: Vec<LanePlan>, policies: Policies) -> Result<(), LedgerError> {
        // A lane made while running finds no rows of its own that were under way.
        self.adopt(plans, policies, true).await
    }

    async fn adopt(&self, plans: Vec<LanePlan>, policies: Policies, clean: bool) -> Result<(), LedgerError> {
        let _one = self.applying.lock().await;
        self.remember(&plans).await?;
        let gone: Vec<Address> = {
            let lanes = lock(&self.lanes);
            lanes.keys().filter(|proxy| !plans.iter().any(|plan| plan.proxy == **proxy)).cloned().collect()
        };
        for plan in plans {
            let series = metrics::register(&plan.adapter_name, &plan.name);
            let names = (plan.adapter_name.clone(), plan.name.clone());
            let proxy = plan.proxy.clone();
            let plan = Arc::new(InForce { plan, series });
            let known = match lock(&self.lanes).get_mut(&proxy) {
                Some(handle) => {
                    (handle.adapter, handle.name) = names.clone();
                    handle.mailbox.write(|mail| {
                        mail.policies = policies;
                        if !mail.plan.as_ref().is_some_and(|before| before.same(&plan)) {
                            mail.plan = Some(Arc::clone(&plan));
                        }
                    });
                    true
                }
                None => false,
            };
            if !known {
                self.spawn(proxy, Some(plan), names, policies, clean);
            }
        }
        for proxy in gone {
            if let Some(handle) = lock(&self.lanes).get(&proxy) {
                handle.mailbox.write(|mail| {
                    mail.policies = policies;
                    mail.plan = None;
                });
            }
        }
        Ok(())
    }

    /// Writes a row for each lane that has none, before anything can be queued for it.
    async fn remember(&self, plans: &[LanePlan]) -> Result<(), LedgerError> {
        let known = stored_lanes(&self.surroundings).await?;
        let rows: Vec<LaneRow> = plans
            .iter()
            .map(|plan| LaneRow { proxy: plan.proxy.clone(), adapter: plan.adapter_name.clone() })
            .filter(|row| !known.contains(row))
            .collect();
        for some in rows.chunks(crate::ledger::engine::MAX_WRITES) {
            let mut batch = Batch::default();
            for row in some {
                batch.put(lane_key(&self.surroundings.account, row.proxy.as_str()), row.encode());
            }
            self.surroundings.ledger.commit(batch).await?;
        }
        Ok(())
    }

    async fn has_rows(&self, proxy: &Address) -> Result<bool, LedgerError> {
        let Surroundings { ledger, clock, account, .. } = self.surroundings.clone();
        let mut window = Window::open(ledger, clock, &account, Queue::Outbound, proxy.as_str(), 1);
        window.count_page().await?;
        Ok(window.depth() > 0)
    }

    fn spawn(
        &self,
        proxy: Address,
        plan: Option<Arc<InForce>>,
        (adapter, name): (String, String),
        policies: Policies,
        clean: bool,
    ) {
        let mailbox = Arc::new(Mailbox::new(plan, policies));
        let siblings = Arc::downgrade(&self.lanes);
        let site = Site {
            work: self.surroundings.wakeups.register(Queue::Outbound, proxy.as_str()),
            surroundings: self.surroundings.clone(),
            proxy: proxy.clone(),
            mailbox: Arc::clone(&mailbox),
            pause_adapter: Arc::new(move |adapter, until| pause(&siblings, adapter, until)),
        };
        let task = self.surroundings.runtime.spawn(supervise(site, clean, adapter.clone()));
        lock(&self.lanes).insert(proxy, Handle { mailbox, adapter, name, task });
    }

    /// For showing people that somebody is writing to them.
    pub fn typing_indicators(&self) -> TypingIndicators {
        TypingIndicators::new(Arc::downgrade(&self.lanes), self.surroundings.clock)
    }

    /// How every lane is doing. A lane that is not configured and has nothing is not worth a line.
    pub fn status(&self) -> Vec<LaneStatus> {
        let now = self.surroundings.clock.now();
        let lanes = lock(&self.lanes);
        let mut statuses = Vec::with_capacity(lanes.len());
        for (proxy, handle) in lanes.iter() {
            let standing = lock(&handle.mailbox.standing).clone();
            if standing.depth == 0 && standing.reason.as_deref() == Some(NOT_CONFIGURED) {
                continue;
            }
            statuses.push(LaneStatus {
                adapter: handle.adapter.clone(),
                proxy_address: proxy.to_string(),
                name: handle.name.clone(),
                state: standing.state.name().to_owned(),
                oldest_seconds: standing.age(now).as_secs(),
                reason: standing.reason,
                depth: standing.depth,
                last: standing.last.map(Into::into),
                next_try_seconds: standing.next_try.map(|at| at.since(now).as_secs()),
            });
        }
        statuses
    }

    /// Brings the lanes' gauges up to date; call it before metrics are read.
    pub fn publish_gauges(&self) {
        let now = self.surroundings.clock.now();
        let lanes = lock(&self.lanes);
        let mut states: BTreeMap<&str, Vec<State>> = BTreeMap::new();
        // Several addresses may share a name: their gauge is the sum, and the oldest of all.
        let mut gauges: BTreeMap<(&str, &str), (u64, Duration)> = BTreeMap::new();
        for handle in lanes.values() {
            let standing = lock(&handle.mailbox.standing);
            // A removed address with nothing left to send is nobody's concern.
            if standing.depth == 0 && standing.reason.as_deref() == Some(NOT_CONFIGURED) {
                continue;
            }
            states.entry(&handle.adapter).or_default().push(standing.state);
            let gauge = gauges.entry((&handle.adapter, &handle.name)).or_default();
            gauge.0 += standing.depth;
            gauge.1 = gauge.1.max(standing.age(now));
        }
        let mut published = lock(&self.published);
        for (adapter, name) in published.iter() {
            gauges.entry((adapter, name)).or_default();
            states.entry(adapter).or_default();
        }
        for ((adapter, name), (depth, oldest)) in &gauges {
            metrics::lane(adapter, name, *depth, *oldest);
        }
        for (adapter, states) in &states {
            metrics::lanes(adapter, |name| states.iter().filter(|state| state.name() == name).count());
        }
        let now_there =
            gauges.keys().map(|(adapter, name)| ((*adapter).to_owned(), (*name).to_owned())).collect();
        drop((gauges, states));
        *published = now_there;
    }

    /// Takes nothing new and waits for what is under way. Says whether all of it ended in time and was written down;
    /// what did not is cut off, and the next start is not clean.
    pub async fn drain(&self, deadline: Duration) -> bool {
        let handles = std::mem::take(&mut *lock(&self.lanes));
        for handle in handles.values() {
            handle.mailbox.write(|mail| mail.stop = true);
        }
        let end = tokio::time::Instant::now() + deadline;
        let mut clean = true;
        for mut handle in handles.into_values() {
            match tokio::time::timeout_at(end, &mut handle.task).await {
                Ok(ended) => clean &= ended.unwrap_or(false),
                Err(_) => {
                    handle.task.abort();
                    clean = false;
                }
            }
        }
        clean
    }
}

fn pause(lanes: &Weak<Mutex<BTreeMap<Address, Handle>>>, adapter: &str, until: Timestamp) {
    let Some(lanes) = lanes.upgrade() else { return };
    for handle in lock(&lanes).values().filter(|handle| handle.adapter == adapter) {
        handle.mailbox.write(|mail| mail.paused_until = mail.paused_until.max(Some(until)));
    }
}

async fn stored_lanes(surroundings: &Surroundings) -> Result<Vec<LaneRow>, LedgerError> {
    let prefix = lane_key(&surroundings.account, "");
    let rows = surroundings.ledger.snapshot().scan(Range::prefix(&prefix), usize::MAX).await?;
    let mut known = Vec::with_capacity(rows.len());
    for (_, row) in rows {
        known.push(LaneRow::decode(&row.payload)?);
    }
    Ok(known)
}

/// Runs a lane, and again when it panics. Says whether its end was clean.
async fn supervise(site: Site, mut clean: bool, adapter: String) -> bool {
    let mut panicked = false;
    let mut wait = RESTART.0;
    loop {
        let started = tokio::time::Instant::now();
        let lane = Lane::new(site.clone(), clean);
        if let Ok(ended) = AssertUnwindSafe(lane.run()).catch_unwind().await {
            return ended.written && (ended.sure || !panicked);
        }
        panicked = true;
        metrics::restarted(&adapter);
        tracing::error!(lane = %site.proxy, "A lane panicked and is started again");
        if started.elapsed() > RESTART.1 {
            wait = RESTART.0;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RESTART.1);
        // What was under way was cut off.
        clean = false;
    }
}
