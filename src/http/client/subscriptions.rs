//! Watching objects and stopping it. The answer says little; what matters comes as notices.

use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Asked, Body};
use super::{Given, Guest};
use crate::http::error::ApiError;
use crate::ledger::LedgerError;
use crate::relay::RelayError;
use crate::sync::Object;

/// Objects in one call.
const MOST: usize = 100;
/// Milliseconds after which a client that hears nothing asks again.
const PATIENCE: u32 = 5_000;
/// Seconds after which a client asks for everything again. A subscription lasts as long as its session all the same.
const LIFE: u32 = 4 * 3600;

#[derive(Deserialize)]
struct Batch {
    action: String,
    #[serde(default)]
    correlation_id: Value,
    requests: Vec<Wish>,
}

#[derive(Deserialize)]
struct Wish {
    object_sid: String,
    object_type: String,
    #[serde(default)]
    last_event_id: Option<u64>,
}

pub(super) async fn answer(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let Body::Json(members) = &asked.body else {
        return Err(ApiError::parameter("The body is not a JSON object"));
    };
    let batch: Batch = serde_json::from_value(Value::Object(members.clone()))
        .map_err(|_| ApiError::parameter("The body is no batch of subscriptions"))?;
    if batch.requests.len() > MOST {
        return Err(ApiError::parameter("More than 100 objects in one batch"));
    }
    match batch.action.as_str() {
        "establish" => {
            for wish in &batch.requests {
                establish(guest, wish, &batch.correlation_id).await.map_err(RelayError::from)?;
            }
        }
        "cancel" => {
            for Wish { object_sid, object_type, .. } in &batch.requests {
                guest.house.hub.cancel(&guest.session, object_sid, object_type, &batch.correlation_id);
            }
        }
        _ => return Err(ApiError::parameter("action is neither establish nor cancel")),
    }
    Ok(Given::Shown(json!({
        "max_batch_size": MOST,
        "estimated_delivery_in_ms": PATIENCE,
        "ttl_in_s": LIFE,
    })))
}

async fn establish(guest: &Guest, wish: &Wish, correlation: &Value) -> Result<(), LedgerError> {
    let (hub, session) = (&guest.house.hub, &guest.session);
    let object = Object::parse(&wish.object_sid).filter(|object| object.kind().name() == wish.object_type);
    let Some(object) = object else {
        hub.refuse(session, &wish.object_sid, &wish.object_type, correlation);
        return Ok(());
    };
    let looked_for = object.clone();
    let admitted = || async move {
        let snapshot = hub.snapshot();
        guest.may_see(&hub.reader(&*snapshot, &session.realm), &looked_for).await
    };
    hub.subscribe(session, object, wish.last_event_id, correlation, admitted).await
}
