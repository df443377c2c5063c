//! `multipart/form-data`, taken apart as it comes. Bytes go in, events come out; whatever the sender does, no more than
//! a piece and a head are kept. A library that does this reads all that the sender has ready into memory first.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

/// Most bytes of what stands before the first part, and of a part's head.
const HEAD: usize = 16 * 1024;
/// As the standard has it.
const LONGEST_BOUNDARY: usize = 70;

/// What is no multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// What a body has told so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Part(PartHead),
    /// Bytes of the part that was told last.
    Data(Bytes),
    /// Nothing that follows means anything.
    End,
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    pub name: Option<String>,
    pub filename: Option<String>,
    pub content_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// Behind a delimiter: a part follows, or the end.
    Delimited,
    Head,
    Data,
    End,
}

/// Takes a body apart.
pub struct Splitter {
    /// The delimiter, with the line break in front that belongs to it.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
}

impl Splitter {
    /// For the body of a request of this content type; nothing if that is none of a multipart form.
    pub fn of(content_type: &str) -> Option<Splitter> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameter(parameters, "boundary")?;
        let fits = !boundary.is_empty() && boundary.len() <= LONGEST_BOUNDARY;
        let plain = boundary.bytes().all(|byte| (0x20..0x7F).contains(&byte));
        let delimiter = format!("\r\n--{boundary}");
        (fits && plain).then(|| Splitter {
            delimiter: Finder::new(&delimiter).into_owned(),
            // The first delimiter may stand at the very beginning, without its line break.
            buffer: BytesMut::from(&b"\r\n"[..]),
            state: State::Preamble,
        })
    }

    /// Takes the next bytes. Events are to be taken out before more are put in.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.state != State::End {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The next event; nothing when more bytes are needed.
    ///
    /// # Errors
    /// When it is no multipart body.
    pub fn next_event(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            match self.state {
                State::Preamble => {
                    let Some(at) = self.delimiter.find(&self.buffer) else {
                        return self.waiting(HEAD);
                    };
                    self.buffer.advance(at + self.delimiter.needle().len());
                    self.state = State::Delimited;
                }
                State::Delimited => {
                    // Spaces behind a delimiter are allowed, and nobody sends them.
                    while self.buffer.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                        self.buffer.advance(1);
                    }
                    match self.buffer.first_chunk() {
                        None => return Ok(None),
                        Some(b"--") => self.state = State::End,
                        // The line break stays: an empty head is one line break behind it.
                        Some(b"\r\n") => self.state = State::Head,
                        Some(_) => return Err(Broken),
                    }
                }
                State::Head => {
                    let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
                        return self.waiting(HEAD);
                    };
                    if at > HEAD {
                        return Err(Broken);
                    }
                    let head = self.buffer.split_to(at);
                    self.buffer.advance(4);
                    // What stands behind a head without a body is a delimiter with its own line break.
                    self.state = State::Data;
                    return head_of(&head).map(|head| Some(Event::Part(head)));
                }
                State::Data => {
                    if let Some(at) = self.delimiter.find(&self.buffer) {
                        let data = self.buffer.split_to(at).freeze();
                        self.buffer.advance(self.delimiter.needle().len());
                        self.state = State::Delimited;
                        if !data.is_empty() {
                            return Ok(Some(Event::Data(data)));
                        }
                        continue;
                    }
                    // A delimiter may have begun at the end of what is there.
                    let sure = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
                    if sure == 0 {
                        return Ok(None);
                    }
                    return Ok(Some(Event::Data(self.buffer.split_to(sure).freeze())));
                }
                State::End => {
                    self.buffer.clear();
                    return Ok(Some(Event::End));
                }
            }
        }
    }

    fn waiting(&self, most: usize) -> Result<Option<Event>, Broken> {
        if self.buffer.len() > most { Err(Broken) } else { Ok(None) }
    }
}

fn head_of(head: &[u8]) -> Result<PartHead, Broken> {
    let mut told = PartHead::default();
    let text = std::str::from_utf8(head).map_err(|_| Broken)?;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Broken)?;
        let value = value.trim();
        if name.trim().eq_ignore_ascii_case("content-type") {
            told.content_type = Some(value.to_owned());
        } else if name.trim().eq_ignore_ascii_case("content-disposition") {
            let parameters = value.split_once(';').map(|(_, rest)| rest).unwrap_or_default();
            told.name = parameter(parameters, "name");
            told.filename = parameter(parameters, "filename");
        }
    }
    Ok(told)
}

/// The value of a parameter behind a semicolon, quoted or not. Browsers write a quote in a name as `%22`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (name, behind) = rest.trim_start_matches([' ', '\t', ';']).split_once('=')?;
        let (value, left) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (value, end) = unquoted(quoted)?;
                (value, &quoted[end..])
            }
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left;
    }
}

