//! What operators ask, answered.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::dead_letters;
use super::house::House;
use crate::http::Operator;
use crate::http::operator::DeadLetterCall;
use crate::ledger::dump;
use crate::telemetry;

/// Answers for the house.
pub struct Staff {
    house: Arc<House>,
}

impl Staff {
    pub fn new(house: Arc<House>) -> Staff {
        Staff { house }
    }
}

impl Operator for Staff {
    fn metrics(&self) -> String {
        let health = self.house.ledger.health();
        let bindings = folder_bytes(&self.house.store.join("bindings"));
        let count = self.house.bindings.count();
        telemetry::house::sizes(health.store_bytes, bindings, health.disk_free_bytes, count);
        telemetry::house::connected(self.house.roster.doors().iter().map(|door| door.sessions()).sum());
        let letters = self.house.webhooks.letters.count();
        telemetry::webhooks::waiting(self.house.tellers.depth(), letters, self.house.relay.inbox_depth());
        self.house.lanes.publish_gauges();
        self.house.exporter.render()
    }

    fn unready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.house.ready.load(Ordering::Acquire) {
            reasons.push("starting".to_owned());
        }
        if self.house.draining.load(Ordering::Acquire) {
            reasons.push("draining".to_owned());
        }
        if self.house.ledger.health().full {
            reasons.push("the disk is nearly full: new messages are refused".to_owned());
        }
        reasons
    }

    fn lanes(&self) -> BoxFuture<'_, Value> {
        async {
            let lanes = self.house.lanes.status();
            serde_json::to_value(lanes).unwrap_or(Value::Null)
        }
        .boxed()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Vec<String>, Vec<String>>> {
        self.house.reload().boxed()
    }

    fn dead_letters(&self, asked: DeadLetterCall) -> BoxFuture<'_, Result<Value, String>> {
        dead_letters::answer(&self.house.webhooks.letters, self.house.tellers.accounts(), asked).boxed()
    }

    fn dump(&self) -> BoxStream<'static, io::Result<Bytes>> {
        // A bounded pipe between the reader of rows and a caller who may be slow; both ends wait on threads that may
        // wait, since the writer is handed to code that knows no async.
        let (sender, receiver) = mpsc::sync_channel(16);
        let (engine, incarnation) = (self.house.ledger.engine().clone(), self.house.incarnation);
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut pipe = Pipe { sender, buffer: Vec::new() };
            let dumped = runtime.block_on(dump::dump(&*engine, incarnation, &mut pipe));
            let ended = dumped.map_err(io::Error::other).and_then(|_| io::Write::flush(&mut pipe));
            if let Err(error) = ended {
                // The caller sees a broken body instead of a dump that looks whole; a caller who left sees nothing.
                let _ = pipe.sender.send(Err(error));
            }
        });
        stream::unfold(receiver, |receiver| async {
            tokio::task::spawn_blocking(move || Some((receiver.recv().ok()?, receiver))).await.ok()?
        })
        .boxed()
    }
}

struct Pipe {
    sender: mpsc::SyncSender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 64 * 1024 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let full = std::mem::take(&mut self.buffer);
        if full.is_empty() {
            return Ok(());
        }
        self.sender.send(Ok(Bytes::from(full))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Bytes of the files in a folder and below; what cannot be read counts nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
