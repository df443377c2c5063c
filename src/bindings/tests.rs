#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;

use super::merge::verify;
use super::*;
use crate::ledger::engine::Durability;
use crate::ledger::engine::{Batch, CommitError, Committed, Health, ReadError, Revision, Row, Snapshot};
use crate::ledger::key::{Range, Space};
use crate::ledger::memory::Memory;
use crate::ledger::store::{Store, StoreSettings};

fn pair(account: &str, n: usize) -> Key {
    Key::new(account, "", Space::Binding, format!("+1555{n:07}").as_bytes())
}

const OURS: &str = "AC00000000000000000000000000000001";

/// A table beside a ledger in memory.
struct World {
    bindings: Bindings,
    engine: Arc<dyn Engine>,
}

impl World {
    fn new(folder: &Path) -> World {
        let bindings = Bindings::new(folder);
        let engine: Arc<dyn Engine> = Arc::new(Memory::followed(1, vec![bindings.follower()]));
        World { bindings, engine }
    }

    /// Binds the pairs of a range to `payload`, beside rows that are no bindings.
    async fn bind(&self, pairs: std::ops::Range<usize>, payload: &str) {
        let pairs: Vec<usize> = pairs.collect();
        for some in pairs.chunks(80) {
            let mut batch = Batch::default();
            for n in some {
                batch.put(pair(OURS, *n), format!("{payload}{n}")).put(pair("other", *n), "x");
                batch.put(Key::new(OURS, "CH", Space::Message, &n.to_be_bytes()), "no binding");
            }
            self.engine.commit(batch).await.unwrap();
        }
    }

    async fn delete(&self, key: Key) {
        let mut batch = Batch::default();
        batch.delete(key);
        self.engine.commit(batch).await.unwrap();
    }

    async fn put(&self, key: Key, payload: impl Into<Bytes>) {
        let mut batch = Batch::default();
        batch.put(key, payload);
        self.engine.commit(batch).await.unwrap();
    }

    async fn settle(&self) -> Progress {
        let mut progress = self.bindings.progress();
        *progress.wait_for(|progress| *progress != Progress::Building).await.unwrap()
    }

    async fn start(&self) -> Progress {
        self.bindings.start(&self.engine);
        self.settle().await
    }

    async fn assert_equal(&self, count: u64) {
        assert_eq!(verify(&self.bindings.table, self.engine.as_ref()).await, []);
        assert_eq!(self.bindings.count(), Some(count));
    }
}

/// A folder with a copy of 1,000 pairs of two accounts, and where its files are.
async fn earlier() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    world.bind(0..1_000, "earlier").await;
    assert_eq!(world.start().await, Progress::Ready);
    world.assert_equal(2_000).await;
    drop(world);
    let copy = folder.path().join("1");
    assert!(copy.join("db").exists());
    (folder, copy)
}

#[tokio::test]
async fn answers_only_when_ready_and_follows() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    world.bind(0..700, "CH").await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Unknown);
    assert_eq!(world.bindings.count(), None);
    assert_eq!(world.start().await, Progress::Ready);
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Hit(Bytes::from("CH1")));
    assert_eq!(world.bindings.lookup(&pair(OURS, 700)), Lookup::Unknown);
    world.put(pair(OURS, 700), "new").await;
    world.put(pair(OURS, 1), "changed").await;
    world.delete(pair(OURS, 2)).await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 700)), Lookup::Hit(Bytes::from("new")));
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Hit(Bytes::from("changed")));
    assert_eq!(world.bindings.lookup(&pair(OURS, 2)), Lookup::Unknown);
    world.put(pair(OURS, 3), vec![b'x'; 5_000]).await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 3)), Lookup::Unknown);
    world.assert_equal(1_399).await;
}

#[tokio::test]
async fn a_stale_copy_becomes_equal() {
    let (folder, _) = earlier().await;
    let world = World::new(folder.path());
    world.bind(0..400, "earlier").await;
    world.bind(300..350, "later").await;
    world.bind(990..1_200, "later").await;
    world.put(pair(OURS, 5), vec![b'x'; 5_000]).await;
    world.delete(pair("other", 7)).await;
    assert_eq!(world.start().await, Progress::Ready);
    world.assert_equal(2 * 610 - 2).await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 320)), Lookup::Hit(Bytes::from("later320")));
    assert_eq!(world.bindings.lookup(&pair(OURS, 500)), Lookup::Unknown);
}

#[tokio::test]
async fn an_older_or_another_ledger_wins() {
    let (folder, _) = earlier().await;
    let older = World::new(folder.path());
    older.bind(0..10, "earlier").await;
    assert_eq!(older.start().await, Progress::Ready);
    older.assert_equal(20).await;
    drop(older);
    let other = World::new(folder.path());
    other.put(pair("AC00000000000000000000000000000002", 3), "other").await;
    assert_eq!(other.start().await, Progress::Ready);
    other.assert_equal(1).await;
    drop(other);
    let empty = World::new(folder.path());
    assert_eq!(empty.start().await, Progress::Ready);
    empty.assert_equal(0).await;
}

