//! Lanes beside each other, over restarts and after faults of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::house_test::*;
use crate::ledger::key::{Key, Space};

const OTHER: &str = "+15550002222";
const THIRD: &str = "+15550003333";

fn plan(house: &House, proxy: &str, adapter_name: &str) -> LanePlan {
    let proxy = Address::parse(proxy).unwrap();
    LanePlan { proxy, adapter_name: adapter_name.into(), ..house.plan.clone() }
}

/// Something to send on any line.
async fn queue(house: &House, proxy: &str, to: &str) {
    let mut batch = Batch::default();
    let payload = Dispatch::Notice { text: "hi".into() }.encode();
    enqueue(&mut batch, ACCOUNT, Queue::Outbound, proxy, to, 1, house.around.clock.now(), payload);
    house.around.ledger.commit(batch).await.unwrap();
    house.around.wakeups.work(Queue::Outbound, proxy, to);
}

async fn remembered(house: &House) -> usize {
    let prefix = Key::new(ACCOUNT, "", Space::Lane, b"");
    house.around.ledger.snapshot().scan(Range::prefix(&prefix), usize::MAX).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_to_slow_down_pauses_all_its_lines_and_nobody_elses() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| {
        let after = Some(SECOND * 30);
        let slower = Outcome::Throttled { after, scope: Scope::Account, cause: Cause::new("slow down") };
        (MILLI, if number == 0 { slower } else { accepted(number) })
    });
    let plans = vec![house.plan.clone(), plan(&house, OTHER, "us"), plan(&house, THIRD, "elsewhere")];
    house.start().await;
    house.lanes().apply(plans, house.policies).await.unwrap();
    house.pass(SECOND).await;
    queue(&house, PROXY, &number(0)).await;
    house.pass(SECOND).await;
    queue(&house, OTHER, &number(1)).await;
    queue(&house, THIRD, &number(2)).await;
    house.pass(SECOND * 20).await;
    let sent = |person| provider.texts_to(&number(person)).len();
    assert_eq!((sent(0), sent(1), sent(2)), (1, 0, 1));
    house.pass(SECOND * 20).await;
    assert_eq!((sent(0), sent(1), sent(2)), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_line_is_kept_beside_others_while_it_has_messages_and_then_forgotten() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let other = vec![plan(&house, OTHER, "us")];
    house.lanes().apply(other.clone(), house.policies).await.unwrap();
    queue(&house, PROXY, &number(0)).await;
    house.pass(SECOND).await;
    house.kill().await;
    let restart = async |house: &mut House, plans: Vec<LanePlan>| {
        house.lanes = Some(Lanes::start(house.around.clone(), plans, house.policies, true).await.unwrap());
        house.pass(SECOND).await;
    };
    restart(&mut house, other.clone()).await;
    let lanes: Vec<_> =
        house.lanes().status().into_iter().map(|lane| (lane.proxy_address, lane.state, lane.depth)).collect();
    assert_eq!(lanes, [(PROXY.into(), "held".into(), 1), (OTHER.into(), "idle".into(), 0)]);
    house.lanes().apply(vec![house.plan.clone()], house.policies).await.unwrap();
    house.pass(SECOND).await;
    assert_eq!((house.rows().await, remembered(&house).await), (0, 2));
    house.kill().await;
    restart(&mut house, other).await;
    assert_eq!(remembered(&house).await, 1, "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn gauges_leave_out_a_removed_line_that_has_nothing() {
    let exporter = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = exporter.handle();
    let _recorder = metrics::set_default_local_recorder(&exporter);
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let published = async |house: &House| {
        house.pass(SECOND).await;
        house.lanes().publish_gauges();
        let text = handle.render();
        let value = |state: &str| {
            let series = format!("trunkline_lanes{{adapter=\"us\",state=\"{state}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().to_owned()
        };
        (value("idle"), value("held"))
    };
    assert_eq!(published(&house).await, ("1".into(), "0".into()));
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    assert_eq!(published(&house).await, ("0".into(), "0".into()));
    queue(&house, PROXY, &number(0)).await;
    assert_eq!(published(&house).await, ("0".into(), "1".into()));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_again_and_again_is_started_more_and_more_rarely() {
    struct Clumsy;
    impl Learned for Clumsy {
        fn learned(&self, _: &str, _: &ConversationSid, _: &ParticipantSid, _: Vec<Address>) {
            panic!("a fault of ours");
        }
    }
    let mut house = House::new(|_, _| unreachable!()).await;
    house.around.learned = Arc::new(Clumsy);
    let provider = house.script(|outbound, number| {
        let learned = vec![outbound.to.clone()];
        (Duration::ZERO, Outcome::Accepted { id: format!("SM{number}"), learned, at: None })
    });
    house.start().await;
    house.pass(SECOND * 2).await;
    let start = house.around.clock.elapsed();
    for _ in 0..7 {
        house.post(&number(0), "x").await;
    }
    house.pass(SECOND * 20).await;
    let times = provider.times();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(times[0] - start < SECOND, "{times:?}");
    assert!(
        gaps.iter().zip([100, 200, 400, 800, 1_600, 3_200]).all(|(gap, least)| *gap >= least),
        "{gaps:?}"
    );
    assert_eq!(times.len(), 7);
    house.pass(SECOND * 100).await;
    for _ in 0..2 {
        house.post(&number(0), "y").await;
    }
    house.pass(SECOND * 2).await;
    assert_eq!(provider.count(), 9, "after a while without a fault it begins anew");
}
