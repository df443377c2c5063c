//! The files that the stand-in for the providers keeps: those that people send, and those that are uploaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::Semaphore;
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

/// Bytes of an upload that tests call large.
const LARGE: u64 = 8 << 20;

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
    /// Of one large upload only the beginning is read until there is a permit.
    slow: Mutex<Option<Arc<Semaphore>>>,
    changed: tokio::sync::Notify,
}

impl Files {
    /// From now on requests about files end like this.
    pub fn act(&self, act: FileAct) {
        *self.act.lock().unwrap() = act;
        self.changed.notify_waiters();
    }

    /// Reads no more than the beginning of the next large upload until the semaphore has a permit.
    pub fn read_slowly(&self, gate: Arc<Semaphore>) {
        *self.slow.lock().unwrap() = Some(gate);
    }

    /// Reads a request's body.
    pub async fn read(&self, mut body: Incoming) -> Result<Bytes, Cut> {
        let large = body.size_hint().lower() > LARGE;
        let slow = if large { self.slow.lock().unwrap().take() } else { None };
        let mut read = Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap());
        if let Some(gate) = slow {
            while read.is_empty() {
                self.frame(&mut body, &mut read).await?;
            }
            gate.acquire().await.unwrap().forget();
        }
        while self.frame(&mut body, &mut read).await? {}
        Ok(read.into())
    }

    async fn frame(&self, body: &mut Incoming, read: &mut Vec<u8>) -> Result<bool, Cut> {
        let Some(frame) = body.frame().await else { return Ok(false) };
        if let Some(data) = frame.map_err(|_| Cut)?.data_ref() {
            read.extend_from_slice(data);
        }
        Ok(true)
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
