//! Keeps the house as ARCHITECTURE.md draws it: which way the arrows between rooms point, how long a file may be, and
//! where metrics have their names. It reads the source as text, so it sees every `use crate::` and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each room of `src/` may use. A leaf that anyone may use is not repeated in every line.
const ROOMS: &[(&str, &[&str])] = &[
    ("telemetry", &[]),
    ("egress", &[]),
    ("model", &[]),
    ("ledger", &["model"]),
    ("bindings", &["ledger", "model"]),
    ("work", &["ledger", "model"]),
    ("announce", &["ledger", "model", "work"]),
    ("relay", &["announce", "bindings", "ledger", "model", "work"]),
    ("outbound", &["announce", "ledger", "model", "work"]),
    ("forward", &["egress", "ledger", "model", "work"]),
    ("webhooks", &["announce", "egress", "ledger", "model", "work"]),
    ("sync", &["ledger", "model", "work"]),
    ("media", &["egress", "ledger", "model", "work"]),
    ("http", &["announce", "bindings", "ledger", "media", "model", "outbound", "relay", "sync", "work"]),
    ("console", &[]),
    ("simulator", &["console", "http", "model"]),
    ("config", &[]),
    ("app", ALL_BUT_CLI),
    ("cli", &["app", "config", "http", "ledger", "model", "simulator"]),
];
const ALL_BUT_CLI: &[&str] = &[
    "announce",
    "bindings",
    "config",
    "egress",
    "forward",
    "http",
    "ledger",
    "media",
    "model",
    "outbound",
    "relay",
    "simulator",
    "sync",
    "webhooks",
    "work",
];
const LEAF: &str = "telemetry";

/// Rooms within the relay, and what each of them must not know: the way in and the API ask the judge, who asks nobody, and
/// leave each other alone.
const WITHIN_RELAY: &[(&str, &[&str])] =
    &[("decide", &["commit", "intake", "resources"]), ("intake", &["resources"]), ("resources", &["intake"])];

/// What each adapter may use of ours, besides itself.
const ADAPTERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("graph", &["trunkline_adapter"]),
    ("messenger", &["trunkline_adapter", "trunkline_graph"]),
    ("sdk", &["trunkline_adapter"]),
    ("twilio", &["trunkline_adapter"]),
    ("whatsapp", &["trunkline_adapter", "trunkline_graph"]),
];

/// Names that our metrics begin with.
const METRIC: &str = "\"trunkline_";
/// Longer files are several concerns.
const LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path below the root and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // A cache holds what is not ours, and copies of what is.
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let named = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (named(path), fs::read_to_string(path).unwrap())).collect()
}

/// The names that follow a path prefix anywhere in the code: `crate::http::x` gives `http`.
fn named_after<'a>(prefix: &str, text: &'a str) -> BTreeSet<&'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let after = code.flat_map(|line| line.split(prefix).skip(1).collect::<Vec<_>>());
    let word = |rest: &'a str| {
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
    };
    after.map(word).filter(|word| !word.is_empty()).collect()
}

