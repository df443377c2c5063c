//! The example file, whole and with every mistake made in it: each alone, and all of them at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use trunkline_adapter::AdapterKind;

use super::catalogue::Catalogue;
use super::fake_kinds::Named;
use super::load::{Loaded, from_text};
use super::{Line, inventory, summary};

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn kinds() -> Vec<&'static dyn AdapterKind> {
    crate::app::registry::kinds()
}

fn load(text: &str) -> Result<Loaded, Vec<Line>> {
    from_text("t.toml", text, &kinds(), Arc::new(Named)).map_err(|refused| refused.lines)
}

/// A key of the example: where it stands, under which header, and its kind of adapter.
#[derive(Clone, Debug)]
struct Key {
    /// Index in the list of lines.
    at: usize,
    header: String,
    kind: Option<String>,
    key: String,
}

fn lines() -> Vec<String> {
    EXAMPLE.lines().map(str::to_owned).collect()
}

fn keys() -> Vec<Key> {
    let (mut header, mut kind, mut keys) = (String::new(), None, Vec::new());
    for (at, line) in EXAMPLE.lines().enumerate() {
        if line.starts_with('[') {
            line.clone_into(&mut header);
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            if (header.as_str(), key) == ("[[adapter]]", "kind") {
                kind = Some(value.trim_matches('"').to_owned());
            }
            keys.push(Key { at, header: header.clone(), kind: kind.clone(), key: key.to_owned() });
        }
    }
    // The kind of an adapter stands behind its name.
    keys
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    Misspelt,
    WrongType,
    Removed,
    Doubled,
    Moved,
}

const MISTAKES: [Mistake; 5] =
    [Mistake::Misspelt, Mistake::WrongType, Mistake::Removed, Mistake::Doubled, Mistake::Moved];

/// What must be said about a line of the changed text.
#[derive(Debug)]
struct Expected {
    line: usize,
    words: Vec<String>,
}

/// Makes mistakes; gives the text and what must be said about it.
fn spoil(mistakes: &[(Key, Mistake)]) -> (String, Vec<Expected>) {
    let catalogue = inventory::catalogue(&kinds());
    let original = lines();
    // Each line, and the mistake it is the proof of.
    let mut spoilt: Vec<Vec<(String, Option<usize>)>> =
        original.iter().map(|line| vec![(line.clone(), None)]).collect();
    let mut header_of = vec![0; mistakes.len()];
    for (number, (key, mistake)) in mistakes.iter().enumerate() {
        let line = &original[key.at];
        let header = original[..key.at].iter().rposition(|line| *line == key.header).unwrap();
        header_of[number] = header;
        let own = match mistake {
            Mistake::Misspelt => vec![(line.replacen(&key.key, &format!("{}x", key.key), 1), Some(number))],
            Mistake::WrongType => vec![(format!("{} = 1979-05-27", key.key), Some(number))],
            Mistake::Doubled => vec![(line.clone(), None), (line.clone(), Some(number))],
            Mistake::Removed | Mistake::Moved => Vec::new(),
        };
        spoilt[key.at] = own;
        if *mistake == Mistake::Moved {
            // Some header that knows no such key and did not get it yet.
            let place = catalogue.all().into_iter().find_map(|(header, kind, keys)| {
                let place = original.iter().position(|line| line == header)?;
                let taken =
                    spoilt[place].iter().any(|(moved, _)| moved.starts_with(&format!("{} =", key.key)));
                (kind.is_none() && !keys.contains(&key.key.as_str()) && !taken).then_some(place)
            });
            spoilt[place.expect("a wrong header")].push((line.clone(), Some(number)));
        }
    }
    let (mut text, mut expected, mut line) = (String::new(), Vec::new(), 0);
    let mut new_number = vec![0; original.len()];
    for (old, group) in spoilt.iter().enumerate() {
        new_number[old] = line + 1;
        for (written, proof) in group {
            line += 1;
            text.push_str(written);
            text.push('\n');
            let Some(number) = *proof else { continue };
            let (key, mistake) = &mistakes[number];
            let words = match mistake {
                Mistake::Misspelt => vec!["unknown key".to_owned(), format!("did you mean {}?", key.key)],
                Mistake::WrongType => vec![format!("{}: must be", key.key)],
                Mistake::Doubled => vec![format!("{}: is set twice, first on line {}", key.key, line - 1)],
                Mistake::Moved => vec!["unknown key (belongs under".to_owned(), home(&catalogue, key)],
                Mistake::Removed => unreachable!("leaves no line"),
            };
            expected.push(Expected { line, words });
        }
    }
    for (number, (key, mistake)) in mistakes.iter().enumerate() {
        if *mistake == Mistake::Removed && is_required(key) {
            let words = vec![format!("{}: {} is missing", key.key, key.key)];
            expected.push(Expected { line: new_number[header_of[number]], words });
        }
    }
    (text, expected)
}

/// The header a moved key must be sent back to.
fn home(catalogue: &Catalogue, key: &Key) -> String {
    let own = catalogue.all().into_iter().any(|(header, kind, keys)| {
        kind.is_none() && header == key.header && keys.contains(&key.key.as_str())
    });
    if own { key.header.clone() } else { format!("{} of kind ", key.header) }
}

