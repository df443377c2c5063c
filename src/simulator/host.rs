//! The simulator as a whole: bound first, since adapters need its address, then given its providers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trunkline_adapter::{Address, Clock, Simulator};

use super::courier::{Courier, WAITING};
use super::fault::Switch;
use super::files::Files;
use super::phones::{Event, Phones};
use super::provider::Working;
use super::{Fault, Message, server};

/// Longest text that can be typed.
pub(super) const LONGEST_TEXT: usize = 4_096;
/// How long the daemon may take to answer a webhook.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A provider to play.
#[derive(Clone)]
pub struct Provider {
    /// The adapter's name in the configuration.
    pub adapter: String,
    /// Its provider's side.
    pub simulator: Arc<dyn Simulator>,
    /// Where the daemon takes its webhooks.
    pub webhook_url: String,
    /// The proxy addresses that live there.
    pub proxies: Vec<Address>,
}

/// What the page shows of the daemon, so that one can go on with REST.
#[derive(Clone, Debug, Serialize)]
pub struct Bridge {
    /// Base URL of the REST API.
    pub url: String,
    /// Base URL of metrics and health.
    pub admin_url: String,
    /// User name of its Basic authentication.
    pub account_sid: String,
    /// Password of its Basic authentication.
    pub auth_token: String,
    /// The conversation of the phones, once there is one.
    pub conversation_sid: Option<String>,
}

/// Somebody in the browser, who meets the daemon with the official SDK and not through a provider.
pub struct Visitor {
    /// What they are called.
    pub name: String,
    /// Who they are to the daemon.
    pub identity: String,
    /// Where the daemon is, as the page reaches it: scheme, host and port of its HTTP. The page may get files from there.
    pub root: String,
    /// Where the SDK connects.
    pub socket: String,
    /// Makes an access token. The page asks for one when it is opened, and before one ends.
    pub token: Box<dyn Fn() -> String + Send + Sync>,
}

/// Why nothing was typed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No text.
    #[error("the text is empty")]
    Empty,
    /// Too much text.
    #[error("the text is longer than {LONGEST_TEXT} characters")]
    TooLong,
    /// The phone cannot write there.
    #[error("a phone on {0} cannot write to an address on {1}")]
    OtherChannel(&'static str, &'static str),
    /// No provider has the proxy address.
    #[error("no simulated provider has this proxy address")]
    UnknownProxy,
    /// Too many webhooks wait for the daemon.
    #[error("too many webhooks wait for the daemon")]
    Busy,
    /// Too many phones.
    #[error("there are too many phones")]
    TooManyPhones,
}

/// A listener that adapters can already be pointed at.
pub struct Bound {
    listener: TcpListener,
    local: SocketAddr,
    visitor: Option<Visitor>,
}

impl Bound {
    /// Listens; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(listen: SocketAddr) -> std::io::Result<Bound> {
        let listener = TcpListener::bind(listen).await?;
        let local = listener.local_addr()?;
        Ok(Bound { listener, local, visitor: None })
    }

    /// Where the page of phones is.
    pub fn url(&self) -> String {
        let ip = match self.local.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.local.port()))
    }

    /// The `base_url` of an adapter.
    pub fn base_url(&self, adapter: &str) -> String {
        format!("{}/provider/{adapter}", self.url())
    }

    /// Puts somebody in the browser beside the phones.
    #[must_use]
    pub fn visited_by(self, visitor: Visitor) -> Bound {
        Bound { visitor: Some(visitor), ..self }
    }

    /// Begins to answer.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn serve(self, providers: Vec<Provider>, clock: Clock) -> Result<Host, reqwest::Error> {
        // Refused when the process has one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            // A proxy of the environment must not see what never leaves this machine.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .build()?;
        let phones = Arc::new(Phones::none());
        // Serials make provider ids, and the daemon may remember those of an earlier simulator.
        let first = u64::try_from(clock.now().0).unwrap_or(1);
        let serials = Arc::new(AtomicU64::new(first));
        let files = Arc::new(Files::none(serials.clone()));
        let kept = files.clone();
        let mut tasks = JoinSet::new();
        let providers = providers.into_iter().map(|provider| {
            let (jobs, waiting) = mpsc::channel(WAITING);
            let simulator = provider.simulator.clone();
            let courier = Courier { simulator, client: client.clone(), phones: phones.clone(), clock };
            tasks.spawn(courier.run(waiting));
            let (switch, phones) = (Switch::off(), phones.clone());
            let (serials, files, client) = (serials.clone(), files.clone(), client.clone());
            Working { provider, switch, phones, jobs, clock, serials, files, client }
        });
        let providers = providers.collect();
        let url = self.url();
        let loopback_only = self.local.ip().is_loopback();
        let bridge = Mutex::default();
        let policy = server::policy(self.visitor.as_ref());
        let visitor = self.visitor;
        let inside =
            Arc::new(Inside { phones, providers, files: kept, bridge, visitor, policy, loopback_only });
        tasks.spawn(server::run(self.listener, inside.clone()));
        Ok(Host { inside, url, _tasks: tasks })
    }
}

