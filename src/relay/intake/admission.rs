//! Out of the inbox: whoever's turn has come is asked about, has their files fetched, and joins the conversation.
//!
//! A row is deleted after what it led to was committed. One that is worked on again after a crash finds the provider's id
//! known and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use trunkline_adapter::{Echo, Inbound, InboundMessage, Timestamp};

use super::events::{Touch, edited};
use super::fetching::{Complete, Gathered, Parcel};
use super::inbox::{InboxRow, Writer, writer};
use super::messages::takes;
use super::opting::Opting;
use super::{Origin, remember};
use crate::announce::{self, Cause};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables;
use crate::model::{AccountSid, ConversationSid, message};
use crate::relay::after::After;
use crate::relay::asking::{Amended, Said, Whose};
use crate::relay::media::Attachment;
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};
use crate::work::{Queue, Taken, Window};

/// Conversations looked at together.
const WINDOW: usize = 1024;
/// Events that are worked on at once: as many as there are conversations in the window, since some wait long for files or
/// for an answer, and nobody else should.
const MOST_OPEN: usize = WINDOW;
/// After a failure an event is tried again a little later.
const AGAIN: Duration = Duration::from_secs(5);
/// Why something is among what could not be read.
const REFUSED: &str = "refused by a pre-action webhook";

/// How an event came that waited.
struct Came {
    since: Timestamp,
    heard: bool,
    writer: Option<Writer>,
}

