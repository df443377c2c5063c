//! Sends requests that were made before, over raw connections, and notes when each was sent and answered.
//!
//! Message `n` belongs to connection `n % connections`, so what one conversation says stays in order as long as the
//! number of connections divides the number of conversations. One thread, no allocation per request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tally::Tally;
use super::wire;

/// Where requests come from, by number.
pub trait Requests: Send + Sync {
    fn len(&self) -> usize;

    /// Appends the whole request.
    fn write(&self, n: usize, out: &mut Vec<u8>);
}

/// Requests as bytes, one behind the other, made before the clock starts.
#[derive(Default)]
pub struct Pool {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pool {
    pub fn push(&mut self, head: &str, body: &[u8]) {
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(body);
        self.ends.push(self.bytes.len());
    }
}

impl Requests for Pool {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn write(&self, n: usize, out: &mut Vec<u8>) {
        let begin = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.bytes[begin..self.ends[n]]);
    }
}

/// When requests leave.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends its next one as soon as the last is answered.
    Closed,
    /// So many a second leave whatever becomes of them; times count from when each should have left.
    Open(f64),
    /// As open, and then calmer. Times count from when each really left, since whoever is turned away here would have
    /// opened a connection of its own; what is too late to be sent is left out.
    Flood { rate: f64, lasting: Duration, calm: f64 },
}

impl Pace {
    /// When a message is due, in nanoseconds from the beginning.
    fn due(self, n: usize) -> Option<u64> {
        let seconds = match self {
            Pace::Closed => return None,
            Pace::Open(rate) => n as f64 / rate,
            Pace::Flood { rate, lasting, calm } => {
                let flood = lasting.as_secs_f64();
                let before = n as f64 / rate;
                if before < flood { before } else { flood + (n as f64 - flood * rate) / calm }
            }
        };
        Some((seconds * 1e9) as u64)
    }
}

/// How late a message of a flood may be.
const STALE: u64 = 1_000_000_000;

#[derive(Clone)]
pub struct Order {
    pub target: SocketAddr,
    pub pool: Arc<dyn Requests>,
    pub tally: Arc<Tally>,
    pub connections: usize,
    pub pace: Pace,
    pub lasting: Duration,
    /// Ends the round early.
    pub stop: Arc<AtomicBool>,
}

/// Runs to the end of the time or of the pool.
pub fn run(order: &Order) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..order.connections {
            open.push(connect(order.target).await?);
        }
        let begun = order.tally.now();
        let mut tasks = tokio::task::JoinSet::new();
        for (at, stream) in open.into_iter().enumerate() {
            let order = order.clone();
            tasks.spawn(async move { connection(&order, at, stream, begun).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    })
}

async fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn connection(order: &Order, at: usize, mut stream: TcpStream, begun: u64) -> io::Result<()> {
    let tally = &order.tally;
    let until = begun + u64::try_from(order.lasting.as_nanos()).unwrap_or(u64::MAX);
    let (mut request, mut buffer) = (Vec::with_capacity(2048), Vec::with_capacity(4096));
    let mut n = at;
    while n < order.pool.len().min(tally.messages()) && !order.stop.load(Relaxed) {
        let due = order.pace.due(n).map(|due| begun + due);
        if due.unwrap_or_else(|| tally.now()) >= until {
            break;
        }
        if let Some(due) = due.filter(|due| *due > tally.now()) {
            tokio::time::sleep_until((tally.epoch() + Duration::from_nanos(due)).into()).await;
        }
        let now = tally.now();
        // Behind schedule by the whole round: what is left was never sent and says so by being absent.
        if now > until + LATE {
            break;
        }
        let flood = matches!(order.pace, Pace::Flood { .. });
        if flood && due.is_some_and(|due| now > due + STALE) {
            n += order.connections;
            continue;
        }
        tally.sent(n, due.filter(|_| !flood).unwrap_or(now));
        request.clear();
        order.pool.write(n, &mut request);
        match exchange(&mut stream, &request, &mut buffer).await {
            Ok(Answer { status: 200..=299, .. }) => tally.acked(n),
            Ok(answer) => {
                tally.refused.fetch_add(1, Relaxed);
                if !answer.advised {
                    tally.unadvised.fetch_add(1, Relaxed);
                }
                if answer.closes {
                    stream = reconnect(order).await?;
                }
            }
            Err(_) => {
                tally.unanswered.fetch_add(1, Relaxed);
                stream = reconnect(order).await?;
            }
        }
        n += order.connections;
    }
    Ok(())
}

/// How far an open loop may run over its time to send what was due before.
const LATE: u64 = 5_000_000_000;

async fn reconnect(order: &Order) -> io::Result<TcpStream> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match connect(order.target).await {
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Ok(stream) => return Ok(stream),
        }
    }
}

/// What matters of an answer.
struct Answer {
    status: u16,
    /// The other side will close.
    closes: bool,
    /// It says when to come again.
    advised: bool,
}

async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<Answer> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(answer) = answer(buffer)? {
            return Ok(answer);
        }
    }
}

/// An answer that is all there.
fn answer(buffer: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = wire::head_end(buffer) else { return Ok(None) };
    let head = &buffer[..end];
    let status = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let status: u16 = status.ok_or_else(|| io::Error::other("an answer without a status"))?;
    if status != 204 && buffer.len() < end + wire::content_length(head).unwrap_or(0) {
        return Ok(None);
    }
    let closes = wire::header(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    let advised = wire::header(head, b"retry-after").is_some();
    Ok(Some(Answer { status, closes, advised }))
}
