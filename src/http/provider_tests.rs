#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use futures_util::FutureExt;
use trunkline_adapter::{Address, Capabilities, Outbound, Outcome, Received, Webhook};

/// An adapter whose answer stands in the request's body.
struct Puppet;

impl Adapter for Puppet {
    fn capabilities(&self, _: &Address) -> Option<&Capabilities> {
        None
    }

    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        futures_util::future::pending().boxed()
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Webhook for Puppet {
    fn receive(&self, request: &WebhookRequest) -> Result<Received, Refusal> {
        let reply =
            Reply { status: StatusCode::ACCEPTED, content_type: Some("text/xml"), body: "<ok/>".into() };
        let event = Inbound::Notice { kind: "test".into(), raw: serde_json::Value::Null };
        match &request.body[..] {
            b"verify" => Ok(Received { inbound: Vec::new(), reply }),
            b"forged" => Err(Refusal::BadSignature { matches: request.alternatives.first().cloned() }),
            b"garbled" => Err(Refusal::Malformed("garbled".into())),
            b"foreign" => Err(Refusal::WrongAccount),
            b"method" => Err(Refusal::Method),
            _ => Ok(Received { inbound: vec![event], reply }),
        }
    }
}

/// Remembers what it was given; a broken one cannot store anything.
#[derive(Default)]
struct Ledger {
    taken: Mutex<Vec<&'static str>>,
    kept: Mutex<Vec<String>>,
    broken: bool,
}

impl Inlet for Ledger {
    fn adapter(&self, name: &str) -> Option<AdapterEntry> {
        (name == "us").then(|| AdapterEntry { kind: "puppet", adapter: Arc::new(Puppet) })
    }

    fn take<'a>(
        &'a self,
        _: &'a str,
        kind: &'static str,
        _: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        self.taken.lock().unwrap().push(kind);
        async { if self.broken { Err(RelayError::Full) } else { Ok(()) } }.boxed()
    }

    fn keep_unreadable<'a>(
        &'a self,
        _: &'a str,
        reason: &'a str,
        _: &'a WebhookRequest,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
        self.kept.lock().unwrap().push(reason.to_owned());
        async { if self.broken { Err(RelayError::Contended) } else { Ok(()) } }.boxed()
    }
}

async fn ask(inlet: &Arc<Ledger>, name: &str, body: &'static str) -> Response<Body> {
    let inlet: Arc<dyn Inlet> = inlet.clone();
    let request =
        Request::post("/webhooks/us?a=1").header("host", "bridge:8080").body(Bytes::from(body)).unwrap();
    Provider::new(inlet).answer(name, &Base::new(Some("https://example.com")), request).await
}

#[tokio::test]
async fn each_outcome_has_its_answer() {
    let inlet = Arc::new(Ledger::default());
    for (name, body, expected) in [
        ("us", "hello", 202),
        ("us", "verify", 202),
        ("us", "forged", 403),
        ("us", "garbled", 200),
        ("us", "foreign", 200),
        ("us", "method", 405),
        ("nobody", "hello", 404),
    ] {
        assert_eq!(ask(&inlet, name, body).await.status().as_u16(), expected, "{name} {body}");
    }
    assert_eq!(*inlet.taken.lock().unwrap(), ["puppet"], "only the message");
    assert_eq!(*inlet.kept.lock().unwrap(), ["garbled"]);
}

#[tokio::test]
async fn nothing_is_acknowledged_that_was_not_stored() {
    let inlet = Arc::new(Ledger { broken: true, ..Ledger::default() });
    for body in ["hello", "garbled"] {
        let response = ask(&inlet, "us", body).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(response.headers().contains_key("retry-after"));
    }
}

#[test]
fn the_url_and_what_else_it_may_have_been() {
    let head = |host: &str| {
        let request = Request::get("/webhooks/us?a=1&b=%2B").header("host", host).body(()).unwrap();
        request.into_parts().0
    };
    let asked = |root, host| {
        let (request, uri) = received(root, head(host), Bytes::new());
        assert!(request.alternatives.is_empty(), "nobody pays for them but a hint");
        with_alternatives(request, root, &uri)
    };
    let request = asked("https://example.com", "10.0.0.1:8080");
    assert_eq!(
        (request.url.as_str(), request.query.as_str()),
        ("https://example.com/webhooks/us?a=1&b=%2B", "a=1&b=%2B")
    );
    for other in [
        "http://example.com/webhooks/us?a=1&b=%2B",
        "https://example.com:443/webhooks/us?a=1&b=%2B",
        "http://10.0.0.1:8080/webhooks/us?a=1&b=%2B",
        "https://10.0.0.1/webhooks/us?a=1&b=%2B",
    ] {
        assert!(request.alternatives.iter().any(|url| url == other), "{other}");
    }
    assert!(!request.alternatives.contains(&request.url));
    let strange = asked("https://[::1]:8443", "a b");
    assert!(
        strange.alternatives.iter().any(|url| url.starts_with("https://[::1]/")),
        "{:?}",
        strange.alternatives
    );
}

#[tokio::test(start_paused = true)]
async fn the_hint_is_given_once_a_minute() {
    let provider = Provider::new(Arc::new(Ledger::default()));
    assert_eq!(provider.hint_due("us"), Some(0));
    assert_eq!((provider.hint_due("us"), provider.hint_due("us")), (None, None));
    assert_eq!(provider.hint_due("other"), Some(0));
    tokio::time::advance(HINT_EVERY).await;
    assert_eq!(provider.hint_due("us"), Some(2));
    assert_eq!(provider.hint_due("us"), None);
}

#[tokio::test]
async fn a_hint_asks_the_adapter_with_the_other_spellings() {
    // The puppet calls the first of them the one that matches; without any it can name none.
    let (head, ()) = Request::post("/webhooks/us").header("host", "b:1").body(()).unwrap().into_parts();
    let (request, uri) = received("https://example.com", head, Bytes::from_static(b"forged"));
    let matches = |request: &WebhookRequest| match Puppet.receive(request) {
        Err(Refusal::BadSignature { matches }) => matches,
        other => panic!("{other:?}"),
    };
    assert_eq!(matches(&request), None);
    let request = with_alternatives(request, "https://example.com", &uri);
    assert_eq!(matches(&request).as_deref(), Some("https://example.com:443/webhooks/us"));
}
