//! The one thread that writes: it drains what waits, writes it as one fjall batch, and hands it on to be synced.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc;

use super::assembly::Refused;
use super::desks::{Answer, Desk, Outcomes};
use super::pace::Pace;
use super::syncer::{Syncer, Written, fatal};
use super::{Assembly, OnFatal, Shared};
use crate::ledger::engine::PAST_LARGEST_NUMBER;
use crate::ledger::engine::{Batch, CommitError};
use crate::telemetry;

/// Most batches, and about the most bytes, written as one group: beyond this a sync is no longer what costs.
const GROUP_BATCHES: usize = 1_024;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A batch and who waits for it.
pub struct Submission {
    pub batch: Batch,
    pub answer: Answer,
    /// Where whoever waits is answered.
    pub desk: Option<Desk>,
}

/// Where written groups go.
pub enum Next {
    /// Into the same thread: there is no sync to wait for.
    Here(Box<Syncer>),
    /// To the thread that syncs. It takes a group when it is done with the one before, so one is synced while one is
    /// written, and what comes meanwhile is the third.
    There(SyncSender<Written>, JoinHandle<Result<(), String>>),
}

pub struct Committer {
    pub shared: Arc<Shared>,
    pub receiver: mpsc::Receiver<Submission>,
    pub assembly: Assembly,
    pub next: Next,
    pub on_fatal: Arc<OnFatal>,
}

/// Why there is an end to writing.
enum Ended {
    /// Nobody was told of it yet.
    Untold(String),
    /// By the thread that syncs.
    Told(String),
}

impl Committer {
    /// Serves until every sender is gone, or until the store cannot be written.
    pub fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let ended = ended.unwrap_or_else(|_| Err(Ended::Untold("the committer panicked".to_owned())));
        let ended = ended.and_then(|()| match self.next {
            Next::Here(mut syncer) => syncer.end().map_err(Ended::Untold),
            Next::There(groups, thread) => {
                drop(groups);
                joined(thread).map_err(Ended::Told)
            }
        });
        let reason = match ended {
            Ok(()) => return,
            Err(Ended::Told(reason)) => reason,
            Err(Ended::Untold(reason)) => {
                fatal(&self.on_fatal, &reason);
                reason
            }
        };
        // Closed first, so that nobody can slip in behind the last one that is answered here.
        self.receiver.close();
        while let Some(submission) = self.receiver.blocking_recv() {
            let _ = submission.answer.send(Err(CommitError::Fatal(reason.clone())));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "what a group costs is no matter of the injected time")]
    fn serve(&mut self) -> Result<(), Ended> {
        let mut pace = Pace::default();
        while let Some(first) = self.receiver.blocking_recv() {
            if let Some(wait) = pace.wait(Instant::now()) {
                std::thread::sleep(wait);
            }
            pace.begin(Instant::now());
            let mut bytes = first.batch.size();
            let mut group = vec![first];
            while group.len() < GROUP_BATCHES
                && bytes < GROUP_BYTES
                && let Ok(submission) = self.receiver.try_recv()
            {
                bytes += submission.batch.size();
                group.push(submission);
            }
            pace.gathered(group.len());
            self.commit(group)?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "how long the disk took is no matter of the injected time")]
    fn commit(&mut self, group: Vec<Submission>) -> Result<(), Ended> {
        let mut written = Written {
            started: Instant::now(),
            view: None,
            outcomes: Outcomes::default(),
            followed: Vec::with_capacity(group.len()),
        };
        let mut waiting = group.into_iter();
        failpoint!("ledger::before-write");
        if let Err(reason) = self.write(&mut waiting, &mut written) {
            written.outcomes.refuse(&reason);
            for submission in waiting {
                let _ = submission.answer.send(Err(CommitError::Fatal(reason.clone())));
            }
            return Err(Ended::Untold(reason));
        }
        match &mut self.next {
            Next::Here(syncer) => syncer.finish(written).map_err(Ended::Untold),
            Next::There(groups, _) => groups.send(written).map_err(|back| {
                let reason = "the ledger cannot be synced".to_owned();
                back.0.outcomes.refuse(&reason);
                Ended::Told(reason)
            }),
        }
    }

    fn write(
        &mut self,
        waiting: &mut impl Iterator<Item = Submission>,
        written: &mut Written,
    ) -> Result<(), String> {
        let before = self.assembly.numbers().0;
        for Submission { batch, answer, desk } in waiting {
            let outcome = if batch.intake && self.shared.gate.full_now() {
                Err(CommitError::Full)
            } else {
                match self.assembly.add(&batch) {
                    Ok(committed) => Ok(committed),
                    Err(Refused::Batch(error)) => Err(error),
                    Err(Refused::Store(error)) => {
                        let _ = answer.send(Err(CommitError::Fatal(error.to_string())));
                        return Err(error.to_string());
                    }
                }
            };
            match &outcome {
                Ok(_) => written.followed.push(batch.writes),
                Err(CommitError::Conflict(_)) => telemetry::commit::conflict(),
                Err(_) => {}
            }
            written.outcomes.add(desk, answer, outcome);
        }
        let (newest, next) = self.assembly.numbers();
        if next > PAST_LARGEST_NUMBER {
            return Err("the numbers of the ledger are used up".into());
        }
        if newest != before {
            written.view = Some(self.assembly.write(&self.shared.files)?);
            failpoint!("ledger::written");
        }
        Ok(())
    }
}

/// How the thread that syncs ended.
fn joined(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("the syncer panicked".to_owned()))
}
