//! Devices that get pushes: clients register them here, and the REST API shows them as bindings.

use serde_json::{Value, json};

use super::call::Asked;
use super::{Given, Guest};
use crate::http::error::ApiError;
use crate::model::push::PushKind;
use crate::relay::command::NewPushBinding;

/// Characters of a device's name.
const LONGEST: usize = 1024;
/// Kinds of messages that a device may want.
const MOST_TYPES: usize = 20;

pub(super) async fn register(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let kind = kind(asked.member("channel_type"))?;
    let endpoint = asked.member("data").and_then(|data| data["registration_id"].as_str());
    let endpoint = named(endpoint)?;
    let types = asked.member("message_types").and_then(Value::as_array);
    let types = types.into_iter().flatten().filter_map(Value::as_str).take(MOST_TYPES);
    let message_types = types.map(|name| name.chars().take(100).collect()).collect();
    let credential = guest.push_credential.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let identity = guest.identity().to_owned();
    let new = NewPushBinding { identity, kind, endpoint, credential, message_types };
    let binding = guest.relay().register_push(guest.account(), guest.service(), new).await?;
    Ok(Given::Created(json!({ "id": binding.sid })))
}

pub(super) async fn unregister(guest: &Guest, sid: &str) -> Result<Given, ApiError> {
    let (account, service) = (guest.account(), guest.service());
    let binding = guest.relay().push_binding(account, service, sid).await?;
    if binding.identity != guest.identity() {
        return Err(crate::relay::RelayError::PushBindingNotFound.into());
    }
    guest.relay().delete_push_binding(account, service, sid).await?;
    Ok(Given::Gone)
}

/// By the device's name instead of the registration's. One that is not registered is gone already.
pub(super) async fn remove(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let kind = kind(asked.member("binding_type"))?;
    let endpoint = named(asked.member("address").and_then(Value::as_str))?;
    let (account, service, identity) = (guest.account(), guest.service(), guest.identity());
    guest.relay().forget_push(account, service, identity, kind, &endpoint).await?;
    Ok(Given::Gone)
}

fn kind(value: Option<&Value>) -> Result<PushKind, ApiError> {
    let kind = value.and_then(Value::as_str).and_then(PushKind::parse);
    kind.ok_or_else(|| ApiError::parameter("the kind of push is none of apn, gcm and fcm"))
}

fn named(endpoint: Option<&str>) -> Result<String, ApiError> {
    let endpoint = endpoint.filter(|name| !name.is_empty() && name.len() <= LONGEST);
    endpoint
        .map(str::to_owned)
        .ok_or_else(|| ApiError::parameter("the device has no name, or a very long one"))
}
