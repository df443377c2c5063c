//! The operator's socket: what needs no secret because only the operator can open it. And the caller's side of it.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};

use super::body::{Body, full};
use super::server::{Admission, Entry, Handler};
use crate::telemetry;

/// What an operator may ask of the running daemon. `app` answers.
pub trait Operator: Send + Sync + 'static {
    /// The metrics as Prometheus text.
    fn metrics(&self) -> String;

    /// Why the daemon should get no traffic now; empty when it should.
    fn unready(&self) -> Vec<String>;

    /// Every lane: its address, state, depth, oldest, last outcome, next try.
    fn lanes(&self) -> BoxFuture<'_, Value>;

    /// Reads the configuration again and waits until it is in force. The lines say what happened, or what is wrong.
    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>>;

    /// Events that were given up: shown, let go again, dropped. An error says what was wrong with the call.
    fn dead_letters(&self, asked: DeadLetterCall) -> BoxFuture<'_, Result<Value, String>>;

    /// The ledger as JSON lines.
    fn dump(&self) -> BoxStream<'static, io::Result<Bytes>>;
}

/// What is asked about dead letters. No number means all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterCall {
    List,
    Show(u64),
    Retry(Option<u64>),
    Drop(Option<u64>),
}

impl DeadLetterCall {
    /// Reads the socket's path and query: `id=7`, or `id=all` where all may be meant.
    fn read(path: &str, query: Option<&str>) -> Option<DeadLetterCall> {
        let id = query.and_then(|query| query.strip_prefix("id="));
        let number = |id: &str| id.parse().ok();
        Some(match (path, id) {
            ("/dead-letters", None) => DeadLetterCall::List,
            ("/dead-letters", Some(id)) => DeadLetterCall::Show(number(id)?),
            ("/dead-letters/retry", Some("all")) => DeadLetterCall::Retry(None),
            ("/dead-letters/retry", Some(id)) => DeadLetterCall::Retry(Some(number(id)?)),
            ("/dead-letters/drop", Some("all")) => DeadLetterCall::Drop(None),
            ("/dead-letters/drop", Some(id)) => DeadLetterCall::Drop(Some(number(id)?)),
            _ => return None,
        })
    }
}

/// Answers on the operator's socket.
pub struct Socket {
    operator: Arc<dyn Operator>,
}

/// Every route of the socket.
pub const LABELS: [&str; 7] = [
    "/reload",
    "/lanes",
    "/dump",
    "/dead-letters",
    "/dead-letters/retry",
    "/dead-letters/drop",
    super::route::NOWHERE,
];

impl Socket {
    pub fn new(operator: Arc<dyn Operator>) -> Socket {
        telemetry::http::routes_at_zero(LABELS.into_iter());
        Socket { operator }
    }
}

impl Handler for Socket {
    fn admit(&self, head: &mut Parts) -> Admission {
        let path = head.uri.path();
        let Some(label) = LABELS.into_iter().find(|label| *label == path) else {
            return Admission {
                label: super::route::NOWHERE,
                verdict: Err(plain(StatusCode::NOT_FOUND, &[])),
            };
        };
        let changes = matches!(label, "/reload" | "/dead-letters/retry" | "/dead-letters/drop");
        let method = if changes { Method::POST } else { Method::GET };
        if head.method != method {
            return Admission { label, verdict: Err(plain(StatusCode::METHOD_NOT_ALLOWED, &[])) };
        }
        Admission { label, verdict: Ok(Entry::Whole(0)) }
    }

    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Response<Body>> {
        async move {
            match request.uri().path() {
                "/reload" => match self.operator.reload().await {
                    Ok(lines) => plain(StatusCode::OK, &lines),
                    Err(lines) => plain(StatusCode::CONFLICT, &lines),
                },
                "/dump" => {
                    let frames = self.operator.dump().map_ok(Frame::data);
                    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
                    response
                        .headers_mut()
                        .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                    response
                }
                "/lanes" => json(&self.operator.lanes().await),
                path => match DeadLetterCall::read(path, request.uri().query()) {
                    Some(asked) => match self.operator.dead_letters(asked).await {
                        Ok(value) => json(&value),
                        Err(line) => plain(StatusCode::NOT_FOUND, &[line]),
                    },
                    None => plain(StatusCode::BAD_REQUEST, &["id is missing, or is no number".to_owned()]),
                },
            }
        }
        .boxed()
    }
}

