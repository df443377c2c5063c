//! A store's life: creating, opening again, refusing, dumping and restoring.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use futures_util::FutureExt;

use super::damaged::dump_damaged;
use super::dump::dump;
use super::engine::Durability;
use super::engine::{Batch, CommitError, Engine, Follower, Row, Write};
use super::key::{Key, Range, Space};
use super::restore::{RestoreError, restore};
use super::store::{OpenError, Store, StoreSettings};

fn settings(path: &Path) -> StoreSettings {
    StoreSettings { path: path.to_owned(), durability: Durability::Power, keep_free: 0, cache_bytes: 1 << 20 }
}

fn open(path: &Path, now: u64) -> Result<Store, OpenError> {
    Store::open(settings(path), now, Vec::new())
}

fn key(rest: &str) -> Key {
    Key::new("A", "", Space::Service, rest.as_bytes())
}

async fn put(store: &Store, rest: &str, payload: impl Into<bytes::Bytes>) -> u64 {
    let mut batch = Batch::default();
    batch.put(key(rest), payload);
    store.engine().commit(batch).await.unwrap().last
}

async fn rows(store: &Store) -> Vec<(Key, Row)> {
    store.engine().snapshot().scan(Range::all(), usize::MAX).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn numbers_go_on_after_the_clock_went_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 5_000).unwrap();
    let incarnation = store.incarnation();
    assert_eq!(put(&store, "a", "1").await, 5_000);
    drop(store);
    let store = open(folder.path(), 10).unwrap();
    assert_eq!((store.incarnation(), store.engine().published()), (incarnation, 5_000));
    assert_eq!(put(&store, "b", "2").await, 5_001);
    drop(store);
    let store = open(folder.path(), 9_000).unwrap();
    assert_eq!(store.engine().published(), 5_001);
    assert_eq!(put(&store, "c", "3").await, 9_000);
    assert!(matches!(open(folder.path(), 1), Err(OpenError::InUse { .. })));
    drop(store);
    assert!(matches!(open(folder.path(), 1 << 53), Err(OpenError::Clock { .. })));
}

#[tokio::test]
async fn a_ledger_that_lost_writes_is_refused_and_can_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (path, earlier) = (folder.path().join("store"), folder.path().join("earlier"));
    let store = open(&path, 100).unwrap();
    put(&store, "a", "1").await;
    drop(store);
    copy(&path.join("ledger"), &earlier);
    let store = open(&path, 100).unwrap();
    put(&store, "b", "2").await;
    drop(store);
    fs::remove_dir_all(path.join("ledger")).unwrap();
    copy(&earlier, &path.join("ledger"));
    let refused = open(&path, 100).err().unwrap();
    assert!(matches!(refused, OpenError::LostData { ledger: 100, acknowledged: 101 }));
    assert!(refused.to_string().contains("dump --damaged"));
    let mut saved = Vec::new();
    let salvaged = dump_damaged(&path, &mut saved).unwrap();
    assert_eq!((salvaged.rows, salvaged.skipped), (1, 0));
    let anew = folder.path().join("anew");
    restore(&anew, &saved[..], 50).unwrap();
    assert_eq!(rows(&open(&anew, 50).unwrap()).await[0].0, key("a"));
    // A ledger that is gone altogether has lost everything.
    fs::remove_dir_all(path.join("ledger")).unwrap();
    assert!(matches!(open(&path, 1), Err(OpenError::LostData { ledger: 0, acknowledged: 101 })));
}

