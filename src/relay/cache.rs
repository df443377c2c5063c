//! Hot conversations in memory, and turns on them.
//!
//! Safe to be stale: a decision made on a stale conversation fails its head check and is made again. The turns only
//! make that rare; correctness never rests on them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::MutexGuard;

use crate::model::{AccountSid, Conversation};

/// Conversations kept; one with a handful of members takes a few kilobytes.
const KEPT: usize = 16_384;
const STRIPES: usize = 256;

pub struct Cache {
    shelves: Mutex<Shelves>,
    turns: Vec<tokio::sync::Mutex<()>>,
    hash: RandomState,
}

/// Two generations: what is used moves to the young one; when that is half full, the old one is let go.
#[derive(Default)]
struct Shelves {
    young: HashMap<(AccountSid, Arc<str>), Arc<Conversation>>,
    old: HashMap<(AccountSid, Arc<str>), Arc<Conversation>>,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            shelves: Mutex::default(),
            turns: (0..STRIPES).map(|_| tokio::sync::Mutex::new(())).collect(),
            hash: RandomState::new(),
        }
    }
}

impl Cache {
    pub fn get(&self, account: &AccountSid, sid: &str) -> Option<Arc<Conversation>> {
        let key = (account.clone(), Arc::from(sid));
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shelves.young.get(&key) {
            return Some(found.clone());
        }
        let found = shelves.old.remove(&key)?;
        shelves.put(key, found.clone());
        Some(found)
    }

    pub fn put(&self, account: &AccountSid, conversation: Arc<Conversation>) {
        let key = (account.clone(), Arc::from(conversation.sid().as_str()));
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner).put(key, conversation);
    }

    pub fn forget(&self, account: &AccountSid, sid: &str) {
        let key = (account.clone(), Arc::from(sid));
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.young.remove(&key);
        shelves.old.remove(&key);
    }

    /// Waits for a turn on a conversation.
    pub async fn turn(&self, sid: &str) -> MutexGuard<'_, ()> {
        let stripe = self.hash.hash_one(sid) as usize % STRIPES;
        self.turns[stripe].lock().await
    }
}

impl Shelves {
    fn put(&mut self, key: (AccountSid, Arc<str>), conversation: Arc<Conversation>) {
        if self.young.len() >= KEPT / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, conversation);
    }
}
