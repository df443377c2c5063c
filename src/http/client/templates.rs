//! The templates that a client may choose from: those of the configuration.

use serde_json::{Map, Value, json};

use super::call::Asked;
use super::{Given, Guest};
use crate::http::error::ApiError;

/// Templates in a page.
const PAGE: usize = 100;

pub(super) fn list(guest: &Guest, asked: &Asked<'_>) -> Result<Given, ApiError> {
    let (from, size) = asked.page(PAGE)?;
    let all = guest.relay().templates().all();
    // The configuration does not say when a template was made; it is in force since the start at the latest.
    let since = guest.house.started.rfc3339_millis();
    let shown = all.iter().skip(from).take(size).map(|(sid, template)| {
        let blanks = template.blanks().into_iter().map(|name| (name.to_owned(), Value::from("")));
        let variables = Value::Object(Map::from_iter(blanks)).to_string();
        // WhatsApp's name of it is the only one that anybody gave it.
        let name = template.whatsapp.as_ref().map_or(sid.as_str(), |(name, _)| name.as_str());
        json!({
            "sid": sid,
            "friendly_name": name,
            "variables": variables,
            "variants": { "twilio/text": { "body": template.body } },
            "date_created": since,
            "date_updated": since,
        })
    });
    let shown: Vec<Value> = shown.collect();
    let next = (from + size < all.len()).then(|| (from + size).to_string());
    Ok(Given::Shown(json!({
        "templates": shown,
        "meta": { "key": "templates", "previous_token": null, "next_token": next },
    })))
}
