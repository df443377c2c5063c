//! Messages over the API: posted, read, changed, removed; and their receipts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::announce::Cause;
use crate::ledger::engine::Snapshot;
use crate::ledger::key::Range;
use crate::ledger::{tables, typed};
use crate::model::{
    AccountSid, Compact, Conversation, DeliverySummary, Event, MessageRecord, MessageSid, ReceiptRecord,
    ReceiptSid, ServiceSid,
};
use crate::relay::asking::Whose;
use crate::relay::command::{MessageChange, MessageView, NewMessage};
use crate::relay::decide;
use crate::relay::decide::groups;
use crate::relay::{Relay, RelayError};

impl Relay {
    pub async fn post_message(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        mut new: NewMessage,
        cause: Cause,
    ) -> Result<(Arc<Conversation>, MessageView), RelayError> {
        let current = self.conversation(account, service, name).await?;
        self.ask_message_add(Whose { account, service, cause }, &current, &mut new).await?;
        let new = &new;
        let posted = self
            .change(account, current.sid().as_str(), cause, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                groups::may_post(conversation, conversation.author(&new.author))?;
                let media = self.attachments(account, service, &new.media).await?;
                let draft = decide::messages::draft_of(conversation, new.clone(), media);
                let (decision, mut appended) = decide::messages::append(context, conversation, vec![draft])?;
                Ok((Some(decision), appended.pop()))
            })
            .await?;
        let (index, record) = posted.1.ok_or(RelayError::MessageNotFound)?;
        let delivery = DeliverySummary::of(&vec![None; record.deliveries.len()]);
        Ok((posted.0, MessageView { index, record, delivery }))
    }

    /// Messages of a conversation from beyond an index, in either order.
    pub async fn messages(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        descending: bool,
        beyond: Option<u64>,
        limit: usize,
    ) -> Result<(Arc<Conversation>, Vec<MessageView>), RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let (account, sid) = (account.as_str(), conversation.sid().as_str());
        let snapshot = self.ledger.snapshot();
        let rows = page(&*snapshot, account, sid, descending, beyond, limit).await?;
        let mut views = Vec::with_capacity(rows.len());
        for (index, record) in rows {
            views.push(view(&*snapshot, account, sid, index, record).await?);
        }
        Ok((conversation, views))
    }

    pub async fn message(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        message: &str,
    ) -> Result<(Arc<Conversation>, MessageView), RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let snapshot = self.ledger.snapshot();
        let (account, sid) = (account.as_str(), conversation.sid().as_str());
        let (index, record) = find(&*snapshot, account, sid, message).await?;
        let view = view(&*snapshot, account, sid, index, record).await?;
        Ok((conversation, view))
    }

    pub async fn update_message(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        message: &str,
        mut change: MessageChange,
        cause: Cause,
    ) -> Result<(Arc<Conversation>, MessageView), RelayError> {
        let current = self.conversation(account, service, name).await?;
        let (sid, whose) = (current.sid().as_str(), Whose { account, service, cause });
        if self.asks(whose, Event::MessageUpdate) {
            let (index, record) = find(&*self.ledger.snapshot(), account.as_str(), sid, message).await?;
            self.ask_message_update(whose, &current, (index, &record), &mut change).await?;
        }
        let change = &change;
        self.change(account, sid, cause, |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            // Every change of a message bumps the head, so the head's check covers the row just read.
            let (index, record) = find(&*self.ledger.snapshot(), account.as_str(), sid, message).await?;
            if !record.media.is_empty() && !change.body.is_keep() {
                return Err(RelayError::MediaBodyFixed);
            }
            if let Some(author) = &change.author {
                groups::may_post(conversation, conversation.author(author))?;
            }
            let (decision, _) =
                decide::messages::change_message(context, conversation, index, &record, change.clone())?;
            Ok((Some(decision), ()))
        })
        .await?;
        self.message(account, service, sid, message).await
    }

    pub async fn delete_message(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        message: &str,
        cause: Cause,
    ) -> Result<(), RelayError> {
        let current = self.conversation(account, service, name).await?;
        let (sid, whose) = (current.sid().as_str(), Whose { account, service, cause });
        if self.asks(whose, Event::MessageRemove) {
            let (index, record) = find(&*self.ledger.snapshot(), account.as_str(), sid, message).await?;
            self.ask_message_remove(whose, &current, (index, &record)).await?;
        }
        self.change(account, sid, cause, |conversation, context| async move {
            let (conversation, context) = (&*conversation, &context);
            let (index, record) = find(&*self.ledger.snapshot(), account.as_str(), sid, message).await?;
            Ok((Some(decide::messages::remove_message(context, conversation, index, &record)?), ()))
        })
        .await?;
        Ok(())
    }

    /// The receipts of a message, one per delivery and in their order, whether or not anything is known yet.
    pub async fn receipts(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        message: &str,
    ) -> Result<(Arc<Conversation>, MessageView, Vec<ReceiptRecord>), RelayError> {
        let conversation = self.conversation(account, service, name).await?;
        let snapshot = self.ledger.snapshot();
        let (account, sid) = (account.as_str(), conversation.sid().as_str());
        let (index, record) = find(&*snapshot, account, sid, message).await?;
        let mut known = known(&*snapshot, account, sid, index).await?;
        let receipts = record
            .deliveries
            .iter()
            .map(|delivery| {
                known.remove(&delivery.receipt).unwrap_or_else(|| {
                    let (sid, participant) = (delivery.receipt.clone(), delivery.participant.clone());
                    ReceiptRecord::new(sid, participant, record.created)
                })
            })
            .collect();
        let view = view(&*snapshot, account, sid, index, record).await?;
        Ok((conversation, view, receipts))
    }
}

