//! A conversation and what its people do, whether or not there is a daemon to listen.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use trunkline_adapter::simulator::SignedRequest;

use crate::book::{Book, id_of};
use crate::harness::dice::Dice;
use crate::harness::{Phone, Road};

/// Somebody in a conversation.
#[derive(Clone)]
pub struct Person {
    pub address: String,
    /// Their participant's SID.
    pub sid: String,
    pub phone: Phone,
}

/// A conversation.
#[derive(Clone)]
pub struct Talk {
    pub sid: String,
    pub people: Vec<Person>,
}

/// Between two messages of one writer.
const PAUSE: std::ops::Range<u64> = 0..25;

impl Talk {
    /// Makes a conversation of these phones, however often the daemon is gone meanwhile.
    pub async fn begin(road: &Road, phones: Vec<(Phone, &'static str)>) -> Talk {
        let made =
            road.call(Method::POST, "/v1/Conversations", &[("FriendlyName", "a talk")]).await.expect(201);
        let sid = made["sid"].as_str().unwrap().to_owned();
        let mut people = Vec::new();
        for (phone, proxy) in phones {
            let participant = join(road, &sid, &phone.from, proxy).await;
            people.push(Person { address: phone.from.clone(), sid: participant, phone });
        }
        Talk { sid, people }
    }

    pub fn path(&self) -> String {
        format!("/v1/Conversations/{}", self.sid)
    }

    /// A caller of the API writes. Without an answer nobody knows, and nobody asks again.
    pub async fn post(&self, road: &Road, book: &Book) -> Option<String> {
        book.tries();
        let id = format!("m{}", book.next());
        let text = format!("{id} from the desk");
        let fields = [("Author", "desk"), ("Body", text.as_str())];
        let answer = road.once(Method::POST, &format!("{}/Messages", self.path()), &fields).await?;
        if answer.status != 201 {
            return None;
        }
        book.acknowledge(&self.sid, &id);
        Some(id)
    }

    /// Somebody writes, and their provider repeats it until it is answered. Gives the request, for later repeats.
    pub async fn write(&self, road: &Road, book: &Book, person: &Person, text: &str) -> SignedRequest {
        self.deliver(road, book, request(book, person, text), text).await
    }

    /// Somebody sends a photo with these words.
    pub async fn show(&self, road: &Road, book: &Book, person: &Person, text: &str) -> SignedRequest {
        self.deliver(road, book, request_with_photo(book, person, text), text).await
    }

    async fn deliver(&self, road: &Road, book: &Book, signed: SignedRequest, text: &str) -> SignedRequest {
        book.tries();
        road.deliver(&signed).await;
        book.acknowledge(&self.sid, id_of(text));
        signed
    }

    /// So many messages by anybody, some of which the provider repeats although they were answered; some are photos.
    pub async fn chat(
        &self,
        road: &Road,
        book: &Book,
        dice: &mut Dice,
        messages: usize,
    ) -> Vec<SignedRequest> {
        self.go_on(road, book, dice, messages, true).await
    }

    /// As [`Talk::chat`], without photos.
    pub async fn chat_in_words(
        &self,
        road: &Road,
        book: &Book,
        dice: &mut Dice,
        messages: usize,
    ) -> Vec<SignedRequest> {
        self.go_on(road, book, dice, messages, false).await
    }

    async fn go_on(
        &self,
        road: &Road,
        book: &Book,
        dice: &mut Dice,
        messages: usize,
        photos: bool,
    ) -> Vec<SignedRequest> {
        let mut delivered = Vec::new();
        for _ in 0..messages {
            let writer = usize::try_from(dice.within(0..self.people.len() as u64 + 1)).unwrap();
            match self.people.get(writer) {
                None => drop(self.post(road, book).await),
                Some(person) => {
                    let text = format!("m{} hello", book.next());
                    let signed = if photos && dice.once_in(3) {
                        self.show(road, book, person, &text).await
                    } else {
                        self.write(road, book, person, &text).await
                    };
                    delivered.push(signed);
                }
            }
            if dice.once_in(4)
                && let Some(earlier) = delivered.last()
            {
                road.deliver(earlier).await;
            }
            tokio::time::sleep(dice.millis(PAUSE)).await;
        }
        delivered
    }
}

/// A signed webhook of a new message.
pub fn request(book: &Book, person: &Person, text: &str) -> SignedRequest {
    // Far from the ids of sends.
    let id = person.phone.simulator.message_id((1 << 60) + book.next());
    person.phone.text(&id, text)
}

/// As [`request`], with a photo that the text is the caption of.
pub fn request_with_photo(book: &Book, person: &Person, text: &str) -> SignedRequest {
    let id = person.phone.simulator.message_id((1 << 60) + book.next());
    person.phone.with_files(&id, text, &[("image/jpeg", "photo.jpg", PHOTO)])
}

const PHOTO: &[u8] = include_bytes!("../it/media/photo.jpg");

/// A long text of words that each name their message.
pub fn long_text(id: &str, bytes: usize) -> String {
    let mut text = id.to_owned();
    for word in 1.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!(" {id}.{word}"));
    }
    text
}

/// Adds somebody; a lost answer is found in the list.
async fn join(road: &Road, conversation: &str, address: &str, proxy: &str) -> String {
    let path = format!("/v1/Conversations/{conversation}/Participants");
    let fields = [("MessagingBinding.Address", address), ("MessagingBinding.ProxyAddress", proxy)];
    let answer = road.call(Method::POST, &path, &fields).await;
    let participant = match answer.status {
        201 => answer.json,
        409 => {
            let list = road.call(Method::GET, &path, &[]).await.expect(200);
            let all = list["participants"].as_array().unwrap();
            let own = all.iter().find(|found| found["messaging_binding"]["address"] == address);
            own.unwrap_or_else(|| panic!("{address} is taken: {} {list}", answer.text)).clone()
        }
        _ => panic!("{} {}", answer.status, answer.text),
    };
    participant["sid"].as_str().unwrap().to_owned()
}

/// Everybody's way to the daemon and to the book.
#[derive(Clone)]
pub struct Outside {
    pub road: Road,
    pub book: Arc<Book>,
}

/// A moment in which others get on.
pub async fn moment(dice: &mut Dice, range: std::ops::Range<u64>) {
    let pause: Duration = dice.millis(range);
    tokio::time::sleep(pause).await;
}
