//! The providers, in the test's process: one HTTP server that answers as Twilio, WhatsApp and Messenger would, keeps
//! what it was sent with the time by its own clock, and misbehaves as told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use trunkline_adapter::simulator::{ProviderAnswer, ProviderRequest, ShownTyping, Simulator, Submission};

use super::PATIENCE;
use super::shelf::Files;

/// What to do with a request that the provider would take.
#[derive(Clone, Debug)]
pub enum Act {
    /// Take it.
    Accept,
    /// The provider's own "slow down", with this `Retry-After` if any.
    Throttle(Option<u64>),
    /// Any other answer.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The wrong token's answer.
    Unauthorised,
    /// Wait, then do the other.
    After(Duration, Box<Act>),
    /// Wait for a permit of this, then do the other.
    Until(Arc<Semaphore>, Box<Act>),
    /// Never answer.
    Hang,
    /// Take it and cut the connection instead of answering.
    TakeAndDrop,
    /// Cut the connection; nothing was taken.
    Drop,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, and said so.
    Accepted,
    /// Taken, and the sender does not know.
    TakenSilently,
    /// Answered with this status, not taken.
    Refused(u16),
    /// Neither taken nor answered.
    Lost,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which provider: the first part of the path.
    pub place: String,
    /// The provider's id for it.
    pub id: String,
    /// When its head was here.
    pub at: Instant,
    /// What it asks for; none when the provider finds it wrong.
    pub submission: Option<Submission>,
    pub path: String,
    pub body: Bytes,
    pub outcome: Outcome,
}

impl Sent {
    pub fn text(&self) -> &str {
        self.submission.as_ref().map_or("", |submission| &submission.text)
    }

    pub fn to(&self) -> &str {
        self.submission.as_ref().map_or("", |submission| submission.to.as_str())
    }

    pub fn from(&self) -> &str {
        self.submission.as_ref().map_or("", |submission| submission.from.as_str())
    }

    pub fn taken(&self) -> bool {
        matches!(self.outcome, Outcome::Accepted | Outcome::TakenSilently)
    }
}

/// A request that waits for a verdict.
pub struct Attempt<'a> {
    pub place: &'a str,
    pub submission: &'a Submission,
    /// How many requests arrived before it.
    pub before: usize,
}