/// What every request may need.
pub(super) struct Inside {
    pub(super) phones: Arc<Phones>,
    pub(super) providers: Vec<Working>,
    pub(super) files: Arc<Files>,
    bridge: Mutex<Option<Bridge>>,
    pub(super) visitor: Option<Visitor>,
    /// What the page may load and reach.
    pub(super) policy: HeaderValue,
    /// Then a request must be addressed to this machine by a name for it; see `server`.
    pub(super) loopback_only: bool,
}

impl Inside {
    pub(super) fn provider(&self, adapter: &str) -> Option<&Working> {
        self.providers.iter().find(|working| working.provider.adapter == adapter)
    }

    pub(super) fn provider_of(&self, proxy: &Address) -> Option<&Working> {
        self.providers.iter().find(|working| working.provider.proxies.contains(proxy))
    }

    pub(super) fn bridge(&self) -> Option<Bridge> {
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn write(
        &self,
        phone: &Address,
        proxy: &Address,
        text: String,
        photo: Option<(&str, Bytes)>,
    ) -> Result<Message, TypeError> {
        if text.trim().is_empty() {
            return Err(TypeError::Empty);
        }
        if text.chars().count() > LONGEST_TEXT {
            return Err(TypeError::TooLong);
        }
        if phone.channel() != proxy.channel() {
            return Err(TypeError::OtherChannel(phone.channel().name(), proxy.channel().name()));
        }
        self.provider_of(proxy).ok_or(TypeError::UnknownProxy)?.write(phone, proxy, text, photo)
    }

    pub(super) fn set_fault(&self, adapter: &str, fault: Option<Fault>) -> bool {
        let Some(working) = self.provider(adapter) else { return false };
        working.switch.set(fault);
        self.phones.tell(Event::Fault { adapter: adapter.to_owned(), fault });
        true
    }
}

/// A running simulator. Dropping it ends it, open connections included.
pub struct Host {
    inside: Arc<Inside>,
    url: String,
    _tasks: JoinSet<()>,
}

impl Host {
    /// Where the page of phones is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lays a phone on the table. False when there are too many.
    pub fn add_phone(&self, address: &Address, name: &str, proxy: &Address) -> bool {
        self.inside.phones.meet(address, proxy, Some(name.to_owned())).is_ok()
    }

    /// Tells the page about the daemon.
    pub fn show_bridge(&self, bridge: Bridge) {
        *self.inside.bridge.lock().unwrap_or_else(PoisonError::into_inner) = Some(bridge);
        self.inside.phones.tell(Event::Bridge);
    }

    /// Writes a message on a phone; it goes to the daemon as a signed webhook.
    ///
    /// # Errors
    /// See [`TypeError`].
    pub fn write(&self, phone: &Address, proxy: &Address, text: &str) -> Result<Message, TypeError> {
        self.inside.write(phone, proxy, text.to_owned(), None)
    }

    /// As [`Host::write`], with a photo (its type and bytes) that the text is the caption of.
    ///
    /// # Errors
    /// See [`TypeError`].
    pub fn write_with_photo(
        &self,
        phone: &Address,
        proxy: &Address,
        text: &str,
        photo: (&str, Bytes),
    ) -> Result<Message, TypeError> {
        self.inside.write(phone, proxy, text.to_owned(), Some(photo))
    }

    /// Waits for a message that fits, one that is already there included. Waits for ever, so give it a deadline.
    pub async fn wait_for(&self, fits: impl Fn(&Message) -> bool) -> Message {
        self.inside.phones.wait_for(fits).await
    }

    /// Turns the switch of an adapter's provider. False when there is none of this name.
    pub fn set_fault(&self, adapter: &str, fault: Option<Fault>) -> bool {
        self.inside.set_fault(adapter, fault)
    }

    /// Turns every switch off, which also lets go of every request that hangs.
    pub fn clear_faults(&self) {
        for working in &self.inside.providers {
            self.inside.set_fault(&working.provider.adapter, None);
        }
    }
}