impl Relay {
    /// Works through the inbox of an account: conversations side by side, each in its order; runs until dropped, and
    /// sleeps while there is nothing.
    pub async fn work_through_inbox(self: Arc<Relay>, account: AccountSid) {
        let lane = account.as_str();
        let woken = self.wakeups.register(Queue::Inbox, lane);
        let window = Window::open(self.ledger.clone(), self.clock, lane, Queue::Inbox, lane, WINDOW);
        let (mut window, mut open) = (window.uncounted(), FuturesUnordered::new());
        loop {
            window.told(woken.take());
            let mut due = None;
            while open.len() < MOST_OPEN {
                match window.next().await {
                    Ok(Some(taken)) => open.push(self.work_on(&account, taken)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, "The inbox cannot be read");
                        due = Some(AGAIN);
                        break;
                    }
                }
            }
            let due = due.or_else(|| window.next_due().map(|due| due.since(self.clock.now())));
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((taken, done)) = open.next(), if !open.is_empty() => {
                    let taken: Taken = taken;
                    match done {
                        None => {
                            self.inbox.remove(&taken.subject, 1);
                            window.done(&taken.subject);
                        }
                        Some(pause) => {
                            let due = self.clock.now().plus(pause);
                            window.put_back(&taken.subject, taken.job, Some(due));
                        }
                    }
                }
                () = woken.told() => {}
                () = sleep => {}
            }
        }
    }

    /// Works on one row; says after which pause it is to be looked at again, if it is.
    async fn work_on(&self, account: &AccountSid, taken: Taken) -> (Taken, Option<Duration>) {
        failpoint!("inbox::taken");
        let worked = match serde_json::from_slice::<InboxRow>(&taken.job.payload) {
            Ok(row) => {
                let origin = Origin { adapter: &row.adapter, kind: &row.kind, account };
                let came = Came { since: taken.job.since, heard: row.heard, writer: row.writer };
                self.admit(origin, &taken.subject, row.event, came).await
            }
            Err(error) => {
                tracing::error!(%error, conversation = %taken.subject, "A row of the inbox cannot be read and is dropped");
                Ok(None)
            }
        };
        let worked = match worked {
            Ok(None) => {
                let mut batch = Batch::default();
                batch.delete(taken.key.clone());
                let deleted = self.ledger.commit(batch).await.map(|_| None).map_err(RelayError::from);
                self.partly.forget(&taken.subject);
                failpoint!("inbox::done");
                deleted
            }
            other => other,
        };
        let again = worked.unwrap_or_else(|error| {
            tracing::warn!(%error, conversation = %taken.subject, "What came in is looked at again later");
            Some(AGAIN)
        });
        (taken, again)
    }

    /// Takes one event whose turn has come; says how long it must wait if it cannot be taken yet.
    async fn admit(
        &self,
        origin: Origin<'_>,
        sid: &str,
        event: Inbound,
        came: Came,
    ) -> Result<Option<Duration>, RelayError> {
        let message = match event {
            Inbound::Message(message) => message,
            event => return self.admit_event(origin, sid, event, came.since).await,
        };
        let own = tables::provider_id(origin.account.as_str(), origin.kind, &message.to, &message.id);
        if self.ledger.snapshot().get(&own).await?.is_some() {
            inbound(origin.adapter, InboundOutcome::Duplicate);
            return Ok(None);
        }
        let Some(conversation) = ConversationSid::parse(sid) else {
            Box::pin(self.find_again(origin, message, true)).await?;
            return Ok(None);
        };
        let whole = message.clone();
        let parcel = Parcel {
            subject: sid,
            id: &whole.id,
            proxy: &whole.to,
            author: &whole.from.address,
            parts: &whole.parts,
            since: came.since,
        };
        let (parts, media) = match self.with_files(origin, &parcel).await? {
            Gathered::Complete(complete) => (complete.parts, complete.media),
            Gathered::Later(pause) => return Ok(Some(pause)),
        };
        let message = InboundMessage { parts, ..message };
        let asked = {
            let _turn = self.inbox.asking.acquire().await;
            self.ask_inbound(origin, sid, &message, &media, &came).await
        };
        let mut amended = match asked {
            Ok(amended) => amended,
            Err(RelayError::Vetoed | RelayError::Improper(_)) => {
                self.refuse(origin, message, came.heard).await?;
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        amended.media = media;
        (amended.accepted, amended.heard, amended.writer) = (Some(came.since), came.heard, came.writer);
        failpoint!("inbox::fetched");
        let fates = self.append_inbound(origin, &conversation, vec![message], Some(&amended)).await?;
        for fate in fates {
            if self.follow_up(origin, &conversation, fate).await.is_some() {
                // It was closed before this came, or is gone; or nobody knows who wrote it.
                Box::pin(self.find_again(origin, whole.clone(), true)).await?;
            }
        }
        Ok(None)
    }

    /// Takes an event that is no message; says how long it must wait if it cannot be taken yet.
    async fn admit_event(
        &self,
        origin: Origin<'_>,
        sid: &str,
        event: Inbound,
        since: Timestamp,
    ) -> Result<Option<Duration>, RelayError> {
        let binding = match super::pair(&event) {
            Some((proxy, person)) => self.bound_person(origin.account, proxy, person).await?,
            None => None,
        };
        let binding = binding.as_ref();
        let (id, of, from, to, parts) = match &event {
            Inbound::Edit { id, of, from, to, parts, .. } => (id, of, from, to, parts),
            Inbound::Echo(echo) if self.brings_files(origin, echo).await? => {
                let author = &echo.from;
                let parcel =
                    Parcel { subject: sid, id: &echo.id, proxy: author, author, parts: &echo.parts, since };
                return Ok(match self.with_files(origin, &parcel).await? {
                    Gathered::Complete(Complete { parts, media }) => {
                        let echo = Echo { parts, ..echo.clone() };
                        self.join_echo(origin, binding, &echo, &media).await?;
                        None
                    }
                    Gathered::Later(pause) => Some(pause),
                });
            }
            _ => return self.take_event(origin, binding, event).await.map(|()| None),
        };
        let (touch, mut change) = (Touch { id, of, from, to }, edited(parts));
        let asked = {
            let _turn = self.inbox.asking.acquire().await;
            self.ask_edit(origin, sid, touch, &mut change).await
        };
        match asked {
            Ok(()) => self.take_edit(origin, binding, touch, &change).await,
            Err(RelayError::Vetoed | RelayError::Improper(_)) => {
                self.refuse_edit(origin, touch, json!({ "edit": event })).await
            }
            Err(other) => Err(other),
        }
        .map(|()| None)
    }

    /// What is said with the files it refers to, where there is still a conversation to say it in.
    async fn with_files(&self, origin: Origin<'_>, parcel: &Parcel<'_>) -> Result<Gathered, RelayError> {
        if self.waits_for_files(parcel.parts)
            && let Some(current) = self.load(origin.account, parcel.subject).await?
        {
            return self.gather(origin, &current.head.service, parcel).await;
        }
        Ok(Gathered::Complete(Complete { parts: parcel.parts.to_vec(), media: Vec::new() }))
    }

    async fn ask_inbound(
        &self,
        origin: Origin<'_>,
        sid: &str,
        message: &InboundMessage,
        media: &[Attachment],
        came: &Came,
    ) -> Result<Amended, RelayError> {
        let Some(current) = self.load(origin.account, sid).await? else { return Ok(Amended::default()) };
        let accepted = Amended { accepted: Some(came.since), ..Amended::default() };
        let bound = current.bound(&message.to, &message.from).and_then(writer);
        let written = bound.or_else(|| came.writer.clone()).filter(|_| takes(&current, Some(&accepted)));
        // Who was never in it has nothing to say here.
        let Some(Writer { participant, address }) = written else { return Ok(Amended::default()) };
        let body = message::body(&message.parts);
        let cause = Cause::channel(&message.to);
        let whose = Whose { account: origin.account, service: &current.head.service, cause };
        let said = Said {
            body: body.as_deref(),
            author: address.as_str(),
            participant: Some(participant.as_str()),
            attributes: None,
            media: crate::relay::media::told(media).or_else(|| announce::media(&message.parts, &[])),
        };
        self.ask_message(whose, &current, &said).await
    }

    /// A change that was refused: kept with what cannot be read, and remembered, so that its repeat changes nothing.
    async fn refuse_edit(
        &self,
        origin: Origin<'_>,
        touch: Touch<'_>,
        raw: serde_json::Value,
    ) -> Result<(), RelayError> {
        self.keep(origin, REFUSED, raw).await?;
        let own = tables::provider_id(origin.account.as_str(), origin.kind, touch.to, touch.id);
        let mut batch = Batch::default();
        remember(&mut batch, own);
        match self.commits.commit(origin.account, batch, After::default()).await {
            // The only check there is: it is known already.
            Ok(()) | Err(CommitError::Conflict(_)) => {}
            Err(other) => return Err(other.into()),
        }
        inbound(origin.adapter, InboundOutcome::Refused);
        Ok(())
    }

    /// A message that was refused: kept with what cannot be read, and remembered, so that its repeat changes nothing. A
    /// keyword in it counts all the same: nobody may veto that somebody opts out.
    pub(in crate::relay) async fn refuse(
        &self,
        origin: Origin<'_>,
        message: InboundMessage,
        heard: bool,
    ) -> Result<(), RelayError> {
        self.keep(origin, REFUSED, json!({ "message": message })).await?;
        let account = origin.account;
        let own = tables::provider_id(account.as_str(), origin.kind, &message.to, &message.id);
        for _ in 0..ATTEMPTS {
            let (mut batch, mut after) = (Batch::default(), After::default());
            remember(&mut batch, own.clone());
            if !heard && let Some(asked) = self.asked(account, &message.to, &message.parts) {
                let (snapshot, mut opting) = (self.ledger.snapshot(), Opting::default());
                let pair = (&message.to, &message.from.address);
                opting.hear(&*snapshot, account, pair, asked, &message.id).await?;
                opting.write(&self.context(account, false), &mut batch, &mut after);
            }
            match self.commits.commit(account, batch, after).await {
                Ok(()) => {
                    inbound(origin.adapter, InboundOutcome::Refused);
                    return Ok(());
                }
                Err(CommitError::Conflict(key)) if key == own => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}
