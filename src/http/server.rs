//! Listening, and what every request gets whoever answers it: a place in the house, a deadline, a bounded body.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::body::{Body, BodyError, Streamed, Upload};
use super::error::{self, ApiError};
use super::patience::Patience;
use super::pressure::Pressure;
use crate::relay::Lasting;
use crate::telemetry;

/// How much of everything a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a provider's request.
    pub webhook_body: usize,
    /// Bytes of a REST request.
    pub form_body: usize,
    /// Bytes of a file.
    pub media_body: usize,
    /// From the request's head to the end of our answer's making; also how long a head may take to arrive, and how long a
    /// caller may take none of an answer.
    pub request_timeout: Duration,
    /// Requests being answered at once.
    pub concurrent: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            webhook_body: 4 * 1024 * 1024,
            form_body: 1024 * 1024,
            media_body: 150 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            concurrent: 512,
        }
    }
}

/// Something to listen on.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who is at the other end of a connection; left in a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What becomes of a request before its body is read.
#[derive(Debug)]
pub struct Admission {
    /// The route, from a closed set.
    pub label: &'static str,
    /// How long its body may be, or the answer that needs no body.
    pub verdict: Result<Entry, Response<Body>>,
}

/// How a body of at most so many bytes is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Read before the request is answered.
    Whole(usize),
    /// Read by whoever answers, as it comes.
    Streamed(usize),
}

/// Who answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// Looks at the head only. May leave what it found in the extensions.
    fn admit(&self, head: &mut Parts) -> Admission;

    /// Answers a request that was admitted and is all there. Runs to its end even when the caller has left.
    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Response<Body>>;

    /// Answers a request that was admitted to stream its body. Runs to its end even when the caller has left.
    fn stream<'a>(
        self: Arc<Self>,
        request: Request<()>,
        body: &'a mut Streamed,
    ) -> BoxFuture<'a, Response<Body>> {
        // Nobody is admitted so by a handler that does not say how.
        let _ = body;
        let missing = ApiError::not_found(request.uri().path()).into_response();
        std::future::ready(missing).boxed()
    }

    /// A last touch to every answer, refusals included.
    fn dress(&self, label: &'static str, took: Duration, response: &mut Response<Body>) {
        let _ = (label, took, response);
    }
}

/// Serves until `stop`, then lets the requests that are under way end.
pub async fn serve<H: Handler>(
    listeners: Vec<Listener>,
    handler: Arc<H>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    // Told when no connection may take a further request. Each holds a receiver as long as it lives.
    let (stopping, told) = watch::channel(());
    let doors = limits.concurrent.saturating_mul(CONNECTIONS_PER_REQUEST).min(Semaphore::MAX_PERMITS);
    let house = House {
        handler,
        gate: Arc::new(Semaphore::new(limits.concurrent)),
        pressure: Arc::new(Pressure::new(limits.concurrent)),
        uploads: Arc::new(Semaphore::new((limits.concurrent / REQUESTS_PER_UPLOAD).max(1))),
        doors: Arc::new(Semaphore::new(doors)),
        limits,
    };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, house.clone(), told.clone()));
    }
    drop(told);
    stop.await;
    accepting.shutdown().await;
    let gate = Arc::clone(&house.gate);
    let quiet = async move {
        // Without connections there is nobody to tell.
        let _ = stopping.send(());
        stopping.closed().await;
        // Answers whose callers have left are still being worked on.
        let _ = gate.acquire_many(u32::try_from(limits.concurrent).unwrap_or(u32::MAX)).await;
    };
    if timeout(limits.request_timeout.min(LAST_REQUESTS), quiet).await.is_err() {
        tracing::warn!("Some requests had not ended when the daemon stopped");
    }
}

/// Connections that may be open for each request that may be answered at once: most are idle between two requests.
const CONNECTIONS_PER_REQUEST: usize = 4;

