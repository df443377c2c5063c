//! What each sort of sender can do, as data.

use trunkline_adapter::{
    Address, Capabilities, Channel, MediaLimits, MediaRule, OverLimit, Rate, Receipts, Templates, TextLimit,
    TextUnit,
};

/// Longest `Body`, in characters.
pub(crate) const BODY: usize = 1600;
/// Twilio's code for a longer one.
pub(crate) const BODY_TOO_LONG: u32 = 21617;

/// Twilio's code for free text after Meta's customer service window, which its senders there share, has shut.
const SHUT: u32 = 63016;

const MB: u64 = 1_000_000;
/// Characters of a text with a file: were the file refused, its name and a link to it must fit beside the text.
const CAPTION: usize = BODY - 600;

/// What carriers take as MMS, text and file together 5 MB. Twilio makes pictures fit the carrier itself.
static MMS: [MediaRule; 1] = [MediaRule {
    types: &[
        "image/jpeg",
        "image/png",
        "image/gif",
        "audio/mpeg",
        "audio/mp4",
        "audio/amr",
        "audio/ogg",
        "video/mp4",
        "video/3gpp",
        "text/vcard",
        "text/x-vcard",
        "text/calendar",
        "application/pdf",
    ],
    most: 5 * MB - 10_000,
    caption: CAPTION,
}];
/// As Meta's own limits, below the 16 MB that Twilio passes on.
static WHATSAPP: [MediaRule; 3] = [
    MediaRule { types: &["image/jpeg", "image/png"], most: 5 * MB, caption: 1_024 },
    MediaRule { types: &["video/mp4", "application/pdf"], most: 16 * MB, caption: 1_024 },
    MediaRule {
        types: &[
            "audio/aac",
            "audio/amr",
            "audio/mpeg",
            "audio/mp4",
            "audio/ogg",
            "video/3gpp",
            "text/vcard",
        ],
        most: 16 * MB,
        caption: 0,
    },
];
/// Text and a file are two messages there.
static MESSENGER: [MediaRule; 2] = [
    MediaRule { types: &["image/jpeg", "image/png", "image/gif"], most: 8 * MB, caption: 0 },
    MediaRule { types: &["*/*"], most: 25 * MB, caption: 0 },
];

/// Files that a sender takes. Carriers pass MMS in North America and Australia, and from nobody who only has a name;
/// where a recipient is elsewhere, Twilio itself makes a link of the file.
fn media(proxy: &Address) -> Option<MediaLimits> {
    let value = proxy.value();
    let mms = ["+1", "+61"].iter().any(|prefix| value.starts_with(prefix)) || short_code(value);
    match proxy.channel() {
        Channel::Sms => mms.then_some(MediaLimits { rules: &MMS, lost: 21620 }),
        Channel::Whatsapp => Some(MediaLimits { rules: &WHATSAPP, lost: 63019 }),
        Channel::Messenger => Some(MediaLimits { rules: &MESSENGER, lost: 63019 }),
    }
}

/// What a proxy address at Twilio can do.
pub(crate) fn of(proxy: &Address) -> Capabilities {
    let channel = proxy.channel();
    let (rate, pair_rate) = match channel {
        Channel::Sms => (sms_rate(proxy.value()), None),
        Channel::Whatsapp => (Rate::per_second(80.0, 80), Some(Rate::per_minute(10.0, 45))),
        Channel::Messenger => (Rate::per_second(300.0, 300), None),
    };
    let chat = channel != Channel::Sms;
    Capabilities {
        channel,
        text: TextLimit { most: BODY, unit: TextUnit::Characters, over: OverLimit::Fail(BODY_TOO_LONG) },
        // The text rides in the callback's URL. A text message cannot be answered by its id, as a chat's can.
        receipts: Receipts { delivered: true, read: chat, correlated: !chat },
        shut: chat.then_some(SHUT),
        templates: if chat { Templates::Sid } else { Templates::Text },
        media: media(proxy),
        typing: None,
        idempotent: false,
        group_texts: false,
        keywords: !chat,
        rate,
        pair_rate,
    }
}

fn short_code(value: &str) -> bool {
    value.len() <= 8 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rate of a fresh US sender of each sort; registered campaigns have more, which the operator knows and we do not.
fn sms_rate(value: &str) -> Rate {
    let toll_free = value.len() == 12
        && ["+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888"]
            .iter()
            .any(|prefix| value.starts_with(prefix));
    if short_code(value) {
        Rate::per_second(100.0, 100)
    } else if toll_free {
        Rate::per_second(3.0, 3)
    } else {
        Rate::per_second(1.0, 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn at(text: &str) -> Capabilities {
        of(&Address::parse(text).unwrap())
    }

    #[test]
    fn senders_differ_in_rate() {
        for (sender, period) in [
            ("+15550001111", 1_000),
            ("+18005550100", 333),
            ("12345", 10),
            ("ACME", 1_000),
            ("whatsapp:+15550002222", 12),
            ("messenger:1029384756", 3),
        ] {
            assert_eq!(at(sender).rate.period.as_millis(), period, "{sender}");
        }
    }

    #[test]
    fn files_go_where_carriers_take_them() {
        for (sender, takes) in [
            ("+15550001111", true),
            ("+61255550000", true),
            ("12345", true),
            ("+442079460018", false),
            ("ACME", false),
            ("whatsapp:+442079460018", true),
            ("messenger:1029384756", true),
        ] {
            assert_eq!(at(sender).media.is_some(), takes, "{sender}");
        }
    }

    #[test]
    fn only_sms_handles_keywords_and_only_chat_has_a_window() {
        assert!(at("+15550001111").keywords);
        assert_eq!((at("+15550001111").shut, at("+15550001111").templates), (None, Templates::Text));
        let whatsapp = at("whatsapp:+15550002222");
        assert!(!whatsapp.keywords && whatsapp.receipts.read);
        assert_eq!((whatsapp.shut, whatsapp.templates), (Some(63016), Templates::Sid));
        assert_eq!(whatsapp.text.pieces(&"é".repeat(1601)).unwrap_err().code, 21617);
        assert_eq!(whatsapp.text.pieces(&"é".repeat(1600)).unwrap().len(), 1);
    }
}
