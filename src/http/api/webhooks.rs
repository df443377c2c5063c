//! `/Conversations/{CH}/Webhooks`: where the events of one conversation go, up to five of them.
//!
//! A target of `studio` is a flow of Twilio's own: it is kept and shown, so that an application that sets one up goes on,
//! and nothing runs it.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::webhook_configuration::{callable, method};
use super::{Answer, Call};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::ids::well_formed;
use crate::model::webhook::MOST_SCOPED;
use crate::model::{Conversation, Event, HookMethod, HookTarget, ScopedWebhook};
use crate::relay::command::{NewWebhook, WebhookChange};

/// Characters of a URL and of a trigger's word.
const URL: usize = 512;
const WORD: usize = 248;
/// Words of a trigger.
const WORDS: usize = 5;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, scope) = (call.relay, &call.scope);
    let (account, service, conversation) = (&scope.account, &scope.service, call.conversation());
    let sid = call.route.name(1);
    match (call.route.resource, call.method) {
        (Resource::ConversationWebhooks, &Method::POST) => {
            let new = new(&call.form)?;
            let (conversation, made) = relay.create_webhook(account, service, conversation, new).await?;
            Ok(Answer::created(render(scope, &conversation, &made)))
        }
        (Resource::ConversationWebhooks, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
            let (conversation, changed) =
                relay.update_webhook(account, service, conversation, sid, change).await?;
            Ok(Answer::shown(render(scope, &conversation, &changed)))
        }
        (_, &Method::DELETE) => {
            relay.delete_webhook(account, service, conversation, sid).await?;
            Ok(Answer::gone())
        }
        _ => {
            let (conversation, found) = relay.webhook(account, service, conversation, sid).await?;
            Ok(Answer::shown(render(scope, &conversation, &found)))
        }
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page<String> = Page::read(&call.query, MOST_SCOPED)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let conversation = call.relay.conversation(account, service, call.conversation()).await?;
    let mut all: Vec<&ScopedWebhook> = conversation.record.webhooks.iter().collect();
    // By name: the one that a page ended with may be gone when the next is asked for.
    all.sort_by(|one, other| one.sid.cmp(&other.sid));
    let after = page.after.as_deref().unwrap_or_default();
    let mut found: Vec<_> =
        all.into_iter().filter(|hook| hook.sid.as_str() > after).take(page.fetch()).collect();
    let next = page.cut(&mut found, |hook| hook.sid.as_str().to_owned());
    let records = found.iter().map(|hook| render(&call.scope, &conversation, hook)).collect();
    Ok(call.page(&page, "webhooks", records, next, &[]))
}

fn new(form: &Form) -> Result<NewWebhook, ApiError> {
    let targets = [HookTarget::Webhook, HookTarget::Trigger, HookTarget::Studio];
    let targets = targets.map(|target| (target.name(), target));
    let target = form.word("Target", &targets, || error::WEBHOOK_TARGET.into())?;
    let target = target.ok_or(error::WEBHOOK_TARGET_MISSING)?;
    let WebhookChange { url, method, filters, triggers, flow_sid } = parts(form)?;
    let (filters, triggers) = (filters.unwrap_or_default(), triggers.unwrap_or_default());
    match target {
        HookTarget::Studio if flow_sid.is_none() => return Err(error::FLOW_SID.into()),
        HookTarget::Webhook | HookTarget::Trigger if url.is_none() => {
            return Err(error::WEBHOOK_URL_MISSING.into());
        }
        HookTarget::Webhook if filters.is_empty() => return Err(error::WEBHOOK_FILTERS_MISSING.into()),
        HookTarget::Trigger if filters.is_empty() && triggers.is_empty() => {
            return Err(error::TRIGGERS_MISSING.into());
        }
        _ => {}
    }
    let runs = target != HookTarget::Studio;
    Ok(NewWebhook {
        target,
        url: url.filter(|_| runs),
        method: method.unwrap_or_default(),
        filters: if runs { filters } else { Vec::new() },
        triggers: if target == HookTarget::Trigger { triggers } else { Vec::new() },
        flow_sid: flow_sid.filter(|_| !runs),
        replay_after: replay_after(form)?,
    })
}

fn change(form: &Form) -> Result<WebhookChange, ApiError> {
    let known =
        ["Url", "Method", "Filters", "Triggers", "FlowSid"].map(|name| format!("Configuration.{name}"));
    if !known.iter().any(|name| form.get(name).is_some()) {
        return Err(error::UPDATE_EMPTY.into());
    }
    parts(form)
}

