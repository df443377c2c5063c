//! The journal that `disk.c` writes, read back.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// What the layer saw. Paths are absolute, inodes are the file system's own.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Create {
        inode: u64,
        path: PathBuf,
    },
    Write {
        inode: u64,
        offset: u64,
        bytes: Range<usize>,
    },
    Resize {
        inode: u64,
        size: u64,
    },
    SyncBegin {
        number: u64,
        inode: u64,
    },
    SyncEnd {
        number: u64,
    },
    MakeFolder {
        path: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    RemoveFolder {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// Bytes that left for a port of this machine.
    Send {
        port: u16,
        bytes: Range<usize>,
    },
    /// A change for which the layer has no words: the call's number, or the path.
    Unknown {
        call: u64,
        path: PathBuf,
    },
    /// Another process begins.
    Start,
}

/// A run from its first call to its last, in order.
pub struct Journal {
    raw: Vec<u8>,
    pub events: Vec<Event>,
}

const HEAD: usize = 32;

impl Journal {
    pub fn read(path: &Path) -> Journal {
        let raw = std::fs::read(path).unwrap();
        let mut events = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            let small = |place: usize| {
                u32::from_le_bytes(raw[at + place..at + place + 4].try_into().unwrap()) as usize
            };
            let large =
                |place: usize| u64::from_le_bytes(raw[at + place..at + place + 8].try_into().unwrap());
            let (length, kind, inode, number) = (small(0), small(4), large(8), large(16));
            let (first, second) = (small(24), small(28));
            let text = |from: usize, length: usize| {
                PathBuf::from(std::str::from_utf8(&raw[from..from + length]).unwrap())
            };
            let path = || text(at + HEAD, first);
            let bytes = at + HEAD + first + second..at + length;
            events.push(match kind {
                1 => Event::Create { inode, path: path() },
                2 => Event::Write { inode, offset: number, bytes },
                3 => Event::Resize { inode, size: number },
                4 => Event::SyncBegin { number, inode },
                5 => Event::SyncEnd { number },
                6 => Event::MakeFolder { path: path() },
                7 => Event::Unlink { path: path() },
                8 => Event::RemoveFolder { path: path() },
                9 => Event::Rename { from: path(), to: text(at + HEAD + first, second) },
                10 => Event::Send { port: u16::try_from(inode).unwrap(), bytes },
                11 => Event::Unknown { call: number, path: path() },
                12 => Event::Start,
                other => panic!("a record of kind {other} at {at}"),
            });
            at += length;
        }
        Journal { raw, events }
    }

    /// Tables that were written: what memtables are flushed into, and compactions make.
    pub fn tables(&self) -> usize {
        let table = |event: &&Event| match event {
            Event::Create { path, .. } => path.parent().is_some_and(|folder| folder.ends_with("tables")),
            _ => false,
        };
        self.events.iter().filter(table).count()
    }

    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.raw[range.clone()]
    }
}
