//! Files as the ledger knows them: whose they are, which content they need, and which message carries them. The bytes
//! are the media room's.

use super::decide::Context;
use super::{ATTEMPTS, Relay, RelayError};
use crate::announce;
use crate::ledger::engine::{Batch, CommitError, Revision};
use crate::ledger::typed::{self, Stored};
use crate::ledger::{LedgerError, tables};
use crate::model::{
    AccountSid, ContentHash, ConversationSid, Json, MediaCategory, MediaRecord, MediaSid, MessageMedia,
    MessageSid, ServiceSid,
};

/// A file to be. Its content is stored already, and is kept from the sweep until the record is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMedia {
    pub content: ContentHash,
    /// Bytes.
    pub size: u64,
    pub content_type: String,
    pub filename: Option<String>,
    pub category: MediaCategory,
    pub author: String,
}

/// A file on its way into a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub record: MediaRecord,
    /// The number of its row; none where the row comes with the message.
    pub stored: Option<Revision>,
}

/// Most writes that one attachment costs its message.
pub const WRITES_PER_ATTACHMENT: usize = 3;

impl Relay {
    /// The record of a file to be, before it is anywhere: for [`Relay::keep_media`], or to come with its message.
    pub fn new_media(&self, service: &ServiceSid, new: NewMedia) -> MediaRecord {
        let now = self.clock.now();
        MediaRecord {
            sid: MediaSid::new(&self.mint),
            service: service.clone(),
            content: new.content,
            size: new.size,
            content_type: new.content_type,
            filename: new.filename,
            category: new.category,
            author: new.author,
            created: now,
            updated: now,
            conversation: None,
            message: None,
            rest: serde_json::Map::new(),
        }
    }

    /// Writes down a file that no message carries yet.
    pub async fn keep_media(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewMedia,
    ) -> Result<MediaRecord, RelayError> {
        let record = self.new_media(service, new);
        let place = tables::service(account.as_str(), service.as_str());
        for _ in 0..ATTEMPTS {
            // Its row is checked: else the file of a service that goes in this moment would stay for ever.
            let found = self.ledger.snapshot().get(&place).await?.ok_or(RelayError::ServiceNotFound)?;
            let mut batch = Batch { intake: true, ..Batch::default() };
            batch.at(place.clone(), found.changed);
            insert(&mut batch, account, &record);
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// A file of a service.
    pub async fn media(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<MediaRecord, RelayError> {
        let stored = self.stored_media(account, sid).await?;
        let record = stored.record;
        if record.service == *service { Ok(record) } else { Err(RelayError::MediaNotFound) }
    }

    /// A file by its name alone, for links: whoever made one was allowed to.
    pub async fn linked_media(&self, account: &AccountSid, sid: &str) -> Result<MediaRecord, RelayError> {
        Ok(self.stored_media(account, sid).await?.record)
    }

    async fn stored_media(&self, account: &AccountSid, sid: &str) -> Result<Stored<MediaRecord>, RelayError> {
        let sid = MediaSid::parse(sid).ok_or(RelayError::MediaNotFound)?;
        let key = tables::media(account.as_str(), sid.as_str());
        typed::json(&*self.ledger.snapshot(), &key).await?.ok_or(RelayError::MediaNotFound)
    }

    /// Removes a file. A message that carries it still names it; there is nothing to be had under the name any more.
    pub async fn delete_media(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<(), RelayError> {
        for _ in 0..ATTEMPTS {
            let Stored { record, changed, .. } = self.stored_media(account, sid).await?;
            if record.service != *service {
                return Err(RelayError::MediaNotFound);
            }
            let mut batch = Batch::default();
            batch.at(tables::media(account.as_str(), sid), changed);
            remove(&mut batch, account, service, &record.named());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Adds what removes a file to a batch, if it is still there.
    pub(super) async fn remove_media(
        &self,
        account: &AccountSid,
        sid: &str,
        batch: &mut Batch,
    ) -> Result<(), RelayError> {
        match self.stored_media(account, sid).await {
            Ok(Stored { record, .. }) => remove(batch, account, &record.service, &record.named()),
            Err(RelayError::MediaNotFound) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Whether the disk is so full that nothing new comes in.
    pub fn full(&self) -> bool {
        self.ledger.health().full
    }

    /// Whether anybody needs a stored content, of whichever account.
    pub async fn content_needed(&self, content: &ContentHash) -> Result<bool, LedgerError> {
        let range = crate::ledger::key::Range::prefix(&tables::media_contents(content));
        Ok(!self.ledger.snapshot().scan(range, 1).await?.is_empty())
    }

    /// The files a message is to carry, as they stand now: of this service, and free.
    pub(super) async fn attachments(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sids: &[MediaSid],
    ) -> Result<Vec<Attachment>, RelayError> {
        let mut attachments = Vec::with_capacity(sids.len());
        for sid in sids {
            let Stored { record, changed, .. } = self.stored_media(account, sid.as_str()).await?;
            // Whether another service has it is nobody's business here.
            if record.service != *service {
                return Err(RelayError::MediaNotFound);
            }
            if record.message.is_some() {
                return Err(RelayError::MediaTaken);
            }
            attachments.push(Attachment { record, stored: Some(changed) });
        }
        Ok(attachments)
    }
}

/// What webhooks are told of files before their message is one, as JSON text.
pub(super) fn told(attachments: &[Attachment]) -> Option<String> {
    let named: Vec<MessageMedia> = attachments.iter().map(|one| one.record.named()).collect();
    announce::media(&[], &named)
}

/// Writes that bind a file to its message. Whoever else wants it meets the check.
pub(super) fn attach(
    context: &Context<'_>,
    batch: &mut Batch,
    attachment: Attachment,
    conversation: &ConversationSid,
    message: &MessageSid,
) -> MessageMedia {
    let Attachment { mut record, stored } = attachment;
    record.conversation = Some(conversation.clone());
    record.message = Some(message.clone());
    record.updated = context.now;
    let named = record.named();
    match stored {
        Some(revision) => {
            let key = tables::media(context.account.as_str(), record.sid.as_str());
            batch.at(key.clone(), revision);
            batch.put(key, record.encode());
        }
        None => insert(batch, context.account, &record),
    }
    named
}

fn insert(batch: &mut Batch, account: &AccountSid, record: &MediaRecord) {
    let (account, sid, none) = (account.as_str(), record.sid.as_str(), bytes::Bytes::new);
    batch.insert(tables::media(account, sid), record.encode());
    batch.insert(tables::media_of_service(account, record.service.as_str(), sid), none());
    batch.insert(tables::media_content(&record.content, account, sid), none());
}

/// Deletes all rows of a file; its content goes with the next sweep, unless others need it.
pub(super) fn remove(batch: &mut Batch, account: &AccountSid, service: &ServiceSid, media: &MessageMedia) {
    let (account, sid) = (account.as_str(), media.sid.as_str());
    batch.delete(tables::media(account, sid));
    batch.delete(tables::media_of_service(account, service.as_str(), sid));
    batch.delete(tables::media_content(&media.content, account, sid));
}
