//! What lanes say of themselves, how much they have out at once, and what a change of plan leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::house_test::*;

/// Somebody who is served while the test looks at everybody else.
const FIRST: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn a_lane_says_what_it_is_doing() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (SECOND, accepted(number)));
    house.plan.rate = Rate { period: SECOND * 10, burst: 1 };
    house.start().await;
    house.pass(SECOND * 11).await;
    let state = |house: &House| (house.status().state, house.status().depth);
    assert_eq!(state(&house), ("idle".into(), 0));
    house.post(&number(0), "x").await;
    house.post(&number(1), "y").await;
    house.pass(MILLI * 500).await;
    assert_eq!(state(&house), ("sending".into(), 2));
    house.pass(SECOND).await;
    assert_eq!(state(&house), ("waiting".into(), 1));
    assert!((7..10).contains(&house.status().next_try_seconds.unwrap()));
    house.pass(SECOND * 10).await;
    assert_eq!((state(&house), house.status().next_try_seconds), (("idle".into(), 0), None));
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_follows_at_once_when_a_few_wait() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|outbound, n| {
        let first = outbound.to.as_str() == number(FIRST);
        (if first { MILLI * 10_050 } else { SECOND * 100 }, accepted(n))
    });
    house.start().await;
    house.pass(SECOND * 5).await;
    house.post(&number(FIRST), "x").await;
    house.pass(SECOND * 5).await;
    house.post(&number(0), "x").await;
    house.pass(SECOND * 5).await;
    assert_eq!(house.status().oldest_seconds, 10);
    house.post(&number(1), "x").await;
    house.pass(MILLI * 500).await;
    assert_eq!(house.status().oldest_seconds, 5, "the first one was sent just after the last came");
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_follows_when_many_are_on_their_way() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|outbound, n| {
        let first = outbound.to.as_str() == number(FIRST);
        (if first { SECOND * 10 } else { SECOND * 100 }, accepted(n))
    });
    house.start().await;
    house.pass(SECOND * 5).await;
    house.post(&number(FIRST), "x").await;
    house.pass(SECOND * 5).await;
    for person in 0..100 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI * 5_500).await;
    assert_eq!((house.status().oldest_seconds, house.status().state.as_str()), (5, "sending"));
}

#[tokio::test(start_paused = true)]
async fn many_are_on_their_way_at_once_when_something_was_taken() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (SECOND, accepted(number)));
    house.start().await;
    house.pass(SECOND * 2).await;
    for person in 0..50 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI * 500).await;
    assert_eq!(provider.count(), 32, "nobody knows yet whether the token is right");
    house.pass(SECOND * 2).await;
    for person in 0..300 {
        house.post(&number(person), "y").await;
    }
    house.pass(MILLI * 500).await;
    assert_eq!(provider.count(), 50 + 256);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_something_else_keeps_what_recipients_may_still_get() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.plan.pair_rate = Some(Rate { period: SECOND * 100, burst: 2 });
    house.start().await;
    house.pass(SECOND * 300).await;
    house.plan.adapter_name = "renamed".into();
    house.apply().await;
    house.pass(SECOND).await;
    for _ in 0..3 {
        house.post(&number(0), "x").await;
    }
    house.pass(SECOND).await;
    assert_eq!(provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn relay_times_count_from_where_a_recipients_limit_let_go() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|outbound, n| {
        let after = Some(SECOND * 10);
        let slower = Outcome::Throttled { after, scope: Scope::Lane, cause: Cause::new("slow down") };
        (MILLI * 20, if outbound.to.as_str() == number(1) && n == 1 { slower } else { accepted(n) })
    });
    house.plan.pair_rate = Some(Rate { period: SECOND * 4, burst: 1 });
    house.start().await;
    house.pass(SECOND * 5).await;
    for _ in 0..2 {
        house.post(&number(0), "x").await;
    }
    house.pass(SECOND * 2).await;
    house.post(&number(1), "y").await;
    house.pass(SECOND * 20).await;
    assert_eq!((provider.count(), house.rows().await), (4, 0));
    let relayed = recorded(&counters, crate::telemetry::names::RELAY_DURATION);
    // The second message was held by its recipient's limit for four seconds, and then by the provider's wish for eight.
    assert!(relayed.iter().any(|seconds| (7.5..8.5).contains(seconds)), "{relayed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_providers_time_is_that_of_its_answer() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (SECOND * 2, accepted(number)));
    house.start().await;
    house.pass(SECOND * 5).await;
    house.post(&number(0), "x").await;
    house.pass(SECOND * 5).await;
    let took = recorded(&counters, crate::telemetry::names::PROVIDER_DURATION);
    assert!(took.len() == 1 && (1.9..2.1).contains(&took[0]), "{took:?}");
}
