//! Reading configuration: a tree of values that remember where they stood, and sections that are read key by key while
//! every mistake is collected.

use std::sync::Arc;
use std::time::Duration;

use crate::{Address, Rate, Secret, Secrets};

mod problem;
mod source;
mod tree;
mod words;

pub use problem::Problem;
pub use source::{SecretSource, Source, Unreadable};
pub use tree::{Node, Table, Value};
pub use words::{nearest, parse_duration, parse_size};

/// One table of the configuration, being read. A clone is read on its own: a trial that leaves no trace.
#[derive(Clone)]
pub struct Section {
    path: String,
    table: Table,
    secrets: Arc<dyn SecretSource>,
    asked: Vec<&'static str>,
    allowed_all: bool,
    problems: Vec<Problem>,
    seen: String,
}

impl Section {
    /// Begins to read a table.
    pub fn new(path: impl Into<String>, table: Table, secrets: Arc<dyn SecretSource>) -> Section {
        Section {
            path: path.into(),
            table,
            secrets,
            asked: Vec::new(),
            allowed_all: false,
            problems: Vec::new(),
            seen: String::new(),
        }
    }

    /// A section made from `key = value` pairs, for tests of adapters.
    pub fn of(pairs: &[(&str, &str)]) -> Section {
        let entries = pairs
            .iter()
            .map(|(key, value)| {
                ((*key).to_owned(), 0, Node { at: 0, value: Value::String((*value).to_owned()) })
            })
            .collect();
        Section::new("settings", Table { at: 0, entries }, Arc::new(source::NoSecrets))
    }

    /// Where the table stands in the file.
    pub fn at(&self) -> usize {
        self.table.at
    }

    /// Gives the section another path, once what it holds has told its name.
    pub fn set_path(&mut self, path: impl Into<String>) {
        self.path = path.into();
    }

    /// The path of the table itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Every key that was asked for so far: what this table may hold.
    pub fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// Takes what was read so far out of the text that [`Section::finish`] gives: for keys whose change is applied
    /// without rebuilding anything.
    pub fn unsee(&mut self) {
        self.seen.clear();
    }

    /// Where this section's secrets come from.
    pub fn secrets_from(&self) -> Arc<dyn SecretSource> {
        self.secrets.clone()
    }

    /// The strings of the table, whatever their keys.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.table.entries.iter().filter_map(|(.., node)| match &node.value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Counts every key as asked for: when nobody can say which there may be.
    pub fn allow_all(&mut self) {
        self.allowed_all = true;
    }

    /// Counts keys as asked for without reading them.
    pub fn allow(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// How many findings there are so far, for [`Section::forget`].
    pub fn findings(&self) -> usize {
        self.problems.len()
    }

    /// Takes back what was said about a key's value since there were so many findings.
    pub fn forget(&mut self, key: &str, since: usize) {
        let path = self.path_of(key);
        let mut number = 0;
        self.problems.retain(|problem| {
            number += 1;
            number <= since || problem.path != path
        });
    }

    /// The path of a key of this table.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Records that a key's value is wrong.
    pub fn problem(&mut self, key: &str, message: impl Into<String>, hint: Option<String>) {
        let at = self.find(key).map_or(self.table.at, |(at, _)| at);
        self.problem_at(at, key, message, hint);
    }

    /// Records that one part of a key's value is wrong, such as an entry of a list that spans lines.
    pub fn problem_at(&mut self, at: usize, key: &str, message: impl Into<String>, hint: Option<String>) {
        let path = self.path_of(key);
        self.problems.push(Problem { at, path, message: message.into(), hint, unknown: None, note: false });
    }

    /// Records something worth knowing about a key.
    pub fn note(&mut self, key: &str, message: impl Into<String>) {
        self.problem(key, message, None);
        if let Some(problem) = self.problems.last_mut() {
            problem.note = true;
        }
    }

    /// Whether the key is there at all. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The raw value of a key.
    pub fn node(&mut self, key: &'static str) -> Option<Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.find(key).map(|(_, node)| node.clone())
    }

    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        let node = self.node(key)?;
        match node.value {
            Value::String(text) => {
                self.saw(key, &text);
                Some(text)
            }
            other => self.wrong(key, "a string", &other),
        }
    }

    /// A string that must be there and not be empty.
    pub fn required(&mut self, key: &'static str) -> Option<String> {
        self.must(key);
        let text = self.string(key)?;
        if text.is_empty() {
            self.problem(key, "must not be empty", None);
            return None;
        }
        Some(text)
    }

