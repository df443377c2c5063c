//! How answers come back. Waking a task of another thread is a system call, and may push aside whoever runs there; a group
//! has tens of answers, most of them for one runtime. So they go to each runtime as one message, and a task of its own
//! hands them out there.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::runtime::{Handle, Id};
use tokio::sync::{mpsc, oneshot};

use crate::ledger::engine::{CommitError, Committed};

pub type Answer = oneshot::Sender<Result<Committed, CommitError>>;

/// Who waits, and what he is told.
type Outcome = (Answer, Result<Committed, CommitError>);

/// Where a runtime takes its answers.
#[derive(Clone)]
pub struct Desk {
    runtime: Id,
    /// Closed when the runtime ended.
    answers: mpsc::UnboundedSender<Vec<Outcome>>,
}

impl Desk {
    fn take(&self, outcomes: Vec<Outcome>) {
        // What was asked in a runtime that has ended may be waited for in another one.
        if let Err(back) = self.answers.send(outcomes) {
            answer(back.0);
        }
    }
}

/// One for each runtime that ever submitted something: the two that work, and those of tests.
#[derive(Default)]
pub struct Desks(RwLock<Arc<[Desk]>>);

impl Desks {
    /// The desk of the runtime that this is called in, if it is in one.
    pub fn here(&self) -> Option<Desk> {
        let handle = Handle::try_current().ok()?;
        let runtime = handle.id();
        let find = |desks: &[Desk]| desks.iter().find(|desk| desk.runtime == runtime).cloned();
        if let Some(desk) = find(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(desk);
        }
        let mut desks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = find(&desks) {
            return Some(desk);
        }
        let (answers, come) = mpsc::unbounded_channel();
        handle.spawn(hand_out(come));
        let desk = Desk { runtime, answers };
        let open = desks.iter().filter(|desk| !desk.answers.is_closed()).cloned();
        *desks = open.chain([desk.clone()]).collect();
        Some(desk)
    }
}

async fn hand_out(mut come: mpsc::UnboundedReceiver<Vec<Outcome>>) {
    while let Some(outcomes) = come.recv().await {
        answer(outcomes);
    }
}

fn answer(outcomes: Vec<Outcome>) {
    for (answer, outcome) in outcomes {
        // Who does not wait any more needs no answer.
        let _ = answer.send(outcome);
        failpoint!("ledger::answered");
    }
}

/// What happened to each batch of a group, by the desk it came from.
#[derive(Default)]
pub struct Outcomes {
    by_desk: Vec<(Option<Desk>, Vec<Outcome>)>,
}

impl Outcomes {
    pub fn add(&mut self, desk: Option<Desk>, answer: Answer, outcome: Result<Committed, CommitError>) {
        let outcome = (answer, outcome);
        let runtime = |desk: &Option<Desk>| desk.as_ref().map(|desk| desk.runtime);
        match self.by_desk.iter_mut().find(|(known, _)| runtime(known) == runtime(&desk)) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => self.by_desk.push((desk, vec![outcome])),
        }
    }

    pub fn len(&self) -> usize {
        self.by_desk.iter().map(|(_, outcomes)| outcomes.len()).sum()
    }

    /// Everybody is told.
    pub fn give(self) {
        for (desk, outcomes) in self.by_desk {
            match desk {
                Some(desk) => desk.take(outcomes),
                None => answer(outcomes),
            }
        }
    }

    /// Nobody is told that anything was written.
    pub fn refuse(mut self, reason: &str) {
        let all = self.by_desk.iter_mut().flat_map(|(_, outcomes)| outcomes);
        for (_, outcome) in all.filter(|(_, outcome)| outcome.is_ok()) {
            *outcome = Err(CommitError::Fatal(reason.to_owned()));
        }
        self.give();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::key::{Key, Space};

    const DONE: Committed = Committed { first: 3, last: 4 };

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn each_runtime_gives_its_own_answers_and_one_that_ended_loses_none() {
        let desks = Desks::default();
        let (here, gone) = (runtime(), runtime());
        let mut outcomes = Outcomes::default();
        let mut ask = |desk| {
            let (answer, answered) = oneshot::channel();
            outcomes.add(desk, answer, Ok(DONE));
            answered
        };
        let desk_of = |runtime: &tokio::runtime::Runtime| {
            let _in_it = runtime.enter();
            desks.here()
        };
        let mut own = [ask(desk_of(&here)), ask(desk_of(&here))];
        let orphan = ask(desk_of(&gone));
        let outside = ask(desks.here());
        assert_eq!(desks.0.read().unwrap().len(), 2, "a runtime has one desk");
        drop(gone);
        assert_eq!((outcomes.len(), outcomes.by_desk.len()), (4, 3));
        outcomes.give();
        assert!(own.iter_mut().all(|one| one.try_recv().is_err()), "not by this thread");
        for one in own {
            assert_eq!(here.block_on(one).unwrap().unwrap(), DONE);
        }
        assert_eq!(outside.blocking_recv().unwrap().unwrap(), DONE);
        assert_eq!(orphan.blocking_recv().unwrap().unwrap(), DONE);
    }

    #[test]
    fn the_desk_of_a_runtime_that_ended_is_cleared_away() {
        let desks = Desks::default();
        for _ in 0..3 {
            let ends = runtime();
            let _in_it = ends.enter();
            assert!(desks.here().is_some());
        }
        assert_eq!(desks.0.read().unwrap().len(), 1);
    }

    #[test]
    fn nobody_is_told_of_a_write_that_was_none() {
        let mut outcomes = Outcomes::default();
        let mut ask = |outcome| {
            let (answer, answered) = oneshot::channel();
            outcomes.add(None, answer, outcome);
            answered
        };
        let conflict = CommitError::Conflict(Key::new("A", "", Space::Service, b"x"));
        let (written, refused) = (ask(Ok(DONE)), ask(Err(conflict)));
        outcomes.refuse("the disk is gone");
        let told = written.blocking_recv().unwrap();
        assert!(matches!(told, Err(CommitError::Fatal(reason)) if reason == "the disk is gone"));
        assert!(matches!(refused.blocking_recv().unwrap(), Err(CommitError::Conflict(_))));
    }
}
