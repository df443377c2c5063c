//! The configuration file.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use trunkline::config::{self, Line};
use trunkline_adapter::AdapterKind;
use trunkline_adapter::settings::{SecretSource, Source, Unreadable};
use trunkline_messenger::Messenger;
use trunkline_twilio::Twilio;
use trunkline_whatsapp::Whatsapp;

/// What every variable, file and credential holds.
const SECRET: &str = "b7e5a3d48f26f1c9-secret";

struct Everywhere;

impl SecretSource for Everywhere {
    fn read(&self, source: Source<'_>) -> Result<String, Unreadable> {
        match source {
            Source::Env(name) | Source::File(name) | Source::Credential(name) if name.is_empty() => {
                Err(Unreadable { message: "has no name".to_owned(), elsewhere: false })
            }
            _ => Ok(SECRET.to_owned()),
        }
    }
}

thread_local! {
    static FILE: LazyCell<PathBuf> = LazyCell::new(|| {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        std::env::temp_dir().join(format!("trunkline-config-{}-{thread}.toml", std::process::id()))
    });
}

pub fn run(data: &[u8]) {
    let path = FILE.with(|file| (**file).clone());
    std::fs::write(&path, data).expect("a file");
    let kinds: [&'static dyn AdapterKind; 3] = [&Twilio, &Whatsapp, &Messenger];
    let load = || config::load(&path, &kinds, Arc::new(Everywhere));
    let lines = data.split(|byte| *byte == b'\n').count();
    let told = |told: &[Line]| {
        for line in told {
            assert!(line.line <= lines + 1, "a line beyond the end: {line}");
            let line = line.to_string();
            assert!(!line.contains(SECRET), "a secret is told: {line}");
            assert!(!line.contains('\n') || line.len() < 100_000);
        }
    };
    match load() {
        Ok(loaded) => {
            told(&loaded.notes);
            let shown = format!("{:?}\n{}", loaded.config, config::summary(&loaded.config, &HashMap::new()));
            assert!(!shown.contains(SECRET), "a secret is shown");
            assert!(!loaded.config.accounts.is_empty());
            let again = load().expect("the same file");
            assert!(config::diff(&loaded.config, &again.config).is_empty(), "a file differs from itself");
        }
        Err(refused) => {
            assert!(!refused.lines.is_empty(), "refused without a word");
            told(&refused.lines);
            let again = load().expect_err("the same file");
            assert_eq!(refused.to_string(), again.to_string());
        }
    }
}
