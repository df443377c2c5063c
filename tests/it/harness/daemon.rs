//! The daemon as a child process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::watch;

use super::{Metrics, PATIENCE, Row, blocking, readings};

/// What a run has written to stderr so far, and whether it has ended.
#[derive(Clone, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

/// The log of one run.
#[derive(Clone)]
pub struct Log {
    written: Arc<watch::Sender<Written>>,
}

impl Log {
    fn follow(stderr: impl std::io::Read + Send + 'static) -> Log {
        let written = Arc::new(watch::Sender::new(Written::default()));
        let log = Log { written: written.clone() };
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                written.send_modify(|written| written.lines.push(line));
            }
            written.send_modify(|written| written.ended = true);
        });
        log
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.written.borrow().lines.clone()
    }

    /// Waits for a line with this text; a line that is there already counts.
    pub async fn line(&self, text: &str) -> String {
        self.line_after(0, text).await
    }

    /// Waits for a line with this text behind the first `seen` lines.
    pub async fn line_after(&self, seen: usize, text: &str) -> String {
        let found =
            |written: &Written| written.lines.iter().skip(seen).find(|line| line.contains(text)).cloned();
        let mut written = self.written.subscribe();
        let waited = tokio::time::timeout(
            PATIENCE,
            written.wait_for(|written| written.ended || found(written).is_some()),
        );
        let line = match waited.await {
            Ok(Ok(written)) => found(&written),
            _ => None,
        };
        line.unwrap_or_else(|| panic!("no line with {text:?} in the log:\n{}", self.lines().join("\n")))
    }

    /// Waits for a line with this text, or for the end of a run without one.
    pub async fn line_or_end(&self, text: &str) -> Option<String> {
        let found = |written: &Written| written.lines.iter().find(|line| line.contains(text)).cloned();
        let mut written = self.written.subscribe();
        let waited = tokio::time::timeout(
            PATIENCE,
            written.wait_for(|written| written.ended || found(written).is_some()),
        );
        let Ok(Ok(written)) = waited.await else {
            panic!("neither {text:?} nor an end:\n{}", self.lines().join("\n"))
        };
        found(&written)
    }

    /// Waits for the end of the run, however long it takes.
    pub async fn end(&self) {
        let _ = self.written.subscribe().wait_for(|written| written.ended).await;
    }

    async fn ended(&self) {
        let mut written = self.written.subscribe();
        let _ = tokio::time::timeout(PATIENCE, written.wait_for(|written| written.ended)).await;
    }
}

