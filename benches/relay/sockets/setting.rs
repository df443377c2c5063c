//! A store with users, a client's many conversations, and one conversation of many clients.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use trunkline::http::token::{Wanted, sign};
use trunkline_adapter::{Clock, Secret};

use crate::daemon;
use crate::rest::ACCOUNT;
use crate::rest::{self, Post};
use crate::running::Running;
use crate::subject::{Ground, Subject};
use crate::{Failure, Options};

/// The client that is in many conversations.
pub const BUSY: &str = "busy";
/// Where few clients come from.
pub const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const KEY: &str = "SK00000000000000000000000000000001";
const SECRET: &str = "the secret of the bench's API key";

pub struct Setting<'a> {
    ground: Ground<'a>,
    service: String,
    /// The conversation that everybody listens to.
    pub hall: String,
}

/// Somebody in the hall.
pub fn listener(at: usize) -> String {
    format!("listener-{at}")
}

/// Somebody who is in no conversation.
pub fn idler(at: usize) -> String {
    format!("idler-{at}")
}

/// Addresses of this machine from which clients come: one has ports for some thousands only.
pub fn home(at: usize) -> IpAddr {
    let part = u8::try_from(at / 5_000 % 250).unwrap_or_default();
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, part + 1))
}

impl<'a> Setting<'a> {
    pub fn make(options: &'a Options, many: usize) -> Result<Setting<'a>, Failure> {
        descriptors(options.sockets + options.listeners + 1_000)?;
        let template = options.folder.join("sockets");
        fs::create_dir_all(&template)?;
        let further = format!(
            "[[account.api_key]]\nsid = \"{KEY}\"\nsecret = \"{SECRET}\"\n[limits]\nconnections = {}\n\
             conversations_per_user = {}\n[[adapter]]\nname = \"web\"\nkind = \"sdk\"\n",
            options.sockets + options.listeners + 1_000,
            many + 1,
        );
        // Nobody outside is written to.
        let sink = SocketAddr::from(([127, 0, 0, 1], 9));
        let text = daemon::config(&template, sink, 1, "process", &further);
        fs::write(template.join("trunkline.toml"), text)?;
        let running = Running::daemon(&options.bin, &template)?;
        let room = || Post::new("/v1/Conversations", &[("FriendlyName", "bench")]);
        let seat = |sid: &str, identity: &str| {
            Post::new(&format!("/v1/Conversations/{sid}/Participants"), &[("Identity", identity)])
        };
        let user = |at| Post::new("/v1/Users", &[("Identity", &idler(at))]);
        let at = running.target;
        rest::posts(at, 64, (0..options.sockets).map(user).collect())?;
        let rooms = rest::posts(at, 64, (0..=many).map(|_| room()).collect())?;
        let sids: Vec<&str> = rooms.iter().filter_map(|room| room["sid"].as_str()).collect();
        let (hall, own) = sids.split_first().ok_or("no conversation")?;
        rest::posts(at, 64, own.iter().map(|sid| seat(sid, BUSY)).collect())?;
        rest::posts(at, 1, (0..options.listeners).map(|at| seat(hall, &listener(at))).collect())?;
        let service = rooms[0]["chat_service_sid"].as_str().ok_or("no service")?.to_owned();
        let hall = (*hall).to_owned();
        running.stop()?;
        let ground = Ground { options, sink, template, recipients: 0, further };
        Ok(Setting { ground, service, hall })
    }

    /// A daemon over a copy of the store.
    pub fn start(&self) -> Result<Running, Failure> {
        self.ground.start(Subject::Trunkline)
    }

    pub fn token(&self, identity: &str) -> String {
        let wanted = Wanted {
            account: ACCOUNT,
            key: KEY,
            identity,
            service: Some(&self.service),
            life: Duration::from_secs(3600),
        };
        sign(&wanted, &Secret::new(SECRET.to_owned()), Clock::system().now())
    }
}

/// Makes room for so many sockets, here and in the daemons that are started from here.
fn descriptors(wanted: usize) -> Result<(), Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = u64::try_from(wanted)?;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|error| format!("{wanted} files may not be open at once: {error}; see --sockets").into())
}
