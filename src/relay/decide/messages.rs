//! Decisions about messages: joining a conversation and its recipients' lanes, changing, going.

use std::sync::Arc;

use trunkline_adapter::Timestamp;

use super::{Context, Decision, begin, finish, require_open, rouse};
use super::{cleanup, roster};
use crate::ledger::tables;
use crate::model::conversation::Mark;
use crate::model::message;
use crate::model::{
    Compact, Conversation, Delivery, Dispatch, Further, MessageMedia, MessageRecord, MessageSid,
    ParticipantRecord, ParticipantSid, ProviderIdRow, ReceiptSid, Source, Subject, Templated,
};
use crate::relay::after::{Enclosed, Wake};
use crate::relay::command::{MessageChange, NewMessage};
use crate::relay::error::RelayError;
use crate::relay::media::{self, Attachment};
use crate::work::{self, Queue};

/// A message about to be appended, whoever brought it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub author: String,
    /// The member who wrote it, who therefore does not get it.
    pub participant: Option<ParticipantSid>,
    /// Another member who has it already: the one an agent wrote to in the provider's own inbox.
    pub has_it: Option<ParticipantSid>,
    pub body: Option<String>,
    /// As they are kept: see [`message::kept_parts`].
    pub parts: Vec<u8>,
    pub attributes: Option<String>,
    pub created: Option<Timestamp>,
    pub updated: Option<Timestamp>,
    pub source: Option<Source>,
    pub reply_to: Option<u64>,
    /// The template it was made from.
    pub template: Option<Box<Templated>>,
    /// The files it carries, in their order. Each is in one message at most.
    pub media: Vec<Attachment>,
    pub subject: Option<String>,
}

/// A message posted over REST, with the files it names: its author is matched against the members.
pub fn draft_of(conversation: &Conversation, new: NewMessage, media: Vec<Attachment>) -> Draft {
    let participant = conversation.author(&new.author).map(|member| member.record.sid.clone());
    Draft {
        author: new.author,
        participant,
        has_it: None,
        body: new.body,
        parts: Vec::new(),
        attributes: new.attributes,
        created: new.created,
        updated: new.updated,
        source: None,
        reply_to: None,
        template: new.template,
        media,
        subject: new.subject,
    }
}

/// How many writes appending one draft to this conversation takes, at most.
pub fn writes_per_draft(conversation: &Conversation) -> usize {
    let bindings = || conversation.members.iter().filter_map(|member| member.record.binding.as_ref());
    let windows = bindings().any(|binding| binding.address.channel().window().is_some());
    2 + bindings().count() + usize::from(windows)
}

/// Messages join a conversation, in order: each gets its index, and one delivery for every outside member who did
/// not write it.
pub fn append(
    context: &Context<'_>,
    conversation: &Conversation,
    drafts: Vec<Draft>,
) -> Result<(Decision, Vec<(u64, MessageRecord)>), RelayError> {
    require_open(conversation)?;
    append_accepted(context, conversation, drafts)
}

