//! Text to a tree of values with their places, every syntax error told.
//!
//! The parser recovers from most errors but loses what stands behind some. So a broken statement is replaced by
//! one that can be read, and the text is parsed again, until nothing is broken: line numbers never move.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use trunkline_adapter::settings::{Node, Table, Value};

use super::line::LineNumbers;
use super::outline::{self, Kind, Statement};

/// Repairs before what is left is taken as it is.
const ROUNDS: usize = 100;

/// What a text holds.
pub(super) struct Parsed {
    /// The values. Their offsets are those of `text`.
    pub(super) root: Table,
    /// The text as it could be read in the end; it has the lines of the original.
    pub(super) text: String,
    /// What is wrong, by line.
    pub(super) errors: Vec<SyntaxError>,
    /// Lines whose values are not the operator's.
    pub(super) repaired: Vec<usize>,
}

/// A place where the text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Parsed {
    let original = outline::statements(text);
    let mut current = text.to_owned();
    let mut errors = BTreeMap::new();
    let mut repaired: BTreeMap<usize, u32> = BTreeMap::new();
    for round in 0..=ROUNDS {
        let (tree, found) = DeTable::parse_recoverable(&current);
        let numbers = LineNumbers::of(current.as_bytes());
        let blamed: Vec<(usize, usize, &str)> = found
            .iter()
            .filter_map(|error| {
                let at = error.span().map_or(0, |span| span.start);
                let line = numbers.line(at.min(current.len()));
                Some((culprit(&original, line)?, line, error.message()))
            })
            .collect();
        let double = |message: &str| message.starts_with("duplicate key");
        // The first only: it may be why those behind it look broken, or doubled.
        let broken = blamed.iter().filter(|(.., message)| !double(message)).min_by_key(|(index, ..)| *index);
        if let Some(&(index, line, message)) = broken
            && round < ROUNDS
        {
            let statement = &original[index];
            let times = repaired.entry(statement.first).or_default();
            if *times == 0 {
                let line = if statement.closed { line } else { statement.first };
                errors.entry(line).or_insert_with(|| syntax(text, &original, index, line, message));
            }
            *times += 1;
            current = repair(&current, statement, *times > 1);
            continue;
        }
        for (index, line, message) in blamed {
            errors.entry(line).or_insert_with(|| match double(message) {
                true => twice(&original, index, line),
                false => syntax(text, &original, index, line, message),
            });
        }
        let root = table(0, tree.get_ref());
        let touched = original.iter().filter(|statement| repaired.contains_key(&statement.first));
        let repaired = touched.flat_map(|statement| statement.first..=statement.last).collect();
        return Parsed { root, text: current, errors: errors.into_values().collect(), repaired };
    }
    // Not reached: the last round returns.
    Parsed {
        root: Table::default(),
        text: current,
        errors: errors.into_values().collect(),
        repaired: Vec::new(),
    }
}

/// The statement to blame for an error: an unclosed one above is why its neighbour cannot be read.
fn culprit(statements: &[Statement], line: usize) -> Option<usize> {
    let index = outline::on_line(statements, line).or((!statements.is_empty()).then_some(0))?;
    match index.checked_sub(1) {
        Some(above) if !statements[above].closed => Some(above),
        _ => Some(index),
    }
}

fn twice(statements: &[Statement], index: usize, line: usize) -> SyntaxError {
    let statement = &statements[index];
    let earlier = statements[..index].iter().rfind(|other| match (&other.kind, &statement.kind) {
        (Kind::Header { name: a, .. }, Kind::Header { name: b, .. }) => a == b,
        (Kind::Key(a), Kind::Key(b)) => {
            a == b && (other.under == statement.under || !is_list(statements, statement.under))
        }
        _ => false,
    });
    let message = match earlier {
        Some(earlier) => format!("is set twice, first on line {}", earlier.first),
        None => "is set twice".to_owned(),
    };
    let hint = Some("keep one of them".to_owned());
    SyntaxError { line, path: outline::path(statements, index), message, hint }
}

fn is_list(statements: &[Statement], under: Option<usize>) -> bool {
    under.is_some_and(|under| matches!(statements[under].kind, Kind::Header { list: true, .. }))
}

