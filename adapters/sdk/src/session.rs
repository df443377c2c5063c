//! One socket, from its first frame to its end.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use trunkline_adapter::{
    Answer, BoxFuture, Caller, Clock, Denied, Member, Notice, Reception, Stream, Timestamp, Tokens,
};

use crate::call;
use crate::frame::{self, Frame};
use crate::greeting;
use crate::header::{self, Header, Status};
use crate::registry::{Phase, Registry, Seat};
use crate::websocket::Code;
use crate::wire::{Came, Lost, Wire};

/// Calls of one socket that are worked on at once; the next is read when one is done.
const CALLS: usize = 32;
/// Bytes of bodies of such calls.
const HELD: usize = 512 * 1024;
/// How long a call may take. Clients wait as long.
const CALL: Duration = Duration::from_secs(30);
/// How often a silent socket is asked whether it is there; a second silence ends it. Proxies drop what is silent for a
/// minute.
const PING: Duration = Duration::from_secs(25);
/// How long before its end a token is said to end soon, unless it never had as long.
const WARNING: Duration = Duration::from_secs(180);
/// Everybody who has to go goes within this time, each at a moment of their own.
const SPREAD: Duration = Duration::from_secs(5);
/// What is being worked on when somebody has to go may take so long.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// Serves one socket.
pub(crate) async fn serve(
    stream: Box<dyn Stream>,
    reception: Reception,
    clock: Clock,
    registry: Arc<Registry>,
) {
    let Some(_place) = registry.place(reception.crowd) else { return };
    // On its own so that what only the greeting needs is not kept for as long as the session lasts.
    let Some((wire, guest)) = Box::pin(greeting::greet(Wire::new(stream), &reception, &registry)).await
    else {
        return;
    };
    let phase = registry.phase();
    let now = Instant::now();
    let mut session = Session {
        wire,
        member: guest.member,
        seat: guest.seat,
        tokens: reception.tokens,
        clock,
        phase,
        calls: FuturesUnordered::new(),
        held: 0,
        heard: true,
        times: Times::of(&guest.caller, clock, now),
        caller: guest.caller,
        timer: Box::pin(sleep_until(now)),
    };
    drop(reception.host);
    let end = session.run().await;
    if matches!(end, End::Told(_)) {
        session.member.goodbye();
    }
    session.wire.end(end).await;
}

/// How a session ends.
pub(crate) enum End {
    /// The socket is gone, or the client is on another one by now.
    Lost,
    /// The client said so, or is to come again.
    Going,
    /// What it sends is no frame.
    Malformed,
    /// It may not stay, and is told why.
    Told(Status<'static>),
}

impl From<Lost> for End {
    fn from(_: Lost) -> End {
        End::Lost
    }
}

impl Wire {
    async fn end(mut self, end: End) {
        match end {
            End::Lost => self.leave().await,
            End::Going => self.close(Code::GoingAway).await,
            End::Malformed => self.close(Code::Protocol).await,
            End::Told(status) => {
                let id = self.next_id();
                if self.write(header::close(&id, &status)).await.is_ok() {
                    self.close(Code::Normal).await;
                }
            }
        }
    }
}

/// When something is due whoever is silent.
struct Times {
    ping: Instant,
    /// The token's end is to be told.
    warn: Option<Instant>,
    expire: Instant,
    /// The client has to go.
    leave: Option<Instant>,
}

impl Times {
    fn of(caller: &Caller, clock: Clock, now: Instant) -> Times {
        let (warn, expire) = ends(caller.expires, clock, now);
        Times { ping: now + PING, warn: Some(warn), expire, leave: None }
    }

