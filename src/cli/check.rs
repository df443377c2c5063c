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
            Checked { code: 0, output: config::summary(&loaded.config), errors }
        }
        Err(refused) => {
            Checked { code: CONFIGURATION, output: String::new(), errors: listed(&refused.lines, "") }
        }
    }
}

fn listed(lines: &[Line], before: &str) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{before}{line}");
    }
    text
}
