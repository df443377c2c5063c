//! The TwiML that an application answers with: the messages to send back, and nothing else of it.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Most messages of one answer.
const MOST: usize = 10;
/// Most characters of one message.
const LONGEST: usize = 32 * 1024;

/// A message to be sent back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub text: String,
    /// Somebody else than who wrote.
    pub to: Option<String>,
    /// Another address of ours than the one written to.
    pub from: Option<String>,
}

/// Why an answer says nothing to us. The message it answers has been taken all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TwimlError {
    #[error("the answer is neither TwiML nor plain text")]
    Type,
    #[error("the answer is not UTF-8")]
    Encoding,
    #[error("the TwiML cannot be read: {0}")]
    Xml(String),
    #[error("the TwiML does not begin with Response")]
    Root,
    #[error("the answer has more than {MOST} messages, or one longer than {LONGEST} characters")]
    TooMuch,
}

/// Reads an answer. Plain text is one message, nothing is none.
pub(super) fn replies(content_type: &str, body: &[u8]) -> Result<Vec<Reply>, TwimlError> {
    let text = std::str::from_utf8(body).map_err(|_| TwimlError::Encoding)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/xml" | "application/xml" | "text/html" | "" => twiml(text),
        "text/plain" => {
            let plain = vec![Reply { text: text.to_owned(), ..Reply::default() }];
            if text.len() > LONGEST { Err(TwimlError::TooMuch) } else { Ok(plain) }
        }
        _ => Err(TwimlError::Type),
    }
}

fn twiml(text: &str) -> Result<Vec<Reply>, TwimlError> {
    let xml = |error: &dyn std::fmt::Display| TwimlError::Xml(error.to_string());
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Vec<u8>> = Vec::new();
    let (mut replies, mut reply) = (Vec::new(), None::<Reply>);
    loop {
        let event = reader.read_event().map_err(|error| xml(&error))?;
        match event {
            Event::Start(start) => {
                open.push(start.name().as_ref().to_vec());
                begin(&open, &start, &mut reply)?;
            }
            Event::Empty(start) => {
                open.push(start.name().as_ref().to_vec());
                begin(&open, &start, &mut reply)?;
                end(&mut open, &mut reply, &mut replies)?;
            }
            // The reader has held its name against the beginning's.
            Event::End(_) => end(&mut open, &mut reply, &mut replies)?,
            Event::Text(piece) => said(&open, &mut reply, &piece.decode().map_err(|error| xml(&error))?)?,
            Event::CData(piece) => said(&open, &mut reply, &piece.decode().map_err(|error| xml(&error))?)?,
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| xml(&error))?;
                let name = name.decode().map_err(|error| xml(&error))?;
                let named = quick_xml::escape::resolve_predefined_entity(&name);
                let character = character.map(String::from).or(named.map(str::to_owned));
                said(&open, &mut reply, &character.ok_or_else(|| xml(&"an unknown entity"))?)?;
            }
            // Entities of the sender's own are no part of TwiML.
            Event::DocType(_) => return Err(xml(&"a document type")),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => return Ok(replies),
            Event::Eof => return Err(xml(&"it ends early")),
        }
    }
}

/// `<Response>` is the root, and `<Message>` (or, as it was once called, `<Sms>`) stands in it.
fn begin(open: &[Vec<u8>], start: &BytesStart<'_>, reply: &mut Option<Reply>) -> Result<(), TwimlError> {
    if open.first().is_some_and(|root| root != b"Response") {
        return Err(TwimlError::Root);
    }
    if open.len() != 2 || !matches!(open[1].as_slice(), b"Message" | b"Sms") {
        return Ok(());
    }
    let mut new = Reply::default();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| TwimlError::Xml(error.to_string()))?;
        let place = match attribute.key.as_ref() {
            b"to" => &mut new.to,
            b"from" => &mut new.from,
            _ => continue,
        };
        let value = std::str::from_utf8(&attribute.value).map_err(|_| TwimlError::Encoding)?;
        let value = quick_xml::escape::unescape(value).map_err(|error| TwimlError::Xml(error.to_string()))?;
        *place = Some(value.into_owned());
    }
    *reply = Some(new);
    Ok(())
}

