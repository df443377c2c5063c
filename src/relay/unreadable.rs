//! Well-signed requests and events that nobody here can read: kept raw, the newest ten thousand, since providers repeat
//! anything but a 200 for days and somebody may want to see what it was.

use std::collections::VecDeque;

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use trunkline_adapter::WebhookRequest;

use super::intake::Origin;
use super::{Relay, RelayError};
use crate::ledger::engine::Batch;
use crate::ledger::key::Range;
use crate::ledger::tables;
use crate::model::AccountSid;
use crate::telemetry::inbound::{InboundOutcome, inbound};

const KEPT: usize = 10_000;
/// Most of one raw body that is kept.
const MOST_BODY: usize = 64 * 1024;

/// The births of the rows that are there, oldest first; read once, at the first use.
#[derive(Default)]
pub struct Ring(Mutex<Option<VecDeque<u64>>>);

impl Relay {
    /// Keeps a whole request that could not be read.
    pub async fn keep_unreadable(
        &self,
        origin: Origin<'_>,
        reason: &str,
        request: &WebhookRequest,
    ) -> Result<(), RelayError> {
        let body = &request.body[..request.body.len().min(MOST_BODY)];
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .filter(|(name, _)| name.as_str() != "authorization")
            .take(64)
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let raw = json!({
            "method": request.method.as_str(),
            "url": request.url,
            "headers": headers,
            "body": base64::engine::general_purpose::STANDARD.encode(body),
            "body_bytes": request.body.len(),
        });
        self.keep(origin, reason, raw).await
    }

    /// Keeps one event that is for the operator, or of a kind we do not know.
    pub(super) async fn keep_notice(
        &self,
        origin: Origin<'_>,
        kind: &str,
        raw: &Value,
    ) -> Result<(), RelayError> {
        tracing::info!(adapter = origin.adapter, kind, "The provider told something that is no message");
        self.keep(origin, kind, raw.clone()).await
    }

    async fn keep(&self, origin: Origin<'_>, reason: &str, raw: Value) -> Result<(), RelayError> {
        let mut ring = self.unreadable.0.lock().await;
        let births = match ring.take() {
            Some(births) => births,
            None => self.births(origin.account).await?,
        };
        let births = ring.insert(births);
        let birth = self.ledger.birth();
        let row = json!({
            "adapter": origin.adapter,
            "reason": reason.chars().take(200).collect::<String>(),
            "at": self.clock.now().rfc3339(),
            "raw": raw,
        });
        let mut batch = Batch { intake: true, ..Batch::default() };
        batch.put(tables::unreadable(origin.account.as_str(), birth), row.to_string());
        let oldest = if births.len() >= KEPT { births.front().copied() } else { None };
        if let Some(oldest) = oldest {
            batch.delete(tables::unreadable(origin.account.as_str(), oldest));
        }
        self.ledger.commit(batch).await?;
        if oldest.is_some() {
            births.pop_front();
        }
        births.push_back(birth);
        inbound(origin.adapter, InboundOutcome::Unreadable);
        Ok(())
    }

    async fn births(&self, account: &AccountSid) -> Result<VecDeque<u64>, RelayError> {
        let range = Range::prefix(&tables::unreadables(account.as_str()));
        let rows = self.ledger.snapshot().scan(range, usize::MAX).await?;
        let births =
            rows.iter().filter_map(|(key, _)| Some(u64::from_be_bytes(key.rest()?.try_into().ok()?)));
        Ok(births.collect())
    }
}
