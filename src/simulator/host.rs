//! The simulator as a whole: bound first, since adapters need its address, then given its providers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trunkline_adapter::{Address, Clock};

use super::courier::{Courier, WAITING};
use super::fault::Switch;
use super::files::Files;
use super::inside::{Bridge, Inside, Visitor};
use super::phones::{Event, Phones};
use super::provider::{Provider, TypeError, Working};
use super::{Fault, Message, answer, server};

/// How long the daemon may take to answer a webhook.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

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
        let policy = answer::policy(self.visitor.as_ref());
        let visitor = self.visitor;
        let inside =
            Arc::new(Inside { phones, providers, files: kept, bridge, visitor, policy, loopback_only });
        tasks.spawn(server::run(self.listener, inside.clone()));
        Ok(Host { inside, url, _tasks: tasks })
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
