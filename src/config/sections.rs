//! The plain tables: `[server]`, `[store]`, `[queue]`, `[opt_out]`, `[webhooks]`, `[egress]`, `[log]` and `[limits]`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use trunkline_adapter::Section;

use super::network::Network;

/// `[server]`: where the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where the world reaches us, unless systemd hands sockets over. Never empty.
    pub listen: Vec<SocketAddr>,
    /// Metrics and health.
    pub admin_listen: SocketAddr,
    /// The socket of the commands that ask a running daemon.
    pub admin_socket: PathBuf,
    /// `listen` as the world sees it, without a slash at its end.
    pub public_url: Option<String>,
    /// Whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Reload when the file changes.
    pub watch: bool,
}

/// `[store]`: where and how safely data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The data directory.
    pub path: PathBuf,
    /// What an acknowledgement survives.
    pub durability: Durability,
    /// Bytes of disk below which new messages are refused.
    pub keep_free: u64,
}

/// What an acknowledgement survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    Power,
    /// The end of the process only.
    Process,
}

/// `[queue]`: messages that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// A message that waits longer becomes a failed receipt.
    pub expire: Duration,
    /// What happens to a send whose outcome nobody knows.
    pub unknown: UnknownOutcome,
}

/// What happens to a send whose outcome nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownOutcome {
    /// It is sent again: at least once.
    Resend,
    /// Its receipt fails: at most once.
    Fail,
}

/// `[opt_out]`: the keywords of SMS. Upper case, no word in two lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptOut {
    /// Whether keywords are ours to handle.
    pub enabled: bool,
    /// No more messages, please.
    pub stop: Vec<String>,
    /// Messages again.
    pub start: Vec<String>,
    /// What is this?
    pub help: Vec<String>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important line that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something needs an operator.
    Error,
    /// Something may need one soon.
    Warn,
    /// What an operator likes to know.
    Info,
    /// What a developer likes to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level in the configuration's own words.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a terminal and the journal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[limits]`: what one client may ask of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a webhook's body.
    pub webhook_body: usize,
    /// Bytes of a form.
    pub form_body: usize,
    /// Bytes of a file.
    pub media_body: usize,
    /// How long a client may take to send its request, and how long the answer may take.
    pub request_timeout: Duration,
    /// Requests worked on at once; more are told to come back.
    pub concurrent_requests: usize,
    /// People in one conversation.
    pub participants: usize,
    /// Of them, from outside.
    pub outside_participants: usize,
    /// Open conversations of one identity.
    pub conversations_per_user: usize,
    /// People connected at once.
    pub connections: usize,
    /// Of them, of one identity.
    pub connections_per_identity: usize,
}

impl Limits {
    /// The limits that take effect at once: those on what may be made, and on who may connect.
    pub fn live(&self) -> [usize; 5] {
        [
            self.participants,
            self.outside_participants,
            self.conversations_per_user,
            self.connections,
            self.connections_per_identity,
        ]
    }

    /// The others, which a listener is opened with.
    pub fn fixed(&self) -> ([usize; 3], Duration, usize) {
        let bodies = [self.webhook_body, self.form_body, self.media_body];
        (bodies, self.request_timeout, self.concurrent_requests)
    }
}

impl Server {
    /// `public_url`, or what it is for somebody on this machine.
    pub fn base_url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let Some(mut address) = self.listen.first().copied() else { return "http://127.0.0.1".to_owned() };
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                IpAddr::from([127, 0, 0, 1])
            } else {
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
            });
        }
        format!("http://{address}")
    }

    pub(super) fn read(section: &mut Section) -> Server {
        let listen = listen(section);
        let admin_listen = section.string("admin_listen").and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() {
                section.problem("admin_listen", NOT_A_SOCKET, Some(socket_hint(&text)));
            }
            parsed
        });
        let public_url = section.has("public_url");
        let url = section.base_url("public_url", "https://bridge.example.com");
        let trusted =
            section.strings_at("trusted_proxies").map(|texts| networks(section, "trusted_proxies", texts));
        Server {
            listen: listen.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], 8080))]),
            admin_listen: admin_listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8081))),
            admin_socket: path(section, "admin_socket", "/run/trunkline/admin.sock"),
            public_url: public_url.then_some(url),
            trusted_proxies: trusted.unwrap_or_else(|| "127.0.0.1".parse().into_iter().collect()),
            watch: section.boolean("watch").unwrap_or(true),
        }
    }
}

