//! Clean-up work that a decision makes necessary.

use super::{Context, Decision};
use crate::model::ConversationSid;
use crate::relay::after::Wake;
use crate::work::{self, Queue};

/// The one lane of an account's clean-up work, in its rows. It is woken by the account, since every account has one.
pub const LANE: &str = "cleanup";
/// What is to be cleaned up, as a subject of the work: a SID, or a message of a conversation.
pub(in crate::relay) fn message_name(conversation: &ConversationSid, index: u64) -> String {
    format!("{conversation}/{index}")
}

/// Adds the job to a decision that makes it necessary.
pub(in crate::relay) fn enqueue(context: &Context<'_>, decision: &mut Decision, name: &str) {
    let account = context.account.as_str();
    let payload = bytes::Bytes::copy_from_slice(name.as_bytes());
    let seq = context.births.birth();
    work::enqueue(&mut decision.batch, account, Queue::Cleanup, LANE, name, seq, context.now, payload);
    decision.after.wake.push(Wake::cleanup(context.account, name));
}
