//! One conversation that many clients watch: how fast each hears what is said there.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Came, Client, between};
use super::setting::{HOME, Setting, listener};
use super::start::start;
use crate::report::{self, Verdicts};
use crate::tally::Percentiles;
use crate::{Failure, Options, readings, wire};

/// Deliveries for a second of the daemon's processor, and at which p99.
const RATE: f64 = 12_500.0;
const P99: f64 = 200.0;
/// Messages that may be under way when nobody waits.
const FLAT_OUT: u64 = 4;
/// How long the last ones may take.
const LAST: Duration = Duration::from_secs(20);

/// When each message was said, and when who heard it.
struct Board {
    epoch: Instant,
    said: Vec<AtomicU64>,
    heard: AtomicU64,
    /// Heard without being the next of the conversation.
    breaks: AtomicU64,
    milliseconds: Mutex<Vec<f64>>,
    progress: Notify,
    listeners: u64,
}

impl Board {
    fn new(listeners: usize, most: usize) -> Arc<Board> {
        Arc::new(Board {
            epoch: Instant::now(),
            said: (0..most).map(|_| AtomicU64::new(0)).collect(),
            heard: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
            milliseconds: Mutex::default(),
            progress: Notify::new(),
            listeners: listeners as u64,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn hear(&self, number: usize) {
        let said = self.said.get(number).map_or(0, |said| said.load(Relaxed));
        let took = self.now().saturating_sub(said) as f64 / 1000.0;
        self.milliseconds.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        if (self.heard.fetch_add(1, Relaxed) + 1).is_multiple_of(self.listeners) {
            self.progress.notify_one();
        }
    }

    /// Waits until so many messages in all were heard.
    async fn reach(&self, messages: u64) {
        while self.heard.load(Relaxed) < messages * self.listeners {
            self.progress.notified().await;
        }
    }
}

/// Hears messages, in order, until the socket ends.
async fn listen(mut client: Client, board: Arc<Board>) -> Failure {
    let mut expected = 0;
    loop {
        let payload = match client.next().await {
            Ok(Came::Notice(payload)) => payload,
            Ok(Came::Answer(..)) => continue,
            Err(error) => return error,
        };
        let Some(number) = wire::number(&payload) else { continue };
        // What is said at once may be put in either order; everybody hears it in that of the conversation.
        let text = String::from_utf8_lossy(&payload);
        let index = between(&text, "\"item_index\":", ',').and_then(|index| index.parse::<u64>().ok());
        if index != Some(expected) {
            board.breaks.fetch_add(1, Relaxed);
        }
        expected = index.map_or(expected, |index| index + 1);
        board.hear(number);
    }
}

/// How messages follow each other.
#[derive(Clone, Copy)]
enum Pace {
    /// So many a second, whatever becomes of them.
    Of(f64),
    /// So many under way.
    FlatOut,
}

/// Says messages for a while; gives how many.
async fn speak(
    client: &mut Client,
    hall: &str,
    board: &Board,
    pace: Pace,
    lasting: Duration,
) -> Result<u64, Failure> {
    let path = format!("/Client/v2/Conversations/{hall}/Messages");
    let begun = Instant::now();
    let every = match pace {
        Pace::Of(rate) => Duration::from_secs_f64(1.0 / rate),
        Pace::FlatOut => Duration::from_micros(1),
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut said = 0_u64;
    while begun.elapsed() < lasting && (said as usize) < board.said.len() {
        match pace {
            Pace::Of(_) => {
                ticks.tick().await;
            }
            Pace::FlatOut => board.reach((said + 1).saturating_sub(FLAT_OUT)).await,
        }
        let text = format!("A message of the bench, number {}.", wire::marked(said as usize));
        board.said[said as usize].store(board.now(), Relaxed);
        client.ask("POST", &path, &json!({}), &json!({ "body": text, "attributes": "{}" })).await?;
        said += 1;
        // Answers that are there are taken; nobody waits for one.
        while let Ok(came) = tokio::time::timeout(Duration::ZERO, client.next()).await {
            came?;
        }
    }
    // Slower than this, it is lost.
    let _ = tokio::time::timeout(LAST, board.reach(said)).await;
    Ok(said)
}

struct Round {
    rate: f64,
    per_core: f64,
    share: f64,
    /// Milliseconds that each took to start, one behind the other.
    start: f64,
    times: Percentiles,
    missing: u64,
    breaks: u64,
}

fn round(setting: &Setting<'_>, options: &Options, pace: Pace) -> Result<Round, Failure> {
    let running = setting.start()?;
    let (target, count) = (running.target, options.listeners);
    let lasting = Duration::from_secs_f64(options.seconds);
    let runtime = super::runtime()?;
    let shown = runtime.block_on(async {
        let board = Board::new(count, 20_000);
        let mut listening = JoinSet::new();
        let begun = Instant::now();
        for at in 0..count {
            let (client, cost) = start(HOME, target, &setting.token(&listener(at))).await?;
            if cost.conversations != 1 {
                return Err("somebody is not in the hall".into());
            }
            listening.spawn(listen(client, Arc::clone(&board)));
        }
        let start = begun.elapsed().as_secs_f64() * 1000.0 / count as f64;
        // One of them writes on a second device that watches nothing.
        let mut writer = Client::enter(HOME, target, &setting.token(&listener(0))).await?;
        let before = readings::read(&running.pids).cpu_seconds;
        let begun = Instant::now();
        let said = speak(&mut writer, &setting.hall, &board, pace, lasting).await?;
        let took = begun.elapsed().as_secs_f64();
        let cpu = readings::read(&running.pids).cpu_seconds - before;
        if let Some(ended) = listening.try_join_next() {
            return Err(ended?);
        }
        let heard = board.heard.load(Relaxed);
        let times = std::mem::take(&mut *board.milliseconds.lock().unwrap_or_else(PoisonError::into_inner));
        Ok::<_, Failure>(Round {
            rate: heard as f64 / took,
            per_core: heard as f64 / cpu,
            share: cpu / took,
            start,
            times: Percentiles::of(times),
            missing: said * board.listeners - heard,
            breaks: board.breaks.load(Relaxed),
        })
    })?;
    running.stop()?;
    Ok(shown)
}

pub fn run(setting: &Setting<'_>, options: &Options, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let count = options.listeners;
    println!(
        "\n## {count} clients that watch one conversation\n\nEach hears a message and that the conversation has a newest one, and acknowledges both\n"
    );
    println!(
        "| pace | start of each, ms | deliveries/s | p50 ms | p99 | p99.9 | CPU, of a core | deliveries/s a core | lost / order |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rates = Vec::new();
    let mut late = Vec::new();
    let mut wrong = 0;
    // Messages a second that make the deliveries of the target.
    let steady = RATE / count as f64;
    for _ in 0..options.rounds {
        for (name, pace) in [("steady", Pace::Of(steady)), ("flat out", Pace::FlatOut)] {
            let round = round(setting, options, pace)?;
            let Percentiles { p50, p99, p999 } = round.times;
            println!(
                "| {name} | {:.1} | {:.0} | {p50:.1} | {p99:.1} | {p999:.1} | {:.0} % | {:.0} | {} / {} |",
                round.start,
                round.rate,
                round.share * 100.0,
                round.per_core,
                round.missing,
                round.breaks
            );
            wrong += round.missing + round.breaks;
            if let Pace::Of(_) = pace {
                late.push(p99);
                rates.push(round.per_core);
            }
        }
    }
    println!();
    let (rate, p99) = (report::middle(rates), report::middle(late));
    verdicts.say(
        &format!(
            "{count} clients of one conversation: {rate:.0} deliveries a second of a core (target {RATE:.0})"
        ),
        rate >= RATE,
    );
    verdicts
        .say(&format!("p99 of a delivery at {RATE:.0} a second: {p99:.1} ms (target {P99:.0})"), p99 <= P99);
    verdicts.say(&format!("deliveries lost or out of order: {wrong} (target 0)"), wrong == 0);
    Ok(())
}
