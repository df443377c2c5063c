//! Inbound messages: parameters to parts.

use serde_json::{Value, json};
use trunkline_adapter::{Channel, Inbound, InboundMessage, MediaKind, MediaReference, Part, Refusal, Signal};

use crate::form::Fields;
use crate::person;

/// Twilio's own limit of files per message, whatever `NumMedia` claims.
const MOST_MEDIA: usize = 10;
/// Longest URL of a file that we keep.
const URL: usize = 2_000;

/// Reads one message, and the opt-out that Twilio may have made of it.
pub(crate) fn read(fields: &Fields) -> Result<Vec<Inbound>, Refusal> {
    let id = fields.required(&["MessageSid", "SmsMessageSid", "SmsSid"])?;
    fields.required(&["From"])?;
    let to = person::address(fields.required(&["To"])?);
    let (Some(from), Some(to)) = (person::sender(fields), to) else {
        // A channel of Twilio's that we do not carry, such as RCS.
        return Ok(vec![Inbound::Notice { kind: "message".to_owned(), raw: fields.raw() }]);
    };
    let signal = match fields.get("OptOutType") {
        Some("STOP") => Some(Signal::OptOut { id: id.to_owned() }),
        Some("START") => Some(Signal::OptIn { id: id.to_owned() }),
        _ => None,
    };
    let message = InboundMessage {
        id: id.to_owned(),
        from: from.clone(),
        to: to.clone(),
        parts: parts(fields, to.channel()),
        reply_to: fields.get("OriginalRepliedMessageSid").map(str::to_owned),
        at: None,
    };
    let signal = signal.map(|signal| Inbound::Signal { from, to, signal });
    Ok(std::iter::once(Inbound::Message(message)).chain(signal).collect())
}

fn parts(fields: &Fields, channel: Channel) -> Vec<Part> {
    let mut parts = Vec::new();
    let choice = choice(fields);
    let body = fields.get("Body").unwrap_or_default();
    // A tap repeats its label as the body.
    let repeated = matches!(&choice, Some(Part::Choice { text, .. }) if text == body);
    if !body.is_empty() && !repeated {
        parts.push(Part::Text { text: body.to_owned() });
    }
    parts.extend(choice);
    parts.extend((0..MOST_MEDIA).filter_map(|number| media(fields, number, channel)));
    parts.extend(location(fields));
    parts.extend(referral(fields));
    if parts.is_empty() {
        parts.push(nothing(fields));
    }
    parts
}

/// A message without anything we read: an empty text, or a kind that Twilio names and we do not know.
fn nothing(fields: &Fields) -> Part {
    let promised = fields.get("NumMedia").is_some_and(|count| count != "0").then_some("media");
    let kind = fields.get("MessageType").filter(|kind| *kind != "text").or(promised);
    match kind {
        Some(kind) => Part::Unsupported { kind: kind.chars().take(40).collect(), raw: fields.raw() },
        None => Part::Text { text: String::new() },
    }
}

fn choice(fields: &Fields) -> Option<Part> {
    let text = fields.any(&["ButtonText", "ListTitle"])?;
    let payload = fields.any(&["ButtonPayload", "ListId"]);
    Some(Part::Choice { text: text.to_owned(), payload: payload.map(str::to_owned) })
}

fn media(fields: &Fields, number: usize, channel: Channel) -> Option<Part> {
    let url = fields.get(&format!("MediaUrl{number}"))?;
    let content_type = fields.get(&format!("MediaContentType{number}")).map(str::to_owned);
    // Where it leads is judged by whoever fetches it, who counts what is refused.
    if url.len() > URL {
        return Some(Part::Unsupported {
            kind: "media".to_owned(),
            raw: json!({ "content_type": content_type }),
        });
    }
    let id = url.rsplit('/').next().filter(|id| id.len() == 34 && id.starts_with("ME"));
    Some(Part::Media(MediaReference {
        kind: sort(content_type.as_deref().unwrap_or_default(), channel),
        id: id.map(str::to_owned),
        url: Some(url.to_owned()),
        content_type,
        filename: None,
        caption: None,
        sha256: None,
    }))
}

fn sort(content_type: &str, channel: Channel) -> MediaKind {
    match content_type.split('/').next().unwrap_or_default() {
        // WhatsApp makes JPEG of every picture; only stickers stay WebP.
        "image" if channel == Channel::Whatsapp && content_type.starts_with("image/webp") => {
            MediaKind::Sticker
        }
        "image" => MediaKind::Image,
        "video" => MediaKind::Video,
        "audio" => MediaKind::Audio,
        _ => MediaKind::Document,
    }
}

