//! The phones, what is on them, and who is told about it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;
use trunkline_adapter::Address;
use trunkline_adapter::simulator::{ShownTyping, Viewer};

use super::{Direction, Fault, Message, State};

/// Phones kept. A new one beyond that is refused.
const MOST_PHONES: usize = 1_000;
/// Messages kept over all phones. The oldest is forgotten for a new one.
const MOST_MESSAGES: usize = 4_000;
/// Proxy addresses kept of one phone.
const MOST_PROXIES: usize = 50;
/// Events a slow watcher may be behind.
const BEHIND: usize = 1_024;

/// A simulated phone, or a person on Messenger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Phone {
    /// How it is reached.
    pub address: Address,
    /// The name its owner shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The proxy addresses it has written to or heard from.
    pub proxies: Vec<Address>,
}

/// What watchers are told.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A message is new, or has come further.
    Message(Message),
    /// A phone shows that somebody is writing to it.
    Typing { phone: Address, proxy: Address },
    /// A switch was turned.
    Fault { adapter: String, fault: Option<Fault> },
    /// What the page shows besides the phones changed.
    Bridge,
}

/// There are too many phones already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Default)]
struct Kept {
    phones: BTreeMap<Address, Phone>,
    /// By growing serial.
    messages: VecDeque<Message>,
}

/// All phones.
pub(super) struct Phones {
    kept: Mutex<Kept>,
    events: broadcast::Sender<Event>,
}

impl Phones {
    pub(super) fn none() -> Phones {
        Phones { kept: Mutex::default(), events: broadcast::Sender::new(BEHIND) }
    }

    /// Nothing in here panics while it holds the lock, so a poisoned one still guards whole values.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure the phone is there and knows the proxy address.
    pub(super) fn meet(&self, address: &Address, proxy: &Address, name: Option<String>) -> Result<(), Full> {
        let mut kept = self.kept();
        if !kept.phones.contains_key(address) && kept.phones.len() >= MOST_PHONES {
            return Err(Full);
        }
        let phone = kept.phones.entry(address.clone()).or_insert_with(|| Phone {
            address: address.clone(),
            name: None,
            proxies: Vec::new(),
        });
        if name.is_some() {
            phone.name = name;
        }
        if !phone.proxies.contains(proxy) && phone.proxies.len() < MOST_PROXIES {
            phone.proxies.push(proxy.clone());
        }
        Ok(())
    }

    /// Puts a message on its phone and tells the watchers. Two providers may come here in another order than they took
    /// their serials.
    pub(super) fn put(&self, message: Message) {
        let mut kept = self.kept();
        if kept.messages.len() >= MOST_MESSAGES {
            kept.messages.pop_front();
        }
        let place = kept.messages.partition_point(|other| other.serial < message.serial);
        kept.messages.insert(place, message.clone());
        drop(kept);
        self.tell(Event::Message(message));
    }

    /// Notes how far a message has come; never backwards.
    pub(super) fn advance(&self, serial: u64, state: State) {
        let mut kept = self.kept();
        let Ok(place) = kept.messages.binary_search_by_key(&serial, |message| message.serial) else { return };
        let Some(message) = kept.messages.get_mut(place) else { return };
        if message.state >= state {
            return;
        }
        message.state = state;
        let message = message.clone();
        drop(kept);
        self.tell(Event::Message(message));
    }

    /// Shows that somebody is writing to a phone. Where that is an answer to a message, the message was read, and whatever
    /// was typed there before it.
    pub(super) fn show_typing(&self, shown: &ShownTyping) {
        let mut kept = self.kept();
        let (phone, answered) = match &shown.to {
            Viewer::Person(person) => (person.clone(), None),
            Viewer::WriterOf(id) => {
                let of = |message: &&Message| message.id == *id && message.direction == Direction::Typed;
                let Some(message) = kept.messages.iter().rev().find(of) else { return };
                (message.phone.clone(), Some(message.serial))
            }
        };
        let mut read = Vec::new();
        for message in &mut kept.messages {
            let here = message.phone == phone && message.direction == Direction::Typed;
            let before = answered.is_some_and(|answered| message.serial <= answered);
            if here && before && message.state < State::Read {
                message.state = State::Read;
                read.push(message.clone());
            }
        }
        drop(kept);
        read.into_iter().for_each(|message| self.tell(Event::Message(message)));
        self.tell(Event::Typing { phone, proxy: shown.from.clone() });
    }

    pub(super) fn phones(&self) -> Vec<Phone> {
        self.kept().phones.values().cloned().collect()
    }

    pub(super) fn phone(&self, address: &Address) -> Option<Phone> {
        self.kept().phones.get(address).cloned()
    }

    /// The first message that fits, oldest first.
    pub(super) fn find(&self, fits: impl Fn(&Message) -> bool) -> Option<Message> {
        self.kept().messages.iter().find(|message| fits(message)).cloned()
    }

    /// What is on a phone, oldest first.
    pub(super) fn messages(&self, phone: &Address) -> Vec<Message> {
        self.kept().messages.iter().filter(|message| message.phone == *phone).cloned().collect()
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody watching is no error.
        let _ = self.events.send(event);
    }

    pub(super) fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits for a message that fits, one that is already there included.
    pub(super) async fn wait_for(&self, fits: impl Fn(&Message) -> bool) -> Message {
        // Watching begins before looking, so that nothing slips between the two.
        let mut events = self.watch();
        let mut found = self.find(&fits);
        loop {
            if let Some(message) = found {
                return message;
            }
            found = match events.recv().await {
                Ok(Event::Message(message)) => Some(message).filter(&fits),
                Ok(_) => None,
                // Missed some, or nobody tells any more, which cannot be while `self` lives: look again.
                Err(_) => self.find(&fits),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use trunkline_adapter::Timestamp;

    use super::super::Direction;
    use super::*;

    fn message(serial: u64) -> Message {
        Message {
            serial,
            id: format!("id-{serial}"),
            phone: Address::parse("+15550100001").unwrap(),
            proxy: Address::parse("+15550001111").unwrap(),
            adapter: "sms".to_owned(),
            direction: Direction::Received,
            media: Vec::new(),
            text: format!("text {serial}"),
            at: Timestamp(0),
            state: State::Sending,
        }
    }

    #[test]
    fn the_oldest_messages_are_forgotten() {
        let phones = Phones::none();
        for serial in 0..=MOST_MESSAGES as u64 {
            phones.put(message(serial));
        }
        let kept = phones.messages(&message(0).phone);
        assert_eq!(kept.len(), MOST_MESSAGES);
        assert_eq!(kept[0].serial, 1);
    }

    #[test]
    fn phones_are_bounded_and_known_ones_always_fit() {
        let phones = Phones::none();
        let proxy = Address::parse("+15550001111").unwrap();
        for number in 0..MOST_PHONES {
            let address = Address::parse(&format!("messenger:{number}")).unwrap();
            assert_eq!(phones.meet(&address, &proxy, None), Ok(()));
        }
        let one_more = Address::parse("messenger:one-more").unwrap();
        assert_eq!(phones.meet(&one_more, &proxy, None), Err(Full));
        assert_eq!(phones.meet(&Address::parse("messenger:7").unwrap(), &proxy, None), Ok(()));
    }

    #[tokio::test]
    async fn a_state_never_goes_back_and_waiters_see_what_was_there_before() {
        let phones = Phones::none();
        phones.put(message(7));
        phones.advance(7, State::Read);
        phones.advance(7, State::Sent);
        phones.advance(8, State::Sent);
        let found = phones.wait_for(|message| message.state == State::Read).await;
        assert_eq!(found.serial, 7);
    }
}
