//! A store under a heavy load of large rows, so that what happens seldom happens: memtables are flushed, journals rotate,
//! tables are compacted. Runs as a process of its own, on the layer's disk, and says over TCP what was answered.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use bytes::Bytes;
use futures_util::future::join_all;
use trunkline::ledger::engine::Durability;
use trunkline::ledger::engine::{Batch, Row};
use trunkline::ledger::key::{Key, Space};
use trunkline::ledger::store::{Store, StoreSettings};

use super::harness::dice::Dice;
use super::layer::Layer;
use crate::harness::provider::now;

/// Large rows of one batch: about 900 KB together.
const ROWS: u64 = 30;
/// A queue row is removed so many batches later.
const LATER: u64 = 40;
/// Batches that are under way together.
const TOGETHER: u64 = 3;

fn payload(batch: u64, row: u64) -> Bytes {
    let mut dice = Dice(batch * ROWS + row);
    let length = 29_000 + (dice.roll() % 1_000) as usize;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.roll().to_le_bytes());
    }
    bytes.into()
}

fn large(batch: u64, row: u64) -> Key {
    // Rows of the same conversations again and again, so that tables overlap and are compacted.
    Key::new(
        "AC1",
        &format!("CH{}", row % 7),
        Space::Message,
        &[batch.to_be_bytes(), row.to_be_bytes()].concat(),
    )
}

fn queued(batch: u64) -> Key {
    Key::new("AC1", "lane", Space::Queue, &batch.to_be_bytes())
}

fn named(batch: u64) -> Key {
    Key::new("AC1", "", Space::ProviderId, &Dice(batch).roll().to_be_bytes())
}

/// The process: `power drive STORE PORT BATCHES`.
pub fn process(arguments: &[String]) {
    let [store, port, batches] = arguments else { panic!("drive STORE PORT BATCHES") };
    let mut observer = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let settings = StoreSettings {
        path: store.into(),
        durability: Durability::Power,
        keep_free: 0,
        cache_bytes: 8 << 20,
    };
    let store = Store::open(settings, u64::try_from(now().0).unwrap(), Vec::new()).unwrap();
    let engine = store.engine();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches: u64 = batches.parse().unwrap();
    for first in (1..=batches).step_by(TOGETHER as usize) {
        let submitted = (first..first + TOGETHER).map(|number| {
            let mut batch = Batch::default();
            for row in 0..ROWS {
                batch.put(large(number, row), payload(number, row));
            }
            batch.put(queued(number), "waits").put(named(number), "known");
            if number > LATER {
                batch.delete(queued(number - LATER));
            }
            engine.commit(batch)
        });
        for (number, outcome) in (first..).zip(runtime.block_on(join_all(submitted))) {
            outcome.unwrap();
            observer.write_all(format!("t{number:06}x\n").as_bytes()).unwrap();
        }
    }
}

/// Runs the process to its end.
pub fn run(layer: &Layer, batches: u64) {
    let observer = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = observer.local_addr().unwrap().port();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["drive", &layer.store.display().to_string(), &port.to_string(), &batches.to_string()])
        .envs(layer.environment())
        .spawn()
        .unwrap();
    let (mut stream, _) = observer.accept().unwrap();
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    assert!(child.wait().unwrap().success(), "the driven store failed");
}

/// Batches that are there, and what is only there by halves.
pub fn read(rows: &[(Key, Row)]) -> (Vec<u64>, Vec<String>) {
    let mut large_rows: BTreeMap<u64, u64> = BTreeMap::new();
    let by_key: HashMap<&[u8], &Row> = rows.iter().map(|(key, row)| (key.as_bytes(), row)).collect();
    let mut torn = Vec::new();
    for (key, row) in rows.iter().filter(|(key, _)| key.space() == Some(Space::Message)) {
        let (batch, place) = key.rest().unwrap().split_at(8);
        let (batch, place) =
            (u64::from_be_bytes(batch.try_into().unwrap()), u64::from_be_bytes(place.try_into().unwrap()));
        *large_rows.entry(batch).or_default() += 1;
        if row.payload != payload(batch, place) {
            torn.push(format!("row {place} of batch {batch} has another payload"));
        }
    }
    let newest = large_rows.keys().copied().max().unwrap_or(0);
    for batch in 1..=newest {
        let count = large_rows.get(&batch).copied().unwrap_or(0);
        let there = |key: Key| by_key.contains_key(key.as_bytes());
        let removed = large_rows.contains_key(&(batch + LATER));
        let whole = count == ROWS && there(named(batch)) && there(queued(batch)) != removed;
        let none = count == 0 && !there(named(batch)) && !there(queued(batch));
        if !whole && !none {
            torn.push(format!("batch {batch} has {count} of {ROWS} rows"));
        }
    }
    (large_rows.into_keys().collect(), torn)
}
