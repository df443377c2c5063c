//! Group texts on a relay over the memory engine, some of whose proxy addresses can carry them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::{ConversationSid, ParticipantSid, Seat};
use crate::relay::command::{
    Change, ConversationChange, NewConversation, NewMessage, NewParticipant, ParticipantChange, Who,
};
use crate::relay::decide::groups::MOST;
use crate::relay::kit::{GROUPS, House, address, ours, phone, said};

fn outside(number: u32) -> Who {
    Who::Outside(phone(number))
}

fn gateway(number: u32) -> Who {
    Who::Projected { address: ours(number), identity: None }
}

fn chat(identity: &str, number: u32) -> Who {
    Who::Projected { address: ours(number), identity: Some(identity.to_owned()) }
}

fn person(who: Who) -> NewParticipant {
    NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None }
}

async fn together(house: &House, people: Vec<Who>) -> Result<ConversationSid, RelayError> {
    let people: Vec<NewParticipant> = people.into_iter().map(person).collect();
    let new = NewConversation::default();
    let made = house
        .relay
        .create_with_participants(&house.account, &house.service, new, &people, Cause::api(false))
        .await?;
    Ok(made.sid().clone())
}

async fn change(
    house: &House,
    talk: &ConversationSid,
    who: &str,
    change: ParticipantChange,
) -> Result<ParticipantSid, RelayError> {
    let (account, service) = (&house.account, &house.service);
    let cause = Cause::api(false);
    Ok(house.relay.update_participant(account, service, talk.as_str(), who, change, cause).await?.1)
}

async fn leave(house: &House, talk: &ConversationSid, who: &str) -> Result<(), RelayError> {
    let (account, service) = (&house.account, &house.service);
    house.relay.remove_participant(account, service, talk.as_str(), who, Cause::api(false)).await
}

async fn close(house: &House, talk: &ConversationSid) {
    let closed = ConversationChange { state: Some(State::Closed), ..Default::default() };
    let (account, service) = (&house.account, &house.service);
    house
        .relay
        .update_conversation(account, service, talk.as_str(), closed, Cause::api(false))
        .await
        .unwrap();
}

async fn post(house: &House, talk: &ConversationSid, author: &str) -> Result<(), RelayError> {
    let new = NewMessage {
        author: author.to_owned(),
        template: None,
        media: Vec::new(),
        body: Some("hello".to_owned()),
        subject: None,
        attributes: None,
        created: None,
        updated: None,
    };
    let (account, service) = (&house.account, &house.service);
    house.relay.post_message(account, service, talk.as_str(), new, Cause::api(false)).await.map(drop)
}

fn misfit<T: std::fmt::Debug>(result: Result<T, RelayError>) -> Misfit {
    match result {
        Err(RelayError::Misfit(misfit)) => misfit,
        other => panic!("{other:?}"),
    }
}

/// The claims, by their names.
async fn claims(house: &House) -> BTreeMap<Vec<u8>, ConversationSid> {
    let rows = house.rows(Some(Space::GroupText)).await;
    let row = |row: &crate::ledger::engine::Row| GroupRow::decode(&row.payload).unwrap().conversation;
    rows.iter().map(|(key, value)| (key.rest().unwrap().to_vec(), row(value))).collect()
}

const OURS: u32 = GROUPS;

