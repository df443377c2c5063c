//! What a client asks first: its links, limits and the objects it begins with.

use serde_json::json;

use super::{Given, Guest};
use crate::http::error::ApiError;
use crate::sync::Object;

/// Profiles that a client watches at a time.
const PROFILES: u32 = 100;
/// Conversations in a page of a client's list.
pub(super) const CONVERSATIONS: usize = 50;
/// Files of a message.
const FILES: u32 = 10;
/// Megabytes of a file, and of all files of a message.
const MEGABYTES: u32 = 150;

pub(super) async fn show(guest: &Guest) -> Result<Given, ApiError> {
    let settings = guest.relay().service_settings(guest.account(), guest.service()).await?;
    let identity = guest.identity();
    let own = guest.url(&format!("/Users/{}", super::people::spelt(identity)));
    let media = format!("{}/v1/Services/{}", guest.root, guest.service());
    Ok(Given::Shown(json!({
        "identity": identity,
        "url": guest.url("/Configuration"),
        "links": {
            "my_conversations": format!("{own}/Conversations"),
            "conversations": guest.url("/Conversations"),
            "users": guest.url("/Users"),
            "current_user": own,
            "typing": guest.url("/Typing"),
            "media_service": format!("{media}/Media"),
            "media_set_service": format!("{media}/MediaSet"),
            "messages_receipts": guest.url("/Conversations/%s/Messages/%s/Receipts"),
        },
        "options": {
            "reachability_enabled": settings.reachability,
            "user_infos_to_subscribe": PROFILES,
            "http_cache_interval": "PT5S",
            "consumption_report_interval": "PT5S",
            "my_conversations_page_size": CONVERSATIONS,
            "media_attachments_count_limit": FILES,
            "media_attachment_size_limit_in_mb": MEGABYTES,
            "media_attachments_total_size_limit_in_mb": MEGABYTES,
            "email_histories_allowed_mime_types": ["text/plain", "text/html"],
            "email_bodies_allowed_mime_types": ["text/plain", "text/html"],
        },
        "sync_objects": {
            "my_conversations": Object::Memberships(identity.to_owned()).name(),
            "my_user_info": Object::Profile(identity.to_owned()).name(),
        },
    })))
}
