//! The bounded window through which a queue is served.
//!
//! A subject inside the window has a slot: its first row once read, and the place after its last finished row. More
//! subjects than slots are found by a pass through the queue in key order; after some rows a subject makes room while
//! others wait outside. What lies outside needs no memory: its back-off is in its row.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use trunkline_adapter::{Clock, Timestamp};

use super::places::{Place, Places};
use super::row::{lane_prefix, subject_of, subject_prefix};
use super::{Fresh, Job, Queue, Woken};
use crate::ledger::engine::{Revision, Row, Snapshot};
use crate::ledger::key::{Key, Range};
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Compact, Letter};

/// Rows a subject may have done before it makes room for others outside.
const TURN: u32 = 16;
/// Rows read at once when looking for subjects.
const PAGE: usize = 128;
/// Pages read before the caller gets a chance to do something else.
const PAGES: usize = 4;
/// Rows counted at once.
const COUNT_PAGE: usize = 4096;
/// A stored back-off further away than this was written under another clock.
const FARTHEST: Duration = Duration::from_secs(3_600);

/// A row in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub subject: Arc<str>,
    pub key: Key,
    pub job: Job,
    /// The row was there before the window was opened.
    pub old: bool,
    /// What the row came to when it was told.
    pub letter: Option<Arc<Letter>>,
}

/// See the module.
pub struct Window {
    ledger: Ledger,
    clock: Clock,
    account: String,
    queue: Queue,
    lane: String,
    prefix: Key,
    capacity: usize,
    slots: HashMap<Arc<str>, Slot>,
    ready: VecDeque<Arc<str>>,
    waiting: BTreeSet<(Timestamp, Arc<str>)>,
    places: Places,
    /// Where the pass through the queue is; nothing when none is under way.
    pass: Option<Bytes>,
    /// Rows may be waiting outside, behind the pass.
    again: bool,
    /// The earliest moment at which a row seen outside may be tried.
    again_at: Option<Timestamp>,
    count: Option<Count>,
    /// What was published when the window opened: later rows are all told.
    opened_at: Revision,
    depth: i64,
    /// Every row that waits, of any subject, was told and is still remembered in what its place is owed. So it is since
    /// the window was last empty, unless too much was told at once or too many places had to be remembered.
    exact: bool,
    /// The oldest row outside, as far as known.
    oldest_outside: Option<Timestamp>,
}

struct Slot {
    state: State,
    head: Option<Head>,
    /// The row behind the one in hand, if it was told with what is in it.
    next: Option<Head>,
    place: Place,
    served: u32,
    /// Stands in for the age of a first row that was not read yet.
    since: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    InHand,
    Waiting(Timestamp),
}

struct Head {
    key: Key,
    job: Job,
    created: Revision,
    letter: Option<Arc<Letter>>,
}

impl From<Fresh> for Head {
    fn from(Fresh { key, job, created, letter }: Fresh) -> Head {
        Head { key, job, created, letter }
    }
}

/// The first count of all rows, a page at a time and as of one moment.
struct Count {
    snapshot: Box<dyn Snapshot>,
    from: Bytes,
}

impl Window {
    /// Opens a lane's queue. Register with [`super::Wakeups`] before. Nothing is read yet.
    pub fn open(
        ledger: Ledger,
        clock: Clock,
        account: &str,
        queue: Queue,
        lane: &str,
        capacity: usize,
    ) -> Window {
        let prefix = lane_prefix(account, queue, lane);
        let snapshot = ledger.snapshot();
        Window {
            opened_at: snapshot.number(),
            count: Some(Count { snapshot, from: prefix.bytes() }),
            ledger,
            clock,
            account: account.to_owned(),
            queue,
            lane: lane.to_owned(),
            prefix,
            capacity: capacity.max(4),
            slots: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            places: Places::default(),
            pass: None,
            again: true,
            again_at: None,
            depth: 0,
            exact: false,
            oldest_outside: None,
        }
    }

