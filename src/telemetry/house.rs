//! What concerns the daemon as a whole: reloads, the store's size, the binding table.

use metrics::{counter, gauge};
use trunkline_adapter::Timestamp;

use super::names;

/// Makes the series of the whole house exist.
pub fn register() {
    super::commit::register();
    gauge!(names::BINDINGS).increment(0.0);
    gauge!(names::SDK_SESSIONS).set(0.0);
    for outcome in ["taken", "refused"] {
        counter!(names::CONFIG_RELOADS, "outcome" => outcome).absolute(0);
    }
    for part in ["ledger", "bindings"] {
        gauge!(names::STORE_BYTES, "part" => part).set(0.0);
    }
    gauge!(names::DISK_FREE, "part" => "store").set(0.0);
}

/// A configuration was taken or refused; the first one counts as no reload.
pub fn configured(taken: bool, reload: bool, at: Timestamp) {
    if reload {
        counter!(names::CONFIG_RELOADS, "outcome" => if taken { "taken" } else { "refused" }).increment(1);
    }
    gauge!(names::CONFIG_LAST_SUCCESSFUL).set(if taken { 1.0 } else { 0.0 });
    if taken {
        gauge!(names::CONFIG_LAST_SUCCESS_TIME).set(at.millis() as f64 / 1000.0);
    }
}

/// Sizes, read when somebody scrapes.
pub fn sizes(ledger_bytes: u64, bindings_bytes: u64, disk_free: u64, bindings: Option<u64>) {
    gauge!(names::STORE_BYTES, "part" => "ledger").set(ledger_bytes as f64);
    gauge!(names::STORE_BYTES, "part" => "bindings").set(bindings_bytes as f64);
    gauge!(names::DISK_FREE, "part" => "store").set(disk_free as f64);
    if let Some(bindings) = bindings {
        gauge!(names::BINDINGS).set(bindings as f64);
    }
}

/// How many people are connected, read when somebody scrapes.
pub fn connected(sessions: usize) {
    gauge!(names::SDK_SESSIONS).set(sessions as f64);
}
