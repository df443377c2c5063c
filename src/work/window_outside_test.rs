//! Who stays outside, and what is known of those: room that is kept free, ages, places.
use super::*;

impl Bench {
    /// Rows that were tried and wait.
    async fn add_waiting(&self, rows: impl IntoIterator<Item = (String, u64)>, due: Timestamp) {
        let rows: Vec<_> = rows.into_iter().collect();
        let job = Job {
            since: self.clock.now(),
            attempts: 1,
            not_before: due,
            payload: b"0".to_vec(),
            trace: Vec::new(),
        };
        for some in rows.chunks(200) {
            let mut batch = Batch::default();
            for (subject, seq) in some {
                batch.put(row_key("AC1", Queue::Outbound, LANE, subject, *seq), job.encode());
            }
            self.ledger.commit(batch).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whose_time_has_just_come_gets_the_room_that_is_kept_from_those_that_wait() {
    let bench = Bench::new();
    let now = bench.clock.now();
    bench.add_waiting((0..8).map(|who| (subject(who), 0)), now.plus(Duration::from_secs(60))).await;
    bench.add_waiting([(subject(8), 0)], now).await;
    let mut window = bench.open(8);
    assert_eq!(window.next().await.unwrap().unwrap().key, key(8, 0));
    assert_eq!(window.held(), 7);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_waits_makes_room_while_there_is_some() {
    let bench = Bench::new();
    let due = bench.clock.now().plus(Duration::from_secs(60));
    // A page holds no more than the rows of one of them, so this is a look at several.
    bench.add_waiting((0..5).flat_map(|who| (0..130).map(move |seq| (subject(who), seq))), due).await;
    let mut window = bench.open(16);
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!((window.held(), window.next_due()), (5, Some(due)));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_outside_counts_as_long_as_it_is_there() {
    let bench = Bench::new();
    let first = bench.clock.now();
    let due = first.plus(Duration::from_secs(60));
    bench.add_waiting([(subject(9), 0)], due).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    bench.add_waiting((0..3).map(|who| (subject(who), 0)), due).await;
    let mut window = bench.open(4);
    window.count_page().await.unwrap();
    assert_eq!((window.counting(), window.oldest()), (false, Some(first)), "one page is all there is");
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!((window.held(), window.oldest()), (3, Some(first)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(bench.work_off(&mut window).await.len(), 4);
    assert_eq!((window.oldest(), window.is_empty()), (None, true));
}

#[tokio::test(start_paused = true)]
async fn an_age_that_was_counted_is_forgotten_once_everybody_is_inside() {
    let bench = Bench::new();
    let first = bench.clock.now();
    bench.add([(subject(0), 0)]).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = bench.clock.now();
    bench.add((0..5).flat_map(|who| (1..130).map(move |seq| (subject(who), seq)))).await;
    let mut window = bench.open(16);
    let oldest = window.next().await.unwrap().unwrap();
    // The count ends before the look through the queue does.
    window.count_page().await.unwrap();
    assert!(!window.counting());
    bench.finish(&mut window, &oldest).await;
    assert_eq!(window.oldest(), Some(first), "as far as known");
    for _ in 0..5 {
        let taken = window.next().await.unwrap().unwrap();
        bench.finish(&mut window, &taken).await;
    }
    assert_eq!((window.held(), window.oldest()), (5, Some(second)));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_fit_counts_for_the_age_until_there_is_room_to_look() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 4).await;
    let mut times = Vec::new();
    for people in [0..4, 4..5, 0..4] {
        tokio::time::advance(Duration::from_secs(1)).await;
        times.push(bench.clock.now());
        let seq = times.len() as u64;
        bench.add(people.map(|who| (subject(who), seq))).await;
        window.told(told.take());
    }
    for _ in 0..4 {
        let taken = window.next().await.unwrap().unwrap();
        bench.finish(&mut window, &taken).await;
    }
    for _ in 0..3 {
        assert_eq!(window.next().await.unwrap().unwrap().job.since, times[2]);
    }
    // The fourth slot has not read its second row yet.
    assert!(window.next().await.unwrap().is_some());
    assert_eq!(window.oldest(), Some(times[1]));
}

#[tokio::test]
async fn a_wake_up_that_came_twice_costs_one_look_and_no_later_one() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 7)]).await;
    bench.wakeups.work(Queue::Outbound, LANE, &subject(0));
    window.told(told.take());
    assert_eq!(bench.work_off(&mut window).await, [(subject(0), 7)]);
    assert!(window.is_empty());
    // A row before the place that nobody told of: whoever begins at the front again finds it.
    bench.add([(subject(0), 3)]).await;
    told.take();
    bench.add([(subject(0), 8)]).await;
    window.told(told.take());
    assert_eq!(bench.work_off(&mut window).await, [(subject(0), 8)]);
}
