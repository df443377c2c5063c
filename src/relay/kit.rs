//! A relay on the memory engine, with short words for what tests do with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use trunkline_adapter::{Address, Clock, Inbound, InboundMessage, Part, Person, Timestamp};

use super::command::{NewConversation, NewMessage, NewParticipant, Who};
use super::intake::Origin;
use super::{KeywordSettings, OptOuts, Parts, Proxy, Relay, RelayError};
use crate::announce::Cause;
use crate::bindings::Bindings;
use crate::ledger::Ledger;
use crate::ledger::engine::{Engine, Row};
use crate::ledger::key::{Key, Range, Space};
use crate::ledger::memory::Memory;
use crate::ledger::{tables, typed};
use crate::model::{
    AccountSid, Compact, Conversation, ConversationSid, Dispatch, MessageRecord, Mint, ParticipantSid,
    ServiceSid,
};
use crate::work::{Job, Wakeups};

/// From this one on our numbers can carry group texts.
pub const GROUPS: u32 = 60;

pub const NOON: Timestamp = Timestamp(1_700_000_000_000_000);

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// A number of ours.
pub fn ours(number: u32) -> Address {
    address(&format!("+1202555{number:04}"))
}

/// Somebody's number.
pub fn phone(number: u32) -> Address {
    address(&format!("+1303555{number:04}"))
}

#[derive(Default)]
pub struct Set(Mutex<HashSet<(String, String)>>);

impl Set {
    pub fn has(&self, proxy: &Address, address: &Address) -> bool {
        self.0.lock().unwrap().contains(&(proxy.to_string(), address.to_string()))
    }
}

impl OptOuts for Set {
    fn add(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.lock().unwrap().insert((proxy.to_string(), address.to_string()));
    }

    fn remove(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.lock().unwrap().remove(&(proxy.to_string(), address.to_string()));
    }
}

pub struct House {
    pub memory: Arc<Memory>,
    pub relay: Arc<Relay>,
    pub account: AccountSid,
    pub service: ServiceSid,
    pub set: Arc<Set>,
    pub wakeups: Wakeups,
    pub _folder: tempfile::TempDir,
}

