//! Claims on messaging bindings: one winner, freed at once, taken over, cleaned up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::ledger::tables;
use crate::model::{ConversationSid, State};
use crate::relay::command::{Change, ConversationChange, NewConversation};
use crate::relay::kit::{House, address, ours, phone, said};
use crate::relay::{Relay, RelayError};

async fn close(house: &House, conversation: &ConversationSid) {
    let change = ConversationChange { state: Some(State::Closed), ..ConversationChange::default() };
    let name = conversation.as_str();
    house
        .relay
        .update_conversation(&house.account, &house.service, name, change, Cause::api(false))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_claims_on_one_pair_one_wins_and_the_others_hear_who() {
    let house = Arc::new(House::new().await);
    let mut conversations = Vec::new();
    for _ in 0..32 {
        conversations.push(house.conversation().await);
    }
    let claims = conversations.iter().cloned().map(|conversation| {
        let house = house.clone();
        tokio::spawn(async move { (house.bind(&conversation, &ours(1), &phone(1)).await, conversation) })
    });
    let outcomes: Vec<_> = join_all(claims).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = outcomes.iter().filter(|(outcome, _)| outcome.is_ok()).collect();
    let [(_, winner)] = winners[..] else { panic!("{} winners", winners.len()) };
    for (outcome, _) in outcomes.iter().filter(|(outcome, _)| outcome.is_err()) {
        match outcome {
            Err(RelayError::BindingTaken(holder)) => assert_eq!(holder, winner),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn removing_closing_and_deleting_free_a_pair() {
    let house = House::new().await;
    let (proxy, person) = (ours(1), phone(1));
    let name = |sid: &ConversationSid| sid.as_str().to_owned();
    let first = house.conversation().await;
    let member = house.bind(&first, &proxy, &person).await.unwrap();
    let second = house.conversation().await;
    assert!(
        matches!(house.bind(&second, &proxy, &person).await, Err(RelayError::BindingTaken(sid)) if sid == first)
    );

    let (account, service) = (&house.account, &house.service);
    house
        .relay
        .remove_participant(account, service, &name(&first), member.as_str(), Cause::api(false))
        .await
        .unwrap();
    house.bind(&second, &proxy, &person).await.unwrap();
    close(&house, &second).await;
    let third = house.conversation().await;
    house.bind(&third, &proxy, &person).await.unwrap();
    assert_eq!(
        house.state(&second).await.members.len(),
        1,
        "a closed conversation keeps its people for reading"
    );
    house.relay.delete_conversation(account, service, &name(&third), Cause::api(false)).await.unwrap();
    house.bind(&first, &proxy, &person).await.unwrap();

    // What was taken over is not cleaned away with the one who held it before.
    let cleaning = tokio::spawn(house.relay.clone().clean_up(account.clone()));
    settle(&house).await;
    cleaning.abort();
    let key = tables::binding(account.as_str(), &proxy, &person);
    assert!(house.rows(Some(Space::Binding)).await.iter().any(|(found, _)| found == &key));
    house.take(vec![said("1", 1, 1, "still here")]).await;
    assert_eq!(house.bodies(&first).await, ["still here"]);
}

/// Lets the clean-up go on until its queue is empty.
async fn settle(house: &House) {
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
        let waiting = house.rows(Some(Space::Queue)).await;
        if !waiting.iter().any(|(key, _)| key.rest().unwrap()[0] == 2) {
            return;
        }
    }
    panic!("the clean-up does not come to an end");
}

#[tokio::test]
async fn clean_up_leaves_nothing_even_if_it_dies_half_way() {
    let house = House::new().await;
    let before: Vec<_> = house.rows(None).await.into_iter().map(|(key, _)| key).collect();
    let service = house.relay.create_service(&house.account, "gone soon".to_owned()).await.unwrap();
    let mut conversations = Vec::new();
    for number in 0..3 {
        let new =
            NewConversation { unique_name: Some(format!("name {number}")), ..NewConversation::default() };
        let made = house
            .relay
            .create_conversation(&house.account, &service.sid, new, Cause::api(false))
            .await
            .unwrap();
        conversations.push(made.sid().clone());
    }
    let other = House { service: service.sid.clone(), ..house };
    for person in 0..20 {
        other.bind(&conversations[0], &ours(2), &phone(person)).await.unwrap();
    }
    for number in 0..60 {
        other.take(vec![said(&number.to_string(), 1, 2, "x")]).await;
    }
    let gone = other.state(&conversations[0]).await.members[19].record.sid.clone();
    let name = conversations[0].as_str();
    other
        .relay
        .remove_participant(&other.account, &other.service, name, gone.as_str(), Cause::api(false))
        .await
        .unwrap();
    other.relay.delete_service(&other.account, service.sid.as_str()).await.unwrap();
    let late = other
        .relay
        .create_conversation(&other.account, &service.sid, NewConversation::default(), Cause::api(false))
        .await;
    assert!(matches!(late, Err(RelayError::ServiceNotFound)));
    // Dies after every few steps, until it is through.
    for _ in 0..1000 {
        let cleaning = tokio::spawn(Relay::clean_up(other.relay.clone(), other.account.clone()));
        for _ in 0..7 {
            tokio::task::yield_now().await;
        }
        cleaning.abort();
        let _ = cleaning.await;
    }
    let cleaning = tokio::spawn(Relay::clean_up(other.relay.clone(), other.account.clone()));
    settle(&other).await;
    cleaning.abort();
    let outbound = |rows: Vec<(crate::ledger::key::Key, _)>| -> Vec<_> {
        let kept = [Some(Space::Queue), Some(Space::ProviderId)];
        rows.into_iter().map(|(key, _)| key).filter(|key| !kept.contains(&key.space())).collect()
    };
    // Each message that came in is remembered as an event, so that a provider's repeat is still one.
    let ids = other.rows(Some(Space::ProviderId)).await;
    let event = crate::model::Compact::encode(&crate::model::ProviderIdRow::Event);
    assert!(ids.len() == 60 && ids.iter().all(|(_, row)| row.payload == event));
    assert_eq!(
        outbound(other.rows(None).await),
        before,
        "but for those, only sends are left, which find their message gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_that_meets_a_takeover_keeps_it_and_goes_on() {
    let house = House::new().await;
    let first = house.talk(1, &[1, 2, 3]).await;
    house
        .relay
        .delete_conversation(&house.account, &house.service, first.as_str(), Cause::api(false))
        .await
        .unwrap();
    let second = house.conversation().await;
    house.bind(&second, &ours(1), &phone(2)).await.unwrap();
    house.memory.inject_conflicts(3);
    let cleaning = tokio::spawn(house.relay.clone().clean_up(house.account.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    settle(&house).await;
    cleaning.abort();
    let bindings: Vec<_> = house.rows(Some(Space::Binding)).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(bindings, [tables::binding(house.account.as_str(), &ours(1), &phone(2))]);
}

#[tokio::test]
async fn a_caller_who_hangs_up_at_the_commit_loses_nothing() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1]).await;
    // The same rows behind an engine that takes batches in and applies them later.
    let slow = Arc::new(crate::ledger::memory::Memory::unflushed(1, Vec::new()));
    let engine: Arc<dyn crate::ledger::engine::Engine> = slow.clone();
    let mut batch = crate::ledger::engine::Batch::default();
    for (key, row) in house.rows(None).await {
        batch.put(key, row.payload);
    }
    let copying = tokio::spawn({
        let engine = engine.clone();
        async move { engine.commit(batch).await }
    });
    while slow.flush() == 0 {
        tokio::task::yield_now().await;
    }
    copying.await.unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bindings = crate::bindings::Bindings::new(folder.path());
    let house = Arc::new(House::on(slow.clone(), bindings, folder).await);
    let lane = house.wakeups.register(crate::work::Queue::Outbound, ours(1).as_str());
    let posting = tokio::spawn({
        let (house, conversation) = (house.clone(), conversation.clone());
        async move { house.post(&conversation, "hello").await }
    });
    while house.relay.cache.get(&house.account, conversation.as_str()).is_none() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    posting.abort();
    assert!(posting.await.unwrap_err().is_cancelled());
    assert_eq!(slow.flush(), 1);
    lane.told().await;
    assert_eq!(house.state(&conversation).await.head.next_index, 1, "and memory is not behind");
}

#[tokio::test]
async fn unique_names_are_freed_by_deleting_and_renaming_only() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let named =
        |name: &str| NewConversation { unique_name: Some(name.to_owned()), ..NewConversation::default() };
    let first = house
        .relay
        .create_conversation(account, service, named("a"), Cause::api(false))
        .await
        .unwrap()
        .sid()
        .clone();
    close(&house, &first).await;
    let again = house.relay.create_conversation(account, service, named("a"), Cause::api(false)).await;
    assert!(matches!(again, Err(RelayError::UniqueNameTaken)), "closed still blocks");
    house.relay.delete_conversation(account, service, "a", Cause::api(false)).await.unwrap();
    let second =
        house.relay.create_conversation(account, service, named("a"), Cause::api(false)).await.unwrap();
    let other =
        house.relay.create_conversation(account, service, named("b"), Cause::api(false)).await.unwrap();
    let rename = |name: &str| ConversationChange {
        unique_name: Change::Set(name.to_owned()),
        ..ConversationChange::default()
    };
    let taken = house.relay.update_conversation(account, service, "b", rename("a"), Cause::api(false)).await;
    assert!(matches!(taken, Err(RelayError::UniqueNameTaken)));
    house.relay.update_conversation(account, service, "a", rename("c"), Cause::api(false)).await.unwrap();
    house.relay.update_conversation(account, service, "b", rename("a"), Cause::api(false)).await.unwrap();
    assert_eq!(house.relay.conversation(account, service, "c").await.unwrap().sid(), second.sid());
    assert_eq!(house.relay.conversation(account, service, "a").await.unwrap().sid(), other.sid());
    house.memory.inject_conflicts(3);
    assert!(
        house.relay.create_conversation(account, service, named("b"), Cause::api(false)).await.is_ok(),
        "a conflict is no name taken"
    );
}

#[tokio::test]
async fn full_conversations_and_our_own_numbers_are_refused() {
    let house = House::new().await;
    let conversation = house.talk(1, &(0..50).collect::<Vec<_>>()).await;
    assert!(matches!(house.bind(&conversation, &ours(1), &phone(51)).await, Err(RelayError::TooManyBound)));
    assert!(matches!(house.bind(&conversation, &ours(1), &ours(2)).await, Err(RelayError::AddressIsOurs)));
    let strange = address("+14155550100");
    assert!(matches!(house.bind(&conversation, &strange, &phone(51)).await, Err(RelayError::ProxyNotOurs)));
    house.post(&conversation, "to all fifty").await;
    assert_eq!(house.queued().await.len(), 50);
    let many: Vec<_> = (0..20).map(|number| said(&number.to_string(), 3, 1, "x")).collect();
    house.take(many).await;
    assert_eq!(house.messages(&conversation).await.len(), 21);
}
