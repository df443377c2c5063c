//! Conversations that are made with their participants, on the memory engine: one commit, or nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use futures_util::future::join_all;

use crate::announce::Cause;
use crate::ledger::Ledger;
use crate::ledger::engine::{Engine, MAX_WRITES};
use crate::ledger::key::Space;
use crate::model::{Conversation, State};
use crate::relay::command::{ConversationChange, NewConversation, NewParticipant, Who};
use crate::relay::kit::{House, ours, phone, said};
use crate::relay::{MOST_AT_ONCE, RelayError};

fn person(who: Who) -> NewParticipant {
    NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None }
}

fn chat(identity: &str) -> NewParticipant {
    person(Who::Identity(identity.to_owned()))
}

fn bound(proxy: u32, number: u32) -> NewParticipant {
    person(Who::Bound { address: phone(number), proxy: ours(proxy) })
}

async fn make(house: &House, people: &[NewParticipant]) -> Result<Arc<Conversation>, RelayError> {
    let new = NewConversation::default();
    house.relay.create_with_participants(&house.account, &house.service, new, people, Cause::api(false)).await
}

#[tokio::test]
async fn everybody_is_there_after_one_commit_and_memory_is_what_the_ledger_has() {
    let house = House::new().await;
    house.join(&house.conversation().await, Who::Identity("ana".to_owned())).await.unwrap();
    let before = house.memory.published();
    let people = [chat("ana"), chat("bo"), bound(1, 1), bound(2, 1), bound(1, 2)];
    let new = NewConversation {
        unique_name: Some("order".to_owned()),
        inactive: true,
        ..NewConversation::default()
    };
    let (account, service) = (&house.account, &house.service);
    let made = house
        .relay
        .create_with_participants(account, service, new, &people, Cause::api(false))
        .await
        .unwrap();
    // Head, document, place, name; two rows for each in chat, three for each outside; one new user. All of one commit,
    // as their numbers follow each other.
    let mut numbers: Vec<_> = house.rows(None).await.into_iter().map(|(_, row)| row.changed).collect();
    numbers.retain(|number| *number > before);
    numbers.sort_unstable();
    assert_eq!(numbers.len(), 4 + 2 * 2 + 3 * 3 + 3);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    let ledger = Ledger::new(house.memory.clone());
    let read = ledger.conversation(account.as_str(), made.sid().as_str()).await.unwrap().unwrap();
    assert_eq!(*made, read);
    assert_eq!(made.head.state, State::Inactive, "as it was asked for");
    let settings = house.relay.service_settings(account, service).await.unwrap();
    let role = settings.conversation_role.as_str();
    assert!(made.members.iter().all(|member| member.record.role_sid.as_deref() == Some(role)));
    let users = house.relay.users(account, service, None, 10).await.unwrap();
    assert_eq!(users.iter().map(|user| user.identity.as_str()).collect::<Vec<_>>(), ["ana", "bo"]);
    house.take(vec![said("1", 2, 1, "hello")]).await;
    assert_eq!(house.bodies(made.sid()).await, ["hello"]);
    house.post(made.sid(), "hello all").await;
}

