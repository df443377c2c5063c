//! `/Configuration`: the account's defaults, of which there is one so far.

use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call};

pub(super) fn fetch(call: &Call<'_>) -> Answer {
    Answer::shown(render(&call.scope))
}

pub(super) fn render(scope: &Scope) -> Value {
    json!({
        "account_sid": scope.account,
        "default_chat_service_sid": scope.service,
        "default_messaging_service_sid": null,
        "default_inactive_timer": null,
        "default_closed_timer": null,
        "url": scope.account_url("/Configuration"),
        "links": {
            "service": scope.account_url(&format!("/Services/{}/Configuration", scope.service)),
            "webhooks": scope.account_url("/Configuration/Webhooks"),
        },
    })
}