/// Lines of text.
pub(super) fn plain(status: StatusCode, lines: &[String]) -> Response<Body> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A JSON value.
pub(super) fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Makes the socket, open to its owner and group only. One that a dead daemon left behind is replaced; a living one is not.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
    };
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if UnixStream::connect(path).await.is_ok() {
            return Err(named(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers there")));
        }
        std::fs::remove_file(path).map_err(named)?;
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(named)?;
    Ok(listener)
}

/// Asks the daemon behind a socket.
pub async fn call(socket: &Path, method: Method, path: &str) -> io::Result<(StatusCode, Incoming)> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Drives the connection while the answer is read; it ends with the answer.
    tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header(HOST, "localhost").body(Empty::<Bytes>::new());
    let request = request.map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok((response.status(), response.into_body()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::http::admin::Admin;
    use crate::http::server::{Limits, Listener, serve};
    use serde_json::json;
    use tokio::sync::oneshot;

    struct Staff;

    impl Operator for Staff {
        fn metrics(&self) -> String {
            "trunkline_up 1\n".to_owned()
        }

        fn unready(&self) -> Vec<String> {
            vec!["draining".to_owned()]
        }

        fn lanes(&self) -> BoxFuture<'_, Value> {
            async { json!([{ "address": "+15550001" }]) }.boxed()
        }

        fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>> {
            async { Err(vec!["a:1: x".to_owned(), "a:2: y".to_owned()]) }.boxed()
        }

        fn dead_letters(&self, asked: DeadLetterCall) -> BoxFuture<'_, Result<Value, String>> {
            async move {
                match asked {
                    DeadLetterCall::Show(_) => Err("there is none".to_owned()),
                    other => Ok(json!(format!("{other:?}"))),
                }
            }
            .boxed()
        }

        fn dump(&self) -> BoxStream<'static, io::Result<Bytes>> {
            use futures_util::StreamExt;
            futures_util::stream::iter((0..3).map(|n| Ok(Bytes::from(format!("{{\"n\":{n}}}\n"))))).boxed()
        }
    }

    async fn ask(socket: &Path, method: Method, path: &str) -> (u16, String) {
        let (status, body) = call(socket, method, path).await.unwrap();
        let text = body.collect().await.unwrap().to_bytes();
        (status.as_u16(), String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_operator_asks_and_is_answered() {
        let place = tempfile::tempdir().unwrap();
        let (socket, admin) = (place.path().join("op.sock"), place.path().join("admin.sock"));
        let operator: Arc<dyn Operator> = Arc::new(Staff);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) }.shared();
        let one = serve(
            vec![Listener::Unix(bind(&socket).await.unwrap())],
            Arc::new(Socket::new(Arc::clone(&operator))),
            Limits::default(),
            stopped.clone(),
        );
        let two = serve(
            vec![Listener::Unix(bind(&admin).await.unwrap())],
            Arc::new(Admin::new(operator)),
            Limits::default(),
            stopped,
        );
        let serving = tokio::spawn(async move { tokio::join!(one, two) });
        assert_eq!(ask(&socket, Method::POST, "/reload").await, (409, "a:1: x\na:2: y\n".to_owned()));
        assert_eq!(ask(&socket, Method::GET, "/reload").await.0, 405);
        assert_eq!(ask(&socket, Method::GET, "/nothing").await.0, 404);
        assert_eq!(ask(&socket, Method::GET, "/lanes").await.1, "[{\"address\":\"+15550001\"}]");
        assert_eq!(ask(&socket, Method::GET, "/dump").await.1, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
        for (method, path, status, text) in [
            (Method::GET, "/dead-letters", 200, "\"List\""),
            (Method::GET, "/dead-letters?id=7", 404, "there is none\n"),
            (Method::GET, "/dead-letters?id=x", 400, "id is missing, or is no number\n"),
            (Method::POST, "/dead-letters/retry?id=all", 200, "\"Retry(None)\""),
            (Method::POST, "/dead-letters/retry", 400, "id is missing, or is no number\n"),
            (Method::POST, "/dead-letters/drop?id=7", 200, "\"Drop(Some(7))\""),
        ] {
            assert_eq!(ask(&socket, method, path).await, (status, text.to_owned()), "{path}");
        }
        assert_eq!(ask(&socket, Method::GET, "/dead-letters/drop?id=7").await.0, 405);
        assert_eq!(ask(&admin, Method::GET, "/metrics").await, (200, "trunkline_up 1\n".to_owned()));
        assert_eq!(ask(&admin, Method::GET, "/healthz").await.0, 200);
        assert_eq!(ask(&admin, Method::GET, "/readyz").await, (503, "draining\n".to_owned()));
        assert_eq!(ask(&admin, Method::POST, "/lanes").await.0, 405);
        assert_eq!(ask(&admin, Method::GET, "/dump").await.0, 404, "not without the socket");
        assert_eq!(bind(&socket).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        stop.send(()).unwrap();
        serving.await.unwrap();
        assert!(bind(&socket).await.is_ok(), "a socket left behind is replaced");
    }
}
