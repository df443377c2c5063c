#![allow(clippy::unwrap_used)]
use serde_json::Map;
use trunkline_adapter::Timestamp;

use super::*;
use crate::model::conversation::Mark;
use crate::model::{ConversationRecord, ConversationSid, Head, Mint, ServiceSid, State};

fn account() -> AccountSid {
    AccountSid::parse("AC00000000000000000000000000000001").unwrap()
}

fn conversation(mint: &Mint, revision: u64) -> Arc<Conversation> {
    let head = Head {
        state: State::Active,
        service: ServiceSid::new(mint),
        next_index: 0,
        document: Mark::ThisWrite,
        roster: Mark::ThisWrite,
        messages: Mark::ThisWrite,
        timers: None,
    };
    let record = ConversationRecord {
        sid: ConversationSid::new(mint),
        friendly_name: None,
        unique_name: None,
        messaging_service_sid: None,
        inactive_after: None,
        closed_after: None,
        attributes: "{}".to_owned(),
        birth: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
        webhooks: Vec::new(),
        created_by: None,
        rest: Map::new(),
    };
    let (record, members) = (Arc::new(record), Arc::default());
    Arc::new(Conversation { head, head_revision: revision, record, record_revision: 1, members })
}

#[test]
fn a_late_reader_neither_replaces_the_newer_nor_brings_back_the_removed() {
    let (cache, account, mint) = (Cache::default(), account(), Mint::seeded(1));
    let old = conversation(&mint, 1);
    let new = Arc::new(Conversation { head_revision: 2, ..(*old).clone() });
    let sid = old.sid().as_str();
    let late = cache.ticket();
    cache.put(cache.ticket(), &account, new.clone());
    cache.put(late, &account, old.clone());
    assert_eq!(cache.get(&account, sid).unwrap().head_revision, 2);
    cache.forget(&account, sid);
    cache.put(late, &account, old.clone());
    assert!(cache.get(&account, sid).is_none());
    cache.put(cache.ticket(), &account, old.clone());
    assert!(cache.get(&account, sid).is_some());
}

#[test]
fn memory_is_bounded_and_what_is_used_stays() {
    let (cache, account, mint) = (Cache::keeping(16), account(), Mint::seeded(1));
    let used = conversation(&mint, 1);
    cache.put(cache.ticket(), &account, used.clone());
    for _ in 0..100 {
        cache.put(cache.ticket(), &account, conversation(&mint, 1));
        assert!(cache.get(&account, used.sid().as_str()).is_some());
    }
    let shelves = cache.shelves();
    assert!(shelves.young.len() + shelves.old.len() <= 18);
}
