//! Lanes when all goes well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::house_test::*;

#[tokio::test(start_paused = true)]
async fn each_recipient_gets_everything_in_order_and_receipts_say_sent() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI * (number as u32 % 7), accepted(number)));
    house.start().await;
    let mut posted = Vec::new();
    for round in 0..20 {
        for person in 0..10 {
            posted.push(house.post(&number(person), &format!("{round}")).await);
        }
    }
    house.pass(SECOND * 10).await;
    let expected: Vec<String> = (0..20).map(|round| round.to_string()).collect();
    for person in 0..10 {
        assert_eq!(provider.texts_to(&number(person)), expected);
    }
    assert_eq!(house.rows().await, 0);
    for one in &posted {
        let receipt = house.receipt(one).await.unwrap();
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Sent), 0));
        assert!(receipt.taken_at.is_some());
        let key = tables::provider_id(ACCOUNT, "scripted", &house.plan.proxy, &receipt.provider_ids[0]);
        let row: ProviderIdRow =
            typed::compact(&*house.around.ledger.snapshot(), &key).await.unwrap().unwrap().record;
        assert!(matches!(row, ProviderIdRow::Message { index, .. } if index == one.0));
    }
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth, status.next_try_seconds), ("idle", 0, None));
    assert_eq!(status.last.unwrap().outcome, "accepted");
}

#[tokio::test(start_paused = true)]
async fn one_with_many_messages_delays_nobody() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.plan.rate = Rate { period: SECOND, burst: 1 };
    house.start().await;
    for text in 0..100 {
        house.post(&number(0), &text.to_string()).await;
    }
    for person in 1..5 {
        house.post(&number(person), "hi").await;
    }
    house.pass(SECOND * 12).await;
    for person in 1..5 {
        assert_eq!(provider.texts_to(&number(person)), ["hi"]);
    }
}

/// The most sends in any window, over what the rate allows.
fn assert_within(rate: Rate, times: &[Duration]) {
    for (first, start) in times.iter().enumerate() {
        for (more, end) in times[first..].iter().enumerate() {
            let allowed = u128::from(rate.burst) + (*end - *start).as_nanos() / rate.period.as_nanos();
            assert!((more as u128) < allowed, "{} in {:?}", more + 1, *end - *start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_over_reloads_and_kills_and_used() {
    for rate in [
        Rate { period: SECOND, burst: 1 },
        Rate { period: MILLI * 100, burst: 20 },
        Rate { period: MILLI * 50, burst: 2 },
    ] {
        let mut house = House::new(|_, _| unreachable!()).await;
        let provider = house.script(|_, number| (MILLI * 30, accepted(number)));
        house.plan.rate = rate;
        house.start().await;
        for message in 0..1_500 {
            house.post(&number(message % 50), "x").await;
        }
        house.pass(SECOND * 20).await;
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 7).await;
        house.plan.adapter_name = "renamed".into();
        house.apply().await;
        house.pass(SECOND * 13).await;
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 20).await;
        let times = provider.times();
        assert_within(rate, &times);
        let possible = (60.0 / rate.period.as_secs_f64()).min(1_500.0);
        // Each of the two kills and the start burn one burst at most.
        let used = times.len() as f64 + 3.0 * f64::from(rate.burst.min(1));
        assert!(used >= possible * 0.95, "{used} of {possible}");
    }
}

#[tokio::test(start_paused = true)]
async fn pair_limits_hold_one_recipient_back_and_nobody_else() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    let pair = Rate { period: SECOND * 6, burst: 3 };
    house.plan.pair_rate = Some(pair);
    house.start().await;
    house.pass(SECOND * 60).await;
    for _ in 0..20 {
        house.post(&number(0), "x").await;
    }
    for person in 1..40 {
        house.post(&number(person), "y").await;
    }
    house.pass(SECOND).await;
    assert_eq!(provider.count(), 3 + 39);
    house.pass(SECOND * 120).await;
    let sent = provider.sent.lock().unwrap();
    let times: Vec<Duration> =
        sent.iter().filter(|(_, out)| out.to.as_str() == number(0)).map(|(at, _)| *at).collect();
    assert_within(pair, &times);
    assert_eq!(times.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_for_somebody_who_opted_out_but_our_answers() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let person = Address::parse(&number(0)).unwrap();
    house.around.opt_outs.add(&house.plan.proxy, &person);
    let posted = house.post(&number(0), "x").await;
    house.notice(&number(0), "you are off the list").await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(0)), ["you are off the list"]);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 21610));
    house.around.opt_outs.remove(&house.plan.proxy, &person);
    house.post(&number(0), "back").await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(0)).last().unwrap(), "back");
}

