//! The script of the demo: three people with phones and one in the browser meet in one conversation, each says something,
//! the others get it.
//!
//! The person in the browser speaks by the REST API here, as whoever they are to the daemon: nobody has opened the page yet,
//! and what they write goes the same way as from there. They get everything that is in the conversation.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use trunkline_adapter::Channel;

use super::demo_error::{DemoError, Late};
use super::demo_rest::{Rest, text};
use super::demo_setting::{Person, Setting, VISITOR, VISITORS_LINE};
use crate::simulator::{Direction, Host, Message, State};

/// How long one line of the script may take, from the key press to the last receipt.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at receipts. A customer without event webhooks can only look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Somebody in the conversation.
pub(super) struct Participant {
    pub(super) sid: String,
    person: Person,
}

/// The conversation of the script.
pub(super) struct Talk {
    pub(super) sid: String,
    participants: Vec<Participant>,
}

fn channel(person: &Person) -> &'static str {
    match person.address.channel() {
        Channel::Sms => "SMS",
        Channel::Whatsapp => "WhatsApp",
        Channel::Messenger => "Messenger",
    }
}

/// Makes the conversation and its participants over REST.
pub(super) async fn invite(
    rest: &Rest,
    setting: &Setting,
    out: &mut (dyn Write + Send),
) -> Result<Talk, DemoError> {
    let made = rest.post("/v1/Conversations", &[("FriendlyName", "Three channels and a browser")]).await?;
    let sid = text(&made, "sid")?;
    writeln!(out, "Conversation {sid}")?;
    let mut participants = Vec::new();
    for person in &setting.phones {
        let fields = [
            ("MessagingBinding.Address", person.address.as_str()),
            ("MessagingBinding.ProxyAddress", person.proxy.as_str()),
        ];
        let made = rest.post(&format!("/v1/Conversations/{sid}/Participants"), &fields).await?;
        let participant = Participant { sid: text(&made, "sid")?, person: person.clone() };
        let (name, channel) = (person.name, channel(person));
        writeln!(
            out,
            "  {}  {name:<4} {channel:<9} {} by {}",
            participant.sid, person.address, person.proxy
        )?;
        participants.push(participant);
    }
    let (name, identity) = VISITOR;
    let path = format!("/v1/Conversations/{sid}/Participants");
    let made = rest.post(&path, &[("Identity", identity)]).await?;
    writeln!(out, "  {}  {name:<4} browser   {identity}", text(&made, "sid")?)?;
    out.flush()?;
    Ok(Talk { sid, participants })
}

/// Lets everybody say their line, and waits for each hop.
pub(super) async fn talk(
    rest: &Rest,
    host: &Host,
    talk: &Talk,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    for author in &talk.participants {
        say(rest, host, talk, author, out).await?;
    }
    say_in_the_browser(rest, host, talk, out).await?;
    writeln!(out, "\nEvery message reached everybody, and every receipt says so.")?;
    out.flush()?;
    Ok(())
}

async fn say(
    rest: &Rest,
    host: &Host,
    talk: &Talk,
    author: &Participant,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let Person { name, address, proxy, line, photo, .. } = &author.person;
    let with = if photo.is_some() { " with a photo" } else { "" };
    writeln!(out, "\n{name} writes by {}{with}: {line}", channel(&author.person))?;
    out.flush()?;
    let deadline = Instant::now() + DEADLINE;
    let typed = match photo {
        Some(photo) => host.write_with_photo(address, proxy, line, ("image/jpeg", Bytes::from_static(photo))),
        None => host.write(address, proxy, line),
    };
    let typed = typed.map_err(|error| late(format!("{name} could not write ({error})")))?;
    let taken = |message: &Message| message.serial == typed.serial && message.state != State::Sending;
    match timeout_at(deadline, host.wait_for(taken)).await {
        Ok(message) if message.state == State::Sent => {}
        _ => return Err(late(format!("the daemon did not take what {name} wrote"))),
    }
    let message = stored(rest, talk, line, deadline).await?;
    writeln!(out, "  in   {}", typed.id)?;
    kept(&message, out)?;
    writeln!(out, "  out  {:<4} browser   index {}", VISITOR.0, message["index"])?;
    let said = Said { sid: text(&message, "sid")?, line, after: photo.map(|_| typed.serial) };
    let readers = talk.participants.iter().filter(|participant| participant.sid != author.sid);
    arrive(rest, host, talk, (&said, readers.collect()), deadline, out).await
}

