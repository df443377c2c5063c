//! Groups of 64 decisions to the ledger: in memory, and on disk with and without the sync. The time is that of the group.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use futures_util::future::join_all;
use trunkline::ledger::engine::Durability;
use trunkline::ledger::engine::{Batch, Engine};
use trunkline::ledger::memory::Memory;
use trunkline::ledger::store::{Store, StoreSettings};
use trunkline::ledger::tables;
use trunkline::model::{ConversationSid, Mint};
use trunkline::relay::decide::{self, Context};
use trunkline_adapter::Timestamp;

use super::scene::{self, Always};

const GROUP: usize = 64;

pub fn groups(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    // A sync takes what the disk takes; its spread says more than many samples.
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mint = Mint::seeded(1);
    let mut measure = |name: &str, engine: Arc<dyn Engine>| {
        group.bench_function(format!("64 messages 1:1, {name}"), |b| {
            b.iter_batched(
                || batches(&mint),
                |batches| {
                    let committed = batches.into_iter().map(|batch| engine.commit(batch));
                    let committed = runtime.block_on(join_all(committed));
                    assert!(committed.iter().all(Result::is_ok));
                },
                BatchSize::PerIteration,
            );
        });
    };
    measure("memory", Arc::new(Memory::new(1)));
    for (name, durability) in [("fjall, process", Durability::Process), ("fjall, power", Durability::Power)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        std::fs::create_dir(&path).expect("a folder");
        let settings = StoreSettings { path, durability, keep_free: 0, cache_bytes: 32 << 20 };
        let store = Store::open(settings, 1, Vec::new()).expect("a store");
        measure(name, store.engine());
    }
    group.finish();
}

/// What 64 conversations decide about a message each, with the checks left out that only a living head passes.
fn batches(mint: &Mint) -> Vec<Batch> {
    let account = scene::account();
    let context = Context {
        account: &account,
        now: Timestamp(0),
        mint,
        births: &Always,
        again: false,
        most: trunkline::relay::decide::Roster::default(),
    };
    let one = |_| {
        let conversation = scene::conversation(mint, 2);
        let draft = scene::draft(&conversation);
        let (decision, _) =
            decide::messages::append(&context, &conversation, vec![draft]).expect("an open conversation");
        let mut batch = decision.batch;
        batch.checks.clear();
        // In their place as many looks: at rows that are not there.
        batch.absent(tables::head(account.as_str(), ConversationSid::new(mint).as_str()));
        batch.absent(tables::head(account.as_str(), ConversationSid::new(mint).as_str()));
        batch
    };
    (0..GROUP).map(one).collect()
}