impl House {
    pub async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let bindings = Bindings::new(folder.path());
        House::on(Arc::new(Memory::new(1_000)), bindings, folder).await
    }

    /// On rows that are there, with this binding table.
    pub async fn on(memory: Arc<Memory>, bindings: Bindings, folder: tempfile::TempDir) -> House {
        House::at(NOON, memory, bindings, folder).await
    }

    /// As [`House::on`], at some time.
    pub async fn at(
        now: Timestamp,
        memory: Arc<Memory>,
        bindings: Bindings,
        folder: tempfile::TempDir,
    ) -> House {
        let mint = Mint::seeded(memory.published());
        let (set, wakeups) = (Arc::<Set>::default(), Wakeups::default());
        let relay = Arc::new(Relay::new(Parts {
            ledger: Ledger::new(memory.clone()),
            bindings: Arc::new(bindings),
            wakeups: wakeups.clone(),
            opt_outs: set.clone(),
            mint,
            clock: Clock::at(now),
        }));
        let mut proxies = HashMap::new();
        for number in 0..64 {
            proxies.insert(
                ours(number),
                Proxy { keywords: true, correlated: false, group_texts: number >= GROUPS },
            );
        }
        for other in ["whatsapp:+12025550000", "messenger:1000"] {
            proxies.insert(address(other), Proxy { keywords: false, correlated: false, group_texts: false });
        }
        let account = AccountSid::parse("AC00000000000000000000000000000001").unwrap();
        relay.proxies().replace(account.clone(), proxies);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        relay.keywords().replace(KeywordSettings {
            enabled: true,
            stop: words(&["STOP"]),
            start: words(&["START", "YES"]),
            help: words(&["HELP"]),
        });
        let service = relay.default_service(&account).await.unwrap().sid;
        House { memory, relay, account, service, set, wakeups, _folder: folder }
    }

    pub fn origin(&self) -> Origin<'_> {
        Origin { adapter: "test", kind: "test", account: &self.account }
    }

    pub async fn conversation(&self) -> ConversationSid {
        let new = NewConversation::default();
        self.relay
            .create_conversation(&self.account, &self.service, new, Cause::api(false))
            .await
            .unwrap()
            .sid()
            .clone()
    }

    pub async fn bind(
        &self,
        conversation: &ConversationSid,
        proxy: &Address,
        address: &Address,
    ) -> Result<ParticipantSid, RelayError> {
        let who = Who::Bound { address: address.clone(), proxy: proxy.clone() };
        self.join(conversation, who).await
    }

    pub async fn join(&self, conversation: &ConversationSid, who: Who) -> Result<ParticipantSid, RelayError> {
        let new = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
        let name = conversation.as_str();
        Ok(self.relay.add_participant(&self.account, &self.service, name, new, Cause::api(false)).await?.1)
    }

    /// A conversation of people (by number) on one of our numbers.
    pub async fn talk(&self, proxy: u32, people: &[u32]) -> ConversationSid {
        let conversation = self.conversation().await;
        for person in people {
            self.bind(&conversation, &ours(proxy), &phone(*person)).await.unwrap();
        }
        conversation
    }

    pub async fn take(&self, events: Vec<Inbound>) {
        self.relay.take(self.origin(), events).await.unwrap();
    }

    pub async fn post(&self, conversation: &ConversationSid, text: &str) -> (u64, MessageRecord) {
        let new = NewMessage {
            author: "system".to_owned(),
            template: None,
            media: Vec::new(),
            body: Some(text.to_owned()),
            subject: None,
            attributes: None,
            created: None,
            updated: None,
        };
        let posted = self
            .relay
            .post_message(&self.account, &self.service, conversation.as_str(), new, Cause::api(false))
            .await;
        let view = posted.unwrap().1;
        (view.index, view.record)
    }

    /// Lets the clean-up go on until its queue is empty, ending it after every few steps.
    pub async fn clean(&self) {
        for _ in 0..10_000 {
            let cleaning = tokio::spawn(Relay::clean_up(self.relay.clone(), self.account.clone()));
            for _ in 0..7 {
                tokio::task::yield_now().await;
            }
            cleaning.abort();
            let _ = cleaning.await;
            if self.rows(Some(Space::Queue)).await.is_empty() {
                return;
            }
        }
        panic!("the clean-up does not come to an end");
    }

    pub async fn state(&self, conversation: &ConversationSid) -> Arc<Conversation> {
        self.relay.conversation(&self.account, &self.service, conversation.as_str()).await.unwrap()
    }

    /// Every row, or those of a space.
    pub async fn rows(&self, space: Option<Space>) -> Vec<(Key, Row)> {
        let rows = self.memory.snapshot().scan(Range::all(), usize::MAX).await.unwrap();
        rows.into_iter().filter(|(key, _)| space.is_none_or(|space| key.space() == Some(space))).collect()
    }

    pub async fn messages(&self, conversation: &ConversationSid) -> Vec<(u64, MessageRecord)> {
        let prefix = tables::messages(self.account.as_str(), conversation.as_str());
        let rows = self.memory.snapshot().scan(Range::prefix(&prefix), usize::MAX).await.unwrap();
        rows.iter()
            .map(|(key, row)| {
                (tables::message_index(key).unwrap(), MessageRecord::decode(&row.payload).unwrap())
            })
            .collect()
    }

    pub async fn bodies(&self, conversation: &ConversationSid) -> Vec<String> {
        let messages = self.messages(conversation).await;
        messages.into_iter().map(|(_, record)| record.body.unwrap_or_default()).collect()
    }

    /// What waits to be sent, in the order of the keys.
    pub async fn queued(&self) -> Vec<Dispatch> {
        let rows = self.rows(Some(Space::Queue)).await;
        let outbound = rows.iter().filter(|(key, _)| key.rest().unwrap()[0] == 1);
        outbound
            .map(|(_, row)| Dispatch::decode(&Job::decode(&row.payload).unwrap().payload).unwrap())
            .collect()
    }

    pub async fn notices(&self) -> Vec<String> {
        let texts = self.queued().await.into_iter().filter_map(|dispatch| match dispatch {
            Dispatch::Notice { text } => Some(text),
            Dispatch::Message { .. } | Dispatch::Reply { .. } => None,
        });
        texts.collect()
    }

    pub async fn opted_out(&self, proxy: &Address, address: &Address) -> bool {
        let key = tables::opt_out(self.account.as_str(), proxy, address);
        let row = typed::json::<crate::model::OptOutRow>(&*self.memory.snapshot(), &key).await.unwrap();
        assert_eq!(row.is_some(), self.set.has(proxy, address), "the lanes' set is in line with the rows");
        row.is_some()
    }
}

pub fn text(text: &str) -> Vec<Part> {
    vec![Part::Text { text: text.to_owned() }]
}

/// A text from somebody (by number) to one of our numbers.
pub fn said(id: &str, from: u32, to: u32, body: &str) -> Inbound {
    wrote(id, Person::new(phone(from)), ours(to), body)
}

pub fn wrote(id: &str, from: Person, to: Address, body: &str) -> Inbound {
    Inbound::Message(InboundMessage {
        id: id.to_owned(),
        from,
        to,
        parts: text(body),
        reply_to: None,
        at: None,
    })
}
