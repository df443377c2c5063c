//! Whether the last life of this store ended in order: a mark that is there while the daemon runs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The mark of a running daemon.
#[derive(Debug)]
pub struct Running(PathBuf);

impl Running {
    /// Sets the mark; says whether the last life had taken its own away.
    ///
    /// # Errors
    /// When the store's folder cannot be written.
    pub fn mark(store: &Path) -> io::Result<(Running, bool)> {
        let path = store.join("running");
        let clean = !path.exists();
        // Synced, with its folder: a power cut must not make the next start believe in an orderly end.
        File::create(&path)?.sync_all()?;
        File::open(store)?.sync_all()?;
        Ok((Running(path), clean))
    }

    /// Everything in flight is written down: the next start need not doubt any send.
    pub fn clear(&self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "The end could not be marked as orderly");
        }
    }
}
