//! Decisions of time itself: a conversation falls idle, or is closed, because nothing happened in it.
//!
//! An open conversation with timers has one due record, which lies no later than what is due. Activity moves what is
//! due, and not the record: when the record comes up and the conversation turns out to have been busy, it is moved.

use std::sync::Arc;

use trunkline_adapter::Timestamp;

use super::{Context, Decision, begin, finish, put_record};
use crate::ledger::tables;
use crate::model::{Conversation, State};

/// Sees to it that what will be has its due record in time, and none that it does not need.
pub(in crate::relay) fn wind(context: &Context<'_>, decision: &mut Decision) {
    let due = decision.next.next_due();
    let needed = decision.next.head.state.open() && decision.next.record.timed();
    let Some(timers) = &mut decision.next.head.timers else { return };
    let in_time = match (timers.armed, due) {
        (Some(armed), Some(due)) => armed <= due,
        (armed, due) => armed == due,
    };
    if !in_time {
        arm(context, decision, due);
    }
    if !needed {
        decision.next.head.timers = None;
    }
}

/// Moves the due record.
fn arm(context: &Context<'_>, decision: &mut Decision, due: Option<Timestamp>) {
    let conversation = decision.next.sid().clone();
    let key = |due| tables::timer(due, context.account.as_str(), conversation.as_str());
    let Some(timers) = &mut decision.next.head.timers else { return };
    if let Some(armed) = timers.armed {
        decision.batch.delete(key(armed));
    }
    timers.armed = due;
    if let Some(due) = due {
        decision.batch.put(key(due), bytes::Bytes::new());
    }
    decision.after.due = due;
}

/// What has become of a conversation by now without anybody's doing. Where both timers are over, it is closed and was
/// never idle.
pub fn strike(context: &Context<'_>, conversation: &Conversation) -> Option<Decision> {
    let over = |due: Option<Timestamp>| due.is_some_and(|due| due <= context.now);
    let state = if over(conversation.date_closed()) {
        State::Closed
    } else if over(conversation.date_inactive()) {
        State::Inactive
    } else {
        return None;
    };
    let mut decision = begin(context, conversation);
    decision.next.head.state = state;
    Arc::make_mut(&mut decision.next.record).updated = context.now;
    put_record(context, &mut decision);
    wind(context, &mut decision);
    Some(finish(decision))
}

/// A due record came up, and nothing is due yet: it goes to where it belongs. One that is not the conversation's own
/// any more goes altogether.
pub fn put_off(context: &Context<'_>, conversation: &Conversation, came: Timestamp) -> Decision {
    let mut decision = begin(context, conversation);
    if conversation.head.timers.as_ref().and_then(|timers| timers.armed) == Some(came) {
        let due = conversation.next_due();
        arm(context, &mut decision, due);
    } else {
        let sid = conversation.sid().as_str();
        decision.batch.delete(tables::timer(came, context.account.as_str(), sid));
    }
    finish(decision)
}
