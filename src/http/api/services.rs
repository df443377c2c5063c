//! `/Services`: the silos of an account.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::ServiceRecord;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let account = &call.scope.account;
    match (call.route.resource, call.method) {
        (Resource::Services, &Method::POST) => {
            let name = fields::friendly_name(&call.form)?.filter(|name| !name.is_empty());
            let name = name.ok_or(error::FRIENDLY_NAME_MISSING)?;
            let service = call.relay.create_service(account, name.to_owned()).await?;
            Ok(Answer::created(render(&call.scope, &service)))
        }
        (Resource::Services, _) => list(call).await,
        (_, &Method::DELETE) => {
            call.relay.delete_service(account, call.route.name(0)).await?;
            Ok(Answer::gone())
        }
        _ => {
            let service = call.relay.service(account, call.route.name(0)).await?;
            Ok(Answer::shown(render(&call.scope, &service)))
        }
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page = Page::read(&call.query, 100)?;
    let mut services = call.relay.services(&call.scope.account).await?;
    services.retain(|service| page.after.is_none_or(|after| service.birth > after));
    services.truncate(page.fetch());
    let next = page.cut(&mut services, |service| service.birth);
    let records = services.iter().map(|service| render(&call.scope, service)).collect();
    Ok(call.page(&page, "services", records, next, &[]))
}

pub(super) fn render(scope: &Scope, service: &ServiceRecord) -> Value {
    let url = scope.account_url(&format!("/Services/{}", service.sid));
    json!({
        "account_sid": scope.account,
        "sid": service.sid,
        "friendly_name": service.friendly_name,
        "date_created": service.created.rfc3339(),
        "date_updated": service.updated.rfc3339(),
        "links": {
            "conversations": format!("{url}/Conversations"),
            "users": format!("{url}/Users"),
            "roles": format!("{url}/Roles"),
            "bindings": format!("{url}/Bindings"),
            "configuration": format!("{url}/Configuration"),
            "participant_conversations": format!("{url}/ParticipantConversations"),
            "conversation_with_participants": format!("{url}/ConversationWithParticipants"),
        },
        "url": url,
    })
}