type Script = Box<dyn FnMut(&Attempt<'_>) -> Act + Send>;

struct Desk {
    simulators: Mutex<BTreeMap<String, Arc<dyn Simulator>>>,
    script: Mutex<Script>,
    sent: watch::Sender<Vec<Sent>>,
    typing: watch::Sender<Vec<ShownTyping>>,
    serial: AtomicU64,
    away: AtomicBool,
    files: Arc<Files>,
    /// Ids are unique over all sinks of a store, as they are over a provider's life.
    connections: AtomicU64,
}

/// The providers.
pub struct Sink {
    desk: Arc<Desk>,
    pub address: SocketAddr,
    /// Takes connections; or keeps the port while nobody does.
    door: Mutex<Door>,
    /// Taken out only in `drop`.
    runtime: Option<tokio::runtime::Runtime>,
}

enum Door {
    Open(JoinHandle<()>),
    Shut(TcpSocket),
    /// Between the two.
    Moving,
}

impl Sink {
    /// Listens; answers once [`Sink::open`] told it who it is.
    pub async fn start() -> Sink {
        // On a thread of its own: what a test is busy with must not blur the times of arrival.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bound = async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let listener = runtime.spawn(bound).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            simulators: Mutex::default(),
            script: Mutex::new(Box::new(|_| Act::Accept)),
            sent: watch::Sender::new(Vec::new()),
            typing: watch::Sender::new(Vec::new()),
            serial: AtomicU64::new(1),
            away: AtomicBool::new(false),
            files: Arc::default(),
            connections: AtomicU64::new(0),
        });
        let door = Mutex::new(Door::Open(runtime.spawn(accept(listener, desk.clone()))));
        Sink { desk, address, door, runtime: Some(runtime) }
    }

    /// Away: connections are refused, and those that are there are cut when something comes over them. What has arrived
    /// is answered.
    pub async fn shut(&self) {
        self.away(true);
        let before = std::mem::replace(&mut *self.door.lock().unwrap(), Door::Moving);
        if let Door::Open(accepting) = before {
            accepting.abort();
            // The listener is closed when the task has ended.
            let _ = accepting.await;
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        *self.door.lock().unwrap() = Door::Shut(socket);
    }

    /// Back after [`Sink::shut`], on the same port.
    pub fn open_again(&self) {
        let mut door = self.door.lock().unwrap();
        if let Door::Shut(socket) = std::mem::replace(&mut *door, Door::Moving) {
            let runtime = self.runtime.as_ref().unwrap();
            let _inside = runtime.enter();
            let listener = socket.listen(1024).unwrap();
            self.away(false);
            *door = Door::Open(runtime.spawn(accept(listener, self.desk.clone())));
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The providers that answer here.
    pub fn open(&self, simulators: BTreeMap<String, Arc<dyn Simulator>>) {
        *self.desk.simulators.lock().unwrap() = simulators;
    }

    /// What the providers keep.
    pub fn files(&self) -> &Arc<Files> {
        &self.desk.files
    }

    pub fn simulator(&self, place: &str) -> Arc<dyn Simulator> {
        self.desk.simulators.lock().unwrap()[place].clone()
    }

    /// From now on each request is judged by this.
    pub fn script(&self, script: impl FnMut(&Attempt<'_>) -> Act + Send + 'static) {
        *self.desk.script.lock().unwrap() = Box::new(script);
    }

    /// Judges every request alike from now on.
    pub fn always(&self, act: Act) {
        self.script(move |_| act.clone());
    }

    /// Away: connections are cut as soon as something comes over them.
    pub fn away(&self, away: bool) {
        self.desk.away.store(away, Ordering::SeqCst);
    }

    /// Everything that arrived so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.desk.sent.borrow().clone()
    }

    /// To follow what arrives.
    pub fn arrivals(&self) -> watch::Receiver<Vec<Sent>> {
        self.desk.sent.subscribe()
    }

    /// What was taken for this person.
    pub fn taken_for(&self, to: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.taken() && sent.to() == to).collect()
    }

    /// What was shown of somebody who writes, once it was so often.
    pub async fn typing(&self, times: usize) -> Vec<ShownTyping> {
        let mut shown = self.desk.typing.subscribe();
        let waited = tokio::time::timeout(PATIENCE, shown.wait_for(|shown| shown.len() >= times)).await;
        match waited {
            Ok(shown) => shown.unwrap().clone(),
            Err(_) => panic!("typing was not shown {times} times: {:?}", self.typing_so_far()),
        }
    }

    pub fn typing_so_far(&self) -> Vec<ShownTyping> {
        self.desk.typing.borrow().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.desk.connections.load(Ordering::SeqCst)
    }

    /// Waits until what arrived satisfies `enough`.
    pub async fn wait(&self, what: &str, enough: impl Fn(&[Sent]) -> bool) -> Vec<Sent> {
        self.wait_within(PATIENCE, what, enough).await
    }

    pub async fn wait_within(
        &self,
        patience: Duration,
        what: &str,
        enough: impl Fn(&[Sent]) -> bool,
    ) -> Vec<Sent> {
        let mut sent = self.desk.sent.subscribe();
        let waited = tokio::time::timeout(patience, sent.wait_for(|sent| enough(sent))).await;
        if let Ok(Ok(sent)) = waited {
            return sent.clone();
        }
        let all = self.sent();
        let shown: Vec<String> = all
            .iter()
            .rev()
            .take(40)
            .map(|sent| format!("{} {} {:?} {:?}", sent.place, sent.to(), sent.text(), sent.outcome))
            .collect();
        panic!("{what}: not within {patience:?}; {} arrived, the last:\n{}", all.len(), shown.join("\n"));
    }

    /// Waits until so many were taken.
    pub async fn taken(&self, count: usize) -> Vec<Sent> {
        let taken = |sent: &[Sent]| sent.iter().filter(|sent| sent.taken()).count() >= count;
        let all = self.wait(&format!("{count} messages"), taken).await;
        all.into_iter().filter(Sent::taken).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Waiting for a runtime is not allowed inside of another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        desk.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, desk.clone()));
    }
}

