//! The public listener on a real relay over the memory engine. Each line is a request: method, target, and behind a
//! space its form. `$CH`, `$MB`, `$IM`, `$IS` and `$DY` stand for the newest SID of that kind that an answer showed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use trunkline::http::front::Front;
use trunkline::http::media::Door;
use trunkline::http::server::{Entry, Handler};
use trunkline::http::{Account, Accounts, AdapterEntry, Base, Inlet, Limits};
use trunkline::relay::RelayError;
use trunkline_adapter::{BoxFuture, Inbound, Secrets, WebhookRequest};

use super::house::{self, House};

/// Requests of one input.
const MOST: usize = 24;
const ROOT: &str = "https://b.example";
/// The house's account, and the token `token`.
const BASIC: &str = "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2tlbg==";

/// No adapters: their requests have targets of their own.
struct Nobody;

impl Inlet for Nobody {
    fn adapter(&self, _: &str) -> Option<AdapterEntry> {
        None
    }

    fn take<'a>(
        &'a self,
        _: &'a str,
        _: &'static str,
        _: Vec<Inbound>,
    ) -> BoxFuture<'a, Result<(), RelayError>> {
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

struct Caller {
    front: Arc<Front>,
    /// The newest SID of each kind.
    newest: HashMap<String, String>,
}

pub fn run(data: &[u8]) {
    house::wait(async {
        let house = House::new().await;
        let account =
            Account { sid: house.account.clone(), auth_token: Secrets::one("token"), keys: Vec::new() };
        let accounts = Arc::new(Accounts::new(vec![account]));
        let base = Arc::new(Base::new(Some(ROOT)));
        let relay = Arc::clone(&house.relay);
        let door = Door::without_files(Arc::clone(&relay), Arc::clone(&accounts));
        let front = Arc::new(Front::new(relay, Arc::new(Nobody), accounts, base, door, Limits::default()));
        let newest = HashMap::from([("CH".to_owned(), house.conversation.to_string())]);
        let mut caller = Caller { front, newest };
        for line in data.split(|byte| *byte == b'\n').take(MOST) {
            caller.line(line).await;
        }
    });
}

impl Caller {
    async fn line(&mut self, line: &[u8]) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let form = words.next().unwrap_or_default();
        let Ok(method) = Method::from_bytes(method) else { return };
        let target = self.filled(&String::from_utf8_lossy(target));
        let form = match std::str::from_utf8(form) {
            Ok(form) => self.filled(form).into_bytes(),
            Err(_) => form.to_vec(),
        };
        let Some((status, body)) = self.ask(&method, &target, form).await else { return };
        if let Some(sid) = body["sid"].as_str()
            && let Some(kind) = sid.get(..2)
        {
            self.newest.insert(kind.to_owned(), sid.to_owned());
        }
        if !status.is_success() {
            return;
        }
        // What was shown is what is found under its own URL, and every page leads on.
        if let Some(url) = body["url"].as_str()
            && let Some((status, found)) = self.ask(&Method::GET, below(url), Vec::new()).await
        {
            assert_eq!(status, StatusCode::OK, "{url}");
            assert_eq!(found, body, "{url}");
        }
        let meta = &body["meta"];
        if let Some(key) = meta["key"].as_str() {
            let shown = body[key].as_array().expect("a list").len() as u64;
            assert!(shown <= meta["page_size"].as_u64().expect("a size"));
            for url in ["first_page_url", "previous_page_url", "url", "next_page_url"] {
                let Some(url) = meta[url].as_str() else { continue };
                let (status, _) = self.ask(&Method::GET, below(url), Vec::new()).await.expect("a page");
                assert_eq!(status, StatusCode::OK, "{url}");
            }
        }
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (kind, sid) in &self.newest {
            text = text.replace(&format!("${kind}"), sid);
        }
        text
    }

    /// Status, and the body or null; nothing where the target is no target of HTTP.
    async fn ask(&self, method: &Method, target: &str, form: Vec<u8>) -> Option<(StatusCode, Value)> {
        let request = Request::builder().method(method).uri(target).header("authorization", BASIC);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let (mut head, body) = request.body(Bytes::from(form)).ok()?.into_parts();
        let admission = self.front.admit(&mut head);
        let label = admission.label;
        let mut response = match admission.verdict {
            // A file has no place here.
            Ok(Entry::Whole(most)) if body.len() <= most => {
                Arc::clone(&self.front).answer(Request::from_parts(head, body)).await
            }
            Ok(_) => return None,
            Err(refusal) => refusal,
        };
        self.front.dress(label, Duration::ZERO, &mut response);
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert!(status.as_u16() < 500, "{method} {target}: {status} {bytes:?}");
        if bytes.is_empty() {
            return Some((status, Value::Null));
        }
        let body: Value = serde_json::from_slice(&bytes).expect("JSON");
        if !status.is_success() {
            assert_eq!(body["status"], status.as_u16());
            assert!(body["code"].is_u64() && body["message"].is_string(), "{body}");
        }
        Some((status, body))
    }
}

fn below(url: &str) -> &str {
    url.strip_prefix(ROOT).expect("our own URL")
}