#[tokio::test]
async fn whatever_is_wrong_with_one_refuses_all_and_leaves_nothing() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let holder = house.talk(1, &[1]).await;
    let new = NewConversation { unique_name: Some("taken".to_owned()), ..NewConversation::default() };
    house.relay.create_conversation(account, service, new.clone(), Cause::api(false)).await.unwrap();
    let before = house.rows(None).await;
    let mut stranger = chat("cy");
    stranger.role_sid = Some("RL00000000000000000000000000000001".to_owned());
    let many: Vec<_> = (0..=MOST_AT_ONCE).map(|number| chat(&format!("i{number}"))).collect();
    type Expected = fn(&RelayError) -> bool;
    let cases: [(Vec<NewParticipant>, Expected); 8] = [
        (vec![chat("ana"), chat("bo"), chat("ana")], |e| matches!(e, RelayError::IdentityTaken)),
        (vec![bound(2, 2), chat("bo"), bound(2, 2)], |e| matches!(e, RelayError::PairTwice)),
        (vec![chat("ana"), stranger], |e| matches!(e, RelayError::NoSuchRole(_))),
        (many, |e| matches!(e, RelayError::TooManyAtOnce)),
        (vec![chat("ana"), person(Who::Bound { address: phone(3), proxy: phone(4) })], |e| {
            matches!(e, RelayError::ProxyNotOurs)
        }),
        (vec![chat("ana"), person(Who::Bound { address: ours(3), proxy: ours(4) })], |e| {
            matches!(e, RelayError::AddressIsOurs)
        }),
        (vec![chat("ana"), bound(1, 1)], |e| matches!(e, RelayError::BindingTaken(_))),
        (vec![bound(2, 2), chat("bo"), bound(1, 1)], |e| matches!(e, RelayError::BindingTaken(_))),
    ];
    for (people, expected) in cases {
        let error = make(&house, &people).await.unwrap_err();
        assert!(expected(&error), "{error:?}");
        if let RelayError::BindingTaken(named) = error {
            assert_eq!(named, holder);
        }
        assert_eq!(house.rows(None).await, before);
    }
    let error = house
        .relay
        .create_with_participants(account, service, new, &[chat("ana")], Cause::api(false))
        .await
        .unwrap_err();
    assert!(matches!(error, RelayError::UniqueNameTaken));
    house.memory.set_full(true);
    assert!(matches!(make(&house, &[chat("ana")]).await, Err(RelayError::Full)));
    house.memory.set_full(false);
    assert_eq!(house.rows(None).await, before);

    // What a closed conversation holds is taken over.
    let closed = ConversationChange { state: Some(State::Closed), ..ConversationChange::default() };
    house
        .relay
        .update_conversation(account, service, holder.as_str(), closed, Cause::api(false))
        .await
        .unwrap();
    let made = make(&house, &[chat("ana"), bound(1, 1)]).await.unwrap();
    house.take(vec![said("1", 1, 1, "hello")]).await;
    assert_eq!(house.bodies(made.sid()).await, ["hello"]);
}

#[tokio::test]
async fn the_most_that_may_come_at_once_fits_into_a_batch() {
    let house = House::new().await;
    house.relay.service_settings(&house.account, &house.service).await.unwrap();
    for person in [chat as fn(&str) -> NewParticipant, |name| bound(1, name.parse().unwrap())] {
        let people: Vec<_> = (0..MOST_AT_ONCE).map(|number| person(&number.to_string())).collect();
        let before = house.rows(None).await.len();
        assert_eq!(make(&house, &people).await.unwrap().members.len(), MOST_AT_ONCE);
        assert!(house.rows(None).await.len() - before <= MAX_WRITES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_the_same_moment_who_share_one_pair_one_is_made_and_the_others_leave_nothing() {
    let house = Arc::new(House::new().await);
    let tasks = (0..24).map(|number| {
        let house = house.clone();
        tokio::spawn(async move {
            let people = [chat("ana"), chat(&format!("own {number}")), bound(1, 100 + number), bound(1, 1)];
            make(&house, &people).await
        })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let made: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    let [winner] = made[..] else { panic!("{} were made", made.len()) };
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        match error {
            RelayError::BindingTaken(holder) => assert_eq!(holder, winner.sid()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(house.rows(Some(Space::Binding)).await.len(), 2);
    let users = house.relay.users(&house.account, &house.service, None, 100).await.unwrap();
    assert_eq!(users.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_of_one_new_identity_at_the_same_moment_are_all_made_and_share_its_user() {
    let house = Arc::new(House::new().await);
    // No more than may meet one conflict each and still come through.
    let tasks = (0..6).map(|number| {
        let house = house.clone();
        tokio::spawn(async move { make(&house, &[chat("ana"), bound(1, number)]).await })
    });
    for outcome in join_all(tasks).await {
        assert_eq!(outcome.unwrap().unwrap().members.len(), 2);
    }
    let users = house.relay.users(&house.account, &house.service, None, 100).await.unwrap();
    assert_eq!(users.len(), 1);
}
