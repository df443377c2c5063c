//! What a file is, by what its sender says and by its first bytes.

/// The type of a format with a signature that nobody else's has.
pub(super) fn sniffed(beginning: &[u8]) -> Option<&'static str> {
    if beginning.starts_with(b"BEGIN:VCARD") {
        return Some("text/vcard");
    }
    infer::get(beginning).map(|kind| kind.mime_type())
}

/// The type a file is kept under: its sender's word, unless that says nothing, or says of what is plainly something else
/// that it were a picture, film or sound, which readers show without asking.
pub fn content_type(declared: Option<&str>, sniffed: Option<&'static str>) -> String {
    const UNKNOWN: &str = "application/octet-stream";
    let declared = declared.map(str::trim).filter(|word| well_formed(word));
    match (declared, sniffed) {
        (None | Some(UNKNOWN), _) => sniffed.unwrap_or(UNKNOWN).to_owned(),
        (Some(declared), Some(sniffed)) if played(declared) && !played(sniffed) => sniffed.to_owned(),
        (Some(declared), _) => declared.to_ascii_lowercase(),
    }
}

fn played(content_type: &str) -> bool {
    let family = content_type.split('/').next().unwrap_or_default();
    ["image", "video", "audio"].iter().any(|played| family.eq_ignore_ascii_case(played))
}

/// Whether a text is a media type, with or without parameters.
pub fn well_formed(text: &str) -> bool {
    let token = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !text.is_empty() && text.bytes().all(plain)
    };
    let kind = text.split(';').next().unwrap_or_default().trim_end();
    let printable = text.len() <= 255 && text.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    printable && kind.split_once('/').is_some_and(|(family, kind)| token(family) && token(kind))
}

/// Whether a browser may show it by itself: what it can show and cannot run. An SVG is a program as much as a picture.
pub fn shown_in_place(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (played(&kind) && !kind.contains("svg") && !kind.contains("xml")) || kind == "text/plain"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_word_counts_unless_it_hides_something() {
        let png = sniffed(b"\x89PNG\r\n\x1a\n0000");
        assert_eq!(png, Some("image/png"));
        assert_eq!(content_type(None, png), "image/png");
        assert_eq!(content_type(Some("application/octet-stream"), png), "image/png");
        assert_eq!(content_type(Some("Application/PDF"), None), "application/pdf");
        assert_eq!(content_type(Some("nonsense"), None), "application/octet-stream");
        let html = sniffed(b"<!DOCTYPE html><script>alert(1)</script>");
        assert_eq!(content_type(Some("image/png"), html), "text/html");
        assert_eq!(content_type(Some("audio/ogg; codecs=opus"), Some("audio/ogg")), "audio/ogg; codecs=opus");
        assert_eq!(sniffed(b"BEGIN:VCARD\r\n"), Some("text/vcard"));
    }

    #[test]
    fn what_can_run_is_not_shown_in_place() {
        for shown in
            ["image/png", "IMAGE/JPEG", "audio/ogg; codecs=opus", "video/mp4", "text/plain; charset=utf-8"]
        {
            assert!(shown_in_place(shown), "{shown}");
        }
        for kept in ["image/svg+xml", "text/html", "application/pdf", "application/xhtml+xml", "text/xml", ""]
        {
            assert!(!shown_in_place(kept), "{kept}");
        }
    }

    #[test]
    fn media_types_have_a_form() {
        for good in ["a/b", "audio/ogg; codecs=opus", "application/vnd.x+json"] {
            assert!(well_formed(good), "{good}");
        }
        for bad in ["", "a", "/b", "a/", "a b/c", "a/b\r\nX: y", "a/ü"] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}