/// A body that is streamed takes as long as its sender likes, so it holds up nobody but other such bodies.
const REQUESTS_PER_UPLOAD: usize = 8;

/// The longest time a streamed body may take, however steadily it comes.
const UPLOAD: Duration = Duration::from_secs(3600);

/// The end of a daemon does not wait longer for its callers, however long they may take in life.
const LAST_REQUESTS: Duration = Duration::from_secs(15);

async fn accept<H: Handler>(listener: Listener, house: House<H>, stopping: watch::Receiver<()>) {
    // Closed it never is. Who finds no room waits where the kernel keeps those who knock.
    while let Ok(place) = Arc::clone(&house.doors).acquire_owned().await {
        let accepted = match &listener {
            Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, peer)| {
                // Answers are small; waiting to fill a segment would only delay them.
                let _ = stream.set_nodelay(true);
                house.clone().connect(stream, Some(Peer(peer.ip())), place, stopping.clone());
            }),
            Listener::Unix(unix) => unix.accept().await.map(|(stream, _)| {
                house.clone().connect(stream, None, place, stopping.clone());
            }),
        };
        if let Err(error) = accepted
            && !gone_already(&error)
        {
            // Out of descriptors, most likely: turning at full speed would not give any back.
            tracing::warn!(%error, "A connection could not be accepted");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn gone_already(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// A connection as it is served; who takes one over takes this apart.
pub(super) type Transport<S> = TokioIo<Patience<S>>;

struct House<H> {
    handler: Arc<H>,
    /// Requests being answered.
    gate: Arc<Semaphore>,
    /// How many of them there may be.
    pressure: Arc<Pressure>,
    /// Bodies being streamed.
    uploads: Arc<Semaphore>,
    /// Connections open.
    doors: Arc<Semaphore>,
    limits: Limits,
}

impl<H> Clone for House<H> {
    fn clone(&self) -> House<H> {
        House {
            handler: Arc::clone(&self.handler),
            gate: Arc::clone(&self.gate),
            pressure: Arc::clone(&self.pressure),
            uploads: Arc::clone(&self.uploads),
            doors: Arc::clone(&self.doors),
            limits: self.limits,
        }
    }
}

impl<H: Handler> House<H> {
    fn connect(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Option<Peer>,
        place: OwnedSemaphorePermit,
        mut stopping: watch::Receiver<()>,
    ) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.limits.request_timeout);
        let stream: Transport<_> = TokioIo::new(Patience::new(stream, self.limits.request_timeout));
        let service = service_fn(move |request| {
            let house = self.clone();
            async move { Ok::<_, std::convert::Infallible>(house.request(request, peer).await) }
        });
        // A connection that becomes a socket is not ours any more, and gives its place back.
        let connection = builder.serve_connection(stream, service).with_upgrades();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                _ = stopping.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "A connection ended badly");
            }
            drop(place);
        });
    }

    async fn request(self, request: Request<Incoming>, peer: Option<Peer>) -> Response<Body> {
        let begun = Instant::now();
        let (mut head, incoming) = request.into_parts();
        if let Some(peer) = peer {
            head.extensions.insert(peer);
        }
        let mut upload = Upload::new(&head.headers, incoming);
        let Admission { label, verdict } = self.handler.admit(&mut head);
        let room = self.pressure.admits(self.inside() + 1);
        let permit = if room { Arc::clone(&self.gate).try_acquire_owned().ok() } else { None };
        let mut response = match permit {
            Some(permit) => {
                let deadline = begun + self.limits.request_timeout;
                self.within(deadline, head, verdict, &mut upload, permit).await
            }
            None => {
                telemetry::http::overloaded(label);
                let response = ApiError::unavailable("too many requests at once").into_response();
                tidy(response, &mut upload).await
            }
        };
        let took = begun.elapsed();
        self.handler.dress(label, took, &mut response);
        telemetry::http::answered(label, response.status(), took);
        response
    }

    /// How many requests are being answered now.
    fn inside(&self) -> usize {
        self.limits.concurrent.saturating_sub(self.gate.available_permits())
    }

    /// Reads the body and has the request answered, before the deadline or not at all.
    async fn within(
        &self,
        deadline: Instant,
        head: Parts,
        verdict: Result<Entry, Response<Body>>,
        upload: &mut Upload,
        permit: OwnedSemaphorePermit,
    ) -> Response<Body> {
        let most = match verdict {
            Ok(Entry::Whole(most)) => most,
            Ok(Entry::Streamed(most)) => {
                drop(permit);
                return self.streamed(head, most, upload).await;
            }
            Err(response) => {
                // Reading a refused body away is no work that others should wait behind.
                drop(permit);
                return tidy(response, upload).await;
            }
        };
        let mut patience = pin!(sleep_until(deadline));
        let body = match before(patience.as_mut(), upload.read(most)).await {
            Some(Ok(body)) => body,
            Some(Err(BodyError::TooLarge)) => {
                drop(permit);
                return tidy(ApiError::from(error::BODY_TOO_LARGE).into_response(), upload).await;
            }
            Some(Err(BodyError::Broken | BodyError::Slow)) => {
                return closing(ApiError::from(error::BODY_BROKEN).into_response());
            }
            None => return closing(ApiError::from(error::TOO_SLOW).into_response()),
        };
        let (handler, pressure) = (Arc::clone(&self.handler), Arc::clone(&self.pressure));
        let inside = self.inside();
        let work = async move {
            let begun = Instant::now();
            let response = handler.answer(Request::from_parts(head, body)).await;
            pressure.answered(inside, begun.elapsed());
            drop(permit);
            response
        };
        // A caller who hangs up does not leave a thing half done, nor does one who waited too long.
        match before(patience, Lasting::new(AssertUnwindSafe(work).catch_unwind())).await {
            Some(Ok(response)) => response,
            Some(Err(_)) => {
                tracing::error!("Answering a request failed");
                ApiError::unavailable("the request could not be answered").into_response()
            }
            None => ApiError::unavailable("the answer took too long").into_response(),
        }
    }
}