/// As [`append`], of messages that were accepted while the conversation was open, even if it was closed meanwhile: it stays
/// closed, and who was in it gets them.
pub fn append_accepted(
    context: &Context<'_>,
    conversation: &Conversation,
    drafts: Vec<Draft>,
) -> Result<(Decision, Vec<(u64, MessageRecord)>), RelayError> {
    let account = context.account.as_str();
    let own = conversation.sid().as_str();
    let mut decision = begin(context, conversation);
    decision.batch.intake = true;
    let mut appended = Vec::with_capacity(drafts.len());
    // Whose window opens, or opens anew, by what they wrote.
    let mut heard: Vec<(&ParticipantRecord, Timestamp)> = Vec::new();
    for draft in drafts {
        let index = decision.next.head.next_index;
        decision.next.head.next_index += 1;
        let sid = MessageSid::at(context.mint, index);
        let media: Vec<MessageMedia> = draft
            .media
            .into_iter()
            .map(|one| media::attach(context, &mut decision.batch, one, conversation.sid(), &sid))
            .collect();
        let (mut deliveries, mut leaving) = (Vec::new(), Vec::new());
        let mut text: Option<Arc<str>> = None;
        for member in conversation.members.iter() {
            let Some(binding) = &member.record.binding else { continue };
            let name = Some(&member.record.sid);
            if name == draft.participant.as_ref() || name == draft.has_it.as_ref() {
                if draft.source.is_some() && draft.has_it.is_none() {
                    let closes = member.record.heard(context.now);
                    let known = |one: &(&ParticipantRecord, Timestamp)| one.0.sid == member.record.sid;
                    heard.extend(closes.filter(|_| !heard.iter().any(known)).map(|at| (&member.record, at)));
                }
                continue;
            }
            let receipt = ReceiptSid::new(context.mint);
            let dispatch = Dispatch::Message {
                conversation: conversation.sid().clone(),
                index,
                participant: member.record.sid.clone(),
                receipt: receipt.clone(),
                sent: Vec::new(),
                begun: false,
            };
            let enqueued = work::enqueue(
                &mut decision.batch,
                account,
                Queue::Outbound,
                binding.proxy.as_str(),
                binding.address.as_str(),
                context.births.birth(),
                context.now,
                dispatch.encode(),
            );
            let text = text.get_or_insert_with(|| {
                message::relayed_text(draft.body.as_deref(), &draft.parts, &media).into()
            });
            // A template, files, and somebody whose window may have shut, are looked at when it is their turn.
            let plain = draft.template.is_none() && media.is_empty();
            let simple = plain && !member.record.shut(context.now);
            leaving.push((binding, enqueued, Arc::clone(text), simple));
            deliveries.push(Delivery { participant: member.record.sid.clone(), receipt });
        }
        if let Some(source) = &draft.source {
            let key = tables::provider_id(account, &source.kind, &source.proxy, &source.id);
            decision.batch.absent(key.clone());
            let row = ProviderIdRow::Message {
                conversation: conversation.sid().clone(),
                index,
                subject: Subject::Inbound,
            };
            decision.batch.put(key, row.encode());
        }
        let created = draft.created.unwrap_or(context.now);
        let record = MessageRecord {
            sid,
            author: draft.author,
            participant: draft.participant,
            body: draft.body,
            attributes: draft.attributes.unwrap_or_else(|| "{}".to_owned()),
            created,
            updated: draft.updated.unwrap_or(created),
            deliveries,
            parts: draft.parts,
            reply_to: draft.reply_to,
            source: draft.source,
            template: draft.template,
            media,
            further: Further::of(draft.subject, None),
        };
        let message_at = decision.batch.writes.len();
        decision.batch.insert(tables::message(account, own, index), record.encode());
        for (binding, enqueued, text, simple) in leaving {
            let (to, aliases) = (binding.address.clone(), binding.aliases.clone());
            let letter = Enclosed { text, to, aliases, message_at };
            decision.after.wake.push(Wake::delivery(&binding.proxy, enqueued, letter, simple));
        }
        appended.push((index, record));
    }
    decision.next.head.messages = Mark::ThisWrite;
    for (member, closes) in heard {
        let record = ParticipantRecord { window_closes: Some(closes), ..member.clone() };
        roster::put_member(context, &mut decision, record);
    }
    if conversation.head.state.open() {
        rouse(context, &mut decision);
    }
    Ok((finish(decision), appended))
}

/// The stored copy of a message changes; nothing is sent again.
pub fn change_message(
    context: &Context<'_>,
    conversation: &Conversation,
    index: u64,
    record: &MessageRecord,
    change: MessageChange,
) -> Result<(Decision, MessageRecord), RelayError> {
    require_open(conversation)?;
    let mut record = record.clone();
    if let Some(author) = change.author {
        record.participant = conversation.author(&author).map(|member| member.record.sid.clone());
        record.author = author;
    }
    record.body = change.body.apply(record.body);
    record.attributes = change.attributes.unwrap_or(record.attributes);
    record.created = change.created.unwrap_or(record.created);
    record.updated = change.updated.unwrap_or(context.now);
    if let Some(parts) = change.parts {
        record.parts = message::kept_parts(&parts);
    }
    let subject = change.subject.apply(record.subject().map(str::to_owned));
    record.further = Further::of(subject, change.by.filter(|by| *by != record.author));
    let mut decision = begin(context, conversation);
    let key = tables::message(context.account.as_str(), conversation.sid().as_str(), index);
    decision.batch.put(key, record.encode());
    decision.next.head.messages = Mark::ThisWrite;
    Ok((finish(decision), record))
}

/// A message goes; its index is never used again, and what is queued for it finds it gone. What is known of its sends
/// goes later, in pages.
pub fn remove_message(
    context: &Context<'_>,
    conversation: &Conversation,
    index: u64,
    record: &MessageRecord,
) -> Result<Decision, RelayError> {
    require_open(conversation)?;
    let account = context.account.as_str();
    let own = conversation.sid().as_str();
    let mut decision = begin(context, conversation);
    decision.batch.delete(tables::message(account, own, index));
    decision.batch.delete(tables::message_sid(account, own, record.sid.as_str()));
    if !record.deliveries.is_empty() {
        let name = cleanup::message_name(conversation.sid(), index);
        cleanup::enqueue(context, &mut decision, &name);
    }
    if let Some(source) = &record.source {
        // The id stays known, so that the provider's repeat does not bring the message back.
        let key = tables::provider_id(account, &source.kind, &source.proxy, &source.id);
        decision.batch.put(key, ProviderIdRow::Event.encode());
    }
    for media in &record.media {
        media::remove(&mut decision.batch, context.account, &conversation.head.service, media);
    }
    decision.batch.put(tables::tombstone(account, own, b'M', &index.to_be_bytes()), bytes::Bytes::new());
    decision.next.head.messages = Mark::ThisWrite;
    Ok(finish(decision))
}

#[cfg(test)]
#[path = "messages_test.rs"]
mod tests;
