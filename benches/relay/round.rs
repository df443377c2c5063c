//! One round: a generator's time against one subject, until the sink has everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Failure;
use super::generator::{self, Order, Pace, Requests};
use super::readings;
use super::running::Running;
use super::sink::Sink;
use super::tally::{Percentiles, Tally};

/// How a round is driven.
#[derive(Clone)]
pub struct Drive {
    pub pool: Arc<dyn Requests>,
    pub streams: usize,
    pub recipients: usize,
    pub connections: usize,
    pub pace: Pace,
    pub lasting: Duration,
    /// Say when acknowledgements were slow.
    pub tell_slow: bool,
}

/// What a round showed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    pub accepted: f64,
    pub relayed: f64,
    pub ack: Percentiles,
    /// As `ack`, of what was sent in the first second, when nothing is in memory yet, and of everything behind it.
    pub cold: Percentiles,
    pub warm: Percentiles,
    pub relay: Percentiles,
    /// Microseconds of processor per accepted message: the subject's, and everybody's.
    pub own_cpu: f64,
    pub all_cpu: f64,
    /// Groups that were synced, per accepted message; the daemon's own count.
    pub syncs: f64,
    /// Bytes handed to the storage layer per accepted message, as the kernel counts.
    pub written: f64,
    pub rss_mib: f64,
    pub acks: f64,
    pub lost: f64,
    pub duplicates: f64,
    pub order_breaks: f64,
    pub refused: f64,
    pub unanswered: f64,
}

/// Nanoseconds after which a daemon that just started has met every conversation.
const COLD: u64 = 1_000_000_000;

/// Milliseconds beyond which an acknowledgement is slow.
const SLOW: f64 = 15.0;

/// How long the sink may hear nothing before what is missing counts as lost.
const SILENCE: Duration = Duration::from_secs(15);

pub fn run(sink: &Sink, subject: &Running, drive: &Drive) -> Result<Shown, Failure> {
    let tally = Arc::new(Tally::new(drive.pool.len(), drive.streams, drive.recipients));
    sink.note(&tally);
    let order = Order {
        target: subject.target,
        pool: Arc::clone(&drive.pool),
        tally: Arc::clone(&tally),
        connections: drive.connections,
        pace: drive.pace,
        lasting: drive.lasting,
        stop: Arc::new(AtomicBool::new(false)),
    };
    let syncs = || subject.daemon.as_ref().map_or(Ok(f64::NAN), |daemon| daemon.metric(COMMITS));
    let (before, own_before, syncs_before) =
        (readings::read(&subject.pids), readings::read(&[std::process::id()]), syncs()?);
    let sending =
        std::thread::Builder::new().name("generator".to_owned()).spawn(move || generator::run(&order))?;
    sending.join().map_err(|_| "the generator panicked")??;
    drain(&tally, SILENCE);
    let (after, own_after, syncs_after) =
        (readings::read(&subject.pids), readings::read(&[std::process::id()]), syncs()?);
    if let Some(daemon) = &subject.daemon {
        // That a provider is not there is the work, where one is not.
        let lines = daemon.complaints();
        for line in lines.iter().filter(|line| !line.contains("provider unreachable")).take(3) {
            eprintln!("the daemon says: {line}");
        }
    }
    if drive.tell_slow {
        let begun = std::time::SystemTime::now() - Duration::from_nanos(tally.now() - tally.begun());
        let begun = begun.duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
        for (at, count, longest) in tally.slow_moments(SLOW) {
            eprintln!("slow: {at:.2} s ({:.2}): {count} left, the slowest took {longest:.1} ms", begun + at);
        }
    }
    let acks = tally.acks.load(Relaxed) as f64;
    let (acking, relaying) = tally.spans();
    let own = after.cpu_seconds - before.cpu_seconds;
    let all = own + own_after.cpu_seconds - own_before.cpu_seconds;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed) as f64;
    Ok(Shown {
        accepted: acks / acking,
        relayed: count(&tally.arrivals) / relaying,
        ack: Percentiles::of(tally.ack_times(0..u64::MAX)),
        cold: Percentiles::of(tally.ack_times(0..tally.begun() + COLD)),
        warm: Percentiles::of(tally.ack_times(tally.begun() + COLD..u64::MAX)),
        relay: Percentiles::of(tally.relay_times(0..u64::MAX)),
        own_cpu: own / acks * 1e6,
        all_cpu: all / acks * 1e6,
        syncs: (syncs_after - syncs_before) / acks,
        written: after.written_bytes.saturating_sub(before.written_bytes) as f64 / acks,
        rss_mib: after.rss_kib as f64 / 1024.0,
        acks,
        lost: tally.missing() as f64,
        duplicates: tally.duplicates().iter().sum::<u64>() as f64,
        order_breaks: count(&tally.order_breaks),
        refused: count(&tally.refused),
        unanswered: count(&tally.unanswered),
    })
}

/// Each sample is a group of batches that was written and synced together.
pub const COMMITS: &str = "trunkline_commit_batch_size_count";

/// Waits until the sink has everything that was acknowledged, or hears nothing more.
pub fn drain(tally: &Tally, silence: Duration) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let arrivals = tally.arrivals.load(Relaxed);
        let wanted = tally.acks.load(Relaxed) * tally.recipients as u64;
        if arrivals >= wanted && tally.missing() == 0 {
            return;
        }
        if arrivals != seen {
            (seen, since) = (arrivals, Instant::now());
        } else if since.elapsed() > silence {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
