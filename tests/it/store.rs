//! The store from outside: dump and restore, stores that must not be served, and a disk that is nearly full.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use futures_util::future::join_all;

use crate::harness::daemon::executable;
use crate::harness::{World, blocking, readings};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

fn restore(store: &Path, dump: &str) -> Output {
    blocking(|| {
        let mut child = Command::new(executable())
            .args(["restore", "--store", &store.display().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Refused before it is read to the end, perhaps.
        let _ = child.stdin.take().unwrap().write_all(dump.as_bytes());
        child.wait_with_output().unwrap()
    })
}

/// The lines of a dump that are the store's content: its header names the store.
fn content(dump: &str) -> Vec<&str> {
    dump.lines().skip(1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dumped_and_restored_is_the_same_and_goes_on() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.write(&world.sms(ANN), "kept, with \u{1f4be} and\nlines").await.expect(200);
    world.write(&world.sms(ANN), "STOP").await.expect(200);
    world.sink.taken(5).await;
    world.quiet().await;
    let running = world.daemon.dump_text();
    world.daemon.sigterm().await;
    let resting = world.daemon.dump_text();
    assert_eq!(content(&running), content(&resting), "the daemon's dump and the store's");

    let refused = restore(&world.daemon.store, &resting);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("already holds a store") && said.lines().count() == 1, "{said}");

    let fresh = world.folder.path().join("fresh");
    for (name, damaged) in [
        ("cut off", resting[..resting.len() - 40].to_owned()),
        ("not a dump", "{\"hello\":1}\n".to_owned()),
        ("empty", String::new()),
        ("a line of noise", resting.replacen("\"payload\":", "\"payloax\":", 1)),
    ] {
        let refused = restore(&fresh, &damaged);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert_eq!(String::from_utf8(refused.stderr).unwrap().lines().count(), 1, "{name}");
    }
    let restored = restore(&fresh, &resting);
    assert!(restored.status.success(), "{restored:?}");
    world.daemon.store.clone_from(&fresh);
    assert_eq!(content(&world.daemon.dump_text()), content(&resting));

    world.edit(|config| config.store_path.clone_from(&fresh));
    world.up().await;
    let messages = world.client.messages(&talk.sid).await;
    assert_eq!(messages[0]["body"], "kept, with \u{1f4be} and\nlines");
    world.write(&world.whatsapp(BOB), "after the restore").await.expect(200);
    let heard = |sent: &[crate::harness::Sent]| {
        sent.iter().any(|sent| sent.to() == CAT && sent.text() == "after the restore")
    };
    world.sink.wait("a message after the restore", heard).await;
    assert!(
        world.sink.taken_for(ANN).iter().all(|sent| sent.text() != "after the restore"),
        "opted out as before"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_under_load_is_whole_and_has_what_was_acknowledged() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    for number in 0..30 {
        world.client.say(&talk.sid, "desk", &format!("before {number}")).await.expect(201);
    }
    let writing = join_all((0..60).map(|number| {
        let (client, sid) = (world.client.clone(), talk.sid.clone());
        async move { client.say(&sid, "desk", &format!("during {number}")).await.expect(201) }
    }));
    let (_, dumps) = tokio::join!(writing, async {
        let mut dumps = Vec::new();
        for _ in 0..3 {
            dumps.push(world.daemon.dump_text());
            tokio::task::yield_now().await;
        }
        dumps
    });
    for dump in dumps {
        let rows = readings::rows(&dump);
        let messages = rows.iter().filter(|row| row.space == "Message").count();
        let next = rows.iter().filter(|row| row.space == "Head").map(next_index).sum::<u64>();
        assert!(messages >= 30, "{messages}");
        assert_eq!(messages as u64, next, "one moment, not several");
    }
}

/// How many messages a conversation's head knows of.
fn next_index(head: &readings::Row) -> u64 {
    trunkline::model::Compact::decode(&head.bytes())
        .map(|head: trunkline::model::Head| head.next_index)
        .unwrap()
}

/// Rewrites both slots of `ledger.high` with another format, checksums included.
fn newer_format(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for slot in [0, 4096] {
        bytes[slot + 8..slot + 12].copy_from_slice(&99_u32.to_be_bytes());
        let sum = ring::digest::digest(&ring::digest::SHA256, &bytes[slot..slot + 44]);
        bytes[slot + 44..slot + 52].copy_from_slice(&sum.as_ref()[..8]);
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_are_not_served_say_why_in_one_sentence() {
    let mut other = World::start().await;
    other.daemon.sigterm().await;
    let mut world = World::start().await;
    world.three(ANN, BOB, CAT).await;

    // In use.
    let socket = world.folder.path().join("second.sock");
    let second = world.folder.path().join("second.toml");
    let mut config = world.config.clone();
    config.admin_socket = socket;
    config.write(&second);
    let output = world.daemon.cli(&["serve", "--config", &second.display().to_string()]);
    let refused = |output: &Output, words: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(last.contains(words), "{words}: {said}");
        assert!(!said.contains("panicked") && !said.contains("stack backtrace"), "{said}");
    };
    refused(&output, "in use by another process");

    world.daemon.sigterm().await;
    let store = world.daemon.store.clone();
    let high = store.join("ledger.high");
    let good = std::fs::read(&high).unwrap();
    let serve = |world: &World| {
        let path = world.daemon.config_path.display().to_string();
        world.daemon.cli(&["serve", "--config", &path])
    };
    newer_format(&high);
    refused(&serve(&world), "use a newer release");
    std::fs::copy(other.daemon.store.join("ledger.high"), &high).unwrap();
    refused(&serve(&world), "copied from another store");
    std::fs::remove_file(&high).unwrap();
    refused(&serve(&world), "nobody can tell whether the ledger is complete");
    std::fs::write(&high, &good).unwrap();

    let ledger = store.join("ledger");
    let away = store.join("away");
    std::fs::rename(&ledger, &away).unwrap();
    refused(&serve(&world), "writes are lost");
    std::fs::rename(&away, &ledger).unwrap();
    world.up().await;
    assert_eq!(world.write(&world.sms(ANN), "as if nothing had been").await.status, 200);
    world.sink.taken(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_damaged_store_is_saved_and_served_again() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.write(&world.sms(ANN), "saved").await.expect(200);
    world.sink.taken(2).await;
    world.quiet().await;
    let store = world.daemon.store.display().to_string();
    let running = world.daemon.cli(&["dump", "--damaged", "--store", &store]);
    assert_eq!(running.status.code(), Some(1), "not while somebody writes to it");
    world.daemon.sigterm().await;
    let whole = world.daemon.dump_text();
    std::fs::remove_file(world.daemon.store.join("ledger.high")).unwrap();
    let refused = world.daemon.cli(&["dump", "--store", &store]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("dump --damaged"), "{refused:?}");
    let salvaged = world.daemon.cli(&["dump", "--damaged", "--store", &store]);
    assert!(salvaged.status.success(), "{salvaged:?}");
    let salvaged = String::from_utf8(salvaged.stdout).unwrap();
    // Read keyspace by keyspace, so in another order.
    let sorted = |dump: &str| {
        let mut rows: Vec<String> = dump.lines().skip(1).map(str::to_owned).collect();
        rows.pop();
        rows.sort_unstable();
        rows
    };
    assert_eq!(sorted(&salvaged), sorted(&whole));

    let fresh = world.folder.path().join("fresh");
    assert!(restore(&fresh, &salvaged).status.success());
    world.edit(|config| config.store_path.clone_from(&fresh));
    world.up().await;
    assert_eq!(world.client.messages(&talk.sid).await[0]["body"], "saved");
    world.write(&world.whatsapp(BOB), "and goes on").await.expect(200);
    let sent = world.sink.taken(4).await;
    assert!(sent[2..].iter().all(|sent| sent.text() == "and goes on"), "nothing is sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_nothing_new_comes_in_and_everything_else_goes_on() {
    let mut world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let doomed = world.client.conversation(&[("+15557770009", crate::harness::SMS)]).await;
    world.sink.away(true);
    world.write(&world.sms(ANN), "waits").await.expect(200);
    world.edit(|config| config.store = vec!["keep_free = \"1000000GiB\"".to_owned()]);
    world.restart().await;
    assert_eq!(world.daemon.admin("/healthz").await.0, 200);
    let (status, reasons) = world.daemon.admin("/readyz").await;
    assert_eq!(status, 503);
    assert!(reasons.contains("disk"), "{reasons}");

    let busy = [
        world.write(&world.sms(ANN), "refused").await,
        world.write(&world.whatsapp(BOB), "refused").await,
        world.write(&world.messenger(CAT), "refused").await,
        world.client.say(&talk.sid, "desk", "refused").await,
    ];
    for answer in &busy {
        assert_eq!(answer.status, 503, "{answer:?}");
        let after = answer.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
        assert!(after > 0);
    }
    // What waited still goes out, what is there can be read, changed and deleted.
    world.sink.away(false);
    let sent = world.sink.taken(2).await;
    assert!(sent.iter().all(|sent| sent.text() == "waits"));
    assert_eq!(world.client.messages(&talk.sid).await.len(), 1);
    world
        .client
        .post(&format!("/v1/Conversations/{}", talk.sid), &[("FriendlyName", "renamed")])
        .await
        .expect(200);
    world.client.delete(&format!("/v1/Conversations/{}", doomed.sid)).await.expect(204);
    world.client.get(&format!("/v1/Conversations/{}", doomed.sid)).await.expect(404);

    world.edit(|config| config.store = vec!["keep_free = \"1MiB\"".to_owned()]);
    world.restart().await;
    assert_eq!(world.daemon.admin("/readyz").await.0, 200);
    world.write(&world.sms(ANN), "taken again").await.expect(200);
    assert_eq!(world.client.messages(&talk.sid).await.len(), 2, "nothing that was refused is there");
}
