//! One life of the daemon: the parts that `app` wires, wired the same way, on a store that was there before and with
//! providers that follow the script.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use trunkline::bindings::{Bindings, Progress};
use trunkline::ledger::engine::Engine;
use trunkline::ledger::{Ledger, LedgerError};
use trunkline::model::{AccountSid, ConversationSid, MessageMedia, Mint, ParticipantSid, ServiceSid};
use trunkline::outbound::{Files, LanePlan, Lanes, Learned, OptOuts, Ready, Surroundings};
use trunkline::relay::{self, KeywordSettings, Parts, Relay};
use trunkline::work::Wakeups;
use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Channel, Clock, Outbound, Outcome, OverLimit, Rate, Receipts,
    TextLimit, TextUnit,
};

use crate::disk::Ears;
use crate::world::{Proxy, Shared};

/// A provider as the daemon sees it.
struct Scripted {
    shared: Shared,
    capable: BTreeMap<Address, Capabilities>,
}

/// A request that is under way, however it ends.
struct Out<'a>(&'a Shared);

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let mut world = self.0.world();
        world.sink.under_way = world.sink.under_way.saturating_sub(1);
    }
}

impl Adapter for Scripted {
    fn capabilities(&self, proxy: &Address) -> Option<&Capabilities> {
        self.capable.get(proxy)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let answer = self.shared.world().arrive(outbound, &self.shared.auditor.books());
            let _out = Out(&self.shared);
            tokio::time::sleep(answer.wait).await;
            self.shared.world().answered(&answer);
            answer.outcome
        })
    }
}

fn capabilities(proxy: &Proxy) -> Capabilities {
    let channel = proxy.address.channel();
    let sms = channel == Channel::Sms;
    Capabilities {
        channel,
        text: TextLimit {
            most: if sms { 150 } else { 40 },
            unit: TextUnit::Characters,
            over: if sms { OverLimit::Fail(21617) } else { OverLimit::Split },
        },
        receipts: Receipts { delivered: true, read: !sms, correlated: sms },
        shut: None,
        templates: trunkline_adapter::Templates::Text,
        media: None,
        typing: None,
        idempotent: false,
        group_texts: false,
        keywords: sms,
        rate: Rate::per_second(1.0, 1),
        pair_rate: None,
    }
}

/// The lanes' opt-outs, as the relay knows them.
struct Set(OptOuts);

impl relay::OptOuts for Set {
    fn add(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.add(proxy, address);
    }

    fn remove(&self, _: &str, proxy: &Address, address: &Address) {
        self.0.remove(proxy, address);
    }
}

struct Aliases {
    relay: Arc<Relay>,
    account: AccountSid,
}

impl Learned for Aliases {
    fn learned(&self, _: &str, of: &ConversationSid, who: &ParticipantSid, addresses: Vec<Address>) {
        let (relay, account) = (self.relay.clone(), self.account.clone());
        let (of, who) = (of.clone(), who.clone());
        tokio::spawn(async move { relay.learn(&account, &of, &who, &addresses).await });
    }
}

pub struct Life {
    pub relay: Arc<Relay>,
    pub lanes: Lanes,
    pub service: ServiceSid,
    bindings: Arc<Bindings>,
    /// Whether the copy is really kept.
    copied: bool,
    shared: Shared,
    adapters: tokio::sync::Mutex<BTreeMap<&'static str, (u64, Arc<Scripted>)>>,
}

/// A table with its copy in a folder, equal to the ledger before anything else happens: its thread is the only one
/// beside ours, and must not decide anything.
pub async fn bindings(folder: Option<&Path>, ears: &Ears, shared: &Shared) -> Arc<Bindings> {
    let table = Bindings::new(folder.unwrap_or(Path::new("nowhere")));
    ears.listen(None);
    if folder.is_some() {
        ears.listen(Some(table.follower()));
        let engine: Arc<dyn Engine> = shared.disk.clone();
        table.start(&engine);
        let mut progress = table.progress();
        // The sender lives as long as the table.
        let _ = progress.wait_for(|now| *now != Progress::Building).await;
        assert!(table.ready(), "sled could not be used");
    }
    Arc::new(table)
}

