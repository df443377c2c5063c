//! A relay on the memory engine, fresh for each input, with one conversation that the fixtures' people are in.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use trunkline::announce::Cause;
use trunkline::bindings::Bindings;
use trunkline::ledger::Ledger;
use trunkline::ledger::engine::{Engine, Row};
use trunkline::ledger::key::{Key, Range};
use trunkline::ledger::memory::Memory;
use trunkline::model::{AccountSid, ConversationSid, Mint};
use trunkline::relay::command::{NewConversation, NewParticipant, Who};
use trunkline::relay::{KeywordSettings, OptOuts, Parts, Proxy, Relay};
use trunkline::work::Wakeups;
use trunkline_adapter::{Address, Clock, Timestamp};

/// Our addresses, by the adapters that serve them.
pub const SMS: &str = "+15550001111";
pub const WHATSAPP: &str = "whatsapp:+15550100";
pub const PAGE: &str = "messenger:1029384756";

/// The fixtures' people, each with the address of ours they write to.
const PEOPLE: [(&str, &str); 3] =
    [("+12025550123", SMS), ("whatsapp:+15550199", WHATSAPP), ("messenger:9001", PAGE)];

pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
const NOON: u64 = 1_760_000_000_000_000;

thread_local! {
    static KNOWN: RefCell<HashMap<&'static str, Address>> = RefCell::default();
    static RUNTIME: RefCell<tokio::runtime::Runtime> = RefCell::new(
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
    );
}

/// Runs a future to its end, and the tasks that it began as far as it needs them.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow(|runtime| runtime.block_on(future))
}

/// An address of ours or the fixtures'; parsed once, since that is what most of a run's time would go into.
pub fn address(text: &'static str) -> Address {
    KNOWN.with_borrow_mut(|known| {
        known.entry(text).or_insert_with(|| Address::parse(text).expect("an address")).clone()
    })
}

struct Nobody;

impl OptOuts for Nobody {
    fn add(&self, _: &str, _: &Address, _: &Address) {}

    fn remove(&self, _: &str, _: &Address, _: &Address) {}
}

pub struct House {
    pub relay: Arc<Relay>,
    pub engine: Arc<Memory>,
    pub account: AccountSid,
    pub conversation: ConversationSid,
}

impl House {
    pub async fn new() -> House {
        let engine = Arc::new(Memory::new(NOON));
        let relay = Arc::new(Relay::new(Parts {
            ledger: Ledger::new(Arc::clone(&engine) as Arc<dyn Engine>),
            // Never started: every look-up goes to the ledger, and no folder is made.
            bindings: Arc::new(Bindings::new(Path::new("bindings"))),
            wakeups: Wakeups::default(),
            opt_outs: Arc::new(Nobody),
            mint: Mint::seeded(7),
            clock: Clock::at(Timestamp(NOON as i64)),
        }));
        let account = AccountSid::parse(ACCOUNT).expect("a SID");
        let proxies = [(SMS, true), (WHATSAPP, false), (PAGE, false)];
        let proxies = proxies.map(|(text, keywords)| {
            (address(text), Proxy { keywords, correlated: keywords, group_texts: false })
        });
        relay.proxies().replace(account.clone(), HashMap::from(proxies));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        relay.keywords().replace(KeywordSettings {
            enabled: true,
            stop: words(&["STOP"]),
            start: words(&["START"]),
            help: words(&["HELP"]),
        });
        let service = relay.default_service(&account).await.expect("a service").sid;
        let made = relay
            .create_conversation(&account, &service, NewConversation::default(), Cause::api(false))
            .await;
        let conversation = made.expect("a conversation").sid().clone();
        for (person, proxy) in PEOPLE {
            let who = Who::Bound { address: address(person), proxy: address(proxy) };
            let new = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
            let joined = relay
                .add_participant(&account, &service, conversation.as_str(), new, Cause::api(false))
                .await;
            joined.expect("a participant");
        }
        House { relay, engine, account, conversation }
    }

    pub async fn rows(&self) -> Vec<(Key, Row)> {
        self.engine.snapshot().scan(Range::all(), usize::MAX).await.expect("the memory engine reads")
    }
}
