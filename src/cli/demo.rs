//! `trunkline demo`: the whole daemon with nothing to install, its providers played on this machine.
//!
//! The daemon is the real one and is met only over HTTP: its configuration is a file, its providers are a base URL away,
//! the script uses the REST API with Basic authentication.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trunkline_adapter::{Channel, Clock, Secret};

use super::Failure;
use super::demo_error::DemoError;
use super::demo_rest::Rest;
use super::demo_script;
use super::demo_setting::{Scratch, Setting, VISITOR};
use super::workers::runtime;
use crate::app::{Daemon, Sockets, Start, registry};
use crate::config::{self, SystemSecrets};
use crate::http::token::{self, Wanted};
use crate::ledger::store;
use crate::simulator::{Bound, Bridge, Fault, Host, Provider, Visitor};
use crate::telemetry::exporter::Exporter;
use crate::telemetry::log;

/// Where the page of phones is, unless told otherwise.
const PAGE: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8800));

/// How long a token of the person in the browser lasts; the page gets another before its end.
const LIFE: Duration = Duration::from_secs(3600);

/// Arguments of `trunkline demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Where the page of phones is served [default: 127.0.0.1:8800, any free port with --once]; the REST API takes the
    /// next port, metrics and health the one after
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Stop after the script
    #[arg(long)]
    pub once: bool,
    /// Let a provider misbehave: drop, throttle, delay, duplicate or hang, and a channel, such as drop:whatsapp
    #[arg(long, value_name = "KIND:CHANNEL")]
    pub fault: Vec<FaultAt>,
}

/// A fault and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAt {
    /// What goes wrong.
    pub fault: Fault,
    /// At the provider of this channel.
    pub channel: Channel,
}

impl FromStr for FaultAt {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultAt, String> {
        let (fault, channel) = text.split_once(':').ok_or("write it like drop:whatsapp")?;
        let fault = fault.parse::<Fault>().map_err(|error| error.to_string())?;
        let channel = Channel::ALL.into_iter().find(|one| one.name() == channel);
        Ok(FaultAt { fault, channel: channel.ok_or("no such channel: write sms, whatsapp or messenger")? })
    }
}

/// `trunkline demo`.
pub(super) fn demo(args: DemoArgs) -> Result<(), Failure> {
    let level = log::install("warn", log::Format::Text);
    let told = runtime()?.block_on(run(args, level, &mut io::stdout()));
    told.map_err(|error| Failure::new(&error))
}

/// With `--once`, `Ok` says that every hop arrived and every receipt said so.
async fn run(
    args: DemoArgs,
    level: Option<log::Level>,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    // Before anything is written, so that an early Ctrl-C leaves nothing behind either.
    let mut interrupts = Interrupts::listen().map_err(DemoError::Signals)?;
    let page = args.listen.unwrap_or(if args.once { SocketAddr::new(PAGE.ip(), 0) } else { PAGE });
    let bound = Bound::bind(page).await.map_err(|error| DemoError::Listen(page, error))?;
    let listen = listener(beside(page, 1))?;
    let admin_listen = listener(beside(page, 2))?;
    let scratch = Scratch::make().map_err(DemoError::Scratch)?;
    let setting = Setting::new(&listen, &admin_listen).map_err(DemoError::Scratch)?;
    let config = setting.write(&scratch, |adapter| bound.base_url(adapter)).map_err(DemoError::Scratch)?;

    let loaded = config::load(&config, &registry::kinds(), Arc::new(SystemSecrets::serving()))?;
    let providers = loaded.config.adapters.iter().filter_map(|adapter| {
        Some(Provider {
            adapter: adapter.name.clone(),
            simulator: adapter.blueprint.simulator()?,
            webhook_url: format!("{}/webhooks/{}", setting.rest_url, adapter.name),
            proxies: adapter.proxies.iter().map(|proxy| proxy.address.clone()).collect(),
        })
    });
    let bound = bound.visited_by(visitor(&setting));
    let host = bound.serve(providers.collect(), Clock::system()).map_err(DemoError::Simulator)?;
    for FaultAt { fault, channel } in &args.fault {
        host.set_fault(channel.name(), Some(*fault));
    }
    for phone in &setting.phones {
        host.add_phone(&phone.address, phone.name, &phone.proxy);
    }

    let exporter = Exporter::install(store::FORMAT).map_err(|error| DemoError::Metrics(Box::new(error)))?;
    let sockets = Some(Sockets { listen, admin_listen });
    let start = Start {
        config: loaded.config,
        path: Some(config),
        exporter,
        level,
        sockets,
        lanes: Handle::current(),
    };
    let daemon = Daemon::start(start).await?;
    let told = tokio::select! {
        told = perform(&args, &setting, &host, out) => told,
        () = interrupts.first() => Ok(()),
    };
    // A provider that hangs would hold up the end.
    host.clear_faults();
    daemon.stop().await;
    told
}

