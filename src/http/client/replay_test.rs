//! Whoever was away, did not read, or comes to a store that was restored, ends with exactly what is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use trunkline_adapter::DeliveryStatus;

use super::kit::{furnish, house, move_receipt, object, path};
use crate::ledger::dump;
use crate::ledger::engine::Durability;
use crate::ledger::engine::Engine;
use crate::ledger::incarnation::Incarnation;
use crate::ledger::memory::Memory;
use crate::ledger::restore::restore;
use crate::ledger::store::{Restoration, Store, StoreSettings};
use crate::sync::Tap;

#[tokio::test]
async fn a_client_that_does_not_read_is_brought_up_to_date_from_the_rows() {
    let house = house().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    let messages = object(&room, "messages");
    bob.take(&messages).await;
    for number in 0..2_300 {
        alice.post(&format!("{name}/Messages"), json!({ "body": number.to_string() })).await;
        if number % 50 == 0 {
            house.settle().await;
        }
    }
    house.settle().await;
    // What waits is bounded: the rest comes in pieces as it is read, each message once and in its order.
    bob.hear().await;
    assert_eq!(bob.held[&messages].items.len(), 2_300);
    alice.post(&format!("{name}/Messages"), json!({ "body": "last" })).await;
    house.settle().await;
    assert_eq!(bob.hear().await, ["list_item_added"]);
    bob.assert_whole().await;
}

#[tokio::test]
async fn a_client_of_a_store_that_was_restored_ends_with_what_is_restored() {
    let house = house().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    for which in ["conversation", "messages", "participants"] {
        bob.take(&object(&room, which)).await;
    }
    let messages = format!("{name}/Messages");
    let first = alice.post(&messages, json!({ "body": "first" })).await;
    alice.post(&messages, json!({ "body": "second" })).await;
    let mut saved = Vec::new();
    dump::dump(&**house.ledger.engine(), Incarnation::NONE, &mut saved).await.unwrap();
    // What happens now is lost with the store, and its clients know it.
    let edited = format!("{messages}/{}", first["sid"].as_str().unwrap());
    alice.post(&edited, json!({ "body": "edited" })).await;
    alice.post(&name, json!({ "friendly_name": "Renamed" })).await;
    for number in 0..5 {
        alice.post(&messages, json!({ "body": number.to_string() })).await;
    }
    house.settle().await;
    bob.hear().await;
    assert_eq!(bob.held[&object(&room, "messages")].items.len(), 7);

    let folder = tempfile::tempdir().unwrap();
    restore(folder.path(), &saved[..], 1_700_000_100_000_000).unwrap();
    let tap = Tap::default();
    let settings = StoreSettings {
        path: folder.path().to_owned(),
        durability: Durability::Process,
        keep_free: 0,
        cache_bytes: 1 << 20,
    };
    let store = Store::open(settings, 1_700_000_101_000_000, vec![tap.follower()]).unwrap();
    let restored = furnish(store.engine(), &tap, store.restoration()).await;
    let alice = restored.come("alice").await;
    // An index of a lost message, given anew while Bob still holds that one.
    alice.post(&messages, json!({ "body": "instead" })).await;
    bob.come_again(&restored, "bob").await;
    let heard = bob.hear().await;
    let last = |word: &str| heard.iter().rposition(|event| event == word).unwrap();
    assert!(last("list_item_removed") < last("list_item_added"), "{heard:?}");
    assert_eq!(bob.held[&object(&room, "messages")].items.len(), 3);
    bob.assert_whole().await;
    for number in 0..3 {
        alice.post(&messages, json!({ "body": format!("new {number}") })).await;
    }
    while bob.held[&object(&room, "messages")].items.len() < 6 {
        bob.hear().await;
    }
    bob.hear().await;
    bob.assert_whole().await;
}

#[tokio::test]
async fn after_a_restart_who_missed_nothing_hears_nothing() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new(1_700_000_000_000_000));
    let house = furnish(Arc::clone(&engine), &Tap::default(), Restoration::default()).await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let name = path(&room["url"]);
    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
    let first = alice.post(&format!("{name}/Messages"), json!({ "body": "first" })).await;
    house.pass().await;
    for which in ["conversation", "messages", "participants"] {
        bob.take(&object(&room, which)).await;
    }
    bob.hear().await;
    // A daemon that has just started remembers no change, and asks the rows.
    let again = furnish(Arc::clone(&engine), &Tap::default(), Restoration::default()).await;
    bob.come_again(&again, "bob").await;
    assert_eq!(bob.hear().await, ["subscription_established"; 3]);
    let alice = again.come("alice").await;
    let edited = format!("{name}/Messages/{}", first["sid"].as_str().unwrap());
    alice.post(&edited, json!({ "body": "edited" })).await;
    alice.post(&format!("{name}/Participants"), json!({ "identity": "cyd" })).await;
    again.pass().await;
    let again = furnish(engine, &Tap::default(), Restoration::default()).await;
    bob.come_again(&again, "bob").await;
    let mut heard = bob.hear().await;
    heard.retain(|kind| kind != "subscription_established");
    heard.sort();
    // The document tells of the newest message, so a change of messages is told as one of it, too.
    assert_eq!(heard, ["document_updated", "list_item_updated", "map_item_added"]);
    bob.assert_whole().await;
}

