//! What walks in the background does so for each account, side by side, and for no other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use trunkline_adapter::{DeliveryStatus, Inbound, StatusReport};

use super::Relay;
use super::command::{NewConversation, NewParticipant, Who};
use super::intake::Origin;
use super::kit::{House, ours};
use crate::announce::Cause;
use crate::ledger::key::{Range, Space};
use crate::ledger::tables;
use crate::model::{AccountSid, ConversationSid};

/// Somebody in a new conversation of an account.
async fn talk(house: &House, account: &AccountSid) -> ConversationSid {
    let (relay, cause) = (&house.relay, Cause::api(false));
    let service = relay.default_service(account).await.unwrap().sid;
    let who = Who::Identity("ana".to_owned());
    let ana = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
    let new = NewConversation::default();
    let made = relay.create_with_participants(account, &service, new, &[ana], cause).await.unwrap();
    made.sid().clone()
}

async fn delete(house: &House, account: &AccountSid, talk: &ConversationSid) {
    let service = house.relay.default_service(account).await.unwrap().sid;
    house.relay.delete_conversation(account, &service, talk.as_str(), Cause::api(false)).await.unwrap();
}

/// Rows of an account in a space.
async fn count(house: &House, account: &AccountSid, space: Space) -> usize {
    let rows = house.rows(Some(space)).await;
    rows.iter().filter(|(key, _)| key.parts().is_some_and(|parts| parts.account == account.as_str())).count()
}

async fn parked(house: &House, account: &AccountSid) -> usize {
    let prefix = tables::all_parked(account.as_str());
    house.relay.ledger.snapshot().scan(Range::prefix(&prefix), usize::MAX).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn every_account_is_cleaned_and_swept() {
    let house = House::new().await;
    let other = AccountSid::parse("AC00000000000000000000000000000002").unwrap();
    let accounts = [house.account.clone(), other];
    for account in &accounts {
        tokio::spawn(Relay::clean_up(house.relay.clone(), account.clone()));
        tokio::spawn(Relay::sweep_parked(house.relay.clone(), account.clone()));
    }
    // Both sleep by then, and each is woken for its own.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut kept = Vec::new();
    for account in &accounts {
        let gone = talk(&house, account).await;
        kept.push(talk(&house, account).await);
        delete(&house, account, &gone).await;
        let report = StatusReport {
            id: "SM1".to_owned(),
            from: ours(1),
            correlation: None,
            status: DeliveryStatus::Delivered,
            error: None,
            learned: Vec::new(),
            at: None,
        };
        let origin = Origin { adapter: "test", kind: "test", account };
        house.relay.take(origin, vec![Inbound::Status(report)]).await.unwrap();
        assert_eq!(parked(&house, account).await, 1);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for account in &accounts {
        for space in [Space::Head, Space::Conversation, Space::Participant] {
            assert_eq!(count(&house, account, space).await, 1, "{space:?} of {account}");
        }
        assert_eq!(count(&house, account, Space::Queue).await, 0, "{account}");
    }
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    for (account, talk) in accounts.iter().zip(&kept) {
        assert_eq!(parked(&house, account).await, 0, "{account}");
        assert!(house.relay.load(account, talk.as_str()).await.unwrap().is_some());
    }
}
