//! The statements of a TOML text, found without parsing it: what an error is about, and how to read on behind it.
//!
//! Only asked when the parser found fault. It is a sketch: inside a broken file there is no certain answer.

/// What a statement is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[name]` or `[[name]]`.
    Header {
        name: String,
        list: bool,
    },
    /// `key = …`.
    Key(String),
    Other,
}

/// One statement and the lines it spans.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) kind: Kind,
    /// First line, from 1.
    pub(super) first: usize,
    /// Last line.
    pub(super) last: usize,
    /// Position of the header above, in the list of statements.
    pub(super) under: Option<usize>,
    /// Brackets are closed within its lines.
    pub(super) closed: bool,
}

/// Splits a text into statements.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    let mut under = None;
    let mut depth = 0_i64;
    for (number, line) in text.split('\n').enumerate() {
        let trimmed = line.trim();
        let kind = kind_of(trimmed);
        match (&kind, found.last_mut()) {
            // A continued value, or the space between statements.
            (Kind::Other, Some(last)) if depth > 0 || trimmed.is_empty() || trimmed.starts_with('#') => {
                depth += balance(trimmed);
                if depth >= 0 && !trimmed.is_empty() {
                    last.last = number + 1;
                }
                last.closed = depth == 0;
            }
            _ => {
                depth = balance(trimmed);
                let header = matches!(kind, Kind::Header { .. });
                let own = (number + 1, number + 1);
                let place = if header { None } else { under };
                found.push(Statement { kind, first: own.0, last: own.1, under: place, closed: depth == 0 });
                if header {
                    under = Some(found.len() - 1);
                    depth = 0;
                }
            }
        }
    }
    found
}

/// The statement on a line.
pub(super) fn on_line(statements: &[Statement], line: usize) -> Option<usize> {
    statements.iter().rposition(|statement| statement.first <= line)
}

/// `header.key` of a statement.
pub(super) fn path(statements: &[Statement], index: usize) -> String {
    let statement = &statements[index];
    let above = statement.under.and_then(|under| match &statements[under].kind {
        Kind::Header { name, .. } => Some(name.as_str()),
        _ => None,
    });
    match (&statement.kind, above) {
        (Kind::Header { name, .. }, _) => name.clone(),
        (Kind::Key(key), Some(above)) => format!("{above}.{key}"),
        (Kind::Key(key), None) => key.clone(),
        (Kind::Other, above) => above.unwrap_or_default().to_owned(),
    }
}

fn kind_of(line: &str) -> Kind {
    if let Some(rest) = line.strip_prefix('[') {
        let (list, rest) = rest.strip_prefix('[').map_or((false, rest), |rest| (true, rest));
        let name: String = rest.trim().chars().take_while(|c| is_key(*c)).collect();
        // A quoted or bare entry of a list that spans lines begins with a bracket only when lists are nested.
        if !name.is_empty() && !rest.contains(',') {
            return Kind::Header { name, list };
        }
        return Kind::Other;
    }
    if let Some((key, _)) = line.split_once('=') {
        let key = key.trim();
        if !key.is_empty() && key.chars().all(|c| is_key(c) || matches!(c, '"' | '\'' | ' ')) {
            return Kind::Key(key.to_owned());
        }
    }
    Kind::Other
}

fn is_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Opening less closing brackets, those in strings and comments aside.
fn balance(line: &str) -> i64 {
    let mut depth = 0;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some('"'), '\\') => {
                characters.next();
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, '#') => break,
            (None, _) => {}
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_know_their_lines_and_their_header() {
        let text =
            "[server]\nlisten = [\n  \"a\", # one ]\n]\n\n[[account]]\nsid = \"x\"\nstop = [\nnext = 1\n";
        let found = statements(text);
        let spans: Vec<_> = (0..found.len())
            .map(|index| (path(&found, index), found[index].first, found[index].last, found[index].closed))
            .collect();
        assert_eq!(
            spans,
            [
                ("server".to_owned(), 1, 1, true),
                ("server.listen".to_owned(), 2, 4, true),
                ("account".to_owned(), 6, 6, true),
                ("account.sid".to_owned(), 7, 7, true),
                ("account.stop".to_owned(), 8, 8, false),
                ("account.next".to_owned(), 9, 9, true),
            ]
        );
        assert_eq!(on_line(&found, 3), Some(1));
    }
}
