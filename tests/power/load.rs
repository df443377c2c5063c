//! A daemon under load on a disk that writes everything down, killed once in the middle.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::harness::dice::Dice;
use super::layer::Layer;
use super::wire::{Book, Cut, Promise, Wire};
use crate::harness::{PAGE, Phone, SMS, WHATSAPP, World};

const CONVERSATIONS: usize = 9;
const CLIENTS: usize = 6;
/// Those who write nothing and look all the time.
const READERS: usize = 2;

/// The text of a message: its number, and as many bytes as its kind has.
pub fn body(serial: u64) -> String {
    let length = match serial % 11 {
        0 => 32_000,
        1 => 9_000,
        2 | 3 => 4_060,
        4 => 1_500,
        _ => 60,
    };
    let mut text = format!("t{serial:06}x ");
    let mut dice = Dice(serial);
    while text.len() < length {
        text.push_str(&format!("{:x} ", dice.roll() & 0xff_ffff));
    }
    text.truncate(length);
    text
}

/// The attributes of a version: 16 KB.
pub fn attributes(version: u64) -> String {
    let fill: String = (0..2_000).map(|number| format!("{:08x}", number * version)).collect();
    format!("{{\"v\":{version},\"fill\":\"{}\"}}", &fill[..15_900])
}

/// A conversation under load.
#[derive(Clone)]
pub struct Talk {
    pub sid: String,
    pub phones: Vec<Phone>,
}

impl Talk {
    /// The webhook that brings a message; the same again for a repeat.
    pub fn webhook(&self, serial: u64) -> trunkline_adapter::simulator::SignedRequest {
        let phone = &self.phones[serial as usize % self.phones.len()];
        let id = phone.simulator.message_id((1 << 60) + serial);
        phone.text(&id, &body(serial))
    }
}

/// What was asked for, and of whom.
pub struct Record {
    pub talks: Vec<Talk>,
    pub book: Book,
    /// Messages that came as webhooks, with their conversation; asked for at least once.
    pub webhooks: Vec<(u64, usize)>,
}

struct Shared {
    talks: Vec<Talk>,
    book: Book,
    address: RwLock<SocketAddr>,
    serial: AtomicU64,
    last: u64,
    closed: AtomicBool,
}

impl Shared {
    fn connect(&self) -> Option<Wire> {
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return None;
            }
            match Wire::connect(*self.address.read().unwrap(), &self.book) {
                Ok(wire) => return Some(wire),
                // Between two lives of the daemon.
                Err(Cut) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn reader(&self, mut dice: Dice) {
        while let Some(mut wire) = self.connect() {
            let place = |dice: &mut Dice| dice.within(0..self.talks.len() as u64) as usize;
            while look(&mut wire, &self.talks[place(&mut dice)]).is_ok() {}
        }
    }

    fn client(&self, number: usize, mut dice: Dice) -> Vec<(u64, usize)> {
        let mut webhooks = Vec::new();
        let mut version = 0;
        let Some(mut wire) = self.connect() else { return webhooks };
        loop {
            let serial = self.serial.fetch_add(1, Ordering::SeqCst);
            if serial > self.last {
                return webhooks;
            }
            let place = usize::try_from(dice.within(0..self.talks.len() as u64)).unwrap();
            let talk = &self.talks[place];
            let mut outcome = match dice.within(0..8) {
                // Only one client changes a conversation's attributes, so that versions grow.
                0 if number < self.talks.len() => {
                    version += 1;
                    let sid = &self.talks[number].sid;
                    let promise = Promise::Attributes(sid.clone(), version);
                    let path = format!("/v1/Conversations/{sid}");
                    wire.post(promise, &path, &[("Attributes", &attributes(version))])
                }
                1..4 => {
                    // Cut off here, it is cut off again at once.
                    let _ = look(&mut wire, talk);
                    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
                    wire.post(Promise::Message(serial), &path, &[("Author", "desk"), ("Body", &body(serial))])
                }
                _ => {
                    webhooks.push((serial, place));
                    let signed = talk.webhook(serial);
                    loop {
                        let outcome = wire.deliver(Promise::Message(serial), &signed);
                        // A provider repeats what was not answered.
                        let Err(Cut) = outcome else { break outcome };
                        match self.connect() {
                            Some(again) => wire = again,
                            None => return webhooks,
                        }
                    }
                }
            };
            if let Ok((status, text)) = &outcome
                && !(200..300).contains(status)
                && *status != 503
            {
                panic!("answered with {status}: {text}");
            }
            if let Err(Cut) = outcome {
                match self.connect() {
                    Some(again) => wire = again,
                    None => return webhooks,
                }
                outcome = Err(Cut);
            }
            drop(outcome);
        }
    }
}

/// What others have written a moment ago is seen as soon as it can be: messages, how far their sends have come, and the
/// conversation itself.
fn look(wire: &mut Wire, talk: &Talk) -> Result<(), Cut> {
    let conversation = format!("/v1/Conversations/{}", talk.sid);
    for _ in 0..2 {
        let path = format!("{conversation}/Messages?Order=desc&PageSize=3");
        // Their names are known by the bytes of the answer.
        let messages = wire.look(&path, |page| (sids(&page["messages"]), Vec::new()))?;
        let Some(newest) = messages.first() else { continue };
        wire.look(&format!("{conversation}/Messages/{newest}/Receipts"), |page| {
            let receipts = page["delivery_receipts"].as_array().expect("a list");
            ((), receipts.iter().filter_map(receipt).collect())
        })?;
    }
    wire.look(&conversation, |seen| {
        let attributes = seen["attributes"].as_str().expect("a text");
        let attributes: serde_json::Value = serde_json::from_str(attributes).expect("JSON");
        let version = attributes["v"].as_u64().map(|version| Promise::Attributes(talk.sid.clone(), version));
        ((), version.into_iter().collect())
    })
}

fn sids(list: &serde_json::Value) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    all.map(|one| one["sid"].as_str().expect("a name").to_owned()).collect()
}

