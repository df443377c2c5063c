//! The adapter as the daemon sees it: built from settings, called by its provider, calling its provider.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fixtures;
mod law;
mod outgoing;
mod refusals;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use trunkline_adapter::simulator::SignedRequest;
use trunkline_adapter::{
    Adapter, AdapterKind, Address, Blueprint, Clock, Kit, Received, Refusal, Section, Timestamp,
    WebhookRequest,
};
use trunkline_twilio::Twilio;

const SID: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOKEN: &str = "12345678901234567890123456789012";
const WEBHOOK: &str = "https://bridge.example/adapters/us";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn blueprint(base_url: &str) -> Arc<dyn Blueprint> {
    let mut settings = Section::of(&[("account_sid", SID), ("auth_token", TOKEN), ("base_url", base_url)]);
    let mut proxies: Vec<_> = ["+15550001111", "whatsapp:+15550002222", "messenger:1029384756"]
        .map(|text| (address(text), Section::of(&[("address", text)])))
        .into();
    let blueprint = Twilio.blueprint(&mut settings, &mut proxies).unwrap();
    assert_eq!(settings.finish().0, []);
    blueprint
}

/// An adapter whose requests give up after `patience`.
fn adapter(base_url: &str, patience: Duration) -> Arc<dyn Adapter> {
    // Another test may have been first; either way there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(patience).no_proxy();
    let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let clock = Clock::at(Timestamp::from_seconds(1_795_305_600));
    blueprint(base_url).build(Kit { http, clock, webhook_url: WEBHOOK.to_owned() })
}

/// One for all tests that only receive: a client is dear to make, and never used there.
fn offline() -> Arc<dyn Adapter> {
    static ONE: OnceLock<Arc<dyn Adapter>> = OnceLock::new();
    ONE.get_or_init(|| adapter("http://127.0.0.1:9", Duration::from_secs(1))).clone()
}

fn request(url: &str, headers: &[(&str, &str)], body: &[u8]) -> WebhookRequest {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    WebhookRequest {
        method: Method::POST,
        url: url.to_owned(),
        alternatives: Vec::new(),
        query: url.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default(),
        headers: map,
        body: body.to_vec().into(),
    }
}

fn from_provider(signed: &SignedRequest) -> WebhookRequest {
    let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(&signed.url, &headers, &signed.body)
}

/// A form signed with `token` for `url`.
fn signed_form(token: &str, url: &str, params: &[(&str, &str)]) -> WebhookRequest {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    let signature = trunkline_twilio::sign(token, url, params);
    let form = "application/x-www-form-urlencoded";
    request(url, &[("content-type", form), ("x-twilio-signature", &signature)], body.as_bytes())
}

fn receive(adapter: &Arc<dyn Adapter>, request: &WebhookRequest) -> Result<Received, Refusal> {
    adapter.webhook().unwrap().receive(request)
}
