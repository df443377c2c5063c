//! What every engine must do, run on each of them, and random batches played against the reference model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::*;

use super::engine::Durability;
use super::engine::{Batch, CommitError, Committed, Engine, MAX_BYTES, MAX_KEY, MAX_WRITES, Row};
use super::key::{Key, Range, Space};
use super::memory::Memory;
use super::store::{Store, StoreSettings};

const NOW: u64 = 1_000;

/// An engine under test and what it needs to live.
struct Subject {
    engine: Arc<dyn Engine>,
    folder: Option<tempfile::TempDir>,
}

fn memory(full: bool) -> Subject {
    let memory = Memory::new(NOW);
    memory.set_full(full);
    Subject { engine: Arc::new(memory), folder: None }
}

fn fjall(full: bool) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let keep_free = if full { u64::MAX } else { 0 };
    Subject { engine: open(folder.path(), keep_free), folder: Some(folder) }
}

fn open(path: &std::path::Path, keep_free: u64) -> Arc<dyn Engine> {
    let settings = StoreSettings {
        path: path.to_owned(),
        durability: Durability::Process,
        keep_free,
        cache_bytes: 1 << 20,
    };
    Store::open(settings, NOW, Vec::new()).unwrap().engine()
}

macro_rules! on_every_engine {
    ($($name:ident $(($full:literal))?),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::memory(false $(|| $full)?)).await; })*
        }
        mod on_fjall {
            $(#[tokio::test] async fn $name() { super::$name(super::fjall(false $(|| $full)?)).await; })*
        }
    };
}

on_every_engine!(
    batches_are_all_or_nothing,
    checks_see_the_batches_before_them,
    writes_are_numbered_one_by_one,
    numbers_begin_where_a_batch_wants_them_to,
    rows_keep_the_number_that_created_them,
    the_last_write_of_a_key_in_a_batch_wins,
    scans_stop_at_bounds_and_limits,
    deleted_rows_leave_nothing,
    large_payloads_come_back,
    snapshots_do_not_move,
    oversized_batches_are_refused,
    a_full_disk_refuses_only_what_is_new(true),
    one_of_many_claims_wins,
    a_batch_that_only_checks_takes_no_number,
    what_is_inserted_without_a_look_is_there,
);

fn key(space: Space, rest: &str) -> Key {
    Key::new("AC00000000000000000000000000000001", "part", space, rest.as_bytes())
}

fn put(key: &Key, payload: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(key.clone(), payload.to_owned());
    batch
}

async fn commit(engine: &Arc<dyn Engine>, batch: Batch) -> Committed {
    engine.commit(batch).await.unwrap()
}

async fn get(engine: &Arc<dyn Engine>, key: &Key) -> Option<Row> {
    engine.snapshot().get(key).await.unwrap()
}

async fn all(engine: &Arc<dyn Engine>) -> Vec<(Key, Row)> {
    engine.snapshot().scan(Range::all(), usize::MAX).await.unwrap()
}

/// An engine may remember what it looked up, and an insert looks nothing up.
async fn what_is_inserted_without_a_look_is_there(Subject { engine, .. }: Subject) {
    for round in 0..20 {
        let name = |what: &str| key(Space::Service, &format!("{what} {round}"));
        let new = name("new");
        let mut refused = put(&name("refused"), "1");
        refused.absent(new.clone()).at(name("nothing"), NOW);
        // Together, so that somebody's group has the look in it, and is written.
        let together = [put(&name("a"), "1"), refused, put(&name("b"), "1"), put(&name("c"), "1")];
        let outcomes = join_all(together.map(|batch| engine.commit(batch))).await;
        assert!(matches!(outcomes[1], Err(CommitError::Conflict(_))));
        let mut inserted = Batch::default();
        inserted.insert(new.clone(), "1");
        let number = commit(&engine, inserted).await.first;
        let mut second = put(&new, "2");
        second.absent(new.clone());
        assert!(matches!(engine.commit(second).await, Err(CommitError::Conflict(_))), "round {round}");
        let mut next = put(&new, "2");
        next.at(new.clone(), number);
        commit(&engine, next).await;
    }
}