const NOT_A_SOCKET: &str = "is not an address with a port";

fn socket_hint(text: &str) -> String {
    let bare = text.strip_prefix(':').unwrap_or(text);
    if bare.parse::<u16>().is_ok() {
        return format!("write \"0.0.0.0:{bare}\" or \"[::]:{bare}\"");
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"");
    }
    "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"".to_owned()
}

fn listen(section: &mut Section) -> Option<Vec<SocketAddr>> {
    let mut sockets: Vec<SocketAddr> = Vec::new();
    let texts = section.strings_at("listen")?;
    if texts.is_empty() {
        section.problem("listen", "must name at least one address", None);
    }
    for (at, text) in texts {
        match text.parse() {
            Ok(socket) if sockets.contains(&socket) => {
                section.problem_at(at, "listen", format!("{text} is there twice"), None);
            }
            Ok(socket) => sockets.push(socket),
            Err(_) => {
                section.problem_at(
                    at,
                    "listen",
                    format!("{text:?} {NOT_A_SOCKET}"),
                    Some(socket_hint(&text)),
                );
            }
        }
    }
    (!sockets.is_empty()).then_some(sockets)
}

fn networks(section: &mut Section, key: &'static str, texts: Vec<(usize, String)>) -> Vec<Network> {
    let mut networks = Vec::with_capacity(texts.len());
    for (at, text) in texts {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(_) => {
                let hint = Some("write it like \"10.0.0.7\", \"10.0.0.0/8\" or \"fd00::/8\"".to_owned());
                section.problem_at(at, key, format!("{text:?} is not a network"), hint);
            }
        }
    }
    networks
}

fn path(section: &mut Section, key: &'static str, default: &str) -> PathBuf {
    let text = section.string(key).unwrap_or_else(|| default.to_owned());
    if !text.starts_with('/') {
        section.problem(key, "must be an absolute path", Some(format!("for example {default:?}")));
    }
    PathBuf::from(text)
}

pub(super) fn duration(
    section: &mut Section,
    key: &'static str,
    bounds: RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    let Some(found) = section.duration(key) else { return default };
    if !bounds.contains(&found) {
        section.problem(key, format!("must lie between {:?} and {:?}", bounds.start(), bounds.end()), None);
    }
    found
}

fn bytes(section: &mut Section, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
    let Some(found) = section.size(key) else { return default };
    if !bounds.contains(&found) {
        section.problem(key, format!("must lie between {} and {} bytes", bounds.start(), bounds.end()), None);
    }
    found
}

impl Store {
    pub(super) fn read(section: &mut Section) -> Store {
        let durability = [("power", Durability::Power), ("process", Durability::Process)];
        Store {
            path: path(section, "path", "/var/lib/trunkline"),
            durability: section.choice("durability", &durability).unwrap_or(Durability::Power),
            keep_free: bytes(section, "keep_free", 0..=u64::MAX, 512 << 20),
        }
    }
}

impl Queue {
    pub(super) fn read(section: &mut Section) -> Queue {
        let most = Duration::from_secs(30 * 86_400);
        let unknown = [("resend", UnknownOutcome::Resend), ("fail", UnknownOutcome::Fail)];
        Queue {
            expire: duration(
                section,
                "expire",
                Duration::from_secs(1)..=most,
                Duration::from_secs(4 * 3_600),
            ),
            unknown: section.choice("unknown", &unknown).unwrap_or(UnknownOutcome::Resend),
        }
    }
}

impl OptOut {
    pub(super) fn read(section: &mut Section) -> OptOut {
        let mut taken = HashSet::new();
        let enabled = section.boolean("enabled").unwrap_or(true);
        let stop = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"];
        let stop = words(section, "stop", &mut taken, &stop);
        if stop.is_empty() {
            let hint = Some("to leave keywords to the provider, set enabled = false".to_owned());
            section.problem("stop", "must hold at least one word", hint);
        }
        let start = words(section, "start", &mut taken, &["START", "YES", "UNSTOP"]);
        let help = words(section, "help", &mut taken, &["HELP", "INFO"]);
        OptOut { enabled, stop, start, help }
    }
}

