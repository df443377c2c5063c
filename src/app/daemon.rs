//! A running daemon, from the opened store to the last written outcome.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trunkline_adapter::Clock;

use super::files::{Incoming, Outgoing};
use super::forwarding::Keep;
use super::house::{self, House};
use super::plugs::{Aliases, Connected, Set, Shown};
use super::roster::Roster;
use super::running::Running;
use super::staff::Staff;
use super::tellers::Tellers;
use super::walks::Walks;
use super::{build, listeners, notify, store_key};
use crate::bindings::Bindings;
use crate::config::{self, Config};
use crate::egress::{Caller, Fetcher, Guard, ScriptedNames};
use crate::forward::{Courier, Forwards};
use crate::http::admin::Admin;
use crate::http::operator::{self, Socket};
use crate::http::{self, Accounts, Base, Clients, Front, Limits, Listener, Sockets as Reception, Tokens};
use crate::ledger::engine::Durability;
use crate::ledger::engine::Follower;
use crate::ledger::store::{OpenError, Store, StoreSettings};
use crate::ledger::{Ledger, LedgerError};
use crate::media::{Downloads, Links, Media, MediaError, Pictures};
use crate::model::Mint;
use crate::outbound::{Lanes, OptOuts, Surroundings};
use crate::relay::{Parts, Relay};
use crate::sync::{Hub, Tap};
use crate::telemetry::exporter::Exporter;
use crate::telemetry::{self, log, mask};
use crate::webhooks::{self, Asker, Site};
use crate::work::Wakeups;

/// Memory for blocks read from disk. The kernel keeps the files' pages besides; with twice as much no message was quicker.
const CACHE: u64 = 64 << 20;
/// What is in flight at the end may take this long: longer than a provider may take to answer.
const DRAIN: Duration = Duration::from_secs(32);

/// Connected clients are let go within this time: one after the other, each with the answers it waits for.
const FAREWELL: Duration = Duration::from_secs(20);

/// The environment variable that says by how many seconds the clock is ahead of the system's.
const CLOCK_AHEAD: &str = "TRUNKLINE_TEST_CLOCK_AHEAD";
/// The one that says what names stand for, as [`ScriptedNames::read`] takes it.
const NAMES: &str = "TRUNKLINE_TEST_NAMES";
/// An operator's request may take this long.
const OPERATOR: Duration = Duration::from_secs(300);
/// The operator's doors close within this time.
const DOORS: Duration = Duration::from_secs(1);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Up,
    /// Nothing new is taken in.
    Closing,
    /// Everything is written.
    Down,
}

/// What a daemon is started with.
pub struct Start {
    pub config: Config,
    /// Where the configuration is read again from; without one there are no reloads.
    pub path: Option<PathBuf>,
    pub exporter: Exporter,
    pub level: Option<log::Level>,
    /// Sockets that are open already, instead of those that systemd hands over or the configuration names.
    pub sockets: Option<Sockets>,
    /// Where lanes work: they and the doors wait for each other less when each have threads of their own.
    pub lanes: Handle,
}

