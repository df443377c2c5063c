//! Taking a content in: hashed while it is written, bounded, and gone without a trace if it does not come to its end.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::contents::PIECE;
use super::sweep::Pin;
use super::{Media, MediaError, sniff};
use crate::model::ContentHash;

/// Bytes at the beginning by which a type is known.
const BEGINNING: usize = 4096;

/// A content that is coming in.
pub struct Intake {
    media: Media,
    file: File,
    aside: Aside,
    hash: Context,
    size: u64,
    limit: u64,
    beginning: Vec<u8>,
}

/// A content that is kept, at least until this is dropped: whoever takes one in commits the row that names it first.
#[derive(Debug)]
pub struct Stored {
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    /// What its first bytes say it is.
    pub sniffed: Option<&'static str>,
    _pin: Pin,
}

/// A file that goes unless it was moved.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // Kept contents have moved, so there mostly is nothing; the next start removes what cannot be removed now.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Intake {
    pub(super) async fn begin(media: &Media, limit: u64) -> Result<Intake, MediaError> {
        let mut name = [0; 16];
        SystemRandom::new().fill(&mut name).map_err(|_| std::io::Error::other("no randomness"))?;
        let path = media.incoming.join(URL_SAFE_NO_PAD.encode(name));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).await?;
        file.set_max_buf_size(PIECE);
        let (media, aside, hash) = (media.clone(), Aside(path), Context::new(&SHA256));
        Ok(Intake { media, file, aside, hash, size: 0, limit, beginning: Vec::new() })
    }

    /// How many bytes have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// # Errors
    /// When it is too much, or cannot be written.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), MediaError> {
        self.size += piece.len() as u64;
        if self.size > self.limit {
            return Err(MediaError::TooLarge);
        }
        if self.beginning.len() < BEGINNING {
            let wanted = (BEGINNING - self.beginning.len()).min(piece.len());
            self.beginning.extend_from_slice(&piece[..wanted]);
        }
        self.hash.update(piece);
        self.file.write_all(piece).await?;
        Ok(())
    }

    /// Keeps what has come; on its disk when this is done.
    ///
    /// # Errors
    /// When it cannot be kept; then nothing is.
    pub async fn finish(mut self) -> Result<Stored, MediaError> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let mut digest = [0; 32];
        digest.copy_from_slice(self.hash.finish().as_ref());
        let content = ContentHash::new(digest);
        // Pinned first: from here on no sweep takes it away, whether it was there or is about to be.
        let pin = self.media.pins.pin(content).await;
        self.media.contents.keep(content, &self.aside.0, self.size).await?;
        failpoint!("media::kept");
        Ok(Stored { content, size: self.size, sniffed: sniff::sniffed(&self.beginning), _pin: pin })
    }
}
