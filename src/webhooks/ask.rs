//! Asking before something happens.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::settings::{OnTimeout, Site, TIMEOUT};
use crate::announce::{Ask, Pairs, Verdict};
use crate::egress::{Answer, Body, CallError, Request};
use crate::model::{AccountSid, HookMethod, HookSettings};
use crate::telemetry::webhooks::{PreOutcome, asked};

/// Bytes of an answer: a message's text and attributes, and room around them.
const MOST: usize = 256 * 1024;

/// Asks over HTTP.
pub struct Asker(pub Site);

impl Ask for Asker {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSid,
        settings: &'a HookSettings,
        pairs: Pairs,
    ) -> BoxFuture<'a, Verdict> {
        async move {
            let Some(url) = &settings.pre_url else { return Verdict::Proceed(Map::new()) };
            let request = request(&self.0, url, settings.method, pairs, TIMEOUT);
            let answer = self.0.caller.call(request, &self.0.token(account)).await;
            let (verdict, outcome) = read(&answer, self.0.settings().on_timeout);
            asked(outcome);
            match &answer {
                Err(error) => tracing::warn!(%account, %error, "A pre-action webhook gave no answer"),
                Ok(answer) if verdict == Verdict::Refuse => {
                    tracing::info!(%account, status = answer.status, "A pre-action webhook refused an action");
                }
                Ok(_) => {}
            }
            verdict
        }
        .boxed()
    }
}

fn request(site: &Site, url: &str, method: HookMethod, pairs: Pairs, timeout: Duration) -> Request {
    let mut pairs = pairs;
    pairs.put("RetryCount", "0");
    let token: String = site.mint.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Request {
        url: url.to_owned(),
        body: match method {
            HookMethod::Get => Body::Query(pairs.0),
            HookMethod::Post => Body::Form(pairs.0),
        },
        headers: vec![(super::post::TOKEN, token)],
        timeout,
        most: MOST,
    }
}

/// What an answer means. One that is no JSON object changes nothing; an error refuses; silence is the operator's to judge.
fn read(answer: &Result<Answer, CallError>, on_timeout: OnTimeout) -> (Verdict, PreOutcome) {
    let unchanged = || Verdict::Proceed(Map::new());
    match answer {
        Ok(answer) if answer.status >= 400 => (Verdict::Refuse, PreOutcome::Refused),
        Ok(answer) if answer.status == 200 => match serde_json::from_slice::<Value>(&answer.body) {
            Ok(Value::Object(fields)) if !fields.is_empty() => {
                (Verdict::Proceed(fields), PreOutcome::Changed)
            }
            _ => (unchanged(), PreOutcome::Proceeded),
        },
        Ok(_) => (unchanged(), PreOutcome::Proceeded),
        Err(error) => {
            let outcome =
                if *error == CallError::TimedOut { PreOutcome::TimedOut } else { PreOutcome::Failed };
            match on_timeout {
                OnTimeout::Proceed => (unchanged(), outcome),
                OnTimeout::Refuse => (Verdict::Refuse, outcome),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_answers_mean() {
        let read = |status, body: &'static str| {
            let body = Bytes::from_static(body.as_bytes());
            super::read(&Ok(Answer { status, content_type: String::new(), body }), OnTimeout::Proceed)
        };
        let unchanged = (Verdict::Proceed(Map::new()), PreOutcome::Proceeded);
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, "no JSON"),
            (200, "[1]"),
            (204, ""),
            (201, "{\"body\":\"x\"}"),
            (302, ""),
        ] {
            assert_eq!(read(status, body), unchanged, "{status} {body}");
        }
        let changed = json!({ "body": "x" }).as_object().cloned().unwrap_or_default();
        assert_eq!(read(200, "{\"body\":\"x\"}"), (Verdict::Proceed(changed), PreOutcome::Changed));
        for status in [400, 403, 404, 500, 503] {
            assert_eq!(read(status, "{\"body\":\"x\"}"), (Verdict::Refuse, PreOutcome::Refused));
        }
        let silent = Err(CallError::TimedOut);
        assert_eq!(super::read(&silent, OnTimeout::Proceed).0, Verdict::Proceed(Map::new()));
        assert_eq!(super::read(&silent, OnTimeout::Refuse), (Verdict::Refuse, PreOutcome::TimedOut));
        let failed = Err(CallError::Failed("no route".into()));
        assert_eq!(super::read(&failed, OnTimeout::Refuse), (Verdict::Refuse, PreOutcome::Failed));
    }
}
