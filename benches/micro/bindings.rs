//! Whose conversation is this pair: the binding table's copy among a hundred thousand bindings, and the ledger instead.

use std::sync::Arc;

use criterion::Criterion;
use trunkline::bindings::{Bindings, Lookup, Progress};
use trunkline::ledger::engine::{Batch, Engine};
use trunkline::ledger::key::Key;
use trunkline::ledger::memory::Memory;
use trunkline::ledger::tables;
use trunkline::model::{Binding, ConversationSid, Json, Mint, ParticipantSid, ServiceSid};

use super::scene;

const BINDINGS: u32 = 100_000;
/// Writes in one commit.
const BATCH: u32 = 200;

pub fn look_up(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = Arc::new(Memory::new(1));
    let engine: Arc<dyn Engine> = memory;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mint = Mint::seeded(1);
    let row = Binding {
        service: ServiceSid::new(&mint),
        conversation: ConversationSid::new(&mint),
        participant: ParticipantSid::new(&mint),
    };
    let payload = Json::encode(&row);
    for first in (0..BINDINGS).step_by(BATCH as usize) {
        let mut batch = Batch::default();
        for person in first..first + BATCH {
            batch.put(key(person), payload.clone());
        }
        runtime.block_on(engine.commit(batch)).expect("a commit in memory");
    }
    let bindings = Bindings::new(folder.path());
    bindings.start(&engine);
    runtime.block_on(async {
        let mut progress = bindings.progress();
        progress.wait_for(|progress| *progress == Progress::Ready).await.expect("the table is there");
    });
    assert_eq!(bindings.lookup(&key(77_777)), Lookup::Hit(payload));
    assert_eq!(bindings.lookup(&key(BINDINGS)), Lookup::Unknown);
    let mut person = 0;
    let mut next = move || {
        // A stride that meets every binding, so that no page stays warm by chance.
        person = (person + 61_803) % BINDINGS;
        key(person)
    };
    c.bench_function("bindings/hit among 100,000", |b| {
        b.iter_batched(&mut next, |key| bindings.lookup(&key), criterion::BatchSize::SmallInput)
    });
    let nobody = key(BINDINGS);
    c.bench_function("bindings/nobody's", |b| b.iter(|| bindings.lookup(&nobody)));
    c.bench_function("bindings/asked of a ledger in memory", |b| {
        b.iter_batched(
            &mut next,
            |key| runtime.block_on(async { engine.snapshot().get(&key).await }),
            criterion::BatchSize::SmallInput,
        )
    });
}

fn key(person: u32) -> Key {
    let proxy = scene::address("+15550001111");
    tables::binding(scene::account().as_str(), &proxy, &scene::address(&format!("+1303{person:07}")))
}
