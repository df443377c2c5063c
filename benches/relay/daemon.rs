//! The real executable as a process of its own, and its configuration.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Failure;
use super::rest::{self, ACCOUNT, TOKEN};

pub const PUBLIC_URL: &str = "http://bridge.test";

/// Rates are not what is measured.
const GENEROUS: &str = "{ per_second = 1000000, burst = 100000 }";

pub fn sms(lane: usize) -> String {
    format!("+1555000{lane:04}")
}

pub fn whatsapp(lane: usize) -> String {
    format!("whatsapp:+1555001{lane:04}")
}

pub fn page(lane: usize) -> String {
    format!("messenger:102938{lane:04}")
}

/// A configuration whose providers are the sink. `further` is TOML behind it.
pub fn config(folder: &Path, sink: SocketAddr, lanes: usize, durability: &str, further: &str) -> String {
    let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_socket = {}\n\
         public_url = \"{PUBLIC_URL}\"\nwatch = false\n[store]\npath = {}\ndurability = \"{durability}\"\n\
         keep_free = \"64MiB\"\n[log]\nformat = \"json\"\n[[account]]\nsid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n",
        quoted(folder.join("admin.sock")),
        quoted(folder.join("store")),
    );
    text.push_str(&twilio("us", sink, (0..lanes).map(sms)));
    let _ = write!(
        text,
        "[[adapter]]\nname = \"wa\"\nkind = \"whatsapp\"\nrate = {GENEROUS}\n[adapter.settings]\n\
         app_secret = \"wa-app-secret-0001\"\nverify_token = \"wa-verify-0001\"\naccess_token = \"wa-access-0001\"\n\
         base_url = \"http://{sink}/wa\"\n"
    );
    for lane in 0..lanes {
        let _ = write!(
            text,
            "[[adapter.proxy]]\naddress = \"{}\"\nphone_number_id = \"10654035229{lane:04}\"\npair_rate = {GENEROUS}\n",
            whatsapp(lane)
        );
    }
    let _ = write!(
        text,
        "[[adapter]]\nname = \"pages\"\nkind = \"messenger\"\nrate = {GENEROUS}\n[adapter.settings]\n\
         app_secret = \"fb-app-secret-0001\"\nverify_token = \"fb-verify-0001\"\nbase_url = \"http://{sink}/pages\"\n"
    );
    for lane in 0..lanes {
        let _ = write!(
            text,
            "[[adapter.proxy]]\naddress = \"{}\"\naccess_token = \"fb-page-token-0001\"\n",
            page(lane)
        );
    }
    text + further
}

/// A Twilio adapter that lives below its name at an address.
pub fn twilio(name: &str, at: SocketAddr, proxies: impl Iterator<Item = String>) -> String {
    let mut text = format!(
        "[[adapter]]\nname = \"{name}\"\nkind = \"twilio\"\nrate = {GENEROUS}\n[adapter.settings]\n\
         account_sid = \"AC00000000000000000000000000000009\"\nauth_token = \"twilio-token-0001\"\n\
         base_url = \"http://{at}/{name}\"\n"
    );
    for proxy in proxies {
        let _ = write!(text, "[[adapter.proxy]]\naddress = \"{proxy}\"\n");
    }
    text
}

/// A daemon that listens.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    log: PathBuf,
}

impl Daemon {
    /// Starts in a folder with a `trunkline.toml` and waits until it listens.
    pub fn start(bin: &Path, folder: &Path) -> Result<Daemon, Failure> {
        let log = folder.join("log");
        let child = Command::new(bin)
            .arg("serve")
            .arg("--config")
            .arg(folder.join("trunkline.toml"))
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::null())
            // A file, so that reading the log costs nobody anything.
            .stderr(File::create(&log)?)
            .spawn()?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut daemon = Daemon { child, address: nowhere, admin: nowhere, log };
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let text = fs::read_to_string(&daemon.log)?;
            if let Some(line) = text.lines().find(|line| line.contains("\"Listening\"")) {
                let line: Value = serde_json::from_str(line)?;
                let address = |key: &str| line[key].as_str().unwrap_or_default().parse();
                (daemon.address, daemon.admin) = (address("address")?, address("admin")?);
                return Ok(daemon);
            }
            if daemon.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("{} does not listen:\n{text}", bin.display()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<(), Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the daemon left with {status}; its log is {}", self.log.display()).into());
        }
        Ok(())
    }

    /// The sum of all series of a name on the metrics page.
    pub fn metric(&self, name: &str) -> Result<f64, Failure> {
        Ok(rest::sum(&rest::page(self.admin, "/metrics")?, name))
    }

    /// Lines of the log that say something went wrong.
    pub fn complaints(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| {
            line.contains("\"WARN\"") || line.contains("\"ERROR\"") || line.contains("panicked")
        };
        text.lines().filter(bad).map(str::to_owned).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
