//! A disk that is nearly full, full, read-only or broken, and a page of synced data that went bad.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::harness::dice::Dice;
use super::layer::{Fault, Layer};
use super::load::body;
use crate::harness::daemon::executable;
use crate::harness::{Client, SMS, World, blocking};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

async fn world(layer: &Layer, keep_free: &str) -> World {
    let mut world = World::prepare(|config| {
        config.store_path.clone_from(&layer.store);
        config.store = vec!["durability = \"power\"".to_owned(), format!("keep_free = \"{keep_free}\"")];
    })
    .await;
    world.daemon.env = layer.environment();
    world.up().await;
    world
}

/// The texts of a conversation, in order.
async fn texts(client: &Client, conversation: &str) -> Vec<String> {
    let messages = client.messages(conversation).await;
    messages.iter().map(|message| message["body"].as_str().unwrap_or_default().to_owned()).collect()
}

fn ensure(right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(what()) }
}

/// What a run that ended said last.
fn last_words(world: &World) -> String {
    world.daemon.log().lines().last().cloned().unwrap_or_default()
}

/// The disk fails in the midst of the work: the daemon says so and ends, is refused as long as it lasts, and then goes on
/// with everything it had ever acknowledged.
pub async fn fails(library: &Path, fault: Fault, words: &str, dice: &mut Dice) -> Result<(), String> {
    let layer = Layer::new(library);
    let mut world = world(&layer, "1MiB").await;
    let talk = world.three(ANN, BOB, CAT).await;
    let mut acknowledged = Vec::new();
    for serial in 1..6 {
        ensure(world.write(&world.sms(ANN), &body(serial)).await.status == 200, || "refused".to_owned())?;
        acknowledged.push(body(serial));
    }
    let after = if fault == Fault::SyncError { dice.within(1..40) } else { dice.within(1..90_000) };
    layer.fail(fault, i64::try_from(after).unwrap());
    for serial in 6.. {
        let phone = world.whatsapp(BOB);
        match world.try_webhook(phone.text(&world.message_id(&phone), body(serial).trim_end())).await {
            Ok(answer) if answer.status == 200 => acknowledged.push(body(serial)),
            Ok(answer) if answer.status == 503 || answer.status == 500 => {}
            Ok(answer) => return Err(format!("answered with {}: {}", answer.status, answer.text)),
            Err(_) => break,
        }
        ensure(serial < 2_000, || "a broken disk is not noticed".to_owned())?;
    }
    let status = world.daemon.wait().await;
    ensure(status.code() == Some(1), || format!("ended with {status}"))?;
    let log = world.daemon.log().lines();
    let said = log.iter().any(|line| line.contains("the ledger cannot be written") && line.contains(words));
    ensure(said, || format!("does not say why it ends: {}", log.join("\n")))?;
    ensure(layer.failed() > 0, || "nothing failed".to_owned())?;

    layer.fail(fault, 0);
    let command = world.daemon.command();
    world.daemon.launch(command);
    let status = world.daemon.wait().await;
    ensure(status.code() == Some(1), || format!("started on a broken disk and ended with {status}"))?;
    let said = last_words(&world);
    ensure(said.contains(words), || format!("does not say why it does not start: {said}"))?;

    layer.mend();
    world.up().await;
    let kept = texts(&world.client, &talk.sid).await;
    for text in &acknowledged {
        let times = kept.iter().filter(|kept| kept.trim_end() == text.trim_end()).count();
        ensure(times == 1, || format!("{:.12} is there {times} times", text))?;
    }
    ensure(world.write(&world.sms(ANN), "goes on").await.status == 200, || "does not go on".to_owned())?;
    let heard =
        |sent: &[crate::harness::Sent]| sent.iter().any(|sent| sent.to() == CAT && sent.text() == "goes on");
    world.sink.wait("what was written last", heard).await;
    Ok(())
}

/// Below the floor nothing new comes in and everything else goes on; with room again, all does, without a restart.
pub async fn nearly_full(library: &Path) -> Result<(), String> {
    let layer = Layer::new(library);
    let mut world = world(&layer, "200MiB").await;
    let talk = world.three(ANN, BOB, CAT).await;
    let doomed = world.client.conversation(&[("+15557770009", SMS)]).await;
    world.sink.away(true);
    let mut kept = vec!["waits".to_owned()];
    ensure(world.write(&world.sms(ANN), "waits").await.status == 200, || "refused".to_owned())?;
    layer.room(Some(100 << 20));
    // Room is measured once a second; what comes in until then is kept.
    for number in 0.. {
        let text = format!("until {number}");
        let answer = world.write(&world.sms(ANN), &text).await;
        if answer.status == 503 {
            ensure(answer.headers.contains_key("retry-after"), || "no Retry-After".to_owned())?;
            break;
        }
        ensure(answer.status == 200, || answer.text.clone())?;
        kept.push(text);
    }
    for answer in [
        world.write(&world.whatsapp(BOB), "refused").await,
        world.write(&world.messenger(CAT), "refused").await,
        world.client.say(&talk.sid, "desk", "refused").await,
    ] {
        ensure(answer.status == 503, || format!("{}: {}", answer.status, answer.text))?;
    }
    world.sink.away(false);
    world.sink.taken(2 * kept.len()).await;
    world.quiet().await;
    let path = format!("/v1/Conversations/{}", talk.sid);
    world.client.post(&path, &[("FriendlyName", "renamed")]).await.expect(200);
    world.client.delete(&format!("/v1/Conversations/{}", doomed.sid)).await.expect(204);
    ensure(texts(&world.client, &talk.sid).await == kept, || "other messages".to_owned())?;
    layer.room(None);
    let again = async || (world.write(&world.messenger(CAT), "room again").await.status == 200).then_some(());
    world.daemon.eventually("room", again).await;
    kept.push("room again".to_owned());
    ensure(texts(&world.client, &talk.sid).await == kept, || "other messages at the end".to_owned())?;
    world.daemon.kill9().await;
    Ok(())
}

