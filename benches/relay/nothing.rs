//! The limit: a relay that does nothing but HTTP, out of the libraries the daemon is made of. Its queues are in memory, it
//! verifies nothing, knows nobody and forgets everything; so it is what is left when all of our work costs nothing.
//!
//! Each connection has a lane, so that order is kept; a lane has one request under way, as a recipient of ours has.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What waits in a lane before the door waits too.
const WAITING: usize = 1024;

#[derive(Clone)]
pub struct Plan {
    pub sink: SocketAddr,
    pub lanes: usize,
    /// How often each message is sent on.
    pub copies: usize,
    /// Whether to answer only when the sink has answered, as a reverse proxy does.
    pub forward: bool,
}

/// Says where it listens on stdout and serves until it is killed.
pub fn serve(plan: &Plan) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        io::stdout().flush()?;
        let client = client();
        let lanes: Vec<_> = (0..plan.lanes).map(|_| lane(plan.clone(), client.clone())).collect();
        let mut turn = 0;
        loop {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            let lane = lanes[turn % lanes.len()].clone();
            turn += 1;
            let (client, plan) = (client.clone(), plan.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (lane, client, plan) = (lane.clone(), client.clone(), plan.clone());
                async move {
                    let Ok(body) = request.into_body().collect().await else { return Ok(answer(400)) };
                    let body = body.to_bytes();
                    let status = if plan.forward {
                        if send(&client, &plan, &body).await { 200 } else { 502 }
                    } else {
                        lane.send(body).await.map_or(503, |()| 200)
                    };
                    Ok::<_, Infallible>(answer(status))
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    })
}

type Sender = Client<HttpConnector, Full<Bytes>>;

fn client() -> Sender {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn lane(plan: Plan, client: Sender) -> mpsc::Sender<Bytes> {
    let (sender, mut waiting) = mpsc::channel::<Bytes>(WAITING);
    tokio::spawn(async move {
        while let Some(body) = waiting.recv().await {
            send(&client, &plan, &body).await;
        }
    });
    sender
}

async fn send(client: &Sender, plan: &Plan, body: &Bytes) -> bool {
    let mut good = true;
    for copy in 0..plan.copies {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{}", plan.sink, super::PROVIDER_PATH))
            .header("x-recipient", copy)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(body.clone()));
        let Ok(request) = request else { return false };
        good &= match client.request(request).await {
            Ok(response) => response.into_body().collect().await.is_ok(),
            Err(_) => false,
        };
    }
    good
}
