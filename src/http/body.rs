//! Bodies: ours, and theirs within bounds.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

/// What an answer carries. It fails only where a long answer breaks off half-way.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is all there.
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// How much of a refused body we read away so that the connection can be used again.
const DRAIN: u64 = 16 * 1024 * 1024;

/// Why a body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than the route allows.
    TooLarge,
    /// The caller went away, or sent what is not HTTP.
    Broken,
    /// Nothing came for too long.
    Slow,
}

/// A body that is read in pieces by whoever answers.
#[derive(Debug)]
pub struct Streamed {
    upload: Upload,
    most: u64,
    patience: Duration,
}

impl Streamed {
    /// Of at most so many bytes, each piece of which may let us wait so long.
    pub fn new(upload: Upload, most: usize, patience: Duration) -> Streamed {
        Streamed { upload, most: most as u64, patience }
    }

    /// How many bytes it may have.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// A declared length over the limit is refused before anything is read.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.upload.declared.is_some_and(|declared| declared > self.most) {
            return Err(BodyError::TooLarge);
        }
        match timeout(self.patience, self.upload.chunk()).await {
            Ok(Ok(_)) if self.upload.taken > self.most => Err(BodyError::TooLarge),
            Ok(read) => read,
            Err(_) => Err(BodyError::Slow),
        }
    }

    /// What is left of it.
    pub fn rest(self) -> Upload {
        self.upload
    }
}

/// The body of a request, not read yet.
#[derive(Debug)]
pub struct Upload {
    incoming: Option<Incoming>,
    declared: Option<u64>,
    /// The caller waits for our word before it sends.
    waits: bool,
    taken: u64,
}

impl Upload {
    pub fn new(headers: &HeaderMap, incoming: Incoming) -> Upload {
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let over = hyper::body::Body::is_end_stream(&incoming);
        let waits = headers.contains_key(EXPECT);
        Upload { incoming: (!over).then_some(incoming), declared, waits, taken: 0 }
    }

    /// Hands it to somebody else.
    pub fn take(&mut self) -> Upload {
        let Upload { incoming, declared, waits, taken } = self;
        Upload { incoming: incoming.take(), declared: *declared, waits: *waits, taken: *taken }
    }

    /// Whether nothing of it is left on the connection.
    pub fn finished(&self) -> bool {
        self.incoming.is_none()
    }

    /// All of it, if it is no longer than `most`.
    ///
    /// # Errors
    /// A declared length over the limit is refused before anything is read.
    ///
    /// # Cancel safety
    /// What was read so far is lost; [`Upload::drain`] may still follow.
    pub async fn read(&mut self, most: usize) -> Result<Bytes, BodyError> {
        let most = most as u64;
        if self.declared.is_some_and(|declared| declared > most) {
            return Err(BodyError::TooLarge);
        }
        let mut content = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if self.taken > most {
                return Err(BodyError::TooLarge);
            }
            if content.is_empty() && self.finished() {
                return Ok(chunk);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// Reads away what is left, within reason. Says whether the connection can be used again.
    pub async fn drain(&mut self) -> bool {
        let hopeless = self.declared.is_some_and(|declared| declared > DRAIN);
        // A caller that still waits for our word gets the refusal instead and need not send anything.
        if !self.finished() && (hopeless || (self.waits && self.taken == 0)) {
            return false;
        }
        loop {
            match self.chunk().await {
                Ok(None) => return true,
                Ok(Some(_)) if self.taken <= DRAIN => {}
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        while let Some(incoming) = &mut self.incoming {
            match incoming.frame().await {
                None => self.incoming = None,
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(frame)) => {
                    // Trailers mean nothing to us.
                    let Ok(chunk) = frame.into_data() else { continue };
                    self.taken += chunk.len() as u64;
                    if hyper::body::Body::is_end_stream(incoming) {
                        self.incoming = None;
                    }
                    return Ok(Some(chunk));
                }
            }
        }
        Ok(None)
    }
}
