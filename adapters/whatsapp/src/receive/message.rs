//! One element of `messages[]` or `message_echoes[]`.

use trunkline_adapter::{Address, Echo, Inbound, InboundMessage, Signal};
use trunkline_graph::{Json, kind_word, lenient};

use super::{content, identity};
use crate::person::Contacts;

/// Reads a message; `None` when it lacks what every message has.
pub(super) fn read(message: &Json<'_>, contacts: &Contacts<'_>, to: &Address) -> Option<Inbound> {
    let id = lenient::text(message, "id")?;
    if lenient::text(message, "group_id").is_some() {
        return Some(Inbound::Notice { kind: "group_message".to_owned(), raw: message.to_value() });
    }
    let from = contacts.sender(message)?;
    let to = to.clone();
    let at = lenient::instant(message, "timestamp");
    let member = |object: &str, key: &str| message.get(object).and_then(|object| lenient::text(object, key));
    Some(match kind(message) {
        "reaction" => {
            let of = member("reaction", "message_id")?;
            Inbound::Reaction { id, of, from, to, emoji: member("reaction", "emoji"), at }
        }
        "edit" => {
            let of = member("edit", "original_message_id")?;
            let now = message.get("edit")?.get("message")?;
            Inbound::Edit { id, of, from, to, parts: content::parts(kind(now), now), at }
        }
        "revoke" => {
            let of = member("revoke", "original_message_id")?;
            Inbound::Deletion { id, of, from, to, at }
        }
        "request_welcome" => {
            Inbound::Signal { from, to, signal: Signal::Opened { kind: "request_welcome".to_owned() } }
        }
        "system" => identity::system(message, from, to),
        kind => {
            let mut parts = content::parts(kind, message);
            parts.extend(content::surroundings(message));
            let reply_to = member("context", "id");
            Inbound::Message(InboundMessage { id, from, to, parts, reply_to, at })
        }
    })
}

/// Reads what an agent wrote in the business app.
pub(super) fn echo(message: &Json<'_>, contacts: &Contacts<'_>, from: &Address) -> Option<Inbound> {
    let id = lenient::text(message, "id")?;
    let kind = kind(message);
    // These change an earlier echo; there is nothing of ours to change.
    if matches!(kind, "reaction" | "edit" | "revoke" | "system") || message.get("group_id").is_some() {
        return Some(Inbound::Notice { kind: kind_word(&format!("echo_{kind}")), raw: message.to_value() });
    }
    let to = contacts.person(lenient::text(message, "to"), lenient::text(message, "to_user_id"))?;
    Some(Inbound::Echo(Echo {
        id,
        from: from.clone(),
        to,
        correlation: lenient::text(message, "biz_opaque_callback_data"),
        parts: content::parts(kind, message),
        at: lenient::instant(message, "timestamp"),
    }))
}

fn kind<'a>(message: &'a Json<'_>) -> &'a str {
    message.get("type").and_then(Json::as_str).unwrap_or_default()
}