#[tokio::test]
async fn the_same_set_is_in_one_open_conversation_only() {
    let house = House::new().await;
    let set = || vec![outside(1), outside(2), gateway(OURS)];
    let first = together(&house, set()).await.unwrap();
    assert_eq!(misfit(together(&house, set()).await), Misfit::SetTaken(first.clone()));
    // In another order, with somebody behind our address, or one after the other: the same set.
    let other = vec![chat("ana", OURS), outside(2), outside(1)];
    assert_eq!(misfit(together(&house, other).await), Misfit::SetTaken(first.clone()));
    let slow = house.conversation().await;
    house.join(&slow, outside(1)).await.unwrap();
    house.join(&slow, gateway(OURS)).await.unwrap();
    assert_eq!(misfit(house.join(&slow, outside(2)).await), Misfit::SetTaken(first.clone()));
    assert_eq!(house.state(&slow).await.members.len(), 2, "nothing of it was done");
    // One more or one less is another set, until somebody leaves.
    house.join(&slow, outside(3)).await.unwrap();
    let larger = together(&house, vec![outside(1), outside(2), outside(3), gateway(OURS)]).await.unwrap();
    let third = house.state(&larger).await.members[2].record.sid.clone();
    assert_eq!(misfit(leave(&house, &larger, third.as_str()).await), Misfit::SetTaken(first.clone()));
    // Who must go goes, and the conversation holds no set.
    house.relay.withdraw(&house.account, &larger, &third).await.unwrap();
    assert_eq!(claims(&house).await.len(), 2);
    close(&house, &first).await;
    let second = together(&house, set()).await.unwrap();
    let held = claims(&house).await;
    assert!(held.values().any(|sid| sid == &second) && !held.values().any(|sid| sid == &first));
    // What was closed does not take along what another has by now; what is removed leaves nothing.
    for talk in [&first, &second, &slow] {
        let (account, service) = (&house.account, &house.service);
        house.relay.delete_conversation(account, service, talk.as_str(), Cause::api(false)).await.unwrap();
        assert_eq!(claims(&house).await.values().any(|sid| sid == &second), talk == &first);
    }
    assert!(claims(&house).await.is_empty());
}

#[tokio::test]
async fn a_set_counts_in_all_services_of_an_account() {
    let house = House::new().await;
    let first = together(&house, vec![outside(1), outside(2), gateway(OURS)]).await.unwrap();
    let (account, cause) = (&house.account, Cause::api(false));
    let elsewhere = house.relay.create_service(account, "other".to_owned()).await.unwrap();
    let people: Vec<_> = [outside(1), outside(2), gateway(OURS)].into_iter().map(person).collect();
    let new = NewConversation::default();
    let made = house.relay.create_with_participants(account, &elsewhere.sid, new, &people, cause).await;
    assert_eq!(misfit(made), Misfit::SetTaken(first));
}

#[tokio::test]
async fn who_cannot_be_in_a_group_text_is_told_why() {
    let house = House::new().await;
    let group = together(&house, vec![outside(1), outside(2), chat("ana", OURS)]).await.unwrap();
    let join = async |who| misfit(house.join(&group, who).await);
    assert_eq!(join(Who::Identity("bo".to_owned())).await, Misfit::NoPlace);
    assert_eq!(join(outside(1)).await, Misfit::Present);
    assert_eq!(join(chat("ana", OURS)).await, Misfit::Present);
    assert_eq!(join(Who::Bound { address: phone(2), proxy: ours(1) }).await, Misfit::Present);
    assert_eq!(join(gateway(1)).await, Misfit::NoGroupTexts);
    assert_eq!(join(Who::Projected { address: phone(9), identity: None }).await, Misfit::ProjectedNotOurs);
    let channel = Who::Projected { address: address("whatsapp:+12025550000"), identity: None };
    assert_eq!(join(channel).await, Misfit::ChannelWithoutGroups);
    assert_eq!(join(Who::Outside(address("whatsapp:+13035550001"))).await, Misfit::ProxyMissing);
    assert!(matches!(house.join(&group, Who::Outside(ours(3))).await, Err(RelayError::AddressIsOurs)));
    let taken = house.join(&group, chat("ana", OURS + 1)).await;
    assert!(matches!(taken, Err(RelayError::IdentityTaken)), "{taken:?}");
    // A line of its own beside the group, and the rest up to ten.
    house.join(&group, Who::Bound { address: phone(3), proxy: ours(1) }).await.unwrap();
    assert_eq!(join(outside(3)).await, Misfit::Present);
    for number in 4..10 {
        house.join(&group, outside(number)).await.unwrap();
    }
    assert_eq!(join(outside(10)).await, Misfit::GroupFull);
    assert_eq!(join(Who::Bound { address: phone(11), proxy: ours(1) }).await, Misfit::GroupFull);

    let whole = async |people| misfit(together(&house, people).await);
    assert_eq!(whole(vec![outside(21), gateway(OURS)]).await, Misfit::Incomplete);
    assert_eq!(whole(vec![outside(21), outside(22), outside(23)]).await, Misfit::Incomplete);
    let nobody_outside = vec![gateway(OURS), gateway(OURS + 1), gateway(OURS + 2)];
    assert_eq!(whole(nobody_outside).await, Misfit::Incomplete);
    // Two at one address are one address.
    let two = vec![outside(21), chat("cy", OURS), chat("di", OURS)];
    assert_eq!(whole(two).await, Misfit::Incomplete);
    let first = vec![Who::Identity("bo".to_owned()), outside(21), outside(22), gateway(OURS)];
    assert_eq!(whole(first).await, Misfit::NoPlace);
}

