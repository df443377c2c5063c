//! The configuration of a daemon under test, as data that a test may change and write again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline::config::SystemSecrets;
use trunkline_adapter::Simulator;

use super::{PAGE, SMS, WHATSAPP};

/// What `listen` is called from outside: fixed, so that signatures outlive a restart on another port.
pub const PUBLIC_URL: &str = "http://bridge.test";
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const TOKEN: &str = "rest-token-0001";

/// A configuration. Lines in `server`, `store` and so on are TOML.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: String,
    pub admin_socket: PathBuf,
    pub store_path: PathBuf,
    pub server: Vec<String>,
    pub store: Vec<String>,
    pub queue: Vec<String>,
    pub limits: Vec<String>,
    pub log: Vec<String>,
    /// The account's token as TOML.
    pub auth_token: String,
    pub adapters: Vec<Adapter>,
    /// Appended as it is.
    pub rest: String,
}

/// An adapter.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub name: String,
    pub kind: &'static str,
    /// TOML, or none.
    pub rate: Option<String>,
    /// Keys and their values as TOML.
    pub settings: BTreeMap<String, String>,
    pub proxies: Vec<Proxy>,
}

/// A proxy address, and further lines of TOML.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub address: String,
    pub lines: Vec<String>,
}

/// Fast enough not to be noticed.
pub const GENEROUS: &str = "{ per_second = 1000, burst = 1000 }";

pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

impl Config {
    /// One account and three adapters whose provider is the sink. `root` is the sink's URL.
    pub fn dev(folder: &Path, root: &str) -> Config {
        let settings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), quoted(value))).collect()
        };
        let (us, wa, pages) = (format!("{root}/us"), format!("{root}/wa"), format!("{root}/pages"));
        let adapters = vec![
            Adapter {
                name: "us".to_owned(),
                kind: "twilio",
                rate: Some(GENEROUS.to_owned()),
                settings: settings(&[
                    ("account_sid", "AC00000000000000000000000000000009"),
                    ("auth_token", "twilio-token-0001"),
                    ("base_url", &us),
                ]),
                proxies: vec![Proxy { address: SMS.to_owned(), lines: Vec::new() }],
            },
            Adapter {
                name: "wa".to_owned(),
                kind: "whatsapp",
                rate: Some(GENEROUS.to_owned()),
                settings: settings(&[
                    ("app_secret", "wa-app-secret-0001"),
                    ("verify_token", "wa-verify-0001"),
                    ("access_token", "wa-access-0001"),
                    ("base_url", &wa),
                ]),
                proxies: vec![Proxy {
                    address: WHATSAPP.to_owned(),
                    lines: vec![
                        "phone_number_id = \"106540352242922\"".to_owned(),
                        format!("pair_rate = {GENEROUS}"),
                    ],
                }],
            },
            Adapter {
                name: "pages".to_owned(),
                kind: "messenger",
                rate: Some(GENEROUS.to_owned()),
                settings: settings(&[
                    ("app_secret", "fb-app-secret-0001"),
                    ("verify_token", "fb-verify-0001"),
                    ("base_url", &pages),
                ]),
                proxies: vec![Proxy {
                    address: PAGE.to_owned(),
                    lines: vec!["access_token = \"fb-page-token-0001\"".to_owned()],
                }],
            },
        ];
        Config {
            listen: "127.0.0.1:0".to_owned(),
            admin_socket: folder.join("admin.sock"),
            store_path: folder.join("store"),
            // A test that wants the file watched says so: an edit and a reload must not race in the others.
            server: vec!["watch = false".to_owned()],
            // A sync for each commit costs what it costs on the machine at hand, and no test here cuts the power.
            store: vec!["durability = \"process\"".to_owned(), "keep_free = \"1MiB\"".to_owned()],
            queue: Vec::new(),
            limits: Vec::new(),
            log: vec!["format = \"json\"".to_owned()],
            auth_token: quoted(TOKEN),
            adapters,
            rest: String::new(),
        }
    }

    /// The adapter of this name.
    pub fn adapter(&mut self, name: &str) -> &mut Adapter {
        self.adapters.iter_mut().find(|adapter| adapter.name == name).expect("an adapter of that name")
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "[server]\nlisten = {}\nadmin_listen = \"127.0.0.1:0\"\nadmin_socket = {}\npublic_url = \"{PUBLIC_URL}\"\n",
            quoted(&self.listen),
            quoted(&self.admin_socket.display().to_string()),
        );
        push(&mut text, &self.server);
        let _ = writeln!(text, "[store]\npath = {}", quoted(&self.store_path.display().to_string()));
        push(&mut text, &self.store);
        for (header, lines) in [("queue", &self.queue), ("limits", &self.limits), ("log", &self.log)] {
            let _ = writeln!(text, "[{header}]");
            push(&mut text, lines);
        }
        let _ = writeln!(text, "[[account]]\nsid = \"{ACCOUNT}\"\nauth_token = {}", self.auth_token);
        for adapter in &self.adapters {
            let _ =
                writeln!(text, "[[adapter]]\nname = {}\nkind = \"{}\"", quoted(&adapter.name), adapter.kind);
            push(
                &mut text,
                adapter.rate.iter().map(|rate| format!("rate = {rate}")).collect::<Vec<_>>().as_slice(),
            );
            text.push_str("[adapter.settings]\n");
            for (key, value) in &adapter.settings {
                let _ = writeln!(text, "{key} = {value}");
            }
            for proxy in &adapter.proxies {
                let _ = writeln!(text, "[[adapter.proxy]]\naddress = {}", quoted(&proxy.address));
                push(&mut text, &proxy.lines);
            }
        }
        text.push_str(&self.rest);
        text
    }

    /// Puts the file in its place in one step, so that nobody reads half of it.
    pub fn write(&self, path: &Path) {
        let draft = path.with_extension("draft");
        std::fs::write(&draft, self.text()).unwrap();
        std::fs::rename(&draft, path).unwrap();
    }

    /// The provider's side of each adapter, by the last part of its `base_url`: names change, where they live does not.
    pub fn simulators(&self, path: &Path) -> BTreeMap<String, Arc<dyn Simulator>> {
        let kinds = trunkline::app::registry::kinds();
        let loaded = trunkline::config::load(path, &kinds, Arc::new(SystemSecrets::checking())).unwrap();
        let places = self.adapters.iter().map(|adapter| {
            let base: String = serde_json::from_str(&adapter.settings["base_url"]).unwrap();
            base.rsplit('/').next().unwrap().to_owned()
        });
        places
            .zip(loaded.config.adapters.iter().map(|adapter| adapter.blueprint.simulator().unwrap()))
            .collect()
    }
}

fn push(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}
