//! Sudden ends: kill -9 at any moment of load, and the orderly end beside it.
//!
//! One run has a seed, which it prints; `TRUNKLINE_SEED` repeats one (the times of the machine remain its own).
//! `TRUNKLINE_KILLS` says how often the daemon is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::arrivals::{DUPLICATES, REPEATING, excuses, without_repeats};
use crate::harness::dice::{Dice, seed, setting};
use crate::harness::{Act, PAGE, Phone, Road, SMS, TURN, WHATSAPP, World};

const CONVERSATIONS: usize = 20;
const CLIENTS: usize = 10;
/// How long the sink is away, in the middle.
const AWAY: Duration = Duration::from_secs(5);
/// A conversation under load.
struct Talk {
    sid: String,
    /// Addresses and their participants' SIDs.
    people: Vec<(String, String)>,
    sms: Phone,
    whatsapp: Phone,
}

/// Every second conversation has a third person.
async fn talks(world: &World) -> Vec<Talk> {
    let mut talks = Vec::new();
    for n in 0..CONVERSATIONS {
        let people =
            [format!("+1555771{n:04}"), format!("whatsapp:+1555772{n:04}"), format!("messenger:77730{n:02}")];
        let proxies = [SMS, WHATSAPP, PAGE];
        let size = 2 + n % 2;
        let relations: Vec<(&str, &str)> =
            people.iter().map(String::as_str).zip(proxies).take(size).collect();
        let made = world.client.conversation(&relations).await;
        talks.push(Talk {
            sid: made.sid,
            sms: world.sms(&people[0]),
            whatsapp: world.whatsapp(&people[1]),
            people: people.into_iter().zip(made.participants).collect(),
        });
    }
    talks
}

/// What all clients share.
struct Load {
    talks: Vec<Talk>,
    road: Road,
    /// Texts that were answered with 2xx, by conversation.
    acknowledged: Mutex<BTreeMap<usize, BTreeSet<String>>>,
    over: AtomicBool,
    serial: AtomicU64,
}

impl Load {
    fn acknowledge(&self, talk: usize, text: String) {
        assert!(self.acknowledged.lock().unwrap().entry(talk).or_default().insert(text), "texts are unique");
    }

    fn acknowledgements(&self) -> usize {
        self.acknowledged.lock().unwrap().values().map(BTreeSet::len).sum()
    }

    /// One client: somebody writes, or the desk does, again and again.
    async fn run(self: Arc<Load>, mut dice: Dice) {
        while !self.over.load(Ordering::Relaxed) {
            let number = usize::try_from(dice.within(0..CONVERSATIONS as u64)).unwrap();
            let talk = &self.talks[number];
            let serial = self.serial.fetch_add(1, Ordering::Relaxed);
            let text = format!("message {serial}");
            match dice.within(0..3) {
                0 => self.post(number, text).await,
                writer => {
                    let phone = if writer == 1 { &talk.sms } else { &talk.whatsapp };
                    // Far from the ids of sends.
                    let id = phone.simulator.message_id((1 << 60) + serial);
                    self.road.deliver(&phone.text(&id, &text)).await;
                    self.acknowledge(number, text);
                }
            }
            tokio::time::sleep(dice.millis(5..90)).await;
        }
    }

    /// A REST caller does not know what a lost answer means, and goes on with other words.
    async fn post(&self, number: usize, text: String) {
        let path = format!("/v1/Conversations/{}/Messages", self.talks[number].sid);
        let fields = [("Author", "desk"), ("Body", text.as_str())];
        if let Some(answer) = self.road.once(Method::POST, &path, &fields).await
            && answer.status == 201
        {
            self.acknowledge(number, text);
        }
    }
}

