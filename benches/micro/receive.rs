//! A provider's request: its signature, and what it says.

use std::hint::black_box;

use criterion::Criterion;
use trunkline_adapter::WebhookRequest;

use super::scene::{self, SECRET, URL};

/// Verify and parse, as every webhook is received.
pub fn receive(c: &mut Criterion) {
    for channel in scene::channels() {
        let webhook = channel.adapter.webhook().expect("every adapter of today is called by its provider");
        assert_eq!(webhook.receive(&channel.request).expect("our own signature").inbound.len(), 1);
        c.bench_function(&format!("receive/{}", channel.kind), |b| {
            b.iter(|| webhook.receive(black_box(&channel.request)))
        });
    }
}

/// The signature alone: what a stranger's request costs before it is refused, and what making one costs.
pub fn verify(c: &mut Criterion) {
    for channel in scene::channels() {
        let webhook = channel.adapter.webhook().expect("every adapter of today is called by its provider");
        let forged = WebhookRequest { url: format!("{URL}/other"), ..channel.request.clone() };
        let forged = WebhookRequest { body: [&forged.body[..], b" "].concat().into(), ..forged };
        assert!(webhook.receive(&forged).is_err());
        c.bench_function(&format!("verify/{} refused", channel.kind), |b| {
            b.iter(|| webhook.receive(black_box(&forged)))
        });
    }
    let body = vec![b'x'; 1024];
    c.bench_function("verify/sign 1 KiB, Graph", |b| {
        b.iter(|| trunkline_graph::sign(SECRET, black_box(&body)))
    });
    let parameters = [("From", "+15550100001"), ("To", "+15550001111"), ("Body", scene::TEXT)];
    c.bench_function("verify/sign, Twilio", |b| {
        b.iter(|| trunkline_twilio::sign(SECRET, URL, black_box(&parameters)))
    });
}