async fn perform(
    args: &DemoArgs,
    setting: &Setting,
    host: &Host,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let rest = Rest::new(&setting.rest_url, &setting.account_sid, &setting.auth_token)?;
    let mut bridge = Bridge {
        url: setting.rest_url.clone(),
        admin_url: setting.admin_url.clone(),
        account_sid: setting.account_sid.clone(),
        auth_token: setting.auth_token.clone(),
        conversation_sid: None,
    };
    host.show_bridge(bridge.clone());
    let conversation = demo_script::invite(&rest, setting, out).await?;
    bridge.conversation_sid = Some(conversation.sid.clone());
    host.show_bridge(bridge);
    let told = demo_script::talk(&rest, host, &conversation, out).await;
    if args.once {
        return told;
    }
    if let Err(error) = told {
        // Whoever asked for a fault wants to see what comes next.
        writeln!(out, "\nThe script stopped: {error}.")?;
    }
    writeln!(out, "\nPhones    {}", host.url())?;
    writeln!(out, "REST API  {}", setting.rest_url)?;
    writeln!(out, "          account SID {}, auth token {}", setting.account_sid, setting.auth_token)?;
    writeln!(out, "Metrics   {}/metrics", setting.admin_url)?;
    writeln!(out, "Ctrl-C stops it and removes everything.")?;
    out.flush()?;
    std::future::pending().await
}

/// The person in the browser, who gets in with tokens like those that a customer's server makes.
fn visitor(setting: &Setting) -> Visitor {
    let (name, identity) = VISITOR;
    let (account, key) = (setting.account_sid.clone(), setting.visitor.key.clone());
    let secret = Secret::new(&setting.visitor.secret);
    let token = move || {
        let wanted = Wanted { account: &account, key: &key, identity, service: None, life: LIFE };
        token::sign(&wanted, &secret, Clock::system().now())
    };
    Visitor {
        name: name.to_owned(),
        identity: identity.to_owned(),
        root: setting.rest_url.clone(),
        socket: setting.socket_url(),
        token: Box::new(token),
    }
}

/// Ctrl-C, and the polite signal of a supervisor.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on neither ends the process by itself.
    fn listen() -> io::Result<Interrupts> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Interrupts { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The address some ports further; any free port stays any free port.
fn beside(page: SocketAddr, further: u16) -> SocketAddr {
    let port = if page.port() == 0 { 0 } else { page.port().checked_add(further).unwrap_or(0) };
    SocketAddr::new(page.ip(), port)
}

fn listener(address: SocketAddr) -> Result<TcpListener, DemoError> {
    TcpListener::bind(address).map_err(|error| DemoError::Listen(address, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn faults_are_read_with_their_channel() {
        let drop = FaultAt { fault: Fault::Drop, channel: Channel::Whatsapp };
        assert_eq!("drop:whatsapp".parse(), Ok(drop));
        for wrong in ["drop", "drop:pigeon", "burn:sms", ":", ""] {
            assert!(wrong.parse::<FaultAt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_follow_the_page() {
        assert_eq!(beside(PAGE, 2).port(), 8802);
        assert_eq!(beside("[::1]:0".parse().unwrap(), 2), "[::1]:0".parse().unwrap());
        assert_eq!(beside("127.0.0.1:65535".parse().unwrap(), 1).port(), 0);
    }
}