    /// Records a problem if the key is not there.
    pub fn must(&mut self, key: &'static str) {
        if self.node(key).is_none() {
            let near = self.near_miss(key);
            self.problem(key, format!("{key} is missing"), near);
        }
    }

    /// True or false.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        match node.value {
            Value::Boolean(value) => {
                self.saw(key, &value.to_string());
                Some(value)
            }
            other => self.wrong(key, "true or false", &other),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &'static str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let node = self.node(key)?;
        match node.value {
            Value::Integer(value) if bounds.contains(&value) => {
                self.saw(key, &value.to_string());
                Some(value)
            }
            Value::Integer(_) => {
                self.problem(key, format!("must lie between {} and {}", bounds.start(), bounds.end()), None);
                None
            }
            other => self.wrong(key, "a whole number", &other),
        }
    }

    /// A positive number, whole or not.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        let node = self.node(key)?;
        let value = match node.value {
            #[expect(clippy::cast_precision_loss, reason = "rates and counts are far below 2^52")]
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            other => return self.wrong(key, "a number", &other),
        };
        if !value.is_finite() || value <= 0.0 || value > 1e9 {
            self.problem(key, "must be greater than 0 and at most a billion", None);
            return None;
        }
        self.saw(key, &value.to_string());
        Some(value)
    }

    /// A list of strings; a single string counts as a list of one.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        Some(self.strings_at(key)?.into_iter().map(|(_, text)| text).collect())
    }

    /// A list of strings and where each stands, for [`Section::problem_at`].
    pub fn strings_at(&mut self, key: &'static str) -> Option<Vec<(usize, String)>> {
        let node = self.node(key)?;
        let nodes = match node.value {
            Value::Array(nodes) => nodes,
            text @ Value::String(_) => vec![Node { at: node.at, value: text }],
            other => return self.wrong(key, "a list of strings", &other),
        };
        let count = nodes.len();
        let mut texts = Vec::with_capacity(count);
        for node in nodes {
            match node.value {
                Value::String(text) => {
                    self.saw(key, &text);
                    texts.push((node.at, text));
                }
                other => {
                    let message = format!("every entry must be a string, not {}", other.kind());
                    self.problem_at(node.at, key, message, None);
                }
            }
        }
        (texts.len() == count).then_some(texts)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            let near = nearest(&text, choices.iter().map(|(word, _)| *word));
            let hint = near.map(|near| format!("did you mean {near:?}?"));
            self.problem(key, format!("must be one of {}", words.join(", ")), hint);
        }
        found.map(|(_, value)| *value)
    }

    /// A span of time, such as `"4h"`, `"90s"`, `"250ms"` or `"1h30m"`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let hint = Some("write it like \"30s\", \"15m\" or \"4h\"".to_owned());
        let text = self.text_of(key, "a duration", &hint)?;
        let parsed = parse_duration(&text);
        if parsed.is_none() {
            self.problem(key, format!("{text:?} is not a duration"), hint);
        }
        parsed
    }

    /// A number of bytes, such as `"512MiB"`.
    pub fn size(&mut self, key: &'static str) -> Option<u64> {
        let hint = Some("write it like \"64KiB\", \"150MiB\" or \"2GiB\"".to_owned());
        let text = self.text_of(key, "a size", &hint)?;
        let parsed = parse_size(&text);
        if parsed.is_none() {
            self.problem(key, format!("{text:?} is not a size"), hint);
        }
        parsed
    }

    /// An address of a channel.
    pub fn address(&mut self, key: &'static str) -> Option<Address> {
        let text = self.string(key)?;
        match Address::parse(&text) {
            Ok(address) => Some(address),
            Err(error) => {
                let hint = "write +15550001111, whatsapp:+15550001111 or messenger:PAGE_ID".to_owned();
                self.problem(key, error.to_string(), Some(hint));
                None
            }
        }
    }

    /// A rate: `{ per_second = 10, burst = 20 }` or `{ per_minute = 10, burst = 45 }`.
    pub fn rate(&mut self, key: &'static str) -> Option<Rate> {
        let mut section = self.table(key)?;
        let second = section.number("per_second");
        let minute = section.number("per_minute");
        let burst = section.integer("burst", 1..=100_000);
        let burst = u32::try_from(burst.unwrap_or(1)).unwrap_or(1);
        let both = section.has("per_second") && section.has("per_minute");
        let neither = !section.has("per_second") && !section.has("per_minute");
        if both || neither {
            section.problem("per_second", "say either per_second or per_minute", None);
        }
        self.absorb(section);
        match (second, minute) {
            (Some(count), None) => Some(Rate::per_second(count, burst)),
            (None, Some(count)) => Some(Rate::per_minute(count, burst)),
            _ => None,
        }
    }

    /// An HTTP base URL, without a slash at its end.
    pub fn base_url(&mut self, key: &'static str, default: &str) -> String {
        let Some(text) = self.string(key) else { return default.to_owned() };
        let whole = text.starts_with("https://") || text.starts_with("http://");
        let plain = reqwest::Url::parse(&text).is_ok_and(|url| {
            url.has_host() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        });
        if !whole || !plain {
            self.problem(key, "is not an http or https URL", Some(format!("for example {default:?}")));
        }
        text.trim_end_matches('/').to_owned()
    }

    /// A secret, or a list of them: literals, `{ env = … }`, `{ file = … }` or `{ credential = … }`.
    pub fn secrets(&mut self, key: &'static str) -> Option<Secrets> {
        let node = self.node(key)?;
        let nodes = match node.value {
            Value::Array(nodes) => nodes,
            value => vec![Node { at: node.at, value }],
        };
        if nodes.is_empty() {
            self.problem(key, "the list of secrets is empty", None);
        }
        self.seen.push_str(key);
        let values: Vec<Secret> = nodes.into_iter().filter_map(|node| self.one_secret(key, node)).collect();
        for secret in &values {
            self.seen.push_str(secret.expose());
            self.seen.push('\0');
        }
        Secrets::new(values)
    }

    /// A secret that must be there.
    pub fn required_secrets(&mut self, key: &'static str) -> Option<Secrets> {
        self.must(key);
        self.secrets(key)
    }

    /// A table below this one; give it back with [`Section::absorb`].
    pub fn table(&mut self, key: &'static str) -> Option<Section> {
        let node = self.node(key)?;
        match node.value {
            Value::Table(table) => Some(Section::new(self.path_of(key), table, self.secrets.clone())),
            Value::Array(mut nodes) if nodes.iter().all(|node| matches!(node.value, Value::Table(_))) => {
                self.problem(
                    key,
                    "there is only one of these",
                    Some(format!("write [{}]", self.header(key))),
                );
                let first = (!nodes.is_empty()).then(|| nodes.swap_remove(0))?;
                let Value::Table(table) = first.value else { return None };
                Some(Section::new(self.path_of(key), table, self.secrets.clone()))
            }
            other => self.wrong(key, "a table", &other),
        }
    }

    /// The tables of a `[[key]]`; give each back with [`Section::absorb`].
    pub fn tables(&mut self, key: &'static str) -> Vec<Section> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let nodes = match node.value {
            Value::Array(nodes) => nodes,
            // Read on as if it were the first of a list, so that its own mistakes are told at once.
            value => {
                let hint = Some(format!("write [[{}]]", self.header(key)));
                self.problem(key, "must be a list of tables", hint);
                if matches!(value, Value::Table(_)) { vec![Node { at: node.at, value }] } else { Vec::new() }
            }
        };
        let mut sections = Vec::with_capacity(nodes.len());
        for (number, node) in nodes.into_iter().enumerate() {
            match node.value {
                Value::Table(table) => {
                    let path = format!("{}[{number}]", self.path_of(key));
                    sections.push(Section::new(path, table, self.secrets.clone()));
                }
                other => {
                    self.wrong::<()>(key, "a list of tables", &other);
                }
            }
        }
        sections
    }

    /// Takes over the findings of a section below, unknown keys included.
    pub fn absorb(&mut self, section: Section) {
        let (problems, seen) = section.finish();
        self.adopt(problems);
        self.seen.push_str(&seen);
    }

    /// Takes over findings.
    pub fn adopt(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// Everything wrong in this section, keys nobody asked for included, and a text that changes whenever a value that
    /// was read changes (it holds secrets: hash it, never show it).
    pub fn finish(mut self) -> (Vec<Problem>, String) {
        let unknown: Vec<(String, usize)> = self
            .table
            .entries
            .iter()
            .filter(|(key, ..)| !self.allowed_all && !self.asked.contains(&key.as_str()))
            .map(|(key, at, _)| (key.clone(), *at))
            .collect();
        for (key, at) in unknown {
            let hint = nearest(&key, self.asked.iter().copied()).map(|near| format!("did you mean {near}?"));
            let path = self.path_of(&key);
            let message = "unknown key".to_owned();
            self.problems.push(Problem { at, path, message, hint, unknown: Some(key), note: false });
        }
        (self.problems, self.seen)
    }

    /// The header of a table below this one, as it is written: paths carry names and numbers, headers do not.
    fn header(&self, key: &str) -> String {
        match self.path.split(['.', '[']).next() {
            Some(first) if !first.is_empty() => format!("{first}.{key}"),
            _ => key.to_owned(),
        }
    }

    fn find(&self, key: &str) -> Option<(usize, &Node)> {
        self.table.entries.iter().find(|(name, ..)| name == key).map(|(_, at, node)| (*at, node))
    }

    fn saw(&mut self, key: &str, value: &str) {
        for text in [key, "=", value, "\0"] {
            self.seen.push_str(text);
        }
    }

    fn wrong<T>(&mut self, key: &str, wanted: &str, found: &Value) -> Option<T> {
        self.problem(key, format!("must be {wanted}, not {}", found.kind()), None);
        None
    }

    fn text_of(&mut self, key: &'static str, wanted: &str, hint: &Option<String>) -> Option<String> {
        let node = self.node(key)?;
        if let Value::String(text) = node.value {
            self.saw(key, &text);
            return Some(text);
        }
        self.problem(key, format!("must be {wanted} in quotes, not {}", node.value.kind()), hint.clone());
        None
    }

    /// A key of this table that nobody asked for yet and that looks like the missing one.
    fn near_miss(&self, key: &str) -> Option<String> {
        let present = self.table.entries.iter().map(|(name, ..)| name.as_str());
        let near = nearest(key, present.filter(|name| !self.asked.contains(name)))?;
        Some(format!("is {near} meant to be {key}?"))
    }

    fn one_secret(&mut self, key: &'static str, node: Node) -> Option<Secret> {
        const FORMS: &str =
            "write \"…\", { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }";
        let table = match node.value {
            Value::String(text) if text.is_empty() => {
                self.problem(key, "the secret is empty", None);
                return None;
            }
            Value::String(text) => {
                if let Some(note) = self.secrets.literal() {
                    self.note(key, note);
                }
                return Some(Secret::new(text));
            }
            Value::Table(table) => table,
            other => {
                let message = format!("must be a secret, not {}", other.kind());
                self.problem(key, message, Some(FORMS.to_owned()));
                return None;
            }
        };
        let source = match table.entries.as_slice() {
            [(form, _, Node { value: Value::String(name), .. })] => match form.as_str() {
                "env" => Some(Source::Env(name)),
                "file" => Some(Source::File(name)),
                "credential" => Some(Source::Credential(name)),
                _ => None,
            },
            _ => None,
        };
        let Some(source) = source else {
            self.problem(key, "is not a form of secret", Some(FORMS.to_owned()));
            return None;
        };
        match self.secrets.read(source) {
            Ok(text) if text.is_empty() => {
                self.problem(key, "the secret is empty", None);
                None
            }
            Ok(text) => Some(Secret::new(text)),
            Err(Unreadable { message, elsewhere: true }) => {
                self.note(key, message);
                // Stands in so that the rest of the file can be checked; `serve` never gets here.
                Some(Secret::new("not readable here"))
            }
            Err(Unreadable { message, elsewhere: false }) => {
                self.problem(key, message, None);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_collected_with_a_hint() {
        let mut section = Section::of(&[("acount_sid", "AC1"), ("rate", "fast")]);
        assert_eq!(section.required("account_sid"), None);
        assert_eq!(section.rate("rate"), None);
        let (problems, _) = section.finish();
        let lines: Vec<_> = problems.iter().map(|p| (p.message.as_str(), p.hint.as_deref())).collect();
        assert_eq!(
            lines,
            [
                ("account_sid is missing", Some("is acount_sid meant to be account_sid?")),
                ("must be a table, not a string", None),
                ("unknown key", Some("did you mean account_sid?")),
            ]
        );
    }

    #[test]
    fn findings_can_be_taken_back_and_keys_allowed() {
        let mut section = Section::of(&[("address", "nowhere:1"), ("other", "1")]);
        section.address("address");
        let own = section.findings();
        section.problem("address", "is not one of mine", None);
        section.forget("address", own);
        section.allow(&["other"]);
        let (problems, _) = section.finish();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("unknown channel prefix"), "{problems:?}");
    }

    #[test]
    fn what_is_unseen_does_not_count_as_a_change() {
        let seen = |rate: &str, token: &str| {
            let mut section = Section::of(&[("rate", rate), ("token", token)]);
            section.string("rate");
            section.unsee();
            section.secrets("token");
            section.finish().1
        };
        assert_eq!(seen("1", "a"), seen("2", "a"));
        assert_ne!(seen("1", "a"), seen("1", "b"));
    }
}
