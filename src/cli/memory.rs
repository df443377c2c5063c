//! How the kernel gives a daemon its memory.

/// Asks for pages of ordinary size, whatever the machine's policy. The ledger's memory tables take fresh memory with every
/// message: in large pages the thread that happens to touch the next one waits until two megabytes are cleared, of which some
/// are never used: up to a tenth of a message's time, and a fifth of the daemon's memory.
#[cfg(target_os = "linux")]
pub fn grow_in_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "The kernel keeps its policy of large pages");
    }
}

#[cfg(not(target_os = "linux"))]
pub fn grow_in_small_pages() {}
