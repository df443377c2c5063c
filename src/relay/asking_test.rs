//! Whoever wants a say gets it, on a relay over the memory engine with somebody at hand who answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, json};
use trunkline_adapter::{Inbound, Person};

use super::RelayError;
use super::command::{ConversationChange, HookChange, NewConversation, NewParticipant, Who};
use super::kit::{House, ours, phone, said, text};
use crate::announce::{Ask, Cause, Pairs, Verdict};
use crate::ledger::key::Space;
use crate::model::{AccountSid, ConversationSid, HookSettings, State};

/// Remembers what it was asked, and answers from a table: the first line whose value a question has.
#[derive(Default)]
struct Somebody {
    asked: Mutex<Vec<Pairs>>,
    answers: Mutex<Vec<(&'static str, Verdict)>>,
}

impl Ask for Somebody {
    fn ask<'a>(&'a self, _: &'a AccountSid, _: &'a HookSettings, pairs: Pairs) -> BoxFuture<'a, Verdict> {
        let answers = self.answers.lock().unwrap();
        let mut found = answers.iter().filter(|(value, _)| pairs.0.iter().any(|(_, own)| own == value));
        let verdict = found.next().map_or(Verdict::Proceed(Map::new()), |(_, verdict)| verdict.clone());
        self.asked.lock().unwrap().push(pairs);
        async move { verdict }.boxed()
    }
}

impl Somebody {
    fn answer(&self, value: &'static str, verdict: Verdict) {
        self.answers.lock().unwrap().push((value, verdict));
    }

    /// The questions since the last call, by one parameter of each.
    fn asked(&self, name: &str) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let value = |pairs: Pairs| pairs.0.into_iter().find(|(own, _)| own == name).map(|(_, value)| value);
        asked.into_iter().filter_map(value).collect()
    }
}

async fn house(filters: &[&str]) -> (House, Arc<Somebody>) {
    let house = House::new().await;
    let somebody = Arc::<Somebody>::default();
    house.relay.ask_through(somebody.clone());
    let change = HookChange {
        pre_url: super::command::Change::Set("https://a.example/".to_owned()),
        filters: Some(filters.iter().map(|name| (*name).to_owned()).collect()),
        ..HookChange::default()
    };
    house.relay.update_hook_settings(&house.account, None, change).await.unwrap();
    (house, somebody)
}

fn person(who: Who) -> NewParticipant {
    NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None }
}

#[tokio::test]
async fn everybody_who_comes_with_a_conversation_is_asked_about() {
    let (house, somebody) = house(&["onParticipantAdd"]).await;
    let chat = |identity: &str| person(Who::Identity(identity.to_owned()));
    let make = async |people: &[NewParticipant], told| {
        let (account, service) = (&house.account, &house.service);
        let (new, cause) = (NewConversation::default(), Cause::api(told));
        house.relay.create_with_participants(account, service, new, people, cause).await
    };
    let people = [chat("ana"), chat("bo"), person(Who::Bound { address: phone(1), proxy: ours(1) })];
    let made = make(&people, true).await.unwrap();
    assert_eq!(somebody.asked("ConversationSid"), vec![made.sid().as_str(); 3], "the one that it became");
    make(&people[..2], false).await.unwrap();
    assert!(somebody.asked("EventType").is_empty(), "only where the caller says so");
    let before = house.rows(None).await;
    somebody.answer("bo", Verdict::Refuse);
    assert!(matches!(make(&people[..2], true).await, Err(RelayError::Vetoed)));
    assert_eq!(house.rows(None).await, before, "as a whole, or not at all");
}

fn edit(id: &str, body: &str) -> Inbound {
    let (id, of) = (id.to_owned(), "m1".to_owned());
    Inbound::Edit { id, of, from: Person::new(phone(1)), to: ours(1), parts: text(body), at: None }
}

