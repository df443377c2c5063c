#![allow(clippy::unwrap_used)]
use super::super::places::PLACES;
use super::super::{Wakeups, enqueue, row_key};
use super::*;
use crate::ledger::engine::Batch;
use crate::ledger::memory::Memory;

pub(super) const LANE: &str = "+15550001111";

pub(super) struct Bench {
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    pub(super) wakeups: Wakeups,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let clock = Clock::at(Timestamp::from_seconds(1_800_000_000));
        Bench { ledger: Ledger::new(Arc::new(Memory::new(1))), clock, wakeups: Wakeups::default() }
    }

    pub(super) fn open(&self, capacity: usize) -> Window {
        Window::open(self.ledger.clone(), self.clock, "AC1", Queue::Outbound, LANE, capacity)
    }

    pub(super) async fn add(&self, rows: impl IntoIterator<Item = (String, u64)>) {
        let rows: Vec<_> = rows.into_iter().collect();
        for some in rows.chunks(200) {
            let mut batch = Batch::default();
            for (subject, seq) in some {
                let payload = Bytes::from(format!("{seq}"));
                enqueue(&mut batch, "AC1", Queue::Outbound, LANE, subject, *seq, self.clock.now(), payload);
            }
            self.ledger.commit(batch).await.unwrap();
            for (subject, _) in some {
                self.wakeups.work(Queue::Outbound, LANE, subject);
            }
        }
    }

    pub(super) async fn finish(&self, window: &mut Window, taken: &Taken) {
        let mut batch = Batch::default();
        batch.delete(taken.key.clone());
        self.ledger.commit(batch).await.unwrap();
        window.done(&taken.subject);
    }

    /// Works everything off, and says in which order.
    async fn work_off(&self, window: &mut Window) -> Vec<(String, u64)> {
        let mut order = Vec::new();
        while let Some(taken) = window.next().await.unwrap() {
            let seq = std::str::from_utf8(&taken.job.payload).unwrap().parse().unwrap();
            order.push((taken.subject.to_string(), seq));
            self.finish(window, &taken).await;
        }
        order
    }
}

pub(super) fn subject(number: usize) -> String {
    format!("s{number:06}")
}

#[tokio::test]
async fn subjects_take_turns_and_each_is_in_order() {
    let bench = Bench::new();
    bench.add((0..3).flat_map(|who| (0..4).map(move |seq| (subject(who), seq)))).await;
    let mut window = bench.open(8);
    let order = bench.work_off(&mut window).await;
    let expected: Vec<(String, u64)> =
        (0..4).flat_map(|seq| (0..3).map(move |who| (subject(who), seq))).collect();
    assert_eq!(order, expected);
    assert!(window.is_empty());
}

#[tokio::test]
async fn the_next_row_waits_for_the_end_of_the_last() {
    let bench = Bench::new();
    bench.add([(subject(0), 0), (subject(0), 1)]).await;
    let mut window = bench.open(8);
    let first = window.next().await.unwrap().unwrap();
    assert_eq!(window.next().await.unwrap(), None);
    bench.finish(&mut window, &first).await;
    assert!(window.next().await.unwrap().is_some());
}

#[tokio::test]
async fn many_more_subjects_than_slots_are_all_served_and_memory_stays() {
    let bench = Bench::new();
    bench.add((0..2_000).flat_map(|who| (0..20).map(move |seq| (subject(who), seq)))).await;
    let mut window = bench.open(64);
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut first_seen = Vec::new();
    let mut rows = 0;
    while let Some(taken) = window.next().await.unwrap() {
        let seq: u64 = std::str::from_utf8(&taken.job.payload).unwrap().parse().unwrap();
        match last.insert(taken.subject.to_string(), seq) {
            Some(before) => assert_eq!(seq, before + 1),
            None => {
                assert_eq!(seq, 0);
                first_seen.push(rows);
            }
        }
        rows += 1;
        bench.finish(&mut window, &taken).await;
        assert!(window.held() <= 64);
    }
    assert_eq!((rows, last.len()), (40_000, 2_000));
    assert!(*first_seen.last().unwrap() <= 2_000 * 16, "everybody is served before anybody is served out");
    assert!(window.is_empty());
}

