//! Hot conversations in memory, and turns on them.
//!
//! Never older than what somebody was answered: a newer conversation is not replaced by an older one, and what was read
//! before something was forgotten is not kept. A decision checks the head all the same, and the turns only make
//! conflicts rare; correctness rests on neither.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{AccountSid, Conversation};

/// Conversations and members kept, together; a member takes a kilobyte or so.
const KEPT: usize = 131_072;
const STRIPES: usize = 256;

pub struct Cache {
    shelves: Mutex<Shelves>,
    turns: Vec<Arc<tokio::sync::Mutex<()>>>,
    /// Without a secret: the names are our own, and a simulation repeats itself.
    hash: BuildHasherDefault<DefaultHasher>,
    kept: usize,
}

type Shelf = HashMap<(AccountSid, Arc<str>), Arc<Conversation>>;

/// Two generations: what is used moves to the young one; when that is half full, the old one is let go.
#[derive(Default)]
struct Shelves {
    young: Shelf,
    old: Shelf,
    /// What lies on the young shelf.
    weight: usize,
    /// How often something was taken away.
    taken: u64,
}

/// A turn on a conversation, as long as it is held.
pub type Turn = tokio::sync::OwnedMutexGuard<()>;

/// Says what had been taken away when a reading or a commit began.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

impl Default for Cache {
    fn default() -> Cache {
        Cache::keeping(KEPT)
    }
}

impl Cache {
    fn keeping(kept: usize) -> Cache {
        Cache {
            shelves: Mutex::default(),
            turns: (0..STRIPES).map(|_| Arc::default()).collect(),
            hash: BuildHasherDefault::default(),
            kept,
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be drawn before what is put is read or committed.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.shelves().taken)
    }

    pub fn get(&self, account: &AccountSid, sid: &str) -> Option<Arc<Conversation>> {
        let key = (account.clone(), Arc::from(sid));
        let mut shelves = self.shelves();
        if let Some(found) = shelves.young.get(&key) {
            return Some(found.clone());
        }
        let found = shelves.old.remove(&key)?;
        shelves.put(self.kept, key, found.clone());
        Some(found)
    }

    /// Keeps a conversation, unless something newer may be known of it.
    pub fn put(&self, ticket: Ticket, account: &AccountSid, conversation: Arc<Conversation>) {
        let key = (account.clone(), Arc::from(conversation.sid().as_str()));
        let mut shelves = self.shelves();
        let newer = |known: &Arc<Conversation>| known.head_revision >= conversation.head_revision;
        if shelves.young.get(&key).or_else(|| shelves.old.get(&key)).is_some_and(newer) {
            return;
        }
        if shelves.taken == ticket.0 {
            shelves.put(self.kept, key, conversation);
        } else {
            // Between reading and now it may have been removed: the next one who asks reads again.
            shelves.remove(&key);
        }
    }

    pub fn forget(&self, account: &AccountSid, sid: &str) {
        let mut shelves = self.shelves();
        shelves.taken += 1;
        shelves.remove(&(account.clone(), Arc::from(sid)));
    }

    /// Waits for a turn on a conversation. Never wait for another one while holding it: two conversations may share it.
    pub async fn turn(&self, sid: &str) -> Turn {
        let stripe = self.hash.hash_one(sid) as usize % STRIPES;
        Arc::clone(&self.turns[stripe]).lock_owned().await
    }
}

impl Shelves {
    fn put(&mut self, kept: usize, key: (AccountSid, Arc<str>), conversation: Arc<Conversation>) {
        if self.weight >= kept / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
            self.taken += 1;
        }
        self.remove(&key);
        self.weight += weight(&conversation);
        self.young.insert(key, conversation);
    }

    fn remove(&mut self, key: &(AccountSid, Arc<str>)) {
        self.old.remove(key);
        if let Some(gone) = self.young.remove(key) {
            self.weight -= weight(&gone);
        }
    }
}

fn weight(conversation: &Conversation) -> usize {
    1 + conversation.members.len()
}

#[cfg(test)]
#[path = "cache_test.rs"]
mod tests;
