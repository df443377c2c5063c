//! The targets: each takes any bytes, gives them to a parser that meets the outside, and holds it to its laws.
//!
//! A target panics when a law is broken, and for no other reason. It starts from the same state every time, so that an
//! input that breaks a law breaks it again.

pub mod answers;
pub mod api;
pub mod config;
pub mod dump;
pub mod forms;
mod house;
pub mod messenger;
pub mod names;
pub mod records;
pub mod rest;
pub mod sdk;
pub mod seeds;
pub mod twilio;
mod webhook;
pub mod whatsapp;

/// Takes an input; panics where a law is broken.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("twilio", twilio::run),
    ("whatsapp", whatsapp::run),
    ("messenger", messenger::run),
    ("sdk", sdk::run),
    ("answers", answers::run),
    ("rest", rest::run),
    ("api", api::run),
    ("config", config::run),
    ("records", records::run),
    ("dump", dump::run),
    ("names", names::run),
    ("forms", forms::run),
];

/// The first line, and what follows it.
fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// The first byte as a choice, and what follows it.
fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(first, rest)| (*first, rest))
}