/// Listening sockets that somebody else opened.
pub struct Sockets {
    pub listen: std::net::TcpListener,
    pub admin_listen: std::net::TcpListener,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store cannot be opened")]
    Store(#[from] OpenError),
    #[error("the store cannot be read")]
    Ledger(#[from] LedgerError),
    #[error("a listener cannot be opened")]
    Listen(#[source] io::Error),
    #[error("the store's folder cannot be used")]
    Folder(#[source] io::Error),
    #[error("the place of files cannot be used")]
    Media(#[from] MediaError),
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
    #[error("the configuration names no account")]
    NoAccount,
}

/// A running daemon.
pub struct Daemon {
    house: Arc<House>,
    running: Running,
    stop: watch::Sender<Stage>,
    servers: JoinSet<()>,
    /// What operators look through; open until the very end, so that the draining can be watched.
    doors: JoinSet<()>,
    background: JoinSet<()>,
    /// Keeps the engine, and with it the lock on the folder.
    _store: Store,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Daemon {
    /// Starts everything; returns when it is ready.
    ///
    /// # Errors
    /// What could not be opened. Nothing is left running.
    pub async fn start(start: Start) -> Result<Daemon, StartError> {
        let Start { config, path, exporter, level, sockets, lanes: runtime } = start;
        let clock = clock();
        let account = house::first_account(&config).ok_or(StartError::NoAccount)?;

        // Listeners first: a port that is taken should not cost a start of the store.
        let (public, admin) = listeners::open(sockets, &config.server).await.map_err(StartError::Listen)?;
        let socket = operator::bind(&config.server.admin_socket).await.map_err(StartError::Listen)?;
        let address = public.first().map_or_else(|| admin.local_addr(), |first| first.local_addr());
        let address = address.map_err(StartError::Listen)?;
        let admin_address = admin.local_addr().map_err(StartError::Listen)?;

        let folder = config.store.path.clone();
        std::fs::create_dir_all(&folder).map_err(StartError::Folder)?;
        let bindings = Bindings::new(&folder.join("bindings"));
        let tap = Tap::default();
        let store = open(&config, clock, vec![bindings.follower(), tap.follower()])?;
        match store_key::load(&folder, store_key::LOG) {
            Ok(key) => mask::set_key(&key),
            Err(error) => tracing::warn!(
                %error,
                "The key that masks addresses cannot be kept; lines of this run cannot be joined with others"
            ),
        }
        let link_key = store_key::load(&folder, store_key::LINKS).map_err(StartError::Folder)?;
        failpoint!("start::opened");
        let (running, clean) = Running::mark(&folder).map_err(StartError::Folder)?;
        if !clean {
            tracing::warn!(
                "The last run did not end in order; the first message of each recipient may be sent twice"
            );
        }
        let engine = store.engine();
        bindings.start(&engine);
        let bindings = Arc::new(bindings);
        let ledger = Ledger::new(engine);
        let wakeups = Wakeups::default();
        let opt_outs = OptOuts::load(&*ledger.snapshot(), account.as_str()).await?;
        failpoint!("start::marked");
        let relay = Arc::new(Relay::new(Parts {
            ledger: ledger.clone(),
            bindings: bindings.clone(),
            wakeups: wakeups.clone(),
            opt_outs: Arc::new(Set(opt_outs.clone())),
            mint: Mint::system(),
            clock,
        }));
        let hub = Arc::new(Hub::new(&tap, ledger.clone()));
        hub.restored(store.restoration());
        relay.see_through(Arc::new(Connected(hub.clone())));
        relay.tell_typing_through(Arc::new(Connected(hub.clone())));
        let accounts = Arc::new(Accounts::new(Vec::new()));
        let tokens = Arc::new(Tokens::new(accounts.clone(), relay.clone(), clock));
        let clients = Arc::new(Clients::new(relay.clone(), hub.clone(), clock));
        let sockets = Arc::new(Reception::new(tokens.clone(), clients));
        let caller = Caller::new(guard(), webhooks::AGENT)?;
        let hooks = relay.hooks().clone();
        let mint = Arc::new(Mint::system());
        let webhooks = Site::new(ledger.clone(), clock, mint, wakeups.clone(), hooks, caller);
        relay.ask_through(Arc::new(Asker(webhooks.clone())));
        let learned = Arc::new(Aliases { relay: relay.clone(), account: account.clone() });
        let media = Media::open(&folder, &build::media_place(&config)).await?;
        let links = Arc::new(Links::new(&link_key, clock));
        links.set_ttl(config.media.link_ttl);
        let pictures = Arc::new(Pictures::new(media.clone()));
        let base = house::base_url(&config, address);
        let outgoing = Arc::new(Outgoing {
            account: account.clone(),
            media: media.clone(),
            pictures: pictures.clone(),
            links: links.clone(),
            root: RwLock::new(base.clone()),
        });
        let surroundings = Surroundings {
            files: outgoing.clone(),
            hooks: relay.hooks().clone(),
            ledger: ledger.clone(),
            clock,
            account: account.as_str().to_owned(),
            wakeups: wakeups.clone(),
            opt_outs,
            learned,
            mint: Arc::new(Mint::system()),
            runtime,
        };
        let http = build::client()?;
        let forwards = Forwards::new(Courier::new(
            ledger.clone(),
            clock,
            wakeups,
            webhooks.caller.clone(),
            Mint::system(),
            account.clone(),
            Arc::new(Keep { letters: webhooks.letters.clone(), clock }),
        ));
        let adapters = build::adapters(&config, &HashMap::new(), &http, clock, &base);
        let plans = build::lanes(&config, &adapters);
        let lanes = Lanes::start(surroundings, plans, build::policies(&config), clean).await?;
        relay.show_typing_through(Arc::new(Shown(lanes.typing_indicators())));
        let roster = Arc::new(Roster::new(relay.clone(), account.clone()));
        roster.replace(account.clone(), adapters);
        let fetcher = Fetcher::new(&webhooks.caller, webhooks::AGENT)?;
        let downloads = Downloads::new(media.clone(), fetcher, config.limits.media_body as u64);
        relay.plug_fetches(Arc::new(Incoming { downloads, roster: Arc::downgrade(&roster) }));
        let files = house::watched(path.as_ref(), &config.secret_files);
        let house = Arc::new(House {
            roster,
            relay: relay.clone(),
            sockets,
            lanes,
            forwards,
            accounts,
            base: Arc::new(Base::new(None)),
            bindings,
            media,
            links,
            pictures,
            outgoing,
            ledger,
            incarnation: store.incarnation(),
            store: folder.clone(),
            exporter,
            clock,
            http,
            level,
            started: config.clone(),
            config: tokio::sync::Mutex::new(config.clone()),
            path,
            listening: address,
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            files: watch::Sender::new(files),
            tellers: Tellers::new(webhooks.clone(), clean),
            walks: Walks::new(relay),
            webhooks,
        });
        telemetry::house::register();
        telemetry::webhooks::register();
        house.apply(&config).await?;
        telemetry::house::configured(true, false, clock.now());

        let (stop, stopped) = watch::channel(Stage::Up);
        let limits = Limits {
            webhook_body: config.limits.webhook_body,
            form_body: config.limits.form_body,
            media_body: config.limits.media_body,
            request_timeout: config.limits.request_timeout,
            concurrent: config.limits.concurrent_requests,
        };
        let mut servers = JoinSet::new();
        let front = Front::new(
            house.relay.clone(),
            house.roster.clone(),
            house.accounts.clone(),
            house.base.clone(),
            http::media::Door {
                relay: house.relay.clone(),
                media: house.media.clone(),
                links: house.links.clone(),
                pictures: house.pictures.clone(),
                tokens,
            },
            limits,
        );
        let front = Arc::new(front.with_sockets(house.sockets.clone()));
        let public = public.into_iter().map(Listener::Tcp).collect();
        servers.spawn(http::serve(public, front, limits, until(stopped.clone(), Stage::Closing)));
        let staff = Arc::new(Staff::new(house.clone()));
        let mut doors = JoinSet::new();
        let admin_doors = Arc::new(Admin::new(staff.clone()));
        let last = until(stopped.clone(), Stage::Down);
        doors.spawn(http::serve(vec![Listener::Tcp(admin)], admin_doors, limits, last));
        let operator = Arc::new(Socket::new(staff));
        // A reload waits for the verdict and a dump for the disk: an operator has more patience than a provider.
        let patient = Limits { request_timeout: OPERATOR, ..limits };
        let last = until(stopped, Stage::Down);
        doors.spawn(http::serve(vec![Listener::Unix(socket)], operator, patient, last));

        let mut background = JoinSet::new();
        background.spawn(house.clone().forget_keys());
        background.spawn(house.clone().sweep_media());
        background.spawn(house.relay.clone().keep_time());
        background.spawn(hub.run());
        background.spawn(house.exporter.clone().keep_up());
        background.spawn(house.clone().watch());
        house.ready.store(true, Ordering::Release);
        tracing::info!(%address, admin = %admin_address, "Listening");
        notify::ready("relaying");
        Ok(Daemon {
            house,
            running,
            stop,
            servers,
            doors,
            background,
            _store: store,
            address,
            admin: admin_address,
        })
    }

    /// Where the world is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where scrapers are served.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// The lines that `check` would print; the old configuration stays in force.
    pub async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        self.house.reload().await
    }

    /// Ends in order: no new requests, the open ones finished, lanes with nothing in flight, everything written.
    pub async fn stop(mut self) {
        notify::stopping();
        tracing::info!("Stopping");
        self.house.draining.store(true, Ordering::Release);
        // Nobody listens any more once the daemon is gone, so a failed send tells nothing.
        let _ = self.stop.send(Stage::Closing);
        while self.servers.join_next().await.is_some() {}
        let gone = join_all(self.house.roster.doors().iter().map(|door| door.drain()));
        if tokio::time::timeout(FAREWELL, gone).await.is_err() {
            tracing::warn!("Some clients had not gone when the daemon stopped");
        }
        self.background.shutdown().await;
        self.house.walks.shutdown().await;
        self.house.tellers.drain().await;
        let orderly = self.house.lanes.drain(DRAIN).await;
        failpoint!("stop::drained");
        if orderly {
            self.running.clear();
        }
        failpoint!("stop::cleared");
        let _ = self.stop.send(Stage::Down);
        // A scraper that keeps its connection open is no reason to stay.
        let _ = tokio::time::timeout(DOORS, async { while self.doors.join_next().await.is_some() {} }).await;
        tracing::info!("Stopped");
    }
}

/// The clock of this life. [`CLOCK_AHEAD`] is for tests alone: a week cannot be waited for.
#[expect(clippy::disallowed_methods, reason = "no setting: a door for tests, which no operator is to find")]
fn clock() -> Clock {
    let system = Clock::system();
    match std::env::var(CLOCK_AHEAD).ok().and_then(|seconds| seconds.parse().ok()) {
        Some(ahead) => {
            tracing::warn!(seconds = ahead, "The clock is ahead of the system's, for a test");
            Clock::at(system.now().plus(Duration::from_secs(ahead)))
        }
        None => system,
    }
}

/// The guard of this life. [`NAMES`] is for tests alone: nobody here owns a name that changes what it stands for. Whatever it
/// says, the guard judges.
#[expect(clippy::disallowed_methods, reason = "no setting: a door for tests, which no operator is to find")]
fn guard() -> Guard {
    let script = std::env::var(NAMES).ok().and_then(|text| ScriptedNames::read(&text));
    script.map_or_else(Guard::default, |names| {
        tracing::warn!("Names are looked up in a script, for a test");
        Guard::over(Arc::new(names))
    })
}

fn open(config: &Config, clock: Clock, followers: Vec<Arc<dyn Follower>>) -> Result<Store, OpenError> {
    let settings = StoreSettings {
        path: config.store.path.clone(),
        durability: match config.store.durability {
            config::Durability::Power => Durability::Power,
            config::Durability::Process => Durability::Process,
        },
        keep_free: config.store.keep_free,
        cache_bytes: CACHE,
    };
    Store::open(settings, u64::try_from(clock.now().0).unwrap_or(0), followers)
}

async fn until(mut stopped: watch::Receiver<Stage>, stage: Stage) {
    // An error means that the daemon is gone altogether.
    let _ = stopped.wait_for(|now| *now >= stage).await;
}