#[tokio::test(start_paused = true)]
async fn back_off_delays_its_subject_only_even_when_all_slots_wait() {
    let bench = Bench::new();
    bench.add((0..100).map(|who| (subject(who), 0))).await;
    let mut window = bench.open(16);
    let mut delayed = 0;
    let mut served = Vec::new();
    while let Some(taken) = window.next().await.unwrap() {
        if taken.subject.as_ref() < subject(50).as_str() {
            // Fails: written down as the lane does.
            let due = bench.clock.now().plus(Duration::from_secs(60));
            let job = Job { not_before: due, attempts: 1, ..taken.job.clone() };
            let mut batch = Batch::default();
            batch.put(taken.key.clone(), job.encode());
            bench.ledger.commit(batch).await.unwrap();
            window.put_back(&taken.subject, job, Some(due));
            delayed += 1;
        } else {
            served.push(taken.subject.to_string());
            bench.finish(&mut window, &taken).await;
        }
        assert!(window.held() <= 16);
    }
    assert_eq!((delayed, served.len()), (50, 50));
    let due = window.next_due().unwrap();
    assert!(due > bench.clock.now() && due <= bench.clock.now().plus(Duration::from_secs(60)));
    assert!(!window.may_have_work());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(bench.work_off(&mut window).await.len(), 50);
    assert!(window.is_empty());
}

#[tokio::test]
async fn a_wake_up_brings_new_rows_and_one_out_of_order_is_not_missed() {
    let bench = Bench::new();
    let receiver = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(8);
    assert_eq!(window.next().await.unwrap(), None);
    bench.add([(subject(0), 7)]).await;
    window.told(receiver.take());
    assert_eq!(bench.work_off(&mut window).await.len(), 1);
    // Sequence 3 was drawn before 7 and committed after it was done.
    bench.add([(subject(0), 3)]).await;
    window.told(receiver.take());
    assert_eq!(bench.work_off(&mut window).await, [(subject(0), 3)]);
    assert!(window.is_empty());
}

#[tokio::test]
async fn the_depth_is_counted_once_and_then_kept() {
    let bench = Bench::new();
    let receiver = bench.wakeups.register(Queue::Outbound, LANE);
    bench.add((0..5_000).map(|who| (subject(who), 0))).await;
    receiver.take();
    let mut window = bench.open(64);
    let early = window.next().await.unwrap().unwrap();
    bench.finish(&mut window, &early).await;
    bench.add([("new".to_owned(), 1)]).await;
    window.told(receiver.take());
    while window.counting() {
        window.count_page().await.unwrap();
    }
    assert_eq!(window.depth(), 5_000);
    assert_eq!(window.oldest(), Some(bench.clock.now()).map(|_| early.job.since));
    bench.work_off(&mut window).await;
    assert_eq!((window.depth(), window.oldest()), (0, None));
}

#[tokio::test]
async fn wake_ups_that_did_not_fit_lead_to_a_look_through_everything() {
    let bench = Bench::new();
    let receiver = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(64);
    assert_eq!(window.next().await.unwrap(), None);
    bench.add((0..6_000).map(|who| (subject(who), 0))).await;
    let woken = receiver.take();
    assert!(woken.overflow);
    window.told(woken);
    assert_eq!(bench.work_off(&mut window).await.len(), 6_000);
    assert!(window.is_empty());
}

#[tokio::test]
async fn a_row_keeps_its_key_when_it_is_put_back() {
    let bench = Bench::new();
    bench.add([(subject(0), 5)]).await;
    let mut window = bench.open(8);
    let taken = window.next().await.unwrap().unwrap();
    assert_eq!(taken.key, row_key("AC1", Queue::Outbound, LANE, &subject(0), 5));
    window.put_back(&taken.subject, Job { attempts: 3, ..taken.job.clone() }, None);
    let again = window.next().await.unwrap().unwrap();
    assert_eq!((again.key, again.job.attempts), (taken.key, 3));
}

