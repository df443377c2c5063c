//! Lanes when something goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::house_test::*;

#[tokio::test(start_paused = true)]
async fn a_wrong_token_holds_a_thousand_messages_and_fails_none() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, _| (MILLI, operator()));
    house.start().await;
    let mut posted = Vec::new();
    for message in 0..1_000 {
        posted.push(house.post(&number(message % 300), "x").await);
    }
    // Longer than the expiry: it does not run while held.
    house.pass(HOURS * 2).await;
    let tries = provider.count();
    assert!(tries < 150, "{tries} tries in eight hours");
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth), ("held", 1_000));
    assert_eq!(status.reason.as_deref(), Some("wrong token (20003)"));
    assert_eq!(status.last.as_ref().unwrap().code, 20003);
    assert!(status.next_try_seconds.unwrap() <= 300);
    for one in &posted {
        assert_eq!(house.receipt(one).await, None);
    }
    let right = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND * 10).await;
    assert_eq!((right.count(), house.rows().await), (1_000, 0));
    for one in &posted {
        assert_eq!(house.receipt(one).await.unwrap().status, Some(DeliveryStatus::Sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_lane_is_released_by_a_probe_that_succeeds() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        let outcome = if clock.elapsed() < SECOND * 60 { operator() } else { accepted(number) };
        (MILLI, outcome)
    });
    house.start().await;
    for person in 0..100 {
        house.post(&number(person), "x").await;
    }
    house.pass(SECOND * 59).await;
    let before = provider.count();
    assert!(before <= 32 + 4, "{before}");
    house.pass(SECOND * 60).await;
    assert_eq!((provider.count() - before, house.rows().await), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_holds_the_lane_and_costs_no_message_its_tries() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        let away =
            Outcome::Retryable { after: None, tries: Some(3), cause: Cause::new("connection refused") };
        (MILLI, if clock.elapsed() < SECOND * 3_600 { away } else { accepted(number) })
    });
    house.start().await;
    let mut posted = Vec::new();
    for person in 0..200 {
        posted.push(house.post(&number(person), "x").await);
    }
    house.pass(SECOND * 3_000).await;
    assert_eq!(house.status().reason.as_deref(), Some("provider unreachable: connection refused"));
    assert!(provider.count() < 200, "{}", provider.count());
    house.pass(SECOND * 1_000).await;
    assert_eq!(house.rows().await, 0);
    for one in &posted {
        assert_eq!(house.receipt(one).await.unwrap().status, Some(DeliveryStatus::Sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_proxy_address_holds_its_messages_over_a_restart() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    house.post(&number(1), "x").await;
    house.pass(SECOND).await;
    assert_eq!(house.status().reason.as_deref(), Some("proxy address is not configured"));
    house.kill().await;
    house.lanes = Some(Lanes::start(house.around.clone(), Vec::new(), house.policies, true).await.unwrap());
    house.pass(SECOND).await;
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth, status.proxy_address.as_str()), ("held", 1, PROXY));
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(1)), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn the_providers_wish_is_followed_lane_recipient_and_account() {
    for scope in [Scope::Lane, Scope::Recipient, Scope::Account] {
        let mut house = House::new(|_, _| unreachable!()).await;
        let provider = house.script(move |outbound, number| {
            let slow = number == 0 && outbound.to.as_str() == self::number(0);
            let wish = Outcome::Throttled { after: Some(SECOND * 30), scope, cause: Cause::new("slow down") };
            (MILLI, if slow { wish } else { accepted(number) })
        });
        let mut other = house.plan.clone();
        other.proxy = Address::parse("+15550002222").unwrap();
        house.start().await;
        house.lanes().apply(vec![house.plan.clone(), other], house.policies).await.unwrap();
        house.post(&number(0), "a").await;
        house.pass(SECOND).await;
        house.post(&number(1), "b").await;
        house.pass(SECOND * 20).await;
        assert_eq!(provider.count(), if scope == Scope::Recipient { 2 } else { 1 }, "{scope:?}");
        let waiting = house.lanes().status().iter().filter(|lane| lane.next_try_seconds.is_some()).count();
        assert_eq!(waiting, 1, "the other lane is idle, paused or not");
        house.pass(SECOND * 20).await;
        assert_eq!(provider.count(), 3);
        assert_eq!(provider.texts_to(&number(0)), ["a", "a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_and_end_with_the_providers_code() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, _| {
        let cause = Cause { code: 30003, text: "unreachable handset".into() };
        (MILLI, Outcome::Retryable { after: None, tries: Some(4), cause })
    });
    house.start().await;
    let posted = house.post(&number(0), "x").await;
    house.pass(SECOND * 60).await;
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30003));
    let gaps: Vec<f64> = provider.times().windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert_eq!(gaps.len(), 3);
    for (gap, whole) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!(*gap >= whole / 2.0 && *gap <= whole + 0.1, "{gaps:?}");
    }
    assert_eq!(house.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waited_too_long_fails_and_the_next_is_sent() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.expire = SECOND * 60;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        (MILLI, if clock.elapsed() < SECOND * 100 { retryable() } else { accepted(number) })
    });
    house.start().await;
    let old = house.post(&number(0), "old").await;
    house.pass(SECOND * 99).await;
    let new = house.post(&number(0), "new").await;
    house.pass(SECOND * 30).await;
    let receipt = house.receipt(&old).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30036));
    assert_eq!(house.receipt(&new).await.unwrap().status, Some(DeliveryStatus::Sent));
    assert_eq!(provider.texts_to(&number(0)).last().unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_pause_longer_than_a_message_lives_does_not_keep_it() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.expire = SECOND * 60;
    let provider = house.script(|_, number| {
        let wish = Some(SECOND * 600);
        let slower = Outcome::Throttled { after: wish, scope: Scope::Lane, cause: Cause::new("slow down") };
        (MILLI, if number == 0 { slower } else { accepted(number) })
    });
    house.start().await;
    house.post(&number(0), "throttled").await;
    house.pass(SECOND).await;
    let mut old = Vec::new();
    for n in 0..100 {
        old.push(house.post(&number(n % 50), "old").await);
    }
    house.pass(SECOND * 40).await;
    let new = house.post(&number(7), "new").await;
    house.pass(SECOND * 25).await;
    for posted in &old {
        let receipt = house.receipt(posted).await.unwrap();
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30036));
    }
    assert!(house.receipt(&new).await.is_none(), "it has time left");
    house.pass(SECOND * 40).await;
    assert_eq!(house.receipt(&new).await.unwrap().status, Some(DeliveryStatus::Failed));
    assert_eq!((provider.count(), house.rows().await), (1, 0));
    // The pause itself went on.
    let late = house.post(&number(0), "late").await;
    house.pass(SECOND * 30).await;
    assert_eq!(provider.count(), 1);
    house.policies.expire = SECOND * 3_600;
    house.lanes().apply(vec![house.plan.clone()], house.policies).await.unwrap();
    house.pass(SECOND * 600).await;
    assert_eq!(house.receipt(&late).await.unwrap().status, Some(DeliveryStatus::Sent));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_resent_or_failed_as_the_policy_says() {
    for (unknown, sends) in [(Unknown::Resend, 2), (Unknown::Fail, 1)] {
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let provider = house.script(|_, number| {
            let silent = Outcome::Unknown { cause: Cause::new("no answer") };
            (MILLI, if number == 0 { silent } else { accepted(number) })
        });
        house.start().await;
        let posted = house.post(&number(0), "x").await;
        house.pass(SECOND * 10).await;
        assert_eq!((provider.count(), house.rows().await), (sends, 0));
        let receipt = house.receipt(&posted).await.unwrap();
        let expected = match unknown {
            Unknown::Resend => (Some(DeliveryStatus::Sent), 0),
            Unknown::Fail => (Some(DeliveryStatus::Failed), 30008),
        };
        assert_eq!((receipt.status, receipt.error_code), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_only_what_was_under_way_is_sent_twice_and_it_is_counted() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    for unknown in [Unknown::Resend, Unknown::Fail] {
        let before = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS);
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let provider = house.script(|_, number| (SECOND, accepted(number)));
        house.start().await;
        let mut first = Vec::new();
        for person in 0..5 {
            first.push(house.post(&number(person), "first").await);
            house.post(&number(person), "second").await;
        }
        house.pass(MILLI * 500).await;
        assert_eq!(provider.count(), 5);
        let early = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS) - before;
        assert_eq!(early, 0, "nothing was under way before the first start");
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 10).await;
        let duplicates = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS) - before;
        for (person, first) in first.iter().enumerate() {
            let receipt = house.receipt(first).await.unwrap();
            match unknown {
                Unknown::Resend => {
                    assert_eq!(provider.texts_to(&number(person)), ["first", "first", "second"]);
                    assert_eq!(receipt.status, Some(DeliveryStatus::Sent));
                }
                Unknown::Fail => {
                    assert_eq!(provider.texts_to(&number(person)), ["first", "second"]);
                    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30008));
                }
            }
        }
        assert_eq!(duplicates, if unknown == Unknown::Resend { 5 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_what_a_status_has_told_of_is_not_sent_again_nor_failed() {
    for unknown in [Unknown::Resend, Unknown::Fail] {
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let provider = house.script(|_, number| (SECOND, accepted(number)));
        house.start().await;
        let posted = house.post(&number(0), "once").await;
        let participant = house.person(&number(0)).await;
        house.pass(MILLI * 500).await;
        house.kill().await;
        house.told(&posted, &participant, "SM1").await;
        house.start_after(false).await;
        house.pass(SECOND * 10).await;
        assert_eq!((provider.count(), house.rows().await), (1, 0));
        let receipt = house.receipt(&posted).await.unwrap();
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Delivered), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (SECOND, accepted(number)));
    house.start().await;
    for person in 0..40 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI * 500).await;
    assert!(house.lanes.take().unwrap().drain(SECOND * 5).await);
    assert_eq!((provider.count(), house.rows().await), (32, 8));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_panics_costs_a_resend_and_no_lane() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| {
        assert!(number != 0, "a fault of the adapter");
        (MILLI, accepted(number))
    });
    house.start().await;
    house.post(&number(0), "x").await;
    house.pass(SECOND * 10).await;
    assert_eq!((provider.texts_to(&number(0)), house.rows().await), (vec!["x".to_owned(); 2], 0));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_fails_nothing_under_either_policy() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.unknown = Unknown::Fail;
    house.script(|_, _| (MILLI, operator()));
    house.start().await;
    for person in 0..50 {
        house.post(&number(person), "x").await;
    }
    house.pass(SECOND * 600).await;
    assert_eq!((house.status().state.as_str(), house.rows().await), ("held", 50));
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND * 10).await;
    assert_eq!((provider.count(), house.rows().await), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_address_that_comes_back_with_another_rate_keeps_that_one() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.start().await;
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    house.pass(SECOND).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.plan.rate = Rate { period: SECOND * 10, burst: 1 };
    house.apply().await;
    for person in 0..10 {
        house.post(&number(person), "x").await;
    }
    house.pass(SECOND * 35).await;
    assert_eq!(provider.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_is_started_again_and_counted() {
    struct Clumsy(std::sync::atomic::AtomicBool);
    impl Learned for Clumsy {
        fn learned(&self, _: &str, _: &ConversationSid, _: &ParticipantSid, _: Vec<Address>) {
            assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "a fault of ours");
        }
    }
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    let mut house = House::new(|_, _| unreachable!()).await;
    house.around.learned = Arc::new(Clumsy(false.into()));
    let provider = house.script(|outbound, number| {
        let learned = vec![outbound.to.clone()];
        (MILLI, Outcome::Accepted { id: format!("SM{number}"), learned, at: None })
    });
    house.start().await;
    house.post(&number(0), "x").await;
    house.pass(SECOND).await;
    house.post(&number(0), "y").await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(0)), ["x", "y"]);
    assert_eq!(counted(&counters, crate::telemetry::names::LANE_RESTARTS), 1);
    assert_eq!(house.rows().await, 0);
    let clean = house.lanes.take().unwrap().drain(SECOND * 5).await;
    assert!(clean, "nothing is left of what was cut off by the panic");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_while_it_is_stopped_did_not_end_cleanly() {
    struct Clumsy;
    impl Learned for Clumsy {
        fn learned(&self, _: &str, _: &ConversationSid, _: &ParticipantSid, _: Vec<Address>) {
            panic!("a fault of ours");
        }
    }
    let mut house = House::new(|_, _| unreachable!()).await;
    house.around.learned = Arc::new(Clumsy);
    house.script(|outbound, number| {
        let learned = vec![outbound.to.clone()];
        (SECOND, Outcome::Accepted { id: format!("SM{number}"), learned, at: None })
    });
    house.start().await;
    house.post(&number(0), "x").await;
    house.pass(MILLI * 500).await;
    assert!(!house.lanes.take().unwrap().drain(SECOND * 60).await);
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_read_end_and_stop_nobody() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (SECOND, accepted(number)));
    let mut batch = Batch::default();
    batch.put(row_key(ACCOUNT, Queue::Outbound, PROXY, &number(0), 0), "not readable");
    house.around.ledger.commit(batch).await.unwrap();
    house.start().await;
    let long = "x".repeat(60);
    let (index, receipt) = house.post(&number(1), &long).await;
    house.pass(MILLI * 500).await;
    let key = tables::receipt(ACCOUNT, house.conversation.as_str(), index, receipt.as_str());
    let mut batch = Batch::default();
    batch.put(key, "not readable");
    house.around.ledger.commit(batch).await.unwrap();
    house.post(&number(1), "y").await;
    house.pass(SECOND * 5).await;
    // Both parts of the first, once each, though nobody can say so in its receipt.
    assert_eq!(provider.texts_to(&number(1)).len(), 3);
    assert_eq!((house.rows().await, house.status().depth), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn begins_are_written_down_side_by_side_and_keep_the_rate() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.unknown = Unknown::Fail;
    house.plan.rate = Rate { period: MILLI * 100, burst: 8 };
    let provider = house.script(|_, number| (SECOND, accepted(number)));
    house.start().await;
    house.pass(SECOND * 10).await;
    for person in 0..24 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI * 50).await;
    assert_eq!(provider.count(), 8, "the burst leaves at once, none waiting for another's note");
    house.pass(SECOND * 5).await;
    assert_eq!((provider.count(), house.rows().await), (24, 0));
    let times = provider.times();
    let grace = MILLI * 5;
    assert!(times.windows(9).all(|some| some[8] - some[0] >= MILLI * 100 - grace), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_begin_that_was_written_down_is_resent_and_counted_when_the_policy_says_so_by_now() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    for clean in [true, false] {
        let before = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS);
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = Unknown::Fail;
        let provider = house.script(|_, number| (SECOND, accepted(number)));
        house.start().await;
        let posted = house.post(&number(0), "x").await;
        house.pass(MILLI * 500).await;
        house.kill().await;
        house.policies.unknown = Unknown::Resend;
        house.start_after(clean).await;
        house.pass(SECOND * 10).await;
        assert_eq!((provider.count(), house.rows().await), (2, 0));
        assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Sent));
        assert_eq!(counted(&counters, crate::telemetry::names::DUPLICATE_SENDS) - before, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_knows_repeats_gets_them_under_either_policy() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    for unknown in [Unknown::Resend, Unknown::Fail] {
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let mut provider = adapter(house.around.clock, |_, number| (SECOND, accepted(number)));
        Arc::get_mut(&mut provider).unwrap().capabilities.idempotent = true;
        house.plan.adapter = Arc::clone(&provider) as Arc<dyn Adapter>;
        house.start().await;
        let posted = house.post(&number(0), "x").await;
        house.pass(MILLI * 500).await;
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 10).await;
        assert_eq!((provider.count(), house.rows().await), (2, 0));
        assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Sent));
    }
    assert_eq!(counted(&counters, crate::telemetry::names::DUPLICATE_SENDS), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_what_backs_off_may_have_been_under_way_as_well() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| {
        let wish = Some(SECOND * 30);
        let later = Outcome::Throttled { after: wish, scope: Scope::Recipient, cause: Cause::new("later") };
        (MILLI, if number == 0 { later } else { accepted(number) })
    });
    house.start().await;
    house.post(&number(0), "x").await;
    house.pass(SECOND).await;
    house.kill().await;
    house.start_after(false).await;
    house.pass(SECOND * 60).await;
    assert_eq!((provider.count(), house.rows().await), (2, 0));
    assert_eq!(counted(&counters, crate::telemetry::names::DUPLICATE_SENDS), 1);
}