fn words(
    section: &mut Section,
    key: &'static str,
    taken: &mut HashSet<String>,
    default: &[&str],
) -> Vec<String> {
    let Some(texts) = section.strings_at(key) else {
        // A word that another list takes is not in this one's default.
        let free = default.iter().map(|word| (*word).to_owned()).filter(|word| taken.insert(word.clone()));
        return free.collect();
    };
    let mut words = Vec::with_capacity(texts.len());
    for (at, text) in texts {
        let word = text.trim().to_uppercase();
        if word.is_empty() || word.chars().count() > 40 {
            section.problem_at(at, key, "a keyword has 1 to 40 characters", None);
        } else if taken.insert(word.clone()) {
            words.push(word);
        } else {
            section.problem_at(at, key, format!("{word} is already a keyword"), None);
        }
    }
    words
}

impl Log {
    pub(super) fn read(section: &mut Section) -> Log {
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        let levels = levels.map(|level| (level.name(), level));
        let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
        Log {
            level: section.choice("level", &levels).unwrap_or(LogLevel::Info),
            format: section.choice("format", &formats).unwrap_or(LogFormat::Auto),
        }
    }
}

impl Limits {
    pub(super) fn read(section: &mut Section) -> Limits {
        let body = (1 << 10)..=(1 << 30);
        let timeout = Duration::from_millis(100)..=Duration::from_secs(600);
        let concurrent = section.integer("concurrent_requests", 1..=1_000_000).unwrap_or(1024);
        // Both are bounded far below any platform's word.
        let word = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut count = |key, most: i64, usual: usize| {
            section.integer(key, 1..=most).and_then(|count| usize::try_from(count).ok()).unwrap_or(usual)
        };
        // A message is one commit with a queue row for each of those outside, and one commit takes 256 rows.
        let outside_participants = count("outside_participants", 200, 50);
        let participants = count("participants", 10_000, 1000);
        let conversations_per_user = count("conversations_per_user", 1_000_000, 1000);
        let connections = count("connections", 1_000_000, 100_000);
        let connections_per_identity = count("connections_per_identity", 1_000_000, 100);
        Limits {
            webhook_body: word(bytes(section, "webhook_body", body.clone(), 4 << 20)),
            form_body: word(bytes(section, "form_body", body.clone(), 1 << 20)),
            media_body: word(bytes(section, "media_body", body, 150 << 20)),
            request_timeout: duration(section, "request_timeout", timeout, Duration::from_secs(15)),
            concurrent_requests: usize::try_from(concurrent).unwrap_or(1024),
            participants,
            outside_participants,
            conversations_per_user,
            connections,
            connections_per_identity,
        }
    }
}

/// `[webhooks]`: event webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// An event that no webhook takes for so long becomes a dead letter.
    pub retry_for: Duration,
    /// What it means that a pre-action webhook does not answer.
    pub on_timeout: OnTimeout,
}

/// What it means that a pre-action webhook does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// What was to happen happens.
    Proceed,
    /// It does not.
    Refuse,
}

/// `[egress]`: where callers of the API may send requests of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Private networks that may be reached all the same.
    pub allow_private: Vec<Network>,
}

impl Webhooks {
    pub(super) fn read(section: &mut Section) -> Webhooks {
        let bounds = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
        let choices = [("proceed", OnTimeout::Proceed), ("refuse", OnTimeout::Refuse)];
        Webhooks {
            retry_for: duration(section, "retry_for", bounds, Duration::from_secs(24 * 3_600)),
            on_timeout: section.choice("on_timeout", &choices).unwrap_or(OnTimeout::Proceed),
        }
    }
}

impl Egress {
    pub(super) fn read(section: &mut Section) -> Egress {
        let texts = section.strings_at("allow_private");
        Egress {
            allow_private: texts.map(|texts| networks(section, "allow_private", texts)).unwrap_or_default(),
        }
    }
}
