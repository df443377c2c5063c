//! The stage of the demo: three people with phones and one in the browser, three proxy addresses, made-up credentials, a
//! temporary store.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};
use trunkline_adapter::{Address, AddressError, Channel};

use crate::simulator::State;

/// A person and the phone they hold.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) address: Address,
    pub(super) proxy: Address,
    /// What they say in the script.
    pub(super) line: &'static str,
    /// The photo they send with it.
    pub(super) photo: Option<&'static [u8]>,
    /// The last status their provider tells of a message they saw: SMS knows no `read`.
    pub(super) last: State,
}

/// The person in the browser.
pub(super) const VISITOR: (&str, &str) = ("Dana", "dana");
/// What they say in the script.
pub(super) const VISITORS_LINE: &str = "I am there at half past two. Dana";
/// The name of the adapter that they come in by.
const DOOR: &str = "browser";
/// The SDK's usual path.
const SOCKET: &str = "/v3/wsconnect";

/// How the person in the browser gets in.
pub(super) struct Visiting {
    pub(super) key: String,
    pub(super) secret: String,
}

/// Everything the demo makes up.
pub(super) struct Setting {
    pub(super) rest_url: String,
    pub(super) admin_url: String,
    pub(super) account_sid: String,
    pub(super) auth_token: String,
    pub(super) phones: Vec<Person>,
    pub(super) visitor: Visiting,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    provider_secret: String,
}

impl Setting {
    pub(super) fn new(listen: &TcpListener, admin_listen: &TcpListener) -> io::Result<Setting> {
        let (listen, admin_listen) = (listen.local_addr()?, admin_listen.local_addr()?);
        Ok(Setting {
            rest_url: format!("http://{}", reachable(listen)),
            admin_url: format!("http://{}", reachable(admin_listen)),
            account_sid: format!("AC{}", random_hex()?),
            auth_token: random_hex()?,
            phones: people().map_err(io::Error::other)?,
            visitor: Visiting { key: format!("SK{}", random_hex()?), secret: random_hex()? },
            listen,
            admin_listen,
            provider_secret: random_hex()?,
        })
    }

    /// Where the SDK connects.
    pub(super) fn socket_url(&self) -> String {
        format!("ws{}{SOCKET}", self.rest_url.trim_start_matches("http"))
    }

    /// Writes the configuration of the daemon, adapters pointed at `base_url`, with its secrets in files of their own.
    pub(super) fn write(&self, scratch: &Scratch, base_url: impl Fn(&str) -> String) -> io::Result<PathBuf> {
        // Debug quoting of a path is TOML's basic string for all that stands in ours.
        let file = |name, text| scratch.write(name, text).map(|path| format!("{{ file = {path:?} }}"));
        let token = file("auth-token", &self.auth_token)?;
        let provider_account = file("provider-account", &self.account_sid)?;
        let secret = file("provider-secret", &self.provider_secret)?;
        let key = file("api-secret", &self.visitor.secret)?;
        let Setting { rest_url, account_sid, .. } = self;
        let admin_socket = scratch.path.join("admin.sock");
        let mut toml = format!(
            "[server]\nlisten = \"{}\"\nadmin_listen = \"{}\"\nadmin_socket = {admin_socket:?}\n\
             public_url = \"{rest_url}\"\nwatch = false\n\
             [store]\npath = {:?}\nkeep_free = \"64MiB\"\n\
             [log]\nlevel = \"warn\"\n\
             [[account]]\nsid = \"{account_sid}\"\nauth_token = {token}\n\
             [[account.api_key]]\nsid = \"{}\"\nsecret = {key}\n\
             [[adapter]]\nname = \"{DOOR}\"\nkind = \"sdk\"\n[adapter.settings]\npath = \"{SOCKET}\"\n",
            self.listen,
            self.admin_listen,
            scratch.path.join("store"),
            self.visitor.key,
        );
        for phone in &self.phones {
            let channel = phone.proxy.channel();
            let (name, proxy) = (channel.name(), &phone.proxy);
            let (kind, settings, keys) = match channel {
                Channel::Sms => (
                    "twilio",
                    format!("account_sid = {provider_account}\nauth_token = {secret}\n"),
                    String::new(),
                ),
                Channel::Whatsapp => (
                    "whatsapp",
                    format!("app_secret = {secret}\nverify_token = {secret}\naccess_token = {secret}\n"),
                    "phone_number_id = \"106540352242922\"\n".to_owned(),
                ),
                Channel::Messenger => (
                    "messenger",
                    format!("app_secret = {secret}\nverify_token = {secret}\n"),
                    format!("access_token = {secret}\n"),
                ),
            };
            toml.push_str(&format!(
                "[[adapter]]\nname = \"{name}\"\nkind = \"{kind}\"\nrate = {{ per_second = 50, burst = 50 }}\n\
                 [adapter.settings]\n{settings}base_url = \"{}\"\n\
                 [[adapter.proxy]]\naddress = \"{proxy}\"\npair_rate = {{ per_second = 50, burst = 50 }}\n{keys}",
                base_url(name),
            ));
        }
        scratch.write("trunkline.toml", &toml)
    }
}

/// A dock at three o'clock, drawn for the demo.
const PHOTO: &[u8] = include_bytes!("demo_photo.jpg");

fn people() -> Result<Vec<Person>, AddressError> {
    let person = |name, address, proxy, line, last| {
        let (address, proxy) = (Address::parse(address)?, Address::parse(proxy)?);
        let photo = (address.channel() == Channel::Whatsapp).then_some(PHOTO);
        Ok(Person { name, address, proxy, line, photo, last })
    };
    Ok(vec![
        person("Ada", "+15550100001", "+15550001111", "Are we still on for three? Ada", State::Delivered)?,
        person(
            "Bo",
            "whatsapp:+15550100002",
            "whatsapp:+15550002222",
            "Yes, three o'clock at the dock. Bo",
            State::Read,
        )?,
        person(
            "Cleo",
            "messenger:24000100003",
            "messenger:1029384756",
            "I bring the charts. Cleo",
            State::Read,
        )?,
    ])
}

/// A random 128-bit number in hexadecimal.
fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How this machine reaches a socket that listens everywhere.
fn reachable(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

/// A directory of ours alone that goes away with the demo.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(super) fn make() -> io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("trunkline-demo-{}", random_hex()?));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Scratch { path })
    }

    /// Writes a file.
    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "The demo's temporary store stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, SystemSecrets};

    #[test]
    fn the_configuration_is_one_that_the_loader_takes() {
        let any = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (listen, admin) = (any(), any());
        let setting = Setting::new(&listen, &admin).unwrap();
        let scratch = Scratch::make().unwrap();
        let base_url = |adapter: &str| format!("http://127.0.0.1:9/provider/{adapter}");
        let file = setting.write(&scratch, base_url).unwrap();
        let kinds = crate::app::registry::kinds();
        let loaded = config::load(&file, &kinds, Arc::new(SystemSecrets::serving())).unwrap();
        assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
        let config = loaded.config;
        assert_eq!(config.server.listen, [listen.local_addr().unwrap()]);
        let proxies = config.adapters.iter().flat_map(|adapter| &adapter.proxies).map(|proxy| &proxy.address);
        assert!(proxies.eq(setting.phones.iter().map(|phone| &phone.proxy)));
        let path = scratch.path.clone();
        drop(scratch);
        assert!(!path.exists());
    }
}
