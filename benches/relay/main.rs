//! The real executable between a generator of signed webhooks and a provider, all on this machine.
//!
//!     cargo bench --bench relay                          every work and every measurement
//!     cargo bench --bench relay -- wa-sms --seconds 5    one of them
//!
//! `benches/README.md` says how it is measured and what came out.
#![allow(clippy::indexing_slicing, reason = "a bench whose own bounds are wrong should stop")]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

mod compare;
mod daemon;
mod further;
mod generator;
mod kannel;
mod manners;
mod nginx;
mod nothing;
mod readings;
mod report;
mod rest;
mod round;
mod running;
mod seed;
mod sink;
mod soak;
mod sockets;
mod stage;
mod subject;
mod tally;
mod wire;
mod works;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use works::Work;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the sink plays Twilio; everybody sends there, so everybody gets the same answer.
pub const PROVIDER_PATH: &str = "/us/2010-04-01/Accounts/AC00000000000000000000000000000009/Messages.json";

const SOAK: &str = "soak";
const SOCKETS: &str = "sockets";

/// What to measure and how.
#[derive(Parser, Debug)]
pub struct Options {
    /// Works (wa-sms, sms-messenger, fan-out, rest-sms) and measurements (hot, bindings, dead, idle, syscalls, sockets);
    /// all of these when none is named. The soak is run only by its name.
    scenarios: Vec<String>,
    /// How long each round sends.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// The generator's connections; a divisor of the conversations.
    #[arg(long, default_value_t = 50)]
    pub connections: usize,
    #[arg(long, default_value_t = 1000)]
    pub conversations: usize,
    /// Proxy addresses on each channel.
    #[arg(long, default_value_t = 10)]
    pub lanes: usize,
    /// The generator's connections in an open loop; a divisor of the conversations too.
    #[arg(long, default_value_t = 250)]
    pub open_connections: usize,
    /// Leave the open loop out.
    #[arg(long)]
    pub closed_only: bool,
    /// Only an open loop, at so many arrivals a second, which says when it was slow.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How many bindings, and how many queued messages, are many.
    #[arg(long, default_value_t = 1_000_000)]
    pub many: usize,
    /// Clients that hold a socket open and are silent; with 0 this is left out.
    #[arg(long, default_value_t = 10_000)]
    pub sockets: usize,
    /// Clients that watch one conversation, which takes a thousand people; with 0 this is left out.
    #[arg(long, default_value_t = 1000)]
    pub listeners: usize,
    /// How long the soak floods the daemon.
    #[arg(long, default_value_t = 1200.0)]
    pub soak_seconds: f64,
    /// Only these systems (trunkline, nothing, passing, nginx, kannel), by comma.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    #[arg(long, default_value = "power")]
    pub durability: String,
    /// Another executable than the one that was built with the bench.
    #[arg(long, default_value_os_t = executable())]
    pub bin: PathBuf,
    /// Where stores are made: on the disk that is to be measured.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/relay"))]
    pub folder: PathBuf,
    /// Leave with an error when a target is missed.
    #[arg(long)]
    check: bool,
    /// Be the do-nothing relay in front of this sink.
    #[arg(long, hide = true)]
    do_nothing: Option<SocketAddr>,
    #[arg(long, default_value_t = 64)]
    pub nothing_lanes: usize,
    #[arg(long, hide = true, default_value_t = 1)]
    copies: usize,
    #[arg(long, hide = true)]
    forward: bool,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.do_nothing {
        Some(sink) => {
            let plan = nothing::Plan {
                sink,
                lanes: options.nothing_lanes,
                copies: options.copies,
                forward: options.forward,
            };
            nothing::serve(&plan).map(|()| true).map_err(Failure::from)
        }
        None => {
            let mut options = options;
            // Two benches at once must not share a store.
            options.folder = options.folder.join(std::process::id().to_string());
            let outcome = measure(&options);
            // Whatever came of it, nobody needs the stores again.
            let _ = std::fs::remove_dir_all(&options.folder);
            outcome
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether all is well: targets count only where they were asked for.
fn measure(options: &Options) -> Result<bool, Failure> {
    std::fs::create_dir_all(&options.folder)?;
    let sink = sink::Sink::start()?;
    let mut verdicts = report::Verdicts::default();
    let names: Vec<&str> =
        Work::ALL.map(Work::name).into_iter().chain(further::NAMES).chain([SOCKETS, SOAK]).collect();
    if let Some(name) = options.scenarios.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("nothing is called {name}; there are {}", names.join(", ")).into());
    }
    for name in names {
        let wanted = options.scenarios.iter().any(|wanted| wanted == name);
        // The soak is a matter of its own and runs only when it is asked for.
        if !wanted && (!options.scenarios.is_empty() || name == SOAK) {
            continue;
        }
        match Work::ALL.into_iter().find(|work| work.name() == name) {
            Some(work) => compare::run(options, &sink, work, &mut verdicts)?,
            None if name == SOCKETS => sockets::run(options, &mut verdicts)?,
            None if name == SOAK => soak::run(options, &sink, &mut verdicts)?,
            None => further::run(name, options, &sink, &mut verdicts)?,
        }
    }
    verdicts.print(options.check);
    Ok(!options.check || verdicts.all_met())
}

/// Cargo's, or the one that `TRUNKLINE_BIN` names.
fn executable() -> PathBuf {
    std::env::var_os("TRUNKLINE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_trunkline").into(), PathBuf::from)
}
