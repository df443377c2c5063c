//! What changes while the begin of a send is written down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::house_test::*;
use crate::ledger::engine::{CommitError, Committed, Engine, Health, Revision, Snapshot};

/// A ledger whose disk takes its time, and which counts how often it had to.
struct Slow(Arc<Memory>, Arc<AtomicUsize>);

const SYNC: Duration = Duration::from_millis(20);

impl Engine for Slow {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.0.snapshot()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::time::sleep(SYNC).await;
            self.0.commit(batch).await
        })
    }

    fn published(&self) -> Revision {
        self.0.published()
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}

/// A house in which a send's begin is being written down at this moment.
async fn noting() -> (House, Arc<Scripted>) {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.unknown = Unknown::Fail;
    house.around.ledger = Ledger::new(Arc::new(Slow(Arc::clone(&house.memory), Arc::default())));
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    house.pass(SECOND).await;
    house.post(&number(0), "x").await;
    house.pass(SYNC / 2).await;
    assert_eq!(provider.count(), 0, "its begin comes first");
    (house, provider)
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_a_line_that_went_while_its_begin_was_written_down() {
    let (house, provider) = noting().await;
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    house.pass(SECOND * 10).await;
    assert_eq!((provider.count(), house.rows().await), (0, 1));
    house.apply().await;
    house.pass(SECOND * 10).await;
    assert_eq!((provider.count(), house.rows().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_noted_leaves_by_the_plan_of_that_moment() {
    let (mut house, before) = noting().await;
    let after = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND * 10).await;
    assert_eq!((before.count(), after.count(), house.rows().await), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_what_is_being_noted() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.unknown = Unknown::Fail;
    house.around.ledger = Ledger::new(Arc::new(Slow(Arc::clone(&house.memory), Arc::default())));
    let provider = house.script(|_, number| match number {
        0 => {
            let after = Some(SECOND * 60);
            (MILLI * 5, Outcome::Throttled { after, scope: Scope::Lane, cause: Cause::new("slower") })
        }
        _ => (MILLI, accepted(number)),
    });
    house.start().await;
    house.pass(SECOND).await;
    house.person(&number(1)).await;
    house.post(&number(0), "x").await;
    // Its begin, its request and its outcome take 20, 5 and 20 milliseconds; it ends while the second is noted, which
    // takes as long, behind the 20 milliseconds that it takes to post it.
    house.pass(MILLI * 15).await;
    house.post(&number(1), "y").await;
    house.pass(SECOND * 50).await;
    assert_eq!(provider.count(), 1);
    house.pass(SECOND * 20).await;
    assert_eq!((provider.count(), house.rows().await), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_idle_notes_no_more_begins_than_it_has_permits() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.unknown = Unknown::Fail;
    house.plan.rate = Rate { period: SECOND, burst: 3 };
    let fast = house.around.ledger.clone();
    let commits = Arc::<AtomicUsize>::default();
    house.around.ledger = Ledger::new(Arc::new(Slow(Arc::clone(&house.memory), Arc::clone(&commits))));
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    house.pass(SECOND * 3_600).await;
    house.around.ledger = fast;
    let before = commits.load(Ordering::Relaxed);
    for person in 0..12 {
        house.post(&number(person), "x").await;
    }
    house.pass(SYNC * 2).await;
    assert_eq!(provider.count(), 3, "the burst");
    house.pass(SECOND * 20).await;
    assert_eq!((provider.count(), house.rows().await), (12, 0));
    assert_eq!(
        commits.load(Ordering::Relaxed) - before,
        24,
        "a begin and an end for each, and none called off"
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_must_not_be_sent_twice_is_written_down_before() {
    for (unknown, notice, writes) in [
        (Unknown::Fail, false, 2),
        (Unknown::Fail, true, 1),
        (Unknown::Resend, false, 1),
        (Unknown::Resend, true, 1),
    ] {
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let fast = house.around.ledger.clone();
        let commits = Arc::<AtomicUsize>::default();
        house.around.ledger = Ledger::new(Arc::new(Slow(Arc::clone(&house.memory), Arc::clone(&commits))));
        let provider = house.script(|_, number| (MILLI, accepted(number)));
        house.start().await;
        house.pass(SECOND).await;
        house.around.ledger = fast;
        let before = commits.load(Ordering::Relaxed);
        if notice {
            house.notice(&number(0), "x").await;
        } else {
            house.post(&number(0), "x").await;
        }
        house.pass(SECOND).await;
        assert_eq!((provider.count(), house.rows().await), (1, 0));
        assert_eq!(commits.load(Ordering::Relaxed) - before, writes, "{unknown:?}, a notice: {notice}");
    }
}
