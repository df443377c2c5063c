//! Every place at which the daemon can be told to die, and how far a round of work gets into it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A place.
pub struct Point {
    pub name: &'static str,
    /// About how often one round comes by: death is at one of these.
    pub often: u64,
    pub reached: Reached,
}

/// What has to happen for the daemon to come by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Any round of work.
    Work,
    /// Work, where a send with an unknown outcome fails instead of being repeated.
    UnknownFails,
    /// A start.
    Start,
    /// A start with the clock further on than the shortest timer takes.
    Later,
    /// An orderly end.
    Stop,
}

const fn work(name: &'static str, often: u64) -> Point {
    Point { name, often, reached: Reached::Work }
}

const fn at(reached: Reached, name: &'static str) -> Point {
    Point { name, often: 1, reached }
}

/// In the order in which a message comes by; then what happens around messages.
pub const POINTS: &[Point] = &[
    work("inbound::verified", 60),
    work("relay::decided", 40),
    work("ledger::before-write", 120),
    work("ledger::written", 120),
    work("ledger::before-mark", 3),
    work("ledger::before-visible", 120),
    work("ledger::visible", 120),
    work("ledger::before-answers", 120),
    work("ledger::answered", 120),
    work("relay::committed", 40),
    work("relay::followed", 40),
    work("inbound::before-answer", 60),
    work("media::fetching", 4),
    work("media::kept", 4),
    work("inbox::fetched", 4),
    work("lane::taken", 60),
    at(Reached::UnknownFails, "lane::before-begun"),
    work("lane::permitted", 50),
    work("lane::before-send", 50),
    work("lane::answered", 50),
    work("outcome::judged", 50),
    work("receipt::before-commit", 50),
    work("receipt::committed", 50),
    work("outcome::settled", 50),
    work("status::before-park", 1),
    work("relay::event-committed", 1),
    work("status::before-commit", 40),
    work("status::committed", 40),
    work("status::before-watermark", 5),
    work("opt-out::before-lanes-know", 1),
    work("bindings::before-copy", 12),
    work("bindings::copied", 12),
    work("cleanup::before-page", 4),
    work("cleanup::before-leaving", 1),
    work("cleanup::before-media-page", 1),
    work("cleanup::before-service-page", 3),
    work("cleanup::before-end", 1),
    work("inbox::before-keep", 3),
    work("inbox::kept", 3),
    work("inbox::taken", 3),
    work("hook::asked", 1),
    work("inbox::done", 3),
    work("forward::taken", 3),
    work("forward::answered", 3),
    work("forward::ended", 3),
    work("webhook::taken", 3),
    work("webhook::answered", 3),
    work("webhook::settled", 3),
    work("reload::read", 1),
    work("reload::in-force", 1),
    at(Reached::Start, "start::opened"),
    at(Reached::Start, "start::marked"),
    at(Reached::Start, "bindings::merged"),
    // After rounds of work, whose timers are over then.
    at(Reached::Later, "timer::before-strike"),
    at(Reached::Later, "timer::struck"),
    at(Reached::Stop, "stop::drained"),
    at(Reached::Stop, "stop::cleared"),
];

/// How much further on the clock of a life is that is to die here.
pub fn ahead(name: &str) -> Option<u64> {
    POINTS.iter().find(|point| point.name == name).filter(|point| point.reached == Reached::Later).map(|_| 61)
}

/// The names in the source, each with the files that have it.
fn marked(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            marked(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let names = code.filter_map(|line| line.split("failpoint!(\"").nth(1)?.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn the_table_has_the_places_of_the_source() {
    let mut found = Vec::new();
    for folder in ["src", "adapters"] {
        marked(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    }
    let source: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(source.len(), found.len(), "a name stands for one place: {found:?}");
    let table: BTreeSet<&str> = POINTS.iter().map(|point| point.name).collect();
    assert_eq!(table.len(), POINTS.len(), "a place is in the table once");
    assert_eq!(source, table);
}
