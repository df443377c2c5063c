//! What a message holds, by its `type`. A type or member that is unknown or broken becomes an unsupported part with its
//! original, so that the message itself is never lost.

use trunkline_adapter::{Contact, MediaKind, MediaReference, Part};
use trunkline_graph::{Json, NULL, kind_word, lenient};

/// The parts of a message of this type; never empty.
pub(super) fn parts(kind: &str, message: &Json<'_>) -> Vec<Part> {
    let object = message.get(kind).unwrap_or(&NULL);
    let read = match kind {
        "text" => lenient::text(object, "body").map(|text| vec![Part::Text { text }]),
        "image" => media(MediaKind::Image, object),
        "video" => media(MediaKind::Video, object),
        "audio" if lenient::flag(object, "voice") => media(MediaKind::Voice, object),
        "audio" => media(MediaKind::Audio, object),
        "voice" => media(MediaKind::Voice, object),
        "document" => media(MediaKind::Document, object),
        "sticker" => media(MediaKind::Sticker, object),
        "location" => location(object),
        "contacts" => contacts(object),
        "interactive" => interactive(object),
        "button" => choice(object, "text", "payload"),
        "order" => order(object),
        _ => None,
    };
    read.unwrap_or_else(|| vec![Part::Unsupported { kind: kind_word(kind), raw: message.to_value() }])
}

/// What a message says beside its type: the advertisement it came from, the product it asks about.
pub(super) fn surroundings(message: &Json<'_>) -> Vec<Part> {
    let referral = message.get("referral").filter(|raw| raw.is_object()).map(|raw| {
        let from = ["headline", "body", "source_url"].iter().find_map(|key| lenient::text(raw, key));
        let summary = match from {
            Some(from) => format!("came from: {from}"),
            None => "came from an advertisement".to_owned(),
        };
        Part::Structured { kind: "referral".to_owned(), summary, raw: raw.to_value() }
    });
    let product = message.get("context").and_then(|context| context.get("referred_product")).map(|raw| {
        let id = lenient::text(raw, "product_retailer_id").unwrap_or_else(|| "a product".to_owned());
        Part::Structured {
            kind: "referred_product".to_owned(),
            summary: format!("asks about: {id}"),
            raw: raw.to_value(),
        }
    });
    referral.into_iter().chain(product).collect()
}

fn media(kind: MediaKind, object: &Json<'_>) -> Option<Vec<Part>> {
    let text = |key| lenient::text(object, key);
    let (id, url) = (text("id"), text("url"));
    if id.is_none() && url.is_none() {
        return None;
    }
    Some(vec![Part::Media(MediaReference {
        kind,
        id,
        url,
        content_type: text("mime_type"),
        filename: text("filename"),
        caption: text("caption"),
        sha256: text("sha256"),
    })])
}

fn location(object: &Json<'_>) -> Option<Vec<Part>> {
    let degrees = |key, most: f64| lenient::number(object, key).filter(|degrees| degrees.abs() <= most);
    Some(vec![Part::Location {
        latitude: degrees("latitude", 90.0)?,
        longitude: degrees("longitude", 180.0)?,
        name: lenient::text(object, "name"),
        address: lenient::text(object, "address"),
    }])
}

fn contacts(list: &Json<'_>) -> Option<Vec<Part>> {
    let contacts: Vec<Contact> =
        list.as_array()?.iter().filter(|entry| entry.is_object()).map(contact).collect();
    (!contacts.is_empty()).then(|| vec![Part::Contacts { contacts }])
}

fn contact(entry: &Json<'_>) -> Contact {
    let phones: Vec<String> = lenient::list(entry, "phones")
        .iter()
        .filter_map(|phone| lenient::text(phone, "phone").or_else(|| lenient::text(phone, "wa_id")))
        .collect();
    let name = entry.get("name").unwrap_or(&NULL);
    let given = ["formatted_name", "first_name", "last_name"].iter().find_map(|key| lenient::text(name, key));
    let name = given.or_else(|| phones.first().cloned()).unwrap_or_else(|| "contact".to_owned());
    Contact { name, phones, raw: entry.to_value() }
}

fn interactive(object: &Json<'_>) -> Option<Vec<Part>> {
    let kind = object.get("type").and_then(Json::as_str)?;
    let reply = object.get(kind)?;
    match kind {
        "button_reply" | "list_reply" => choice(reply, "title", "id"),
        "nfm_reply" => {
            let said = ["body", "name"].iter().find_map(|key| lenient::text(reply, key));
            let mut raw = reply.to_value();
            // A string of JSON inside JSON; unpacked here once instead of by everyone who reads it.
            if let Some(answers) = reply.get("response_json").and_then(Json::as_str)
                && let Ok(answers) = serde_json::from_str(answers)
            {
                raw["response_json"] = answers;
            }
            let summary = said.unwrap_or_else(|| "filled in a form".to_owned());
            Some(vec![Part::Structured { kind: kind.to_owned(), summary, raw }])
        }
        "call_permission_reply" => {
            let answer = lenient::text(reply, "response").unwrap_or_else(|| "answered".to_owned());
            let summary = format!("permission to call: {answer}");
            Some(vec![Part::Structured { kind: kind.to_owned(), summary, raw: reply.to_value() }])
        }
        _ => None,
    }
}

fn choice(object: &Json<'_>, text: &str, payload: &str) -> Option<Vec<Part>> {
    let payload = lenient::text(object, payload);
    let text = lenient::text(object, text).or_else(|| payload.clone())?;
    Some(vec![Part::Choice { text, payload }])
}

fn order(object: &Json<'_>) -> Option<Vec<Part>> {
    let items = object.get("product_items")?.as_array()?;
    let said = lenient::text(object, "text").map(|text| Part::Text { text });
    let summary = match items.len() {
        1 => "order of 1 product".to_owned(),
        count => format!("order of {count} products"),
    };
    let order = Part::Structured { kind: "order".to_owned(), summary, raw: object.to_value() };
    Some(said.into_iter().chain([order]).collect())
}