    fn next(&self) -> Instant {
        let soonest = self.ping.min(self.expire);
        [self.warn, self.leave].into_iter().flatten().fold(soonest, Instant::min)
    }
}

/// When a token's end is told, and when it comes. One with less than twice the usual warning is told at half its time:
/// a client whose tokens are all short would otherwise ask for a new one without end.
fn ends(expires: Timestamp, clock: Clock, now: Instant) -> (Instant, Instant) {
    let left = expires.since(clock.now());
    (now + left - WARNING.min(left / 2), now + left)
}

/// What has happened.
enum Event {
    Phase,
    /// The client is on another socket.
    Moved,
    Due,
    Answered(Done),
    Came(Result<Came, Lost>),
    Notice(Option<Notice>),
}

/// A call that is done.
struct Done {
    id: String,
    held: usize,
    answer: Answer,
}

struct Session {
    wire: Wire,
    caller: Caller,
    member: Arc<dyn Member>,
    seat: Seat,
    tokens: Arc<dyn Tokens>,
    clock: Clock,
    phase: watch::Receiver<Phase>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Bytes of the bodies of those calls.
    held: usize,
    /// Anything was heard since the last ping.
    heard: bool,
    times: Times,
    timer: Pin<Box<Sleep>>,
}

impl Session {
    async fn run(&mut self) -> End {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(end)) | Err(end) => return end,
            }
        }
    }

    /// Takes what happens next. What was written leaves when nothing else is waiting to be written.
    async fn step(&mut self) -> Result<Option<End>, End> {
        let event = match self.event().now_or_never() {
            Some(event) => event,
            None => {
                if self.wire.unsent {
                    self.wire.flush().await?;
                }
                self.event().await
            }
        };
        match event {
            Event::Phase => return Ok(self.phase_changed()),
            Event::Moved => return Ok(Some(End::Lost)),
            Event::Due => return self.due().await,
            Event::Answered(done) => self.answered(done).await?,
            Event::Came(came) => {
                self.heard = true;
                match came? {
                    Came::Frame(frame) => return self.frame(frame).await,
                    Came::Sign => {}
                    Came::Goodbye => {
                        self.member.goodbye();
                        return Ok(Some(End::Lost));
                    }
                }
            }
            Event::Notice(None) => return Ok(Some(End::Going)),
            Event::Notice(Some(notice)) => {
                let id = self.wire.next_id();
                self.wire.write(header::notification(&id, &notice)).await?;
            }
        }
        Ok(None)
    }

    /// What happens next. Dropping the future loses nothing.
    async fn event(&mut self) -> Event {
        let next = self.times.next();
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        let room = self.calls.len() < CALLS && self.held < HELD;
        let (calls, wire) = (&mut self.calls, &mut self.wire);
        tokio::select! {
            biased;
            // The sender lives in the registry, which the seat holds.
            _ = self.phase.changed() => Event::Phase,
            () = self.seat.cut.notified() => Event::Moved,
            () = self.timer.as_mut() => Event::Due,
            Some(done) = calls.next(), if !calls.is_empty() => Event::Answered(done),
            came = async { if room { wire.read().await } else { pending().await } } => Event::Came(came),
            notice = self.member.next() => Event::Notice(notice),
        }
    }

    fn phase_changed(&mut self) -> Option<End> {
        let phase = *self.phase.borrow_and_update();
        if phase.draining && self.times.leave.is_none() {
            // The token is chance already.
            let spread = u64::try_from(SPREAD.as_millis()).unwrap_or(1);
            let moment = u64::try_from(self.seat.token % u128::from(spread)).unwrap_or(0);
            self.times.leave = Some(Instant::now() + Duration::from_millis(moment));
        }
        if self.tokens.stands(&self.caller) { None } else { Some(End::Told(Status::of(401, "Unauthorized"))) }
    }

    async fn due(&mut self) -> Result<Option<End>, End> {
        let now = Instant::now();
        if self.times.leave.is_some_and(|leave| leave <= now) {
            self.last_calls().await?;
            return Ok(Some(End::Going));
        }
        if self.times.expire <= now {
            return Ok(Some(End::Told(Status::of(410, "Token expired"))));
        }
        if self.times.warn.is_some_and(|warn| warn <= now) {
            self.times.warn = None;
            let id = self.wire.next_id();
            self.wire.write(header::about_to_expire(&id)).await?;
        }
        if self.times.ping <= now {
            if !std::mem::take(&mut self.heard) {
                return Err(End::Lost);
            }
            self.times.ping = now + PING;
            self.wire.ping();
        }
        Ok(None)
    }

    /// Answers what is being worked on, and reads nothing new.
    async fn last_calls(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + LAST_CALLS;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.calls.next()).await {
            self.answered(done).await?;
        }
        Ok(())
    }

    async fn answered(&mut self, done: Done) -> Result<(), Lost> {
        self.held = self.held.saturating_sub(done.held);
        self.wire.write(header::answer(&done.id, done.answer.status, &done.answer.body)).await
    }

    async fn frame(&mut self, message: Bytes) -> Result<Option<End>, End> {
        let Ok(Frame { header, payload }) = frame::decode(message) else { return Err(End::Malformed) };
        let Some(mut header) = Header::read(&header, &payload) else { return Err(End::Malformed) };
        let status = match header.method.as_ref() {
            // The clients' acknowledgements, and what they tell of themselves.
            "reply" | "telemetry.v1" => return Ok(None),
            "close" => {
                self.member.goodbye();
                return Ok(Some(End::Going));
            }
            "message" => {
                let held = payload.len();
                match call::read(&mut header, payload) {
                    Some(call) => {
                        self.held += held;
                        let work = Arc::clone(&self.member).request(call);
                        self.calls.push(under_way(header.id.into_owned(), held, work).boxed());
                        return Ok(None);
                    }
                    None => Status::http(400),
                }
            }
            "update" => return self.update(&header).await.map(|()| None),
            // Push contexts that only other products' clients use.
            "put_notification_ctx" | "delete_notification_ctx" => Status::OK,
            _ => Status::http(400),
        };
        self.wire.write(header::reply(&header.id, &status, b"")).await?;
        Ok(None)
    }

    /// Takes a new token in place of the old one, which stays when the new one is refused.
    async fn update(&mut self, header: &Header<'_>) -> Result<(), End> {
        let token = header.token.as_deref().unwrap_or_default();
        let verified = greeting::in_time(self.tokens.verify(token)).await.and_then(|caller| {
            if self.caller.same_person(&caller) {
                return Ok(caller);
            }
            let text = "The Access Token is somebody else's".to_owned();
            Err(Denied { status: 403, code: 20103, text })
        });
        let written = match verified {
            Ok(caller) => {
                let (warn, expire) = ends(caller.expires, self.clock, Instant::now());
                self.times = Times { warn: Some(warn), expire, ..self.times };
                self.caller = caller.clone();
                self.member.renew(caller);
                header::reply(&header.id, &Status::OK, b"")
            }
            Err(denied) => header::reply(&header.id, &Status::denied(&denied), b""),
        };
        Ok(self.wire.write(written).await?)
    }
}

/// A call that is worked on. It goes on in a task of its own when nobody waits for it any more.
async fn under_way(id: String, held: usize, work: BoxFuture<'static, Answer>) -> Done {
    let answer = match timeout(CALL, tokio::spawn(work)).await {
        Ok(Ok(answer)) => answer,
        // It took too long, or it broke: the client may ask again.
        Ok(Err(_)) | Err(_) => unavailable(),
    };
    Done { id, held, answer }
}

fn unavailable() -> Answer {
    let body = br#"{"status":503,"code":20503,"message":"Service unavailable"}"#;
    Answer { status: 503, body: Bytes::from_static(body) }
}
