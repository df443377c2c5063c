//! Files at the simulated providers: those that phones send, and those that our adapters hand over.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use trunkline_adapter::simulator::{PhoneFile, Shelf, SubmittedFile};

/// Bytes kept over all files. The oldest go for new ones.
const MOST_BYTES: usize = 64 << 20;
/// Bytes of one file.
pub(super) const LARGEST: usize = 16 << 20;

/// A file of a message, as the page is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// MIME type.
    pub content_type: String,
    /// What it is called, where the channel tells that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Where it is, below the simulator's own URL.
    pub url: String,
}

/// What the providers keep.
pub(super) struct Files {
    kept: Mutex<Kept>,
    serials: Arc<AtomicU64>,
}

#[derive(Default)]
struct Kept {
    files: HashMap<String, PhoneFile>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Files {
    pub(super) fn none(serials: Arc<AtomicU64>) -> Files {
        Files { kept: Mutex::default(), serials }
    }

    /// Keeps a file under the id it has.
    pub(super) fn put(&self, file: PhoneFile) -> Attached {
        let url = format!("/simulator/files/{}", file.id);
        let attached =
            Attached { content_type: file.content_type.clone(), filename: file.filename.clone(), url };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += file.bytes.len();
        kept.order.push_back(file.id.clone());
        kept.files.insert(file.id.clone(), file);
        while kept.bytes > MOST_BYTES
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.files.remove(&oldest).map_or(0, |file| file.bytes.len());
            kept.bytes = kept.bytes.saturating_sub(gone);
        }
        attached
    }

    /// Gets a file as the provider would: from its shelf, or by the link it was given, of which it asks the head first.
    pub(super) async fn collect(&self, client: &reqwest::Client, file: &SubmittedFile) -> Option<PhoneFile> {
        let url = match file {
            SubmittedFile::Kept(id) => return self.file(id),
            SubmittedFile::Link(url) => url,
        };
        let head = client.head(url).send().await.ok()?;
        let mut answer = client.get(url).send().await.ok()?;
        if !head.status().is_success() || !answer.status().is_success() {
            return None;
        }
        let content_type = answer.headers().get(http::header::CONTENT_TYPE)?.to_str().ok()?.to_owned();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.ok()? {
            if bytes.len() + chunk.len() > LARGEST {
                return None;
            }
            bytes.extend_from_slice(&chunk);
        }
        let id = self.serials.fetch_add(1, Ordering::Relaxed).to_string();
        Some(PhoneFile { id, content_type, filename: None, bytes: bytes.freeze() })
    }
}

impl Shelf for Files {
    fn file(&self, id: &str) -> Option<PhoneFile> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).files.get(id).cloned()
    }

    fn keep(&self, content_type: String, filename: Option<String>, bytes: Bytes) -> String {
        let id = self.serials.fetch_add(1, Ordering::Relaxed).to_string();
        self.put(PhoneFile { id: id.clone(), content_type, filename, bytes });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_go_for_new_ones() {
        let files = Files::none(Arc::default());
        let large = || Bytes::from(vec![0; LARGEST]);
        let ids: Vec<String> = (0..5).map(|_| files.keep("a/b".to_owned(), None, large())).collect();
        assert!(files.file(&ids[0]).is_none());
        assert!(ids[1..].iter().all(|id| files.file(id).is_some()));
    }
}