/// Messages from beyond an index, in either order, each with its own.
pub(in crate::relay) async fn page(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    descending: bool,
    beyond: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, MessageRecord)>, RelayError> {
    let prefix = tables::messages(account, conversation);
    let place = |index| tables::message(account, conversation, index);
    let range = match (descending, beyond) {
        (false, None) => Range::prefix(&prefix),
        (false, Some(index)) => Range::after(&prefix, &place(index)),
        (true, None) => Range::prefix(&prefix).reversed(),
        (true, Some(index)) => Range::until(&prefix, &place(index)).reversed(),
    };
    let rows = snapshot.scan(range, limit).await?;
    let numbered = rows.into_iter().filter_map(|(key, row)| Some((tables::message_index(&key)?, row)));
    let read = |(index, row): (u64, crate::ledger::engine::Row)| {
        Ok((index, MessageRecord::decode(&row.payload).map_err(crate::ledger::LedgerError::from)?))
    };
    numbered.map(read).collect()
}

pub(in crate::relay) async fn find(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    message: &str,
) -> Result<(u64, MessageRecord), RelayError> {
    let sid = MessageSid::parse(message).ok_or(RelayError::MessageNotFound)?;
    if let Some(index) = sid.likely_index()
        && let Some(row) = typed::message(snapshot, account, conversation, index).await?
        && row.record.sid == sid
    {
        return Ok((index, row.record));
    }
    // One that was brought from elsewhere, or made before SIDs led to their place.
    let place = snapshot.get(&tables::message_sid(account, conversation, message)).await?;
    let index = place.and_then(|row| Some(u64::from_be_bytes(row.payload.as_ref().try_into().ok()?)));
    let index = index.ok_or(RelayError::MessageNotFound)?;
    let row = typed::message(snapshot, account, conversation, index).await?;
    Ok((index, row.ok_or(RelayError::MessageNotFound)?.record))
}

pub(in crate::relay) async fn known(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    index: u64,
) -> Result<HashMap<ReceiptSid, ReceiptRecord>, RelayError> {
    let rows = typed::receipts(snapshot, account, conversation, index).await?;
    Ok(rows.into_iter().map(|row| (row.record.sid.clone(), row.record)).collect())
}

pub(in crate::relay) async fn view(
    snapshot: &dyn Snapshot,
    account: &str,
    conversation: &str,
    index: u64,
    record: MessageRecord,
) -> Result<MessageView, RelayError> {
    if record.deliveries.is_empty() {
        return Ok(MessageView { index, record, delivery: None });
    }
    let known = known(snapshot, account, conversation, index).await?;
    let statuses: Vec<_> = record
        .deliveries
        .iter()
        .map(|delivery| known.get(&delivery.receipt).and_then(|receipt| receipt.status))
        .collect();
    let delivery = DeliverySummary::of(&statuses);
    Ok(MessageView { index, record, delivery })
}
