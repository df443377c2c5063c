//! Twice what the daemon can do, for a long time, with a slow, a dead and a lying provider beside a good one; then calm,
//! and everything that was acknowledged must still arrive.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::generator::{self, Order, Pace, Requests};
use super::manners::Courier;
use super::report::Verdicts;
use super::round::{self, Drive};
use super::running::Running;
use super::sink::Sink;
use super::tally::{Percentiles, Tally};
use super::works::{Desk, Fresh, Work};
use super::{Failure, Options, daemon, readings, rest};

/// Enough that more requests are under way than the daemon lets in, each conversation on a connection of its own.
const CONVERSATIONS: usize = 2000;
/// How many times its measured rate the daemon is driven with.
const TOO_MUCH: f64 = 2.0;
/// After the flood, as a part of the measured rate.
const CALM: f64 = 0.1;
const CALM_LASTS: Duration = Duration::from_secs(10);
/// What counts as recovered.
const CALM_ANSWER_MS: f64 = 25.0;
const PROBE: Duration = Duration::from_secs(5);
const SAMPLE: Duration = Duration::from_secs(1);
/// A dead provider is tried again after a minute at most, and a message that was lied about within half of that.
const REVIVAL: Duration = Duration::from_secs(90);
/// Memory needs this long to tell growth from warming up.
const TELLING: Duration = Duration::from_secs(300);

/// Which provider a conversation's other person is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    Good,
    Slow,
    Dead,
    Lying,
}

impl With {
    const ALL: [With; 4] = [With::Good, With::Slow, With::Dead, With::Lying];

    fn of(conversation: usize) -> With {
        match conversation % 20 {
            3 => With::Slow,
            8 => With::Dead,
            13 | 18 => With::Lying,
            _ => With::Good,
        }
    }

    fn name(self) -> &'static str {
        match self {
            With::Good => "good",
            With::Slow => "slow",
            With::Dead => "dead",
            With::Lying => "lying",
        }
    }

    fn number(self, lane: usize) -> String {
        format!("+155500{}{lane:04}", self as usize + 3)
    }
}