    /// For whoever does not ask how much there is: nothing is counted, and no snapshot is kept for it.
    pub fn uncounted(self) -> Window {
        Window { count: None, ..self }
    }

    /// Takes in what was told of new rows.
    pub fn told(&mut self, woken: Woken) {
        self.depth += i64::try_from(woken.rows).unwrap_or(i64::MAX);
        if woken.overflow {
            // Which subjects is unknown, so no remembered place can be trusted to lie before the new rows.
            self.places.clear();
            self.exact = false;
            self.slots.values_mut().for_each(|slot| slot.place.owed += 1);
            self.again = true;
        }
        let now = self.clock.now();
        for (subject, told) in woken.subjects {
            let rows = i64::from(told.rows);
            let before = |furthest: Option<&Key>| {
                told.behind || told.first.as_ref().zip(furthest).is_some_and(|(first, far)| first.key < *far)
            };
            if let Some(slot) = self.slots.get_mut(&subject) {
                let in_hand = slot.head.as_ref().map(|head| &head.key);
                slot.place.behind |= before(in_hand.max(slot.place.after.as_ref()));
                let first = told.first.map(Head::from).filter(|_| !slot.place.behind);
                // What is told first comes next, and need not be looked for, where nothing else waits or only the one in hand.
                if self.exact && slot.state == State::InHand && slot.place.owed == 1 {
                    slot.next =
                        first.filter(|next| slot.head.as_ref().is_some_and(|head| head.key < next.key));
                } else if self.exact && slot.head.is_none() && slot.place.owed == 0 {
                    slot.head =
                        first.filter(|next| slot.place.after.as_ref().is_none_or(|after| *after < next.key));
                }
                slot.place.owed += rows;
                continue;
            }
            let mut place = self.places.take(&subject);
            place.behind |= before(place.after.as_ref());
            let first = told.first.map(Head::from).filter(|_| !place.behind);
            let alone = self.exact && place.owed == 0;
            let head =
                first.filter(|head| alone && place.after.as_ref().is_none_or(|after| *after < head.key));
            place.owed += rows;
            if self.slots.len() < self.capacity {
                let since = head.as_ref().map_or(now, |head| head.job.since);
                self.admit(subject, place, head, State::Ready, since);
            } else {
                self.remember(subject, place);
                self.oldest_outside = Some(self.oldest_outside.map_or(now, |oldest| oldest.min(now)));
                self.again = true;
            }
        }
    }

    /// The next row to work on, subjects in turn; nothing when none is due. Reads, so do not drop the future halfway.
    pub async fn next(&mut self) -> Result<Option<Taken>, LedgerError> {
        loop {
            let now = self.clock.now();
            self.ripen(now);
            if self.looking(now) && (self.slots.len() < self.capacity || self.ready.is_empty()) {
                self.look(now).await?;
            }
            let Some(subject) = self.ready.pop_front() else {
                if self.may_have_work() {
                    // The pass is not through yet.
                    tokio::task::yield_now().await;
                    continue;
                }
                return Ok(None);
            };
            if let Some(taken) = self.pick(&subject, now).await? {
                return Ok(Some(taken));
            }
        }
    }

