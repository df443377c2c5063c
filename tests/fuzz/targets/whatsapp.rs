//! The Cloud API's deliveries. The first line says how the request comes: `P` a signed body, `G` a challenge with the
//! rest as its query, anything else a body with that line as its signature.

use std::cell::LazyCell;
use std::sync::Arc;

use http::Method;
use trunkline_adapter::{Adapter, Refusal};
use trunkline_whatsapp::Whatsapp;

use super::{house, line, webhook};

thread_local! {
    static ADAPTER: LazyCell<Arc<dyn Adapter>> = LazyCell::new(|| {
        let settings =
            [("app_secret", webhook::SECRET), ("verify_token", webhook::TOKEN), ("access_token", "access")];
        let own = [("phone_number_id", "106540352242922")];
        webhook::adapter(&Whatsapp, house::WHATSAPP, &settings, &own, webhook::client())
    });
}

pub fn run(data: &[u8]) {
    ADAPTER.with(|adapter| graph(&***adapter, "whatsapp", data));
}

/// The same for every channel on Graph.
pub fn graph(adapter: &dyn Adapter, kind: &'static str, data: &[u8]) {
    let (how, body) = line(data);
    let right = trunkline_graph::sign(webhook::SECRET, body);
    let given = if how == b"P" { right.as_bytes() } else { how };
    let request = match how {
        b"G" => webhook::request(Method::GET, &String::from_utf8_lossy(body), &[], b""),
        _ => webhook::request(Method::POST, "", &[(trunkline_graph::SIGNATURE_HEADER, given)], body),
    };
    let heard = webhook::receive(adapter, &request);
    if how == b"G" {
        let body = String::from_utf8_lossy(body);
        let challenge = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "hub.challenge");
        if let Ok(received) = &heard {
            assert!(body.contains(webhook::TOKEN), "a challenge without the token is answered");
            assert_eq!(challenge.map(|(_, value)| value.into_owned()), Some(received.reply.body.clone()));
            assert!(received.inbound.is_empty());
        }
        return;
    }
    let refused = matches!(heard, Err(Refusal::BadSignature { .. }));
    assert_eq!(refused, given != right.as_bytes(), "the signature decides, and nothing else");
    if let Ok(received) = heard {
        webhook::relay(kind, &received.inbound);
    }
}