#[tokio::test(start_paused = true)]
async fn tries_that_went_badly_are_told_and_good_ones_leave_nothing() {
    let mut house = House::new(|_, number| {
        let busy = Cause { code: 20500, text: "away".to_owned() };
        let outcome = match number {
            0 | 1 => Outcome::Retryable { after: Some(SECOND), tries: None, cause: busy },
            3 => Outcome::Rejected {
                blame: Blame::Recipient,
                cause: Cause { code: 30003, text: "gone".to_owned() },
            },
            number => accepted(number),
        };
        (MILLI, outcome)
    })
    .await;
    house.start().await;
    let late = house.post(&number(0), "x").await;
    house.pass(SECOND * 30).await;
    let failed = house.post(&number(1), "x").await;
    house.pass(SECOND * 30).await;
    let good = house.post(&number(2), "x").await;
    house.pass(SECOND * 30).await;
    let told = |receipt: ReceiptRecord| {
        let tries = receipt.attempts.into_iter().map(|attempt| (attempt.end, attempt.code, attempt.text));
        tries.collect::<Vec<_>>()
    };
    let away = || (AttemptEnd::Retryable, 20500, "away".to_owned());
    assert_eq!(told(house.receipt(&late).await.unwrap()), [away(), away()]);
    assert_eq!(
        told(house.receipt(&failed).await.unwrap()),
        [(AttemptEnd::Rejected, 30003, "gone".to_owned())]
    );
    assert_eq!(told(house.receipt(&good).await.unwrap()), []);
}