/// A daemon that runs, or may run again.
pub struct Daemon {
    pub config_path: PathBuf,
    pub socket: PathBuf,
    pub store: PathBuf,
    /// Further environment of the next start.
    pub env: BTreeMap<String, String>,
    /// Every run's log, the present one last.
    pub logs: Vec<Log>,
    child: Option<Child>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// The executable under test: cargo's, or the one that `TRUNKLINE_BIN` names.
pub fn executable() -> PathBuf {
    std::env::var_os("TRUNKLINE_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_trunkline")), PathBuf::from)
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Daemon {
    /// A daemon that is not started yet.
    pub fn new(config_path: PathBuf, socket: PathBuf, store: PathBuf) -> Daemon {
        Daemon {
            config_path,
            socket,
            store,
            env: BTreeMap::new(),
            logs: Vec::new(),
            child: None,
            address: NOWHERE,
            admin: NOWHERE,
        }
    }

    /// The command that serves.
    pub fn command(&self) -> Command {
        let mut command = Command::new(executable());
        command.arg("serve").arg("--config").arg(&self.config_path);
        command.env_remove("NOTIFY_SOCKET").envs(&self.env);
        command
    }

    /// Starts the daemon and waits until it listens.
    pub async fn start(&mut self) {
        let command = self.command();
        self.start_as(command).await;
    }

    /// Starts the daemon by another command and waits until it listens.
    pub async fn start_as(&mut self, command: Command) {
        self.launch(command);
        self.listening().await;
    }

    /// Waits until the present run has said where it listens.
    pub async fn listening(&mut self) {
        let line = self.log().line("\"Listening\"").await;
        self.listens(&line);
    }

    /// As [`Daemon::listening`], where the run may end before; says whether it listens.
    pub async fn listening_or_gone(&mut self) -> bool {
        let line = self.log().line_or_end("\"Listening\"").await;
        line.inspect(|line| self.listens(line)).is_some()
    }

    fn listens(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap();
        self.address = line["address"].as_str().unwrap().parse().unwrap();
        self.admin = line["admin"].as_str().unwrap().parse().unwrap();
    }

    /// Starts the daemon and waits for nothing.
    pub fn launch(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "one run at a time");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        self.logs.push(Log::follow(child.stderr.take().unwrap()));
        self.child = Some(child);
    }

    /// The log of the present run.
    pub fn log(&self) -> &Log {
        self.logs.last().expect("started at least once")
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    pub fn running(&self) -> bool {
        self.child.is_some()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks the daemon to end, and waits for nothing.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn hangup(&self) {
        self.signal(Signal::HUP);
    }

    /// Pulls the plug.
    pub async fn kill9(&mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().unwrap();
        blocking(|| child.wait()).unwrap();
        self.log().ended().await;
    }

    /// Asks the daemon to end, and waits until it has.
    pub async fn sigterm(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait().await
    }

    /// Waits until the daemon has ended by itself.
    pub async fn wait(&mut self) -> ExitStatus {
        self.log().ended().await;
        let mut child = self.child.take().expect("running");
        let Some(status) = child.try_wait().unwrap().or_else(|| {
            // Its stderr is closed, so it is gone or about to be; anything else is a defect.
            let deadline = Instant::now() + PATIENCE;
            blocking(|| {
                loop {
                    match child.try_wait().unwrap() {
                        None if Instant::now() < deadline => std::thread::yield_now(),
                        ended => break ended,
                    }
                }
            })
        }) else {
            let _ = child.kill();
            panic!("the daemon does not end:\n{}", self.log().lines().join("\n"));
        };
        status
    }

    /// Ends in order and starts again.
    pub async fn restart(&mut self) {
        let status = self.sigterm().await;
        assert!(status.success(), "{status}\n{}", self.log().lines().join("\n"));
        self.start().await;
    }

    /// Runs a command of the executable.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        blocking(|| Command::new(executable()).args(arguments).envs(&self.env).output()).unwrap()
    }

    /// `trunkline reload`.
    pub fn try_reload(&self) -> Output {
        self.cli(&["reload", "--socket", &self.socket.display().to_string()])
    }

    /// `trunkline reload`, which must succeed; gives what it printed.
    pub fn reload(&self) -> String {
        let output = self.try_reload();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// `trunkline dump`, of the running daemon or of the store at rest, line by line.
    pub fn dump_text(&self) -> String {
        let (socket, store) = (self.socket.display().to_string(), self.store.display().to_string());
        let output = self.cli(&["dump", "--socket", &socket, "--store", &store]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every row of the ledger.
    pub fn dump(&self) -> Vec<Row> {
        readings::rows(&self.dump_text())
    }

    /// A page of the admin listener.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.admin("/metrics").await;
        assert_eq!(status, 200);
        Metrics::parse(&text)
    }

    pub async fn lanes(&self) -> Vec<Value> {
        let (status, text) = self.admin("/lanes").await;
        assert_eq!(status, 200);
        serde_json::from_str(&text).unwrap()
    }

    /// The lane of a proxy address.
    pub async fn lane(&self, proxy: &str) -> Value {
        let lanes = self.lanes().await;
        let found = lanes.iter().find(|lane| lane["proxy_address"] == proxy);
        found.unwrap_or_else(|| panic!("no lane of {proxy}: {lanes:?}")).clone()
    }

    /// Asks again until the answer is something: only for what no event tells.
    pub async fn eventually<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        loop {
            beat.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} never came true:\n{}", self.log().lines().join("\n"));
        }
    }

    /// No run has panicked.
    pub fn assert_calm(&self) {
        for log in &self.logs {
            let lines = log.lines();
            assert!(!lines.iter().any(|line| line.contains("panicked")), "{}", lines.join("\n"));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            if let Some(log) = self.logs.last() {
                eprintln!("the daemon's log:\n{}", log.lines().join("\n"));
            }
        } else {
            self.assert_calm();
        }
    }
}