/// What creation and update share. A list that is there and empty is as good as none.
fn parts(form: &Form) -> Result<WebhookChange, ApiError> {
    let url = form.filled("Configuration.Url");
    if url.is_some_and(|url| url.chars().count() > URL) {
        return Err(error::WEBHOOK_URL_TOO_LONG.into());
    }
    if url.is_some_and(|url| !callable(url)) {
        return Err(error::WEBHOOK_URL_MISSING.into());
    }
    let mut filters = Vec::new();
    for name in form.each("Configuration.Filters") {
        let event = Event::parse(name).filter(|event| event.is_scoped()).ok_or(error::WEBHOOK_FILTER)?;
        if !filters.iter().any(|known| known == event.name()) {
            filters.push(event.name().to_owned());
        }
    }
    let triggers: Vec<String> = form.all("Configuration.Triggers").map(str::to_owned).collect();
    if triggers.len() > WORDS {
        return Err(error::TOO_MANY_TRIGGERS.into());
    }
    if triggers.iter().any(|word| word.is_empty() || word.chars().count() > WORD) {
        return Err(error::TRIGGER_LENGTH.into());
    }
    let flow_sid = form.filled("Configuration.FlowSid");
    if flow_sid.is_some_and(|sid| !well_formed(sid, "FW")) {
        return Err(error::FLOW_SID.into());
    }
    Ok(WebhookChange {
        url: url.map(str::to_owned),
        method: method(form, "Configuration.Method")?,
        filters: (!filters.is_empty()).then_some(filters),
        triggers: (!triggers.is_empty()).then_some(triggers),
        flow_sid: flow_sid.map(str::to_owned),
    })
}

fn replay_after(form: &Form) -> Result<Option<u64>, ApiError> {
    let Some(text) = form.filled("Configuration.ReplayAfter") else { return Ok(None) };
    let index = text.parse().ok().filter(|index| *index < 1 << 53);
    index.map(Some).ok_or_else(|| ApiError::parameter("Configuration.ReplayAfter is not a message index"))
}

fn render(scope: &Scope, conversation: &Conversation, hook: &ScopedWebhook) -> Value {
    let method = match hook.method {
        HookMethod::Get => "get",
        HookMethod::Post => "post",
    };
    let mut configuration = match hook.target {
        HookTarget::Webhook => json!({ "url": hook.url, "method": method, "filters": hook.filters }),
        HookTarget::Trigger => {
            let mut shown = json!({ "url": hook.url, "method": method });
            for (name, list) in [("triggers", &hook.triggers), ("filters", &hook.filters)] {
                if !list.is_empty() {
                    shown[name] = list.as_slice().into();
                }
            }
            shown
        }
        HookTarget::Studio => json!({ "flow_sid": hook.flow_sid }),
    };
    if let Some(after) = hook.replay_after {
        configuration["replay_after"] = after.into();
    }
    let url = scope.url(&format!("/Conversations/{}/Webhooks/{}", conversation.sid(), hook.sid));
    scope.sign(json!({
        "sid": hook.sid,
        "account_sid": scope.account,
        "conversation_sid": conversation.sid(),
        "target": hook.target.name(),
        "url": url,
        "configuration": configuration,
        "date_created": hook.created.rfc3339(),
        "date_updated": hook.updated.rfc3339(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_refused() {
        let url = "Target=webhook&Configuration.Url=https%3A%2F%2Fa.example";
        let trigger = "Target=trigger&Configuration.Url=https%3A%2F%2Fa.example";
        for (text, code) in [
            (String::new(), 50368),
            ("Target=flex".to_owned(), 50364),
            ("Target=webhook".to_owned(), 50369),
            ("Target=webhook&Configuration.Url=a".to_owned(), 50369),
            (format!("{url}{}", "x".repeat(512)), 50372),
            (url.to_owned(), 50370),
            (format!("{url}&Configuration.Filters=onMessageAdd"), 50365),
            (format!("{url}&Configuration.Filters=onConversationAdded"), 50365),
            (format!("{url}&Configuration.Filters=nonsense"), 50365),
            (format!("{url}&Configuration.Filters=onMessageAdded&Configuration.Method=PUT"), 50055),
            (format!("{url}&Configuration.Filters=onMessageAdded&Configuration.ReplayAfter=-1"), 20001),
            (trigger.to_owned(), 50371),
            (format!("{trigger}{}", "&Configuration.Triggers=x".repeat(6)), 50362),
            (format!("{trigger}&Configuration.Triggers="), 50366),
            (format!("{trigger}&Configuration.Triggers={}", "x".repeat(249)), 50366),
            ("Target=studio".to_owned(), 50367),
            ("Target=studio&Configuration.FlowSid=FW1".to_owned(), 50367),
        ] {
            assert_eq!(new(&form(&text)).unwrap_err().code(), code, "{text}");
        }
        assert_eq!(change(&form("Configuration.ReplayAfter=1")).unwrap_err().code(), 20161);
    }

    #[test]
    fn what_is_taken() {
        let text = "Target=WebHook&Configuration.Url=http%3A%2F%2Fa.example&Configuration.Method=GET\
                    &Configuration.Filters=ONMESSAGEADDED&Configuration.Filters=onMessageAdded&Configuration.Triggers=x";
        let made = new(&form(text)).unwrap();
        assert_eq!((made.filters, made.method), (vec!["onMessageAdded".to_owned()], HookMethod::Get));
        assert!(made.triggers.is_empty(), "of a trigger only");
        let flow = format!("FW{:032x}", 1);
        let made = new(&form(&format!("Target=studio&Configuration.FlowSid={flow}"))).unwrap();
        assert_eq!((made.flow_sid, made.url), (Some(flow), None));
    }
}
