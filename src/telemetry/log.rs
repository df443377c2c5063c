//! Logs: text for people and the journal, JSON for machines; to stderr.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for a terminal and the journal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Changes the level while the daemon runs.
#[derive(Clone)]
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// `error`, `warn`, `info`, `debug` or `trace`; another word changes nothing.
    pub fn set(&self, level: &str) {
        if let Ok(level) = level.parse::<LevelFilter>() {
            // It fails only when the subscriber is gone, and then nobody would read the log.
            let _ = self.0.reload(level);
        }
    }
}

/// Installs the log of this process. `None` when there is one already.
#[expect(clippy::disallowed_methods, reason = "what systemd tells is no configuration of ours")]
pub fn install(level: &str, format: Format) -> Option<Level> {
    let (filter, handle) = reload::Layer::new(level.parse().unwrap_or(LevelFilter::INFO));
    // systemd sets this for services whose output goes to the journal, which keeps its own time.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let terminal = std::io::stderr().is_terminal();
    let text = match format {
        Format::Auto => journal || terminal,
        Format::Text => true,
        Format::Json => false,
    };
    let plain = || fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(terminal);
    let lines: Box<dyn Layer<_> + Send + Sync> = match (text, journal) {
        (true, true) => Box::new(plain().without_time()),
        (true, false) => Box::new(plain()),
        (false, _) => Box::new(fmt::layer().with_writer(std::io::stderr).json().flatten_event(true)),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok()?;
    Some(Level(handle))
}
