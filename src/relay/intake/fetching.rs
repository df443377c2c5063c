//! The files of what people send: got from where their provider keeps them while the message waits in the inbox, so that it
//! joins its conversation whole. What cannot be had for too long is named in the text instead, so that the message itself
//! is never lost.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trunkline_adapter::{Address, BoxFuture, MediaFault, MediaReference, Part, Timestamp};

use super::Origin;
use crate::model::{ContentHash, MediaCategory, ServiceSid};
use crate::relay::media::{Attachment, NewMedia};
use crate::relay::{Relay, RelayError};

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
#[derive(Clone)]
pub struct Fetched {
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    /// Keeps the content from the sweep until a row names it.
    pub hold: Arc<dyn Any + Send + Sync>,
}

/// What is said with files that are still to be got.
pub(in crate::relay) struct Parcel<'a> {
    /// Where it waits: its conversation.
    pub subject: &'a str,
    /// The provider's id of it.
    pub id: &'a str,
    pub proxy: &'a Address,
    pub author: &'a Address,
    pub parts: &'a [Part],
    /// When it came.
    pub since: Timestamp,
}

/// What is said, with its files.
pub(in crate::relay) struct Complete {
    pub parts: Vec<Part>,
    pub media: Vec<Attachment>,
}

/// How getting them ended.
pub(in crate::relay) enum Gathered {
    Complete(Complete),
    /// Some are not to be had now.
    Later(Duration),
}

/// Which files of those whose turn it is were had or given up, so that only the others are asked for again. Of each
/// conversation there is one at most, as long as its row is worked on; contents that are in here are kept from the sweep.
#[derive(Default)]
pub(in crate::relay) struct Partly(Mutex<HashMap<String, (String, Settled)>>);

/// By the file's place in its message; nothing where it cannot be had.
type Settled = BTreeMap<usize, Option<Fetched>>;

impl Partly {
    fn of(&self, parcel: &Parcel<'_>) -> Settled {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = known.get(parcel.subject).filter(|(id, _)| id == parcel.id);
        own.map(|(_, settled)| settled.clone()).unwrap_or_default()
    }

    fn keep(&self, parcel: &Parcel<'_>, settled: Settled) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(parcel.subject.to_owned(), (parcel.id.to_owned(), settled));
    }

    /// A row of this subject is done with.
    pub(in crate::relay) fn forget(&self, subject: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }
}

fn has_files(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part, Part::Media(_)))
}

impl Relay {
    /// From now on messages wait for their files.
    pub fn plug_fetches(&self, fetches: Arc<dyn Fetches>) {
        // There is one in a daemon's life.
        let _ = self.fetches.set(fetches);
    }

    /// Whether what is said is to wait for files.
    pub(in crate::relay) fn waits_for_files(&self, parts: &[Part]) -> bool {
        has_files(parts) && self.fetches.get().is_some()
    }

    /// Gets the files of a parcel, those that were not settled by an earlier try.
    pub(in crate::relay) async fn gather(
        &self,
        origin: Origin<'_>,
        service: &ServiceSid,
        parcel: &Parcel<'_>,
    ) -> Result<Gathered, RelayError> {
        let Some(fetches) = self.fetches.get().filter(|_| has_files(parcel.parts)) else {
            return Ok(Gathered::Complete(Complete { parts: parcel.parts.to_vec(), media: Vec::new() }));
        };
        let (mut settled, mut later) = (self.partly.of(parcel), None);
        for (number, file) in files(parcel.parts).enumerate() {
            if settled.contains_key(&number) {
                continue;
            }
            let got = if number < MOST_FILES {
                fetches.fetch(origin.adapter, parcel.proxy, file).await
            } else {
                Err(MediaFault::fatal("the message has too many files"))
            };
            let waited = self.clock.now().since(parcel.since);
            let got = match got {
                Ok(got) => Some(got),
                Err(fault) if fault.again && waited < PATIENCE => {
                    tracing::info!(adapter = origin.adapter, reason = %fault.text, "A file cannot be had yet");
                    later = Some((waited / 2).clamp(PAUSES.0, PAUSES.1));
                    continue;
                }
                Err(fault) => {
                    tracing::warn!(adapter = origin.adapter, reason = %fault.text, "A file cannot be had");
                    None
                }
            };
            settled.insert(number, got);
        }
        // Kept in either case: whoever is asked about it next may not answer at once.
        self.partly.keep(parcel, settled.clone());
        Ok(match later {
            Some(pause) => Gathered::Later(pause),
            None => Gathered::Complete(self.assembled(service, parcel, settled)),
        })
    }

    fn assembled(&self, service: &ServiceSid, parcel: &Parcel<'_>, mut settled: Settled) -> Complete {
        let mut complete = Complete { parts: Vec::with_capacity(parcel.parts.len()), media: Vec::new() };
        let mut number = 0;
        for part in parcel.parts {
            let Part::Media(file) = part else {
                complete.parts.push(part.clone());
                continue;
            };
            let got = settled.remove(&number).flatten();
            number += 1;
            let Some(got) = got else {
                complete.parts.extend(instead(file.clone()));
                continue;
            };
            let new = NewMedia {
                content: got.content,
                size: got.size,
                content_type: got.content_type,
                filename: file.filename.clone(),
                category: MediaCategory::Media,
                author: parcel.author.to_string(),
            };
            complete.media.push(Attachment { record: self.new_media(service, new), stored: None });
            complete.parts.extend(file.caption.clone().map(|text| Part::Text { text }));
        }
        complete
    }
}

fn files(parts: &[Part]) -> impl Iterator<Item = &MediaReference> {
    parts.iter().filter_map(|part| match part {
        Part::Media(file) => Some(file),
        _ => None,
    })
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