#[tokio::test]
async fn a_damaged_journal_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).unwrap();
    for n in 0..50 {
        put(&store, &n.to_string(), vec![n; 3_000]).await;
    }
    drop(store);
    let journal = fs::read_dir(folder.path().join("ledger"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .unwrap();
    let file = fs::File::options().write(true).open(journal).unwrap();
    file.write_all_at(&[0xAB; 4_096], 60_000).unwrap();
    // fjall itself reports success: without the mark, the lost half would go unnoticed.
    match open(folder.path(), 100).err().unwrap() {
        OpenError::LostData { ledger, acknowledged: 149 } => assert!((101..149).contains(&ledger)),
        other => panic!("{other}"),
    }
    let mut saved = Vec::new();
    // What lies behind the damage is saved too: it cost the two or three batches that it touched.
    let salvaged = dump_damaged(folder.path(), &mut saved).unwrap();
    assert!(salvaged.skipped == 1 && (46..50).contains(&salvaged.rows), "{salvaged:?}");
}

fn files_under(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn a_damaged_block_costs_its_own_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).unwrap();
    for batch in 0..10_u64 {
        let mut rows = Batch::default();
        for n in 0..100_u64 {
            // Noise, so that the blocks stay as many after compression.
            let noise = ring::digest::digest(&ring::digest::SHA512, &(batch * 100 + n).to_be_bytes());
            rows.put(key(&format!("{batch}-{n:03}")), noise.as_ref().repeat(8));
        }
        store.engine().commit(rows).await.unwrap();
    }
    drop(store);
    let ledger = folder.path().join("ledger");
    let files = super::fjall::Files::open(&ledger, 1 << 20).unwrap();
    files.space(super::key::Keyspace::Rows).rotate_memtable_and_wait().unwrap();
    drop(files);
    let mut found = Vec::new();
    files_under(&ledger, &mut found);
    let table = found
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "tables"))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let (length, file) = (fs::metadata(&table).unwrap().len(), fs::File::options().write(true).open(&table));
    let file = file.unwrap();
    for place in [length / 4, length / 2] {
        file.write_all_at(&[0x5A; 64], place).unwrap();
    }
    let mut saved = Vec::new();
    let salvaged = dump_damaged(folder.path(), &mut saved).unwrap();
    // Two blocks of a few rows each, and what lies between them is found.
    assert!(salvaged.skipped == 2 && (950..1_000).contains(&salvaged.rows), "{salvaged:?}");
    let anew = folder.path().join("anew");
    assert_eq!(restore(&anew, &saved[..], 1).unwrap().rows, salvaged.rows);
}

#[tokio::test]
async fn a_strange_or_missing_mark_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for path in [&one, &two] {
        put(&open(path, 100).unwrap(), "a", "1").await;
    }
    let high = one.join("ledger.high");
    fs::copy(two.join("ledger.high"), &high).unwrap();
    assert!(matches!(open(&one, 1), Err(OpenError::OtherStore { .. })));
    fs::write(&high, b"noise").unwrap();
    assert!(matches!(open(&one, 1), Err(OpenError::NoMark { .. })));
    fs::remove_file(&high).unwrap();
    assert!(matches!(open(&one, 1), Err(OpenError::NoMark { .. })));
    let mut saved = Vec::new();
    assert_eq!(dump_damaged(&one, &mut saved).unwrap().rows, 1);
}

#[tokio::test]
async fn another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).unwrap();
    let incarnation = store.incarnation();
    drop(store);
    let claim = |format| {
        let mark = super::high::Mark { format, incarnation, number: 0 };
        super::high::HighMark::create(&folder.path().join("ledger.high"), mark).unwrap();
        open(folder.path(), 100).err().unwrap()
    };
    assert!(matches!(claim(7), OpenError::NewerFormat { found: 7, known: 2 }));
    let older = claim(1);
    assert!(matches!(older, OpenError::OlderFormat { found: 1, known: 2 }));
    assert!(older.to_string().contains("restore"), "{older}");
}

#[tokio::test]
async fn a_creation_cut_short_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 100).unwrap();
    let incarnation = store.incarnation();
    drop(store);
    // fjall would neither open nor create what is left of this one.
    let ledger = folder.path().join("ledger");
    fs::remove_file(ledger.join("version")).unwrap();
    fs::rename(&ledger, folder.path().join("ledger.beginning")).unwrap();
    let store = open(folder.path(), 100).unwrap();
    assert_eq!(store.incarnation(), incarnation);
    assert_eq!(put(&store, "a", "1").await, 100);
}

#[tokio::test]
async fn a_dump_restores_to_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let store = open(&from, 7_000).unwrap();
    for space in Space::ALL {
        let mut batch = Batch::default();
        for n in 0..20u8 {
            let key = Key::new("AC00000000000000000000000000000001", "CH\u{e9}", space, &[n, 0xFF]);
            let payload = match n % 4 {
                0 => format!("{{\"n\": {n}.0}}").into_bytes(),
                1 => vec![n; 10_000],
                2 => Vec::new(),
                _ => format!("\u{1}[{n}]").into_bytes(),
            };
            batch.put(key, payload);
        }
        store.engine().commit(batch).await.unwrap();
    }
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    let mut first = Vec::new();
    let count = dump(store.engine().as_ref(), store.incarnation(), &mut first).await.unwrap();
    assert_eq!(count, 20 * Space::ALL.len() as u64 + 1);
    let restored = restore(&to, &first[..], 100).unwrap();
    assert_eq!((restored.rows, restored.number), (count, store.engine().published()));
    let again = open(&to, 100).unwrap();
    assert_eq!(rows(&again).await, rows(&store).await);
    assert_ne!(again.incarnation(), store.incarnation());
    assert_eq!(again.incarnation(), restored.incarnation);
    assert_eq!(put(&again, "z", "").await, store.engine().published() + 1);
    assert!(matches!(restore(&from, &first[..], 1), Err(RestoreError::Open(OpenError::InUse { .. }))));
    drop(store);
    assert!(matches!(restore(&from, &first[..], 1), Err(RestoreError::Open(OpenError::NotEmpty { .. }))));
}