async fn batches_are_all_or_nothing(Subject { engine, .. }: Subject) {
    let (a, b) = (key(Space::Service, "a"), key(Space::Queue, "b"));
    commit(&engine, put(&a, "1")).await;
    let mut batch = put(&b, "2");
    batch.put(a.clone(), "2").absent(a.clone());
    assert!(matches!(engine.commit(batch).await, Err(CommitError::Conflict(at)) if at == a));
    assert_eq!(get(&engine, &b).await, None);
    assert_eq!(get(&engine, &a).await.unwrap().payload, "1");
    let mut wrong = put(&b, "2");
    wrong.at(a.clone(), NOW + 1);
    assert!(matches!(engine.commit(wrong).await, Err(CommitError::Conflict(_))));
    let mut right = put(&b, "2");
    right.at(a.clone(), NOW).put(key(Space::ProviderId, "c"), "2");
    commit(&engine, right).await;
    assert_eq!(all(&engine).await.len(), 3);
}

async fn checks_see_the_batches_before_them(Subject { engine, .. }: Subject) {
    let a = key(Space::Service, "a");
    let mut claim = put(&a, "first");
    claim.absent(a.clone());
    let mut again = put(&a, "second");
    again.absent(a.clone());
    let mut follow = put(&a, "third");
    follow.at(a.clone(), NOW);
    let mut stale = Batch::default();
    stale.at(a.clone(), NOW).delete(a.clone());
    // Submitted together, in this order, so that they land in one group where the engine makes groups.
    let outcomes = join_all([claim, again, follow, stale].map(|batch| engine.commit(batch))).await;
    assert_eq!(outcomes[0].as_ref().unwrap().first, NOW);
    assert!(matches!(outcomes[1], Err(CommitError::Conflict(_))));
    assert_eq!(outcomes[2].as_ref().unwrap().first, NOW + 1);
    assert!(matches!(outcomes[3], Err(CommitError::Conflict(_))));
    assert_eq!(
        get(&engine, &a).await.unwrap(),
        Row { created: NOW, changed: NOW + 1, payload: Bytes::from("third") }
    );
}

async fn numbers_begin_where_a_batch_wants_them_to(Subject { engine, .. }: Subject) {
    let named = |name: &str| key(Space::Service, name);
    let batch = Batch { least: NOW + 100, ..put(&named("a"), "a") };
    assert_eq!(commit(&engine, batch).await, Committed { first: NOW + 100, last: NOW + 100 });
    assert_eq!(get(&engine, &named("a")).await.unwrap().changed, NOW + 100);
    assert_eq!(engine.published(), NOW + 100);
    let batch = Batch { least: NOW + 50, ..put(&named("b"), "b") };
    assert_eq!(commit(&engine, batch).await, Committed { first: NOW + 101, last: NOW + 101 });
}

async fn writes_are_numbered_one_by_one(Subject { engine, .. }: Subject) {
    assert_eq!(engine.published(), 0);
    let mut batch = Batch::default();
    for name in ["a", "b", "c"] {
        batch.put(key(Space::Service, name), name);
    }
    batch.delete(key(Space::Service, "never there"));
    assert_eq!(commit(&engine, batch).await, Committed { first: NOW, last: NOW + 3 });
    for (changed, name) in (NOW..).zip(["a", "b", "c"]) {
        let row = get(&engine, &key(Space::Service, name)).await.unwrap();
        assert_eq!((row.created, row.changed), (changed, changed));
    }
    assert_eq!((engine.published(), engine.snapshot().number()), (NOW + 3, NOW + 3));
    let next = commit(&engine, put(&key(Space::Service, "d"), "d")).await;
    assert_eq!(next, Committed { first: NOW + 4, last: NOW + 4 });
}

