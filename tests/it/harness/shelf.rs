//! The files that the stand-in for the providers keeps: those that people send, and those that are uploaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use trunkline_adapter::simulator::{FileAnswer, PhoneFile, ProviderRequest, Shelf};

use super::sink::Cut;

/// What becomes of requests that are about files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileAct {
    #[default]
    Serve,
    Answer(u16),
    /// Uploads are refused with this; everything else is served.
    Refuse(&'static str),
    /// Whoever wants a file is sent elsewhere.
    Redirect(String),
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
    order: Mutex<Vec<String>>,
    serial: AtomicU64,
    act: Mutex<FileAct>,
    asked: AtomicUsize,
    uploads: AtomicUsize,
    /// Files that cannot be had for now.
    lost: Mutex<BTreeSet<String>>,
    /// What was asked for.
    paths: Mutex<Vec<String>>,
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

    /// How many were for this file.
    pub fn asked_for(&self, id: &str) -> usize {
        self.paths.lock().unwrap().iter().filter(|path| path.contains(id)).count()
    }

    /// The ids of the files that were put there last, in their order.
    pub fn newest(&self, count: usize) -> Vec<String> {
        let order = self.order.lock().unwrap();
        order[order.len() - count..].to_vec()
    }

    /// From now on a file cannot be had.
    pub fn lose(&self, id: &str) {
        self.lost.lock().unwrap().insert(id.to_owned());
    }

    /// It can be had again.
    pub fn find(&self, id: &str) {
        self.lost.lock().unwrap().remove(id);
    }

    /// How many of them were uploads.
    pub fn uploads(&self) -> usize {
        self.uploads.load(Ordering::SeqCst)
    }

    /// Puts a file there that somebody is about to send.
    pub fn put(&self, file: PhoneFile) {
        self.order.lock().unwrap().push(file.id.clone());
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
        let path = format!("{}?{}", request.path, request.query);
        let lost = self.lost.lock().unwrap().iter().any(|id| path.contains(id));
        self.paths.lock().unwrap().push(path);
        if lost {
            return Ok(Some(answer(503, Vec::new(), "")));
        }
        loop {
            let changed = self.changed.notified();
            let act = self.act.lock().unwrap().clone();
            match act {
                FileAct::Serve => return Ok(None),
                FileAct::Drop => return Err(Cut),
                FileAct::HangUploads if !upload => return Ok(None),
                FileAct::Hang | FileAct::HangUploads => changed.await,
                FileAct::Answer(status) => return Ok(Some(answer(status, Vec::new(), ""))),
                FileAct::Refuse(_) if !upload => return Ok(None),
                FileAct::Refuse(body) => {
                    let headers = vec![("content-type", "application/json".to_owned())];
                    return Ok(Some(answer(400, headers, body)));
                }
                FileAct::Redirect(_) if upload => return Ok(None),
                FileAct::Redirect(to) => return Ok(Some(answer(307, vec![("location", to)], ""))),
            }
        }
    }
}

fn answer(status: u16, headers: Vec<(&'static str, String)>, body: &'static str) -> FileAnswer {
    let status = StatusCode::from_u16(status).unwrap();
    FileAnswer { status, headers, body: Bytes::from_static(body.as_bytes()) }
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
