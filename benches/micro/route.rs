//! The way of a request: its path, its credentials, its form, and a provider's request up to the relay's door.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::Criterion;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Request, StatusCode};
use trunkline::http::form::Form;
use trunkline::http::provider::Provider;
use trunkline::http::route::Route;
use trunkline::http::{Account, Accounts, AdapterEntry, Base, Inlet};
use trunkline::relay::RelayError;
use trunkline_adapter::{Adapter, BoxFuture, Inbound, Secrets, WebhookRequest};

use super::scene;

pub fn paths(c: &mut Criterion) {
    let messages = "/v1/Conversations/CH00000000000000000000000000000001/Messages";
    let deep = format!("/v1/Services/IS00000000000000000000000000000001{}/IM1/Receipts/DY1", &messages[3..]);
    for (name, path) in [
        ("webhook", "/webhooks/a"),
        ("messages", messages),
        ("a receipt below a service", &deep),
        ("nowhere", "/v2/x"),
    ] {
        c.bench_function(&format!("route/{name}"), |b| b.iter(|| Route::find(black_box(path))));
    }
    let accounts = Accounts::new(vec![Account {
        sid: scene::account(),
        auth_token: Secrets::one("token"),
        keys: Vec::new(),
    }]);
    let mut headers = HeaderMap::new();
    let basic = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2tlbg==";
    headers.insert(AUTHORIZATION, HeaderValue::from_static(basic));
    assert!(accounts.authenticate(&headers).is_ok());
    c.bench_function("route/credentials", |b| b.iter(|| accounts.authenticate(black_box(&headers))));
    let form = b"Author=ana&Body=Are+we+still+on+for+three%3F&Attributes=%7B%22a%22%3A1%7D";
    c.bench_function("route/form of three fields", |b| b.iter(|| Form::parse(black_box(form))));
}

/// Hears everything and does nothing.
struct Door {
    kind: &'static str,
    adapter: Arc<dyn Adapter>,
}

impl Inlet for Door {
    fn adapter(&self, _: &str) -> Option<AdapterEntry> {
        Some(AdapterEntry { kind: self.kind, adapter: Arc::clone(&self.adapter) })
    }

    fn take<'a>(
        &'a self,
        _: &'a str,
        _: &'static str,
        inbound: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        black_box(inbound);
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep_unreadable<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a WebhookRequest,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// All that a webhook costs between the socket and the relay.
pub fn provider(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let base = Base::new(Some("https://bridge.example.com"));
    for channel in scene::channels() {
        let provider = Provider::new(Arc::new(Door { kind: channel.kind, adapter: channel.adapter }));
        let ask = || {
            let mut request = Request::new(Bytes::clone(&channel.request.body));
            *request.method_mut() = channel.request.method.clone();
            *request.uri_mut() = "/webhooks/a".parse().expect("a path");
            *request.headers_mut() = channel.request.headers.clone();
            request
        };
        let answer = runtime.block_on(provider.answer("a", &base, ask()));
        assert_eq!(answer.status(), StatusCode::OK);
        c.bench_function(&format!("route/provider {}", channel.kind), |b| {
            b.iter_batched(
                ask,
                |request| runtime.block_on(provider.answer("a", &base, request)),
                criterion::BatchSize::SmallInput,
            )
        });
    }
}
