//! Commands that ask the running daemon over its admin socket. No secret is needed: the socket's permissions decide.

use std::io::{self, Write};
use std::path::Path;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use super::workers::runtime;
use super::{Failure, say};
use crate::http::operator;

pub fn reload(socket: &Path) -> Result<(), Failure> {
    let (status, text) = ask(socket, Method::POST, "/reload")?;
    if status == StatusCode::OK {
        return say(&text);
    }
    // The file was refused: the lines are what `check` would print.
    let code = if status == StatusCode::CONFLICT { 78 } else { 1 };
    Err(Failure { code, text })
}

pub fn lanes(socket: &Path, json: bool) -> Result<(), Failure> {
    let (status, text) = ask(socket, Method::GET, "/lanes")?;
    if status != StatusCode::OK {
        return Err(Failure::text(text));
    }
    if json {
        return say(&format!("{text}\n"));
    }
    let lanes: Value = serde_json::from_str(&text).map_err(|error| Failure::new(&error))?;
    say(&table(&lanes))
}

/// Copies the running daemon's dump to standard output as it comes.
pub fn dump(socket: &Path) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let called = operator::call(socket, Method::GET, "/dump").await;
        let (status, mut body) = called.map_err(|error| absent(socket, &error))?;
        let mut out = io::stdout().lock();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::new(&error))?;
            if let Some(bytes) = frame.data_ref() {
                out.write_all(bytes).map_err(|error| Failure::new(&error))?;
            }
        }
        out.flush().map_err(|error| Failure::new(&error))?;
        if status.is_success() { Ok(()) } else { Err(Failure::text(format!("the daemon answered {status}"))) }
    })
}

pub(super) fn ask(socket: &Path, method: Method, path: &str) -> Result<(StatusCode, String), Failure> {
    runtime()?.block_on(async {
        let called = operator::call(socket, method, path).await;
        let (status, body) = called.map_err(|error| absent(socket, &error))?;
        let body = body.collect().await.map_err(|error| Failure::new(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    })
}

fn absent(socket: &Path, error: &dyn std::error::Error) -> Failure {
    let text = super::sentence(error);
    Failure::text(format!("no daemon answers on {}: {text}", socket.display()))
}

/// Lanes as a table for people.
fn table(lanes: &Value) -> String {
    let text = |lane: &Value, key: &str| match &lane[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let heads =
        ["ADAPTER", "PROXY ADDRESS", "STATE", "DEPTH", "OLDEST", "LAST", "CODE", "NEXT TRY", "REASON"];
    let mut rows: Vec<Vec<String>> = vec![heads.iter().map(|head| (*head).to_owned()).collect()];
    for lane in lanes.as_array().into_iter().flatten() {
        let seconds = |key: &str| lane[key].as_u64().map_or("-".to_owned(), |seconds| format!("{seconds}s"));
        rows.push(vec![
            text(lane, "adapter"),
            text(lane, "proxy_address"),
            text(lane, "state"),
            text(lane, "depth"),
            seconds("oldest_seconds"),
            text(&lane["last"], "outcome"),
            text(&lane["last"], "code"),
            seconds("next_try_seconds"),
            text(lane, "reason"),
        ]);
    }
    columns(&rows)
}

/// Rows in columns, as wide as they need to be.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}