    async fn pick(&mut self, subject: &Arc<str>, now: Timestamp) -> Result<Option<Taken>, LedgerError> {
        let Some(slot) = self.slots.get(subject) else { return Ok(None) };
        if slot.head.is_none() && self.exact && slot.place.owed <= 0 {
            // Whatever was told is done, so a look would find nothing.
            self.drained(subject);
            return Ok(None);
        }
        if slot.head.is_none() {
            let after = slot.place.after.as_ref().filter(|_| !slot.place.behind);
            let found = match self.first_row(subject, after).await {
                Ok(None) if slot.place.owed > 0 && after.is_some() => self.first_row(subject, None).await,
                other => other,
            };
            let head = match found {
                Ok(head) => head,
                Err(error) => {
                    // Tried again later; the subject must not be forgotten.
                    self.ready.push_front(Arc::clone(subject));
                    return Err(error);
                }
            };
            let Some(head) = head else {
                self.drained(subject);
                return Ok(None);
            };
            let due = head.job.not_before.min(now.plus(FARTHEST));
            if let Some(slot) = self.slots.get_mut(subject) {
                if std::mem::take(&mut slot.place.behind) {
                    slot.place.after = None;
                }
                slot.since = head.job.since;
                slot.head = Some(head);
            }
            if due > now {
                self.wait(subject, due);
                return Ok(None);
            }
        }
        let opened_at = self.opened_at;
        let Some(slot) = self.slots.get_mut(subject) else { return Ok(None) };
        let Some(head) = &slot.head else { return Ok(None) };
        slot.state = State::InHand;
        Ok(Some(Taken {
            subject: Arc::clone(subject),
            key: head.key.clone(),
            job: head.job.clone(),
            old: head.created <= opened_at,
            letter: head.letter.clone(),
        }))
    }

