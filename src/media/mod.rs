//! Files' bytes: taken in as they come, kept under their hash, read in pieces, and reached by signed links.
//!
//! Owns where contents lie (beside the ledger, or in a bucket) and when they go. Must not know messages, nor who may see
//! what: `relay` keeps the records, `http` asks for credentials.
//!
//! Invariants: no file is ever whole in memory; a content is on its disk, synced, before any row names it; what nobody
//! needs goes with the next sweep, and what somebody is about to need does not.

mod bucket;
mod contents;
mod convert;
mod error;
mod fetch;
mod files;
mod intake;
mod link;
mod sniff;
mod sweep;

use std::path::Path;
use std::sync::Arc;

pub use contents::{Chunks, Contents};
pub use convert::{Made, Pictures, jpeg_name};
pub use error::MediaError;
pub use fetch::{Download, Downloads};
pub use intake::{Intake, Stored};
pub use link::{BadLink, Linked, Links};
pub use sniff::{content_type, shown_in_place, well_formed};
pub use sweep::Needed;

use bucket::Bucket;
use files::Files;
use sweep::Pins;

use crate::model::ContentHash;

/// Where contents lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In files below the store's folder.
    Files,
    /// In a bucket, below a prefix that may be empty.
    Bucket { bucket: String, prefix: String },
}

/// Contents of files, wherever they lie.
#[derive(Clone)]
pub struct Media {
    contents: Arc<dyn Contents>,
    /// Where what comes in is written first.
    incoming: Arc<Path>,
    pins: Arc<Pins>,
}

impl Media {
    /// Contents in files of a store whose folders somebody else has made; until then nothing can be taken in.
    pub fn files(store: &Path) -> Media {
        let folder = store.join("media");
        let incoming = folder.join("incoming").into();
        Media { contents: Arc::new(Files::new(folder)), incoming, pins: Arc::default() }
    }

    /// Opens the contents of a store. Whatever was coming in when the last run ended is thrown away.
    ///
    /// # Errors
    /// When the folder cannot be used, or the bucket's settings make no sense.
    pub async fn open(store: &Path, place: &Place) -> Result<Media, MediaError> {
        let files = Media::files(store);
        match tokio::fs::remove_dir_all(&files.incoming).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => tokio::fs::create_dir_all(&files.incoming).await?,
        }
        match place {
            Place::Files => {
                Files::new(store.join("media")).prepare().await?;
                Ok(files)
            }
            Place::Bucket { bucket, prefix } => {
                Ok(Media { contents: Arc::new(Bucket::open(bucket, prefix)?), ..files })
            }
        }
    }

    /// Begins to take a content in, of at most so many bytes.
    ///
    /// # Errors
    /// When nothing can be written.
    pub async fn take(&self, limit: u64) -> Result<Intake, MediaError> {
        Intake::begin(self, limit).await
    }

    /// Reads a content in pieces, from a byte on and so many of them; nothing if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened. What fails later breaks the stream off.
    pub async fn open_content(
        &self,
        content: ContentHash,
        from: u64,
        length: u64,
    ) -> Result<Option<Chunks>, MediaError> {
        Ok(self.contents.open(content, from, length).await?)
    }

    /// Removes what nobody needs; gives how many contents that were. Others come in meanwhile as they like.
    ///
    /// # Errors
    /// When the contents or the ledger cannot be read. What is left goes with the next sweep.
    pub async fn sweep(&self, needed: &dyn Needed) -> Result<usize, MediaError> {
        sweep::sweep(&*self.contents, &self.pins, needed).await
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
