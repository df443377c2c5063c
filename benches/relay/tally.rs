//! What became of every message of a round: when it was sent, when it was acknowledged, when the sink had it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Moments in nanoseconds since the tally was made; zero is never. Shared by the generator's and the sink's threads.
pub struct Tally {
    epoch: Instant,
    /// Messages that must keep their order among themselves are `n` with the same remainder.
    pub streams: usize,
    /// How many people each message goes to.
    pub recipients: usize,
    sent: Vec<AtomicU64>,
    acked: Vec<AtomicU64>,
    arrived: Vec<AtomicU64>,
    /// The latest message that arrived, for each stream and recipient, plus one.
    latest: Vec<AtomicU32>,
    pub arrivals: AtomicU64,
    pub acks: AtomicU64,
    /// By stream, since it depends on where they go whether there may be any.
    duplicates: Vec<AtomicU64>,
    pub order_breaks: AtomicU64,
    /// Answers that were no success: an overloaded daemon's 503 above all.
    pub refused: AtomicU64,
    /// Those of them that did not say when to come again.
    pub unadvised: AtomicU64,
    /// Requests whose connection broke before an answer.
    pub unanswered: AtomicU64,
    /// What the sink could not tell the number of.
    pub strangers: AtomicU64,
}

fn zeros(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

impl Tally {
    pub fn new(messages: usize, streams: usize, recipients: usize) -> Tally {
        Tally {
            epoch: Instant::now(),
            streams,
            recipients,
            sent: zeros(messages),
            acked: zeros(messages),
            arrived: zeros(messages * recipients),
            latest: (0..streams * recipients).map(|_| AtomicU32::new(0)).collect(),
            arrivals: AtomicU64::new(0),
            acks: AtomicU64::new(0),
            duplicates: zeros(streams),
            order_breaks: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unadvised: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> u64 {
        // The first nanosecond is given away so that zero can mean never.
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    pub fn messages(&self) -> usize {
        self.sent.len()
    }

    /// A message leaves, or in an open loop: should leave.
    pub fn sent(&self, n: usize, at: u64) {
        self.sent[n].store(at, Relaxed);
    }

    pub fn acked(&self, n: usize) {
        self.acked[n].store(self.now(), Relaxed);
        self.acks.fetch_add(1, Relaxed);
    }

    /// The sink has a message for one of its recipients.
    pub fn arrived(&self, n: usize, recipient: usize) {
        if n >= self.sent.len() || recipient >= self.recipients {
            self.strangers.fetch_add(1, Relaxed);
            return;
        }
        if self.arrived[n * self.recipients + recipient]
            .compare_exchange(0, self.now(), Relaxed, Relaxed)
            .is_err()
        {
            self.duplicates[n % self.streams].fetch_add(1, Relaxed);
            return;
        }
        self.arrivals.fetch_add(1, Relaxed);
        let turn = u32::try_from(n / self.streams).unwrap_or(u32::MAX - 1) + 1;
        let latest = &self.latest[(n % self.streams) * self.recipients + recipient];
        if latest.fetch_max(turn, Relaxed) > turn {
            self.order_breaks.fetch_add(1, Relaxed);
        }
    }

    /// Deliveries that came once more, by stream.
    pub fn duplicates(&self) -> Vec<u64> {
        self.duplicates.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// How many were sent in a part of the time, and how many of these were acknowledged.
    pub fn counts(&self, window: std::ops::Range<u64>) -> (usize, usize) {
        let both = self.sent.iter().zip(&self.acked).filter(|(sent, _)| window.contains(&sent.load(Relaxed)));
        both.fold((0, 0), |(sent, acked), (_, at)| (sent + 1, acked + usize::from(at.load(Relaxed) > 0)))
    }

    /// Deliveries of acknowledged messages that the sink does not have.
    pub fn missing(&self) -> u64 {
        self.missing_by_stream().map(|(_, missing)| missing).sum()
    }

    /// The same, with the stream of each message.
    pub fn missing_by_stream(&self) -> impl Iterator<Item = (usize, u64)> {
        let acked = self.acked.iter().enumerate().filter(|(_, acked)| acked.load(Relaxed) > 0);
        acked.map(|(n, _)| {
            let own = &self.arrived[n * self.recipients..][..self.recipients];
            (n % self.streams, own.iter().filter(|at| at.load(Relaxed) == 0).count() as u64)
        })
    }

    /// From the first message's leaving: to the last acknowledgement, and to the last arrival; in seconds.
    pub fn spans(&self) -> (f64, f64) {
        let first = self.sent.iter().map(|at| at.load(Relaxed)).filter(|at| *at > 0).min().unwrap_or(0);
        let last = |all: &[AtomicU64]| all.iter().map(|at| at.load(Relaxed)).max().unwrap_or(0);
        let seconds = |until: u64| until.saturating_sub(first) as f64 / 1e9;
        (seconds(last(&self.acked)), seconds(last(&self.arrived)))
    }

    /// When the first message left.
    pub fn begun(&self) -> u64 {
        self.sent.iter().map(|sent| sent.load(Relaxed)).filter(|sent| *sent > 0).min().unwrap_or_default()
    }

    /// Milliseconds from leaving to acknowledgement, of those sent in a part of the time.
    pub fn ack_times(&self, window: std::ops::Range<u64>) -> Vec<f64> {
        let both =
            self.sent.iter().zip(&self.acked).map(|(sent, acked)| (sent.load(Relaxed), acked.load(Relaxed)));
        both.filter(|(sent, acked)| *acked > 0 && window.contains(sent)).map(millis).collect()
    }

    /// The parts of a twentieth of a second in which something left that was acknowledged after more than so many
    /// milliseconds: seconds since the first left, how many left, and the longest time.
    pub fn slow_moments(&self, most: f64) -> Vec<(f64, usize, f64)> {
        const MOMENT: u64 = 50_000_000;
        let begun = self.begun();
        let mut moments: BTreeMap<u64, (usize, f64)> = BTreeMap::new();
        for (sent, acked) in self.sent.iter().zip(&self.acked) {
            let (sent, acked) = (sent.load(Relaxed), acked.load(Relaxed));
            if sent > 0 && acked > 0 {
                let (count, longest) = moments.entry((sent - begun) / MOMENT).or_default();
                (*count, *longest) = (*count + 1, longest.max(millis((sent, acked))));
            }
        }
        let slow = moments.into_iter().filter(|(_, (_, longest))| *longest > most);
        slow.map(|(moment, (count, longest))| ((moment * MOMENT) as f64 / 1e9, count, longest)).collect()
    }

    /// Milliseconds from leaving to arrival at the sink.
    pub fn relay_times(&self, window: std::ops::Range<u64>) -> Vec<f64> {
        let mut times = Vec::new();
        for (n, sent) in self.sent.iter().enumerate() {
            let sent = sent.load(Relaxed);
            if sent == 0 || !window.contains(&sent) {
                continue;
            }
            for at in &self.arrived[n * self.recipients..][..self.recipients] {
                let at = at.load(Relaxed);
                if at > 0 {
                    times.push(millis((sent, at)));
                }
            }
        }
        times
    }
}

fn millis((from, until): (u64, u64)) -> f64 {
    until.saturating_sub(from) as f64 / 1e6
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Percentiles {
    /// Exact, from every time there is: there are few enough to sort.
    pub fn of(mut times: Vec<f64>) -> Percentiles {
        times.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let rank = ((times.len() as f64 * part).ceil() as usize).saturating_sub(1);
            times.get(rank).copied().unwrap_or(f64::NAN)
        };
        Percentiles { p50: at(0.50), p99: at(0.99), p999: at(0.999) }
    }
}
