//! Reactions, and arrivals that leave no message.

use trunkline_adapter::{Inbound, Signal};
use trunkline_graph::lenient;

use super::{Element, notice};

/// The `reaction` member.
pub(super) fn reaction(element: &Element<'_>) -> Option<Inbound> {
    let of = element.text("mid")?;
    let from = element.sender()?;
    let action = element.text("action").unwrap_or_else(|| "react".to_owned());
    let emoji = element.text("emoji").or_else(|| element.text("reaction").map(|word| pictured(&word)));
    // The time is in the id because one may react, take it back, and react the same way again.
    let id = format!(
        "reaction:{of}:{action}:{}:{}:{}",
        emoji.as_deref().unwrap_or_default(),
        from.address.value(),
        element.stamp()
    );
    let emoji = match action.as_str() {
        "react" => Some(emoji?),
        "unreact" => None,
        _ => return None,
    };
    Some(Inbound::Reaction { id, of, from, to: element.page.clone(), emoji, at: element.at() })
}

fn pictured(word: &str) -> String {
    match word {
        "smile" => "😆",
        "angry" => "😠",
        "sad" => "😢",
        "wow" => "😮",
        "love" => "❤",
        "like" => "👍",
        "dislike" => "👎",
        other => other,
    }
    .to_owned()
}

/// The `referral` and `optin` members. Somebody who is known by a `user_ref` only has not written yet, so there is nobody
/// to tell the event of.
pub(super) fn opened(element: &Element<'_>, kind: &str) -> Inbound {
    match element.sender() {
        Some(from) => {
            // A subscription to notifications is told apart from a plain opt-in by its type.
            let kind = match lenient::text(element.object, "type") {
                Some(of) if kind == "optin" => format!("optin_{}", trunkline_graph::kind_word(&of)),
                _ => kind.to_owned(),
            };
            Inbound::Signal { from, to: element.page.clone(), signal: Signal::Opened { kind } }
        }
        None => notice(kind, element.raw),
    }
}
