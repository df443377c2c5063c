//! What stands between generator and sink: the daemon, the limit, and what others made.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::running::{Guard, Running};
use super::{Failure, Options, daemon, kannel, nginx};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Trunkline,
    /// The do-nothing relay that answers when it has queued.
    Nothing,
    /// The do-nothing relay that answers when the sink has.
    Passing,
    Nginx,
    Kannel,
}

impl Subject {
    pub const ALL: [Subject; 5] =
        [Subject::Trunkline, Subject::Nothing, Subject::Passing, Subject::Nginx, Subject::Kannel];

    pub fn name(self) -> &'static str {
        match self {
            Subject::Trunkline => "trunkline",
            Subject::Nothing => "nothing",
            Subject::Passing => "passing",
            Subject::Nginx => "nginx",
            Subject::Kannel => "kannel",
        }
    }

    /// What an acknowledgement of this outlives.
    pub fn tier(self, durability: &str) -> String {
        match self {
            Subject::Trunkline if durability == "power" => {
                "a power cut (synced before the answer)".to_owned()
            }
            Subject::Trunkline => "kill -9 (durability = \"process\")".to_owned(),
            Subject::Kannel => "kill -9 (spool; no sync at all)".to_owned(),
            Subject::Nothing => "nothing".to_owned(),
            Subject::Passing | Subject::Nginx => "nothing of its own: the sink has answered".to_owned(),
        }
    }

    /// Why it cannot be measured here, if so.
    pub fn absent(self) -> Option<String> {
        match self {
            Subject::Nginx => nginx::absent(),
            Subject::Kannel => kannel::absent(),
            _ => None,
        }
    }
}

/// Where a subject is started from.
pub struct Ground<'a> {
    pub options: &'a Options,
    pub sink: SocketAddr,
    /// A store that is set up, to be copied.
    pub template: PathBuf,
    pub recipients: usize,
    /// TOML behind the daemon's configuration.
    pub further: String,
}

impl<'a> Ground<'a> {
    /// The same place once more.
    pub fn again(&self) -> Ground<'a> {
        Ground { template: self.template.clone(), further: self.further.clone(), ..*self }
    }

    /// Starts it, as new.
    pub fn start(&self, subject: Subject) -> Result<Running, Failure> {
        let folder = self.options.folder.join("run");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        match subject {
            Subject::Trunkline => {
                copy(&self.template.join("store"), &folder.join("store"))?;
                let options = self.options;
                let text =
                    daemon::config(&folder, self.sink, options.lanes, &options.durability, &self.further);
                fs::write(folder.join("trunkline.toml"), text)?;
                Running::daemon(&options.bin, &folder)
            }
            Subject::Nothing | Subject::Passing => self.nothing(subject == Subject::Passing),
            Subject::Nginx => nginx::start(&folder, self.sink),
            Subject::Kannel => kannel::start(&folder, self.sink),
        }
    }

    fn nothing(&self, forward: bool) -> Result<Running, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--do-nothing").arg(self.sink.to_string());
        command.args(["--nothing-lanes", &self.options.nothing_lanes.to_string()]);
        command.args(["--copies", &self.recipients.to_string()]);
        if forward {
            command.arg("--forward");
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().ok_or("no stdout")?;
        let guard = Guard(child);
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        Ok(Running::of(line.trim().parse()?, guard))
    }
}

pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