#[tokio::test]
async fn places_are_given_moved_and_taken() {
    let house = House::new().await;
    let group =
        together(&house, vec![outside(1), outside(2), gateway(OURS), chat("ana", OURS)]).await.unwrap();
    let sids: Vec<String> = {
        let members = house.state(&group).await.members.clone();
        members.iter().map(|member| member.record.sid.to_string()).collect()
    };
    let (native, ours_alone, ana) = (&sids[0], &sids[2], &sids[3]);
    let proxy = |proxy| ParticipantChange { proxy, ..Default::default() };
    let projected = |projected| ParticipantChange { projected, ..Default::default() };
    let identity =
        |identity: &str| ParticipantChange { identity: Some(identity.to_owned()), ..Default::default() };
    let refused = async |who: &String, what| misfit(change(&house, &group, who, what).await);
    assert_eq!(refused(native, projected(Change::Set(ours(OURS)))).await, Misfit::ProjectedAndBinding);
    assert_eq!(refused(native, projected(Change::Clear)).await, Misfit::ProjectedNotThere);
    assert_eq!(refused(native, proxy(Change::Clear)).await, Misfit::ProxyNotThere);
    assert_eq!(refused(native, identity("bo")).await, Misfit::IdentityFixed);
    assert_eq!(refused(native, proxy(Change::Set(phone(1)))).await, Misfit::AddressIsProxy);
    let foreign = proxy(Change::Set(address("whatsapp:+12025550000")));
    assert_eq!(refused(native, foreign).await, Misfit::ChannelsDiffer);
    assert_eq!(refused(ours_alone, proxy(Change::Set(ours(1)))).await, Misfit::ProxyWithoutAddress);
    assert_eq!(refused(ours_alone, projected(Change::Clear)).await, Misfit::NoPlace);
    assert_eq!(refused(ana, projected(Change::Clear)).await, Misfit::NoPlace);
    assert_eq!(refused(ana, identity("bo")).await, Misfit::IdentityFixed);
    assert_eq!(refused(ana, projected(Change::Set(ours(1)))).await, Misfit::NoGroupTexts);
    assert_eq!(refused(ana, projected(Change::Set(phone(5)))).await, Misfit::ProjectedNotOurs);
    let taken = change(&house, &group, ours_alone, identity("ana")).await;
    assert!(matches!(taken, Err(RelayError::IdentityTaken)), "{taken:?}");

    // Somebody stands behind our address, is a user by it and found by it, and a removed one leaves.
    change(&house, &group, ours_alone, identity("bo")).await.unwrap();
    house.relay.user(&house.account, &house.service, "bo").await.unwrap();
    let state = house.state(&group).await;
    assert_eq!(state.member_by_name("bo").unwrap().record.sid.as_str(), ours_alone);
    let sought = crate::relay::resources::memberships::Sought::Identity("bo".to_owned());
    let found = house.relay.memberships(&house.account, &house.service, &sought, None, 9).await.unwrap();
    assert_eq!(found.len(), 1);
    // Seen by another address of ours, the group is another set.
    let before = claims(&house).await;
    change(&house, &group, "bo", projected(Change::Set(ours(OURS + 1)))).await.unwrap();
    assert_ne!(claims(&house).await, before);
    assert_eq!(claims(&house).await.len(), 1);
    // Out of the group onto a line, whose pair is theirs then, and back.
    change(&house, &group, native, proxy(Change::Set(ours(1)))).await.unwrap();
    assert_eq!(house.rows(Some(Space::Binding)).await.len(), 1);
    house.take(vec![said("m1", 1, 1, "on the line")]).await;
    assert_eq!(house.bodies(&group).await, ["on the line"]);
    change(&house, &group, native, proxy(Change::Clear)).await.unwrap();
    assert_eq!(house.rows(Some(Space::Binding)).await, []);
    let state = house.state(&group).await;
    assert_eq!(state.members[0].record.seat, Some(Seat::Address(phone(1))));
    assert_eq!(state.members[0].record.role_sid, None);
    // On a line that no group text can be on, nobody is left without it.
    let line = house.conversation().await;
    let bound =
        Who::Bound { address: address("whatsapp:+13035550001"), proxy: address("whatsapp:+12025550000") };
    let bound = house.join(&line, bound).await.unwrap();
    let cleared = change(&house, &line, bound.as_str(), proxy(Change::Clear)).await;
    assert_eq!(misfit(cleared), Misfit::NoGroupTexts);
}

