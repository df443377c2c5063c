//! Why bytes cannot be had or kept.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    #[error("the content is longer than it may be")]
    TooLarge,
    #[error("a content cannot be read or written")]
    Storage(#[from] io::Error),
    #[error("the media storage's settings cannot be used: {0}")]
    Settings(String),
    #[error("the ledger does not say which contents are needed")]
    Ledger(#[from] crate::ledger::LedgerError),
}