/// The example says so itself: in the comment above the key, or above an earlier key of the same kind of header.
fn is_required(key: &Key) -> bool {
    let all = lines();
    let same = keys().into_iter().filter(|other| {
        let general = ["name", "kind", "address"].contains(&key.key.as_str());
        other.key == key.key && other.header == key.header && (general || other.kind == key.kind)
    });
    same.into_iter().any(|other| {
        let above = all[..other.at].iter().rev().take_while(|line| line.starts_with('#'));
        above.into_iter().any(|line| line.contains("Required:"))
    })
}

fn check(text: &str, expected: &[Expected], context: &str) {
    let told = match load(text) {
        Ok(_) => Vec::new(),
        Err(lines) => lines,
    };
    for one in expected {
        let found = told.iter().any(|line| {
            let shown = line.to_string();
            line.line == one.line && one.words.iter().all(|words| shown.contains(words.as_str()))
        });
        let shown: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert!(found, "{context}: {one:?} is not among\n{}", shown.join("\n"));
    }
    // Nothing is blamed that is right. What was misspelt, doubled or moved may be missing at its own place.
    for line in &told {
        let fair = expected.iter().any(|one| one.line == line.line) || line.message.ends_with("is missing");
        assert!(fair, "{context}: {line} is nobody's mistake");
    }
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let loaded = load(EXAMPLE).unwrap();
    assert_eq!(loaded.notes, []);
    let bare = "[[account]]\nsid = \"AC00000000000000000000000000000001\"\nauth_token = { env = \"T\" }\n";
    let (example, mut bare) = (loaded.config, load(bare).unwrap().config);
    bare.server.public_url.clone_from(&example.server.public_url);
    assert_eq!(example.server, bare.server);
    assert_eq!(example.store, bare.store);
    assert_eq!(example.queue, bare.queue);
    assert_eq!(example.opt_out, bare.opt_out);
    assert_eq!(example.log, bare.log);
    assert_eq!(example.limits, bare.limits);
    assert_eq!(example.media, bare.media);
}

#[test]
fn the_example_has_every_option() {
    let keys = keys();
    for (header, kind, known) in inventory::catalogue(&kinds()).all() {
        for key in known {
            let there = keys.iter().any(|found| {
                found.header == header
                    && found.key == key
                    && (kind.is_none() || found.kind.as_deref() == kind)
            });
            assert!(there, "{key} under {header} of {kind:?} is not in config.example.toml");
        }
    }
}

#[test]
fn each_mistake_alone_is_told_on_its_line() {
    let keys = keys();
    assert!(keys.len() > 50, "{}", keys.len());
    for key in &keys {
        for mistake in MISTAKES {
            let (text, expected) = spoil(&[(key.clone(), mistake)]);
            check(&text, &expected, &format!("{mistake:?} {} {}", key.header, key.key));
        }
    }
}

#[test]
fn all_mistakes_at_once_are_told_each_on_its_line() {
    let keys = keys();
    for turn in 0..MISTAKES.len() {
        let mistakes: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(number, key)| (key.clone(), MISTAKES[(number + turn) % MISTAKES.len()]))
            .collect();
        let (text, expected) = spoil(&mistakes);
        check(&text, &expected, &format!("all at once, turn {turn}"));
    }
}

#[test]
fn a_misspelt_header_is_told_and_what_stands_below_is_still_read() {
    for (at, line) in EXAMPLE.lines().enumerate().filter(|(_, line)| line.starts_with('[')) {
        let mut spoilt = lines();
        let end = line.find(']').unwrap();
        spoilt[at].insert(end, 'x');
        let told = load(&spoilt.join("\n")).unwrap_err();
        let hint = format!("did you mean {line}?");
        let found = told.iter().any(|told| {
            told.line == at + 1 && told.message == "unknown header" && told.hint.as_deref() == Some(&hint)
        });
        assert!(found, "{line}: {told:?}");
    }
}

#[test]
fn the_summary_names_what_to_paste_at_each_provider() {
    let text = summary(&load(EXAMPLE).unwrap().config, &super::Usual::default());
    for words in [
        "https://bridge.example.com/webhooks/us#rc=5&rp=all\n",
        "https://bridge.example.com/webhooks/wa\n",
        "+15550001111  support-line  1 a second, 1 at once",
        "whatsapp:+15550002222  the provider's usual rate, to one recipient 10 a minute, 45 at once",
        "adapter pages (messenger)",
        "adapter web (sdk)\n  socket   wss://bridge.example.com/v3/wsconnect\n",
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn a_path_belongs_to_one_door() {
    let door = |name: &str, path: &str| {
        format!("[[adapter]]\nname = \"{name}\"\nkind = \"sdk\"\n[adapter.settings]\npath = \"{path}\"\n")
    };
    let account = "[[account]]\nsid = \"AC00000000000000000000000000000001\"\nauth_token = { env = \"T\" }\n";
    let with = |path: &str| load(&format!("{account}{}{}", door("a", "/one"), door("b", path)));
    assert_eq!(with("/two").unwrap().notes, [], "nor does one lack proxy addresses");
    let told = with("/one").unwrap_err();
    assert_eq!((told.len(), told[0].line, told[0].message.as_str()), (1, 13, "another adapter has /one"));
}
