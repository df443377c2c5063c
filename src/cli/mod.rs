//! The commands: what each of them needs, and how the process ends.
//!
//! Exit codes: 0; 2 for a wrong call; 78 for a configuration problem; 1 for anything else. Errors are one sentence with
//! its causes.

mod ask;
pub mod check;
mod dead_letters;
mod demo;
mod demo_error;
mod demo_rest;
mod demo_script;
mod demo_setting;
mod memory;
mod serve;
mod store;
mod token;
mod workers;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Where the configuration is when nobody says otherwise.
const CONFIG: &str = "/etc/trunkline/trunkline.toml";
/// Where the admin socket is when nobody says otherwise.
const SOCKET: &str = "/run/trunkline/admin.sock";

/// People on SMS, WhatsApp, Messenger and in browsers, in one conversation.
#[derive(Parser)]
#[command(name = "trunkline", version, arg_required_else_help = true)]
struct Call {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Serve {
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Validate a configuration file and show what it amounts to.
    Check {
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Show the main job with nothing to configure: simulated phones, real HTTP, a temporary store.
    Demo(demo::DemoArgs),
    /// Make an access token for an SDK client.
    Token(token::TokenArgs),
    /// Make the running daemon read its configuration again; waits for the verdict.
    Reload {
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Show the running daemon's lanes.
    Lanes {
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Events that no webhook took: show them, let them go again, drop them.
    DeadLetters {
        #[command(subcommand)]
        what: dead_letters::What,
        #[arg(long, global = true, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Write the whole ledger to standard output, as JSON lines.
    Dump {
        /// The store's folder; the one the configuration names if absent.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// Where a running daemon is asked; the socket the configuration names if absent.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Read what can be read of a store that does not open; the daemon must not be running.
        #[arg(long)]
        damaged: bool,
    },
    /// Fill an empty store from a dump on standard input.
    Restore {
        /// The store's folder; the one the configuration names if absent.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
}

/// How a command failed, and the exit code that says so.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn new(error: &dyn Error) -> Failure {
        Failure { code: 1, text: sentence(error) }
    }

    fn text(text: impl Into<String>) -> Failure {
        Failure { code: 1, text: text.into() }
    }

    fn config(text: impl Into<String>) -> Failure {
        Failure { code: 78, text: text.into() }
    }

    /// Says it and gives its exit code.
    fn end(&self) -> ExitCode {
        tell(&format!("{}\n", self.text.trim_end()));
        ExitCode::from(self.code)
    }
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    // The one crypto library; a second call in the same process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let call = match Call::try_parse() {
        Ok(call) => call,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match call.command {
        Command::Serve { config } => serve::serve(&config),
        Command::Check { config } => {
            let checked = check::check(&config, &crate::app::registry::kinds());
            tell(&checked.errors);
            return match say(&checked.output) {
                Ok(()) => ExitCode::from(checked.code),
                Err(failure) => failure.end(),
            };
        }
        Command::Demo(args) => demo::demo(args),
        Command::Token(args) => token::token(&args),
        Command::Reload { socket } => ask::reload(&socket),
        Command::Lanes { socket, json } => ask::lanes(&socket, json),
        Command::DeadLetters { what, socket } => dead_letters::run(&socket, &what),
        Command::Dump { store, config, socket, damaged } => {
            store::dump(store.as_deref(), &config, socket.as_deref(), damaged)
        }
        Command::Restore { store, config } => store::restore(store.as_deref(), &config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

/// Writes to standard output. Whoever closed it early has seen enough; a full disk is a failure like any other.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(&error)),
        _ => Ok(()),
    }
}

/// Writes to standard error; there is nowhere left to say that this failed.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// An error and its causes in one line.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // A transparent wrapper says the same as what it wraps.
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