async fn rows_keep_the_number_that_created_them(Subject { engine, .. }: Subject) {
    let a = key(Space::Head, "a");
    commit(&engine, put(&a, "1")).await;
    commit(&engine, put(&a, "2")).await;
    let row = get(&engine, &a).await.unwrap();
    assert_eq!((row.created, row.changed), (NOW, NOW + 1));
    let mut batch = Batch::default();
    batch.delete(a.clone());
    commit(&engine, batch).await;
    commit(&engine, put(&a, "3")).await;
    assert_eq!(get(&engine, &a).await.unwrap().created, NOW + 3);
}

async fn the_last_write_of_a_key_in_a_batch_wins(Subject { engine, .. }: Subject) {
    let (a, b) = (key(Space::Head, "a"), key(Space::Head, "b"));
    let mut batch = put(&a, "1");
    batch.delete(a.clone()).put(a.clone(), "2").put(b.clone(), "x").delete(b.clone());
    commit(&engine, batch).await;
    let row = Row { created: NOW + 2, changed: NOW + 2, payload: Bytes::from("2") };
    assert_eq!(all(&engine).await, [(a, row)]);
}

async fn scans_stop_at_bounds_and_limits(Subject { engine, .. }: Subject) {
    let spaces = [Space::Meta, Space::Message, Space::Queue, Space::ProviderId, Space::Parked];
    let mut batch = Batch::default();
    for space in spaces {
        for account in ["", "A", "AC00000000000000000000000000000001"] {
            for name in ["a", "b", "c"] {
                batch.put(Key::new(account, "p", space, name.as_bytes()), name);
            }
        }
    }
    commit(&engine, batch).await;
    let mut expected: Vec<Key> = all(&engine).await.into_iter().map(|(key, _)| key).collect();
    assert!(expected.is_sorted() && expected.len() == spaces.len() * 9);
    let keys = async |range: Range, limit| -> Vec<Key> {
        engine.snapshot().scan(range, limit).await.unwrap().into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(Range::all(), 7).await, expected[..7]);
    assert_eq!(keys(Range::all(), 0).await, []);
    let middle = Range { start: expected[5].bytes(), end: expected[29].bytes(), reverse: false };
    assert_eq!(keys(middle, 100).await, expected[5..29]);
    let backwards = Range { start: expected[9].bytes(), end: expected[2].bytes(), reverse: false };
    assert_eq!(keys(backwards.clone().reversed(), 100).await, []);
    assert_eq!(keys(backwards, 100).await, []);
    let queue = Key::new("A", "p", Space::Queue, b"");
    let names = ["a", "b", "c"].map(|name| Key::new("A", "p", Space::Queue, name.as_bytes()));
    assert_eq!(keys(Range::prefix(&queue), 9).await, names);
    assert_eq!(keys(Range::after(&queue, &names[0]), 1).await, names[1..2]);
    assert_eq!(keys(Range::from(&queue, &names[1]).reversed(), 1).await, names[2..]);
    assert_eq!(keys(Range::until(&queue, &names[2]), 9).await, names[..2]);
    expected.reverse();
    assert_eq!(keys(Range::all().reversed(), usize::MAX).await, expected);
    assert_eq!(keys(Range::all().reversed(), 11).await, expected[..11]);
}

async fn deleted_rows_leave_nothing(Subject { engine, .. }: Subject) {
    let keys: Vec<Key> = (0..40).map(|n| key(Space::Queue, &format!("{n:02}"))).collect();
    let large = "x".repeat(20_000);
    let (mut batch, mut deletes) = (Batch::default(), Batch::default());
    for key in &keys {
        batch.put(key.clone(), large.clone());
        deletes.delete(key.clone());
    }
    commit(&engine, batch).await;
    commit(&engine, deletes).await;
    assert_eq!(all(&engine).await, []);
    let mut absent = Batch::default();
    absent.absent(keys[0].clone());
    commit(&engine, absent).await;
}

