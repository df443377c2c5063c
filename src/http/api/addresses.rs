//! `/Configuration/Addresses`: what becomes of messages to our addresses that belong to no conversation.
//!
//! An address need not be one of today's proxy addresses: its adapter may follow. Without `AutoCreation.Type`, a new one
//! is of the type that its other parameters are for.

use http::Method;
use serde_json::{Map, Value, json};
use trunkline_adapter::Address;

use super::scope::Scope;
use super::webhook_configuration::{callable, method};
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::ids::well_formed;
use crate::model::{AddressConfiguration, AddressKind, AutoCreationKind, Event, ServiceSid};
use crate::relay::RelayError;
use crate::relay::command::{AddressChange, Change, NewAddress};

/// Characters of a URL.
const LONGEST_URL: usize = 512;
const ENABLED: &str = "AutoCreation.Enabled";
const TYPE: &str = "AutoCreation.Type";
const SERVICE: &str = "AutoCreation.ConversationServiceSid";
const URL: &str = "AutoCreation.WebhookUrl";
const METHOD: &str = "AutoCreation.WebhookMethod";
const FILTERS: &str = "AutoCreation.WebhookFilters";
const FLOW: &str = "AutoCreation.StudioFlowSid";
const RETRIES: &str = "AutoCreation.StudioRetryCount";

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, name) = (call.relay, &call.scope.account, call.route.name(0));
    match (call.route.resource, call.method) {
        (Resource::Addresses, &Method::POST) => {
            let made = relay.create_address(account, new(&call.form)?).await?;
            Ok(Answer::created(render(&call.scope, &made)))
        }
        (Resource::Addresses, _) => list(call).await,
        (_, &Method::POST) => {
            let change = change(&call.form)?;
            if change == AddressChange::default() {
                return Err(error::UPDATE_EMPTY.into());
            }
            let before = relay.address(account, name).await?.auto_creation;
            complete(
                change.kind.unwrap_or(before.kind),
                change.webhook_url.clone().apply(before.webhook_url).is_some(),
                change.studio_flow_sid.clone().apply(before.studio_flow_sid).is_some(),
            )?;
            let changed = relay.update_address(account, name, change).await?;
            Ok(Answer::shown(render(&call.scope, &changed)))
        }
        (_, &Method::DELETE) => {
            relay.delete_address(account, name).await?;
            Ok(Answer::gone())
        }
        _ => Ok(Answer::shown(render(&call.scope, &relay.address(account, name).await?))),
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page = Page::read(&call.query, 50)?;
    let kind = call.query.filled("Type").map(kind).transpose()?;
    let mut found = call.relay.addresses(&call.scope.account, kind, page.after, page.fetch()).await?;
    let next = page.cut(&mut found, |configuration| configuration.birth);
    let records = found.iter().map(|configuration| render(&call.scope, configuration)).collect();
    Ok(call.page(&page, "address_configurations", records, next, &["Type"]))
}

fn kind(word: &str) -> Result<AddressKind, ApiError> {
    AddressKind::parse(word).ok_or_else(|| {
        ApiError::parameter("Type is none of sms, whatsapp, messenger, gbm, email, rcs, apple and chat")
    })
}

fn new(form: &Form) -> Result<NewAddress, ApiError> {
    let kind = kind(form.get("Type").ok_or_else(|| ApiError::parameter("Type is required"))?)?;
    let address = form.filled("Address").ok_or_else(|| ApiError::parameter("Address is required"))?;
    let address = match kind.channel() {
        Some(channel) => {
            let address = Address::parse(address).ok().filter(|address| address.channel() == channel);
            address.ok_or_else(|| ApiError::parameter("Address is none of this Type"))?.to_string()
        }
        None if fields::too_long(address) => {
            return Err(ApiError::parameter("Address is longer than 256 characters"));
        }
        None => address.to_owned(),
    };
    let country = match form.filled("AddressCountry") {
        Some(code) if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
            Some(code.to_ascii_uppercase())
        }
        Some(_) => return Err(ApiError::parameter("AddressCountry is no ISO 3166-1 alpha-2 code")),
        None => None,
    };
    let mut change = change(form)?;
    let (url, flow) = (change.webhook_url.set().is_some(), change.studio_flow_sid.set().is_some());
    let implied = match (url, flow) {
        (true, _) => AutoCreationKind::Webhook,
        (false, true) => AutoCreationKind::Studio,
        (false, false) => AutoCreationKind::Default,
    };
    complete(*change.kind.get_or_insert(implied), url, flow)?;
    Ok(NewAddress { kind, address, country, change })
}

/// A webhook needs a URL and a flow its SID.
fn complete(kind: AutoCreationKind, url: bool, flow: bool) -> Result<(), ApiError> {
    match kind {
        AutoCreationKind::Webhook if !url => Err(error::WEBHOOK_URL_MISSING.into()),
        AutoCreationKind::Studio if !flow => Err(error::FLOW_SID.into()),
        _ => Ok(()),
    }
}

