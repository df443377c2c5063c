//! The one thread that writes: it drains what waits, writes it as one fjall batch, and answers everybody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::fjall::PersistMode;
use tokio::sync::{mpsc, oneshot};

use super::assembly::Refused;
use super::{Assembly, OnFatal, Recent, Shared, View};
use crate::ledger::engine::{Batch, CommitError, Committed, Follower, Revision, Write};
use crate::ledger::high::HighMark;
use crate::ledger::store::{Durability, PAST_LARGEST_NUMBER};
use crate::telemetry;

/// Most batches, and about the most bytes, written as one group: beyond this a sync is no longer what costs.
const GROUP_BATCHES: usize = 1_024;
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// With `durability = "process"`, how often the mark catches up with the ledger while there are commits.
const MARK_EVERY: Duration = Duration::from_secs(1);

type Answer = oneshot::Sender<Result<Committed, CommitError>>;

/// A batch and who waits for it.
pub struct Submission {
    pub batch: Batch,
    pub answer: Answer,
}

pub struct Committer {
    pub shared: Arc<Shared>,
    pub receiver: mpsc::Receiver<Submission>,
    pub followers: Vec<Arc<dyn Follower>>,
    pub high: HighMark,
    pub newest: Revision,
    pub next: Revision,
    pub durability: Durability,
    pub on_fatal: OnFatal,
    /// When the mark was last written, where that is not after every group.
    pub synced: Option<Instant>,
    pub recent: Recent,
}

/// What happened to each batch of a group that was written.
type Outcome = (Answer, Result<Committed, CommitError>);

impl Committer {
    /// Serves until every sender is gone, or until the store cannot be written.
    pub fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let failed = match ended {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => "the committer panicked".to_owned(),
        };
        tracing::error!(reason = failed, "the ledger cannot be written");
        (self.on_fatal)(failed.clone());
        // Closed first, so that nobody can slip in behind the last one that is answered here.
        self.receiver.close();
        while let Some(submission) = self.receiver.blocking_recv() {
            let _ = submission.answer.send(Err(CommitError::Fatal(failed.clone())));
        }
    }

    fn serve(&mut self) -> Result<(), String> {
        while let Some(first) = self.receiver.blocking_recv() {
            let mut bytes = first.batch.size();
            let mut group = vec![first];
            while group.len() < GROUP_BATCHES
                && bytes < GROUP_BYTES
                && let Ok(submission) = self.receiver.try_recv()
            {
                bytes += submission.batch.size();
                group.push(submission);
            }
            self.commit(group)?;
        }
        self.sync_and_mark()
    }

    #[expect(clippy::disallowed_methods, reason = "how long the disk took is no matter of the injected time")]
    fn commit(&mut self, group: Vec<Submission>) -> Result<(), String> {
        let started = Instant::now();
        let mut outcomes = Vec::with_capacity(group.len());
        let mut followed = Vec::with_capacity(group.len());
        let mut waiting = group.into_iter();
        failpoint!("ledger::before-write");
        match self.write(&mut waiting, &mut outcomes, &mut followed) {
            Ok(()) => {}
            Err(reason) => {
                // A batch that had passed its checks was not written either: nobody is told that it was.
                let fatal = || Err(CommitError::Fatal(reason.clone()));
                for (answer, outcome) in outcomes {
                    let _ = answer.send(if outcome.is_ok() { fatal() } else { outcome });
                }
                for submission in waiting {
                    let _ = submission.answer.send(fatal());
                }
                return Err(reason);
            }
        }
        for writes in &followed {
            self.tell_followers(writes);
        }
        failpoint!("ledger::before-answers");
        telemetry::commit::committed(started.elapsed(), outcomes.len());
        for (answer, outcome) in outcomes {
            let _ = answer.send(outcome);
            failpoint!("ledger::answered");
        }
        Ok(())
    }

    fn write(
        &mut self,
        waiting: &mut impl Iterator<Item = Submission>,
        outcomes: &mut Vec<Outcome>,
        followed: &mut Vec<Vec<Write>>,
    ) -> Result<(), String> {
        let view = self.shared.view();
        let mut assembly = Assembly::new(&view, &mut self.recent, self.newest, self.next);
        for Submission { batch, answer } in waiting {
            let outcome = if batch.intake && self.shared.gate.full_now() {
                Err(CommitError::Full)
            } else {
                match assembly.add(&batch) {
                    Ok(committed) => Ok(committed),
                    Err(Refused::Batch(error)) => Err(error),
                    Err(Refused::Store(error)) => {
                        let _ = answer.send(Err(CommitError::Fatal(error.to_string())));
                        return Err(error.to_string());
                    }
                }
            };
            match &outcome {
                Ok(_) => followed.push(batch.writes),
                Err(CommitError::Conflict(_)) => telemetry::commit::conflict(),
                Err(_) => {}
            }
            outcomes.push((answer, outcome));
        }
        let (newest, next) = assembly.numbers();
        if next > PAST_LARGEST_NUMBER {
            return Err("the numbers of the ledger are used up".into());
        }
        if newest == self.newest {
            return Ok(());
        }
        let mode = match self.durability {
            Durability::Power => PersistMode::SyncData,
            Durability::Process => PersistMode::Buffer,
        };
        assembly.write(&self.shared.files, mode)?;
        // Synced by now if that was asked for; otherwise the kernel has it.
        failpoint!("ledger::written");
        (self.newest, self.next) = (newest, next);
        match self.durability {
            Durability::Power => self.mark()?,
            Durability::Process if self.synced.is_none_or(|at| at.elapsed() >= MARK_EVERY) => {
                self.sync_and_mark()?;
            }
            Durability::Process => {}
        }
        // Before the followers: one who joins them, and then takes a view, has every write from one or the other.
        failpoint!("ledger::before-visible");
        self.shared.publish(View::take(&self.shared.files, newest));
        failpoint!("ledger::visible");
        Ok(())
    }

    /// Writes into the mark what is acknowledged. It must never be ahead of what a power cut would leave.
    fn mark(&mut self) -> Result<(), String> {
        self.high.record(self.newest).map_err(|error| format!("ledger.high: {error}"))
    }

    #[expect(clippy::disallowed_methods, reason = "how long the disk took is no matter of the injected time")]
    fn sync_and_mark(&mut self) -> Result<(), String> {
        self.shared.files.database.persist(PersistMode::SyncData).map_err(|error| error.to_string())?;
        self.synced = Some(Instant::now());
        failpoint!("ledger::before-mark");
        self.mark()
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
