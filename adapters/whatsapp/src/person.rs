//! Who a sender is: a business-scoped user id, a phone number, or both.

use std::collections::HashMap;

use trunkline_adapter::{Address, Channel, Person, lookalike};
use trunkline_graph::{Json, lenient};

/// A phone number as the provider writes it, without `+`.
pub(crate) fn phone(digits: &str) -> Option<Address> {
    Address::from_digits(Channel::Whatsapp, digits).ok()
}

/// A business-scoped user id. One of a shape that is not documented is still the only name some people have, so it is
/// taken as it is; only what could be mistaken for a number is not.
pub(crate) fn user_id(id: &str) -> Option<Address> {
    if id.starts_with('+') {
        return None;
    }
    Address::from_id(Channel::Whatsapp, id).ok()
}

/// The person behind a number, an id, or both.
pub(crate) fn person(phone: Option<Address>, id: Option<Address>, name: Option<String>) -> Option<Person> {
    let lookalikes = phone.as_ref().and_then(lookalike).into_iter().collect();
    let (address, aliases) = match (id, phone) {
        (Some(id), phone) => (id, phone.into_iter().collect()),
        (None, Some(phone)) => (phone, Vec::new()),
        (None, None) => return None,
    };
    Some(Person { address, aliases, lookalikes, name: None }.called(name.as_deref()))
}

/// The `contacts[]` beside a change's messages, by either name.
pub(crate) struct Contacts<'a> {
    by_phone: HashMap<String, &'a Json<'a>>,
    by_id: HashMap<String, &'a Json<'a>>,
    only: Option<&'a Json<'a>>,
}

impl<'a> Contacts<'a> {
    /// Reads a change's contacts. `alone` says that the change holds a single message, whose sender a single contact is.
    pub(crate) fn of(value: &'a Json<'a>, alone: bool) -> Contacts<'a> {
        let list = lenient::list(value, "contacts");
        let by =
            |key| list.iter().filter_map(|contact| Some((lenient::text(contact, key)?, contact))).collect();
        let only = if alone && list.len() == 1 { list.first() } else { None };
        Contacts { by_phone: by("wa_id"), by_id: by("user_id"), only }
    }

    /// The sender of a message. Names are joined only where a contact carries one that the message carries too.
    pub(crate) fn sender(&self, message: &Json<'_>) -> Option<Person> {
        self.person(lenient::text(message, "from"), lenient::text(message, "from_user_id"))
    }

    /// The person with this number and id, with what the contacts add.
    pub(crate) fn person(&self, number: Option<String>, id: Option<String>) -> Option<Person> {
        let contact = match (&id, &number) {
            (None, None) => self.only,
            _ => id
                .as_ref()
                .and_then(|id| self.by_id.get(id))
                .or_else(|| number.as_ref().and_then(|number| self.by_phone.get(number)))
                .copied(),
        };
        let of_contact = |key| contact.and_then(|contact| lenient::text(contact, key));
        let number = number.or_else(|| of_contact("wa_id"));
        let id = id.or_else(|| of_contact("user_id"));
        let profile = contact.and_then(|contact| contact.get("profile"));
        let name = profile.and_then(|profile| {
            lenient::text(profile, "name").or_else(|| lenient::text(profile, "username"))
        });
        person(number.as_deref().and_then(phone), id.as_deref().and_then(user_id), name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::{Value, json};

    fn json(value: Value) -> Json<'static> {
        value.into()
    }

    #[test]
    fn the_id_is_the_surest_name_and_the_number_its_alias() {
        let value = json(json!({"contacts": [
            {"wa_id": "15550199", "user_id": "US.900100", "profile": {"name": "Ana"}},
            {"user_id": "US.900101", "profile": {"username": "bo.b"}},
        ]}));
        let contacts = Contacts::of(&value, false);
        let both = contacts.sender(&json(json!({"from": 15550199}))).unwrap();
        assert_eq!(both.address.as_str(), "whatsapp:US.900100");
        assert_eq!(both.aliases[0].as_str(), "whatsapp:+15550199");
        assert_eq!(both.name.as_deref(), Some("Ana"));
        let hidden = contacts.sender(&json(json!({"from_user_id": "US.900101"}))).unwrap();
        assert_eq!((hidden.address.as_str(), hidden.aliases.len()), ("whatsapp:US.900101", 0));
        assert_eq!(hidden.name.as_deref(), Some("bo.b"));
        let unlisted = contacts.sender(&json(json!({"from": "15550177"}))).unwrap();
        assert_eq!((unlisted.address.as_str(), unlisted.name), ("whatsapp:+15550177", None));
    }

    #[test]
    fn a_single_contact_stands_in_only_for_a_single_message() {
        let value = json(json!({"contacts": [{"user_id": "US.900100"}]}));
        assert!(Contacts::of(&value, true).sender(&json(json!({}))).is_some());
        assert!(Contacts::of(&value, false).sender(&json(json!({}))).is_none());
        let other = Contacts::of(&value, true).sender(&json(json!({"from": "15550199"}))).unwrap();
        assert_eq!(other.address.as_str(), "whatsapp:+15550199", "an id of somebody else is not joined");
    }
}
