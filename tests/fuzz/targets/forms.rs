//! Uploads as forms: the first line is the type of the request, the first byte behind it says in how large pieces the body comes.

use trunkline::http::media::multipart::{Broken, Event, PartHead, Splitter};
use trunkline::media;

use super::{choice, line};

/// What a form came to: its parts with their bytes, and whether it ended.
type Read = (Vec<(PartHead, Vec<u8>)>, bool);

pub fn run(data: &[u8]) {
    let (kind, rest) = line(data);
    let (Ok(kind), Some((size, body))) = (std::str::from_utf8(kind), choice(rest)) else { return };
    let Some(whole) = read(kind, body, body.len().max(1)) else { return };
    // However it comes, it is the same; what breaks off within a piece may have told less before.
    if let (Ok(whole), Ok(pieces)) = (&whole, &read(kind, body, usize::from(size).max(1)).expect("a form")) {
        assert_eq!(whole, pieces, "it depends on how it comes");
    }
    let Ok((parts, _)) = whole else { return };
    let told: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(told <= body.len(), "more than there was");
    for (head, bytes) in &parts {
        let kept = media::content_type(head.content_type.as_deref(), None);
        assert!(media::well_formed(&kept), "a type that cannot be a header: {kept:?}");
        assert!(bytes.is_empty() || body.windows(bytes.len()).any(|window| window == bytes), "made up");
    }
}

/// Nothing where the type is none of a form.
fn read(kind: &str, body: &[u8], size: usize) -> Option<Result<Read, Broken>> {
    let mut splitter = Splitter::of(kind)?;
    let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
    for piece in body.chunks(size) {
        splitter.feed(piece);
        loop {
            match splitter.next_event() {
                Err(broken) => return Some(Err(broken)),
                Ok(None) => break,
                Ok(Some(Event::Part(head))) => parts.push((head, Vec::new())),
                Ok(Some(Event::Data(bytes))) => {
                    parts.last_mut().expect("bytes of a part that was told").1.extend_from_slice(&bytes);
                }
                Ok(Some(Event::End)) => {
                    splitter.feed(b"more");
                    assert_eq!(splitter.next_event(), Ok(Some(Event::End)), "an end that is none");
                    return Some(Ok((parts, true)));
                }
            }
        }
    }
    Some(Ok((parts, false)))
}
