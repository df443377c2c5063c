//! `trunkline dead-letters`: events that no webhook took, over the running daemon's admin socket.

use std::path::Path;

use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use serde_json::Value;

use super::ask::{ask, columns};
use super::{Failure, say};

#[derive(Subcommand)]
pub(super) enum What {
    /// The oldest ones, up to a thousand.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One of them, with everything it tells.
    Show { id: u64 },
    /// Let some go again; they are retried as if they had just been caused.
    Retry(Which),
    /// Drop some for good.
    Drop(Which),
}

/// Some by number, or all of them.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// All there are.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(socket: &Path, what: &What) -> Result<(), Failure> {
    match what {
        What::List { json } => {
            let found = answer(socket, Method::GET, "/dead-letters")?;
            say(&if *json { format!("{found}\n") } else { table(&found) })
        }
        What::Show { id } => {
            let found = answer(socket, Method::GET, &format!("/dead-letters?id={id}"))?;
            let text = serde_json::to_string_pretty(&found).map_err(|error| Failure::new(&error))?;
            say(&format!("{text}\n"))
        }
        What::Retry(which) => each(socket, "retry", "to be told again", which),
        What::Drop(which) => each(socket, "drop", "dropped", which),
    }
}

fn each(socket: &Path, verb: &str, done: &str, which: &Which) -> Result<(), Failure> {
    let ids: Vec<String> =
        if which.all { vec!["all".to_owned()] } else { which.ids.iter().map(u64::to_string).collect() };
    let mut handled = 0;
    for id in ids {
        let found = answer(socket, Method::POST, &format!("/dead-letters/{verb}?id={id}"))?;
        handled += found["handled"].as_u64().unwrap_or(0);
    }
    say(&format!("{handled} {done}\n"))
}

fn answer(socket: &Path, method: Method, path: &str) -> Result<Value, Failure> {
    let (status, text) = ask(socket, method, path)?;
    if status != StatusCode::OK {
        return Err(Failure::text(text));
    }
    serde_json::from_str(&text).map_err(|error| Failure::new(&error))
}

fn table(found: &Value) -> String {
    let text = |letter: &Value, key: &str| match &letter[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let keys = ["id", "event", "url", "since", "attempts", "reason"];
    let mut rows = vec![["ID", "EVENT", "URL", "SINCE", "TRIES", "REASON"].map(str::to_owned).to_vec()];
    for letter in found["dead_letters"].as_array().into_iter().flatten() {
        rows.push(keys.iter().map(|key| text(letter, key)).collect());
    }
    let shown = rows.len() as u64 - 1;
    let mut table = columns(&rows);
    if let Some(count) = found["count"].as_u64().filter(|count| *count > shown) {
        table.push_str(&format!("{shown} of {count}\n"));
    }
    table
}
