//! Somebody's webhook, in the test's process: keeps every call, checks its signature, and answers as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::config::TOKEN;

/// A call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// Path and query, as they were asked for.
    pub target: String,
    /// Of the form, or of the query of a GET.
    pub pairs: Vec<(String, String)>,
    pub token: String,
}

impl Call {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn event(&self) -> &str {
        self.get("EventType").unwrap_or_default()
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// What to do with a call.
#[derive(Clone, Debug)]
pub enum Reply {
    Answer(u16, String),
    /// With a content type.
    Typed(u16, &'static str, String),
    /// Never answer, as long as the script is the same.
    Hang,
    /// Cut the connection instead of answering.
    Drop,
}

impl Reply {
    pub fn ok() -> Reply {
        Reply::Answer(200, String::new())
    }
}

type Script = Box<dyn FnMut(&Call) -> Reply + Send>;

struct Desk {
    address: SocketAddr,
    calls: watch::Sender<Vec<Call>>,
    script: Mutex<Script>,
    /// How often the script was changed.
    scripts: watch::Sender<usize>,
}

/// Somebody's webhook.
pub struct Receiver {
    desk: Arc<Desk>,
    pub address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Receiver {
        let mut receiver = Receiver::closed().await;
        receiver.open().await;
        receiver
    }

    /// One that nobody can reach yet: its port is free again, and its own.
    pub async fn closed() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Script = Box::new(|_| Reply::ok());
        let desk = Desk {
            address,
            calls: watch::Sender::new(Vec::new()),
            script: Mutex::new(script),
            scripts: watch::Sender::new(0),
        };
        Receiver { desk: Arc::new(desk), address, task: None }
    }

    /// Lets callers in.
    pub async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let desk = self.desk.clone();
        self.task = Some(tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let desk = desk.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(desk.clone(), request));
                    // A connection that was cut on purpose is no news.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        }));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the calls from now on. Whoever was left hanging is cut off, as by a server that was restarted.
    pub fn script(&self, script: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.desk.script.lock().unwrap() = Box::new(script);
        self.desk.scripts.send_modify(|scripts| *scripts += 1);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.desk.calls.borrow().clone()
    }

    /// Waits until the calls are as wanted, and gives them.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let mut calls = self.desk.calls.subscribe();
        let waited = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| wanted(calls))).await;
        match waited {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("{what} never came: {:#?}", self.calls()),
        }
    }

    /// Waits for so many calls of an event.
    pub async fn events(&self, event: &str, count: usize) -> Vec<Call> {
        let of =
            |calls: &[Call]| calls.iter().filter(|call| call.event() == event).cloned().collect::<Vec<_>>();
        of(&self.until(event, |calls| of(calls).len() >= count).await)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn answer(
    desk: Arc<Desk>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let encoded = if head.method == Method::GET {
        Bytes::from(head.uri.query().unwrap_or_default().to_owned())
    } else {
        body
    };
    let pairs: Vec<(String, String)> = form_urlencoded::parse(&encoded).into_owned().collect();
    let header =
        |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let url = format!("http://{}{target}", desk.address);
    let signed: Vec<(&str, &str)> = match head.method {
        Method::GET => Vec::new(),
        _ => pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
    };
    // By the code that verifies what Twilio sends, which shares nothing with the code that signs.
    assert_eq!(header("x-twilio-signature"), trunkline_twilio::sign(TOKEN, &url, &signed), "{url} {pairs:?}");
    let call =
        Call { method: head.method.clone(), target, token: header("i-twilio-idempotency-token"), pairs };
    let mut scripts = desk.scripts.subscribe();
    let reply = (desk.script.lock().unwrap())(&call);
    desk.calls.send_modify(|calls| calls.push(call));
    match reply {
        Reply::Answer(status, body) => {
            Ok(Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap())
        }
        Reply::Typed(status, kind, body) => {
            let answer = Response::builder().status(status).header("content-type", kind);
            Ok(answer.body(Full::new(Bytes::from(body))).unwrap())
        }
        Reply::Drop => Err(std::io::Error::other("dropped on purpose")),
        Reply::Hang => {
            let _ = scripts.changed().await;
            Err(std::io::Error::other("restarted"))
        }
    }
}