#[tokio::test]
async fn only_who_is_in_a_group_text_writes_into_it_and_only_once_it_is_one() {
    let house = House::new().await;
    let group = house.conversation().await;
    house.join(&group, outside(1)).await.unwrap();
    house.join(&group, chat("ana", OURS)).await.unwrap();
    assert_eq!(misfit(post(&house, &group, "ana").await), Misfit::Incomplete);
    house.join(&group, outside(2)).await.unwrap();
    for author in ["ana", ours(OURS).as_str(), phone(1).as_str()] {
        post(&house, &group, author).await.unwrap();
    }
    for author in ["system", "bo", phone(3).as_str(), ours(OURS + 1).as_str()] {
        assert_eq!(misfit(post(&house, &group, author).await), Misfit::AuthorOutside, "{author}");
    }
    let authors: Vec<_> = house.messages(&group).await.into_iter().map(|(_, one)| one.participant).collect();
    let members = house.state(&group).await.members.clone();
    let sid = |at: usize| Some(members[at].record.sid.clone());
    assert_eq!(authors, [sid(1), sid(1), sid(0)]);
    // Nor is anything put into the mouth of somebody who is not in it.
    let message = house.messages(&group).await[0].1.sid.to_string();
    let by = async |author: &str| {
        let author = Some(author.to_owned());
        let change = crate::relay::command::MessageChange { author, ..Default::default() };
        let (account, service, cause) = (&house.account, &house.service, Cause::api(false));
        house.relay.update_message(account, service, group.as_str(), &message, change, cause).await
    };
    assert_eq!(misfit(by("bo").await), Misfit::AuthorOutside);
    by(phone(2).as_str()).await.unwrap();
    // Anybody writes where there is no group text; and who was there before it became one keeps it from being one.
    let plain = house.conversation().await;
    house.join(&plain, Who::Identity("bo".to_owned())).await.unwrap();
    post(&house, &plain, "system").await.unwrap();
    for who in [outside(7), outside(8), gateway(OURS)] {
        house.join(&plain, who).await.unwrap();
    }
    assert_eq!(misfit(post(&house, &plain, "bo").await), Misfit::Incomplete);
    let place = ParticipantChange { projected: Change::Set(ours(OURS)), ..Default::default() };
    change(&house, &plain, "bo", place).await.unwrap();
    post(&house, &plain, "bo").await.unwrap();
}