async fn say_in_the_browser(
    rest: &Rest,
    host: &Host,
    talk: &Talk,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let ((name, identity), line) = (VISITOR, VISITORS_LINE);
    writeln!(out, "\n{name} writes in the browser: {line}")?;
    out.flush()?;
    let deadline = Instant::now() + DEADLINE;
    let path = format!("/v1/Conversations/{}/Messages", talk.sid);
    let message = rest.post(&path, &[("Author", identity), ("Body", line)]).await?;
    kept(&message, out)?;
    let said = Said { sid: text(&message, "sid")?, line, after: None };
    arrive(rest, host, talk, (&said, talk.participants.iter().collect()), deadline, out).await
}

fn late(what: String) -> DemoError {
    DemoError::Late(Late { what, seconds: DEADLINE.as_secs() })
}

/// Where a message stands in the conversation.
fn kept(message: &Value, out: &mut (dyn Write + Send)) -> Result<(), DemoError> {
    let author = message["author"].as_str().unwrap_or("?");
    writeln!(out, "  kept {} index {}, author {author}", text(message, "sid")?, message["index"])?;
    Ok(())
}

/// A line of the script.
struct Said<'a> {
    sid: String,
    line: &'a str,
    /// It has a photo, which comes to phones after this serial.
    after: Option<u64>,
}

/// Waits until a line has come to its readers, and their receipts say so.
async fn arrive(
    rest: &Rest,
    host: &Host,
    talk: &Talk,
    (said, readers): (&Said<'_>, Vec<&Participant>),
    deadline: Instant,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let Said { sid, line, after } = said;
    for reader in readers {
        let to = &reader.person;
        let seen = |message: &Message| {
            let here = message.phone == to.address && message.direction == Direction::Received;
            here && message.text == **line && message.state >= to.last
        };
        let pictured = |message: &Message| {
            let here = message.phone == to.address && message.direction == Direction::Received;
            here && after.is_some_and(|after| message.serial > after)
                && !message.media.is_empty()
                && message.state >= to.last
        };
        let arrived = async {
            let got = host.wait_for(seen).await;
            if after.is_some() {
                // Where a channel shows no text beside a file, the photo is a message of its own.
                host.wait_for(pictured).await;
            }
            got
        };
        let Ok(got) = timeout_at(deadline, arrived).await else {
            let status =
                receipt(rest, talk, sid, reader).await?.map_or_else(|| "not there".to_owned(), shown);
            let (name, channel) = (to.name, channel(to));
            return Err(late(format!(
                "the message did not reach {name} by {channel} (its receipt is {status})"
            )));
        };
        let receipt = settled(rest, talk, sid, reader, deadline).await?;
        writeln!(out, "  out  {:<4} {:<9} {}", to.name, channel(to), got.id)?;
        writeln!(out, "       receipt {}", shown(receipt))?;
        out.flush()?;
    }
    Ok(())
}

/// The message as the REST API shows it: acknowledged means stored, so it is there by now, or as soon as its photo is.
async fn stored(rest: &Rest, talk: &Talk, line: &str, deadline: Instant) -> Result<Value, DemoError> {
    let path = format!("/v1/Conversations/{}/Messages?Order=desc&PageSize=20", talk.sid);
    loop {
        let page = rest.get(&path).await?;
        let mut messages = page["messages"].as_array().into_iter().flatten();
        match messages.find(|message| message["body"] == line).cloned() {
            Some(message) => return Ok(message),
            None if Instant::now() >= deadline => {
                let what = "the message was acknowledged and did not join the conversation".to_owned();
                return Err(late(what));
            }
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// One reader's receipt, if there is one yet.
async fn receipt(
    rest: &Rest,
    talk: &Talk,
    message: &str,
    reader: &Participant,
) -> Result<Option<Value>, DemoError> {
    let page = rest.get(&format!("/v1/Conversations/{}/Messages/{message}/Receipts", talk.sid)).await?;
    let mut receipts = page["delivery_receipts"].as_array().into_iter().flatten();
    Ok(receipts.find(|receipt| receipt["participant_sid"] == reader.sid.as_str()).cloned())
}

/// The receipt once it shows the last status that the reader's provider tells.
async fn settled(
    rest: &Rest,
    talk: &Talk,
    message: &str,
    reader: &Participant,
    deadline: Instant,
) -> Result<Value, DemoError> {
    let last = if reader.person.last == State::Read { "read" } else { "delivered" };
    loop {
        let receipt = receipt(rest, talk, message, reader).await?;
        match receipt {
            Some(receipt) if receipt["status"] == last => return Ok(receipt),
            receipt if Instant::now() >= deadline => {
                let status = receipt.map_or_else(|| "not there".to_owned(), shown);
                let what =
                    format!("the receipt of {} is {status}, and did not become {last}", reader.person.name);
                return Err(late(what));
            }
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

fn shown(receipt: Value) -> String {
    let sid = receipt["sid"].as_str().unwrap_or("?");
    // Without a status the message has not left yet.
    format!("{sid} {}", receipt["status"].as_str().unwrap_or("waiting"))
}
