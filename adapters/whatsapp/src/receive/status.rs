//! One element of `statuses[]`.

use trunkline_adapter::{Address, DeliveryStatus, Inbound, StatusReport};
use trunkline_graph::{Json, kind_word, lenient};

use crate::errors::CODEBOOK;
use crate::person;

/// Reads a status; `None` when it lacks what every status has.
pub(super) fn read(status: &Json<'_>, from: &Address) -> Option<Inbound> {
    let id = lenient::text(status, "id")?;
    let word = status.get("status")?.as_str()?;
    let group = lenient::text(status, "recipient_type").is_some_and(|kind| kind == "group");
    let reached = match word {
        _ if group => None,
        "sent" => Some(DeliveryStatus::Sent),
        "delivered" => Some(DeliveryStatus::Delivered),
        // A voice note that was played was certainly seen.
        "read" | "played" => Some(DeliveryStatus::Read),
        "failed" => Some(DeliveryStatus::Failed),
        _ => None,
    };
    let Some(reached) = reached else {
        let kind = if group { "group_status".to_owned() } else { kind_word(&format!("status_{word}")) };
        return Some(Inbound::Notice { kind, raw: status.to_value() });
    };
    let error = lenient::list(status, "errors").first().and_then(|error| CODEBOOK.reported(error));
    let user_id = lenient::text(status, "recipient_user_id").as_deref().and_then(person::user_id);
    let number = lenient::text(status, "recipient_id").as_deref().and_then(person::phone);
    Some(Inbound::Status(StatusReport {
        id,
        from: from.clone(),
        correlation: lenient::text(status, "biz_opaque_callback_data"),
        status: reached,
        error,
        learned: user_id.into_iter().chain(number).collect(),
        at: lenient::instant(status, "timestamp"),
    }))
}
