//! The frame: one message of the WebSocket, as a length, a JSON header and a payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What every frame begins with.
const BEGINNING: &[u8] = b"TWILSOCK V3.0 ";
const LINE_END: &[u8] = b"\r\n";
/// The longest header: a token, a path and a query are the long parts of one.
const LONGEST_HEADER: usize = 64 * 1024;

/// A frame that is all there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// JSON, not looked at yet.
    pub header: Bytes,
    /// Whatever the header says it is.
    pub payload: Bytes,
}

/// Why some bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin as one, or its length is no number.
    Beginning,
    /// The header is longer than there are bytes, or than any should be.
    Length,
    /// A line does not end where the length says.
    LineEnd,
}

/// Takes a message apart. What follows the header is the payload; whether it is as long as the header says is for who
/// reads the header.
///
/// # Errors
/// When it is no frame.
pub fn decode(message: Bytes) -> Result<Frame, Malformed> {
    let mut rest = message;
    if !rest.starts_with(BEGINNING) {
        return Err(Malformed::Beginning);
    }
    rest.advance(BEGINNING.len());
    let digits = rest.iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
    // Only digits, so neither a sign nor a space; seven of them fit whatever they are.
    let number = std::str::from_utf8(&rest[..digits]).ok().filter(|digits| digits.len() < 8);
    let length: usize = number.and_then(|number| number.parse().ok()).ok_or(Malformed::Beginning)?;
    rest.advance(digits);
    end_line(&mut rest)?;
    if length > LONGEST_HEADER || length > rest.len() {
        return Err(Malformed::Length);
    }
    let header = rest.split_to(length);
    end_line(&mut rest)?;
    Ok(Frame { header, payload: rest })
}

fn end_line(rest: &mut Bytes) -> Result<(), Malformed> {
    if !rest.starts_with(LINE_END) {
        return Err(Malformed::LineEnd);
    }
    rest.advance(LINE_END.len());
    Ok(())
}

/// Puts a message together.
pub fn encode(header: &[u8], payload: &[u8]) -> Bytes {
    let length = header.len().to_string();
    let whole = BEGINNING.len() + length.len() + header.len() + payload.len() + 2 * LINE_END.len();
    let mut message = BytesMut::with_capacity(whole);
    for part in [BEGINNING, length.as_bytes(), LINE_END, header, LINE_END, payload] {
        message.put_slice(part);
    }
    message.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Result<(String, String), Malformed> {
        let frame = decode(Bytes::copy_from_slice(text.as_bytes()))?;
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(frame.header), text(frame.payload)))
    }

    #[test]
    fn the_length_counts_bytes() {
        assert_eq!(of("TWILSOCK V3.0 4\r\n😀\r\n"), Ok(("😀".into(), String::new())));
        assert_eq!(of("TWILSOCK V3.0 2\r\n{}\r\n\r\nx"), Ok(("{}".into(), "\r\nx".into())));
        assert_eq!(of("TWILSOCK V3.0 0\r\n\r\n"), Ok((String::new(), String::new())));
    }

    #[test]
    fn what_is_no_frame() {
        for (text, why) in [
            ("", Malformed::Beginning),
            ("TWILSOCK V3.0", Malformed::Beginning),
            ("TWILSOCK V4.0 2\r\n{}\r\n", Malformed::Beginning),
            ("TWILSOCK V3.0 \r\n{}\r\n", Malformed::Beginning),
            ("TWILSOCK V3.0 +2\r\n{}\r\n", Malformed::Beginning),
            ("TWILSOCK V3.0 -2\r\n{}\r\n", Malformed::Beginning),
            ("TWILSOCK V3.0 99999999999999999999\r\n{}\r\n", Malformed::Beginning),
            ("TWILSOCK V3.0 9999999\r\n{}\r\n", Malformed::Length),
            ("TWILSOCK V3.0 5\r\n{}\r\n", Malformed::Length),
            ("TWILSOCK V3.0 2\n{}\r\n", Malformed::LineEnd),
            ("TWILSOCK V3.0 1\r\n{}\r\n", Malformed::LineEnd),
            ("TWILSOCK V3.0 2\r\n{}", Malformed::LineEnd),
            ("TWILSOCK V3.0 2", Malformed::LineEnd),
        ] {
            assert_eq!(of(text), Err(why), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(header: Vec<u8>, payload: Vec<u8>) {
            let frame = decode(encode(&header, &payload)).unwrap();
            prop_assert_eq!((&frame.header[..], &frame.payload[..]), (&header[..], &payload[..]));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, begun: bool) {
            let bytes = if begun { [BEGINNING, &bytes].concat() } else { bytes };
            if let Ok(frame) = decode(Bytes::from(bytes.clone())) {
                // Leading zeros aside, it is what we would have written.
                prop_assert!(frame.header.len() + frame.payload.len() < bytes.len());
            }
        }
    }
}
