//! Whether there is room for something new.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a measurement is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// Closes for new things when the disk is nearly full, and opens again only when there is clearly room, so that it
/// does not flap with every journal file that comes and goes.
pub struct DiskGate {
    folder: PathBuf,
    keep_free: u64,
    full: AtomicBool,
    measured: Mutex<Option<Instant>>,
}

impl DiskGate {
    pub fn new(folder: PathBuf, keep_free: u64) -> DiskGate {
        DiskGate { folder, keep_free, full: AtomicBool::new(false), measured: Mutex::new(None) }
    }

    /// Whether new things are refused, as last measured.
    pub fn full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether new things are refused, measured at most once a second.
    #[expect(clippy::disallowed_methods, reason = "the disk fills up in real time")]
    pub fn full_now(&self) -> bool {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.is_none_or(|at| at.elapsed() >= BELIEVED) {
            *measured = Some(Instant::now());
            self.measure();
        }
        self.full()
    }

    /// Measures, and gives the free bytes.
    pub fn measure(&self) -> u64 {
        match rustix::fs::statvfs(&self.folder) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let full = is_full(self.full(), free, self.keep_free);
                if self.full.swap(full, Ordering::Relaxed) != full {
                    tracing::warn!(free, keep_free = self.keep_free, full, "room on the store's disk");
                }
                free
            }
            Err(error) => {
                tracing::warn!(%error, "the free space of the store's disk cannot be read");
                0
            }
        }
    }
}

/// Full below `keep`, and until an eighth more than it is free again.
fn is_full(full: bool, free: u64, keep: u64) -> bool {
    let needed = if full { keep.saturating_add(keep / 8) } else { keep };
    free < needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_again_later_than_it_closes() {
        assert!(!is_full(false, 800, 800));
        assert!(is_full(false, 799, 800));
        assert!(is_full(true, 899, 800));
        assert!(!is_full(true, 900, 800));
    }
}
