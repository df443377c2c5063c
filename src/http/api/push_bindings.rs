//! `/Services/{IS}/Bindings`: the devices of a service that get pushes. Clients register them; here they are shown and
//! removed.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call};
use crate::http::error::ApiError;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::PushBindingRecord;
use crate::model::push::PushKind;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, service) = (call.relay, &call.scope.account, &call.scope.service);
    let sid = call.route.name(0);
    match (call.route.resource, call.method) {
        (Resource::PushBindings, _) => list(call).await,
        (_, &Method::DELETE) => {
            relay.delete_push_binding(account, service, sid).await?;
            Ok(Answer::gone())
        }
        _ => Ok(Answer::shown(render(&call.scope, &relay.push_binding(account, service, sid).await?))),
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page = Page::read(&call.query, 100)?;
    let (account, service, query) = (&call.scope.account, &call.scope.service, &call.query);
    let kinds = query.all("BindingType").filter(|word| !word.is_empty()).map(PushKind::parse);
    let kinds: Option<Vec<PushKind>> = kinds.collect();
    let kinds =
        kinds.ok_or_else(|| ApiError::parameter("BindingType is none of apn, gcm, fcm and twilsock"))?;
    let people: Vec<&str> = query.all("Identity").filter(|identity| !identity.is_empty()).collect();
    let matches = |binding: &PushBindingRecord| {
        (kinds.is_empty() || kinds.contains(&binding.kind))
            && (people.is_empty() || people.contains(&binding.identity.as_str()))
    };
    let mut found = call.relay.push_bindings(account, service, matches, page.after, page.fetch()).await?;
    let next = page.cut(&mut found, |binding| binding.birth);
    let records = found.iter().map(|binding| render(&call.scope, binding)).collect();
    Ok(call.page(&page, "bindings", records, next, &["BindingType", "Identity"]))
}

pub(super) fn render(scope: &Scope, binding: &PushBindingRecord) -> Value {
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "sid": binding.sid,
        "credential_sid": binding.credential,
        "endpoint": binding.endpoint,
        "identity": binding.identity,
        "binding_type": binding.kind.name(),
        "message_types": binding.message_types,
        "date_created": binding.created.rfc3339(),
        "date_updated": binding.updated.rfc3339(),
        "url": scope.account_url(&format!("/Services/{}/Bindings/{}", scope.service, binding.sid)),
    })
}
