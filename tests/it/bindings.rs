//! Messaging bindings: one open conversation for a pair, whatever happens at once and whatever happens to the copy in
//! sled that look-ups are answered from.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use trunkline::ledger::key::{Key, Space};
use trunkline::ledger::tables;
use trunkline_adapter::Address;

use crate::harness::config::ACCOUNT;
use crate::harness::daemon::executable;
use crate::harness::{Row, SMS, WHATSAPP, World, blocking};

/// What the log says when the copy is a copy again.
const EQUAL: &str = "the binding table equals the ledger";
/// What it says when there cannot be one.
const OFF: &str = "no copy of the bindings can be kept";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_at_once_gets_the_pair_and_the_others_are_told_who() {
    let world = World::start().await;
    let made = join_all((0..32).map(|_| world.client.conversation(&[]))).await;
    for round in 0..3 {
        let person = format!("whatsapp:+1555888{round:04}");
        let answers =
            join_all(made.iter().map(|talk| world.client.join(&talk.sid, (&person, WHATSAPP)))).await;
        let winners: Vec<usize> = (0..made.len()).filter(|at| answers[*at].status == 201).collect();
        let [winner] = winners[..] else { panic!("{winners:?} of 32 got the pair") };
        let text = format!(
            "A binding for this participant and proxy address already exists in Conversation {}",
            made[winner].sid
        );
        for (at, answer) in answers.iter().enumerate().filter(|(at, _)| *at != winner) {
            assert_eq!((answer.status, answer.code()), (409, 50416), "{at}: {}", answer.text);
            assert_eq!(answer.json["message"], text.as_str());
        }
        // Nobody else has them among their participants.
        for (at, talk) in made.iter().enumerate() {
            let path = format!("/v1/Conversations/{}/Participants", talk.sid);
            let people = world.client.list(&path, "participants").await;
            let here = people.iter().any(|found| found["messaging_binding"]["address"] == person.as_str());
            assert_eq!(here, at == winner);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_deletion_and_closing_free_the_pair() {
    let world = World::start().await;
    let pair = ("+15558880001", SMS);
    let client = &world.client;
    let talks = join_all((0..4).map(|_| client.conversation(&[]))).await;
    let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| talks[at].sid.as_str());
    let phone = world.sms(pair.0);
    let lands = async |conversation: &str| {
        world.write(&phone, "here").await.expect(200);
        assert_eq!(world.client.messages(conversation).await.len(), 1);
    };

    let joined = client.join(a, pair).await.expect(201);
    lands(a).await;
    assert_eq!(client.join(b, pair).await.code(), 50416);
    let path = format!("/v1/Conversations/{a}/Participants/{}", joined["sid"].as_str().unwrap());
    client.delete(&path).await.expect(204);
    client.join(b, pair).await.expect(201);
    lands(b).await;

    assert_eq!(client.join(c, pair).await.code(), 50416);
    client.delete(&format!("/v1/Conversations/{b}")).await.expect(204);
    client.join(c, pair).await.expect(201);
    lands(c).await;

    assert_eq!(client.join(d, pair).await.code(), 50416);
    client.post(&format!("/v1/Conversations/{c}"), &[("State", "closed")]).await.expect(200);
    client.join(d, pair).await.expect(201);
    lands(d).await;
    assert_eq!(client.messages(a).await.len(), 1);
    assert_eq!(client.messages(c).await.len(), 1);
}

/// Whose each pair is, as the test remembers it.
type Book = BTreeMap<String, String>;

fn number(at: usize) -> String {
    format!("+1555{at:07}")
}

async fn many<T>(count: impl IntoIterator<Item = T>, work: impl AsyncFn(T)) {
    let work = &work;
    stream::iter(count).for_each_concurrent(16, |item| work(item)).await;
}

/// Binds numbers to conversations of their own.
async fn bind(world: &World, numbers: std::ops::Range<usize>, book: &mut Book) {
    let made = stream::iter(numbers)
        .map(|at| async move {
            let person = number(at);
            let talk = world.client.conversation(&[(&person, SMS)]).await;
            (person, talk.sid)
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    book.extend(made);
}

/// Copies a folder.
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

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

fn replace(from: &Path, to: &Path) {
    remove(to);
    copy(from, to);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The brute-force scan: the bindings of a dump, by whole key.
fn scanned(rows: &[Row]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let bindings = rows.iter().filter(|row| row.space == "Binding");
    bindings
        .map(|row| {
            let key = Key::new(&row.account, &row.partition, Space::Binding, &row.rest);
            (key.as_bytes().to_vec(), row.bytes())
        })
        .collect()
}

/// The ledger has a row for each pair of the book. A pair whose conversation closed may have one, too.
fn holds(rows: &BTreeMap<Vec<u8>, Vec<u8>>, book: &Book, word: &str) {
    let proxy = Address::parse(SMS).unwrap();
    for person in book.keys() {
        let key = tables::binding(ACCOUNT, &proxy, &Address::parse(person).unwrap());
        assert!(rows.contains_key(key.as_bytes()), "{word}: {person}");
    }
}

/// What is in the newest copy; the daemon must be down.
fn copied(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let newest = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u64>().ok())
        .max()
        .expect("a copy");
    let db = sled::open(folder.join(newest.to_string())).unwrap();
    db.iter().map(|row| row.map(|(key, payload)| (key.to_vec(), payload.to_vec())).unwrap()).collect()
}

/// Every pair's inbound message lands where the book says, and nobody else's anywhere.
async fn behaves(world: &World, book: &Book, strangers: &[String], word: &str) {
    let before = world.daemon.metrics().await;
    many(book.keys().chain(strangers), async |person| {
        world.write(&world.sms(person), &format!("{word} {person}")).await.expect(200);
    })
    .await;
    many(book, async |(person, sid)| {
        let path = format!("/v1/Conversations/{sid}/Messages?Order=desc&PageSize=1");
        let page = world.client.get(&path).await.expect(200);
        assert_eq!(page["messages"][0]["body"], format!("{word} {person}"), "{person} in {sid}");
    })
    .await;
    let after = world.daemon.metrics().await;
    let grown = |outcome: &str| {
        let labels = [("adapter", "us"), ("outcome", outcome)];
        let name = "trunkline_inbound_messages_total";
        (after.value(name, &labels) - before.value(name, &labels)) as usize
    };
    assert_eq!((grown("accepted"), grown("unbound")), (book.len(), strangers.len()), "{word}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_copy_the_next_start_makes_it_equal() {
    let mut other = World::start().await;
    let mut elsewhere = Book::new();
    bind(&other, 0..60, &mut elsewhere).await;
    other.daemon.sigterm().await;

    let mut world = World::start().await;
    let mut book = Book::new();
    bind(&world, 0..100, &mut book).await;
    world.daemon.sigterm().await;
    let store = world.daemon.store.clone();
    let (sled, ledger, high) = (store.join("bindings"), store.join("ledger"), store.join("ledger.high"));
    let earlier = world.folder.path().join("earlier");
    copy(&store, &earlier);
    let book_then = book.clone();

    // An hour of life: 40 pairs go, 20 of them to others, and 100 come.
    world.up().await;
    let gone: Vec<(String, String)> = (0..40).map(|at| book.remove_entry(&number(at)).unwrap()).collect();
    many(gone, async |(_, sid)| {
        world.client.post(&format!("/v1/Conversations/{sid}"), &[("State", "closed")]).await.expect(200);
    })
    .await;
    bind(&world, 20..40, &mut book).await;
    bind(&world, 100..200, &mut book).await;
    let strangers: Vec<String> = (0..20).map(number).collect();
    behaves(&world, &book, &strangers, "before").await;

    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let harms: [Harm<'_>; 6] = [
        ("deleted", Box::new(|| remove(&sled))),
        (
            "truncated",
            Box::new(|| {
                for file in files(&sled) {
                    let half = fs::metadata(&file).unwrap().len() / 2;
                    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(half).unwrap();
                }
            }),
        ),
        (
            "noise",
            Box::new(|| {
                for (at, file) in files(&sled).iter().enumerate() {
                    let length = usize::try_from(fs::metadata(file).unwrap().len()).unwrap();
                    let noise: Vec<u8> =
                        (0..length).map(|byte| ((byte * 2_654_435_761 + at) >> 13) as u8).collect();
                    fs::write(file, noise).unwrap();
                }
            }),
        ),
        ("an hour old", Box::new(|| replace(&earlier.join("bindings"), &sled))),
        ("another store's", Box::new(|| replace(&other.daemon.store.join("bindings"), &sled))),
        (
            "not to be written",
            Box::new(|| {
                // A file where the folder should be stops root as well, which a mode would not.
                remove(&sled);
                fs::write(&sled, "").unwrap();
            }),
        ),
    ];
    for (name, harm) in harms {
        assert!(world.daemon.sigterm().await.success(), "{name}");
        blocking(harm);
        world.up().await;
        let possible = name != "not to be written";
        world.daemon.log().line(if possible { EQUAL } else { OFF }).await;
        behaves(&world, &book, &strangers, name).await;
        let rows = scanned(&world.daemon.dump());
        holds(&rows, &book, name);
        assert!(world.daemon.sigterm().await.success(), "{name}");
        if possible {
            assert_eq!(blocking(|| copied(&sled)), rows, "{name}");
        } else {
            remove(&sled);
        }
        world.up().await;
        world.daemon.log().line(EQUAL).await;
    }

    // The ledger an hour older than the copy.
    assert!(world.daemon.sigterm().await.success());
    replace(&earlier.join("ledger"), &ledger);
    fs::copy(earlier.join("ledger.high"), &high).unwrap();
    world.up().await;
    world.daemon.log().line(EQUAL).await;
    let strangers: Vec<String> = (100..200).map(number).collect();
    behaves(&world, &book_then, &strangers, "old ledger").await;
    let rows = scanned(&world.daemon.dump());
    holds(&rows, &book_then, "old ledger");
    assert!(world.daemon.sigterm().await.success());
    assert_eq!(blocking(|| copied(&sled)), rows);
}

/// A dump like `rows`, whose one binding is there a million times, each of another number.
fn multiplied(text: &str, count: usize, out: &mut impl Write) {
    let mut written = 0_u64;
    for line in text.lines() {
        let parsed: Value = serde_json::from_str(line).unwrap();
        if parsed["space"] == "Binding" {
            let (proxy, encoded) = (Address::parse(SMS).unwrap(), parsed["rest"].as_str().unwrap());
            for at in 0..count {
                let key = tables::binding(ACCOUNT, &proxy, &Address::parse(&number(at)).unwrap());
                let line = line.replace(encoded, &STANDARD.encode(key.parts().unwrap().rest));
                writeln!(out, "{line}").unwrap();
            }
            written += count as u64;
        } else if parsed["trunkline_dump_rows"].is_u64() {
            writeln!(out, "{{\"trunkline_dump_rows\":{written}}}").unwrap();
        } else {
            writeln!(out, "{line}").unwrap();
            written += u64::from(parsed["space"].is_string());
        }
    }
}

/// Restores a multiplied store, and gives the time from the start to a copy that equals it.
async fn rebuilt(count: usize) -> Duration {
    let mut world = World::start().await;
    world.client.conversation(&[("+15551230000", SMS)]).await;
    world.daemon.sigterm().await;
    let text = world.daemon.dump_text();
    remove(&world.daemon.store);
    blocking(|| {
        let mut restore = std::process::Command::new(executable())
            .args(["restore", "--store", &world.daemon.store.display().to_string()])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = std::io::BufWriter::new(restore.stdin.take().unwrap());
        multiplied(&text, count, &mut input);
        input.flush().unwrap();
        drop(input);
        let output = restore.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    let begun = Instant::now();
    world.up().await;
    let line = world.daemon.log().line(EQUAL).await;
    let took = begun.elapsed();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["bindings"], count);
    for at in [0, count / 2, count - 1] {
        world.write(&world.sms(&number(at)), "found").await.expect(200);
    }
    let metrics = world.daemon.metrics().await;
    assert_eq!(metrics.value("trunkline_bindings", &[]), count as f64);
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_copy_of_many_bindings_is_built_from_the_ledger() {
    rebuilt(5_000).await;
}

/// Only where `TRUNKLINE_BIG` is set, since an unoptimised executable says nothing about the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_bindings_are_back_within_thirty_seconds() {
    if std::env::var_os("TRUNKLINE_BIG").is_none() {
        return;
    }
    let took = rebuilt(1_000_000).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    println!("a million bindings were copied in {took:?}");
}
