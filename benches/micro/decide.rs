//! The decision: from a conversation and a message to one batch.

use criterion::{BatchSize, Criterion};
use trunkline::model::Mint;
use trunkline::relay::decide::{self, Context};
use trunkline_adapter::Timestamp;

use super::scene::{self, Always};

pub fn append(c: &mut Criterion) {
    let mint = Mint::seeded(1);
    let account = scene::account();
    let context = Context {
        account: &account,
        now: Timestamp(0),
        mint: &mint,
        births: &Always,
        again: false,
        most: trunkline::relay::decide::Roster::default(),
    };
    for (name, people) in [("1:1", 2), ("1:10", 11), ("1:49", 50)] {
        let conversation = scene::conversation(&mint, people);
        let draft = scene::draft(&conversation);
        c.bench_function(&format!("decide/{name}"), |b| {
            b.iter_batched(
                || vec![draft.clone()],
                |drafts| {
                    decide::messages::append(&context, &conversation, drafts)
                        .map(|(decision, _)| decision.batch)
                },
                BatchSize::SmallInput,
            );
        });
    }
}
