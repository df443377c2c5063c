//! Records to bytes and back.

use std::fmt::Debug;
use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use trunkline::ledger::tables;
use trunkline::model::{Compact, Dispatch, Json, Mint, ProviderIdRow, ReceiptRecord, ReceiptSid};
use trunkline::relay::decide::{self, Context};
use trunkline::work::Job;
use trunkline_adapter::Timestamp;

use super::scene::{self, Always};

pub fn records(c: &mut Criterion) {
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
    let conversation = scene::conversation(&mint, 2);
    let draft = scene::draft(&conversation);
    let (_, appended) =
        decide::messages::append(&context, &conversation, vec![draft]).expect("an open conversation");
    let (index, message) = &appended[0];
    compact(c, "message", message);
    compact(c, "head", &conversation.head);
    let member = &conversation.members[1].record;
    let dispatch = Dispatch::Message {
        conversation: conversation.record.sid.clone(),
        index: *index,
        participant: member.sid.clone(),
        receipt: ReceiptSid::new(&mint),
        sent: Vec::new(),
        begun: false,
    };
    let job = Job {
        since: Timestamp(1),
        attempts: 0,
        not_before: Timestamp(0),
        payload: dispatch.encode().to_vec(),
        trace: Vec::new(),
    };
    compact(c, "queue row", &job);
    let id = ProviderIdRow::Message {
        conversation: conversation.record.sid.clone(),
        index: *index,
        subject: trunkline::model::Subject::Inbound,
    };
    compact(c, "provider id", &id);
    json(c, "participant", member);
    compact(c, "receipt", &ReceiptRecord::new(ReceiptSid::new(&mint), member.sid.clone(), Timestamp(0)));
    let sid = conversation.record.sid.as_str();
    c.bench_function("encode/key of a message", |b| {
        b.iter(|| tables::message(account.as_str(), black_box(sid), 7))
    });
}

fn compact<T: Compact + PartialEq + Debug>(c: &mut Criterion, name: &str, record: &T) {
    let encoded: Bytes = record.encode();
    assert_eq!(T::decode(&encoded).as_ref().ok(), Some(record));
    c.bench_function(&format!("encode/{name}"), |b| b.iter(|| black_box(record).encode()));
    c.bench_function(&format!("decode/{name}"), |b| b.iter(|| T::decode(black_box(&encoded))));
}

fn json<T: Json + PartialEq + Debug>(c: &mut Criterion, name: &str, record: &T) {
    let encoded: Bytes = record.encode();
    assert_eq!(T::decode(&encoded).as_ref().ok(), Some(record));
    c.bench_function(&format!("encode/{name}"), |b| b.iter(|| black_box(record).encode()));
    c.bench_function(&format!("decode/{name}"), |b| b.iter(|| T::decode(black_box(&encoded))));
}
