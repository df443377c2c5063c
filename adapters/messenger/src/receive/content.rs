//! What a message holds. Whatever is unknown or broken becomes an unsupported part with its original, so that the message
//! itself is never lost.

use std::collections::{HashMap, HashSet};

use trunkline_adapter::{MediaKind, MediaReference, Part};
use trunkline_graph::{Json, NULL, kind_word, lenient};

/// The thumbs-up the app offers in three sizes; people mean the word, not the picture.
const THUMBS_UP: [&str; 3] = ["369239263222822", "369239343222814", "369239383222810"];

/// The parts of a `message` or `message_edit`; never empty.
pub(super) fn parts(message: &Json<'_>) -> Vec<Part> {
    let mut parts: Vec<Part> = written(message).into_iter().collect();
    let attachments = lenient::list(message, "attachments");
    // One pass first, so that many attachments cost no more than few.
    let twins = Twins::of(attachments);
    let shown = attachments.iter().filter(|raw| !twins.is_image_of_sticker(raw));
    parts.extend(shown.map(|raw| attachment(raw, &twins)));
    parts.extend(message.get("referral").and_then(referral));
    parts.extend(story(message));
    if parts.is_empty() || lenient::flag(message, "is_unsupported") {
        parts.push(Part::Unsupported { kind: "message".to_owned(), raw: message.to_value() });
    }
    parts
}

/// The advertisement, link or code somebody came from.
pub(super) fn referral(raw: &Json<'_>) -> Option<Part> {
    if !raw.is_object() {
        return None;
    }
    let from = ["ref", "source"].iter().find_map(|key| lenient::text(raw, key));
    let summary = match from {
        Some(from) => format!("came from: {from}"),
        None => "came from a link".to_owned(),
    };
    Some(Part::Structured { kind: "referral".to_owned(), summary, raw: raw.to_value() })
}

fn written(message: &Json<'_>) -> Option<Part> {
    let text = lenient::text(message, "text");
    let Some(reply) = message.get("quick_reply").filter(|reply| reply.is_object()) else {
        return text.map(|text| Part::Text { text });
    };
    let payload = lenient::text(reply, "payload");
    let text = text.or_else(|| payload.clone())?;
    Some(Part::Choice { text, payload })
}

fn story(message: &Json<'_>) -> Option<Part> {
    let story = message.get("reply_to")?.get("story")?;
    let summary = "answers a story".to_owned();
    Some(Part::Structured { kind: "story_reply".to_owned(), summary, raw: story.to_value() })
}

fn kind<'a>(attachment: &'a Json<'_>) -> &'a str {
    attachment.get("type").and_then(Json::as_str).unwrap_or_default()
}

fn payload<'a>(attachment: &'a Json<'a>) -> &'a Json<'a> {
    attachment.get("payload").unwrap_or(&NULL)
}

/// For a while a sticker came twice, as itself and as an image; the image may be the only one with a link.
struct Twins {
    stickers: HashSet<String>,
    links: HashMap<String, String>,
}

impl Twins {
    fn of(attachments: &[Json<'_>]) -> Twins {
        let (mut stickers, mut links) = (HashSet::new(), HashMap::new());
        for attachment in attachments {
            let payload = payload(attachment);
            let Some(id) = lenient::text(payload, "sticker_id") else { continue };
            if kind(attachment) == "sticker" {
                stickers.insert(id);
            } else if let Some(url) = lenient::text(payload, "url") {
                links.insert(id, url);
            }
        }
        Twins { stickers, links }
    }

    fn is_image_of_sticker(&self, attachment: &Json<'_>) -> bool {
        kind(attachment) == "image"
            && lenient::text(payload(attachment), "sticker_id").is_some_and(|id| self.stickers.contains(&id))
    }
}

fn attachment(raw: &Json<'_>, twins: &Twins) -> Part {
    let (kind, payload) = (kind(raw), payload(raw));
    let read = match kind {
        "sticker" => sticker(payload, twins),
        "image" if lenient::text(payload, "sticker_id").is_some() => sticker(payload, twins),
        "image" => media(MediaKind::Image, payload),
        "video" => media(MediaKind::Video, payload),
        "audio" => media(MediaKind::Audio, payload),
        "file" => media(MediaKind::Document, payload),
        "location" => location(raw, payload),
        _ => shared(kind, raw, payload),
    };
    read.unwrap_or_else(|| Part::Unsupported { kind: kind_word(kind), raw: raw.to_value() })
}

fn sticker(payload: &Json<'_>, twins: &Twins) -> Option<Part> {
    let id = lenient::text(payload, "sticker_id");
    if id.as_deref().is_some_and(|id| THUMBS_UP.contains(&id)) {
        return Some(Part::Text { text: "👍".to_owned() });
    }
    let link = || id.as_ref().and_then(|id| twins.links.get(id)).cloned();
    let url = lenient::text(payload, "url").or_else(link);
    if id.is_none() && url.is_none() {
        return None;
    }
    Some(Part::Media(reference(MediaKind::Sticker, id, url)))
}

fn media(kind: MediaKind, payload: &Json<'_>) -> Option<Part> {
    let url = lenient::text(payload, "url")?;
    Some(Part::Media(reference(kind, None, Some(url))))
}

fn reference(kind: MediaKind, id: Option<String>, url: Option<String>) -> MediaReference {
    MediaReference { kind, id, url, content_type: None, filename: None, caption: None, sha256: None }
}

fn location(raw: &Json<'_>, payload: &Json<'_>) -> Option<Part> {
    let place = payload.get("coordinates")?;
    let degrees = |key, most: f64| lenient::number(place, key).filter(|degrees| degrees.abs() <= most);
    Some(Part::Location {
        latitude: degrees("lat", 90.0)?,
        longitude: degrees("long", 180.0)?,
        name: lenient::text(raw, "title"),
        address: None,
    })
}

/// Links, posts, reels, templates: a title and a link, wherever they stand.
fn shared(kind: &str, raw: &Json<'_>, payload: &Json<'_>) -> Option<Part> {
    let found = |key| lenient::text(raw, key).or_else(|| lenient::text(payload, key));
    let words: Vec<String> = [found("title"), found("url")].into_iter().flatten().collect();
    let summary = match (words.is_empty(), kind) {
        (false, _) => words.join(" "),
        (true, "template") => "a template".to_owned(),
        (true, _) => return None,
    };
    Some(Part::Structured { kind: kind_word(kind), summary, raw: raw.to_value() })
}
