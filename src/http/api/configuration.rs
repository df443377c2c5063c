//! `/Configuration`: the account's defaults, for what is created afterwards.

use http::Method;
use serde_json::{Value, json};

use super::fields::Timer;
use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::model::{AccountSettings, ServiceSid};
use crate::relay::RelayError;
use crate::relay::command::{AccountChange, Change};

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let account = &call.scope.account;
    let settings = match *call.method {
        Method::POST => call.relay.update_account_settings(account, change(&call.form)?).await?,
        _ => call.relay.account_settings(account).await?,
    };
    Ok(Answer::shown(render(&call.scope, &settings)))
}

fn change(form: &Form) -> Result<AccountChange, ApiError> {
    let known =
        ["DefaultChatServiceSid", "DefaultMessagingServiceSid", "DefaultInactiveTimer", "DefaultClosedTimer"];
    if !form.any(&known) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let default_service = match form.get("DefaultChatServiceSid") {
        None => None,
        // There is always one.
        Some(sid) => Some(ServiceSid::parse(sid).ok_or(RelayError::ServiceNotFound)?),
    };
    let messaging_service = fields::messaging_service_sid(form, "DefaultMessagingServiceSid")?;
    // Kept as they were given.
    let timer = |name, timer| {
        Ok::<_, ApiError>(match fields::timer(form, name, timer)? {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(_) => fields::change(form.get(name)),
        })
    };
    let inactive_timer = timer("DefaultInactiveTimer", Timer::Inactive)?;
    let closed_timer = timer("DefaultClosedTimer", Timer::Closed)?;
    Ok(AccountChange {
        default_service,
        messaging_service: fields::change(messaging_service),
        inactive_timer,
        closed_timer,
    })
}

pub(super) fn render(scope: &Scope, settings: &AccountSettings) -> Value {
    let service = &settings.default_service;
    json!({
        "account_sid": scope.account,
        "default_chat_service_sid": service,
        "default_messaging_service_sid": settings.default_messaging_service,
        "default_inactive_timer": settings.default_inactive_timer,
        "default_closed_timer": settings.default_closed_timer,
        "url": scope.account_url("/Configuration"),
        "links": {
            "service": scope.account_url(&format!("/Services/{service}/Configuration")),
            "webhooks": scope.account_url("/Configuration/Webhooks"),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_refused() {
        for (text, code) in [
            ("", 20161),
            ("Unknown=1", 20161),
            ("DefaultChatServiceSid=", 50050),
            ("DefaultChatServiceSid=IS1", 50050),
            ("DefaultMessagingServiceSid=MG1", 50341),
            ("DefaultInactiveTimer=PT59S", 50375),
            ("DefaultInactiveTimer=1m", 50379),
            ("DefaultClosedTimer=PT9M59S", 50376),
            ("DefaultClosedTimer=P1Y", 50380),
        ] {
            assert_eq!(change(&Form::parse(text.as_bytes()).unwrap()).unwrap_err().code(), code, "{text}");
        }
    }
}
