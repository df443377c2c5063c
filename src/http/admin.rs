//! The admin listener: what scrapers and orchestrators read. Nothing here changes anything.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use super::body::{Body, full};
use super::operator::{Operator, json, plain};
use super::route::NOWHERE;
use super::server::{Admission, Entry, Handler};
use crate::telemetry;

pub use super::operator::{bind, call};

/// Every route of the admin listener.
pub const LABELS: [&str; 5] = ["/metrics", "/healthz", "/readyz", "/lanes", NOWHERE];

/// Answers on the admin listener.
pub struct Admin {
    operator: Arc<dyn Operator>,
}

impl Admin {
    pub fn new(operator: Arc<dyn Operator>) -> Admin {
        telemetry::http::routes_at_zero(LABELS.into_iter());
        Admin { operator }
    }
}

impl Handler for Admin {
    fn admit(&self, head: &mut Parts) -> Admission {
        let path = head.uri.path();
        let Some(label) = LABELS.into_iter().find(|label| *label == path) else {
            return Admission { label: NOWHERE, verdict: Err(plain(StatusCode::NOT_FOUND, &[])) };
        };
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Admission { label, verdict: Err(plain(StatusCode::METHOD_NOT_ALLOWED, &[])) };
        }
        Admission { label, verdict: Ok(Entry::Whole(0)) }
    }

    fn answer(self: Arc<Self>, request: Request<Bytes>) -> BoxFuture<'static, Response<Body>> {
        async move {
            match request.uri().path() {
                "/metrics" => {
                    let mut response = Response::new(full(self.operator.metrics()));
                    response.headers_mut().insert(
                        CONTENT_TYPE,
                        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
                    );
                    response
                }
                "/readyz" => match self.operator.unready() {
                    reasons if reasons.is_empty() => plain(StatusCode::OK, &["ready".to_owned()]),
                    reasons => plain(StatusCode::SERVICE_UNAVAILABLE, &reasons),
                },
                "/lanes" => json(&self.operator.lanes().await),
                _ => plain(StatusCode::OK, &["alive".to_owned()]),
            }
        }
        .boxed()
    }
}
