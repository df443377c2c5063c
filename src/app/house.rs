//! What lives as long as the daemon, and how a configuration is put in force: at the start and at every reload alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use trunkline_adapter::{Address, Clock};

use super::files::Outgoing;
use super::plugs::Named;
use super::roster::Roster;
use super::tellers::Tellers;
use super::walks::Walks;
use super::{build, forwarding, notify, registry};
use crate::bindings::Bindings;
use crate::config::{self, Config, SystemSecrets, Watch};
use crate::forward::Forwards;
use crate::http::{self, Accounts, Base, Sockets};
use crate::ledger::incarnation::Incarnation;
use crate::ledger::{Ledger, LedgerError};
use crate::media::{Links, Media, Pictures};
use crate::model::AccountSid;
use crate::outbound::Lanes;
use crate::relay::Relay;
use crate::telemetry::exporter::Exporter;
use crate::telemetry::{self, log};
use crate::webhooks::Site;

/// The parts that a reload and the operator's doors need.
pub(super) struct House {
    pub relay: Arc<Relay>,
    pub roster: Arc<Roster>,
    pub lanes: Lanes,
    pub forwards: Forwards,
    pub accounts: Arc<Accounts>,
    pub base: Arc<Base>,
    /// Receives SDK clients.
    pub sockets: Arc<Sockets>,
    pub bindings: Arc<Bindings>,
    pub media: Media,
    pub links: Arc<Links>,
    pub pictures: Arc<Pictures>,
    pub outgoing: Arc<Outgoing>,
    pub ledger: Ledger,
    pub incarnation: Incarnation,
    /// The store's folder.
    pub store: PathBuf,
    pub exporter: Exporter,
    pub clock: Clock,
    pub http: reqwest::Client,
    pub level: Option<log::Level>,
    /// The configuration the daemon was started with: what needs a restart is told until there was one.
    pub started: Config,
    /// The configuration in force, and where it came from.
    pub config: tokio::sync::Mutex<Config>,
    pub path: Option<PathBuf>,
    /// Where the daemon really listens, for when no public URL is configured.
    pub listening: SocketAddr,
    pub webhooks: Site,
    pub tellers: Tellers,
    pub walks: Walks,
    pub ready: AtomicBool,
    pub draining: AtomicBool,
    /// The files whose change means a reload.
    pub files: watch::Sender<Vec<PathBuf>>,
}

/// How often files that nobody needs any more are removed; at the start too.
const SWEEP_MEDIA: Duration = Duration::from_secs(3600);
/// How often idempotency keys are swept. A key whose day is over does not count, swept or not.
const SWEEP_KEYS: Duration = Duration::from_secs(3600);

impl House {
    /// Forgets what callers' idempotency keys stood for when their day is over; runs until dropped.
    pub(super) async fn forget_keys(self: Arc<House>) {
        loop {
            for account in self.accounts.sids() {
                if let Err(error) = self.relay.forget_keys(&account).await {
                    tracing::error!(%error, "Idempotency keys cannot be swept");
                }
            }
            tokio::time::sleep(SWEEP_KEYS).await;
        }
    }

