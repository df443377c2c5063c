//! What is said about one line of the file.

use std::fmt;

/// Something to say about a line of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file, as it was named by the operator.
    pub file: String,
    /// The line, counted from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// The key's path; empty when no key is concerned.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Turns byte offsets into line numbers.
pub(super) struct LineNumbers {
    starts: Vec<usize>,
}

impl LineNumbers {
    pub(super) fn of(text: &[u8]) -> LineNumbers {
        let breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        LineNumbers { starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The line a byte stands on, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let numbers = LineNumbers::of(b"a\nbc\n\nd");
        let lines: Vec<_> = [0, 1, 2, 4, 5, 6, 99].into_iter().map(|at| numbers.line(at)).collect();
        assert_eq!(lines, [1, 1, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn a_line_shows_what_it_has() {
        let mut line = Line {
            file: "t.toml".into(),
            line: 3,
            path: "server.listn".into(),
            message: "unknown key".into(),
            hint: Some("did you mean listen?".into()),
        };
        assert_eq!(line.to_string(), "t.toml:3: server.listn: unknown key (did you mean listen?)");
        (line.line, line.path, line.hint) = (0, String::new(), None);
        assert_eq!(line.to_string(), "t.toml: unknown key");
    }
}
