//! `/Services/{IS}/Configuration` and its `/Notifications`.

use http::Method;
use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call, fields};
use crate::http::error::{self, ApiError};
use crate::http::form::Form;
use crate::http::route::Resource;
use crate::model::ServiceSettings;
use crate::model::service::Notice;
use crate::relay::RelayError;
use crate::relay::RoleUse;
use crate::relay::command::{NoticeChange, NotificationsChange, ServiceChange};

/// Characters of a push's template; what is sent is cut far below.
const TEMPLATE: usize = 2048;
/// Characters of a sound's name.
const SOUND: usize = 256;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (account, service) = (&call.scope.account, &call.scope.service);
    let pushes = call.route.resource == Resource::ServiceNotifications;
    let settings = match *call.method {
        Method::POST => {
            let change = if pushes { pushes_change(&call.form)? } else { change(&call.form)? };
            call.relay.update_service_settings(account, service, change).await?
        }
        _ => call.relay.service_settings(account, service).await?,
    };
    let render = if pushes { render_pushes } else { render };
    Ok(Answer::shown(render(&call.scope, &settings)))
}

fn change(form: &Form) -> Result<ServiceChange, ApiError> {
    let known = [
        "DefaultConversationCreatorRoleSid",
        "DefaultConversationRoleSid",
        "DefaultChatServiceRoleSid",
        "ReachabilityEnabled",
    ];
    if !form.any(&known) {
        return Err(error::UPDATE_EMPTY.into());
    }
    // There is always a default role, so an empty one is one that is not there.
    let role = |name, purpose| match fields::role_sid(form, name)? {
        Some("") => Err(RelayError::NoSuchRole(purpose).into()),
        sid => Ok::<_, ApiError>(sid.map(str::to_owned)),
    };
    Ok(ServiceChange {
        creator_role: role("DefaultConversationCreatorRoleSid", RoleUse::Creator)?,
        conversation_role: role("DefaultConversationRoleSid", RoleUse::Conversation)?,
        service_role: role("DefaultChatServiceRoleSid", RoleUse::Service)?,
        reachability: fields::boolean(form, "ReachabilityEnabled")?,
        notifications: NotificationsChange::default(),
    })
}

fn pushes_change(form: &Form) -> Result<ServiceChange, ApiError> {
    let notice = |name: &str| {
        let template = fields::bounded(form, &format!("{name}.Template"), TEMPLATE)?;
        let sound = fields::bounded(form, &format!("{name}.Sound"), SOUND)?;
        Ok::<_, ApiError>(NoticeChange {
            enabled: fields::boolean(form, &format!("{name}.Enabled"))?,
            template: fields::change(template),
            sound: fields::change(sound),
        })
    };
    let notifications = NotificationsChange {
        log: fields::boolean(form, "LogEnabled")?,
        badge_count: fields::boolean(form, "NewMessage.BadgeCountEnabled")?,
        new_message: notice("NewMessage")?,
        new_message_with_media: notice("NewMessage.WithMedia")?,
        added: notice("AddedToConversation")?,
        removed: notice("RemovedFromConversation")?,
    };
    if notifications == NotificationsChange::default() {
        return Err(error::UPDATE_EMPTY.into());
    }
    Ok(ServiceChange { notifications, ..ServiceChange::default() })
}

pub(super) fn render(scope: &Scope, settings: &ServiceSettings) -> Value {
    let url = scope.account_url(&format!("/Services/{}/Configuration", scope.service));
    json!({
        "chat_service_sid": scope.service,
        "default_conversation_creator_role_sid": settings.creator_role,
        "default_conversation_role_sid": settings.conversation_role,
        "default_chat_service_role_sid": settings.service_role,
        "reachability_enabled": settings.reachability,
        "links": {
            "notifications": format!("{url}/Notifications"),
            "webhooks": format!("{url}/Webhooks"),
        },
        "url": url,
    })
}

pub(super) fn render_pushes(scope: &Scope, settings: &ServiceSettings) -> Value {
    let pushes = &settings.notifications;
    let notice = |notice: &Notice| json!({ "enabled": notice.enabled, "template": notice.template, "sound": notice.sound });
    let mut new_message = notice(&pushes.new_message);
    new_message["badge_count_enabled"] = pushes.badge_count.into();
    let media = &pushes.new_message_with_media;
    new_message["with_media"] = json!({ "enabled": media.enabled, "template": media.template });
    json!({
        "account_sid": scope.account,
        "chat_service_sid": scope.service,
        "log_enabled": pushes.log,
        "new_message": new_message,
        "added_to_conversation": notice(&pushes.added),
        "removed_from_conversation": notice(&pushes.removed),
        "url": scope.account_url(&format!("/Services/{}/Configuration/Notifications", scope.service)),
    })
}