#[derive(Clone, Debug)]
enum Act {
    Post,
    Edit(u64),
    Remove(u64),
    Receipt(u64),
    Rename(u8),
    Add(u8),
    TakeOut(u8),
    Read(u64),
    Mute(bool),
    Call(u8),
    Bob(bool),
    /// So much happens elsewhere that a decision's numbers cannot reach beyond it.
    Gap,
    /// The client reads what it was told.
    Hear,
    /// The client's socket breaks, and it comes again.
    Break,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Post),
        2 => (0..12u64).prop_map(Act::Edit),
        2 => (0..12u64).prop_map(Act::Remove),
        2 => (0..12u64).prop_map(Act::Receipt),
        1 => (0..4u8).prop_map(Act::Rename),
        1 => (0..3u8).prop_map(Act::Add),
        1 => (0..3u8).prop_map(Act::TakeOut),
        1 => (0..12u64).prop_map(Act::Read),
        1 => any::<bool>().prop_map(Act::Mute),
        1 => (0..3u8).prop_map(Act::Call),
        1 => any::<bool>().prop_map(Act::Bob),
        1 => Just(Act::Gap),
        2 => Just(Act::Hear),
        2 => Just(Act::Break),
    ];
    prop::collection::vec(act, 1..40)
}

async fn play(acts: Vec<Act>) {
    let house = house().await;
    house.permit_all().await;
    let (alice, mut bob) = (house.come("alice").await, house.come("bob").await);
    let room = alice.conversation("room").await;
    let (name, sid) = (path(&room["url"]), room["sid"].as_str().unwrap().to_owned());
    let own = bob.get("/Client/v2/Configuration").await["sync_objects"].clone();
    bob.take(own["my_conversations"].as_str().unwrap()).await;
    let profile = alice.get("/Client/v2/Users/alice").await["sync_objects"]["user_info_map"].clone();
    bob.take(profile.as_str().unwrap()).await;
    let phone =
        json!({ "messaging_binding": { "address": "+15557654321", "proxy_address": "+15550001111" } });
    alice.post(&format!("{name}/Participants"), phone).await;
    let mut joined = false;
    let mut texts: Vec<String> = Vec::new();
    for act in std::iter::once(Act::Bob(true)).chain(acts) {
        let message = |index: &u64| texts.get(*index as usize).map(|sid| format!("{name}/Messages/{sid}"));
        match act {
            Act::Post => {
                let sent = alice.post(&format!("{name}/Messages"), json!({ "body": "x" })).await;
                texts.push(sent["sid"].as_str().unwrap().to_owned());
            }
            Act::Edit(index) => {
                if let Some(message) = message(&index) {
                    alice.ask("POST", &message, json!({ "body": format!("{}", texts.len()) })).await;
                }
            }
            Act::Remove(index) => {
                if let Some(message) = message(&index) {
                    alice.ask("DELETE", &message, json!({})).await;
                }
            }
            Act::Receipt(index) => move_receipt(&house, &room, index, DeliveryStatus::Sent).await,
            Act::Rename(to) => drop(alice.post(&name, json!({ "friendly_name": to.to_string() })).await),
            Act::Add(who) => {
                let body = json!({ "identity": format!("c{who}") });
                alice.ask("POST", &format!("{name}/Participants"), body).await;
            }
            Act::TakeOut(who) => {
                alice.ask("DELETE", &format!("{name}/Participants/c{who}"), json!({})).await;
            }
            Act::Read(index) if joined => {
                let target = format!("/Client/v2/Users/bob/Conversations/{sid}");
                bob.post(&target, json!({ "last_read_message_index": index })).await;
            }
            Act::Mute(muted) if joined => {
                let level = if muted { "muted" } else { "default" };
                let target = format!("/Client/v2/Users/bob/Conversations/{sid}");
                bob.post(&target, json!({ "notification_level": level })).await;
            }
            Act::Read(_) | Act::Mute(_) => {}
            Act::Call(to) => {
                alice.post("/Client/v2/Users/alice", json!({ "friendly_name": to.to_string() })).await;
            }
            Act::Bob(there) => {
                if there && !joined {
                    alice.post(&format!("{name}/Participants"), json!({ "identity": "bob" })).await;
                    for which in ["conversation", "messages", "participants"] {
                        bob.take(&object(&room, which)).await;
                    }
                } else if !there && joined {
                    alice.ask("DELETE", &format!("{name}/Participants/bob"), json!({})).await;
                    // What a client does when it hears that it is out.
                    for which in ["conversation", "messages", "participants"] {
                        bob.held.remove(&object(&room, which));
                    }
                }
                joined = there;
            }
            Act::Gap => house.pass().await,
            Act::Hear => {
                house.settle().await;
                bob.hear().await;
            }
            Act::Break => bob.come_again(&house, "bob").await,
        }
    }
    house.settle().await;
    bob.hear().await;
    bob.assert_whole().await;
    bob.come_again(&house, "bob").await;
    bob.hear().await;
    bob.assert_whole().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whoever_was_away_ends_with_what_is_there(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(acts));
    }
}
