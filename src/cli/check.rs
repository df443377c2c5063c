//! `trunkline check`: the loader's verdict on a file, and what the file amounts to.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use trunkline_adapter::AdapterKind;

use crate::config::{self, Line, SystemSecrets};

/// The exit code of a configuration problem, as `sysexits.h` has it.
const CONFIGURATION: u8 = 78;

/// What to print and how to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The exit code.
    pub code: u8,
    /// For standard output: what the file amounts to.
    pub output: String,
    /// For standard error: problems and notes.
    pub errors: String,
}

/// Checks a configuration file.
pub fn check(path: &Path, kinds: &[&'static dyn AdapterKind]) -> Checked {
    match config::load(path, kinds, Arc::new(SystemSecrets::checking())) {
        Ok(loaded) => {
            let errors = listed(&loaded.notes, "note: ");
            Checked { code: 0, output: config::summary(&loaded.config, &usual(&loaded.config)), errors }
        }
        Err(refused) => {
            Checked { code: CONFIGURATION, output: String::new(), errors: listed(&refused.lines, "") }
        }
    }
}

/// The rates that adapters suggest; without them the screen says so.
fn usual(config: &config::Config) -> config::Usual {
    crate::app::usual_rates(config).unwrap_or_default()
}

fn listed(lines: &[Line], before: &str) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{before}{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_good_file_ends_with_0_and_a_bad_one_with_78() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.toml");
        let account = "[[account]]\nsid = \"AC00000000000000000000000000000001\"\nauth_token = \"t\"\n";
        std::fs::write(&path, account).unwrap();
        let good = check(&path, &[]);
        assert_eq!(good.code, 0);
        assert!(good.output.contains("AC00000000000000000000000000000001"), "{}", good.output);
        assert!(good.errors.starts_with("note: ") && good.errors.contains(":3: account[0].auth_token: "));

        std::fs::write(&path, format!("[log]\nlevl = 1\n{account}sid = 1\n")).unwrap();
        let bad = check(&path, &[]);
        assert_eq!((bad.code, bad.output.as_str()), (78, ""));
        let lines: Vec<_> =
            bad.errors.lines().map(|line| line.split(": ").nth(1).unwrap_or_default()).collect();
        assert_eq!(lines, ["log.levl", "account.sid"]);
    }
}