/// Until nothing waits in the inbox.
async fn settled(house: &House) {
    for _ in 0..10_000 {
        if house.relay.inbox_depth() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the inbox does not empty");
}

#[tokio::test]
async fn an_edit_from_outside_is_asked_about_and_no_provider_waits_for_it() {
    let (house, somebody) = house(&["onMessageUpdate"]).await;
    let talk: ConversationSid = house.talk(1, &[1, 2]).await;
    house.take(vec![said("m1", 1, 1, "one")]).await;
    somebody.answer("secret", Verdict::Refuse);
    let amended = json!({ "body": "amended", "attributes": "{\"by\":1}" });
    somebody.answer("two", Verdict::Proceed(amended.as_object().cloned().unwrap()));
    // Taken before anybody is asked: nobody works through the inbox yet.
    house.take(vec![edit("e1", "two"), edit("e2", "secret"), edit("e1", "two")]).await;
    assert_eq!((house.relay.inbox_depth(), house.bodies(&talk).await), (3, vec!["one".to_owned()]));
    assert!(somebody.asked("EventType").is_empty());
    let working = tokio::spawn(house.relay.clone().work_through_inbox(house.account.clone()));
    settled(&house).await;
    assert_eq!(somebody.asked("Body"), ["two", "secret"], "and not about the repeat");
    let message = house.messages(&talk).await.remove(0).1;
    assert_eq!((message.body.as_deref(), message.attributes.as_str()), (Some("amended"), "{\"by\":1}"));
    // What was refused is kept with what cannot be read, once, and its repeat is none.
    let kept = house.rows(Some(Space::Unreadable)).await.len();
    house.take(vec![edit("e2", "secret")]).await;
    settled(&house).await;
    assert_eq!(house.rows(Some(Space::Unreadable)).await.len(), kept);
    assert_eq!(kept, 2, "the row and the count");
    // About what will not be done nobody is asked: somebody else's message.
    let (id, of) = ("e3".to_owned(), "m1".to_owned());
    let other =
        Inbound::Edit { id, of, from: Person::new(phone(2)), to: ours(1), parts: text("x"), at: None };
    house.take(vec![other]).await;
    settled(&house).await;
    assert!(somebody.asked("EventType").is_empty());
    assert_eq!(house.bodies(&talk).await, ["amended"]);
    working.abort();
}

/// Nobody is written to any more who asked for that, however long what they wrote before has to wait.
#[tokio::test]
async fn a_keyword_is_heard_when_it_comes_and_not_once_more_when_its_turn_comes() {
    let (house, _somebody) = house(&["onMessageAdd"]).await;
    let talk: ConversationSid = house.talk(1, &[1, 2]).await;
    house.take(vec![said("m1", 1, 1, "one")]).await;
    house.take(vec![said("m2", 1, 1, "STOP"), said("m2", 1, 1, "STOP")]).await;
    assert!(house.opted_out(&ours(1), &phone(1)).await, "before anything of the inbox is worked on");
    house.take(vec![said("m3", 1, 1, "START")]).await;
    assert!(!house.opted_out(&ours(1), &phone(1)).await);
    // The provider's repeat changes nothing, while it waits and afterwards.
    house.take(vec![said("m2", 1, 1, "STOP")]).await;
    assert!(!house.opted_out(&ours(1), &phone(1)).await);
    assert_eq!(house.bodies(&talk).await, Vec::<String>::new());
    let working = tokio::spawn(house.relay.clone().work_through_inbox(house.account.clone()));
    settled(&house).await;
    assert_eq!(house.bodies(&talk).await, ["one", "STOP", "START"]);
    assert!(!house.opted_out(&ours(1), &phone(1)).await);
    house.take(vec![said("m2", 1, 1, "STOP")]).await;
    settled(&house).await;
    assert!(!house.opted_out(&ours(1), &phone(1)).await);
    assert_eq!(house.notices().await.len(), 2, "each word is answered once");
    working.abort();
}

/// What was acknowledged while a conversation was open is in it, and what came behind its end is not.
#[tokio::test(start_paused = true)]
async fn what_waited_when_its_conversation_was_closed_joins_it_all_the_same() {
    let (house, _somebody) = house(&["onMessageAdd"]).await;
    let talk: ConversationSid = house.talk(1, &[1, 2]).await;
    house.take(vec![said("m1", 1, 1, "in time")]).await;
    let closed = ConversationChange { state: Some(State::Closed), ..ConversationChange::default() };
    house
        .relay
        .update_conversation(&house.account, &house.service, talk.as_str(), closed, Cause::api(false))
        .await
        .unwrap();
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    house.take(vec![said("m2", 1, 1, "too late")]).await;
    let working = tokio::spawn(house.relay.clone().work_through_inbox(house.account.clone()));
    settled(&house).await;
    assert_eq!(house.bodies(&talk).await, ["in time"]);
    assert_eq!(house.state(&talk).await.head.state, State::Closed);
    assert_eq!(house.queued().await.len(), 1, "and it goes to the other");
    working.abort();
}
