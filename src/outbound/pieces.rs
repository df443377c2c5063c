//! A message in the sends it takes to bring it to one person: what goes together, what goes as it is, and what goes as
//! something else.

use trunkline_adapter::{Capabilities, Cause, Fit, MediaLimits, MediaRule};

use crate::model::MessageMedia;

/// One send. What it is depends on the message and the proxy address alone, so that a message is cut alike at every try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// The file of this number.
    File {
        number: usize,
        caption: Option<String>,
        /// It goes as a JPEG of at most so many bytes.
        jpeg: Option<u64>,
    },
    /// A link to the file of this number, as text.
    Link {
        number: usize,
    },
}

/// Cuts a message with files: the text rides with the first file where it can, else it goes before; then a send for each.
///
/// # Errors
/// When the text is longer than the channel takes.
pub(super) fn pieces(
    able: &Capabilities,
    text: Option<&str>,
    media: &[MessageMedia],
) -> Result<Vec<Piece>, Cause> {
    let mut files: Vec<Piece> =
        media.iter().enumerate().map(|(number, one)| piece(able.media, number, one)).collect();
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(files) };
    let most = match media.first() {
        Some(first) => able.media.map_or(0, |limits| room_for_caption(limits, first)),
        None => 0,
    };
    if text.chars().count() <= most
        && let Some(Piece::File { caption, .. }) = files.first_mut()
    {
        *caption = Some(text.to_owned());
        return Ok(files);
    }
    let mut pieces: Vec<Piece> = able.text.pieces(text)?.into_iter().map(Piece::Text).collect();
    pieces.append(&mut files);
    Ok(pieces)
}

fn piece(limits: Option<MediaLimits>, number: usize, media: &MessageMedia) -> Piece {
    match limits.map_or(Fit::No, |limits| limits.fit(&media.content_type, media.size)) {
        Fit::Whole(_) => Piece::File { number, caption: None, jpeg: None },
        Fit::Jpeg(rule) => Piece::File { number, caption: None, jpeg: Some(rule.most) },
        Fit::No => Piece::Link { number },
    }
}

fn room_for_caption(limits: MediaLimits, media: &MessageMedia) -> usize {
    match limits.fit(&media.content_type, media.size) {
        Fit::Whole(MediaRule { caption, .. }) | Fit::Jpeg(MediaRule { caption, .. }) => *caption,
        Fit::No => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use trunkline_adapter::{OverLimit, TextLimit, TextUnit};

    use super::*;
    use crate::model::{ContentHash, MediaCategory, MediaSid, Mint};
    use crate::outbound::house_test;

    static RULES: [MediaRule; 2] = [
        MediaRule { types: &["image/jpeg"], most: 100, caption: 5 },
        MediaRule { types: &["audio/*"], most: 100, caption: 0 },
    ];

    fn media(content_type: &str, size: u64) -> MessageMedia {
        MessageMedia {
            sid: MediaSid::new(&Mint::seeded(1)),
            content: ContentHash::new([0; 32]),
            size,
            content_type: content_type.to_owned(),
            filename: None,
            category: MediaCategory::Media,
        }
    }

    fn able(limits: bool) -> Capabilities {
        let text = TextLimit { most: 8, unit: TextUnit::Characters, over: OverLimit::Split };
        let media = limits.then_some(MediaLimits { rules: &RULES, lost: 7 });
        Capabilities { text, media, ..house_test::capabilities() }
    }

    fn file(number: usize, caption: Option<&str>, jpeg: Option<u64>) -> Piece {
        Piece::File { number, caption: caption.map(str::to_owned), jpeg }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn text_rides_with_the_first_file_or_goes_before_it() {
        let able = able(true);
        let (photo, sound) = (media("image/jpeg", 100), media("audio/ogg", 1));
        let cut = |said: &str, files: &[MessageMedia]| pieces(&able, Some(said), files).unwrap();
        assert_eq!(cut("hello", std::slice::from_ref(&photo)), [file(0, Some("hello"), None)]);
        assert_eq!(cut(" ", std::slice::from_ref(&photo)), [file(0, None, None)]);
        assert_eq!(cut("hello!", std::slice::from_ref(&photo)), [text("hello!"), file(0, None, None)]);
        assert_eq!(
            cut("hello", &[sound.clone(), photo.clone()]),
            [text("hello"), file(0, None, None), file(1, None, None)]
        );
        assert_eq!(cut("one two three", &[sound]), [text("one two"), text("three"), file(0, None, None)]);
        assert_eq!(pieces(&able, None, &[photo]).unwrap(), [file(0, None, None)]);
    }

    #[test]
    fn what_the_channel_does_not_take_becomes_a_picture_or_a_link() {
        let files = [media("image/png", 1), media("image/jpeg", 101), media("application/pdf", 1)];
        let cut = pieces(&able(true), Some("hello"), &files).unwrap();
        let link = Piece::Link { number: 2 };
        assert_eq!(cut, [file(0, Some("hello"), Some(100)), file(1, None, Some(100)), link]);
        let cut = pieces(&able(false), Some("hello"), &files[..1]).unwrap();
        assert_eq!(cut, [text("hello"), Piece::Link { number: 0 }]);
    }

    #[test]
    fn text_that_is_too_long_fails_where_the_channel_does_not_split() {
        let mut able = able(true);
        able.text.over = OverLimit::Fail(9);
        let failed = pieces(&able, Some("far too long"), &[media("image/jpeg", 1)]).unwrap_err();
        assert_eq!(failed.code, 9);
    }
}
