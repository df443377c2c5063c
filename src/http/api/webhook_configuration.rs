//! `/Configuration/Webhooks` and `/Services/{IS}/Configuration/Webhooks`: where an account's or a service's events go.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError, Entry};
use crate::http::form::Form;
use crate::http::route::Resource;
use crate::model::{HookMethod, HookSettings};
use crate::relay::command::{Change, HookChange};

/// Characters of a URL.
const URL: usize = 2048;
/// Characters of a filter, and how many there may be: names of an older API are kept, and tell nothing.
const FILTER: (usize, usize) = (128, 100);

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (account, of_service) = (&call.scope.account, call.route.resource == Resource::ServiceWebhooks);
    let service = of_service.then_some(&call.scope.service);
    let settings = match *call.method {
        Method::POST => {
            let change = change(&call.form, !of_service)?;
            call.relay.update_hook_settings(account, service, change).await?
        }
        _ => call.relay.hook_settings(account, service).await?,
    };
    Ok(Answer::shown(render(&call.scope, of_service, &settings)))
}

fn change(form: &Form, of_account: bool) -> Result<HookChange, ApiError> {
    if !form.any(&["PreWebhookUrl", "PostWebhookUrl", "Method", "Filters", "Target"]) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let targets = [("webhook", false), ("flex", true)];
    let refused = || ApiError::parameter("Target is neither webhook nor flex");
    let flex = if of_account { form.word("Target", &targets, refused)? } else { None };
    Ok(HookChange {
        pre_url: url(form, "PreWebhookUrl", error::PRE_WEBHOOK_URL)?,
        post_url: url(form, "PostWebhookUrl", error::POST_WEBHOOK_URL)?,
        method: method(form, "Method")?,
        filters: filters(form)?,
        flex,
    })
}

fn url(form: &Form, name: &str, otherwise: Entry) -> Result<Change<String>, ApiError> {
    let fits = |text: &str| text.chars().count() <= URL && callable(text);
    match form.filled(name) {
        Some(text) if !fits(text) => Err(otherwise.into()),
        _ => Ok(fields::change(form.get(name))),
    }
}

/// Whether a text is a URL of a kind that is called. Whether it may be is found out when it is.
pub(super) fn callable(text: &str) -> bool {
    let Ok(uri) = text.split('#').next().unwrap_or_default().parse::<http::Uri>() else { return false };
    let scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
    scheme && uri.host().is_some_and(|host| !host.is_empty())
}

/// How a webhook is called, in any case.
pub(super) fn method(form: &Form, name: &str) -> Result<Option<HookMethod>, ApiError> {
    let methods = [HookMethod::Get, HookMethod::Post].map(|method| (method.name(), method));
    form.word(name, &methods, || error::WEBHOOK_METHOD.into())
}

fn filters(form: &Form) -> Result<Option<Vec<String>>, ApiError> {
    if form.get("Filters").is_none() {
        return Ok(None);
    }
    let names: Vec<String> = form.each("Filters").map(str::to_owned).collect();
    let (longest, most) = FILTER;
    if names.len() > most || names.iter().any(|name| name.chars().count() > longest) {
        return Err(error::WEBHOOK_FORMAT.into());
    }
    Ok(Some(names))
}

fn render(scope: &Scope, of_service: bool, settings: &HookSettings) -> Value {
    let mut shown = json!({
        "account_sid": scope.account,
        "pre_webhook_url": settings.pre_url,
        "post_webhook_url": settings.post_url,
        "filters": settings.filters,
        "method": settings.method.name(),
    });
    if of_service {
        shown["chat_service_sid"] = scope.service.as_str().into();
        shown["url"] =
            scope.account_url(&format!("/Services/{}/Configuration/Webhooks", scope.service)).into();
    } else {
        shown["target"] = if settings.flex { "flex" } else { "webhook" }.into();
        shown["url"] = scope.account_url("/Configuration/Webhooks").into();
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(text: &str) -> Result<HookChange, ApiError> {
        change(&Form::parse(text.as_bytes()).unwrap(), true)
    }

    #[test]
    fn what_is_taken_and_what_is_refused() {
        let made = read(
            "PreWebhookUrl=&PostWebhookUrl=https%3A%2F%2Fa.example%2F%23rc%3D5&Method=get&Filters=onX&Filters=&Target=FLEX",
        );
        let made = made.unwrap();
        assert_eq!(
            (made.pre_url, made.method, made.flex),
            (Change::Clear, Some(HookMethod::Get), Some(true))
        );
        assert_eq!(made.post_url, Change::Set("https://a.example/#rc=5".into()));
        assert_eq!(made.filters, Some(vec!["onX".to_owned()]));
        let long = format!("PostWebhookUrl=https%3A%2F%2Fa.example%2F{}", "x".repeat(2048));
        let many = "Filters=x&".repeat(101);
        for (text, code) in [
            ("", 20161),
            ("PreWebhookUrl=ftp%3A%2F%2Fa.example", 50077),
            ("PreWebhookUrl=a.example", 50077),
            ("PostWebhookUrl=https%3A%2F%2F", 50078),
            (long.as_str(), 50078),
            ("Method=PUT", 50055),
            (many.as_str(), 50054),
            ("Target=studio", 20001),
        ] {
            assert_eq!(read(text).unwrap_err().code(), code, "{}", &text[..text.len().min(60)]);
        }
    }
}