#[tokio::test(start_paused = true)]
async fn a_due_row_behind_thousands_that_wait_is_found_in_one_call() {
    let bench = Bench::new();
    let mut batch = Batch::default();
    let due = bench.clock.now().plus(Duration::from_secs(60));
    for who in 0..200 {
        let job = Job {
            since: bench.clock.now(),
            attempts: 1,
            not_before: due,
            payload: b"0".to_vec(),
            trace: Vec::new(),
        };
        for more in 0..20 {
            batch.put(row_key("AC1", Queue::Outbound, LANE, &subject(who * 20 + more), 0), job.encode());
        }
        bench.ledger.commit(std::mem::take(&mut batch)).await.unwrap();
    }
    // Keys are in the order of the length first: a shorter name would be found at once.
    bench.add([(subject(9_999), 0)]).await;
    let mut window = bench.open(8);
    assert_eq!(window.next().await.unwrap().unwrap().key, key(9_999, 0));
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!(window.next_due(), Some(due));
    assert_eq!(window.held(), 7, "who waits gets six slots of eight, and whose turn it is a seventh");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_handed_out_empty_and_stops_nobody() {
    let bench = Bench::new();
    bench.add([(subject(0), 0), (subject(0), 2), (subject(2), 0)]).await;
    let mut batch = Batch::default();
    for (who, seq) in [(0, 1), (1, 0)] {
        batch.put(row_key("AC1", Queue::Outbound, LANE, &subject(who), seq), "\u{7f}nonsense");
    }
    bench.ledger.commit(batch).await.unwrap();
    let mut window = bench.open(8);
    while window.counting() {
        window.count_page().await.unwrap();
    }
    assert_eq!(window.depth(), 5);
    let mut handed = Vec::new();
    while let Some(taken) = window.next().await.unwrap() {
        handed.push((taken.subject.to_string(), taken.job.payload.is_empty()));
        bench.finish(&mut window, &taken).await;
    }
    handed.sort();
    let expected = [(0, false), (0, false), (0, true), (1, true), (2, false)];
    assert_eq!(handed, expected.map(|(who, empty)| (subject(who), empty)));
    assert_eq!((window.depth(), window.is_empty()), (0, true));
}

#[tokio::test]
async fn no_row_is_left_behind_a_place_that_had_to_be_forgotten() {
    let bench = Bench::new();
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(16);
    assert_eq!(window.next().await.unwrap(), None);
    window.count_page().await.unwrap();
    assert!(window.exact, "it is empty");
    let people = 3 * PLACES;
    for first in (0..people).step_by(1_000) {
        let some =
            (first..people.min(first + 1_000)).flat_map(|who| (0..3).map(move |seq| (subject(who), seq)));
        bench.add(some).await;
        window.told(told.take());
    }
    assert_eq!(bench.work_off(&mut window).await.len(), people * 3);
    assert!(window.is_empty() && window.exact);
}

#[tokio::test]
async fn what_was_told_and_is_done_is_not_looked_for() {
    let bench = Bench::new();
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(16);
    assert_eq!(window.next().await.unwrap(), None);
    window.count_page().await.unwrap();
    bench.add([(subject(0), 0)]).await;
    window.told(told.take());
    let taken = window.next().await.unwrap().unwrap();
    bench.finish(&mut window, &taken).await;
    // A row that nobody told of: whoever looked would find it.
    bench.add([(subject(0), 1)]).await;
    assert_eq!(window.next().await.unwrap(), None);
    window.told(told.take());
    assert_eq!(
        window.next().await.unwrap().unwrap().key,
        row_key("AC1", Queue::Outbound, LANE, &subject(0), 1)
    );
}

/// A window that has looked through an empty queue, and the receiver of its wake-ups.
pub(super) async fn opened(bench: &Bench, capacity: usize) -> (Window, crate::work::WorkReceiver) {
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(capacity);
    assert_eq!(window.next().await.unwrap(), None);
    window.count_page().await.unwrap();
    assert!(!window.counting() && window.is_empty());
    (window, told)
}

fn key(who: usize, seq: u64) -> Key {
    row_key("AC1", Queue::Outbound, LANE, &subject(who), seq)
}

#[tokio::test]
async fn many_that_were_served_and_forgotten_cost_no_looks() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 0)]).await;
    window.told(told.take());
    let in_hand = window.next().await.unwrap().unwrap();
    for first in (1..3 * PLACES).step_by(8) {
        bench.add((first..first + 8).map(|who| (subject(who), 0))).await;
        window.told(told.take());
        assert_eq!(bench.work_off(&mut window).await.len(), 8);
    }
    // A row that nobody told of: whoever looked would find it.
    bench.add([(subject(0), 1)]).await;
    bench.finish(&mut window, &in_hand).await;
    assert_eq!(window.next().await.unwrap(), None);
}

#[tokio::test]
async fn after_wake_ups_that_did_not_fit_no_place_is_trusted() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 7), (subject(1), 7)]).await;
    window.told(told.take());
    let first = window.next().await.unwrap().unwrap();
    let second = window.next().await.unwrap().unwrap();
    bench.finish(&mut window, &first).await;
    assert_eq!(window.next().await.unwrap(), None, "and its place is remembered without it");
    // Sequences drawn before and committed after; that they were is lost.
    bench.add([0, 1].into_iter().flat_map(|who| (3..6).map(move |seq| (subject(who), seq)))).await;
    told.take();
    window.told(Woken { rows: 6, overflow: true, ..Woken::default() });
    let mut keys = Vec::new();
    for _ in 0..3 {
        let taken = window.next().await.unwrap().unwrap();
        bench.finish(&mut window, &taken).await;
        keys.push(taken.key);
    }
    assert_eq!(keys, [key(0, 3), key(0, 4), key(0, 5)]);
    // The other one was in hand while everything was looked through.
    assert_eq!(window.next().await.unwrap(), None);
    bench.finish(&mut window, &second).await;
    assert_eq!(window.next().await.unwrap().unwrap().key, key(1, 3));
}