async fn large_payloads_come_back(Subject { engine, .. }: Subject) {
    let a = key(Space::Message, "a");
    let neighbour = key(Space::Message, "b");
    commit(&engine, put(&neighbour, "untouched")).await;
    let most = MAX_BYTES - a.as_bytes().len();
    for length in [3_984, 3_985, 4_000, 4_001, 8_000, most, 9_000, 8_001, 10, 4_001, 0] {
        let payload = Bytes::from_iter((0..length).map(|at| (at % 251) as u8));
        let mut batch = Batch::default();
        batch.put(a.clone(), payload.clone());
        commit(&engine, batch).await;
        assert_eq!(get(&engine, &a).await.unwrap().payload, payload, "{length}");
        let rows = all(&engine).await;
        assert_eq!((rows.len(), &rows[0].1.payload, &rows[1].0), (2, &payload, &neighbour), "{length}");
    }
}

async fn snapshots_do_not_move(Subject { engine, .. }: Subject) {
    let a = key(Space::Message, "a");
    commit(&engine, put(&a, &"1".repeat(5_000))).await;
    let before = engine.snapshot();
    let mut batch = put(&key(Space::Queue, "new"), "");
    batch.put(a.clone(), "2".repeat(5_000));
    commit(&engine, batch).await;
    assert_eq!(before.number(), NOW);
    assert_eq!(before.get(&a).await.unwrap().unwrap().payload, "1".repeat(5_000));
    assert_eq!(before.scan(Range::all(), 100).await.unwrap().len(), 1);
    assert_eq!(all(&engine).await.len(), 2);
}

async fn oversized_batches_are_refused(Subject { engine, .. }: Subject) {
    let mut many = Batch::default();
    for n in 0..=MAX_WRITES {
        many.put(key(Space::Service, &n.to_string()), "");
    }
    let large = put(&key(Space::Service, "a"), &"x".repeat(MAX_BYTES));
    let long = put(&key(Space::Service, &"x".repeat(MAX_KEY)), "");
    let foreign = put(&Key::from_bytes(Bytes::from_static(&[0xFE, b'm'])), "");
    for batch in [many, large, long, foreign] {
        assert!(matches!(engine.commit(batch).await, Err(CommitError::TooLarge)));
    }
    assert_eq!((all(&engine).await.len(), engine.published()), (0, 0));
}

async fn a_full_disk_refuses_only_what_is_new(Subject { engine, .. }: Subject) {
    let a = key(Space::Service, "a");
    let mut intake = put(&a, "1");
    intake.intake = true;
    assert!(matches!(engine.commit(intake).await, Err(CommitError::Full)));
    assert!(engine.health().full);
    commit(&engine, put(&a, "2")).await;
    assert_eq!(get(&engine, &a).await.unwrap().payload, "2");
}

async fn one_of_many_claims_wins(Subject { engine, .. }: Subject) {
    let a = key(Space::Binding, "pair");
    for round in 0..5 {
        let claims = (0..16).map(|task| {
            let engine = Arc::clone(&engine);
            let mut batch = put(&key(Space::Service, &format!("{round}-{task}")), "claimed");
            batch.absent(a.clone()).put(a.clone(), task.to_string());
            tokio::spawn(async move { engine.commit(batch).await.is_ok() })
        });
        let won: Vec<bool> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let winner = won.iter().position(|won| *won).unwrap();
        assert_eq!(get(&engine, &a).await.unwrap().payload, winner.to_string());
        assert!(get(&engine, &key(Space::Service, &format!("{round}-{winner}"))).await.is_some());
        let mut batch = Batch::default();
        batch.delete(a.clone());
        commit(&engine, batch).await;
    }
    assert_eq!(all(&engine).await.len(), 5);
}

async fn a_batch_that_only_checks_takes_no_number(Subject { engine, .. }: Subject) {
    let a = key(Space::Service, "a");
    let mut check = Batch::default();
    check.absent(a.clone());
    assert_eq!(commit(&engine, check.clone()).await, Committed { first: 0, last: 0 });
    commit(&engine, put(&a, "1")).await;
    assert!(matches!(engine.commit(check).await, Err(CommitError::Conflict(_))));
    assert_eq!(commit(&engine, Batch::default()).await, Committed { first: NOW, last: NOW });
    assert_eq!(engine.published(), NOW);
}