#[tokio::test(start_paused = true)]
async fn opt_outs_are_read_from_the_ledger() {
    let house = House::new(|_, _| unreachable!()).await;
    let (proxy, person) = (house.plan.proxy.clone(), Address::parse("whatsapp:+15550009999").unwrap());
    let mut batch = Batch::default();
    batch.put(tables::opt_out(ACCOUNT, &proxy, &person), "{}");
    house.around.ledger.commit(batch).await.unwrap();
    let set = OptOuts::load(&*house.around.ledger.snapshot(), ACCOUNT).await.unwrap();
    assert!(set.contains(&proxy, &person));
    assert!(!set.contains(&person, &proxy));
}

#[tokio::test(start_paused = true)]
async fn long_text_leaves_in_parts_that_a_failure_does_not_repeat() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider =
        house.script(|_, number| (MILLI, if number == 1 { retryable() } else { accepted(number) }));
    house.start().await;
    let text =
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    let posted = house.post(&number(0), text).await;
    house.post(&number(0), "next").await;
    house.pass(SECOND * 10).await;
    let texts = provider.texts_to(&number(0));
    assert_eq!(texts[1], texts[2], "the second part was tried twice");
    assert_eq!([&texts[0], &texts[1], &texts[3]].map(String::as_str).join(" "), text);
    assert_eq!(texts[4], "next");
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!(receipt.provider_ids, ["SM0", "SM2", "SM3"]);
    assert_eq!(receipt.parts, [Some(DeliveryStatus::Sent); 3]);
    let sent = provider.sent.lock().unwrap();
    let correlation = Correlation::decode(&sent[3].1.correlation).unwrap();
    assert_eq!((correlation.part, correlation.index), (2, posted.0));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_came_first_is_not_lost_nor_overwritten() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let around = house.around.clone();
    let proxy = house.plan.proxy.clone();
    let learned = Address::parse("whatsapp:US.900100").unwrap();
    let report = StatusReport {
        id: "SM0".into(),
        from: proxy.clone(),
        correlation: None,
        status: DeliveryStatus::Delivered,
        error: None,
        learned: vec![learned.clone()],
        at: None,
    };
    let parked = ParkedStatus { reports: vec![report], since: Timestamp(0) };
    let mut batch = Batch::default();
    batch.put(tables::parked(ACCOUNT, "scripted", &proxy, "SM0"), Json::encode(&parked));
    around.ledger.commit(batch).await.unwrap();
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let posted = house.post(&number(0), "x").await;
    house.pass(SECOND).await;
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!(
        (receipt.status, receipt.provider_ids),
        (Some(DeliveryStatus::Delivered), vec!["SM0".to_owned()])
    );
    let key = tables::parked(ACCOUNT, "scripted", &proxy, "SM0");
    assert_eq!(around.ledger.snapshot().get(&key).await.unwrap(), None);
    assert_eq!(*house.heard.0.lock().unwrap(), [learned]);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_left_gets_nothing_more() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    let posted = house.post(&number(0), "x").await;
    let gone = house.post(&number(1), "y").await;
    let mut batch = Batch::default();
    let person = house.people[&number(0)].clone();
    batch.delete(tables::participant(ACCOUNT, house.conversation.as_str(), person.as_str()));
    batch.delete(tables::message(ACCOUNT, house.conversation.as_str(), gone.0));
    house.around.ledger.commit(batch).await.unwrap();
    house.start().await;
    house.pass(SECOND).await;
    assert_eq!((provider.count(), house.rows().await), (0, 0));
    assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Failed));
    assert_eq!(house.receipt(&gone).await, None, "no receipt without a message");
}

#[tokio::test(start_paused = true)]
async fn an_untouched_lane_keeps_its_bucket_and_an_idle_one_has_no_timer() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (Duration::ZERO, accepted(number)));
    house.plan.rate = Rate { period: SECOND * 100, burst: 2 };
    house.start().await;
    house.pass(SECOND * 300).await;
    house.apply().await;
    for person in 0..2 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI).await;
    assert_eq!(provider.count(), 2, "a reload that changes nothing burns nothing");
    assert_eq!(house.status().next_try_seconds, None);
    // With every task idle and no timer, paused time jumps straight to the far one of this test.
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    tokio::time::sleep(Duration::from_secs(86_400 * 365)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
    assert_eq!(house.status().state, "idle");
}