#[tokio::test]
async fn of_two_that_complete_the_same_set_at_once_one_is_refused() {
    for _ in 0..20 {
        let house = House::new().await;
        let (one, other) = (house.conversation().await, house.conversation().await);
        for talk in [&one, &other] {
            house.join(talk, outside(1)).await.unwrap();
            house.join(talk, gateway(OURS)).await.unwrap();
        }
        let (left, right) = tokio::join!(house.join(&one, outside(2)), house.join(&other, outside(2)));
        assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
        assert_eq!(claims(&house).await.len(), 1);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join(usize, u32),
    Behind(usize, u32),
    Leave(usize, usize),
    Line(usize, usize),
    Close(usize),
    Delete(usize),
    Begin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4usize, 0..4u32).prop_map(|(talk, number)| Step::Join(talk, number)),
        4 => (0..4usize, 0..2u32).prop_map(|(talk, number)| Step::Behind(talk, number)),
        3 => (0..4usize, 0..5usize).prop_map(|(talk, who)| Step::Leave(talk, who)),
        2 => (0..4usize, 0..5usize).prop_map(|(talk, who)| Step::Line(talk, who)),
        1 => (0..4usize).prop_map(Step::Close),
        1 => (0..4usize).prop_map(Step::Delete),
        1 => Just(Step::Begin),
    ]
}

/// Does one step; what is refused changes no row.
async fn walk(house: &House, talks: &mut Vec<ConversationSid>, step: Step) {
    let before = house.rows(None).await;
    let member = async |talk: &ConversationSid, who: usize| {
        house.state(talk).await.members.get(who).map(|member| member.record.sid.to_string())
    };
    let done = match step {
        Step::Begin => {
            talks.push(house.conversation().await);
            return;
        }
        Step::Join(talk, number) => house.join(&talks[talk], outside(number)).await.map(drop),
        Step::Behind(talk, number) => house.join(&talks[talk], gateway(OURS + number)).await.map(drop),
        Step::Leave(talk, who) => match member(&talks[talk], who).await {
            Some(who) => leave(house, &talks[talk], &who).await,
            None => return,
        },
        Step::Line(talk, who) => {
            let Some(sid) = member(&talks[talk], who).await else { return };
            let bound = house.state(&talks[talk]).await.members[who].record.binding.is_some();
            let proxy = if bound { Change::Clear } else { Change::Set(ours(talk as u32)) };
            let moved = ParticipantChange { proxy, ..Default::default() };
            change(house, &talks[talk], &sid, moved).await.map(drop)
        }
        Step::Close(talk) => {
            if house.state(&talks[talk]).await.head.state.open() {
                close(house, &talks[talk]).await;
            }
            return;
        }
        Step::Delete(talk) => {
            let (account, service) = (&house.account, &house.service);
            let sid = std::mem::replace(&mut talks[talk], house.conversation().await);
            house.relay.delete_conversation(account, service, sid.as_str(), Cause::api(false)).await.unwrap();
            return;
        }
    };
    if done.is_err() {
        assert_eq!(house.rows(None).await, before, "refused, and yet something was done");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_every_complete_set_of_an_open_conversation_is_its_own(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let house = House::new().await;
            let mut talks = Vec::new();
            for _ in 0..4 {
                talks.push(house.conversation().await);
            }
            for step in steps {
                walk(&house, &mut talks, step).await;
                let held = claims(&house).await;
                let mut open = BTreeMap::new();
                for talk in &talks {
                    let state = house.state(talk).await;
                    assert!(state.members.len() <= MOST);
                    if let Some(name) = set(&state).map(|set| digest(&set)).filter(|_| state.head.state.open()) {
                        assert_eq!(open.insert(name.to_vec(), talk.clone()), None, "two have the same set");
                        assert_eq!(held.get(name.as_slice()), Some(talk));
                    }
                }
                // What is claimed beside these belongs to closed conversations, and does not count.
                for (name, talk) in held.iter().filter(|(name, _)| !open.contains_key(*name)) {
                    assert!(!house.state(talk).await.head.state.open(), "{name:?} is held for nothing");
                }
            }
        });
    }
}