/// One life of the daemon.
struct Life {
    /// When its executable was started.
    started: Instant,
    /// Its last reading of the duplicates' counter: when it was asked for, and what it said.
    counted: Option<(Instant, f64)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_arrives_in_order_however_often_the_daemon_dies() {
    let _turn = TURN.lock().await;
    let kills = usize::try_from(setting("TRUNKLINE_KILLS", 8)).unwrap();
    let seed = seed();
    println!("TRUNKLINE_KILLS={kills} TRUNKLINE_SEED={seed}");
    let mut dice = Dice(seed);

    let mut lives = vec![Life { started: Instant::now(), counted: None }];
    let mut world = World::start().await;
    // An answer takes a moment, so that there is something to interrupt.
    let mut delays = Dice(dice.roll());
    world.sink.script(move |_| Act::After(delays.millis(2..40), Box::new(Act::Accept)));
    let (address, road) = Road::to(world.client.clone());
    let load = Arc::new(Load {
        talks: talks(&world).await,
        road,
        acknowledged: Mutex::default(),
        over: AtomicBool::new(false),
        serial: AtomicU64::new(1),
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(load.clone().run(Dice(dice.roll())));
    }

    let mut gone: Option<Instant> = None;
    let (mut before, mut waiting) = (0, 0);
    for kill in 0..kills {
        tokio::time::sleep(dice.millis(100..900)).await;
        if kill == kills / 2 {
            world.sink.shut().await;
            before = load.acknowledgements();
            gone = Some(Instant::now());
        }
        if gone.is_some_and(|since| since.elapsed() >= AWAY) {
            gone = None;
            waiting = load.acknowledgements() - before;
            world.sink.open_again();
        }
        let asked = Instant::now();
        let counted = world.daemon.metrics().await.sum(DUPLICATES, &[]);
        lives.last_mut().unwrap().counted = Some((asked, counted));
        tokio::time::sleep(dice.millis(0..60)).await;
        world.daemon.kill9().await;
        // Both ways of being durable survive a kill.
        let durability = if kill % 2 == 0 { "durability = \"power\"" } else { "durability = \"process\"" };
        world.edit(|config| config.store[0] = durability.to_owned());
        lives.push(Life { started: Instant::now(), counted: None });
        world.up().await;
        address.send_replace(world.client.clone());
    }
    if let Some(since) = gone {
        tokio::time::sleep_until((since + AWAY).into()).await;
        waiting = load.acknowledgements() - before;
        world.sink.open_again();
    }
    load.over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    // A lane that found nobody for five seconds looks again within ten.
    world.quiet().await;
    let asked = Instant::now();
    let counted = world.daemon.metrics().await.sum(DUPLICATES, &[]);
    lives.last_mut().unwrap().counted = Some((asked, counted));

    let sent = world.sink.sent();
    let mut repeats = Vec::new();
    let mut expected_in_all = 0;
    for (number, talk) in load.talks.iter().enumerate() {
        let messages = world.client.messages(&talk.sid).await;
        let stored: Vec<(&str, &str)> = messages
            .iter()
            .map(|message| (text(message, "body"), text(message, "participant_sid")))
            .collect();
        let bodies: BTreeSet<&str> = stored.iter().map(|(body, _)| *body).collect();
        assert_eq!(bodies.len(), stored.len(), "a message is stored twice in {}", talk.sid);
        for (place, message) in messages.iter().enumerate() {
            assert_eq!(message["index"], place, "indexes grow by one");
            assert_eq!(message["delivery"]["sent"], "all", "{message}");
            assert_eq!(message["delivery"]["failed"], "none", "{message}");
        }
        for acknowledged in load.acknowledged.lock().unwrap().get(&number).into_iter().flatten() {
            assert!(
                bodies.contains(acknowledged.as_str()),
                "{acknowledged:?} was acknowledged and is not stored"
            );
        }
        for (address, participant) in &talk.people {
            let expected: Vec<&str> =
                stored.iter().filter(|(_, author)| author != participant).map(|(body, _)| *body).collect();
            expected_in_all += expected.len();
            let arrived = sent.iter().filter(|sent| sent.taken() && sent.to() == address).collect();
            let (texts, mut again) = without_repeats(arrived);
            assert_eq!(texts, expected, "to {address}");
            let starts: Vec<Instant> = lives.iter().map(|life| life.started).collect();
            let excused = excuses(&again, &starts);
            assert!(excused.iter().all(Option::is_some), "{address} got something twice without a kill");
            repeats.append(&mut again);
        }
    }

    // The counter of a life dies with it, so each life's last reading is held against what had arrived by then, and the
    // log, of which nothing is lost, against everything.
    let mut counted = 0.0;
    for (number, life) in lives.iter().enumerate() {
        let Some((asked, count)) = life.counted else { continue };
        let seen = repeats.iter().filter(|repeat| (life.started..asked).contains(&repeat.again)).count();
        assert!(count >= seen as f64, "life {number} counts {count} of {seen} duplicates");
        counted += count;
    }
    let logged: usize = world
        .daemon
        .logs
        .iter()
        .map(|log| log.lines().iter().filter(|line| line.contains(REPEATING)).count())
        .sum();
    println!(
        "{kills} kills, {} acknowledged of {} tried, {expected_in_all} sends, {} duplicates ({:.2} a kill), counted {counted}, \
         logged {logged}",
        load.acknowledgements(),
        load.serial.load(Ordering::Relaxed) - 1,
        repeats.len(),
        repeats.len() as f64 / kills.max(1) as f64,
    );
    assert!(logged >= repeats.len(), "{logged} logged, {} seen", repeats.len());
    assert!(waiting > 0, "nothing was acknowledged while the sink was away");
}

fn text<'a>(message: &'a Value, key: &str) -> &'a str {
    message[key].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_finishes_what_is_under_way_and_repeats_nothing() {
    let mut world = World::start().await;
    let (begun, mut beginning) = watch::channel(0);
    world.sink.script(move |_| {
        begun.send_modify(|count| *count += 1);
        Act::After(Duration::from_millis(300), Box::new(Act::Accept))
    });
    let talks = talks(&world).await;
    for round in 0..3 {
        for talk in &talks {
            world.client.say(&talk.sid, "desk", &format!("round {round}")).await.expect(201);
        }
    }
    beginning.wait_for(|count| *count >= 20).await.unwrap();
    let status = world.daemon.sigterm().await;
    assert!(status.success(), "{status}");
    let answered = world.sink.sent().len();
    assert_eq!(answered, *beginning.borrow(), "nothing was under way any more");
    let people: usize = talks.iter().map(|talk| talk.people.len()).sum();
    assert!(answered < people * 3, "the end came in the middle");

    world.up().await;
    world.quiet().await;
    let sent = world.sink.sent();
    for talk in &talks {
        for (address, _) in &talk.people {
            let mut texts: Vec<(Instant, &str)> =
                sent.iter().filter(|sent| sent.to() == address).map(|sent| (sent.at, sent.text())).collect();
            texts.sort_unstable();
            let texts: Vec<&str> = texts.into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, ["round 0", "round 1", "round 2"], "to {address}");
        }
    }
    assert_eq!(world.daemon.metrics().await.sum(DUPLICATES, &[]), 0.0);
    for log in &world.daemon.logs {
        assert!(!log.lines().iter().any(|line| line.contains(REPEATING)));
    }
}