#[tokio::test(start_paused = true)]
async fn a_stored_row_of_a_message_has_a_stable_key() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let (index, _) = house.post(&number(0), "x").await;
    let key = row_key(ACCOUNT, Queue::Outbound, PROXY, &number(0), index);
    let job: Job = typed::compact(&*house.around.ledger.snapshot(), &key).await.unwrap().unwrap().record;
    assert_eq!(job.attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn relay_times_leave_rate_waits_out() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    for pairs in [false, true] {
        let before = recorded(&counters, crate::telemetry::names::RELAY_DURATION).len();
        let mut house = House::new(|_, _| unreachable!()).await;
        house.script(|_, number| (MILLI * 20, accepted(number)));
        let slow = Rate { period: SECOND, burst: 1 };
        if pairs {
            house.plan.pair_rate = Some(slow);
        } else {
            house.plan.rate = slow;
        }
        house.start().await;
        house.pass(SECOND * 5).await;
        for message in 0..10 {
            house.post(&number(if pairs { 0 } else { message }), "x").await;
        }
        house.pass(SECOND * 30).await;
        let relayed = recorded(&counters, crate::telemetry::names::RELAY_DURATION).split_off(before);
        assert_eq!(relayed.len(), 10);
        assert!(relayed.iter().all(|seconds| (0.02..0.06).contains(seconds)), "{relayed:?}");
    }
    let waits: f64 = recorded(&counters, crate::telemetry::names::RATE_WAIT).iter().sum();
    assert!((8.5..10.0).contains(&waits), "{waits}");
    let sent = counted(&counters, crate::telemetry::names::OUTBOUND_MESSAGES);
    assert_eq!((sent, counted(&counters, crate::telemetry::names::DELIVERY_STATUS)), (20, 20));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_written_down_however_many_conflicts_there_are() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let memory = Arc::clone(&house.memory);
    let provider = house.script(move |_, number| {
        memory.inject_conflicts(20);
        (MILLI, accepted(number))
    });
    house.start().await;
    let posted = house.post(&number(0), "x").await;
    house.pass(SECOND * 5).await;
    assert_eq!((provider.count(), house.rows().await), (1, 0));
    assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Sent));
}

#[tokio::test(start_paused = true)]
async fn every_series_is_there_before_anything_happens_and_gauges_follow() {
    let exporter = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = exporter.handle();
    let _recorder = metrics::set_default_local_recorder(&exporter);
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, _| (MILLI, operator()));
    house.start().await;
    let text = handle.render();
    for outcome in ["accepted", "retryable", "throttled", "rejected", "unknown"] {
        let series = format!(
            "trunkline_outbound_messages_total{{adapter=\"us\",proxy=\"line\",outcome=\"{outcome}\"}} 0"
        );
        assert!(text.contains(&series), "{series} in {text}");
    }
    assert!(text.contains("trunkline_duplicate_sends_total{adapter=\"us\"} 0"));
    assert!(text.contains("trunkline_delivery_status_total{adapter=\"us\",status=\"read\"} 0"));
    for person in 0..3 {
        house.post(&number(person), "x").await;
    }
    house.pass(SECOND * 60).await;
    house.lanes().publish_gauges();
    let text = handle.render();
    for series in [
        "trunkline_lane_messages{adapter=\"us\",proxy=\"line\"} 3",
        "trunkline_lanes{adapter=\"us\",state=\"held\"} 1",
        "trunkline_lanes{adapter=\"us\",state=\"idle\"} 0",
    ] {
        assert!(text.contains(series), "{series} in {text}");
    }
    let age =
        text.lines().find(|line| line.starts_with("trunkline_lane_oldest_message_age_seconds{")).unwrap();
    let age: f64 = age.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((59.0..62.0).contains(&age), "{age}");
    house.plan.adapter_name = "renamed".into();
    house.apply().await;
    house.pass(SECOND).await;
    house.lanes().publish_gauges();
    let text = handle.render();
    assert!(text.contains("trunkline_lane_messages{adapter=\"us\",proxy=\"line\"} 0"));
    assert!(text.contains("trunkline_lane_messages{adapter=\"renamed\",proxy=\"line\"} 3"));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_nothing_to_say_fails_and_is_not_forgotten() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let nothing = house.post(&number(1), "").await;
    let spaces = house.post(&number(2), &" ".repeat(50)).await;
    house.pass(SECOND * 5).await;
    for one in [&nothing, &spaces] {
        let receipt = house.receipt(one).await.unwrap();
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 21602));
    }
    assert_eq!((provider.count(), house.rows().await), (0, 0));
}
