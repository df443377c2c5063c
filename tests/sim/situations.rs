//! Which faults met the daemon in which states, and how often.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    RepeatTogether,
    RepeatLater,
    RepeatInside,
    SlowAnswer,
    ThrottleUntil,
    ThrottleBare,
    ServerError,
    Hang,
    TookAndFailed,
    CutAfterTaking,
    CutBeforeTaking,
    NoStatus,
    Refused,
    WrongToken,
    ProviderAway,
    StatusEarly,
    StatusBackwards,
    StatusTwice,
    StatusOfNobody,
    Conflict,
    CrashBeforeSync,
    CrashAfterSync,
    CrashInFlight,
    DiskFull,
    AdapterRemoved,
    RateChanged,
    OrderlyRestart,
}

impl Fault {
    pub const ALL: [Fault; 27] = [
        Fault::RepeatTogether,
        Fault::RepeatLater,
        Fault::RepeatInside,
        Fault::SlowAnswer,
        Fault::ThrottleUntil,
        Fault::ThrottleBare,
        Fault::ServerError,
        Fault::Hang,
        Fault::TookAndFailed,
        Fault::CutAfterTaking,
        Fault::CutBeforeTaking,
        Fault::NoStatus,
        Fault::Refused,
        Fault::WrongToken,
        Fault::ProviderAway,
        Fault::StatusEarly,
        Fault::StatusBackwards,
        Fault::StatusTwice,
        Fault::StatusOfNobody,
        Fault::Conflict,
        Fault::CrashBeforeSync,
        Fault::CrashAfterSync,
        Fault::CrashInFlight,
        Fault::DiskFull,
        Fault::AdapterRemoved,
        Fault::RateChanged,
        Fault::OrderlyRestart,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// At most one row waits.
    Calm,
    /// Many rows wait.
    Backlog,
    /// A request is out at a provider.
    InFlight,
    /// A lane stands still for its operator or a provider that is away.
    Held,
    /// The daemon came back a moment ago.
    Restarted,
    /// A closed or removed conversation still has something to send or to clean up.
    Closing,
    /// A message has left in part.
    HalfSent,
    /// A provider took something and nobody here knows.
    Doubt,
    /// Nothing new is taken in.
    Full,
    /// Somebody opted out.
    OptedOut,
}

impl State {
    pub const ALL: [State; 10] = [
        State::Calm,
        State::Backlog,
        State::InFlight,
        State::Held,
        State::Restarted,
        State::Closing,
        State::HalfSent,
        State::Doubt,
        State::Full,
        State::OptedOut,
    ];
}

/// What cannot be: the disk is not filled twice, and a request in flight is what makes the crash one in flight.
fn possible(fault: Fault, state: State) -> bool {
    !matches!((fault, state), (Fault::DiskFull, State::Full))
}

#[derive(Clone, Debug, Default)]
pub struct Table(BTreeMap<(Fault, State), u64>);

impl Table {
    pub fn reached(&mut self, fault: Fault, states: &[State]) {
        for state in states {
            *self.0.entry((fault, *state)).or_default() += 1;
        }
    }

    pub fn add(&mut self, other: &Table) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    fn count(&self, fault: Fault, state: State) -> u64 {
        self.0.get(&(fault, state)).copied().unwrap_or(0)
    }

    /// Cells reached fewer times than this.
    pub fn missed(&self, least: u64) -> Vec<String> {
        let mut missed = Vec::new();
        for fault in Fault::ALL {
            for state in State::ALL {
                let count = self.count(fault, state);
                if possible(fault, state) && count < least {
                    missed.push(format!("{fault:?} while {state:?}: {count} of {least}"));
                }
            }
        }
        missed
    }

    pub fn print(&self) {
        print!("{:<16}", "");
        State::ALL.iter().for_each(|state| print!("{:>10}", format!("{state:?}")));
        println!();
        for fault in Fault::ALL {
            print!("{:<16}", format!("{fault:?}"));
            for state in State::ALL {
                if possible(fault, state) {
                    print!("{:>10}", self.count(fault, state));
                } else {
                    print!("{:>10}", "-");
                }
            }
            println!();
        }
    }
}