#[tokio::test]
async fn a_damaged_copy_is_built_anew() {
    for damage in 0..6 {
        let (folder, copy) = earlier().await;
        let file = copy.join("db");
        let bytes = fs::read(&file).unwrap();
        match damage {
            0 => fs::remove_dir_all(&copy).unwrap(),
            1 => fs::write(&file, &bytes[..bytes.len() / 3]).unwrap(),
            2 => fs::write(&file, vec![0xA5; bytes.len()]).unwrap(),
            3 => fs::write(copy.join("conf"), b"noise").unwrap(),
            4 => {
                let noisy: Vec<u8> = bytes
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| if at % 1_021 == 7 { !byte } else { *byte })
                    .collect();
                fs::write(&file, noisy).unwrap();
            }
            _ => {
                fs::remove_dir_all(&copy).unwrap();
                fs::write(&copy, b"a file where the folder was").unwrap();
            }
        }
        let world = World::new(folder.path());
        world.bind(0..900, "earlier").await;
        assert_eq!(world.start().await, Progress::Ready, "{damage}");
        world.assert_equal(1_800).await;
        world.put(pair(OURS, 5), "goes on").await;
        world.assert_equal(1_800).await;
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_leaves_the_ledger_to_answer() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("bindings");
    fs::write(&blocked, b"").unwrap();
    let world = World::new(&blocked);
    world.bind(0..10, "CH").await;
    assert_eq!(world.start().await, Progress::Off);
    world.put(pair(OURS, 3), "later").await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 3)), Lookup::Unknown);
    assert_eq!(world.bindings.count(), None);
}

#[tokio::test]
async fn a_failure_while_serving_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path());
    world.bind(0..500, "CH").await;
    assert_eq!(world.start().await, Progress::Ready);
    let break_next = |world: &World| {
        let copy = world.bindings.table.served().unwrap();
        copy.break_next.store(true, Ordering::SeqCst);
    };
    break_next(&world);
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Unknown);
    assert_eq!(world.settle().await, Progress::Ready);
    world.assert_equal(1_000).await;
    break_next(&world);
    world.put(pair(OURS, 1), "written while it broke").await;
    assert_eq!(world.settle().await, Progress::Ready);
    world.assert_equal(1_000).await;
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Hit(Bytes::from("written while it broke")));
    let mut builds = 3;
    while world.settle().await == Progress::Ready {
        break_next(&world);
        assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Unknown);
        builds += 1;
        assert!(builds < 20, "never gives up");
    }
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Unknown);
}

#[test]
fn a_table_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Bindings>();
    shared::<Store>();
}

/// An engine that commits a batch of a script after every page that is read from it.
struct Interfering {
    inner: Arc<Memory>,
    script: Arc<Mutex<Vec<Batch>>>,
}

struct InterferingView {
    view: Box<dyn Snapshot>,
    inner: Arc<Memory>,
    script: Arc<Mutex<Vec<Batch>>>,
}

impl Engine for Interfering {
    fn snapshot(&self) -> Box<dyn Snapshot> {
        let (inner, script) = (Arc::clone(&self.inner), Arc::clone(&self.script));
        Box::new(InterferingView { view: self.inner.snapshot(), inner, script })
    }
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, CommitError>> {
        self.inner.commit(batch)
    }
    fn published(&self) -> Revision {
        self.inner.published()
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
}

impl Snapshot for InterferingView {
    fn number(&self) -> Revision {
        self.view.number()
    }
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Row>, ReadError>> {
        self.view.get(key)
    }
    fn scan(&self, range: Range, limit: usize) -> BoxFuture<'_, Result<Vec<(Key, Row)>, ReadError>> {
        Box::pin(async move {
            let page = self.view.scan(range, limit).await;
            let batch = self.script.lock().unwrap().pop();
            if let Some(batch) = batch {
                self.inner.commit(batch).await.unwrap();
            }
            page
        })
    }
}

