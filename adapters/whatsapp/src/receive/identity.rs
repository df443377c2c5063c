//! People whose names change: a new number, a new business-scoped id.

use trunkline_adapter::{Address, Inbound, Person};
use trunkline_graph::{Json, NULL, kind_word, lenient};

use crate::person;

/// A `system` message. Its sender is the person under the names known so far.
pub(super) fn system(message: &Json<'_>, from: Person, to: Address) -> Inbound {
    let system = message.get("system").unwrap_or(&NULL);
    let kind = system.get("type").and_then(Json::as_str).unwrap_or("system");
    let number = lenient::text(system, "new_wa_id").or_else(|| lenient::text(system, "wa_id"));
    let id = lenient::text(system, "user_id");
    let now = addresses(number, id);
    let news = now.iter().any(|address| from.candidates().all(|known| known != address));
    // A changed security code, for one, changes no name.
    if news && matches!(kind, "user_changed_number" | "customer_changed_number" | "user_changed_user_id") {
        return Inbound::Identity { from, to, now };
    }
    Inbound::Notice { kind: kind_word(kind), raw: message.to_value() }
}

/// An element of the `user_id_update` field; `None` when old and new are not both there.
pub(super) fn update(update: &Json<'_>, to: &Address) -> Option<Inbound> {
    let ids = update.get("user_id")?;
    let old = lenient::text(ids, "previous").as_deref().and_then(person::user_id);
    let new = lenient::text(ids, "current").as_deref().and_then(person::user_id)?;
    let number = lenient::text(update, "wa_id").as_deref().and_then(person::phone);
    let from = person::person(number, old, None)?;
    Some(Inbound::Identity { from, to: to.clone(), now: vec![new] })
}

fn addresses(number: Option<String>, id: Option<String>) -> Vec<Address> {
    let id = id.as_deref().and_then(person::user_id);
    let number = number.as_deref().and_then(person::phone);
    id.into_iter().chain(number).collect()
}