fn end(
    open: &mut Vec<Vec<u8>>,
    reply: &mut Option<Reply>,
    replies: &mut Vec<Reply>,
) -> Result<(), TwimlError> {
    open.pop();
    if open.len() == 1
        && let Some(mut done) = reply.take()
    {
        done.text = done.text.trim().to_owned();
        if replies.len() == MOST {
            return Err(TwimlError::TooMuch);
        }
        // One without text would have been a picture.
        replies.extend((!done.text.is_empty()).then_some(done));
    }
    Ok(())
}

/// Text counts in a message itself and in its `<Body>`.
fn said(open: &[Vec<u8>], reply: &mut Option<Reply>, piece: &str) -> Result<(), TwimlError> {
    if open.is_empty() && !piece.trim().is_empty() {
        return Err(TwimlError::Root);
    }
    let body = open.len() == 2 || (open.len() == 3 && open[2] == b"Body");
    if let (true, Some(reply)) = (body, reply) {
        if reply.text.len() + piece.len() > LONGEST {
            return Err(TwimlError::TooMuch);
        }
        reply.text.push_str(piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn texts(body: &str) -> Vec<String> {
        let read = replies("text/xml; charset=utf-8", body.as_bytes()).unwrap();
        read.into_iter().map(|reply| reply.text).collect()
    }

    #[test]
    fn messages_in_all_their_shapes() {
        assert_eq!(
            texts(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>\n  <Message>Hi &amp; bye &#x2713;&#33;</Message>
                 <Message><Body> two </Body><Media>https://a.example/x.png</Media></Message>
                 <!-- no --><Redirect>https://a.example</Redirect><Sms><![CDATA[<3]]></Sms></Response>"
            ),
            ["Hi & bye ✓!", "two", "<3"]
        );
        for nothing in ["<Response/>", "<Response></Response>", "<Response><Message/></Response>", "", " \n"]
        {
            assert!(texts(nothing).is_empty(), "{nothing}");
        }
        let elsewhere = "<Response><Message to=\"+1555&#48;\" from='whatsapp:+1'>x</Message></Response>";
        let expected = Reply {
            text: "x".to_owned(),
            to: Some("+15550".to_owned()),
            from: Some("whatsapp:+1".to_owned()),
        };
        assert_eq!(replies("application/xml", elsewhere.as_bytes()).unwrap(), [expected]);
        assert_eq!(replies("Text/Plain", b"thanks").unwrap()[0].text, "thanks");
    }

    #[test]
    fn what_is_no_answer() {
        for broken in [
            "<Response><Message>x</Response>",
            "<Response><Message>x</Message>",
            "<Responses/>",
            "<Message>x</Message>",
            "hello",
            "<Response><Message>&nbsp;</Message></Response>",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><Response><Message>&a;</Message></Response>",
        ] {
            assert!(replies("text/xml", broken.as_bytes()).is_err(), "{broken}");
        }
        assert_eq!(replies("application/json", b"{}"), Err(TwimlError::Type));
        assert_eq!(replies("text/xml", b"\xff"), Err(TwimlError::Encoding));
        let many = format!("<Response>{}</Response>", "<Message>x</Message>".repeat(MOST + 1));
        assert_eq!(replies("text/xml", many.as_bytes()), Err(TwimlError::TooMuch));
        let long = format!("<Response><Message>{}</Message></Response>", "x".repeat(LONGEST + 1));
        assert_eq!(replies("text/xml", long.as_bytes()), Err(TwimlError::TooMuch));
        assert_eq!(replies("text/plain", "x".repeat(LONGEST + 1).as_bytes()), Err(TwimlError::TooMuch));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = replies("text/xml", &bytes);
        }

        #[test]
        fn any_text_comes_back(text in "[^\\x00-\\x1f]{1,40}") {
            let escaped = quick_xml::escape::escape(&text);
            let read = texts(&format!("<Response><Message>{escaped}</Message></Response>"));
            prop_assert_eq!(read.concat(), text.trim());
        }
    }
}
