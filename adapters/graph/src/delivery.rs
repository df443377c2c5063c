//! The batch envelope: `entry[]`, and in each of them `changes[]`, `messaging[]` or `standby[]`. All of it is walked;
//! one element that cannot be read never hides the others.

use trunkline_adapter::{Inbound, Refusal};

use crate::{Json, lenient};

/// A parsed delivery.
#[derive(Debug)]
pub struct Delivery<'a> {
    body: Json<'a>,
}

/// One element of a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An element of `changes[]`.
    Change {
        /// What changed: `messages`, `account_update`, …
        field: &'a str,
        /// How.
        value: &'a Json<'a>,
    },
    /// An element of `messaging[]`.
    Messaging {
        /// The entry it stands in, which names the page.
        entry: &'a Json<'a>,
        /// The event.
        event: &'a Json<'a>,
    },
    /// An element of `standby[]`: another app owns the thread. To be read, never answered.
    Standby {
        /// The event.
        event: &'a Json<'a>,
    },
    /// Something of no shape we know.
    Unreadable {
        /// It, whole.
        raw: &'a Json<'a>,
    },
}

impl<'a> Delivery<'a> {
    /// Takes a parsed body.
    ///
    /// # Errors
    /// When it is no envelope at all.
    pub fn new(body: Json<'a>) -> Result<Delivery<'a>, Refusal> {
        if body.get("object").and_then(Json::as_str).is_none() {
            return Err(Refusal::Malformed("no object".to_owned()));
        }
        if !body.get("entry").is_some_and(Json::is_array) {
            return Err(Refusal::Malformed("no entry list".to_owned()));
        }
        Ok(Delivery { body })
    }

    /// What the delivery is about: `whatsapp_business_account`, `page`, `instagram`.
    pub fn object(&self) -> &str {
        self.body.get("object").and_then(Json::as_str).unwrap_or_default()
    }

    /// The entries, whole.
    pub fn entries(&self) -> &[Json<'a>] {
        lenient::list(&self.body, "entry")
    }

    /// Every event, in order.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.entries().iter().flat_map(events_of)
    }
}

fn events_of<'a>(entry: &'a Json<'a>) -> Vec<Event<'a>> {
    let mut events = Vec::new();
    let mut known = false;
    for key in ["changes", "messaging", "standby"] {
        match entry.get(key) {
            None | Some(Json::Null) => {}
            Some(Json::List(elements)) => {
                known = true;
                events.extend(elements.iter().map(|element| match key {
                    "changes" => change(element),
                    _ if !element.is_object() => Event::Unreadable { raw: element },
                    "messaging" => Event::Messaging { entry, event: element },
                    _ => Event::Standby { event: element },
                }));
            }
            Some(raw) => {
                known = true;
                events.push(Event::Unreadable { raw });
            }
        }
    }
    if !known {
        events.push(Event::Unreadable { raw: entry });
    }
    events
}

fn change<'a>(element: &'a Json<'a>) -> Event<'a> {
    match (element.get("field").and_then(Json::as_str), element.get("value")) {
        (Some(field), Some(value)) => Event::Change { field, value },
        _ => Event::Unreadable { raw: element },
    }
}

/// The notice that stands for an element that cannot be read.
pub fn unreadable(what: &str, raw: &Json<'_>) -> Inbound {
    Inbound::Notice { kind: format!("unreadable_{what}"), raw: raw.to_value() }
}

/// A word of the provider's vocabulary, fit for logs and counters: short, and of harmless characters only.
pub fn kind_word(word: &str) -> String {
    let word: String = word
        .chars()
        .take(40)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' })
        .collect();
    if word.is_empty() { "unnamed".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn every_element_of_every_list_is_walked() {
        let delivery = Delivery::new(Json::from(json!({"object": "page", "entry": [
            {"id": "1", "messaging": [{"a": 1}, 7], "standby": [{"b": 1}]},
            {"id": "2", "changes": [{"field": "feed", "value": {}}, {"field": "feed"}]},
            {"id": "3"},
            {"id": "4", "messaging": "none"},
            null,
        ]})))
        .unwrap();
        let seen: Vec<&str> = delivery
            .events()
            .map(|event| match event {
                Event::Change { field, .. } => field,
                Event::Messaging { .. } => "messaging",
                Event::Standby { .. } => "standby",
                Event::Unreadable { .. } => "unreadable",
            })
            .collect();
        assert_eq!(
            seen,
            [
                "messaging",
                "unreadable",
                "standby",
                "feed",
                "unreadable",
                "unreadable",
                "unreadable",
                "unreadable"
            ]
        );
    }

    #[test]
    fn what_is_no_envelope_is_malformed() {
        for body in [json!(null), json!([]), json!({"object": 1}), json!({"object": "page", "entry": {}})] {
            assert!(matches!(Delivery::new(body.into()), Err(Refusal::Malformed(_))));
        }
    }

    #[test]
    fn words_of_strangers_are_tamed() {
        assert_eq!(kind_word("account_update"), "account_update");
        assert_eq!(kind_word("a b\n{é}"), "a_b____");
        assert_eq!(kind_word(""), "unnamed");
        assert_eq!(kind_word(&"x".repeat(99)).len(), 40);
    }
}
