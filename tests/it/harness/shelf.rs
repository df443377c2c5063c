//! The files that the stand-in for the providers keeps: those that people send, and those that are uploaded.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use trunkline_adapter::simulator::{FileAnswer, PhoneFile, ProviderRequest, Shelf};

use super::sink::Cut;

/// What becomes of requests that are about files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileAct {
    #[default]
    Serve,
    Answer(u16),
    /// The connection is cut.
    Drop,
    /// Nothing is said until the act is another one.
    Hang,
    /// As `Hang`, to uploads only.
    HangUploads,
}

#[derive(Default)]
pub struct Files {
    kept: Mutex<BTreeMap<String, PhoneFile>>,
    serial: AtomicU64,
    act: Mutex<FileAct>,
    asked: AtomicUsize,
    uploads: AtomicUsize,
    changed: tokio::sync::Notify,
}

impl Files {
    /// From now on requests about files end like this.
    pub fn act(&self, act: FileAct) {
        *self.act.lock().unwrap() = act;
        self.changed.notify_waiters();
    }

    /// How many requests were about files.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How many of them were uploads.
    pub fn uploads(&self) -> usize {
        self.uploads.load(Ordering::SeqCst)
    }

    /// Puts a file there that somebody is about to send.
    pub fn put(&self, file: PhoneFile) {
        self.kept.lock().unwrap().insert(file.id.clone(), file);
    }

    /// A number for a new file.
    pub fn serial(&self) -> u64 {
        // As long as those of the field.
        900_000_000 + self.serial.fetch_add(1, Ordering::SeqCst)
    }

    /// The answer to a request about files, if it is not to be served.
    pub async fn judge(&self, request: &ProviderRequest) -> Result<Option<FileAnswer>, Cut> {
        let upload = request.path.ends_with("/media");
        if request.method != http::Method::GET && !upload {
            return Ok(None);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.uploads.fetch_add(usize::from(upload), Ordering::SeqCst);
        loop {
            let changed = self.changed.notified();
            let act = *self.act.lock().unwrap();
            match act {
                FileAct::Serve => return Ok(None),
                FileAct::Drop => return Err(Cut),
                FileAct::HangUploads if !upload => return Ok(None),
                FileAct::Hang | FileAct::HangUploads => changed.await,
                FileAct::Answer(status) => {
                    let status = StatusCode::from_u16(status).unwrap();
                    return Ok(Some(FileAnswer { status, headers: Vec::new(), body: Bytes::new() }));
                }
            }
        }
    }
}

impl Shelf for Files {
    fn file(&self, id: &str) -> Option<PhoneFile> {
        self.kept.lock().unwrap().get(id).cloned()
    }

    fn keep(&self, content_type: String, filename: Option<String>, bytes: Bytes) -> String {
        let id = self.serial().to_string();
        self.put(PhoneFile { id: id.clone(), content_type, filename, bytes });
        id
    }
}