async fn connection(stream: TcpStream, desk: Arc<Desk>) {
    if desk.away.load(Ordering::SeqCst) {
        return;
    }
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { answer(&desk, request).await }
    });
    // A caller that was killed leaves a broken connection behind.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error cuts the connection.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
pub struct Cut;

async fn answer(desk: &Desk, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let at = Instant::now();
    if desk.away.load(Ordering::SeqCst) {
        return Err(Cut);
    }
    let (head, body) = request.into_parts();
    let body = desk.files.read(body).await?;
    let (place, path) = match head.uri.path()[1..].split_once('/') {
        Some((place, rest)) => (place.to_owned(), format!("/{rest}")),
        None => return Ok(plain(404)),
    };
    let simulator = desk.simulators.lock().unwrap().get(&place).cloned();
    let Some(simulator) = simulator else { return Ok(plain(404)) };
    let request = ProviderRequest {
        method: head.method,
        path: path.clone(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.clone(),
    };
    let kept = desk.files.judge(&request).await?;
    if let Some(answer) = kept.or_else(|| simulator.files(&request, &*desk.files)) {
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        return Ok(response.body(Full::from(answer.body)).unwrap());
    }
    if let Some(typing) = simulator.typing(&request) {
        return Ok(match typing {
            Ok((shown, answer)) => {
                desk.typing.send_modify(|all| all.push(shown));
                rendered(answer)
            }
            Err(refusal) => rendered(refusal),
        });
    }
    let read = simulator.accept(&request);
    // Ids must differ from one sink to the next, since a store may outlive its sink.
    let id = simulator
        .message_id((u64::from(std::process::id()) << 32) + desk.serial.fetch_add(1, Ordering::SeqCst));
    let mut sent =
        Sent { place, id, at, submission: read.as_ref().ok().cloned(), path, body, outcome: Outcome::Lost };
    let submission = match read {
        Ok(submission) => submission,
        Err(refusal) => {
            sent.outcome = Outcome::Refused(refusal.status.as_u16());
            keep(desk, sent);
            return Ok(rendered(refusal));
        }
    };
    let mut act = {
        let before = desk.sent.borrow().len();
        let attempt = Attempt { place: &sent.place, submission: &submission, before };
        (desk.script.lock().unwrap())(&attempt)
    };
    loop {
        let refuse = |mut sent: Sent, answer: ProviderAnswer| {
            sent.outcome = Outcome::Refused(answer.status.as_u16());
            keep(desk, sent);
            Ok(rendered(answer))
        };
        return match act {
            Act::After(time, then) => {
                tokio::time::sleep(time).await;
                act = *then;
                continue;
            }
            Act::Until(gate, then) => {
                gate.acquire().await.unwrap().forget();
                act = *then;
                continue;
            }
            Act::Accept => {
                let answer = simulator.accepted(&submission, &sent.id);
                sent.outcome = Outcome::Accepted;
                keep(desk, sent);
                Ok(rendered(answer))
            }
            Act::TakeAndDrop => {
                sent.outcome = Outcome::TakenSilently;
                keep(desk, sent);
                Err(Cut)
            }
            Act::Drop => {
                keep(desk, sent);
                Err(Cut)
            }
            Act::Hang => {
                keep(desk, sent);
                match std::future::pending::<Infallible>().await {}
            }
            Act::Throttle(after) => {
                let mut answer = simulator.throttled();
                answer.headers.retain(|(name, _)| *name != "retry-after");
                answer.headers.extend(after.map(|after| ("retry-after", after.to_string())));
                refuse(sent, answer)
            }
            Act::Answer(status, headers, body) => {
                let status = StatusCode::from_u16(status).unwrap();
                refuse(sent, ProviderAnswer { status, headers, body })
            }
            Act::Unauthorised => {
                let mut stranger = request.clone();
                stranger.headers.insert("authorization", "Bearer wrong".parse().unwrap());
                let answer = simulator.accept(&stranger).expect_err("a wrong token is refused");
                refuse(sent, answer)
            }
        };
    }
}

fn keep(desk: &Desk, sent: Sent) {
    desk.sent.send_modify(|all| all.push(sent));
}

fn plain(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn rendered(answer: ProviderAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::from(answer.body)).unwrap()
}