/// The text without its tests, which may reach for what they need. Empty for a file of tests.
fn without_tests<'a>(file: &str, text: &'a str) -> &'a str {
    let name = file.rsplit('/').next().unwrap_or_default();
    if ["tests.rs", "test.rs"].iter().any(|end| name.ends_with(end)) {
        return "";
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

#[test]
fn rooms_use_only_what_lies_below_them() {
    let table: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, text) in sources("src") {
        let Some(room) = file.split('/').nth(1).filter(|_| file.matches('/').count() > 1) else { continue };
        let Some(allowed) = table.get(room) else {
            wrong.push(format!("{file}: the room {room} is not in the table"));
            continue;
        };
        seen.insert(room.to_owned());
        assert!(
            !text.contains("use crate::{"),
            "{file}: name the room in each `use crate::` line, so that arrows can be read"
        );
        for used in named_after("crate::", without_tests(&file, &text)) {
            if used != room && used != LEAF && !allowed.contains(&used) && table.contains_key(used) {
                wrong.push(format!("{file}: {room} may not use {used}"));
            }
        }
    }
    assert!(seen.len() > 8, "only these rooms were seen: {seen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rooms_of_the_relay_leave_each_other_alone() {
    for (room, strangers) in WITHIN_RELAY {
        let files = sources(&format!("src/relay/{room}"));
        assert!(files.len() > 3, "only {} files in {room}", files.len());
        for (file, text) in files {
            let used = named_after("crate::relay::", without_tests(&file, &text));
            let known: Vec<_> = strangers.iter().filter(|stranger| used.contains(*stranger)).collect();
            assert!(known.is_empty(), "{file}: {room} may not use {known:?}");
        }
    }
}

/// The module that a file is, from its crate's root; nothing for what only hands on what its files hold.
fn module(file: &str) -> Option<Vec<&str>> {
    let (_, path) = file.rsplit_once("src/")?;
    let names: Vec<_> = path.strip_suffix(".rs")?.split('/').collect();
    (!matches!(names.last(), Some(&("mod" | "lib" | "main")))).then_some(names)
}

/// The paths in a file's code that begin at its crate's root or at its parent, as modules from the root; those in braces
/// one by one.
fn paths<'a>(own: &[&'a str], text: &'a str) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    for (prefix, base) in [("crate::", &own[..0]), ("super::", &own[..own.len() - 1])] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with("super::") || text[..at].rsplit('\n').next().unwrap().contains("//") {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':'));
            let (path, behind) = rest.split_at(end.unwrap_or(rest.len()));
            let names = path.split("::").filter(|name| !name.is_empty());
            let stem: Vec<&str> = base.iter().copied().chain(names).collect();
            let braced = behind.strip_prefix('{').and_then(|inside| inside.split(['}', '{']).next());
            let each = braced.into_iter().flat_map(|inside| inside.split(','));
            found.extend(each.map(|item| {
                let name = item.trim().split("::").next().unwrap_or_default();
                stem.iter().copied().chain([name]).collect()
            }));
            found.push(stem);
        }
    }
    found
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let crates = fs::read_dir(root().join("adapters")).unwrap();
    let crates = crates.map(|entry| format!("adapters/{}/src", entry.unwrap().file_name().to_str().unwrap()));
    let (mut arrows, mut circles) = (0, Vec::new());
    for folder in crates.chain(["src".to_owned()]) {
        let files = sources(&folder);
        let rooms: BTreeMap<_, _> = files
            .iter()
            .filter(|(file, text)| !without_tests(file, text).is_empty())
            .filter_map(|(file, text)| Some((module(file)?, without_tests(file, text))))
            .collect();
        let mut above: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (own, text) in &rooms {
            let known = paths(own, text);
            let known = known.iter().filter_map(|path| {
                (1..=path.len())
                    .rev()
                    .find_map(|most| rooms.get_key_value(&path[..most]))
                    .map(|(room, _)| room)
            });
            above.insert(own, known.filter(|room| *room != own).collect());
        }
        arrows += above.values().map(BTreeSet::len).sum::<usize>();
        // What knows nobody that is left is in no circle; whatever remains is, or stands above one.
        while let Some(free) = above.iter().find(|(_, known)| known.is_empty()).map(|(room, _)| *room) {
            above.remove(free);
            above.values_mut().for_each(|known| {
                known.remove(free);
            });
        }
        circles.extend(above.iter().map(|(own, known)| format!("{folder}: {own:?} knows {known:?}")));
    }
    assert!(arrows > 300, "only {arrows} arrows between files were seen");
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn adapters_know_the_contract_and_nobody_else() {
    let table: BTreeMap<_, _> = ADAPTERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("adapters")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(allowed) = table.get(name.as_str()) else {
            wrong.push(format!("adapters/{name} is not in the table"));
            continue;
        };
        let manifest = fs::read_to_string(root().join("adapters").join(&name).join("Cargo.toml")).unwrap();
        // Tests may play with more than the adapter itself.
        let manifest = manifest.split("[dev-dependencies]").next().unwrap();
        let package = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
        let depends = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for used in depends.lines().map(package).filter(|used| used.starts_with("trunkline")) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("adapters/{name} may not depend on {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_several_concerns_long() {
    let files: Vec<_> = ["src", "adapters", "tests"].into_iter().flat_map(sources).collect();
    let long =
        files.iter().map(|(file, text)| (file, text.lines().count())).filter(|(_, lines)| *lines > LINES);
    let long: Vec<_> = long.map(|(file, lines)| format!("{file} has {lines} lines")).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn metrics_have_their_names_in_one_file() {
    let mut wrong = Vec::new();
    for (file, text) in ["src", "adapters"].into_iter().flat_map(sources) {
        if file == "src/telemetry/names.rs" {
            assert!(text.contains(METRIC), "{file} names no metric");
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            // Other names of ours may begin alike; a metric's is the whole of a literal and of more than one word.
            let literal = line.split(METRIC).nth(1).and_then(|rest| rest.split('"').next());
            if literal.is_some_and(|name| {
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && name.contains('_')
            }) {
                wrong.push(format!("{file}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fixture_says_where_it_is_from() {
    let mut fixtures = 0;
    for entry in fs::read_dir(root().join("adapters")).unwrap() {
        let Ok(folder) = fs::read_dir(entry.unwrap().path().join("fixtures")) else { continue };
        for file in folder {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let value: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let of = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
            let source = of("provenance").or_else(|| of("source")).unwrap_or_default();
            assert!(source.len() > 20, "{} does not say where it is from", path.display());
            fixtures += 1;
        }
    }
    assert!(fixtures > 10, "only {fixtures} fixtures were found");
}