#[tokio::test]
async fn what_is_not_told_of_yet_is_not_looked_for_before_a_place() {
    let bench = Bench::new();
    bench.add([(subject(0), 6), (subject(0), 7)]).await;
    let mut window = bench.open(16);
    for _ in 0..2 {
        let taken = window.next().await.unwrap().unwrap();
        if taken.key == key(0, 7) {
            bench.add([(subject(0), 3)]).await;
        }
        bench.finish(&mut window, &taken).await;
    }
    assert!(!window.exact, "nothing was counted yet");
    assert_eq!(window.next().await.unwrap(), None, "deleted rows are not walked over again");
}

#[tokio::test(start_paused = true)]
async fn a_back_off_that_is_found_in_the_row_is_kept_but_not_for_longer_than_an_hour() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    let now = bench.clock.now();
    let minute = now.plus(Duration::from_secs(60));
    let mut batch = Batch::default();
    for (who, not_before) in [(0, minute), (1, now.plus(10 * FARTHEST))] {
        let job = Job { since: now, attempts: 1, not_before, payload: b"0".to_vec(), trace: Vec::new() };
        batch.put(key(who, 0), job.encode());
    }
    bench.ledger.commit(batch).await.unwrap();
    for who in [0, 1] {
        bench.wakeups.work(Queue::Outbound, LANE, &subject(who));
    }
    window.told(told.take());
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!(window.next_due(), Some(minute));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(window.may_have_work());
    assert_eq!(window.next().await.unwrap().unwrap().key, key(0, 0));
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!(window.next_due(), Some(now.plus(FARTHEST)), "written under another clock");
}

#[tokio::test]
async fn rows_say_whether_they_were_there_before_the_window() {
    let bench = Bench::new();
    bench.add([(subject(0), 0)]).await;
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(16);
    bench.add([(subject(0), 1)]).await;
    window.told(told.take());
    let mut old = Vec::new();
    while let Some(taken) = window.next().await.unwrap() {
        old.push(taken.old);
        bench.finish(&mut window, &taken).await;
    }
    assert_eq!(old, [true, false]);
}

#[tokio::test]
async fn the_place_of_one_who_was_served_outlives_others() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    for (who, seq) in [(0, 7), (1, 0), (2, 0), (3, 0)] {
        bench.add([(subject(who), seq)]).await;
        window.told(told.take());
        assert_eq!(bench.work_off(&mut window).await, [(subject(who), seq)]);
    }
    // A row before the place that nobody told of: whoever began at the front again would find it.
    bench.add([(subject(0), 3)]).await;
    told.take();
    bench.add([(subject(0), 8)]).await;
    window.told(told.take());
    assert_eq!(window.next().await.unwrap().unwrap().key, key(0, 8));
}

#[tokio::test]
async fn a_window_that_does_not_count_serves_all_the_same() {
    let bench = Bench::new();
    bench.add([(subject(0), 0), (subject(1), 0)]).await;
    let mut window = bench.open(16).uncounted();
    assert!(!window.counting());
    assert_eq!(bench.work_off(&mut window).await.len(), 2);
    assert!(window.is_empty());
}

#[tokio::test]
async fn rows_told_of_while_another_is_in_hand_are_not_lost() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 7)]).await;
    window.told(told.take());
    let taken = window.next().await.unwrap().unwrap();
    bench.add([(subject(0), 8), (subject(0), 9)]).await;
    window.told(told.take());
    bench.finish(&mut window, &taken).await;
    assert_eq!(bench.work_off(&mut window).await, [(subject(0), 8), (subject(0), 9)]);
}

#[tokio::test]
async fn a_row_of_the_last_commit_before_the_window_costs_no_later_one() {
    let bench = Bench::new();
    bench.add([(subject(0), 0)]).await;
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(16);
    window.count_page().await.unwrap();
    assert_eq!(bench.work_off(&mut window).await.len(), 1);
    bench.add([(subject(0), 1)]).await;
    window.told(told.take());
    assert_eq!(bench.work_off(&mut window).await, [(subject(0), 1)]);
}

