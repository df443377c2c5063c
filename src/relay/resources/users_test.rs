//! Users on a relay over the memory engine: born with participants, gone with their memberships.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::{ConversationSid, State};
use crate::relay::RelayError;
use crate::relay::command::{NewUser, Who};
use crate::relay::kit::{House, ours, phone};

fn chat(identity: &str) -> Who {
    Who::Identity(identity.to_owned())
}

async fn people(house: &House, conversation: &ConversationSid) -> Vec<String> {
    let members = house.state(conversation).await.members.clone();
    members.iter().filter_map(|member| member.record.identity.clone()).collect()
}

#[tokio::test]
async fn a_removed_user_leaves_open_and_closed_conversations_and_whoever_comes_later_stays() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let mut rooms = Vec::new();
    for _ in 0..60 {
        let room = house.conversation().await;
        for identity in ["ana", "bo"] {
            house.join(&room, chat(identity)).await.unwrap();
        }
        rooms.push(room);
    }
    let closed =
        crate::relay::command::ConversationChange { state: Some(State::Closed), ..Default::default() };
    house
        .relay
        .update_conversation(account, service, rooms[1].as_str(), closed, Cause::api(false))
        .await
        .unwrap();
    let late = house.conversation().await;
    house.relay.delete_user(account, service, "ana").await.unwrap();
    assert!(matches!(house.relay.user(account, service, "ana").await, Err(RelayError::UserNotFound)));
    // Somebody else comes under the same name before the clean-up has begun.
    house.join(&late, chat("ana")).await.unwrap();
    let new = house.relay.user(account, service, "ana").await.unwrap();
    house.clean().await;
    for room in &rooms {
        assert_eq!(people(&house, room).await, ["bo"]);
    }
    assert_eq!(people(&house, &late).await, ["ana"]);
    assert_eq!(house.relay.user(account, service, "ana").await.unwrap(), new);
}

#[tokio::test]
async fn joins_and_removals_at_the_same_moment_leave_nobody_without_a_user() {
    for turn in 0..40 {
        let house = House::new().await;
        let (account, service) = (&house.account, &house.service);
        house.join(&house.conversation().await, chat("ana")).await.unwrap();
        let room = house.conversation().await;
        let (relay, of, within) = (house.relay.clone(), account.clone(), service.clone());
        let removal = tokio::spawn(async move {
            for _ in 0..turn % 8 {
                tokio::task::yield_now().await;
            }
            relay.delete_user(&of, &within, "ana").await
        });
        house.join(&room, chat("ana")).await.unwrap();
        removal.await.unwrap().unwrap();
        house.clean().await;
        let known = house.relay.user(account, service, "ana").await.is_ok();
        assert_eq!(people(&house, &room).await.len(), usize::from(known), "turn {turn}");
    }
}

#[tokio::test]
async fn participants_and_users_share_one_name_and_one_commit() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let new = NewUser { identity: "ana".into(), friendly_name: None, attributes: None, role: None };
    let made = house.relay.create_user(account, service, new.clone(), Cause::api(false)).await.unwrap();
    let room = house.conversation().await;
    house.join(&room, chat("ana")).await.unwrap();
    assert_eq!(house.relay.users(account, service, None, 10).await.unwrap(), [made]);
    // Outside people are no users.
    house.bind(&room, &ours(1), &phone(1)).await.unwrap();
    assert_eq!(house.rows(Some(Space::User)).await.len(), 1);
    assert!(matches!(
        house.relay.create_user(account, service, new, Cause::api(false)).await,
        Err(RelayError::UserTaken)
    ));
    // A refused participant brings nobody.
    assert!(matches!(house.join(&room, chat("ana")).await, Err(RelayError::IdentityTaken)));
    let closed =
        crate::relay::command::ConversationChange { state: Some(State::Closed), ..Default::default() };
    house
        .relay
        .update_conversation(account, service, room.as_str(), closed, Cause::api(false))
        .await
        .unwrap();
    assert!(matches!(house.join(&room, chat("bo")).await, Err(RelayError::Closed)));
    assert_eq!(house.rows(Some(Space::User)).await.len(), 1);
}

#[tokio::test]
async fn an_identity_is_in_a_thousand_open_conversations_at_most() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let mut first = None;
    for _ in 0..crate::relay::LimitSettings::default().conversations_per_user {
        let room = house.conversation().await;
        house.join(&room, chat("ana")).await.unwrap();
        first.get_or_insert(room);
    }
    let room = house.conversation().await;
    let refused = house.join(&room, chat("ana")).await;
    assert!(matches!(refused, Err(RelayError::TooManyConversations)));
    house.join(&room, chat("bo")).await.unwrap();
    // Closed ones do not count.
    let closed =
        crate::relay::command::ConversationChange { state: Some(State::Closed), ..Default::default() };
    house
        .relay
        .update_conversation(account, service, first.unwrap().as_str(), closed, Cause::api(false))
        .await
        .unwrap();
    house.join(&room, chat("ana")).await.unwrap();
}

#[tokio::test]
async fn a_service_of_an_older_release_gets_its_roles_when_they_are_asked_for() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let mut batch = crate::ledger::engine::Batch::default();
    for (key, _) in house.rows(None).await {
        if matches!(key.space(), Some(Space::Role | Space::Listed | Space::ServiceSettings)) {
            batch.delete(key);
        }
    }
    crate::ledger::engine::Engine::commit(&*house.memory, batch).await.unwrap();
    let roles = house.relay.roles(account, service, None, 10).await.unwrap();
    assert_eq!(roles.len(), 4);
    let settings = house.relay.service_settings(account, service).await.unwrap();
    assert!(roles.iter().any(|role| role.sid == settings.service_role));
    assert_eq!(house.relay.roles(account, service, None, 10).await.unwrap(), roles, "once only");
}

#[tokio::test]
async fn limits_are_raised_and_lowered_while_running() {
    let house = House::new().await;
    let set = |participants, outside, conversations_per_user| {
        let roster = crate::relay::decide::Roster { participants, outside };
        house.relay.limits().replace(crate::relay::LimitSettings { roster, conversations_per_user });
    };
    let (room, second) = (house.conversation().await, house.conversation().await);
    set(2, 1, 1);
    house.bind(&room, &crate::relay::kit::ours(1), &crate::relay::kit::phone(1)).await.unwrap();
    let refused = house.bind(&room, &crate::relay::kit::ours(1), &crate::relay::kit::phone(2)).await;
    assert!(matches!(refused, Err(RelayError::TooManyBound)));
    house.join(&room, chat("ana")).await.unwrap();
    assert!(matches!(house.join(&room, chat("bo")).await, Err(RelayError::TooManyParticipants)));
    assert!(matches!(house.join(&second, chat("ana")).await, Err(RelayError::TooManyConversations)));
    set(3, 2, 2);
    house.bind(&room, &crate::relay::kit::ours(1), &crate::relay::kit::phone(2)).await.unwrap();
    house.join(&second, chat("ana")).await.unwrap();
}