fn syntax(text: &str, statements: &[Statement], index: usize, line: usize, said: &str) -> SyntaxError {
    let statement = &statements[index];
    let written = text.split('\n').nth(statement.first - 1).unwrap_or_default();
    let path = outline::path(statements, index);
    if !statement.closed {
        let message = "a bracket is opened here and never closed".to_owned();
        return SyntaxError { line, path, message, hint: None };
    }
    let value = written.split_once('=').map(|(_, value)| value.trim());
    let bare = value.is_some_and(|value| {
        value.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '+' | '*'))
    });
    let (message, hint) = match (&statement.kind, bare) {
        // The parser takes it for a number gone wrong, which helps nobody.
        (Kind::Key(_), true) => ("the value is not TOML".to_owned(), Some("text is written in quotes")),
        (Kind::Other, _) => ("is not TOML".to_owned(), Some("write key = value, [header] or # comment")),
        _ => (format!("is not TOML: {said}"), None),
    };
    SyntaxError { line, path, message, hint: hint.map(str::to_owned) }
}

/// Replaces a broken statement: by one of its kind at first, by nothing if that did not help.
fn repair(text: &str, statement: &Statement, blank: bool) -> String {
    let stand_in = match &statement.kind {
        _ if blank => String::new(),
        Kind::Header { name, list: true } => format!("[[{name}]]"),
        Kind::Header { name, list: false } => format!("[{name}]"),
        Kind::Key(key) => format!("{key} = 0"),
        Kind::Other => String::new(),
    };
    let lines = text.split('\n').enumerate().map(|(number, line)| match number + 1 {
        number if number == statement.first => stand_in.as_str(),
        number if (statement.first..=statement.last).contains(&number) => "",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn table(at: usize, source: &DeTable<'_>) -> Table {
    let mut entries: Vec<(String, usize, Node)> = source
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), key.span().start, node(value)))
        .collect();
    entries.sort_by_key(|(_, at, _)| *at);
    Table { at, entries }
}

fn node(source: &Spanned<DeValue<'_>>) -> Node {
    let at = source.span().start;
    let value = match source.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            // Beyond any bound we know: not a whole number we could work with.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(nodes) => Value::Array(nodes.iter().map(node).collect()),
        DeValue::Table(entries) => Value::Table(table(at, entries)),
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let error = |error: SyntaxError| format!("{} {}: {}", error.line, error.path, error.message);
        parse(text).errors.into_iter().map(error).collect()
    }

    #[test]
    fn every_error_is_told_and_what_stands_behind_is_read() {
        let text = "[server]\nlisten = 127.0.0.1:8080\n= 5\nwatch = true\nwatch = false\nkey value\n[log\nlevel = \"info\"\n\
                    [store]\npath = \"x\"\n";
        let parsed = parse(text);
        let lines: Vec<_> = parsed.errors.iter().map(|error| (error.line, error.path.as_str())).collect();
        assert_eq!(
            lines,
            [(2, "server.listen"), (3, "server"), (5, "server.watch"), (6, "server"), (7, "log")]
        );
        assert_eq!(parsed.errors[0].hint.as_deref(), Some("text is written in quotes"));
        assert_eq!(parsed.errors[2].message, "is set twice, first on line 4");
        let headers: Vec<_> = parsed.root.entries.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(headers, ["server", "log", "store"]);
        assert!(parsed.repaired.contains(&2) && !parsed.repaired.contains(&5));
    }

    #[test]
    fn an_unclosed_list_is_blamed_where_it_begins() {
        let told =
            told("[opt_out]\nstop = [\"A\",\n  \"B\"\nstart = [\"C\"]\nhelp = []\n[log]\nlevel = \"info\"\n");
        assert_eq!(told, ["2 opt_out.stop: a bracket is opened here and never closed"]);
    }

    #[test]
    fn an_error_inside_a_list_over_lines_is_told_on_its_line() {
        let told = told("stop = [\n  \"A\",\n  B,\n]\nstart = 1\n");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("3 stop: "), "{told:?}");
    }

    #[test]
    fn a_doubled_header_is_told_once() {
        assert_eq!(told("[log]\nlevel = 1\n[log]\nformat = 2\n"), ["3 log: is set twice, first on line 1"]);
    }

    #[test]
    fn hostile_texts_neither_panic_nor_hang() {
        for text in
            ["[".repeat(20_000), "a=[".repeat(5_000), "=\n".repeat(500), "\"".repeat(999), "a.".repeat(9_999)]
        {
            assert!(!parse(&text).errors.is_empty());
        }
        assert!(parse("").errors.is_empty());
    }
}