#[tokio::test]
async fn who_does_not_fit_waits_outside_until_somebody_had_a_turn() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 4).await;
    bench.add((0..5).flat_map(|who| (0..20).map(move |seq| (subject(who), seq)))).await;
    window.told(told.take());
    assert_eq!((window.held(), window.may_have_work()), (4, true));
    let order = bench.work_off(&mut window).await;
    let outside = order.iter().position(|(who, _)| *who == subject(4)).unwrap();
    let before = |who: usize| order[..outside].iter().filter(|(name, _)| *name == subject(who)).count();
    assert!((TURN as usize..20).contains(&before(0)), "nobody is sent out before, nor served out");
    assert_eq!(order.len(), 100);
}

#[tokio::test]
async fn nothing_is_done_while_every_slot_is_in_hand() {
    let bench = Bench::new();
    bench.add((0..6).map(|who| (subject(who), 0))).await;
    let mut window = bench.open(4);
    assert!(window.may_have_work(), "nobody has looked yet");
    let mut in_hand = Vec::new();
    while let Some(taken) = window.next().await.unwrap() {
        in_hand.push(taken);
    }
    assert_eq!((in_hand.len(), window.may_have_work()), (4, false));
    bench.finish(&mut window, &in_hand[0]).await;
    assert_eq!(window.next().await.unwrap().unwrap().key, key(4, 0));
}

#[tokio::test]
async fn one_alone_keeps_its_slot_however_many_rows_it_has() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 4).await;
    bench.add((0..40).map(|seq| (subject(0), seq))).await;
    window.told(told.take());
    for _ in 0..40 {
        let taken = window.next().await.unwrap().unwrap();
        bench.finish(&mut window, &taken).await;
        assert_eq!(window.held(), 1);
    }
    assert_eq!(window.next().await.unwrap(), None);
    assert_eq!(window.held(), 0);
}

#[tokio::test]
async fn who_is_told_of_first_does_not_keep_those_outside_waiting() {
    let bench = Bench::new();
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    bench.add([(subject(1), 0)]).await;
    told.take();
    let mut window = bench.open(16);
    bench.add((0..3).map(|seq| (subject(0), seq))).await;
    window.told(told.take());
    let order = bench.work_off(&mut window).await;
    assert_eq!(order[..2], [(subject(0), 0), (subject(1), 0)]);
}

#[tokio::test]
async fn a_row_that_was_not_touched_keeps_its_turn() {
    let bench = Bench::new();
    bench.add([(subject(0), 0), (subject(1), 0)]).await;
    let mut window = bench.open(16);
    let taken = window.next().await.unwrap().unwrap();
    window.return_first(&taken.subject);
    assert_eq!(window.next().await.unwrap(), Some(taken));
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_may_be_hurried_inside_and_outside() {
    let bench = Bench::new();
    bench.add((0..12).map(|who| (subject(who), 0))).await;
    let mut window = bench.open(4);
    let due = bench.clock.now().plus(Duration::from_secs(60));
    while let Some(taken) = window.next().await.unwrap() {
        let job = Job { not_before: due, attempts: 1, ..taken.job.clone() };
        let mut batch = Batch::default();
        batch.put(taken.key.clone(), job.encode());
        bench.ledger.commit(batch).await.unwrap();
        window.put_back(&taken.subject, job, Some(due));
    }
    assert_eq!((window.next_due(), window.may_have_work()), (Some(due), false));
    let held = window.held();
    window.hurry();
    assert!(window.may_have_work());
    let mut tried = 0;
    while let Some(taken) = window.next().await.unwrap() {
        bench.finish(&mut window, &taken).await;
        tried += 1;
    }
    assert!(tried >= held, "those inside at once");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(tried + bench.work_off(&mut window).await.len(), 12);
    assert!(window.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slots_that_only_wait_keep_nobody_outside() {
    let bench = Bench::new();
    bench.add((0..6).map(|who| (subject(who), 0))).await;
    let mut window = bench.open(4);
    let due = bench.clock.now().plus(Duration::from_secs(60));
    for _ in 0..4 {
        let taken = window.next().await.unwrap().unwrap();
        window.put_back(&taken.subject, taken.job, Some(due));
    }
    assert!(window.may_have_work());
    assert_eq!(window.next().await.unwrap().unwrap().key, key(4, 0));
    assert_eq!(window.held(), 4, "one of them made room, and no more than that");
}

#[path = "window_outside_test.rs"]
mod outside;