/// What a receipt shows, once anything is known.
fn receipt(shown: &serde_json::Value) -> Option<Promise> {
    let status = serde_json::from_value(shown["status"].clone()).ok()?;
    Some(Promise::Receipt(shown["sid"].as_str()?.to_owned(), status))
}

/// Starts a daemon on the layer's disk, sends it so many messages and kills it; in the middle too.
pub async fn run(layer: &Layer, messages: u64, durability: &str, dice: &mut Dice) -> (World, Record) {
    let store = layer.store.clone();
    let mut world = World::prepare(|config| {
        config.store_path = store;
        config.store = vec![format!("durability = \"{durability}\""), "keep_free = \"1MiB\"".to_owned()];
    })
    .await;
    world.daemon.env = layer.environment();
    world.up().await;
    let mut talks = Vec::new();
    for number in 0..CONVERSATIONS {
        let people = [
            format!("+1555771{number:04}"),
            format!("whatsapp:+1555772{number:04}"),
            format!("messenger:77730{number:02}"),
        ];
        let size = 2 + number % 2;
        let relations: Vec<_> =
            people.iter().map(String::as_str).zip([SMS, WHATSAPP, PAGE]).take(size).collect();
        let made = world.client.conversation(&relations).await;
        let mut phones = vec![world.sms(&people[0]), world.whatsapp(&people[1])];
        phones.extend((size > 2).then(|| world.messenger(&people[2])));
        talks.push(Talk { sid: made.sid, phones });
    }
    let shared = Arc::new(Shared {
        talks,
        book: Book::default(),
        address: RwLock::new(world.daemon.address),
        serial: AtomicU64::new(1),
        last: messages,
        closed: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (shared, dice) = (shared.clone(), dice.split());
            std::thread::spawn(move || shared.client(number, dice))
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (shared, dice) = (shared.clone(), dice.split());
            std::thread::spawn(move || shared.reader(dice))
        })
        .collect();
    // Half of it before the kill.
    let half = async || (shared.serial.load(Ordering::SeqCst) > messages / 2).then_some(());
    world.daemon.eventually("half of the load", half).await;
    world.daemon.kill9().await;
    world.up().await;
    *shared.address.write().unwrap() = world.daemon.address;
    let done = async || clients.iter().all(std::thread::JoinHandle::is_finished).then_some(());
    world.daemon.eventually("the whole load", done).await;
    let webhooks = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    // In the midst of the sends.
    world.daemon.kill9().await;
    shared.closed.store(true, Ordering::SeqCst);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    world.daemon.env.clear();
    let record = Record { talks: shared.talks.clone(), book: shared.book.clone(), webhooks };
    (world, record)
}
