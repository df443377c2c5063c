//! Headers nobody knows: named as such, and read as the one they resemble so that what stands below is checked too.

use trunkline_adapter::settings::{Node, Problem, Table, Value, nearest};

const ROOT: [&str; 13] = [
    "server",
    "store",
    "queue",
    "opt_out",
    "webhooks",
    "egress",
    "media",
    "log",
    "limits",
    "account",
    "adapter",
    "messaging_service",
    "template",
];
const ACCOUNT: [&str; 1] = ["api_key"];
const ADAPTER: [&str; 2] = ["settings", "proxy"];

/// Takes unknown headers out of the tree, or gives them the name they resemble.
pub(super) fn settle(root: &mut Table, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    level(root, "", &ROOT, text, &mut problems);
    for (key, _, node) in &mut root.entries {
        let below: &[&str] = match key.as_str() {
            "account" => &ACCOUNT,
            "adapter" => &ADAPTER,
            _ => continue,
        };
        for table in tables(node) {
            level(table, key, below, text, &mut problems);
        }
    }
    problems
}

fn tables(node: &mut Node) -> Vec<&mut Table> {
    match &mut node.value {
        Value::Table(table) => vec![table],
        Value::Array(nodes) => nodes
            .iter_mut()
            .filter_map(|node| match &mut node.value {
                Value::Table(table) => Some(table),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn level(table: &mut Table, above: &str, known: &[&str], text: &str, problems: &mut Vec<Problem>) {
    let present: Vec<String> = table.entries.iter().map(|(key, ..)| key.clone()).collect();
    let mut given = Vec::new();
    table.entries.retain_mut(|(key, at, node)| {
        if known.contains(&key.as_str()) || !is_header(node, text) {
            return true;
        }
        let near = nearest(key, known.iter().copied());
        let hint = match near {
            Some(near) => Some(format!("did you mean {}?", written(above, near))),
            None => home(key).map(|home| format!("it is written {home}")),
        };
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let message = "unknown header".to_owned();
        problems.push(Problem { at: *at, path, message, hint, unknown: None, note: false });
        match near {
            Some(near) if !present.iter().any(|key| key == near) && !given.contains(&near.to_owned()) => {
                given.push(near.to_owned());
                *key = near.to_owned();
                true
            }
            _ => false,
        }
    });
}

/// A table or list of tables under a header of its own, not one in braces behind a key.
fn is_header(node: &Node, text: &str) -> bool {
    let holds_tables = match &node.value {
        Value::Table(_) => true,
        Value::Array(nodes) => {
            !nodes.is_empty() && nodes.iter().all(|node| matches!(node.value, Value::Table(_)))
        }
        _ => false,
    };
    // A list in brackets begins with one of them, a header of lists with two.
    let begins = text.get(node.at..).unwrap_or_default();
    let inline = begins.starts_with('{')
        || (matches!(node.value, Value::Array(_)) && begins.starts_with('[') && !begins.starts_with("[["));
    holds_tables && !inline
}

/// How a header is written.
fn written(above: &str, key: &str) -> String {
    let list = matches!(key, "account" | "adapter" | "api_key" | "proxy" | "messaging_service" | "template");
    let name = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
    if list { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn home(key: &str) -> Option<String> {
    [("", ROOT.as_slice()), ("account", &ACCOUNT), ("adapter", &ADAPTER)]
        .into_iter()
        .find(|(_, known)| known.contains(&key))
        .map(|(above, _)| written(above, key))
}
