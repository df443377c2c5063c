//! The providers: answers as they would and notes what arrived. One thread, raw HTTP/1.1.
//!
//! The first part of the path says who it plays: `us` Twilio, `slow` and `lying` Twilio in a bad mood, `wa` and `pages`
//! Meta's Graph, `raw` nobody in particular.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::manners::{Courier, Liar};
use super::tally::Tally;
use super::wire;

/// A sink that lives as long as the bench.
pub struct Sink {
    pub address: SocketAddr,
    /// Where nobody listens until [`Sink::revive`].
    pub dead: SocketAddr,
    desk: Arc<Desk>,
    door: watch::Sender<bool>,
}

struct Desk {
    tally: Mutex<Arc<Tally>>,
    serial: AtomicU64,
    /// Whether `slow` is slow and `lying` lies.
    honest: AtomicBool,
    liar: Mutex<Liar>,
    courier: OnceLock<Courier>,
}

impl Sink {
    pub fn start() -> io::Result<Sink> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // Ids must differ from those of every other run on the same store.
        let born = std::time::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs()) << 28;
        let desk = Arc::new(Desk {
            tally: Mutex::new(Arc::new(Tally::new(0, 1, 1))),
            serial: AtomicU64::new(born),
            honest: AtomicBool::new(false),
            liar: Mutex::default(),
            courier: OnceLock::new(),
        });
        // Bound and not listened on: connections are refused, and nobody else gets the port.
        let shut = TcpSocket::new_v4()?;
        shut.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let dead = shut.local_addr()?;
        let (door, mut opened) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let behind = Arc::clone(&desk);
        std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::spawn(accept(listener, Arc::clone(&behind)));
                if opened.wait_for(|open| *open).await.is_ok()
                    && let Ok(listener) = shut.listen(1024)
                {
                    accept(listener, behind).await;
                }
                // The sink lives as long as the process.
                std::future::pending::<()>().await;
            });
        })?;
        Ok(Sink { address, dead, desk, door })
    }

    /// The dead one lives, the slow one is quick and the lying one honest from now on.
    pub fn revive(&self) {
        self.desk.honest.store(true, Relaxed);
        self.door.send_replace(true);
    }

    /// Who brings the lying provider's statuses.
    pub fn employ(&self, courier: Courier) {
        let _ = self.desk.courier.set(courier);
    }

    /// From now on arrivals are noted here.
    pub fn note(&self, tally: &Arc<Tally>) {
        if let Ok(mut current) = self.desk.tally.lock() {
            *current = Arc::clone(tally);
        }
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, Arc::clone(&desk)));
    }
}

async fn serve(mut stream: TcpStream, desk: Arc<Desk>) -> io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    let mut answer = Vec::with_capacity(2048);
    loop {
        let Some((end, whole)) = complete(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let tally =
            desk.tally.lock().map(|tally| Arc::clone(&tally)).map_err(|_| io::Error::other("poisoned"))?;
        let (head, body) = (&buffer[..end], &buffer[end..whole]);
        let place = Place::of(head);
        // Kannel puts the text into the URL.
        let number = wire::number(body).or_else(|| wire::number(head));
        match number {
            Some(n) => tally.arrived(n, if tally.recipients > 1 { recipient(head, body) } else { 0 }),
            None => drop(tally.strangers.fetch_add(1, Relaxed)),
        }
        answer.clear();
        let serial = desk.serial.fetch_add(1, Relaxed);
        if desk.honest.load(Relaxed) || !matches!(place, Place::Slow | Place::Lying) {
            place.answer(serial, &mut answer);
        } else if place == Place::Slow {
            tokio::time::sleep(SLOWNESS).await;
            place.answer(serial, &mut answer);
        } else if !desk.liar.lock().is_ok_and(|mut liar| liar.lie(serial, number, &mut answer)) {
            place.answer(serial, &mut answer);
            if let Some(courier) = desk.courier.get() {
                courier.contradict(serial, body);
            }
        }
        buffer.drain(..whole);
        stream.write_all(&answer).await?;
    }
}

/// Where the first request's body begins and ends, if it is all there.
fn complete(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = wire::head_end(buffer)?;
    let whole = end + wire::content_length(&buffer[..end]).unwrap_or(0);
    (buffer.len() >= whole).then_some((end, whole))
}

/// Which of the people a message goes to: the last digit of the number, or what the do-nothing relay says.
fn recipient(head: &[u8], body: &[u8]) -> usize {
    if let Some(value) = wire::header(head, b"x-recipient") {
        return value.first().map_or(usize::MAX, |digit| usize::from(digit.wrapping_sub(b'0')));
    }
    let digits = body.strip_prefix(b"To=%2B").unwrap_or_default();
    let last = digits.iter().take_while(|byte| byte.is_ascii_digit()).last();
    last.map_or(usize::MAX, |digit| usize::from(digit - b'0'))
}

/// How long the slow provider takes.
const SLOWNESS: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Twilio,
    /// Twilio, a second later.
    Slow,
    /// Twilio, whose word cannot be trusted.
    Lying,
    Graph,
    Raw,
}

/// What Twilio says, with thirty-two zeros where the id's digits go.
const CREATED: &str = concat!(
    r#"{"account_sid":"AC00000000000000000000000000000009","api_version":"2010-04-01","body":"a message of the bench","#,
    r#""date_created":"Sun, 22 Nov 2026 12:00:00 +0000","date_sent":null,"date_updated":"Sun, 22 Nov 2026 12:00:00 +0000","#,
    r#""direction":"outbound-api","error_code":null,"error_message":null,"from":"+15550000000","#,
    r#""messaging_service_sid":null,"num_media":"0","num_segments":"1","price":null,"price_unit":"USD","#,
    r#""sid":"SM00000000000000000000000000000000","status":"queued","#,
    r#""subresource_uris":{"media":"/2010-04-01/Accounts/AC00000000000000000000000000000009/Messages/Media.json"},"#,
    r#""to":"+15560000000","uri":"/2010-04-01/Accounts/AC00000000000000000000000000000009/Messages/One.json"}"#,
);

impl Place {
    fn of(head: &[u8]) -> Place {
        let path = head.splitn(3, |byte| *byte == b' ').nth(1).unwrap_or_default();
        match path.split(|byte| *byte == b'/').nth(1) {
            Some(b"us" | b"us2" | b"dead") => Place::Twilio,
            Some(b"slow") => Place::Slow,
            Some(b"lying") => Place::Lying,
            Some(b"pages" | b"wa") => Place::Graph,
            _ => Place::Raw,
        }
    }

    fn answer(self, serial: u64, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a vector cannot fail.
        let _ = match self {
            Place::Twilio | Place::Slow | Place::Lying => {
                let (before, after) =
                    CREATED.split_once("SM00000000000000000000000000000000").unwrap_or_default();
                write!(
                    out,
                    "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{before}SM{serial:032x}{after}",
                    CREATED.len()
                )
            }
            Place::Graph => {
                let body = format!(
                    r#"{{"recipient_id":"1000000000000001","message_id":"m_B{serial:016X}","messages":[{{"id":"wamid.B{serial:016X}"}}]}}"#
                );
                write!(
                    out,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
            Place::Raw => write!(out, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        };
    }
}