/// A quoted text and where what follows it begins.
fn unquoted(quoted: &str) -> Option<(String, usize)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in quoted.char_indices() {
        match letter {
            '"' if !escaped => return Some((value.replace("%22", "\""), at + 1)),
            '\\' if !escaped => escaped = true,
            // A path of Windows is no escape.
            other => {
                if escaped && other != '"' && other != '\\' {
                    value.push('\\');
                }
                value.push(other);
                escaped = false;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xYz\"";

    /// The events of a body that comes in pieces of this size; data that follows data is one.
    fn split(body: &[u8], size: usize) -> Result<Vec<Event>, Broken> {
        let mut splitter = Splitter::of(TYPE).unwrap();
        let mut events: Vec<Event> = Vec::new();
        for piece in body.chunks(size) {
            splitter.feed(piece);
            while let Some(event) = splitter.next_event()? {
                match (events.last_mut(), event) {
                    (_, Event::End) => {
                        events.push(Event::End);
                        return Ok(events);
                    }
                    (Some(Event::Data(known)), Event::Data(more)) => {
                        *known = [&known[..], &more].concat().into()
                    }
                    (_, event) => events.push(event),
                }
            }
            assert!(splitter.buffer.len() <= HEAD + size + 100);
        }
        Ok(events)
    }

    fn part(name: &str, filename: Option<&str>, content_type: Option<&str>) -> Event {
        let own = str::to_owned;
        Event::Part(PartHead {
            name: Some(own(name)),
            filename: filename.map(own),
            content_type: content_type.map(own),
        })
    }

    #[test]
    fn parts_come_out_however_the_bytes_come_in() {
        let body = b"--xYz\r\nContent-Disposition: form-data; name=\"Category\"\r\n\r\nmedia\r\n--xYz\r\n\
            content-disposition: form-data; name=file; filename=\"a \\\"cat\\\".png\"\r\nContent-Type: image/png\r\n\r\n\
            \x89PNG\r\n--xY\r\n--not the end\r\n\r\n--xYz--\r\nepilogue";
        let expected = vec![
            part("Category", None, None),
            Event::Data(Bytes::from_static(b"media")),
            part("file", Some("a \"cat\".png"), Some("image/png")),
            Event::Data(Bytes::from_static(b"\x89PNG\r\n--xY\r\n--not the end\r\n")),
            Event::End,
        ];
        for size in 1..=body.len() {
            assert_eq!(split(body, size).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn empty_parts_preambles_and_heads() {
        let body = b"preamble\r\n--xYz\r\n\r\nplain\r\n--xYz\r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n\r\n--xYz--";
        let expected = vec![
            Event::Part(PartHead::default()),
            Event::Data(Bytes::from_static(b"plain")),
            part("e", None, None),
            Event::End,
        ];
        assert_eq!(split(body, 7).unwrap(), expected);
        // Cut off: no end is told.
        assert_eq!(split(&body[..body.len() - 3], 7).unwrap().last(), expected.get(2));
    }

    #[test]
    fn what_is_no_such_body_is_refused_within_bounds() {
        assert_eq!(split(&vec![b'x'; HEAD * 2], 1000), Err(Broken));
        assert_eq!(split(&[b"--xYz\r\nA: ".as_slice(), &vec![b'x'; HEAD * 2]].concat(), 1000), Err(Broken));
        assert_eq!(split(b"--xYz\r\nno colon\r\n\r\nx", 1000), Err(Broken));
        assert_eq!(split(b"--xYzz\r\n\r\nx", 1000), Err(Broken));
        assert_eq!(split(b"--xYz\r\nA: \xFF\r\n\r\nx", 1000), Err(Broken));
        for other in [
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ] {
            assert!(Splitter::of(other).is_none(), "{other}");
        }
        assert!(Splitter::of(&format!("multipart/form-data; boundary={}", "x".repeat(71))).is_none());
    }

    proptest! {
        /// Whatever comes in, however it is cut, tells the same, and little of it is kept.
        #[test]
        fn any_body_tells_the_same_however_it_is_cut(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("--xYz"), Just("\r\n"), Just("--"), Just("A: b"), Just("-"), Just(" "), Just("x"),
                    Just("Content-Disposition: form-data; name=\"a\"; filename=\"b"), Just("\""), Just("\r"),
                ],
                0..60,
            ),
            size in 1usize..40,
        ) {
            let body = words.concat();
            prop_assert_eq!(split(body.as_bytes(), size), split(body.as_bytes(), body.len().max(1)));
        }
    }
}