fn location(fields: &Fields) -> Option<Part> {
    let degrees = |name: &str, most: f64| {
        fields.get(name)?.parse::<f64>().ok().filter(|degrees| degrees.is_finite() && degrees.abs() <= most)
    };
    Some(Part::Location {
        latitude: degrees("Latitude", 90.0)?,
        longitude: degrees("Longitude", 180.0)?,
        name: fields.get("Label").map(str::to_owned),
        address: fields.get("Address").map(str::to_owned),
    })
}

/// The advertisement or post that a WhatsApp person tapped before writing.
fn referral(fields: &Fields) -> Option<Part> {
    let names =
        ["ReferralSourceUrl", "ReferralSourceId", "ReferralSourceType", "ReferralHeadline", "ReferralBody"];
    fields.any(&names[..2])?;
    let raw: serde_json::Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(fields.get(name)?)))).collect();
    let summary =
        fields.any(&["ReferralHeadline", "ReferralBody", "ReferralSourceUrl"]).unwrap_or("referral");
    Some(Part::Structured {
        kind: "referral".to_owned(),
        summary: summary.to_owned(),
        raw: Value::Object(raw),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::form::parse;

    fn fields(rest: &str) -> Fields {
        let whole = format!("MessageSid=SM1&From=whatsapp:%2B15550001111&To=whatsapp:%2B15550002222&{rest}");
        Fields::new(parse(whole.as_bytes()).unwrap()).unwrap()
    }

    fn parts_of(rest: &str) -> Vec<Part> {
        match read(&fields(rest)).unwrap().remove(0) {
            Inbound::Message(message) => message.parts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_number_of_files_is_never_trusted() {
        let files: String =
            (0..12).map(|n| format!("&MediaUrl{n}=https://x/{n}&MediaContentType{n}=image/png")).collect();
        assert_eq!(parts_of(&format!("NumMedia=1{files}")).len(), 10);
        assert!(
            matches!(&parts_of("NumMedia=99999999999")[..], [Part::Unsupported { kind, .. }] if kind == "media")
        );
        let long = "x".repeat(URL);
        assert!(matches!(
            &parts_of(&format!("NumMedia=1&MediaUrl0=https://x/{long}"))[..],
            [Part::Unsupported { .. }]
        ));
    }

    #[test]
    fn a_tap_is_a_choice_and_not_also_a_text() {
        let tapped = Part::Choice { text: "Yes".to_owned(), payload: Some("y-1".to_owned()) };
        assert_eq!(parts_of("Body=Yes&ButtonText=Yes&ButtonPayload=y-1"), [tapped]);
    }

    #[test]
    fn places_outside_the_world_are_not_places() {
        assert!(matches!(
            &parts_of("Latitude=52.5&Longitude=13.4&Label=Home")[..],
            [Part::Location { latitude, name: Some(name), .. }] if *latitude == 52.5 && name == "Home"
        ));
        for wrong in
            ["Latitude=NaN&Longitude=1", "Latitude=91&Longitude=1", "Latitude=1", "Latitude=x&Longitude=1"]
        {
            assert_eq!(parts_of(wrong), [Part::Text { text: String::new() }], "{wrong}");
        }
    }

    #[test]
    fn an_unknown_kind_and_an_advertisement_are_kept() {
        assert!(
            matches!(&parts_of("MessageType=hologram")[..], [Part::Unsupported { kind, .. }] if kind == "hologram")
        );
        let parts = parts_of("Body=hi&ReferralSourceUrl=https://ad&ReferralHeadline=Sale");
        assert!(
            matches!(&parts[..], [Part::Text { .. }, Part::Structured { summary, .. }] if summary == "Sale")
        );
    }

    #[test]
    fn twilios_own_opt_out_comes_with_its_message() {
        for (word, expected) in [
            ("STOP", Some(Signal::OptOut { id: "SM1".to_owned() })),
            ("START", Some(Signal::OptIn { id: "SM1".to_owned() })),
            ("HELP", None),
        ] {
            let inbound = read(&fields(&format!("Body={word}&OptOutType={word}"))).unwrap();
            assert!(matches!(inbound[0], Inbound::Message(_)));
            let signal = match inbound.get(1) {
                Some(Inbound::Signal { signal, .. }) => Some(signal.clone()),
                _ => None,
            };
            assert_eq!(signal, expected);
        }
    }

    #[test]
    fn a_channel_we_do_not_carry_is_a_notice() {
        let form = b"MessageSid=SM1&From=rcs:%2B15550001111&To=rcs:brand&Body=x";
        let inbound = read(&Fields::new(parse(form).unwrap()).unwrap()).unwrap();
        assert!(matches!(&inbound[..], [Inbound::Notice { kind, .. }] if kind == "message"));
    }
}
