//! Ordered work per subject: rows that must be done one after another for each subject, side by side for different
//! subjects.
//!
//! Owns the layout of queue rows, the wake-ups between whoever commits work and whoever does it, and the bounded
//! window through which a queue is served. Must not know what the work is: payloads are bytes.
//!
//! Invariants:
//! - rows never move; back-off is written into the value of a subject's first row and nowhere else;
//! - per subject one row is in hand at a time, and the next is looked at only when the last one's end is committed;
//! - reads start at remembered places, so deleted rows are not walked over again;
//! - memory is bounded by the window, however many rows wait;
//! - nothing polls: an empty queue has no timer and no task of its own.

mod places;
mod row;
mod wakeup;
mod window;

pub use row::{Enqueued, Fresh, Job, Queue, enqueue, row_key, rows_of, waiting};
pub use wakeup::{Told, Wakeups, Woken, WorkReceiver};
pub use window::{Taken, Window};