pub fn run(options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let flood = Duration::from_secs_f64(options.soak_seconds);
    let lanes = options.lanes;
    println!(
        "\n## Soak: {TOO_MUCH} × capacity for {} s, {CONVERSATIONS} connections, durability = \"{}\"\n",
        flood.as_secs(),
        options.durability
    );
    let folder = options.folder.join("soak");
    fs::create_dir_all(&folder)?;
    let mut further = String::new();
    for with in With::ALL {
        let at = if with == With::Dead { sink.dead } else { sink.address };
        // The good one is Twilio as everywhere else, under a name of its own.
        let name = if with == With::Good { "us2" } else { with.name() };
        further.push_str(&daemon::twilio(name, at, (0..lanes).map(|lane| with.number(lane))));
    }
    let config = folder.join("trunkline.toml");
    fs::write(&config, daemon::config(&folder, sink.address, lanes, &options.durability, &further))?;
    let desk = Desk::of(&config)?;
    let running = Running::daemon(&options.bin, &folder)?;
    let lying = desk.simulators.get("lying").ok_or("no lying provider")?;
    sink.employ(Courier::new(running.target, Arc::clone(lying))?);
    let people = |at: usize| {
        let [author, mut other] =
            <[_; 2]>::try_from(Work::WhatsappToSms.people(at, lanes)).unwrap_or_default();
        other.1 = With::of(at).number(at % lanes);
        vec![author, other]
    };
    rest::conversations(running.target, (0..CONVERSATIONS).map(people).collect())?;

    // Conversations behind the others are all with the good one: only they are asked what the daemon can do.
    let good = |at: usize| Work::WhatsappToSms.people(CONVERSATIONS + at, lanes);
    rest::conversations(running.target, (0..PROBED).map(good).collect())?;
    let probe = Drive {
        pool: Arc::new(Fresh::of(&desk, CONVERSATIONS..CONVERSATIONS + PROBED, lanes, 1 << 20, 1)?),
        streams: PROBED,
        recipients: 1,
        connections: 50,
        pace: Pace::Closed,
        lasting: PROBE,
        tell_slow: false,
    };
    let capacity = round::run(sink, &running, &probe)?.relayed;
    println!(
        "capacity: {capacity:.0} messages a second (closed loop, 50 connections, {} s)",
        PROBE.as_secs()
    );

    let rate = TOO_MUCH * capacity;
    let count = (rate * flood.as_secs_f64() + CALM * capacity * CALM_LASTS.as_secs_f64()) as usize;
    let tally = Arc::new(Tally::new(count, CONVERSATIONS, 1));
    sink.note(&tally);
    let pool: Arc<dyn Requests> = Arc::new(Fresh::of(&desk, 0..CONVERSATIONS, lanes, count, 2)?);
    let order = Order {
        target: running.target,
        pool,
        tally: Arc::clone(&tally),
        connections: CONVERSATIONS,
        pace: Pace::Flood { rate, lasting: flood, calm: CALM * capacity },
        lasting: flood + CALM_LASTS,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let sending =
        std::thread::Builder::new().name("generator".to_owned()).spawn(move || generator::run(&order))?;
    let mut memory = Vec::new();
    let watched = Instant::now();
    while !sending.is_finished() {
        let rss = readings::read(&running.pids).rss_kib as f64 / 1024.0;
        memory.push((watched.elapsed().as_secs_f64(), rss));
        if memory.len() % 30 == 0 {
            eprintln!(
                "{:>5.0} s: {} acknowledged, {} refused, {} at the sink, {rss:.0} MiB",
                watched.elapsed().as_secs_f64(),
                tally.acks.load(Relaxed),
                tally.refused.load(Relaxed),
                tally.arrivals.load(Relaxed)
            );
        }
        std::thread::sleep(SAMPLE);
    }
    sending.join().map_err(|_| "the generator panicked")??;
    sink.revive();
    let draining = Instant::now();
    let waiting = tally.missing();
    round::drain(&tally, REVIVAL);
    let drained = draining.elapsed().as_secs_f64();

    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    // Not when the generator was started: it connects first, which takes its time.
    let ends = tally.begun() + nanos(flood);
    let (offered, taken) = tally.counts(0..ends);
    let ack = Percentiles::of(tally.ack_times(0..ends));
    let kept = taken as f64 / flood.as_secs_f64() / capacity;
    let seconds = flood.as_secs_f64();
    println!(
        "offered {:.0}/s, accepted {:.0}/s, refused {:.0}/s",
        offered as f64 / seconds,
        taken as f64 / seconds,
        (offered - taken) as f64 / seconds
    );
    println!("acknowledgement: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms", ack.p50, ack.p99, ack.p999);
    println!(
        "{waiting} were still queued when the providers came back; all that arrived had done so {drained:.1} s later"
    );
    for line in running
        .daemon
        .as_ref()
        .map(daemon::Daemon::complaints)
        .unwrap_or_default()
        .iter()
        .filter(|line| line.contains("panicked"))
    {
        println!("the daemon says: {line}");
    }

    // The capacity was measured with the processors that the flood itself takes now, about half of two, and turning
    // somebody away costs about a third of a message.
    timed(
        verdicts,
        &format!("2 × capacity: {:.0} % of the capacity goes on (target 33)", kept * 100.0),
        kept >= 0.33,
    );
    let middle = ends - nanos(flood) / 2;
    let later = tally.counts(middle..ends).1 as f64 / (taken as f64 / 2.0);
    timed(
        verdicts,
        &format!("2 × capacity: {:.0} % of the mean rate in the second half (target 90)", later * 100.0),
        later >= 0.9,
    );
    timed(
        verdicts,
        &format!("2 × capacity: p99 of accepted requests {:.0} ms (target 250)", ack.p99),
        ack.p99 <= 250.0,
    );
    let (refused, unadvised) = (tally.refused.load(Relaxed), tally.unadvised.load(Relaxed));
    let unanswered = tally.unanswered.load(Relaxed);
    verdicts.say(
        &format!("2 × capacity: {refused} refused, {unadvised} of them without Retry-After, {unanswered} unanswered (target 0 and 0)"),
        unadvised + unanswered == 0,
    );
    let after = |second: u64| {
        let from = ends + nanos(Duration::from_secs(second));
        let until = from + nanos(Duration::from_secs(1));
        let (sent, taken) = tally.counts(from..until);
        (Percentiles::of(tally.ack_times(from..until)).p99, sent, sent - taken)
    };
    let calm: Vec<(f64, usize, usize)> = (0..CALM_LASTS.as_secs()).map(after).collect();
    for (second, (p99, _, refused)) in calm.iter().enumerate() {
        println!("second {second} after the flood: p99 {p99:.1} ms, {refused} refused");
    }
    let recovered = calm.windows(3).position(|three| {
        three.iter().all(|(p99, sent, refused)| *sent > 0 && *p99 <= CALM_ANSWER_MS && *refused == 0)
    });
    timed(
        verdicts,
        &format!(
            "recovered {} after the flood: three seconds in a row with nothing refused and p99 within {CALM_ANSWER_MS} ms (target 5 s)",
            recovered.map_or("too late".to_owned(), |second| format!("{second} s"))
        ),
        recovered.is_some_and(|second| second <= 5),
    );
    let half =
        memory.iter().filter(|(at, _)| *at > seconds / 2.0 && *at <= seconds).copied().collect::<Vec<_>>();
    let growth = slope(&half) * 60.0;
    let text = format!(
        "memory in the second half: {growth:+.2} MiB a minute (target 1), {:.0} MiB at most",
        memory.iter().map(|(_, rss)| *rss).fold(0.0, f64::max)
    );
    if flood >= TELLING {
        verdicts.say(&text, growth <= 1.0);
    } else {
        println!("{text}; not judged: {} s are too short to tell growth from warming up", flood.as_secs());
    }
    counts(&tally, verdicts);
    running.stop()
}

/// What is a matter of speed: a build for tests is only asked that nothing is lost, doubled or left unanswered.
fn timed(verdicts: &mut Verdicts, what: &str, met: bool) {
    if cfg!(debug_assertions) {
        println!("{what}; not judged: this is a build for tests");
    } else {
        verdicts.say(what, met);
    }
}

/// Conversations that are asked what the daemon can do.
const PROBED: usize = 1000;

fn counts(tally: &Tally, verdicts: &mut Verdicts) {
    let mut missing = [0_u64; 4];
    for (stream, count) in tally.missing_by_stream() {
        missing[With::of(stream) as usize] += count;
    }
    for with in With::ALL.into_iter().filter(|with| missing[*with as usize] > 0) {
        println!("not arrived at the {} provider: {}", with.name(), missing[with as usize]);
    }
    let lost: u64 = missing.iter().sum();
    let order = tally.order_breaks.load(Relaxed);
    let mut doubled = [0_u64; 4];
    for (stream, count) in tally.duplicates().iter().enumerate() {
        doubled[With::of(stream) as usize] += count;
    }
    let lies = doubled[With::Lying as usize];
    let others: u64 = doubled.iter().sum::<u64>() - lies;
    println!("\n| kills | acknowledged | lost | out of order | duplicates |\n|---|---|---|---|---|");
    println!(
        "| 0 | {} | {lost} | {order} | {lies} where the provider hid that it took a message, {others} elsewhere |\n",
        tally.acks.load(Relaxed)
    );
    verdicts.say(&format!("soak: {lost} acknowledged messages lost"), lost == 0);
    verdicts.say(&format!("soak: {order} out of order"), order == 0);
    verdicts.say(&format!("soak: {others} duplicates that no lie explains"), others == 0);
}

/// Least squares: how fast the second number grows with the first.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    if under > 0.0 { over / under } else { 0.0 }
}
