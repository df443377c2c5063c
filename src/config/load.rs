//! From a file to a checked configuration.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use trunkline_adapter::settings::{Problem, SecretSource, Source, Table, Unreadable};
use trunkline_adapter::{AdapterKind, Section};

use super::account::{self, Account};
use super::adapter::{self, AdapterConfig};
use super::catalogue::Catalogue;
use super::headers;
use super::inventory;
use super::line::{Line, LineNumbers};
use super::media::Media;
use super::messaging_service::{self, MessagingService};
use super::sections::{Egress, Limits, Log, OptOut, Queue, Server, Store, Webhooks};
use super::syntax;
use super::template::{self, TemplateConfig};

/// The longest file we read.
const MOST: u64 = 1 << 20;

/// Everything the operator decides. Every value is meaningful; nothing checks it again.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[store]`.
    pub store: Store,
    /// `[queue]`.
    pub queue: Queue,
    /// `[opt_out]`.
    pub opt_out: OptOut,
    /// `[webhooks]`.
    pub webhooks: Webhooks,
    /// `[egress]`.
    pub egress: Egress,
    /// `[media]`.
    pub media: Media,
    /// `[log]`.
    pub log: Log,
    /// `[limits]`.
    pub limits: Limits,
    /// `[[account]]`: never empty, the first is the default.
    pub accounts: Vec<Account>,
    /// `[[adapter]]`.
    pub adapters: Vec<AdapterConfig>,
    /// `[[messaging_service]]`.
    pub messaging_services: Vec<MessagingService>,
    /// `[[template]]`.
    pub templates: Vec<TemplateConfig>,
    /// The files that hold secrets: to be watched like the configuration itself.
    pub secret_files: Vec<PathBuf>,
}

/// A configuration, and what is worth knowing about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Notes: no reason to refuse.
    pub notes: Vec<Line>,
}

/// The file is refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Everything wrong, in the order of the file.
    pub lines: Vec<Line>,
    /// Files with secrets that were asked for: a change to one may be what it takes.
    pub secret_files: Vec<PathBuf>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<_> = self.lines.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Refused {}

/// Reads a configuration file.
///
/// # Errors
/// Every problem of the file, in the order of its lines.
pub fn load(
    path: &Path,
    kinds: &[&'static dyn AdapterKind],
    secrets: Arc<dyn SecretSource>,
) -> Result<Loaded, Refused> {
    let file = path.display().to_string();
    let text = read(path).map_err(|(line, message)| {
        let line = Line { file: file.clone(), line, path: String::new(), message, hint: None };
        Refused { lines: vec![line], secret_files: Vec::new() }
    })?;
    from_text(&file, &text, kinds, secrets)
}

/// The file's text, or the line and what is wrong.
fn read(path: &Path) -> Result<String, (usize, String)> {
    let whole = |error: std::io::Error| (0, format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(whole)?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(whole)?;
    if bytes.len() as u64 > MOST {
        return Err((0, format!("is longer than {MOST} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = LineNumbers::of(error.as_bytes()).line(error.utf8_error().valid_up_to());
        (line, "is not UTF-8 text".to_owned())
    })
}

/// Reads a configuration from its text; `file` is its name in lines.
pub(super) fn from_text(
    file: &str,
    text: &str,
    kinds: &[&'static dyn AdapterKind],
    secrets: Arc<dyn SecretSource>,
) -> Result<Loaded, Refused> {
    let mut parsed = syntax::parse(text);
    let mut problems = headers::settle(&mut parsed.root, &parsed.text);
    let catalogue = inventory::catalogue(kinds);
    let recorder = Arc::new(Recorder { inner: secrets, files: Mutex::new(Vec::new()) });
    let mut root = Section::new("", parsed.root, recorder.clone());
    let mut config = Config {
        server: one(&mut root, "server", Server::read),
        store: one(&mut root, "store", Store::read),
        queue: one(&mut root, "queue", Queue::read),
        opt_out: one(&mut root, "opt_out", OptOut::read),
        webhooks: one(&mut root, "webhooks", Webhooks::read),
        egress: one(&mut root, "egress", Egress::read),
        media: one(&mut root, "media", Media::read),
        log: one(&mut root, "log", Log::read),
        limits: one(&mut root, "limits", Limits::read),
        accounts: account::accounts(&mut root),
        adapters: adapter::adapters(&mut root, kinds, &catalogue),
        messaging_services: Vec::new(),
        templates: template::templates(&mut root),
        secret_files: Vec::new(),
    };
    config.messaging_services = messaging_service::services(&mut root, &config.adapters);
    problems.extend(root.finish().0);
    let secret_files = recorder.files();
    config.secret_files.clone_from(&secret_files);

    let numbers = LineNumbers::of(parsed.text.as_bytes());
    let (mut wrong, mut notes) = (Vec::new(), Vec::new());
    for error in parsed.errors {
        let (line, path, message, hint) = (error.line, error.path, error.message, error.hint);
        wrong.push(Line { file: file.to_owned(), line, path, message, hint });
    }
    for problem in problems {
        let line = numbers.line(problem.at);
        // The value there is not the operator's: what is wrong with it has been said.
        if parsed.repaired.contains(&line) {
            continue;
        }
        let list = if problem.note { &mut notes } else { &mut wrong };
        list.push(told(file, line, problem, &catalogue));
    }
    for list in [&mut wrong, &mut notes] {
        list.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        list.dedup();
    }
    if wrong.is_empty() { Ok(Loaded { config, notes }) } else { Err(Refused { lines: wrong, secret_files }) }
}

fn one<T>(root: &mut Section, key: &'static str, read: impl FnOnce(&mut Section) -> T) -> T {
    let absent = Section::new(key, Table::default(), root.secrets_from());
    let mut section = root.table(key).unwrap_or(absent);
    let value = read(&mut section);
    root.absorb(section);
    value
}

fn told(file: &str, line: usize, problem: Problem, catalogue: &Catalogue) -> Line {
    let home = problem.unknown.as_deref().and_then(|key| catalogue.home(key));
    let hint = home.map(|home| format!("belongs under {home}")).or(problem.hint);
    Line { file: file.to_owned(), line, path: problem.path, message: problem.message, hint }
}

/// Remembers which files were read.
struct Recorder {
    inner: Arc<dyn SecretSource>,
    files: Mutex<Vec<PathBuf>>,
}

impl Recorder {
    fn files(&self) -> Vec<PathBuf> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        files.sort();
        files.dedup();
        files
    }
}

impl SecretSource for Recorder {
    fn read(&self, source: Source<'_>) -> Result<String, Unreadable> {
        if let Source::File(path) = source {
            self.files.lock().unwrap_or_else(PoisonError::into_inner).push(PathBuf::from(path));
        }
        self.inner.read(source)
    }

    fn literal(&self) -> Option<&'static str> {
        self.inner.literal()
    }
}
