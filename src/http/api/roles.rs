//! `/Roles`: what people at clients may do. The REST API itself is bound by none.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::{RoleKind, RoleRecord};
use crate::relay::command::NewRole;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, service) = (call.relay, &call.scope.account, &call.scope.service);
    let sid = call.route.name(0);
    match (call.route.resource, call.method) {
        (Resource::Roles, &Method::POST) => {
            let role = relay.create_role(account, service, new(&call.form)?).await?;
            Ok(Answer::created(render(&call.scope, &role)))
        }
        (Resource::Roles, _) => list(call).await,
        (_, &Method::POST) => {
            let form = &call.form;
            if form.get("Permission").is_none() {
                return Err(error::UPDATE_EMPTY.into());
            }
            let role = relay.update_role(account, service, sid, |role| permissions(form, role.kind)).await?;
            Ok(Answer::shown(render(&call.scope, &role)))
        }
        (_, &Method::DELETE) => {
            relay.delete_role(account, service, sid).await?;
            Ok(Answer::gone())
        }
        _ => {
            let role = relay.role(account, service, sid).await?;
            Ok(Answer::shown(render(&call.scope, &role)))
        }
    }
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page = Page::read(&call.query, 50)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let mut roles = call.relay.roles(account, service, page.after, page.fetch()).await?;
    let next = page.cut(&mut roles, |role| role.birth);
    let records = roles.iter().map(|role| render(&call.scope, role)).collect();
    Ok(call.page(&page, "roles", records, next, &[]))
}

fn new(form: &Form) -> Result<NewRole, ApiError> {
    let name = fields::short_name(form)?.filter(|name| !name.is_empty());
    let name = name.ok_or(error::FRIENDLY_NAME_MISSING)?;
    let kinds = [RoleKind::Conversation, RoleKind::Service].map(|kind| (kind.name(), kind));
    let kind = form.word("Type", &kinds, || error::ROLE_TYPE.into())?.ok_or(error::ROLE_TYPE)?;
    if form.filled("Permission").is_none() {
        return Err(ApiError::parameter("Permission is required"));
    }
    let permissions = permissions(form, kind).ok_or(error::PERMISSION_UNKNOWN)?;
    Ok(NewRole { friendly_name: name.to_owned(), kind, permissions })
}

/// The permissions named, each once, if all of them may be held by such a role. A single empty one names none.
fn permissions(form: &Form, kind: RoleKind) -> Option<Vec<String>> {
    let mut named: Vec<String> = Vec::new();
    for permission in form.each("Permission") {
        if !kind.permits(permission) {
            return None;
        }
        if !named.iter().any(|known| known == permission) {
            named.push(permission.to_owned());
        }
    }
    Some(named)
}

pub(super) fn render(scope: &Scope, role: &RoleRecord) -> Value {
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "sid": role.sid,
        "friendly_name": role.friendly_name,
        "type": role.kind.name(),
        "permissions": role.permissions,
        "date_created": role.created.rfc3339(),
        "date_updated": role.updated.rfc3339(),
        "url": scope.url(&format!("/Roles/{}", role.sid)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::model::role::PERMISSIONS;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_permission_can_be_given_where_it_holds_and_no_other() {
        for kind in [RoleKind::Conversation, RoleKind::Service] {
            for (permission, reach) in PERMISSIONS {
                let made =
                    new(&form(&format!("FriendlyName=x&Type={}&Permission={permission}", kind.name())));
                match reach.contains(&kind) {
                    true => assert_eq!(made.unwrap().permissions, [*permission]),
                    false => assert_eq!(made.unwrap_err().code(), 50104, "{permission}"),
                }
            }
        }
    }

    #[test]
    fn what_is_refused() {
        let long = format!("FriendlyName={}&Type=service&Permission=addParticipant", "x".repeat(65));
        for (text, code) in [
            ("Type=service&Permission=addParticipant", 50000),
            (&long, 20001),
            ("FriendlyName=x&Permission=addParticipant", 50105),
            ("FriendlyName=x&Type=channel&Permission=addParticipant", 50105),
            ("FriendlyName=x&Type=service", 20001),
            ("FriendlyName=x&Type=service&Permission=addParticipant&Permission=fly", 50104),
        ] {
            assert_eq!(new(&form(text)).unwrap_err().code(), code, "{text}");
        }
        let twice =
            form("FriendlyName=x&Type=Service&Permission=joinConversation&Permission=joinConversation");
        assert_eq!(new(&twice).unwrap().permissions, ["joinConversation"]);
    }
}
