//! `/Users`: the identities a service knows.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::UserRecord;
use crate::relay::command::{NewUser, UserChange};
use crate::relay::{RelayError, RoleUse};

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (relay, account, service) = (call.relay, &call.scope.account, &call.scope.service);
    let named = call.route.name(0);
    let user = match (call.route.resource, call.method) {
        (Resource::Users, &Method::POST) => {
            let user = relay.create_user(account, service, new(&call.form)?, call.cause).await?;
            return Ok(Answer::created(render(&call.scope, &user)));
        }
        (Resource::Users, _) => return list(call).await,
        (_, &Method::DELETE) => {
            relay.delete_user(account, service, named).await?;
            return Ok(Answer::gone());
        }
        (_, &Method::POST) => {
            relay.update_user(account, service, named, change(&call.form)?, call.cause).await?
        }
        _ => {
            let user = relay.user(account, service, named).await?;
            let mut shown = render(&call.scope, &user);
            if let Some((online, notifiable)) = relay.reachability(account, service, &user).await? {
                shown["is_online"] = online.into();
                shown["is_notifiable"] = notifiable.into();
            }
            return Ok(Answer::shown(shown));
        }
    };
    Ok(Answer::shown(render(&call.scope, &user)))
}

async fn list(call: &Call<'_>) -> Result<Answer, ApiError> {
    let page: Page = Page::read(&call.query, 50)?;
    let (account, service) = (&call.scope.account, &call.scope.service);
    let mut users = call.relay.users(account, service, page.after, page.fetch()).await?;
    let next = page.cut(&mut users, |user| user.birth);
    let records = users.iter().map(|user| render(&call.scope, user)).collect();
    Ok(call.page(&page, "users", records, next, &[]))
}

fn new(form: &Form) -> Result<NewUser, ApiError> {
    let identity = fields::identity(form.filled("Identity").ok_or(error::IDENTITY_MISSING)?)?;
    Ok(NewUser {
        identity,
        friendly_name: fields::friendly_name(form)?.filter(|name| !name.is_empty()).map(str::to_owned),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        role: fields::role_sid(form, "RoleSid")?.filter(|sid| !sid.is_empty()).map(str::to_owned),
    })
}

pub(in crate::http) fn change(form: &Form) -> Result<UserChange, ApiError> {
    if !form.any(&["FriendlyName", "Attributes", "RoleSid"]) {
        return Err(error::UPDATE_EMPTY.into());
    }
    let role = match fields::role_sid(form, "RoleSid")? {
        // A user always has a role.
        Some("") => return Err(RelayError::NoSuchRole(RoleUse::Service).into()),
        role => role.map(str::to_owned),
    };
    Ok(UserChange {
        friendly_name: fields::change(fields::friendly_name(form)?),
        attributes: fields::attributes(form, fields::SMALL_ATTRIBUTES)?,
        role,
    })
}

/// Whether somebody is online, or has a device that gets pushes, is told when a single user is fetched.
pub(super) fn render(scope: &Scope, user: &UserRecord) -> Value {
    let url = scope.url(&format!("/Users/{}", user.sid));
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "sid": user.sid,
        "role_sid": user.role,
        "identity": user.identity,
        "friendly_name": user.friendly_name,
        "attributes": user.attributes,
        "is_online": null,
        "is_notifiable": null,
        "date_created": user.created.rfc3339(),
        "date_updated": user.updated.rfc3339(),
        "links": { "user_conversations": format!("{url}/Conversations") },
        "url": url,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_is_refused() {
        let form = |text: &str| Form::parse(text.as_bytes()).unwrap();
        let long = format!("Identity={}", "x".repeat(257));
        let sid = format!("Identity=US{}", "0".repeat(32));
        for (text, code) in [
            ("", 50204),
            ("Identity=", 50204),
            ("Identity=system", 50203),
            (long.as_str(), 50207),
            (sid.as_str(), 50206),
            ("Identity=a&RoleSid=x", 20001),
            ("Identity=a&Attributes=%7B", 50304),
        ] {
            assert_eq!(new(&form(text)).unwrap_err().code(), code, "{text}");
        }
        assert_eq!(change(&form("Identity=b")).unwrap_err().code(), 20161, "an identity never changes");
        assert_eq!(change(&form("RoleSid=")).unwrap_err().code(), 50102);
    }
}