impl<H: Handler> House<H> {
    /// Has a request answered that reads its body as it comes.
    async fn streamed(&self, head: Parts, most: usize, upload: &mut Upload) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.uploads).try_acquire_owned() else {
            return tidy(ApiError::unavailable("too many uploads at once").into_response(), upload).await;
        };
        let mut body = Streamed::new(upload.take(), most, self.limits.request_timeout);
        let handler = Arc::clone(&self.handler);
        let work = async move {
            let answered = handler.stream(Request::from_parts(head, ()), &mut body);
            let response = AssertUnwindSafe(timeout(UPLOAD, answered)).catch_unwind().await;
            drop(place);
            (response, body.rest())
        };
        // What has come whole is kept, whether or not the caller still waits.
        let (response, mut rest) = Lasting::new(work).await;
        match response {
            Ok(Ok(response)) if rest.finished() => response,
            Ok(Ok(response)) => tidy(response, &mut rest).await,
            Ok(Err(_)) => closing(ApiError::from(error::TOO_SLOW).into_response()),
            Err(_) => {
                tracing::error!("Answering a request failed");
                closing(ApiError::unavailable("the request could not be answered").into_response())
            }
        }
    }
}

/// What some work gives, unless the time is over before.
async fn before<T>(over: Pin<&mut Sleep>, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), over).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// How long a refused body is read for the sake of a clean answer.
const REFUSAL_DRAIN: Duration = Duration::from_secs(1);

/// Reads away what is left of a refused body, so that the caller sees the answer and may go on with the connection.
async fn tidy(response: Response<Body>, upload: &mut Upload) -> Response<Body> {
    match timeout(REFUSAL_DRAIN, upload.drain()).await {
        Ok(true) => response,
        _ => closing(response),
    }
}

fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
