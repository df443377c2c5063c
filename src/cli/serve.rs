//! `trunkline serve`: the daemon, and the signals it listens to.

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::workers::{Beside, runtime};
use super::{Failure, memory};
use crate::app::{self, Daemon};
use crate::config::{self, LogFormat, SystemSecrets};
use crate::ledger::store;
use crate::telemetry::exporter::Exporter;
use crate::telemetry::log;

pub fn serve(path: &Path) -> Result<(), Failure> {
    let secrets = || Arc::new(SystemSecrets::serving());
    let loaded = config::load(path, &app::registry::kinds(), secrets()).map_err(|refused| {
        let lines: Vec<String> = refused.lines.iter().map(ToString::to_string).collect();
        Failure::config(lines.join("\n"))
    })?;
    let format = match loaded.config.log.format {
        LogFormat::Auto => log::Format::Auto,
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    let level = log::install(loaded.config.log.level.name(), format);
    let exporter = Exporter::install(store::FORMAT).map_err(|error| Failure::new(&error))?;
    #[cfg(feature = "failpoints")]
    crate::failpoint::arm();
    memory::grow_in_small_pages();
    let lanes = Beside::start("lanes")?;
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| Failure::new(&error))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Failure::new(&error))?;
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| Failure::new(&error))?;
        let path = Some(path.to_owned());
        let start =
            app::Start { config: loaded.config, path, exporter, level, sockets: None, lanes: lanes.handle() };
        let daemon = Daemon::start(start).await.map_err(|error| Failure::new(&error))?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    // Refusals are logged and counted where they happen; there is nobody here to tell.
                    let _ = daemon.reload().await;
                }
            }
        }
        daemon.stop().await;
        Ok(())
    })
}
