//! Who is shown that somebody is writing, and who hears of it, on a relay over the memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::sync::Mutex;

use trunkline_adapter::{Inbound, Person, Signal, TypingIndicator};

use super::*;
use crate::model::{ConversationSid, State};
use crate::relay::command::{ConversationChange, Who};
use crate::relay::kit::{House, NOON, address, ours, phone, wrote};

const WHATSAPP: &str = "whatsapp:+12025550000";
const PAGE: &str = "messenger:1000";

#[derive(Default)]
struct Shown {
    tired: Mutex<HashSet<Address>>,
    all: Mutex<Vec<TypingIndicator>>,
}

impl Indicators for Shown {
    fn wanted(&self, proxy: &Address, to: &Address) -> bool {
        proxy.channel() != trunkline_adapter::Channel::Sms && !self.tired.lock().unwrap().contains(to)
    }

    fn show(&self, indicator: TypingIndicator) {
        self.all.lock().unwrap().push(indicator);
    }
}

impl Shown {
    /// Whom it was shown to since the last look, and by which message.
    fn take(&self) -> Vec<(String, String)> {
        let mut all = std::mem::take(&mut *self.all.lock().unwrap());
        all.sort_by(|one, other| one.to.cmp(&other.to));
        all.into_iter().map(|one| (one.to.to_string(), one.answers)).collect()
    }
}

fn pair(to: &str, answers: &str) -> (String, String) {
    (to.to_owned(), answers.to_owned())
}

async fn shown_in(house: &House, conversation: &ConversationSid) {
    house.relay.show_typing(&house.account, &*house.state(conversation).await).await.unwrap();
}

#[tokio::test]
async fn people_are_shown_it_by_their_own_last_message() {
    let house = House::new().await;
    let shown = Arc::new(Shown::default());
    house.relay.show_typing_through(shown.clone());
    let conversation = house.talk(1, &[1]).await;
    let (bo, cleo) = (address("whatsapp:+13035550001"), address("messenger:7"));
    house.bind(&conversation, &address(WHATSAPP), &bo).await.unwrap();
    house.bind(&conversation, &address(PAGE), &cleo).await.unwrap();
    shown_in(&house, &conversation).await;
    assert_eq!(shown.take(), [], "nobody has written yet");

    let said = |id: &str, from: &Address, to: &str| wrote(id, Person::new(from.clone()), address(to), id);
    house.take(vec![said("w1", &bo, WHATSAPP), said("w2", &bo, WHATSAPP), said("m1", &cleo, PAGE)]).await;
    for number in 0..60 {
        house.post(&conversation, &number.to_string()).await;
    }
    shown_in(&house, &conversation).await;
    assert_eq!(shown.take(), [pair(bo.as_str(), "w2"), pair(cleo.as_str(), "m1")]);
    shown.tired.lock().unwrap().insert(cleo.clone());
    shown_in(&house, &conversation).await;
    assert_eq!(shown.take(), [pair(bo.as_str(), "w2")]);
    for number in 0..150 {
        house.post(&conversation, &number.to_string()).await;
    }
    shown_in(&house, &conversation).await;
    assert_eq!(shown.take(), [], "too long ago to be about to be answered");

    house.take(vec![said("w3", &bo, WHATSAPP)]).await;
    let closed = ConversationChange { state: Some(State::Closed), ..ConversationChange::default() };
    let name = conversation.as_str();
    let cause = crate::announce::Cause::api(false);
    house.relay.update_conversation(&house.account, &house.service, name, closed, cause).await.unwrap();
    shown_in(&house, &conversation).await;
    assert_eq!(shown.take(), [], "nothing can be written any more");
}

#[tokio::test]
async fn where_the_window_is_shut_nothing_is_shown() {
    let house = House::new().await;
    let (conversation, bo) = (house.conversation().await, address("whatsapp:+13035550001"));
    house.bind(&conversation, &address(WHATSAPP), &bo).await.unwrap();
    house.take(vec![wrote("w1", Person::new(bo.clone()), address(WHATSAPP), "hi")]).await;
    let later = NOON.plus(std::time::Duration::from_secs(25 * 3600));
    let folder = tempfile::tempdir().unwrap();
    let bindings = crate::bindings::Bindings::new(folder.path());
    let next_day = House::at(later, house.memory.clone(), bindings, folder).await;
    for (house, expected) in [(&house, vec![pair(bo.as_str(), "w1")]), (&next_day, Vec::new())] {
        let shown = Arc::new(Shown::default());
        house.relay.show_typing_through(shown.clone());
        shown_in(house, &conversation).await;
        assert_eq!(shown.take(), expected);
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, Vec<String>)>>);

impl Listeners for Heard {
    fn typing(&self, _: &AccountSid, _: &ServiceSid, conversation: &ConversationSid, identities: &[&str]) {
        let identities = identities.iter().map(|identity| (*identity).to_owned()).collect();
        self.0.lock().unwrap().push((conversation.as_str().to_owned(), identities));
    }
}

#[tokio::test]
async fn clients_hear_of_the_one_without_an_identity() {
    let house = House::new().await;
    let heard = Arc::new(Heard::default());
    house.relay.tell_typing_through(heard.clone());
    let typing =
        |from: u32| Inbound::Signal { from: Person::new(phone(from)), to: ours(1), signal: Signal::Typing };
    house.take(vec![typing(1)]).await;
    let conversation = house.talk(1, &[1]).await;
    house.join(&conversation, Who::Identity("ana".to_owned())).await.unwrap();
    house.take(vec![typing(1), typing(2)]).await;
    assert_eq!(*heard.0.lock().unwrap(), [(conversation.as_str().to_owned(), vec!["ana".to_owned()])]);
    // With two of them, clients could not tell which.
    house.bind(&conversation, &ours(1), &phone(2)).await.unwrap();
    house.take(vec![typing(1)]).await;
    assert_eq!(heard.0.lock().unwrap().len(), 1);
    assert!(house.messages(&conversation).await.is_empty());
}
