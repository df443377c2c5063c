//! What somebody wrote, changed, took back or tapped, and copies of what the page wrote.

use ring::digest;
use trunkline_adapter::{Echo, Inbound, InboundMessage, Part, Person};
use trunkline_graph::lenient;

use super::{Element, content, notice};

/// The `message` member.
pub(super) fn read(element: &Element<'_>) -> Option<Inbound> {
    let id = element.text("mid")?;
    let (to, at) = (element.page.clone(), element.at());
    let deleted = lenient::flag(element.object, "is_deleted");
    // What the page wrote is a copy even if it is not marked as one: taken for a message, it would go round in circles.
    if lenient::flag(element.object, "is_echo") || element.side("sender").as_ref() == Some(element.page) {
        if deleted {
            return Some(notice("echo_deleted", element.raw));
        }
        return Some(Inbound::Echo(Echo {
            id,
            from: to,
            to: Person::new(element.side("recipient").filter(|person| person != element.page)?),
            correlation: element.text("metadata"),
            parts: content::parts(element.object),
            at,
        }));
    }
    let from = element.sender()?;
    if deleted {
        return Some(Inbound::Deletion { id: format!("delete:{id}"), of: id, from, to, at });
    }
    let reply_to = element.object.get("reply_to").and_then(|reply| lenient::text(reply, "mid"));
    let parts = content::parts(element.object);
    Some(Inbound::Message(InboundMessage { id, from, to, parts, reply_to, at }))
}

/// The `message_edit` member.
pub(super) fn edit(element: &Element<'_>) -> Option<Inbound> {
    let of = element.text("mid")?;
    // The count tells one edit from the next; an edit without one is told by its time.
    let which = element.text("num_edit").unwrap_or_else(|| element.stamp());
    Some(Inbound::Edit {
        id: format!("edit:{of}:{which}"),
        from: element.sender()?,
        to: element.page.clone(),
        parts: content::parts(element.object),
        of,
        at: element.at(),
    })
}

/// The `postback` member: a button or menu entry was tapped.
pub(super) fn postback(element: &Element<'_>) -> Option<Inbound> {
    let from = element.sender()?;
    let payload = element.text("payload");
    let text = element.text("title").or_else(|| payload.clone())?;
    let id = element.text("mid").unwrap_or_else(|| {
        let content = format!("{text}\n{}", payload.as_deref().unwrap_or_default());
        format!("postback:{}:{}:{}", from.address.value(), element.stamp(), short_digest(&content))
    });
    let mut parts = vec![Part::Choice { text, payload }];
    parts.extend(element.object.get("referral").and_then(content::referral));
    let (to, at) = (element.page.clone(), element.at());
    Some(Inbound::Message(InboundMessage { id, from, to, parts, reply_to: None, at }))
}

/// Enough of a digest to tell payloads apart; payloads themselves are too long for an id.
fn short_digest(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
