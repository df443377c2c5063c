//! What nobody needs goes. A content that is about to be named by a row is pinned from before it is stored until after
//! the commit, and a content is looked at and removed in one turn that no pin comes into: so a sweep and an upload of
//! the same bytes never take each other's file. Pins live in memory: what a crash leaves behind, nobody will name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;

use super::MediaError;
use super::contents::Contents;
use crate::ledger::LedgerError;
use crate::model::ContentHash;

/// Knows whether any row names a content.
pub trait Needed: Send + Sync {
    fn needed<'a>(&'a self, content: &'a ContentHash) -> BoxFuture<'a, Result<bool, LedgerError>>;
}

/// The contents that are not to go now.
#[derive(Default)]
pub(super) struct Pins {
    /// Held while a content is looked at and removed, and while one is pinned.
    turn: tokio::sync::Mutex<()>,
    counts: Mutex<HashMap<ContentHash, usize>>,
}

impl Pins {
    pub async fn pin(self: &Arc<Pins>, content: ContentHash) -> Pin {
        let _turn = self.turn.lock().await;
        *self.counts().entry(content).or_default() += 1;
        Pin { pins: Arc::clone(self), content }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashMap<ContentHash, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a content from going.
pub(super) struct Pin {
    pins: Arc<Pins>,
    content: ContentHash,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = self.pins.counts();
        if let Some(count) = counts.get_mut(&self.content) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.content);
            }
        }
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({})", self.content)
    }
}

pub(super) async fn sweep(
    contents: &dyn Contents,
    pins: &Pins,
    needed: &dyn Needed,
) -> Result<usize, MediaError> {
    let (mut listed, mut removed) = (contents.list(), 0);
    while let Some(content) = listed.try_next().await? {
        // Most are needed, which no turn has to be held for.
        if needed.needed(&content).await? {
            continue;
        }
        let _turn = pins.turn.lock().await;
        if pins.counts().contains_key(&content) || needed.needed(&content).await? {
            continue;
        }
        contents.remove(content).await?;
        removed += 1;
    }
    Ok(removed)
}