fn change(form: &Form) -> Result<AddressChange, ApiError> {
    let kinds = [
        ("webhook", AutoCreationKind::Webhook),
        ("studio", AutoCreationKind::Studio),
        ("default", AutoCreationKind::Default),
    ];
    let refused = || ApiError::parameter("AutoCreation.Type is none of webhook, studio and default");
    let kind = form.word(TYPE, &kinds, refused)?;
    let service = match form.get(SERVICE) {
        None => Change::Keep,
        Some("") => Change::Clear,
        Some(sid) => Change::Set(ServiceSid::parse(sid).ok_or(RelayError::ServiceNotFound)?),
    };
    let url = form.get(URL);
    if let Some(url) = url.filter(|url| !url.is_empty()) {
        if url.chars().count() > LONGEST_URL {
            return Err(error::WEBHOOK_URL_TOO_LONG.into());
        }
        if !callable(url) {
            return Err(error::WEBHOOK_URL_MISSING.into());
        }
    }
    let filters = form.get(FILTERS).map(|_| {
        let events = form.each(FILTERS).map(|name| Event::parse(name).filter(|event| event.is_scoped()));
        events.map(|event| event.map(|event| event.name().to_owned())).collect::<Option<Vec<_>>>()
    });
    let filters = match filters {
        None => None,
        Some(None) => return Err(error::WEBHOOK_FILTER.into()),
        Some(known) => known,
    };
    let flow = form.get(FLOW);
    if flow.is_some_and(|flow| !flow.is_empty() && !well_formed(flow, "FW")) {
        return Err(error::FLOW_SID.into());
    }
    let retries =
        match form.get(RETRIES) {
            None => Change::Keep,
            Some("") => Change::Clear,
            Some(count) => Change::Set(count.parse().map_err(|_| {
                ApiError::parameter("AutoCreation.StudioRetryCount is not a number of retries")
            })?),
        };
    Ok(AddressChange {
        friendly_name: fields::change(fields::friendly_name(form)?),
        enabled: fields::boolean(form, ENABLED)?,
        kind,
        service,
        webhook_url: fields::change(url),
        webhook_method: method(form, METHOD)?,
        webhook_filters: filters,
        studio_flow_sid: fields::change(flow),
        studio_retry_count: retries,
    })
}

fn render(scope: &Scope, configuration: &AddressConfiguration) -> Value {
    let auto = &configuration.auto_creation;
    let mut shown = Map::new();
    let mut show = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    show("enabled", auto.enabled.into());
    show("type", auto.kind.name().into());
    show("conversation_service_sid", json!(auto.service));
    match auto.kind {
        AutoCreationKind::Default => {}
        AutoCreationKind::Webhook => {
            show("webhook_url", json!(auto.webhook_url));
            show("webhook_method", auto.webhook_method.name().into());
            show("webhook_filters", json!(auto.webhook_filters));
        }
        AutoCreationKind::Studio => {
            show("studio_flow_sid", json!(auto.studio_flow_sid));
            show("studio_retry_count", json!(auto.studio_retry_count));
        }
    }
    json!({
        "account_sid": scope.account,
        "sid": configuration.sid,
        "type": configuration.kind.name(),
        "address": configuration.address,
        "friendly_name": configuration.friendly_name,
        "address_country": configuration.address_country,
        "auto_creation": shown,
        "date_created": configuration.created.rfc3339(),
        "date_updated": configuration.updated.rfc3339(),
        "url": scope.account_url(&format!("/Configuration/Addresses/{}", configuration.sid)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::model::HookMethod;

    fn form(pairs: &[(&str, &str)]) -> Form {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_read() {
        let phone = [("Type", "SMS"), ("Address", "+1 202 555 0123"), ("AddressCountry", "us")];
        let made = new(&form(&phone)).unwrap();
        assert_eq!((made.address.as_str(), made.country.as_deref()), ("+12025550123", Some("US")));
        assert_eq!(made.change.kind, Some(AutoCreationKind::Default));
        let hook = [("Type", "email"), ("Address", "a@b.example"), (URL, "https://a.example")];
        assert_eq!(new(&form(&hook)).unwrap().change.kind, Some(AutoCreationKind::Webhook));
        let made =
            change(&form(&[(FILTERS, "ONMESSAGEADDED"), (FILTERS, "onDeliveryUpdated"), (METHOD, "GET")]));
        let made = made.unwrap();
        assert_eq!(made.webhook_filters.unwrap(), ["onMessageAdded", "onDeliveryUpdated"]);
        assert_eq!(made.webhook_method, Some(HookMethod::Get));
        assert_eq!(change(&form(&[(FILTERS, "")])).unwrap().webhook_filters, Some(Vec::new()));
    }

    #[test]
    fn what_is_refused() {
        let long = format!("https://a.example/{}", "a".repeat(500));
        for (field, code) in [
            (("Type", "pigeon"), 20001),
            (("Address", ""), 20001),
            (("Address", "whatsapp:+12025550123"), 20001),
            (("AddressCountry", "USA"), 20001),
            (("FriendlyName", long.as_str()), 50003),
            ((ENABLED, "perhaps"), 20001),
            ((TYPE, "trigger"), 20001),
            ((TYPE, "webhook"), 50369),
            ((TYPE, "studio"), 50367),
            ((SERVICE, "IS1"), 50050),
            ((URL, long.as_str()), 50372),
            ((URL, "ftp://a.example"), 50369),
            ((METHOD, "PUT"), 50055),
            ((FILTERS, "onMessageAdd"), 50365),
            ((FLOW, "FW1"), 50367),
            ((RETRIES, "-1"), 20001),
        ] {
            // The first of repeated ones counts.
            let pairs = [field, ("Type", "sms"), ("Address", "+12025550123")];
            assert_eq!(new(&form(&pairs)).map(|_| ()).unwrap_err().code(), code, "{field:?}");
        }
        assert_eq!(new(&form(&[("Address", "+12025550123")])).unwrap_err().code(), 20001);
    }
}