#[tokio::test(start_paused = true)]
async fn outside_the_window_only_a_template_leaves() {
    let mut house = House::new(|_, number| (MILLI, accepted(number))).await;
    house.start().await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    let person = number(0);
    let open = house.post(&person, "open").await;
    house.pass(SECOND).await;
    let now = house.around.clock.now();
    house.window(&person, now).await;
    let doubtful = house.post(&person, "doubtful").await;
    house.pass(SECOND).await;
    house.pass(WINDOW_STEP).await;
    let shut = house.post(&person, "shut").await;
    let named = Some(("order".to_owned(), "en".to_owned()));
    let (sid, text) =
        ("HX1".to_owned(), "a text of a template that is longer than one part of forty".to_owned());
    let template = Templated { sid, variables: Vec::new(), named, text: text.clone() };
    let templated = house.post_made(&person, &text, Some(template.clone())).await;
    let text_only = house.post_made(&person, &text, Some(Templated { named: None, ..template })).await;
    house.pass(SECOND).await;
    let mut ends = Vec::new();
    for one in [&open, &doubtful, &shut, &templated, &text_only] {
        let receipt = house.receipt(one).await.unwrap();
        ends.push((receipt.status.unwrap(), receipt.error_code));
    }
    let (sent, failed) = ((DeliveryStatus::Sent, 0), (DeliveryStatus::Failed, 63016));
    assert_eq!(ends, [sent, sent, failed, sent, failed]);
    let kinds: Vec<bool> = {
        let sent = provider.sent.lock().unwrap();
        sent.iter().map(|(_, outbound)| matches!(outbound.content, Content::Template(_))).collect()
    };
    assert_eq!(kinds, [false, false, true], "in one part");
}
