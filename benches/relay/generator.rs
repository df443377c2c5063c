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

/// Requests as bytes, one behind the other.
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

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, n: usize) -> &[u8] {
        let begin = n.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[begin..self.ends[n]]
    }
}

/// When requests leave.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection sends its next one as soon as the last is answered.
    Closed,
    /// So many a second leave whatever becomes of them; times count from when each should have left.
    Open(f64),
}

#[derive(Clone)]
pub struct Order {
    pub target: SocketAddr,
    pub pool: Arc<Pool>,
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
    let mut buffer = Vec::with_capacity(4096);
    let mut n = at;
    while n < order.pool.len().min(tally.messages()) && !order.stop.load(Relaxed) {
        let leaves = match order.pace {
            Pace::Closed => tally.now(),
            Pace::Open(rate) => {
                let leaves = begun + (n as f64 / rate * 1e9) as u64;
                if leaves > tally.now() && leaves < until {
                    let moment = tally.epoch() + Duration::from_nanos(leaves);
                    tokio::time::sleep_until(moment.into()).await;
                }
                leaves
            }
        };
        if leaves >= until {
            break;
        }
        // Behind schedule by the whole round: what is left was never sent and says so by being absent.
        if tally.now() > until + LATE {
            break;
        }
        tally.sent(n, leaves);
        match exchange(&mut stream, order.pool.get(n), &mut buffer).await {
            Ok((200..=299, _)) => tally.acked(n),
            Ok((_, close)) => {
                tally.refused.fetch_add(1, Relaxed);
                if close {
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

/// One request and its answer's status, and whether the other side will close.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<(u16, bool)> {
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

/// The status of an answer that is all there.
fn answer(buffer: &[u8]) -> io::Result<Option<(u16, bool)>> {
    let Some(end) = super::wire::head_end(buffer) else { return Ok(None) };
    let head = &buffer[..end];
    let status = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let status: u16 = status.ok_or_else(|| io::Error::other("an answer without a status"))?;
    let length = super::wire::content_length(head).unwrap_or(0);
    if status != 204 && buffer.len() < end + length {
        return Ok(None);
    }
    Ok(Some((
        status,
        super::wire::header(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close")),
    )))
}
