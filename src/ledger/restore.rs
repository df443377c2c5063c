//! A store made from a dump: the rows keep their numbers, the store gets a new incarnation.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::path::Path;

use super::dump::{Header, Line, Trailer, VERSION};
use super::engine::PAST_LARGEST_NUMBER;
use super::engine::{MAX_KEY, Row};
use super::fjall::{Assembly, Files, View};
use super::high::{HighMark, Mark};
use super::incarnation::Incarnation;
use super::key::Key;
use super::store::{FORMAT, Identity, Layout, OpenError, Restoration};

/// Longest line: a payload as large as a batch, written in base64, and room for its key.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;
/// Bytes written at a time.
const CHUNK: usize = 1024 * 1024;
const CACHE: u64 = 32 * 1024 * 1024;

/// Why a dump was not restored. The store's directory is then as empty as before.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the dump cannot be read")]
    Read(#[source] io::Error),
    #[error("this is no trunkline dump, or one of a version this program does not know")]
    Version,
    #[error("line {line}: {reason}")]
    Line { line: u64, reason: String },
    #[error("the dump ends without its last line: it was cut off")]
    CutOff,
    #[error("the dump says it has {said} rows, and has {found}")]
    Count { said: u64, found: u64 },
    #[error("{0}")]
    Write(String),
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub rows: u64,
    pub incarnation: Incarnation,
    /// The number the store goes on from.
    pub number: u64,
}

impl std::fmt::Display for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "restored {} rows; the store is {} and goes on from {}",
            self.rows, self.incarnation, self.number
        )
    }
}

/// Makes a store in an empty directory. Nothing is served from it before the whole dump was read and synced.
pub fn restore(path: &Path, dump: impl BufRead, now_micros: u64) -> Result<Restored, RestoreError> {
    let layout = Layout::new(path);
    let _lock = layout.lock()?;
    if layout.has_ledger()? || layout.has_mark()? {
        return Err(OpenError::NotEmpty { path: layout.root }.into());
    }
    let half_done = layout.root.join("ledger.restoring");
    let io = |source| OpenError::Io { path: half_done.clone(), source };
    remove(&half_done).map_err(io)?;
    let restored = fill(&half_done, dump, now_micros);
    let Restored { incarnation, number, .. } = match restored {
        Ok(restored) => restored,
        Err(error) => {
            remove(&half_done).map_err(io)?;
            return Err(error);
        }
    };
    // The ledger first: if the power fails before there is a mark, opening refuses it instead of starting anew.
    remove(&layout.ledger).map_err(io)?;
    fs::rename(&half_done, &layout.ledger).map_err(io)?;
    File::open(&layout.root).and_then(|folder| folder.sync_all()).map_err(io)?;
    HighMark::create(&layout.high, Mark { format: FORMAT, incarnation, number }).map_err(io)?;
    restored
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn fill(folder: &Path, dump: impl BufRead, now_micros: u64) -> Result<Restored, RestoreError> {
    let mut lines = Lines { dump, number: 0, buffer: Vec::new() };
    let header: Header = match lines.next()? {
        Some(line) => serde_json::from_slice(line).map_err(|_| RestoreError::Version)?,
        None => return Err(RestoreError::CutOff),
    };
    if header.trunkline_dump != VERSION {
        return Err(RestoreError::Version);
    }
    if header.format > FORMAT {
        return Err(OpenError::NewerFormat { found: header.format, known: FORMAT }.into());
    }
    let files = Files::open(folder, CACHE).map_err(OpenError::from)?;
    let (rows, highest) = fill_rows(&files, &mut lines)?;
    let number = highest.max(header.number).max(now_micros);
    if number >= PAST_LARGEST_NUMBER {
        return Err(OpenError::Clock { micros: number }.into());
    }
    let incarnation = Incarnation::draw().map_err(OpenError::Random)?;
    Restoration { known: highest.max(header.number), began: number }.write(&files)?;
    // Written and synced last, after every row before it in the same journal.
    Identity { format: FORMAT, incarnation, newest: number }.write(&files)?;
    Ok(Restored { rows, incarnation, number })
}

fn fill_rows(files: &Files, lines: &mut Lines<impl BufRead>) -> Result<(u64, u64), RestoreError> {
    let (mut rows, mut highest) = (0, 0);
    loop {
        let mut assembly = Assembly::new(View::take(files, 0), 1);
        let mut bytes = 0;
        let said = loop {
            let Some(line) = lines.next()? else { return Err(RestoreError::CutOff) };
            let (key, row) = match read(line) {
                Ok(Said::Row(key, row)) => (key, row),
                Ok(Said::End(rows)) => break Some(rows),
                Err(reason) => return Err(lines.error(reason)),
            };
            bytes += key.as_bytes().len() + row.payload.len();
            highest = highest.max(row.changed);
            rows += 1;
            assembly.put_row(&key, None, (row.created, row.changed), &row.payload);
            if bytes >= CHUNK {
                break None;
            }
        };
        assembly.write(files).map_err(RestoreError::Write)?;
        match said {
            Some(said) if said != rows => return Err(RestoreError::Count { said, found: rows }),
            Some(_) if lines.next()?.is_some() => return Err(lines.error("something follows the end".into())),
            Some(_) => return Ok((rows, highest)),
            None => {}
        }
    }
}

/// What a line behind the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Row(Key, Row),
    /// The last line: how many rows there were.
    End(u64),
}

/// Reads one line behind the header, without its line end.
///
/// # Errors
/// What is wrong with it.
pub fn read(line: &[u8]) -> Result<Said, String> {
    if let Ok(trailer) = serde_json::from_slice::<Trailer>(line) {
        return Ok(Said::End(trailer.trunkline_dump_rows));
    }
    let read = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string());
    let (key, row) = read.and_then(Line::read)?;
    if row.created > row.changed || row.changed >= PAST_LARGEST_NUMBER {
        return Err(format!("numbers {} and {}", row.created, row.changed));
    }
    if key.as_bytes().len() > MAX_KEY {
        return Err("the key is too long".into());
    }
    Ok(Said::Row(key, row))
}

/// Bounded lines of a dump.
struct Lines<R> {
    dump: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<&[u8]>, RestoreError> {
        self.buffer.clear();
        self.number += 1;
        let mut bounded = self.dump.by_ref().take(LONGEST_LINE);
        bounded.read_until(b'\n', &mut self.buffer).map_err(RestoreError::Read)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if self.buffer.pop() != Some(b'\n') {
            let long = self.buffer.len() as u64 >= LONGEST_LINE - 1;
            return Err(if long { self.error("the line is too long".into()) } else { RestoreError::CutOff });
        }
        Ok(Some(&self.buffer))
    }

    fn error(&self, reason: String) -> RestoreError {
        RestoreError::Line { line: self.number, reason }
    }
}