#[tokio::test]
async fn a_dump_that_is_not_whole_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("from"), 7_000).unwrap();
    for rest in ["a", "b", "c"] {
        put(&store, rest, "[1]").await;
    }
    let mut whole = Vec::new();
    dump(store.engine().as_ref(), store.incarnation(), &mut whole).await.unwrap();
    let text = String::from_utf8(whole).unwrap();
    let to = folder.path().join("to");
    // Every place in the last line, and some of the others.
    let tail = text.trim_end().rfind('\n').unwrap();
    for end in (0..tail).step_by(61).chain(tail..text.len()) {
        assert!(restore(&to, &text.as_bytes()[..end], 1).is_err(), "cut at {end}");
    }
    let second = text.lines().nth(1).unwrap();
    for broken in [
        text.replacen(&format!("{second}\n"), "", 1),
        text.replacen("\"trunkline_dump\":1", "\"trunkline_dump\":2", 1),
        text.replacen("\"format\":2", "\"format\":3", 1),
        text.replacen("Service", "Nonsense", 1),
        text.replacen("\"created\":7000", "\"created\":9999", 1),
        format!("{text}{second}\n"),
    ] {
        assert_ne!(broken, text);
        assert!(restore(&to, broken.as_bytes(), 1).is_err(), "{broken}");
    }
    assert_eq!(restore(&to, text.as_bytes(), 1).unwrap().rows, 3);
}

/// Counts what it is told, and panics at the second batch.
#[derive(Default)]
struct Nervous {
    told: Mutex<Vec<Write>>,
    calls: AtomicUsize,
}

impl Follower for Nervous {
    fn committed(&self, writes: &[Write]) {
        self.told.lock().unwrap().extend_from_slice(writes);
        assert_ne!(self.calls.fetch_add(1, Ordering::SeqCst), 1, "nervous");
    }
}

#[tokio::test]
async fn a_follower_that_panics_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let follower = Arc::new(Nervous::default());
    let followers: Vec<Arc<dyn Follower>> = vec![Arc::<Nervous>::clone(&follower)];
    let store = Store::open(settings(folder.path()), 1, followers).unwrap();
    for rest in ["a", "b", "c"] {
        put(&store, rest, "x").await;
    }
    let told: Vec<Key> = follower.told.lock().unwrap().iter().map(|write| write.key().clone()).collect();
    assert_eq!(told, ["a", "b", "c"].map(key));
}

/// Notes what is published when it is told.
#[derive(Default)]
struct Reader {
    engine: OnceLock<Weak<dyn Engine>>,
    seen: Mutex<Vec<(u64, usize)>>,
}

impl Follower for Reader {
    fn committed(&self, _: &[Write]) {
        let snapshot = self.engine.get().unwrap().upgrade().unwrap().snapshot();
        let rows = snapshot.scan(Range::all(), 9).now_or_never().unwrap().unwrap().len();
        self.seen.lock().unwrap().push((snapshot.number(), rows));
    }
}

#[tokio::test]
async fn a_follower_finds_what_it_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Arc::new(Reader::default());
    let followers: Vec<Arc<dyn Follower>> = vec![Arc::<Reader>::clone(&reader)];
    let store = Store::open(settings(folder.path()), 1, followers).unwrap();
    assert!(reader.engine.set(Arc::downgrade(&store.engine())).is_ok());
    put(&store, "a", "x").await;
    put(&store, "b", "x").await;
    assert_eq!(*reader.seen.lock().unwrap(), [(1, 1), (2, 2)]);
}

#[tokio::test]
async fn a_store_that_cannot_be_written_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    let on_fatal = Box::new(move |reason| heard.lock().unwrap().push(reason));
    // One number is left below 2^53: the second write finds none.
    let store = Store::open_with(settings(folder.path()), (1 << 53) - 1, Vec::new(), on_fatal).unwrap();
    assert_eq!(put(&store, "a", "1").await, (1 << 53) - 1);
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.put(key("b"), "2");
        assert!(matches!(store.engine().commit(batch).await, Err(CommitError::Fatal(_))));
    }
    assert_eq!(rows(&store).await.len(), 1);
    drop(store);
    assert_eq!(reasons.lock().unwrap().len(), 1);
}
