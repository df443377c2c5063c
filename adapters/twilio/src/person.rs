//! Who a parameter speaks of.

use trunkline_adapter::{Address, Channel, Person, lookalike};

use crate::form::Fields;

/// An address as Twilio writes it. Carriers sometimes lose the `+` of a long number.
pub(crate) fn address(text: &str) -> Option<Address> {
    Address::parse(text).ok().or_else(|| Address::from_digits(Channel::Sms, text.trim()).ok())
}

/// The sender of an inbound message; `None` when `From` is no address of a channel we carry.
pub(crate) fn sender(fields: &Fields) -> Option<Person> {
    let from = address(fields.get("From")?)?;
    let lookalike = lookalike(&from);
    let mut names = other_names(fields, from.channel());
    // An id that Meta vouches for outlives a change of number, so it comes first.
    names.sort_by_key(|name| name.digits().is_some());
    let vouched = names.first().filter(|name| name.digits().is_none()).cloned();
    let mut person = Person::new(vouched.unwrap_or_else(|| from.clone()));
    let mut aliases = vec![from];
    aliases.append(&mut names);
    for alias in aliases {
        if alias != person.address && !person.aliases.contains(&alias) {
            person.aliases.push(alias);
        }
    }
    person.lookalikes = lookalike.into_iter().filter(|other| !person.aliases.contains(other)).collect();
    Some(person.called(fields.get("ProfileName")))
}

/// The WhatsApp id and the business-scoped user id of the other side, where given.
pub(crate) fn other_names(fields: &Fields, channel: Channel) -> Vec<Address> {
    if channel != Channel::Whatsapp {
        return Vec::new();
    }
    let number = fields.get("WaId").and_then(|id| Address::from_digits(channel, id).ok());
    let scoped = fields.get("ExternalUserId").and_then(|id| {
        let id = id.strip_prefix("whatsapp:").unwrap_or(id);
        Address::parse(&format!("whatsapp:{id}")).ok()
    });
    number.into_iter().chain(scoped).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::form::parse;

    fn read(form: &str) -> Person {
        sender(&Fields::new(parse(form.as_bytes()).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_vouched_id_comes_before_the_number() {
        let person =
            read("From=whatsapp:%2B15550001111&WaId=15550001111&ExternalUserId=US.900100&ProfileName=Ana");
        assert_eq!(person.address.as_str(), "whatsapp:US.900100");
        assert_eq!(person.aliases, [Address::parse("whatsapp:+15550001111").unwrap()]);
        assert_eq!(person.name.as_deref(), Some("Ana"));
    }

    #[test]
    fn a_plain_number_has_no_other_names() {
        let person = read("From=%2B15550001111&WaId=15550001111");
        assert_eq!(person, Person::new(Address::parse("+15550001111").unwrap()));
        assert_eq!(read("From=447911123456").address.as_str(), "+447911123456");
    }
}