/// A random step of the play; keys and payloads are picked from small sets, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Group(Vec<Vec<Act>>),
    Look { from: usize, to: usize, limit: usize, reverse: bool },
    Reopen,
}

#[derive(Clone, Debug)]
enum Act {
    Put(usize, usize, u8),
    Delete(usize),
    Absent(usize),
    /// At the number the row had before the group, plus an error.
    At(usize, u64),
}

fn pool() -> Vec<Key> {
    let mut keys = Vec::new();
    for account in ["", "AC00000000000000000000000000000001", "other"] {
        for space in [Space::Head, Space::Queue, Space::Parked] {
            for rest in ["", "a", "\u{7f}"] {
                keys.push(Key::new(account, "p", space, rest.as_bytes()));
            }
        }
    }
    keys
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..pool().len();
    let lengths = prop::sample::select(vec![0usize, 1, 50, 3_984, 3_985, 4_000, 4_001, 8_000, 8_001, 30_000]);
    let act = prop_oneof![
        5 => (key(), lengths, any::<u8>()).prop_map(|(key, length, fill)| Act::Put(key, length, fill)),
        3 => key().prop_map(Act::Delete),
        1 => key().prop_map(Act::Absent),
        1 => (key(), prop_oneof![4 => Just(0u64), 1 => Just(1)]).prop_map(|(key, off)| Act::At(key, off)),
    ];
    let group = prop::collection::vec(prop::collection::vec(act, 0..6), 1..5);
    let look = (0..pool().len(), 0..=pool().len(), 0usize..12, any::<bool>())
        .prop_map(|(from, to, limit, reverse)| Step::Look { from, to, limit, reverse });
    let step = prop_oneof![8 => group.prop_map(Step::Group), 4 => look, 1 => Just(Step::Reopen)];
    prop::collection::vec(step, 1..14)
}

async fn batch(acts: &[Act], keys: &[Key], model: &Arc<dyn Engine>) -> Batch {
    let mut batch = Batch::default();
    for act in acts {
        match act {
            Act::Put(key, length, fill) => batch.put(keys[*key].clone(), vec![*fill; *length]),
            Act::Delete(key) => batch.delete(keys[*key].clone()),
            Act::Absent(key) => batch.absent(keys[*key].clone()),
            Act::At(key, off) => {
                let changed = get(model, &keys[*key]).await.map_or(0, |row| row.changed);
                batch.at(keys[*key].clone(), changed + off)
            }
        };
    }
    batch
}

async fn play(steps: Vec<Step>) {
    let Subject { engine: model, .. } = memory(false);
    let Subject { mut engine, folder } = fjall(false);
    let path = folder.as_ref().unwrap().path();
    let mut keys = pool();
    keys.sort();
    for step in steps {
        match step {
            Step::Group(group) => {
                let mut batches = Vec::new();
                for acts in &group {
                    batches.push(batch(acts, &keys, &model).await);
                }
                let played = join_all(batches.clone().into_iter().map(|batch| engine.commit(batch))).await;
                for (batch, played) in batches.into_iter().zip(played) {
                    let expected = model.commit(batch).await;
                    assert_eq!(format!("{played:?}"), format!("{expected:?}"));
                }
            }
            Step::Look { from, to, limit, reverse } => {
                let end = keys.get(to).map(Key::bytes).unwrap_or_default();
                let range = Range { start: keys[from].bytes(), end, reverse };
                let seen = engine.snapshot().scan(range.clone(), limit).await.unwrap();
                assert_eq!(seen, model.snapshot().scan(range, limit).await.unwrap());
                assert_eq!(get(&engine, &keys[from]).await, get(&model, &keys[from]).await);
            }
            Step::Reopen => {
                drop(engine);
                engine = open(path, 0);
            }
        }
        assert_eq!(engine.published(), model.published());
    }
    assert_eq!(all(&engine).await, all(&model).await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_batches_match_the_model(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(play(steps));
    }
}