impl Life {
    pub async fn start(
        shared: Shared,
        bindings: Arc<Bindings>,
        copied: bool,
        clock: Clock,
        clean: bool,
    ) -> Result<Life, LedgerError> {
        let engine: Arc<dyn Engine> = shared.disk.clone();
        let ledger = Ledger::new(engine);
        let wakeups = Wakeups::default();
        let account = shared.account.clone();
        let opt_outs = OptOuts::load(&*ledger.snapshot(), account.as_str()).await?;
        let (seed, policies) = {
            let mut world = shared.world();
            (world.dice.next(), world.policies)
        };
        let relay = Arc::new(Relay::new(Parts {
            ledger: ledger.clone(),
            bindings: bindings.clone(),
            wakeups: wakeups.clone(),
            opt_outs: Arc::new(Set(opt_outs.clone())),
            mint: Mint::seeded(seed),
            clock,
        }));
        let surroundings = Surroundings {
            files: Arc::new(NoFiles),
            hooks: relay.hooks().clone(),
            ledger,
            clock,
            account: account.as_str().to_owned(),
            wakeups,
            opt_outs,
            learned: Arc::new(Aliases { relay: relay.clone(), account: account.clone() }),
            mint: Arc::new(Mint::seeded(seed ^ 0xFFFF)),
            runtime: tokio::runtime::Handle::current(),
        };
        let adapters = tokio::sync::Mutex::new(BTreeMap::new());
        let plans = plans(&shared, &mut *adapters.lock().await);
        let lanes = Lanes::start(surroundings, plans, policies, clean).await?;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        relay.keywords().replace(KeywordSettings {
            enabled: true,
            stop: words(&["STOP"]),
            start: words(&["START"]),
            help: words(&["HELP"]),
        });
        let service = loop {
            match relay.default_service(&account).await {
                Ok(service) => break service.sid,
                Err(relay::RelayError::Ledger(error)) => return Err(error),
                // Such as a full disk: there is one as soon as there is room.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(500)).await,
            }
        };
        let life = Life { relay, lanes, service, bindings, copied, shared, adapters };
        life.apply().await?;
        tokio::spawn(life.relay.clone().clean_up(account.clone()));
        tokio::spawn(life.relay.clone().sweep_parked(account));
        Ok(life)
    }

    /// Puts today's configuration in force, in the order in which the daemon does.
    pub async fn apply(&self) -> Result<(), LedgerError> {
        let mut adapters = self.adapters.lock().await;
        let (proxies, removed, policies) = {
            let world = self.shared.world();
            (world.proxies.clone(), world.removed.clone(), world.policies)
        };
        let plans = plans(&self.shared, &mut adapters);
        let known: HashMap<Address, relay::Proxy> = plans
            .iter()
            .map(|plan| {
                let keywords = plan.proxy.channel() == Channel::Sms;
                (plan.proxy.clone(), relay::Proxy { keywords, correlated: keywords, group_texts: false })
            })
            .collect();
        self.lanes.apply(plans, policies).await?;
        self.relay.proxies().replace(self.shared.account.clone(), known);
        self.shared.world().in_force(&proxies, &removed);
        Ok(())
    }

    /// Whether the copy in sled is the ledger's rows.
    pub fn copy_differs(&self) -> Option<String> {
        if !self.copied {
            return None;
        }
        let books = self.shared.auditor.books();
        let mut rows = 0;
        for (key, payload) in &books.rows {
            if key.space() == Some(trunkline::ledger::key::Space::Binding) {
                rows += 1;
                if self.bindings.lookup(key) != trunkline::bindings::Lookup::Hit(payload.clone()) {
                    return Some(format!("the copy of {key:?} is not the ledger's row"));
                }
            }
        }
        let copied = self.bindings.count();
        (copied != Some(rows)).then(|| format!("{rows} bindings, and {copied:?} in the copy"))
    }
}

/// The lanes of today's configuration; an adapter whose settings are the same is the same.
fn plans(shared: &Shared, live: &mut BTreeMap<&'static str, (u64, Arc<Scripted>)>) -> Vec<LanePlan> {
    let world = shared.world();
    let mut plans = Vec::new();
    for proxy in &world.proxies {
        if world.removed.contains(&proxy.adapter) {
            live.remove(proxy.adapter);
            continue;
        }
        let edition = world.edition.get(proxy.adapter).copied().unwrap_or(0);
        if live.get(proxy.adapter).is_none_or(|(known, _)| *known != edition) {
            let own = world.proxies.iter().filter(|other| other.adapter == proxy.adapter);
            let capable = own.map(|own| (own.address.clone(), capabilities(own))).collect();
            live.insert(proxy.adapter, (edition, Arc::new(Scripted { shared: shared.clone(), capable })));
        }
        let Some((_, adapter)) = live.get(proxy.adapter) else { continue };
        plans.push(LanePlan {
            proxy: proxy.address.clone(),
            name: String::new(),
            adapter_name: proxy.adapter.to_owned(),
            kind: proxy.kind,
            adapter: adapter.clone(),
            rate: proxy.rate,
            pair_rate: proxy.pair_rate,
        });
    }
    plans
}

/// The people of the simulation send no files.
struct NoFiles;

impl Files for NoFiles {
    fn ready(&self, _: &MessageMedia, _: Option<u64>) -> Ready {
        Ready::Never
    }

    fn make(&self, _: &MessageMedia, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn link(&self, _: &MessageMedia) -> String {
        String::new()
    }
}
