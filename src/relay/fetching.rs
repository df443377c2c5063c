//! The files of what people send: got from where their provider keeps them while the message waits in the inbox, so that it
//! joins its conversation whole. What cannot be had for too long is named in the text instead, so that the message itself
//! is never lost.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use trunkline_adapter::{Address, BoxFuture, InboundMessage, MediaFault, MediaReference, Part, Timestamp};

use super::intake::Origin;
use super::media::{Attachment, NewMedia};
use super::{Relay, RelayError};
use crate::model::{ContentHash, MediaCategory, ServiceSid};

/// Files that cannot be had for so long since their message came are given up: everything else that is said in the
/// conversation waits behind them.
const PATIENCE: Duration = Duration::from_secs(300);
/// The pause before another try: half of how long it has waited, within these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Files of one message; no provider's messages have more.
const MOST_FILES: usize = 10;

/// Gets files from providers and keeps their content. Plugged in by `app`.
pub trait Fetches: Send + Sync {
    /// A file of a message that came by this adapter to this proxy address.
    fn fetch<'a>(
        &'a self,
        adapter: &'a str,
        proxy: &'a Address,
        file: &'a MediaReference,
    ) -> BoxFuture<'a, Result<Fetched, MediaFault>>;
}

/// A file whose content is kept.
pub struct Fetched {
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    /// Keeps the content from the sweep until a row names it.
    pub hold: Box<dyn Any + Send + Sync>,
}

/// A message with its files.
pub(super) struct Complete {
    pub message: InboundMessage,
    pub media: Vec<Attachment>,
    /// See [`Fetched::hold`].
    pub holds: Vec<Box<dyn Any + Send + Sync>>,
}

/// How getting them ended.
pub(super) enum Gathered {
    Complete(Box<Complete>),
    /// Some are not to be had now.
    Later(Duration),
}

/// Whether a message refers to files.
pub(super) fn has_files(message: &InboundMessage) -> bool {
    message.parts.iter().any(|part| matches!(part, Part::Media(_)))
}

impl Relay {
    /// From now on messages wait for their files.
    pub fn plug_fetches(&self, fetches: Arc<dyn Fetches>) {
        // There is one in a daemon's life.
        let _ = self.fetches.set(fetches);
    }

    /// Whether a message is to wait for files.
    pub(super) fn waits_for_files(&self, message: &InboundMessage) -> bool {
        has_files(message) && self.fetches.get().is_some()
    }

    /// Gets the files of a message that came at `since`.
    pub(super) async fn gather(
        &self,
        origin: Origin<'_>,
        service: &ServiceSid,
        mut message: InboundMessage,
        since: Timestamp,
    ) -> Result<Gathered, RelayError> {
        let mut complete = Complete { media: Vec::new(), holds: Vec::new(), message: message.clone() };
        let Some(fetches) = self.fetches.get().filter(|_| has_files(&message)) else {
            return Ok(Gathered::Complete(Box::new(complete)));
        };
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in std::mem::take(&mut message.parts) {
            let Part::Media(file) = part else {
                parts.push(part);
                continue;
            };
            let got = if complete.media.len() < MOST_FILES {
                fetches.fetch(origin.adapter, &message.to, &file).await
            } else {
                Err(MediaFault::fatal("the message has too many files"))
            };
            let waited = self.clock.now().since(since);
            match got {
                Ok(got) => {
                    let new = NewMedia {
                        content: got.content,
                        size: got.size,
                        content_type: got.content_type,
                        filename: file.filename.clone(),
                        category: MediaCategory::Media,
                        author: message.from.address.to_string(),
                    };
                    let record = self.new_media(service, new);
                    complete.media.push(Attachment { record, stored: None });
                    complete.holds.push(got.hold);
                    parts.extend(file.caption.map(|text| Part::Text { text }));
                }
                Err(fault) if fault.again && waited < PATIENCE => {
                    tracing::info!(adapter = origin.adapter, reason = %fault.text, "A file cannot be had yet");
                    return Ok(Gathered::Later((waited / 2).clamp(PAUSES.0, PAUSES.1)));
                }
                Err(fault) => {
                    tracing::warn!(adapter = origin.adapter, reason = %fault.text, "A file cannot be had");
                    parts.extend(instead(file));
                }
            }
        }
        complete.message.parts = parts;
        Ok(Gathered::Complete(Box::new(complete)))
    }
}

/// What stands for a file that is missing: a line that says so, what was said beside it, and what the provider told of it.
fn instead(mut file: MediaReference) -> impl Iterator<Item = Part> {
    let what = match &file.filename {
        Some(name) => format!("{} {name}", file.kind.word()),
        None => file.kind.word().to_owned(),
    };
    let line = Part::Text { text: format!("[{what} could not be fetched]") };
    let said = file.caption.take().map(|text| Part::Text { text });
    // Its URL may be all that is needed to have it, and is of no use any more.
    file.url = None;
    let raw = serde_json::to_value(&file).unwrap_or_default();
    let told = Part::Unsupported { kind: "missing_media".to_owned(), raw };
    said.into_iter().chain([line, told])
}
