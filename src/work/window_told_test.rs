//! Rows that are told with what is in them.
#![allow(clippy::unwrap_used)]
use super::tests::{Bench, LANE, opened, subject};
use super::*;
use crate::work::row_key;

fn fresh(bench: &Bench, who: usize, seq: u64) -> Fresh {
    let job = Job {
        since: bench.clock.now(),
        attempts: 0,
        not_before: Timestamp(0),
        payload: vec![seq as u8],
        trace: Vec::new(),
    };
    let key = row_key("AC1", Queue::Outbound, LANE, &subject(who), seq);
    Fresh { key, job, created: bench.ledger.snapshot().number() + 1 + seq, letter: None }
}

fn tell(bench: &Bench, who: usize, row: Fresh) {
    bench.wakeups.row(Queue::Outbound, LANE, &subject(who), row);
}

async fn seq(window: &mut Window) -> Option<u8> {
    window.next().await.unwrap().map(|taken| taken.job.payload[0])
}

/// Nothing is in the ledger here: whatever is handed out was not looked for.
#[tokio::test]
async fn the_only_row_of_a_subject_is_taken_as_it_was_told() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    tell(&bench, 0, fresh(&bench, 0, 1));
    window.told(told.take());
    assert_eq!(seq(&mut window).await, Some(1));
    // The next one, told while this one is in hand; and the one behind it, after that.
    tell(&bench, 0, fresh(&bench, 0, 2));
    window.told(told.take());
    let who: Arc<str> = subject(0).into();
    window.done(&who);
    assert_eq!(seq(&mut window).await, Some(2));
    window.done(&who);
    tell(&bench, 0, fresh(&bench, 0, 3));
    window.told(told.take());
    assert_eq!(seq(&mut window).await, Some(3));
    window.done(&who);
    assert_eq!(seq(&mut window).await, None);
    assert!(window.is_empty());
}

#[tokio::test]
async fn behind_others_a_row_is_looked_for_in_its_order() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 1), (subject(0), 2)]).await;
    window.told(told.take());
    let taken = window.next().await.unwrap().unwrap();
    // Two wait, so the third is not what comes next, though it is told with what is in it.
    bench.add([(subject(0), 3)]).await;
    drop(told.take());
    tell(&bench, 0, fresh(&bench, 0, 3));
    window.told(told.take());
    bench.finish(&mut window, &taken).await;
    let keys: Vec<Key> = {
        let mut keys = Vec::new();
        while let Some(taken) = window.next().await.unwrap() {
            keys.push(taken.key.clone());
            bench.finish(&mut window, &taken).await;
        }
        keys
    };
    assert_eq!(keys, [2, 3].map(|seq| row_key("AC1", Queue::Outbound, LANE, &subject(0), seq)));
}

#[tokio::test]
async fn only_the_first_of_several_is_taken_as_it_was_told() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    bench.add([(subject(0), 1), (subject(0), 2)]).await;
    drop(told.take());
    tell(&bench, 0, fresh(&bench, 0, 1));
    tell(&bench, 0, fresh(&bench, 0, 2));
    window.told(told.take());
    let first = window.next().await.unwrap().unwrap();
    assert_eq!(first.job.payload, [1], "as it was told");
    bench.finish(&mut window, &first).await;
    assert_eq!(window.next().await.unwrap().unwrap().job.payload, b"2", "as it lies in the ledger");
}

#[tokio::test]
async fn before_everything_is_known_nothing_is_believed() {
    let bench = Bench::new();
    bench.add([(subject(0), 1)]).await;
    let told = bench.wakeups.register(Queue::Outbound, LANE);
    let mut window = bench.open(16);
    // A row that was there before is the first, whoever is told of first.
    tell(&bench, 0, fresh(&bench, 0, 2));
    window.told(told.take());
    assert_eq!(window.next().await.unwrap().unwrap().job.payload, b"1");
}

/// Two conversations write to somebody: who drew a sequence first was not the first to commit. A row that came behind what is
/// in hand goes before whatever follows it.
#[tokio::test]
async fn a_row_that_comes_behind_another_is_not_passed_by_the_next() {
    let bench = Bench::new();
    let (mut window, told) = opened(&bench, 16).await;
    let commit = async |rows: &[u64]| {
        bench.add(rows.iter().map(|seq| (subject(0), *seq))).await;
        drop(told.take());
        rows.iter().for_each(|seq| tell(&bench, 0, fresh(&bench, 0, *seq)));
    };
    let text = |taken: &Taken| std::str::from_utf8(&taken.job.payload).map(str::to_owned).unwrap_or_default();
    // In hand when the others come.
    commit(&[11]).await;
    window.told(told.take());
    let in_hand = window.next().await.unwrap().unwrap();
    commit(&[10, 12]).await;
    window.told(told.take());
    bench.finish(&mut window, &in_hand).await;
    let mut order = Vec::new();
    while let Some(taken) = window.next().await.unwrap() {
        order.push(text(&taken));
        bench.finish(&mut window, &taken).await;
    }
    assert_eq!(order, ["10", "12"]);
    // Told together, and the first of them is not the first.
    commit(&[21, 20, 22]).await;
    window.told(told.take());
    order.clear();
    while let Some(taken) = window.next().await.unwrap() {
        order.push(text(&taken));
        bench.finish(&mut window, &taken).await;
    }
    assert_eq!(order, ["20", "21", "22"]);
}
