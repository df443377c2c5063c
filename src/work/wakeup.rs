//! How whoever does the work learns that there is some, without looking again and again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Fresh, Queue};

/// Subjects remembered between two looks; beyond it only "there is more" is.
const MOST: usize = 4096;

/// Tells the owner of a lane about new rows. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wakeups(Arc<Mutex<HashMap<Queue, ByLane>>>);

type ByLane = HashMap<String, Arc<Pending>>;

#[derive(Default)]
struct Pending {
    woken: Mutex<Woken>,
    notify: Notify,
}

/// What was told since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// New rows by subject; in an order of its own, so that a simulation repeats itself.
    pub subjects: BTreeMap<Arc<str>, Told>,
    /// New rows in all, those of subjects that did not fit included.
    pub rows: u64,
    /// Some subjects did not fit: look through the whole queue.
    pub overflow: bool,
}

/// What was told of one subject since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// New rows.
    pub rows: u32,
    /// The first of them, if it was told with what is in it.
    pub first: Option<Fresh>,
    /// Another one comes before it: two conversations wrote to somebody at once, and who was first to draw a sequence was
    /// not the first to commit.
    pub behind: bool,
}

/// The receiving end of one lane.
#[derive(Clone)]
pub struct WorkReceiver(Arc<Pending>);

impl Wakeups {
    /// One row of this subject was committed. A lane nobody registered for finds its rows when somebody does.
    pub fn work(&self, queue: Queue, lane: &str, subject: &str) {
        self.tell(queue, lane, subject, None);
    }

    /// As [`Wakeups::work`], with what is in the row. Rows of one subject are to be told in their order.
    pub fn row(&self, queue: Queue, lane: &str, subject: &str, row: Fresh) {
        self.tell(queue, lane, subject, Some(row));
    }

    fn tell(&self, queue: Queue, lane: &str, subject: &str, row: Option<Fresh>) {
        let pending = match lock(&self.0).get(&queue).and_then(|lanes| lanes.get(lane)) {
            Some(pending) => Arc::clone(pending),
            None => return,
        };
        {
            let mut woken = lock(&pending.woken);
            woken.rows += 1;
            if let Some(told) = woken.subjects.get_mut(subject) {
                told.rows += 1;
                let first = told.first.as_ref().zip(row.as_ref());
                told.behind |= first.is_some_and(|(first, row)| row.key < first.key);
            } else if woken.subjects.len() < MOST {
                woken.subjects.insert(subject.into(), Told { rows: 1, first: row, behind: false });
            } else {
                woken.overflow = true;
            }
        }
        pending.notify.notify_one();
    }

    /// Listens for a lane. Register first, then scan: what is committed in between is told, too. A second
    /// registration hears what the first does.
    pub fn register(&self, queue: Queue, lane: &str) -> WorkReceiver {
        WorkReceiver(Arc::clone(lock(&self.0).entry(queue).or_default().entry(lane.to_owned()).or_default()))
    }
}

impl WorkReceiver {
    /// What was told since the last call.
    pub fn take(&self) -> Woken {
        std::mem::take(&mut *lock(&self.0.woken))
    }

    /// Waits until something is told.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn told(&self) {
        self.0.notify.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_twice_for_the_same() {
        let wakeups = Wakeups::default();
        let lane = wakeups.register(Queue::Outbound, "a");
        assert!(lane.told().now_or_never().is_none());
        wakeups.work(Queue::Outbound, "a", "x");
        assert!(lane.told().now_or_never().is_some());
        assert!(lane.told().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_wake_up_is_kept_until_it_is_taken_and_lanes_do_not_hear_each_other() {
        let wakeups = Wakeups::default();
        wakeups.work(Queue::Outbound, "a", "nobody listens");
        let (a, b) = (wakeups.register(Queue::Outbound, "a"), wakeups.register(Queue::Outbound, "b"));
        wakeups.work(Queue::Outbound, "a", "x");
        wakeups.work(Queue::Outbound, "a", "x");
        wakeups.work(Queue::Cleanup, "b", "y");
        a.told().await;
        assert_eq!(a.take().subjects, BTreeMap::from([("x".into(), Told { rows: 2, ..Told::default() })]));
        assert_eq!(b.take(), Woken::default());
    }

    #[test]
    fn memory_is_bounded() {
        let wakeups = Wakeups::default();
        let lane = wakeups.register(Queue::Outbound, "a");
        for subject in 0..MOST + 10 {
            wakeups.work(Queue::Outbound, "a", &subject.to_string());
        }
        let woken = lane.take();
        assert_eq!((woken.subjects.len(), woken.overflow, woken.rows), (MOST, true, MOST as u64 + 10));
    }
}
