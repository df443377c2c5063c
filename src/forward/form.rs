//! The classic messaging webhook's parameters.

use ring::digest;
use trunkline_adapter::{Channel, Part};

use crate::model::{Forwarded, message};

/// A stable name for one message: the same at every try.
fn digits(forwarded: &Forwarded, what: &str) -> String {
    let names = [what, &forwarded.kind, forwarded.to.as_str(), &forwarded.id];
    let hash = digest::digest(&digest::SHA256, names.join("\n").as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// By which a receiver knows a repeat.
pub(super) fn token(forwarded: &Forwarded) -> String {
    digits(forwarded, "token")
}

/// What is posted.
pub(super) fn parameters(account: &str, service: &str, forwarded: &Forwarded) -> Vec<(String, String)> {
    let media: Vec<_> = forwarded
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.url.clone()?, media.content_type.clone().unwrap_or_default())),
            _ => None,
        })
        .collect();
    // Twilio's own ids are SIDs already; others are given one.
    let own = ["SM", "MM"].iter().any(|prefix| crate::model::ids::well_formed(&forwarded.id, prefix));
    let prefix = if media.is_empty() { "SM" } else { "MM" };
    let sid = if own { forwarded.id.clone() } else { format!("{prefix}{}", digits(forwarded, "message")) };
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| pairs.push((name.to_owned(), value));
    for name in ["MessageSid", "SmsSid", "SmsMessageSid"] {
        put(name, sid.clone());
    }
    put("AccountSid", account.to_owned());
    put("MessagingServiceSid", service.to_owned());
    put("From", forwarded.from.to_string());
    put("To", forwarded.to.to_string());
    put("Body", message::body(&forwarded.parts).unwrap_or_default());
    put("NumSegments", "1".to_owned());
    put("NumMedia", media.len().to_string());
    put("SmsStatus", "received".to_owned());
    put("ApiVersion", "2010-04-01".to_owned());
    for (at, (url, content_type)) in media.into_iter().enumerate() {
        put(&format!("MediaUrl{at}"), url);
        put(&format!("MediaContentType{at}"), content_type);
    }
    if forwarded.from.channel() == Channel::Whatsapp {
        put("WaId", forwarded.from.digits().unwrap_or(forwarded.from.value()).to_owned());
    }
    if let Some(name) = &forwarded.name {
        put("ProfileName", name.clone());
    }
    for part in &forwarded.parts {
        match part {
            Part::Location { latitude, longitude, name, address } => {
                put("Latitude", latitude.to_string());
                put("Longitude", longitude.to_string());
                address.iter().for_each(|address| put("Address", address.clone()));
                name.iter().for_each(|name| put("Label", name.clone()));
            }
            Part::Choice { text, payload } => {
                put("ButtonText", text.clone());
                payload.iter().for_each(|payload| put("ButtonPayload", payload.clone()));
            }
            _ => {}
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use trunkline_adapter::{Address, MediaKind, MediaReference};

    fn forwarded(id: &str, from: &str, to: &str, parts: Vec<Part>) -> Forwarded {
        Forwarded {
            kind: "test".to_owned(),
            id: id.to_owned(),
            from: Address::parse(from).unwrap(),
            name: Some("Ann".to_owned()),
            to: Address::parse(to).unwrap(),
            parts,
            rest: serde_json::Map::new(),
        }
    }

    #[test]
    fn everything_that_was_said_is_told() {
        let media = Part::Media(MediaReference {
            kind: MediaKind::Image,
            id: None,
            url: Some("https://media.example/1".to_owned()),
            content_type: Some("image/png".to_owned()),
            filename: None,
            caption: Some("look".to_owned()),
            sha256: None,
        });
        let place = Part::Location {
            latitude: 1.5,
            longitude: -2.0,
            name: Some("Home".to_owned()),
            address: Some("1 Road".to_owned()),
        };
        let choice = Part::Choice { text: "Yes".to_owned(), payload: Some("y".to_owned()) };
        let from = "whatsapp:+15557770001";
        let all = forwarded("wamid.1", from, "whatsapp:+15550002222", vec![media, place, choice]);
        let pairs = parameters("AC1", "MG1", &all);
        let get = |name: &str| pairs.iter().find(|(given, _)| given == name).map_or("-", |(_, value)| value);
        for (name, value) in [
            ("AccountSid", "AC1"),
            ("MessagingServiceSid", "MG1"),
            ("From", from),
            ("To", "whatsapp:+15550002222"),
            ("Body", "look\nYes"),
            ("NumMedia", "1"),
            ("MediaUrl0", "https://media.example/1"),
            ("MediaContentType0", "image/png"),
            ("SmsStatus", "received"),
            ("WaId", "15557770001"),
            ("ProfileName", "Ann"),
            ("Latitude", "1.5"),
            ("Label", "Home"),
            ("Address", "1 Road"),
            ("ButtonPayload", "y"),
        ] {
            assert_eq!(get(name), value, "{name}");
        }
        assert!(crate::model::ids::well_formed(get("MessageSid"), "MM"));
        assert_eq!(get("SmsSid"), get("MessageSid"));
        assert_eq!(token(&all), token(&all.clone()));
    }

    #[test]
    fn a_providers_own_sid_is_kept_and_others_differ() {
        let text = || vec![Part::Text { text: "hi".to_owned() }];
        let sid = |id: &str| {
            let one = forwarded(id, "+15557770001", "+15550001111", text());
            parameters("AC1", "MG1", &one)[0].1.clone()
        };
        let own = format!("SM{:032}", 7);
        assert_eq!(sid(&own), own);
        assert!(sid("m_1").starts_with("SM") && sid("m_1") != sid("m_2"));
    }
}
