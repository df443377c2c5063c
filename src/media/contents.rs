//! The boundary behind which contents lie.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::model::ContentHash;

/// A content in pieces of bounded size. It ends early, with an error, where it cannot be read to its end.
pub type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// Bytes in one piece.
pub const PIECE: usize = 64 * 1024;

/// A place of contents. Whoever stores the same content twice has it once.
pub trait Contents: Send + Sync + 'static {
    /// Keeps what a file holds; durable when this is done. The file is this call's to move.
    fn keep<'a>(&'a self, content: ContentHash, file: &'a Path, size: u64) -> BoxFuture<'a, io::Result<()>>;

    /// Reads so many bytes from a byte on; nothing where there is no such content.
    fn open(&self, content: ContentHash, from: u64, length: u64)
    -> BoxFuture<'_, io::Result<Option<Chunks>>>;

    /// Every content there is, in no particular order. One that comes or goes meanwhile may be in it or not.
    fn list(&self) -> BoxStream<'_, io::Result<ContentHash>>;

    /// Removes a content; one that is not there is removed already.
    fn remove(&self, content: ContentHash) -> BoxFuture<'_, io::Result<()>>;
}
