//! Who is in a conversation: by which names a person is found and known, and what may still change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use trunkline_adapter::{Address, Timestamp};

use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::ledger::tables;
use crate::model::conversation::Binding;
use crate::model::{ConversationSid, ParticipantSid, State};
use crate::relay::RelayError;
use crate::relay::command::{Change, ConversationChange, ParticipantChange, Who};
use crate::relay::decide::Context;
use crate::relay::decide::roster::{Holder, learn};
use crate::relay::kit::{House, NOON, ours, phone};

async fn close(house: &House, conversation: &ConversationSid) {
    let change = ConversationChange { state: Some(State::Closed), ..ConversationChange::default() };
    let name = conversation.as_str();
    house
        .relay
        .update_conversation(&house.account, &house.service, name, change, Cause::api(false))
        .await
        .unwrap();
}

#[tokio::test]
async fn in_a_closed_conversation_only_what_concerns_nobody_else_goes_on() {
    let house = House::new().await;
    let talk = house.conversation().await;
    let member = house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    close(&house, &talk).await;
    let change = async |change| {
        house
            .relay
            .update_participant(
                &house.account,
                &house.service,
                talk.as_str(),
                member.as_str(),
                change,
                Cause::api(false),
            )
            .await
    };
    for refused in [
        ParticipantChange { role_sid: Change::Set("RL1".to_owned()), ..ParticipantChange::default() },
        ParticipantChange { attributes: Some("{}".to_owned()), ..ParticipantChange::default() },
        ParticipantChange { created: Some(NOON), ..ParticipantChange::default() },
        ParticipantChange { updated: Some(NOON), ..ParticipantChange::default() },
    ] {
        assert!(matches!(change(refused.clone()).await, Err(RelayError::Closed)), "{refused:?}");
    }
    let read = ParticipantChange {
        last_read_message_index: Change::Set(3),
        last_read_timestamp: Change::Set(Timestamp(7)),
        muted: Some(true),
        ..ParticipantChange::default()
    };
    let (changed, _) = change(read).await.unwrap();
    let record = &changed.member(&member).unwrap().record;
    assert_eq!((record.last_read_message_index, record.last_read_timestamp), (Some(3), Some(Timestamp(7))));
    assert!(record.muted);
}

#[tokio::test]
async fn everybody_is_found_by_each_of_their_names_until_they_leave() {
    let house = House::new().await;
    let talk = house.conversation().await;
    let person = house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    let agent = house.join(&talk, Who::Identity("agent".to_owned())).await.unwrap();
    house.relay.learn(&house.account, &talk, &person, &[phone(2)]).await;
    let row = |name: &str, who: &ParticipantSid| tables::person(house.account.as_str(), name, who.as_str());
    let mut expected =
        vec![row(phone(1).as_str(), &person), row(phone(2).as_str(), &person), row(":agent", &agent)];
    let found = async || -> Vec<_> {
        house.rows(Some(Space::Person)).await.into_iter().map(|(key, _)| key).collect()
    };
    expected.sort();
    assert_eq!(found().await, expected);
    for who in [&person, &agent] {
        let (account, service) = (&house.account, &house.service);
        house
            .relay
            .remove_participant(account, service, talk.as_str(), who.as_str(), Cause::api(false))
            .await
            .unwrap();
    }
    assert!(found().await.is_empty());
}

#[tokio::test]
async fn an_address_is_learnt_once_and_only_when_it_is_nobody_elses() {
    let house = House::new().await;
    let (talk, other) = (house.conversation().await, house.conversation().await);
    let member = house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    let someone = house.bind(&other, &ours(1), &phone(2)).await.unwrap();
    house.relay.learn(&house.account, &talk, &member, &[phone(3)]).await;
    let mint = crate::model::Mint::seeded(1);
    let births = house.relay.ledger.clone();
    let context = Context {
        account: &house.account,
        now: NOON,
        mint: &mint,
        births: &births,
        again: false,
        most: crate::relay::decide::Roster::default(),
    };
    let known = house.state(&talk).await;
    let learns = |alias: &Address, holder: Option<&Holder>| {
        learn(&context, &known, &member, alias, holder)
            .map(|decision| decision.next.member(&member).unwrap().record.binding.clone().unwrap().aliases)
    };
    assert_eq!(learns(&phone(1), None), None, "it is the address itself");
    assert_eq!(learns(&phone(3), None), None, "it is known");
    let mut holder = Holder {
        revision: 1,
        binding: Binding { service: house.service.clone(), conversation: other, participant: someone },
        open: true,
    };
    assert_eq!(learns(&phone(2), Some(&holder)), None, "it is somebody else's");
    holder.open = false;
    assert_eq!(learns(&phone(2), Some(&holder)), Some(vec![phone(3), phone(2)]));
    let many: Vec<Address> = (10..20).map(phone).collect();
    house.relay.learn(&house.account, &talk, &member, &many).await;
    let kept = house.state(&talk).await.member(&member).unwrap().record.binding.clone().unwrap().aliases;
    assert_eq!(kept.len(), 8, "nobody fills a row with addresses");
}

#[tokio::test]
async fn who_moves_to_another_proxy_address_is_reached_there_and_leaves_the_old_one_free() {
    let house = House::new().await;
    let (talk, other) = (house.conversation().await, house.conversation().await);
    let person = house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    house.relay.learn(&house.account, &talk, &person, &[phone(2)]).await;
    house.bind(&other, &ours(3), &phone(1)).await.unwrap();
    let move_to = async |proxy: Address| {
        let change = ParticipantChange { proxy: Change::Set(proxy), ..ParticipantChange::default() };
        let (account, service) = (&house.account, &house.service);
        house
            .relay
            .update_participant(account, service, talk.as_str(), person.as_str(), change, Cause::api(false))
            .await
    };
    let taken = move_to(ours(3)).await;
    assert!(matches!(taken, Err(RelayError::BindingTaken(holder)) if holder == other));
    assert!(matches!(move_to(phone(9)).await, Err(RelayError::ProxyNotOurs)));
    move_to(ours(1)).await.unwrap();
    let (moved, _) = move_to(ours(2)).await.unwrap();
    let binding = moved.member(&person).unwrap().record.binding.clone().unwrap();
    assert_eq!((binding.proxy, binding.aliases), (ours(2), Vec::new()));
    // The ledger says the same, and the old pairs are anybody's.
    assert_eq!(*house.state(&talk).await, *moved);
    house.bind(&other, &ours(1), &phone(1)).await.unwrap();
    house.bind(&other, &ours(1), &phone(2)).await.unwrap();
    close(&house, &other).await;
    move_to(ours(3)).await.unwrap();
    close(&house, &talk).await;
    assert!(matches!(move_to(ours(4)).await, Err(RelayError::Closed)));
}