    /// Removes the contents that no row names any more; runs until dropped.
    pub(super) async fn sweep_media(self: Arc<House>) {
        loop {
            match self.media.sweep(&Named(self.relay.clone())).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "Files that nobody needs any more were removed"),
                Err(error) => tracing::error!(%error, "Files that nobody needs any more cannot be removed"),
            }
            tokio::time::sleep(SWEEP_MEDIA).await;
        }
    }

    /// Puts a configuration in force. What it does not change is not touched.
    pub(super) async fn apply(&self, config: &Config) -> Result<(), LedgerError> {
        let base = base_url(config, self.listening);
        self.outgoing.set_root(base.clone());
        let adapters = build::adapters(config, &self.roster.adapters(), &self.http, self.clock, &base);
        // The only step that can fail comes first, and a lane is there before anything can be queued for it.
        self.lanes.apply(build::lanes(config, &adapters), build::policies(config)).await?;
        let networks = config.server.trusted_proxies.clone();
        let trusted = move |peer| networks.iter().any(|network| network.contains(peer));
        self.base.set(config.server.public_url.as_deref(), Some(Box::new(trusted)));
        let accounts = config.accounts.iter().filter_map(|account| {
            let keys = account.api_keys.iter().map(|key| (key.sid.clone(), key.secret.clone())).collect();
            Some(http::Account {
                sid: AccountSid::parse(&account.sid)?,
                auth_token: account.auth_token.clone(),
                keys,
            })
        });
        // Before anything is told: by whose token, and where to.
        self.webhooks.set(build::webhooks(config));
        let allowed = config.egress.allow_private.clone();
        self.webhooks
            .caller
            .guard()
            .allow(move |address| allowed.iter().any(|network| network.contains(address)));
        for account in config.accounts.iter().filter_map(|account| AccountSid::parse(&account.sid)) {
            self.relay.hooks().load(&self.ledger, &account).await?;
            self.tellers.start(account).await?;
        }
        self.accounts.set(accounts.collect());
        self.sockets.limit(build::crowd(config));
        for name in adapters.keys() {
            telemetry::inbound::register(name);
            telemetry::media::register(name);
        }
        self.relay.keywords().replace(build::keywords(config));
        self.links.set_ttl(config.media.link_ttl);
        self.relay.limits().replace(build::limits(config));
        self.relay.templates().replace(build::templates(config));
        // Adapters work for the account the store was opened for; another first account takes effect with a restart.
        let account = self.roster.account();
        self.relay.proxies().replace(account.clone(), build::proxies(config, &adapters));
        self.relay.messaging_services().replace(account.clone(), build::messaging_services(config));
        self.forwards.apply(forwarding::target(config));
        self.roster.replace(account, adapters);
        // Whoever came in with a key that is gone has to go.
        self.roster.doors().iter().for_each(|door| door.recheck());
        // Last: what waits in an account's inbox is judged by all of the above.
        for account in self.accounts.sids() {
            self.walks.start(account).await?;
        }
        if let Some(level) = &self.level {
            level.set(config.log.level.name());
        }
        Ok(())
    }

    /// Reads the file again; all or nothing.
    pub(super) async fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let Some(path) = &self.path else {
            return Err(vec!["this daemon has no configuration file".to_owned()]);
        };
        // One at a time: the second waits and then sees what the first did.
        let mut current = self.config.lock().await;
        notify::reloading();
        let loaded = config::load(path, &registry::kinds(), Arc::new(SystemSecrets::serving()));
        let outcome = match loaded {
            Ok(loaded) => {
                self.follow(&loaded.config.secret_files);
                let change = config::diff(&current, &loaded.config);
                let mut lines = Vec::new();
                let pending = config::diff(&self.started, &loaded.config).restart;
                if !pending.is_empty() {
                    let keys = pending.join(", ");
                    tracing::warn!(%keys, "These keys take effect with the next restart");
                    lines.push(format!("needs a restart: {keys}"));
                }
                for proxy in &change.proxies_removed {
                    let line = self.removed(proxy).await;
                    tracing::warn!("{line}");
                    lines.push(line);
                }
                if change.is_empty() {
                    lines.push("nothing changed".to_owned());
                }
                failpoint!("reload::read");
                match self.apply(&loaded.config).await {
                    Ok(()) => {
                        failpoint!("reload::in-force");
                        lines.push("the configuration is in force".to_owned());
                        *current = loaded.config;
                        Ok(lines)
                    }
                    Err(error) => Err(vec![format!("the configuration cannot be put in force: {error}")]),
                }
            }
            Err(refused) => {
                self.follow(&refused.secret_files);
                Err(refused.lines.iter().map(ToString::to_string).collect::<Vec<_>>())
            }
        };
        match &outcome {
            Ok(_) => tracing::info!("The configuration was read again"),
            Err(lines) => {
                tracing::error!(
                    problems = lines.len(),
                    first = lines.first().map_or("", String::as_str),
                    "The configuration is refused; the old one stays in force"
                );
            }
        }
        telemetry::house::configured(outcome.is_ok(), true, self.clock.now());
        notify::ready("relaying");
        outcome
    }

    /// Says what hangs on a proxy address that the configuration no longer has.
    async fn removed(&self, proxy: &Address) -> String {
        let bound = match self.relay.conversations_on(&self.roster.account(), proxy).await {
            Ok(count) => count.to_string(),
            Err(error) => format!("an unknown number of ({error})"),
        };
        format!(
            "proxy address {proxy} was removed: {bound} conversations use it, and its messages are held until it returns"
        )
    }

    fn follow(&self, secrets: &[PathBuf]) {
        self.files.send_replace(watched(self.path.as_ref(), secrets));
    }

    /// Whether the file was edited between its reading and its watching: nothing would ever tell of it.
    async fn stale(&self) -> bool {
        let Some(path) = &self.path else { return false };
        let current = self.config.lock().await;
        let loaded = config::load(path, &registry::kinds(), Arc::new(SystemSecrets::serving()));
        current.server.watch
            && loaded.map_or(true, |loaded| !config::diff(&current, &loaded.config).is_empty())
    }

    /// Reloads when the file or a secret's file changes; ends when there is nothing to watch.
    pub(super) async fn watch(self: Arc<House>) {
        let mut files = self.files.subscribe();
        let first = files.borrow_and_update().clone();
        if first.is_empty() {
            return;
        }
        let mut watch = match Watch::start(first) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(%error, "The configuration file cannot be watched; use `trunkline reload`");
                return;
            }
        };
        if self.stale().await {
            // Refusals are logged and counted where they happen.
            let _ = self.reload().await;
        }
        loop {
            tokio::select! {
                changed = watch.changed() => {
                    if changed.is_none() {
                        tracing::warn!("Watching the configuration file ended; use `trunkline reload`");
                        return;
                    }
                    if self.config.lock().await.server.watch {
                        // Refusals are logged and counted where they happen.
                        let _ = self.reload().await;
                    }
                }
                told = files.changed() => {
                    if told.is_err() {
                        return;
                    }
                    watch.follow(files.borrow_and_update().clone());
                }
            }
        }
    }
}

/// The account that adapters work for.
pub(super) fn first_account(config: &Config) -> Option<AccountSid> {
    config.accounts.first().and_then(|account| AccountSid::parse(&account.sid))
}

/// Where the world reaches us: as configured, else where we listen.
pub(super) fn base_url(config: &Config, listening: SocketAddr) -> String {
    config.server.public_url.clone().unwrap_or_else(|| format!("http://{listening}"))
}

/// The files whose change means a reload; none without a configuration file.
pub(super) fn watched(path: Option<&PathBuf>, secrets: &[PathBuf]) -> Vec<PathBuf> {
    path.map_or_else(Vec::new, |path| std::iter::once(path).chain(secrets).cloned().collect())
}