/// What happens to a page.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    Zeros,
    /// Every byte of a few is another.
    Noise,
}

/// The only journal of a small ledger, and how many bytes of it are used.
fn journal_of(store: &Path) -> (PathBuf, u64) {
    let mut journals: Vec<PathBuf> = std::fs::read_dir(store.join("ledger"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jnl"))
        .collect();
    assert_eq!(journals.len(), 1, "a small ledger has one journal");
    let path = journals.remove(0);
    let used = std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (path, used)
}

/// What ledger.high says was acknowledged.
fn acknowledged(store: &Path) -> u64 {
    let bytes = std::fs::read(store.join("ledger.high")).unwrap();
    let number = |from: usize| u64::from_be_bytes(bytes[from..from + 8].try_into().unwrap());
    [0, 4096].map(|slot| (number(slot + 36), number(slot + 28))).into_iter().max().unwrap().1
}

fn run(arguments: &[&str], input: Option<&[u8]>) -> std::process::Output {
    let mut command = Command::new(executable());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.unwrap_or_default().to_vec();
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    output
}

/// A page of synced data goes bad: refused with both numbers, and saved but for what was on the page.
pub async fn damaged(damage: Damage, dice: &mut Dice) -> Result<(), String> {
    let mut world = World::start_with(|config| config.store[0] = "durability = \"power\"".to_owned()).await;
    let talk = world.three(ANN, BOB, CAT).await;
    for serial in 1..=60 {
        world.client.say(&talk.sid, "desk", body(serial).trim_end()).await.expect(201);
    }
    world.quiet().await;
    world.daemon.kill9().await;
    let store = world.daemon.store.clone();
    let (journal, used) = journal_of(&store);
    let page = dice.within(used / 4 / 4096..used * 3 / 4 / 4096) * 4096;
    let file = std::fs::File::options().read(true).write(true).open(&journal).unwrap();
    let mut bytes = [0; 4096];
    file.read_exact_at(&mut bytes, page).unwrap();
    match damage {
        Damage::Zeros => bytes.fill(0),
        Damage::Noise => {
            bytes[dice.within(0..4000) as usize..][..96].iter_mut().for_each(|byte| *byte ^= 0x55)
        }
    }
    file.write_all_at(&bytes, page).unwrap();
    drop(file);

    let command = world.daemon.command();
    world.daemon.launch(command);
    let status = world.daemon.wait().await;
    let said = last_words(&world);
    ensure(status.code() == Some(1), || format!("ended with {status}: {said}"))?;
    let number = |after: &str| -> Option<u64> {
        said.split_once(after)?.1.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
    };
    let (ends, had) = (number("ends at number "), number("but "));
    let high = acknowledged(&store);
    ensure(had == Some(high), || format!("ledger.high says {high}: {said}"))?;
    ensure(ends.is_some_and(|ends| ends < high), || said.clone())?;

    let folder = store.display().to_string();
    let dump = blocking(|| run(&["dump", "--damaged", "--store", &folder], None));
    ensure(dump.status.success(), || format!("{dump:?}"))?;
    let fresh = world.folder.path().join("fresh");
    let restored =
        blocking(|| run(&["restore", "--store", &fresh.display().to_string()], Some(&dump.stdout)));
    ensure(restored.status.success(), || format!("{restored:?}"))?;
    world.edit(|config| config.store_path.clone_from(&fresh));
    world.up().await;
    let kept = texts(&world.client, &talk.sid).await;
    let whole: Vec<String> = (1..=60).map(|serial| body(serial).trim_end().to_owned()).collect();
    ensure(kept.iter().all(|text| whole.contains(text)), || "a text is not what was written".to_owned())?;
    // A page is a few batches at most: one message, or some receipts.
    ensure(kept.len() >= 50, || format!("{} of 60 messages were saved", kept.len()))?;
    world.write(&world.sms(ANN), "goes on").await.expect(200);
    Ok(())
}