    async fn first_row(&self, subject: &str, after: Option<&Key>) -> Result<Option<Head>, LedgerError> {
        let prefix = subject_prefix(&self.account, self.queue, &self.lane, subject);
        let range = match after {
            Some(after) => Range::after(&prefix, after),
            None => Range::prefix(&prefix),
        };
        let rows = self.ledger.snapshot().scan(range, 1).await?;
        let Some((key, row)) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some(Head { job: job_of(&row, self.clock.now()), created: row.created, key, letter: None }))
    }

    /// The row in hand is done and its deletion committed.
    pub fn done(&mut self, subject: &Arc<str>) {
        self.depth -= 1;
        let others = self.pass.is_some() || self.again;
        let opened_at = self.opened_at;
        let Some(slot) = self.slots.get_mut(subject) else { return };
        if let Some(head) = slot.head.take() {
            if head.created > opened_at {
                slot.place.owed -= 1;
            }
            slot.place.after = slot.place.after.take().max(Some(head.key));
        }
        slot.head = slot.next.take().filter(|_| !slot.place.behind);
        if let Some(head) = &slot.head {
            slot.since = head.job.since;
        }
        slot.served += 1;
        if others && slot.served >= TURN {
            let place = slot.place.clone();
            let since = slot.since;
            self.slots.remove(subject);
            self.remember(Arc::clone(subject), place);
            self.leave_outside(since, None);
        } else {
            slot.state = State::Ready;
            self.ready.push_back(Arc::clone(subject));
        }
    }

    /// The row in hand goes back with its value changed, to be tried again at `due`, or when its turn comes.
    pub fn put_back(&mut self, subject: &Arc<str>, job: Job, due: Option<Timestamp>) {
        let Some(slot) = self.slots.get_mut(subject) else { return };
        if let Some(head) = &mut slot.head {
            head.job = job;
        }
        match due {
            Some(due) => self.wait(subject, due),
            None => {
                slot.state = State::Ready;
                self.ready.push_back(Arc::clone(subject));
            }
        }
    }

    /// The row in hand was not touched and keeps its turn.
    pub fn return_first(&mut self, subject: &Arc<str>) {
        if let Some(slot) = self.slots.get_mut(subject) {
            slot.state = State::Ready;
            self.ready.push_front(Arc::clone(subject));
        }
    }

    /// Whoever waits may try now: the reason to wait is gone for all.
    pub fn hurry(&mut self) {
        let now = self.clock.now();
        for (_, subject) in std::mem::take(&mut self.waiting) {
            self.make_ready(subject);
        }
        if self.again_at.is_some() {
            self.again_at = Some(now);
        }
    }

    /// Whether a call of [`Window::next`] may find something now.
    pub fn may_have_work(&self) -> bool {
        let now = self.clock.now();
        !self.ready.is_empty()
            || self.waiting.first().is_some_and(|(due, _)| *due <= now)
            || (self.looking(now) && (self.slots.len() < self.capacity || !self.waiting.is_empty()))
    }

    /// When something becomes due that is not now.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.waiting.first().map(|(due, _)| *due);
        waiting.into_iter().chain(self.again_at).min()
    }

    /// Rows that wait or are in hand.
    pub fn depth(&self) -> u64 {
        u64::try_from(self.depth).unwrap_or(0)
    }

    /// When the oldest waiting row was accepted; for subjects outside the window as of the last look at them.
    pub fn oldest(&self) -> Option<Timestamp> {
        let inside = self.slots.values().map(|slot| slot.since).min();
        inside.into_iter().chain(self.oldest_outside).min()
    }

    /// Subjects held in memory.
    pub fn held(&self) -> usize {
        self.slots.len()
    }

    /// Nothing waits and nothing is in hand.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.pass.is_none() && !self.again && self.again_at.is_none()
    }

    /// Whether the rows there were at the start are still being counted.
    pub fn counting(&self) -> bool {
        self.count.is_some()
    }

    /// Counts one more page of the rows there were at the start.
    pub async fn count_page(&mut self) -> Result<(), LedgerError> {
        let Some(count) = &self.count else { return Ok(()) };
        let range = Range { start: count.from.clone(), ..Range::prefix(&self.prefix) };
        let rows = count.snapshot.scan(range, COUNT_PAGE).await?;
        self.depth += rows.len() as i64;
        for (_, row) in &rows {
            let Ok(Job { since, .. }) = Job::decode(&row.payload) else { continue };
            self.oldest_outside = Some(self.oldest_outside.map_or(since, |oldest| oldest.min(since)));
        }
        self.count = match (self.count.take(), rows.last()) {
            (Some(count), Some((last, _))) if rows.len() == COUNT_PAGE => {
                Some(Count { from: Range::after(&self.prefix, last).start, ..count })
            }
            _ => None,
        };
        self.settle();
        Ok(())
    }

    /// An empty window knows its depth for sure; a wake-up that came twice is forgotten here.
    fn settle(&mut self) {
        if self.is_empty() && self.count.is_none() {
            self.depth = 0;
            self.exact = true;
            self.oldest_outside = None;
        }
    }

    fn remember(&mut self, subject: Arc<str>, place: Place) {
        if self.places.put(subject, place) {
            self.exact = false;
        }
    }

    fn looking(&self, now: Timestamp) -> bool {
        self.pass.is_some() || self.again || self.again_at.is_some_and(|at| at <= now)
    }

    /// Goes on with the pass through the queue, or begins one, and lets subjects in.
    async fn look(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        if self.pass.is_none() {
            self.again = false;
            self.again_at = None;
            if self.count.is_none() {
                self.oldest_outside = None;
            }
            self.pass = Some(self.prefix.bytes());
        }
        for _ in 0..PAGES {
            let Some(from) = self.pass.clone() else { break };
            if !self.make_room() {
                return Ok(());
            }
            let range = Range { start: from, ..Range::prefix(&self.prefix) };
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            let full_page = rows.len() == PAGE;
            let mut beyond = None;
            let mut last: Option<Arc<str>> = None;
            for (key, row) in rows {
                let Some(subject) = subject_of(&key) else { continue };
                if last.as_ref() == Some(&subject) {
                    continue;
                }
                let prefix = subject_prefix(&self.account, self.queue, &self.lane, &subject);
                if !self.slots.contains_key(&subject) {
                    if self.slots.len() >= self.capacity {
                        self.pass = Some(prefix.bytes());
                        return Ok(());
                    }
                    let job = job_of(&row, now);
                    let due = job.not_before.min(now.plus(FARTHEST));
                    let head = Head { key, created: row.created, job, letter: None };
                    self.meet(&subject, head, due, now);
                }
                beyond = Some(Range::prefix(&prefix).end);
                last = Some(subject);
            }
            self.pass = if full_page { beyond } else { None };
        }
        if self.pass.is_none() && !self.again && self.again_at.is_none() && self.count.is_none() {
            self.oldest_outside = None;
        }
        self.settle();
        Ok(())
    }

    /// A subject found outside: it comes in, unless it has to wait anyway and the room is needed.
    fn meet(&mut self, subject: &Arc<str>, head: Head, due: Timestamp, now: Timestamp) {
        if due > now && self.slots.len() >= self.capacity / 4 * 3 {
            self.oldest_outside =
                Some(self.oldest_outside.map_or(head.job.since, |oldest| oldest.min(head.job.since)));
            self.again_at = Some(self.again_at.map_or(due, |at| at.min(due)));
            return;
        }
        let place = self.places.take(subject);
        let since = head.job.since;
        let state = if due > now { State::Waiting(due) } else { State::Ready };
        self.admit(Arc::clone(subject), place, Some(head), state, since);
    }

    /// Whether somebody can come in; those who wait longest make room when nobody else has anything to do.
    fn make_room(&mut self) -> bool {
        if self.slots.len() >= self.capacity && self.ready.is_empty() {
            for _ in 0..self.capacity / 4 {
                let Some((due, subject)) = self.waiting.pop_last() else { break };
                if let Some(slot) = self.slots.remove(&subject) {
                    self.remember(subject, slot.place);
                    self.leave_outside(slot.since, Some(due));
                }
            }
        }
        self.slots.len() < self.capacity
    }

    fn leave_outside(&mut self, since: Timestamp, due: Option<Timestamp>) {
        self.oldest_outside = Some(self.oldest_outside.map_or(since, |oldest| oldest.min(since)));
        match due {
            Some(due) => self.again_at = Some(self.again_at.map_or(due, |at| at.min(due))),
            None => self.again = true,
        }
    }

    fn admit(&mut self, subject: Arc<str>, place: Place, head: Option<Head>, state: State, since: Timestamp) {
        match state {
            State::Waiting(due) => {
                self.waiting.insert((due, Arc::clone(&subject)));
            }
            _ => self.ready.push_back(Arc::clone(&subject)),
        }
        self.slots.insert(subject, Slot { state, head, next: None, place, served: 0, since });
    }

    fn wait(&mut self, subject: &Arc<str>, due: Timestamp) {
        if let Some(slot) = self.slots.get_mut(subject) {
            slot.state = State::Waiting(due);
            self.waiting.insert((due, Arc::clone(subject)));
        }
    }

    fn ripen(&mut self, now: Timestamp) {
        while self.waiting.first().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, subject)) = self.waiting.pop_first() {
                self.make_ready(subject);
            }
        }
    }

    fn make_ready(&mut self, subject: Arc<str>) {
        if let Some(slot) = self.slots.get_mut(&subject)
            && matches!(slot.state, State::Waiting(_))
        {
            slot.state = State::Ready;
            self.ready.push_back(subject);
        }
    }

    fn drained(&mut self, subject: &Arc<str>) {
        if let Some(slot) = self.slots.remove(subject) {
            let place = Place { owed: slot.place.owed.min(0), ..slot.place };
            self.remember(Arc::clone(subject), place);
        }
        self.settle();
    }
}

/// A row's job. One that cannot be read comes without a payload, so that whoever works on it ends it: it must not
/// stand in the way of all the others.
fn job_of(row: &Row, now: Timestamp) -> Job {
    let unreadable =
        Job { since: now, attempts: 0, not_before: Timestamp(0), payload: Vec::new(), trace: Vec::new() };
    Job::decode(&row.payload).unwrap_or(unreadable)
}

#[cfg(test)]
#[path = "window_test.rs"]
mod tests;

#[cfg(test)]
#[path = "window_told_test.rs"]
mod told_tests;
