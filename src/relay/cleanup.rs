//! What belonged to removed messages, conversations and services goes, in pages, and survives a crash half-way: the job
//! is done when nothing of it is left. Until then nobody sees any of it: a head says "deleted" from the first moment, and
//! nobody finds receipts but by their message. Receipts take the ids of our sends along; ids of what came in stay.

use std::sync::Arc;

use trunkline_adapter::Timestamp;

use super::decide::cleanup::LANE;
use super::{Relay, RelayError};
use crate::announce::Cause;
use crate::ledger::engine::{Batch, CommitError, MAX_WRITES};
use crate::ledger::key::{Key, Range, Space};
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    AccountSid, Binding, Compact, ConversationSid, Head, Json, Leaving, MessageRecord, ParticipantRecord,
    PersonRow, ProviderIdRow, ReceiptRecord, ServiceSid, UserSid, Via,
};
use crate::work::{Queue, Taken, Window};

/// Subjects looked at together.
const WINDOW: usize = 16;
/// Rows read at a time; each may cost a few writes.
const PAGE: usize = 50;
/// After a failure the job is tried again a little later.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

impl Relay {
    /// Does the clean-up work of an account; runs until dropped, and sleeps while there is none.
    pub async fn clean_up(self: Arc<Relay>, account: AccountSid) {
        let woken = self.wakeups.register(Queue::Cleanup, account.as_str());
        let ledger = self.ledger.clone();
        let window = Window::open(ledger, self.clock, account.as_str(), Queue::Cleanup, LANE, WINDOW);
        let mut window = window.uncounted();
        loop {
            window.told(woken.take());
            match window.next().await {
                Ok(Some(taken)) => self.clean(&account, &mut window, taken).await,
                Ok(None) => {
                    let due: Option<Timestamp> = window.next_due();
                    let sleep = async {
                        match due {
                            Some(due) => tokio::time::sleep(due.since(self.clock.now())).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        biased;
                        () = woken.told() => {}
                        () = sleep => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "Clean-up work cannot be read");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn clean(&self, account: &AccountSid, window: &mut Window, taken: Taken) {
        // The subject is the name too, and is there even when the rest of the row cannot be read.
        let name = taken.subject.to_string();
        let cleaned = if ServiceSid::parse(&name).is_some() {
            self.clean_service(account, &name, &taken.key).await
        } else if UserSid::parse(&name).is_some() {
            self.clean_user(account, &taken.job.payload, &taken.key).await
        } else if let Some((conversation, index)) = name.split_once('/') {
            self.clean_message(account, conversation, index, &taken.key).await
        } else {
            self.clean_conversation(account, &name, &taken.key).await
        };
        match cleaned {
            Ok(()) => window.done(&taken.subject),
            Err(error) => {
                tracing::warn!(%name, %error, "Clean-up goes on later");
                let due = self.clock.now().plus(AGAIN);
                window.put_back(&taken.subject, taken.job, Some(due));
            }
        }
    }

    /// Every conversation of a removed service is removed like any other.
    async fn clean_service(&self, account: &AccountSid, name: &str, job: &Key) -> Result<(), RelayError> {
        let Some(service) = ServiceSid::parse(name) else { return Ok(()) };
        loop {
            let range = Range::prefix(&tables::conversation_list(account.as_str(), name));
            let rows = self.ledger.snapshot().scan(range, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for (place, row) in rows {
                let sid = String::from_utf8_lossy(&row.payload).into_owned();
                match self.delete_conversation(account, &service, &sid, Cause::house()).await {
                    Ok(()) => {}
                    // Only its place in the list is left.
                    Err(RelayError::ConversationNotFound) => {
                        let mut batch = Batch::default();
                        batch.delete(place);
                        self.ledger.commit(batch).await?;
                    }
                    Err(other) => return Err(other),
                }
            }
        }
        self.clean_media(account, name).await?;
        // Conversations are gone, so nobody joins and no user is born; the service's row is gone, so nothing else is.
        let spaces = [
            Space::User,
            Space::UserIdentity,
            Space::PushBinding,
            Space::Role,
            Space::ServiceSettings,
            Space::Listed,
            Space::Departure,
        ];
        for space in spaces {
            loop {
                let range = Range::prefix(&Key::new(account.as_str(), name, space, b""));
                let rows = self.ledger.snapshot().scan(range, MAX_WRITES).await?;
                if rows.is_empty() {
                    break;
                }
                let mut batch = Batch::default();
                for (key, _) in rows {
                    batch.delete(key);
                }
                failpoint!("cleanup::before-service-page");
                self.ledger.commit(batch).await?;
            }
        }
        self.finish_cleaning(Batch::default(), job).await
    }

    /// The files of a removed service that no message carried.
    async fn clean_media(&self, account: &AccountSid, service: &str) -> Result<(), RelayError> {
        loop {
            let prefix = tables::media_of_services(account.as_str(), service);
            let rows = self.ledger.snapshot().scan(Range::prefix(&prefix), PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::default();
            for (key, _) in rows {
                let sid = key.rest().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
                self.remove_media(account, &sid, &mut batch).await?;
                batch.delete(key);
            }
            failpoint!("cleanup::before-media-page");
            self.ledger.commit(batch).await?;
        }
    }

    /// A removed user leaves every conversation they were in; who joined later under the same identity stays.
    ///
    /// The job was written with the removal, whose number lies above the births of all who had joined by then; whoever
    /// joined afterwards was made again, since the identity's row had gone, and was born above it.
    async fn clean_user(&self, account: &AccountSid, payload: &[u8], job: &Key) -> Result<(), RelayError> {
        let leaving = Leaving::decode(payload).map_err(LedgerError::from)?;
        let Some(removal) = self.ledger.snapshot().get(job).await?.map(|row| row.created) else {
            return Ok(());
        };
        let name = tables::identity_name(&leaving.identity);
        let prefix = tables::persons(account.as_str(), &name);
        let mut range = Range::prefix(&prefix);
        loop {
            let page = typed::json_page::<PersonRow>(&*self.ledger.snapshot(), range, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            range = Range::after(&prefix, last);
            for (_, row) in page.iter().filter(|(_, row)| row.record.service == leaving.service) {
                let PersonRow { conversation, participant, .. } = &row.record;
                let found = self.load(account, conversation.as_str()).await?;
                let member = found.as_ref().and_then(|found| found.member(participant));
                let theirs = member.is_some_and(|member| {
                    member.record.identity.as_ref() == Some(&leaving.identity)
                        && member.record.birth < removal
                });
                if !theirs {
                    continue;
                }
                failpoint!("cleanup::before-leaving");
                match self.withdraw(account, conversation, participant).await {
                    // Somebody else was faster.
                    Ok(()) | Err(RelayError::ConversationNotFound | RelayError::ParticipantNotFound) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        // Nobody asks any more what the user left; whoever comes under the same identity begins anew.
        let prefix = tables::departures(account.as_str(), leaving.service.as_str(), &leaving.identity);
        let mut range = Range::prefix(&prefix);
        loop {
            let rows = self.ledger.snapshot().scan(range, MAX_WRITES).await?;
            let Some((last, _)) = rows.last() else { break };
            range = Range::after(&prefix, last);
            let mut batch = Batch::default();
            for (key, row) in rows.into_iter().filter(|(_, row)| row.changed < removal) {
                batch.at(key.clone(), row.changed);
                batch.delete(key);
            }
            // One that was written anew in this moment is of somebody who came back.
            self.written(&mut batch).await?;
        }
        self.finish_cleaning(Batch::default(), job).await
    }

    async fn clean_conversation(&self, account: &AccountSid, sid: &str, job: &Key) -> Result<(), RelayError> {
        let Some(conversation) = ConversationSid::parse(sid) else {
            return self.finish_cleaning(Batch::default(), job).await;
        };
        let head =
            typed::compact::<Head>(&*self.ledger.snapshot(), &tables::head(account.as_str(), sid)).await?;
        let service = head.map(|head| head.record.service);
        let spaces = [
            Space::Participant,
            Space::Message,
            Space::MessageIndex,
            Space::Receipt,
            Space::Tombstone,
            Space::Conversation,
        ];
        for space in spaces {
            let prefix = Key::new(account.as_str(), sid, space, b"");
            self.remove_rows(account, &conversation, service.as_ref(), space, &prefix).await?;
        }
        let mut last = Batch::default();
        last.delete(tables::head(account.as_str(), sid));
        self.finish_cleaning(last, job).await
    }

    /// The receipts of a removed message.
    async fn clean_message(
        &self,
        account: &AccountSid,
        conversation: &str,
        index: &str,
        job: &Key,
    ) -> Result<(), RelayError> {
        if let (Some(sid), Ok(index)) = (ConversationSid::parse(conversation), index.parse()) {
            let prefix = tables::receipts(account.as_str(), conversation, index);
            self.remove_rows(account, &sid, None, Space::Receipt, &prefix).await?;
        }
        self.finish_cleaning(Batch::default(), job).await
    }

    /// Removes the rows of a space, and what only they name. Where somebody changed one of them in this moment, the page
    /// is read again.
    async fn remove_rows(
        &self,
        account: &AccountSid,
        conversation: &ConversationSid,
        service: Option<&ServiceSid>,
        space: Space,
        prefix: &Key,
    ) -> Result<(), RelayError> {
        'page: loop {
            let rows = self.ledger.snapshot().scan(Range::prefix(prefix), PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::default();
            for (key, row) in rows {
                match space {
                    Space::Participant => {
                        let record = ParticipantRecord::decode(&row.payload).map_err(LedgerError::from)?;
                        self.free(account, conversation, &record, &mut batch).await?;
                        self.depart(account, conversation, service, &record, &mut batch).await?;
                    }
                    Space::Message => {
                        let record = MessageRecord::decode(&row.payload).map_err(LedgerError::from)?;
                        if let Some(source) = &record.source {
                            let (kind, proxy) = (source.kind.as_str(), &source.proxy);
                            // Kept as an event: a provider's repeat, however much later, is still one.
                            let key = tables::provider_id(account.as_str(), kind, proxy, &source.id);
                            batch.put(key, ProviderIdRow::Event.encode());
                        }
                        for media in &record.media {
                            self.remove_media(account, media.sid.as_str(), &mut batch).await?;
                        }
                    }
                    Space::Receipt => {
                        let record = ReceiptRecord::decode(&row.payload).map_err(LedgerError::from)?;
                        // An outcome or a status that comes in this moment brings another id along.
                        batch.at(key.clone(), row.changed);
                        let named = |id: &String| {
                            let Via { kind, proxy } = record.via.as_ref()?;
                            Some(tables::provider_id(account.as_str(), kind, proxy, id))
                        };
                        let names: Vec<Key> = record.ids().filter_map(named).collect();
                        for name in names {
                            batch.delete(name);
                            if batch.writes.len() > MAX_WRITES / 2 {
                                // The receipt goes last of all, so that nothing is forgotten half-way.
                                if !self.written(&mut batch).await? {
                                    continue 'page;
                                }
                                batch.at(key.clone(), row.changed);
                            }
                        }
                    }
                    _ => {}
                }
                batch.delete(key);
                if batch.writes.len() > MAX_WRITES / 2 && !self.written(&mut batch).await? {
                    continue 'page;
                }
            }
            failpoint!("cleanup::before-page");
            self.written(&mut batch).await?;
        }
    }

    /// Commits what was put together. Says whether nobody came in between.
    async fn written(&self, batch: &mut Batch) -> Result<bool, RelayError> {
        match self.ledger.commit(std::mem::take(batch)).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    async fn finish_cleaning(&self, mut batch: Batch, job: &Key) -> Result<(), RelayError> {
        batch.delete(job.clone());
        failpoint!("cleanup::before-end");
        self.ledger.commit(batch).await?;
        Ok(())
    }

    /// A user who was in a removed conversation is told so by what is left in their list; that of a removed service has
    /// nobody to be told.
    async fn depart(
        &self,
        account: &AccountSid,
        conversation: &ConversationSid,
        service: Option<&ServiceSid>,
        record: &ParticipantRecord,
        batch: &mut Batch,
    ) -> Result<(), RelayError> {
        let (Some(service), Some(identity)) = (service, &record.identity) else { return Ok(()) };
        let (account, service) = (account.as_str(), service.as_str());
        let there = self.ledger.snapshot().get(&tables::service(account, service)).await?;
        if there.is_some() {
            let key = tables::departure(account, service, identity, conversation.as_str());
            batch.put(key, bytes::Bytes::new());
        }
        Ok(())
    }

    /// The claims and index entries of a participant, as far as they are still theirs.
    async fn free(
        &self,
        account: &AccountSid,
        conversation: &ConversationSid,
        record: &ParticipantRecord,
        batch: &mut Batch,
    ) -> Result<(), RelayError> {
        for name in super::decide::roster::person_names(record) {
            batch.delete(tables::person(account.as_str(), &name, record.sid.as_str()));
        }
        let Some(binding) = &record.binding else { return Ok(()) };
        for address in std::iter::once(&binding.address).chain(&binding.aliases) {
            let key = tables::binding(account.as_str(), &binding.proxy, address);
            let row = typed::json::<Binding>(&*self.ledger.snapshot(), &key).await?;
            if let Some(row) = row.filter(|row| &row.record.conversation == conversation) {
                batch.at(key.clone(), row.changed);
                batch.delete(key);
            }
        }
        Ok(())
    }
}
