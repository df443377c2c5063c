//! What the daemon shows: metrics and the dump, parsed.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use trunkline::ledger::key::take_name;

/// One series: its name, its labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// An exposition.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub series: Vec<Series>,
    /// The type of each family.
    pub types: BTreeMap<String, String>,
    pub text: String,
}

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        let mut metrics = Metrics { series: Vec::new(), types: BTreeMap::new(), text: text.to_owned() };
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                let doubled = metrics.types.insert(name.to_owned(), kind.to_owned());
                assert!(doubled.is_none(), "two families {name}");
            } else if !line.is_empty() && !line.starts_with('#') {
                metrics.series.push(series(line));
            }
        }
        metrics
    }

    /// The value of the one series with this name and (at least) these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<&Series> = self.matching(name, labels).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
        found[0].value
    }

    /// The sum over all series with this name and these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| {
            series.name == name
                && labels
                    .iter()
                    .all(|(key, value)| series.labels.get(*key).is_some_and(|found| found == value))
        })
    }
}

/// `name{a="b",c="d"} 1`; the values we read never contain a quote.
fn series(line: &str) -> Series {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match head.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (head, ""),
    };
    let mut found = BTreeMap::new();
    let mut rest = labels;
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').unwrap();
        found.insert(key.trim_start_matches(',').to_owned(), value.to_owned());
        rest = after;
    }
    Series { name: name.to_owned(), labels: found, value: value.parse().unwrap() }
}

/// A row of a dump.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub account: String,
    pub partition: String,
    pub space: String,
    pub rest: Vec<u8>,
    pub payload: Value,
    /// The payload as it stands in the dump, byte for byte.
    pub raw: String,
}

/// A line of a dump.
#[derive(Deserialize)]
struct Line<'a> {
    account: String,
    partition: String,
    space: String,
    rest: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Row {
    /// The names in a key that is made of names.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut rest = &self.rest[..];
        while let Some((name, behind)) = take_name(rest) {
            names.push(name);
            rest = behind;
        }
        names
    }
}

/// The rows of a dump that is whole.
pub fn rows(text: &str) -> Vec<Row> {
    let mut lines: Vec<&str> = text.lines().collect();
    let field = |line: Option<&str>, key: &str| {
        line.and_then(|line| serde_json::from_str::<Value>(line).ok()).and_then(|line| line[key].as_u64())
    };
    let trailer = lines.pop();
    assert!(field(lines.first().copied(), "trunkline_dump").is_some(), "no header: {text}");
    lines.remove(0);
    assert_eq!(field(trailer, "trunkline_dump_rows"), Some(lines.len() as u64), "the trailer counts");
    let row = |line: &&str| {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let raw = line.payload.get().to_owned();
        Row {
            account: line.account,
            partition: line.partition,
            space: line.space,
            rest: STANDARD.decode(line.rest).unwrap(),
            payload: serde_json::from_str(&raw).unwrap(),
            raw,
        }
    };
    lines.iter().map(row).collect()
}

impl Row {
    /// The payload as the store holds it.
    pub fn bytes(&self) -> Vec<u8> {
        #[derive(Deserialize)]
        struct Format<'a> {
            format: u8,
            #[serde(borrow)]
            json: &'a RawValue,
        }
        if self.raw.starts_with("{\"base64\":") {
            return STANDARD.decode(self.payload["base64"].as_str().unwrap()).unwrap();
        }
        if self.raw.starts_with("{\"format\":") {
            let wrapped: Format<'_> = serde_json::from_str(&self.raw).unwrap();
            return [&[wrapped.format], wrapped.json.get().as_bytes()].concat();
        }
        self.raw.clone().into_bytes()
    }
}
