//! Places with names at which a test build ends itself, so that every order of "done" and "gone" can be tried.
//!
//! A room marks a place with one line, `failpoint!("ledger::visible")`. Without the feature `failpoints` that line is
//! nothing at all. With it, the environment variable `FAILPOINTS` arms a place in the syntax of the crate `fail`:
//! `ledger::visible=17*off->return` is death at the 18th time. It is the death of `kill -9`: nothing is flushed, dropped
//! or answered. `tests/crash` holds the table of all places and visits each.

/// Marks a place.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::reached($name);
    };
}

/// Reads the environment; for the daemon's start.
#[cfg(feature = "failpoints")]
pub fn arm() {
    // Dropping a scenario disarms it, and this one lasts as long as the process.
    std::mem::forget(fail::FailScenario::setup());
}

/// Ends the process if it is armed for this place and this time.
#[cfg(feature = "failpoints")]
pub fn reached(name: &'static str) {
    fail::fail_point!(name, |_| die(name));
}

#[cfg(feature = "failpoints")]
fn die(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::io::Write;
    // Said first, and unbuffered, so that whoever waits can tell this end from any other.
    let _ = writeln!(std::io::stderr(), "failpoint {name}");
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}
