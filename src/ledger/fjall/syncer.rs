//! What follows a group's writing: sync, mark, publish, tell, answer. Groups pass through here in their order.
//!
//! With `durability = "power"` it is a thread of its own, so that the committer puts the next group together, and hands
//! it to the kernel, while the disk is busy with this one. Nobody reads what is not published, so nothing is seen that
//! a power cut could take back; and fjall itself syncs its journal before it writes a memory table out.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::desks::Outcomes;
use super::{OnFatal, Shared, View, journal};
use crate::ledger::engine::Durability;
use crate::ledger::engine::{Follower, Write};
use crate::ledger::high::HighMark;
use crate::telemetry;

/// With `durability = "process"`, how often the mark catches up with the ledger while there are commits.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// A group that the kernel has.
pub struct Written {
    pub started: Instant,
    /// What is there with it; nothing when no batch of it wrote anything.
    pub view: Option<Arc<View>>,
    pub outcomes: Outcomes,
    pub followed: Vec<Vec<Write>>,
}

pub struct Syncer {
    pub shared: Arc<Shared>,
    pub followers: Vec<Arc<dyn Follower>>,
    pub high: HighMark,
    pub journal: ActiveJournal,
    pub durability: Durability,
    /// The newest view that was published, and whether a sync followed it.
    pub newest: Arc<View>,
    pub unsynced: bool,
    /// When the mark was last written, where that is not after every group.
    pub synced: Option<Instant>,
    pub on_fatal: Arc<OnFatal>,
}

impl Syncer {
    /// Serves until the committer is gone, or until the store cannot be synced: then whoever still hands something
    /// over is turned away.
    pub fn serve(mut self, groups: mpsc::Receiver<Written>) -> Result<(), String> {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while let Ok(group) = groups.recv() {
                self.finish(group)?;
            }
            self.end()
        }));
        let ended = ended.unwrap_or_else(|_| Err("the syncer panicked".to_owned()));
        if let Err(reason) = &ended {
            fatal(&self.on_fatal, reason);
        }
        ended
    }

    /// Makes a group durable and visible, and answers.
    pub fn finish(&mut self, mut group: Written) -> Result<(), String> {
        if let Some(view) = group.view.take()
            && let Err(reason) = self.keep(view)
        {
            group.outcomes.refuse(&reason);
            return Err(reason);
        }
        for writes in &group.followed {
            self.tell_followers(writes);
        }
        self.followers.iter().for_each(|follower| follower.told());
        failpoint!("ledger::before-answers");
        telemetry::commit::committed(group.started.elapsed(), group.outcomes.len());
        group.outcomes.give();
        Ok(())
    }

    /// Nothing comes any more.
    pub fn end(&mut self) -> Result<(), String> {
        if self.unsynced { self.sync_and_mark() } else { Ok(()) }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "how long the last sync is ago is no matter of the injected time"
    )]
    fn keep(&mut self, view: Arc<View>) -> Result<(), String> {
        self.newest = view;
        self.unsynced = true;
        match self.durability {
            Durability::Process if self.synced.is_some_and(|at| at.elapsed() < MARK_EVERY) => {}
            Durability::Process => {
                self.sync_and_mark()?;
                self.synced = Some(Instant::now());
            }
            Durability::Power => self.sync_and_mark()?,
        }
        // Before the followers: one who joins them, and then takes a view, has every write from one or the other.
        failpoint!("ledger::before-visible");
        self.shared.publish(Arc::clone(&self.newest));
        failpoint!("ledger::visible");
        Ok(())
    }

    /// Writes into the mark what is acknowledged. It must never be ahead of what a power cut would leave.
    fn sync_and_mark(&mut self) -> Result<(), String> {
        self.journal.sync().map_err(|error| format!("the journal: {error}"))?;
        self.unsynced = false;
        failpoint!("ledger::before-mark");
        self.high.record(self.newest.number()).map_err(|error| format!("ledger.high: {error}"))
    }

    fn tell_followers(&self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        for follower in &self.followers {
            if catch_unwind(AssertUnwindSafe(|| follower.committed(writes))).is_err() {
                tracing::error!("a follower of the ledger panicked; the ledger goes on");
            }
        }
    }
}

/// Says that the store cannot be written any more.
pub fn fatal(on_fatal: &OnFatal, reason: &str) {
    tracing::error!(reason, "the ledger cannot be written");
    on_fatal(reason.to_owned());
}

/// Our own handle of the journal that fjall writes to: fjall's way of syncing holds its lock for writing meanwhile.
pub struct ActiveJournal {
    ledger: PathBuf,
    number: u64,
    file: File,
}

impl ActiveJournal {
    pub fn open(ledger: PathBuf) -> io::Result<ActiveJournal> {
        let number = journal::active(&ledger)?;
        let file = File::open(journal::path(&ledger, number))?;
        Ok(ActiveJournal { ledger, number, file })
    }

    /// Waits until everything is on the disk that was written before. What is in an older journal is there already:
    /// fjall syncs it before it begins the next.
    fn sync(&mut self) -> io::Result<()> {
        loop {
            match File::open(journal::path(&self.ledger, self.number + 1)) {
                Ok(file) => (self.number, self.file) = (self.number + 1, file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::fjall::{Assembly, Files};
    use crate::ledger::key::{Key, Space};
    use bytes::Bytes;

    /// The names of journals are fjall's own matter, and what we synced otherwise would be the wrong file.
    #[test]
    fn the_journal_that_is_synced_is_the_one_that_fjall_writes_to() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(folder.path(), 1 << 20).unwrap();
        let mut journal = ActiveJournal::open(folder.path().to_owned()).unwrap();
        let first = journal.number;
        let mut assembly = Assembly::new(View::take(&files, 0), 1);
        let payload = Bytes::from(vec![7; 3_900]);
        // A journal is sealed behind 64 MB, when a memory table of that size is flushed.
        let sealed = (0..400_u64).any(|group| {
            for n in 0..256_u64 {
                let key = Key::new("A", "", Space::Service, &(group << 8 | n).to_be_bytes());
                assembly.put_row(&key, None, (1, 1), &payload);
            }
            assembly.write(&files).unwrap();
            super::super::journal::active(folder.path()).unwrap() > first
        });
        assert!(sealed);
        journal.sync().unwrap();
        assert_eq!(journal.number, super::super::journal::active(folder.path()).unwrap());
        assert!(journal.number > first);
    }
}