#[tokio::test]
async fn changes_during_the_merge_are_neither_lost_nor_reverted() {
    let (folder, _) = earlier().await;
    let bindings = Bindings::new(folder.path());
    let inner = Arc::new(Memory::followed(1, vec![bindings.follower()]));
    let filling: Arc<dyn Engine> = Arc::<Memory>::clone(&inner);
    for start in (500..3_000).step_by(100) {
        let mut batch = Batch::default();
        for n in start..start + 100 {
            batch.put(pair(OURS, n), format!("ledger{n}"));
        }
        filling.commit(batch).await.unwrap();
    }
    // Each batch touches rows all over: behind the walk, in the page at hand and ahead of it.
    let mut script = Vec::new();
    for round in 0..9 {
        let mut batch = Batch::default();
        for n in (0..3_100).step_by(53).map(|n| n + round) {
            match n % 3 {
                0 => batch.put(pair(OURS, n), format!("round{round}")),
                1 => batch.delete(pair(OURS, n)),
                _ => batch.put(pair("other", n), format!("round{round}")),
            };
        }
        script.push(batch);
    }
    let script = Arc::new(Mutex::new(script));
    let engine: Arc<dyn Engine> = Arc::new(Interfering { inner, script: Arc::clone(&script) });
    bindings.start(&engine);
    let mut world = World { bindings, engine };
    assert_eq!(world.settle().await, Progress::Ready);
    // Looked at through the engine below, which nothing interferes with.
    world.engine = filling;
    assert!(script.lock().unwrap().len() < 3, "the writes came during the merge");
    assert_eq!(verify(&world.bindings.table, world.engine.as_ref()).await, []);
}

/// Small by default; `TRUNKLINE_BINDINGS=1000000` measures what the design promises.
#[tokio::test]
async fn the_copy_is_rebuilt_from_the_embedded_ledger() {
    let rows =
        std::env::var("TRUNKLINE_BINDINGS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(2_000usize);
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::new(&folder.path().join("bindings"));
    let settings = StoreSettings {
        path: folder.path().to_owned(),
        durability: Durability::Process,
        keep_free: 0,
        cache_bytes: 64 << 20,
    };
    let store = Store::open(settings, 1, vec![bindings.follower()]).unwrap();
    let engine = store.engine();
    for start in (0..rows).step_by(200) {
        let mut batch = Batch::default();
        for n in start..rows.min(start + 200) {
            // Spread over the key space, as addresses are.
            batch.put(pair(OURS, n.wrapping_mul(7_919) % 10_000_000), "CH00000000000000000000000000000001");
        }
        engine.commit(batch).await.unwrap();
    }
    let started = std::time::Instant::now();
    bindings.start(&engine);
    let world = World { bindings, engine };
    assert_eq!(world.settle().await, Progress::Ready);
    let took = started.elapsed();
    println!("{rows} bindings copied in {took:?}");
    world.assert_equal(rows as u64).await;
    assert!(took.as_secs() < 30 || rows <= 2_000, "{took:?}");
    let World { bindings, engine } = world;
    drop(bindings);
    let started = std::time::Instant::now();
    let again = Bindings::new(&folder.path().join("bindings"));
    again.start(&engine);
    let world = World { bindings: again, engine };
    assert_eq!(world.settle().await, Progress::Ready);
    println!("{rows} bindings compared in {:?}", started.elapsed());
    world.assert_equal(rows as u64).await;
}

fn copies_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_good_copy_is_used_again_and_a_failed_one_is_removed() {
    let (folder, _) = earlier().await;
    let world = World::new(folder.path());
    world.bind(0..1_000, "earlier").await;
    assert_eq!(world.start().await, Progress::Ready);
    world.assert_equal(2_000).await;
    assert_eq!(copies_in(folder.path()), ["1"]);
    world.bindings.table.served().unwrap().break_next.store(true, Ordering::SeqCst);
    assert_eq!(world.bindings.lookup(&pair(OURS, 1)), Lookup::Unknown);
    assert_eq!(world.settle().await, Progress::Ready);
    world.assert_equal(2_000).await;
    assert_eq!(copies_in(folder.path()), ["2"]);
}

#[tokio::test]
async fn nothing_is_answered_once_it_is_dropped() {
    let (folder, _) = earlier().await;
    let World { bindings, engine } = World::new(folder.path());
    bindings.start(&engine);
    let table = Arc::clone(&bindings.table);
    table.progress().wait_for(|progress| *progress == Progress::Ready).await.unwrap();
    drop(bindings);
    assert!(table.served().is_none());
    assert_eq!(*table.progress().borrow(), Progress::Off);
}

#[test]
fn what_is_closed_stays_closed_and_a_copy_that_is_not_in_use_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (events, _inbox) = mpsc::channel();
    let table = Table::new(folder.path().to_owned(), events);
    let [used, other] =
        ["used", "other"].map(|name| Arc::new(copy::Copy::open(&folder.path().join(name)).unwrap()));
    let file = folder.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    let broken = copy::Copy::open(&file).err().unwrap();
    assert!(table.begin_merge(&used).is_ok() && table.end_merge().is_ok());
    table.give_up(&other, &broken);
    assert!(table.served().is_some_and(|served| Arc::ptr_eq(&served, &used)));
    table.give_up(&used, &broken);
    assert!(table.served().is_none());
    assert!(table.begin_merge(&used).is_ok());
    table.turn_off("for a test");
    assert!(table.merge_row(b"key", None).is_err() && table.end_merge().is_err());
    table.close();
    table.turn_off("for a test");
    assert!(table.begin_merge(&used).is_err());
}
