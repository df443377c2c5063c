//! Server-sent events: what happens on the phones, as it happens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::answer::Body;
use super::phones::{Event, Phones};

/// A sign of life goes out after this much silence, so that a watcher that left is noticed.
const SILENCE: Duration = Duration::from_secs(15);

/// Every event from now on. It begins with a comment, so that a watcher knows from when on nothing is missed.
pub(super) fn stream(phones: &Arc<Phones>) -> Response<Body> {
    let events = phones.watch();
    let begin = stream::once(async { Bytes::from_static(b": watching\n\n") });
    let rest = stream::unfold(events, |mut events| async move {
        let text = next(&mut events).await?;
        Some((Bytes::from(text), events))
    });
    let frames = stream::StreamExt::map(stream::StreamExt::chain(begin, rest), |bytes| {
        Ok::<_, Infallible>(Frame::data(bytes))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

async fn next(events: &mut broadcast::Receiver<Event>) -> Option<String> {
    match tokio::time::timeout(SILENCE, events.recv()).await {
        Ok(Ok(event)) => Some(written(&event)),
        Ok(Err(RecvError::Lagged(_))) => Some("event: missed\ndata: {}\n\n".to_owned()),
        Ok(Err(RecvError::Closed)) => None,
        Err(_) => Some(": still here\n\n".to_owned()),
    }
}

/// JSON has no line breaks of its own, so one `data` line holds any event.
fn written(event: &Event) -> String {
    match event {
        Event::Message(message) => format!("event: message\ndata: {}\n\n", json!(message)),
        Event::Fault { adapter, fault } => {
            format!("event: fault\ndata: {}\n\n", json!({ "adapter": adapter, "fault": fault }))
        }
        Event::Typing { phone, proxy } => {
            format!("event: typing\ndata: {}\n\n", json!({ "phone": phone, "proxy": proxy }))
        }
        Event::Bridge => "event: bridge\ndata: {}\n\n".to_owned(),
    }
}
