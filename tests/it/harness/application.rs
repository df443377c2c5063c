//! An application with a messaging webhook: keeps what it was posted and answers as told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// A form that was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    pub path: String,
    pub headers: HeaderMap,
    pub fields: Vec<(String, String)>,
}

impl Posted {
    /// The value of a field; empty when it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Script = Box<dyn FnMut(&Posted) -> (u16, &'static str, String) + Send>;

struct Desk {
    script: Mutex<Script>,
    posted: watch::Sender<Vec<Posted>>,
}

/// The application.
pub struct Application {
    desk: Arc<Desk>,
    pub address: SocketAddr,
    door: JoinHandle<()>,
}

impl Application {
    /// Takes everything and answers nothing.
    pub async fn start() -> Application {
        let script: Script = Box::new(|_| (204, "", String::new()));
        let desk = Arc::new(Desk { script: Mutex::new(script), posted: watch::Sender::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = tokio::spawn(accept(listener, desk.clone()));
        Application { desk, address, door }
    }

    pub fn url(&self) -> String {
        format!("http://{}/messages", self.address)
    }

    /// Answers from now on with status, type and body.
    pub fn answers(&self, script: impl FnMut(&Posted) -> (u16, &'static str, String) + Send + 'static) {
        *self.desk.script.lock().unwrap() = Box::new(script);
    }

    /// Everything so far.
    pub fn posted(&self) -> Vec<Posted> {
        self.desk.posted.borrow().clone()
    }

    /// Waits until so many were posted.
    pub async fn wait(&self, count: usize) -> Vec<Posted> {
        let mut posted = self.desk.posted.subscribe();
        let waited = tokio::time::timeout(PATIENCE, posted.wait_for(|posted| posted.len() >= count)).await;
        match waited {
            Ok(Ok(posted)) => posted.clone(),
            _ => panic!("not {count} posts: {:?}", self.posted()),
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let desk = desk.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(desk.clone(), request));
            let stream = TokioIo::new(stream);
            // A caller that was killed leaves a broken connection behind.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
        });
    }
}

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let fields = form_urlencoded::parse(&body).into_owned().collect();
    let posted = Posted { path: head.uri.to_string(), headers: head.headers, fields };
    let (status, content_type, text) = (*desk.script.lock().unwrap())(&posted);
    desk.posted.send_modify(|all| all.push(posted));
    let answer = Response::builder().status(status).header("content-type", content_type);
    Ok(answer.body(Full::new(Bytes::from(text))).unwrap())
}
