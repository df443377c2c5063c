//! `trunkline dump` and `trunkline restore`.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_adapter::Clock;

use super::workers::runtime;
use super::{Failure, ask, tell};
use crate::config::{self, SystemSecrets};
use crate::ledger::engine::Durability;
use crate::ledger::store::{OpenError, Store, StoreSettings};
use crate::ledger::{damaged, dump as ledger_dump, restore as ledger_restore};

/// Enough for one pass over all rows.
const CACHE: u64 = 32 << 20;

pub fn dump(store: Option<&Path>, config: &Path, socket: Option<&Path>, broken: bool) -> Result<(), Failure> {
    let (folder, running) = match store {
        // Which daemon has a store that is named by its folder alone, only the caller knows.
        Some(store) => (store.to_owned(), socket.map(Path::to_owned)),
        None => {
            let config = configured(config)?;
            let socket = socket.map_or(config.server.admin_socket, Path::to_owned);
            (config.store.path, Some(socket))
        }
    };
    if !folder.join("ledger").is_dir() {
        // Opening would make a new store there, and a mistyped path a backup with nothing in it.
        return Err(Failure::text(format!("there is no store in {}", folder.display())));
    }
    let mut out = BufWriter::new(io::stdout());
    if broken {
        let salvaged = damaged::dump_damaged(&folder, &mut out).map_err(|error| Failure::new(&error))?;
        out.flush().map_err(|error| Failure::new(&error))?;
        tell(&format!("{salvaged}\n"));
        return Ok(());
    }
    let settings = StoreSettings {
        path: folder.clone(),
        durability: Durability::Power,
        keep_free: 0,
        cache_bytes: CACHE,
    };
    match Store::open(settings, now(), Vec::new()) {
        Ok(store) => runtime()?.block_on(async {
            let engine = store.engine();
            ledger_dump::dump(&*engine, store.incarnation(), &mut out)
                .await
                .map_err(|error| Failure::new(&error))?;
            out.flush().map_err(|error| Failure::new(&error))
        }),
        Err(OpenError::InUse { .. }) => {
            drop(out);
            match running {
                Some(socket) => ask::dump(&socket),
                None => Err(Failure::text(format!(
                    "a daemon has the store in {} open; name its --socket, or its --config instead of --store",
                    folder.display()
                ))),
            }
        }
        Err(error) => Err(Failure::new(&error)),
    }
}

pub fn restore(store: Option<&Path>, config: &Path) -> Result<(), Failure> {
    let folder = folder(store, config)?;
    let restored =
        ledger_restore::restore(&folder, io::stdin().lock(), now()).map_err(|error| Failure::new(&error))?;
    tell(&format!("{restored}\n"));
    Ok(())
}

fn now() -> u64 {
    u64::try_from(Clock::system().now().0).unwrap_or(0)
}

fn folder(store: Option<&Path>, config: &Path) -> Result<PathBuf, Failure> {
    store.map_or_else(|| Ok(configured(config)?.store.path), |store| Ok(store.to_owned()))
}

fn configured(path: &Path) -> Result<config::Config, Failure> {
    let loaded = config::load(path, &crate::app::registry::kinds(), Arc::new(SystemSecrets::checking()));
    loaded.map(|loaded| loaded.config).map_err(|refused| {
        let lines: Vec<String> = refused.lines.iter().map(ToString::to_string).collect();
        Failure::config(lines.join("\n"))
    })
}
