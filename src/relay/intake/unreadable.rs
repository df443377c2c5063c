//! Well-signed requests and events that nobody here can read: kept raw, the newest ten thousand, since providers repeat
//! anything but a 200 for days and somebody may want to see what it was.

use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use trunkline_adapter::WebhookRequest;

use super::Origin;
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables;
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};

const KEPT: u64 = 10_000;
/// Most of one raw body or event that is kept.
const MOST_BODY: usize = 64 * 1024;
/// Most of one header's value that is kept.
const MOST_VALUE: usize = 1024;

/// The ring's size. Its places are overwritten one after another, and a row of the ledger counts them.
pub struct Ring {
    kept: u64,
    /// One at a time: they all change the same count.
    turn: Mutex<()>,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring::of(KEPT)
    }
}

impl Ring {
    pub fn of(kept: u64) -> Ring {
        Ring { kept, turn: Mutex::default() }
    }
}

impl Relay {
    /// Keeps a whole request that could not be read; whoever could not read it counts it.
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
            .map(|(name, value)| {
                let value = &value.as_bytes()[..value.len().min(MOST_VALUE)];
                (name.to_string(), String::from_utf8_lossy(value).into_owned())
            })
            .collect();
        let raw = json!({
            "method": request.method.as_str(),
            "url": request.url.chars().take(MOST_VALUE).collect::<String>(),
            "headers": headers,
            "body": base64::engine::general_purpose::STANDARD.encode(body),
            "body_bytes": request.body.len(),
        });
        self.keep(origin, reason, raw).await
    }

    /// Keeps one event that is for the operator, or of a kind we do not know.
    pub(in crate::relay) async fn keep_notice(
        &self,
        origin: Origin<'_>,
        kind: &str,
        raw: &Value,
    ) -> Result<(), RelayError> {
        tracing::info!(adapter = origin.adapter, kind, "The provider told something that is no message");
        let text = raw.to_string();
        let raw = if text.len() <= MOST_BODY {
            raw.clone()
        } else {
            json!({ "beginning": text[..text.floor_char_boundary(MOST_BODY)], "bytes": text.len() })
        };
        self.keep(origin, kind, raw).await?;
        inbound(origin.adapter, InboundOutcome::Unreadable);
        Ok(())
    }

    pub(in crate::relay) async fn keep(
        &self,
        origin: Origin<'_>,
        reason: &str,
        raw: Value,
    ) -> Result<(), RelayError> {
        let _turn = self.unreadable.turn.lock().await;
        let account = origin.account.as_str();
        let count_key = tables::unreadables(account);
        let row = json!({
            "adapter": origin.adapter,
            "reason": reason.chars().take(200).collect::<String>(),
            "at": self.clock.now().rfc3339(),
            "raw": raw,
        });
        for _ in 0..ATTEMPTS {
            let mut batch = Batch { intake: true, ..Batch::default() };
            let stored = self.ledger.snapshot().get(&count_key).await?;
            match &stored {
                Some(stored) => batch.at(count_key.clone(), stored.changed),
                None => batch.absent(count_key.clone()),
            };
            let count = stored.and_then(|stored| std::str::from_utf8(&stored.payload).ok()?.parse().ok());
            let count: u64 = count.unwrap_or_default();
            batch.put(count_key.clone(), (count + 1).to_string());
            batch.put(tables::unreadable(account, count % self.unreadable.kept), row.to_string());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}
