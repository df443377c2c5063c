//! Images served by the real daemon: providers repeat everything they ever sent, and what is owed goes out.

use std::collections::{BTreeMap, BTreeSet};

use super::cuts::{Cut, Verdict};
use super::disk::Disk;
use super::journal::{Event, Journal};
use super::judge::{self, Known};
use super::layer::scratch;
use super::load::Record;
use crate::harness::World;

/// Repeats with their cause, over all images.
#[derive(Default)]
pub struct Repeats {
    /// Sent before the cut, while the outcome was not on the disk yet.
    pub outcome_unsynced: usize,
}

/// Who a message had been sent to before the cut: pairs of its number and the digits of the address.
fn sent_before(journal: &Journal, moment: usize, everybody: &[String]) -> BTreeSet<(u64, String)> {
    let mut sent = BTreeSet::new();
    for event in &journal.events[..moment] {
        let Event::Send { bytes, .. } = event else { continue };
        let bytes = journal.bytes(bytes);
        if !bytes.starts_with(b"POST ") {
            continue;
        }
        let Some(serial) = (0..bytes.len()).find_map(|at| judge::serial(&bytes[at..])) else { continue };
        for digits in everybody {
            if bytes.windows(digits.len()).any(|window| window == digits.as_bytes()) {
                sent.insert((serial, digits.clone()));
            }
        }
    }
    sent
}

fn digits(address: &str) -> String {
    address.chars().filter(char::is_ascii_digit).collect()
}

/// Serves one image and gives what is wrong with it.
pub async fn serve(
    disk: &Disk,
    cut: &Cut,
    journal: &Journal,
    record: &Record,
    known: &Known,
    repeats: &mut Repeats,
) -> Verdict {
    let folder = scratch();
    let (store, twin) = (folder.path().join("store"), folder.path().join("twin"));
    for place in [&store, &twin] {
        std::fs::create_dir(place).unwrap();
        cut.image(disk, place);
    }
    let mut verdict = Verdict {
        acknowledged: known.messages(cut.moment).count(),
        seen: known.seen(cut.moment),
        ..Verdict::default()
    };
    let before = match judge::open(&twin) {
        Ok(rows) => judge::read(&rows),
        Err(reason) => return Verdict { refused: vec![reason], ..verdict },
    };
    let mut world = World::prepare(|config| {
        config.store_path.clone_from(&store);
        config.store = vec!["keep_free = \"1MiB\"".to_owned()];
    })
    .await;
    world.up().await;
    world.daemon.log().line("the binding table equals the ledger").await;
    let bindings = world.daemon.metrics().await.value("trunkline_bindings", &[]);
    if bindings != before.bindings as f64 {
        verdict.torn.push(format!("{bindings} of {} bindings are in the copy", before.bindings));
    }
    for (serial, talk) in &record.webhooks {
        let answer = world.webhook(record.talks[*talk].webhook(*serial)).await;
        // Where the conversation itself is not there yet, the message is nobody's.
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    world.quiet().await;
    let sent = world.sink.sent();
    let status = world.daemon.sigterm().await;
    assert!(status.success(), "{status}");
    let after = match judge::open(&store) {
        Ok(rows) => judge::read(&rows),
        Err(reason) => return Verdict { refused: vec![reason], ..verdict },
    };
    verdict.torn.extend(after.torn.iter().cloned());
    verdict.doubled.extend(after.doubled());
    verdict.lost.extend(after.lost(known, cut.moment));
    if !after.queued.is_empty() {
        verdict.lost.push(format!("{} sends are still queued", after.queued.len()));
    }
    for (serial, talk) in &record.webhooks {
        let talk = &record.talks[*talk];
        // Before the last one had joined, a message could be nobody's.
        let complete = after.members.get(&talk.sid) == Some(&talk.phones.len());
        if complete && !after.messages.contains_key(serial) {
            verdict.lost.push(format!("webhook {serial} was answered with 200 and is not there"));
        }
    }

    // What is sent again must have been without a written outcome.
    let everybody: Vec<String> =
        record.talks.iter().flat_map(|talk| &talk.phones).map(|phone| digits(&phone.from)).collect();
    let earlier = sent_before(journal, cut.moment, &everybody);
    let mut now: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for sent in sent.iter().filter(|sent| sent.taken()) {
        if let Some(serial) = judge::serial(sent.text().as_bytes()) {
            *now.entry((serial, digits(sent.to()))).or_default() += 1;
        }
    }
    for ((serial, to), count) in now {
        if count > 1 {
            verdict.doubled.push(format!("message {serial} was sent {count} times to {to} after the cut"));
        }
        if !earlier.contains(&(serial, to.clone())) {
            continue;
        }
        let queued = before.messages.get(&serial).into_iter().flatten().flat_map(|kept| &kept.receipts);
        if queued.clone().any(|receipt| before.queued.contains(receipt)) {
            repeats.outcome_unsynced += 1;
        } else {
            verdict.doubled.push(format!("message {serial} was sent to {to} again without a cause"));
        }
    }
    verdict
}
