//! How a demo fails.

use std::io;
use std::net::SocketAddr;

use super::demo_rest::RestError;
use crate::app::StartError;
use crate::config::Refused;

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A port is taken.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// Signals cannot be heard.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// No place for the temporary store.
    #[error("cannot make a temporary store")]
    Scratch(#[source] io::Error),
    /// Our own configuration is refused.
    #[error("the demo's configuration is refused")]
    Config(#[from] Refused),
    /// The daemon did not start.
    #[error("the daemon does not start")]
    Daemon(#[from] StartError),
    /// Metrics were installed before.
    #[error("metrics cannot be kept")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The simulator did not start.
    #[error("the simulator does not start")]
    Simulator(#[source] reqwest::Error),
    /// A call of the REST API failed.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A hop did not arrive.
    #[error(transparent)]
    Late(#[from] Late),
    /// Nobody reads what we print.
    #[error("cannot print")]
    Print(#[from] io::Error),
}

/// A hop that did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("{what} within {seconds} s")]
pub struct Late {
    pub(super) what: String,
    pub(super) seconds: u64,
}
