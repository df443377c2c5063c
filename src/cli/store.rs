//! `trunkline dump` and `trunkline restore`.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_adapter::Clock;

use super::{Failure, ask, runtime};
use crate::config::{self, SystemSecrets};
use crate::ledger::store::{Durability, OpenError, Store, StoreSettings};
use crate::ledger::{damaged, dump as ledger_dump, restore as ledger_restore};

/// Enough for one pass over all rows.
const CACHE: u64 = 32 << 20;

pub fn dump(store: Option<&Path>, config: &Path, socket: &Path, broken: bool) -> Result<(), Failure> {
    let folder = folder(store, config)?;
    let mut out = BufWriter::new(io::stdout());
    if broken {
        let salvaged = damaged::dump_damaged(&folder, &mut out).map_err(|error| Failure::new(&error))?;
        out.flush().map_err(|error| Failure::new(&error))?;
        eprintln!("{salvaged}");
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
            ask::dump(socket)
        }
        Err(error) => Err(Failure::new(&error)),
    }
}

pub fn restore(store: Option<&Path>, config: &Path) -> Result<(), Failure> {
    let folder = folder(store, config)?;
    let restored =
        ledger_restore::restore(&folder, io::stdin().lock(), now()).map_err(|error| Failure::new(&error))?;
    eprintln!("{restored}");
    Ok(())
}

fn now() -> u64 {
    u64::try_from(Clock::system().now().0).unwrap_or(0)
}

fn folder(store: Option<&Path>, path: &Path) -> Result<PathBuf, Failure> {
    if let Some(store) = store {
        return Ok(store.to_owned());
    }
    let loaded = config::load(path, &crate::app::registry::kinds(), Arc::new(SystemSecrets::checking()));
    match loaded {
        Ok(loaded) => Ok(loaded.config.store.path),
        Err(refused) => {
            let lines: Vec<String> = refused.lines.iter().map(ToString::to_string).collect();
            Err(Failure::config(lines.join("\n")))
        }
    }
}
