//! What people do to messages that are already there: edit, take back, react; and copies of what left from our side.

use trunkline_adapter::{Address, DeliveryStatus, Echo, Inbound, Part, Person, StatusReport};

use super::{Decided, Origin, remember, source};
use crate::announce::Cause;
use crate::ledger::{tables, typed};
use crate::model::{
    Binding, Conversation, Correlation, Event, MessageRecord, ProviderIdRow, Subject, message,
};
use crate::relay::asking::Whose;
use crate::relay::command::{Change, MessageChange};
use crate::relay::decide::messages::Draft;
use crate::relay::decide::{self, Context};
use crate::relay::media::Attachment;
use crate::relay::{Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};

/// How much of a message a reaction quotes.
const QUOTED: usize = 40;

impl Relay {
    pub(in crate::relay) async fn take_event(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        event: Inbound,
    ) -> Result<(), RelayError> {
        match event {
            // Intake keeps messages apart from the rest.
            Inbound::Message(_) => Ok(()),
            Inbound::Status(report) => self.take_status(origin, report).await,
            Inbound::Watermark { from, to, status, until } => {
                self.take_watermark(origin, binding, (&from, &to), status, until).await
            }
            Inbound::Signal { from, to, signal } => {
                self.take_signal(origin, binding, &from, &to, signal).await
            }
            Inbound::Identity { from, to, now } => {
                self.take_identity(origin, binding, &from, &to, &now).await
            }
            Inbound::Notice { kind, raw } => self.keep_notice(origin, &kind, &raw).await,
            Inbound::Echo(echo) => self.take_echo(origin, binding, echo).await,
            Inbound::Edit { id, of, from, to, parts, .. } => {
                let event = Touch { id: &id, of: &of, from: &from, to: &to };
                self.take_edit(origin, binding, event, &edited(&parts)).await
            }
            Inbound::Deletion { id, of, from, to, .. } => {
                let event = Touch { id: &id, of: &of, from: &from, to: &to };
                self.touch(origin, binding, event, |context, conversation, index, record| {
                    if !wrote(conversation, record, &event) {
                        return Ok((None, InboundOutcome::Unbound));
                    }
                    let decision = decide::messages::remove_message(context, conversation, index, record)?;
                    Ok((Some(decision), InboundOutcome::Accepted))
                })
                .await
            }
            Inbound::Reaction { id, of, from, to, emoji, .. } => {
                let event = Touch { id: &id, of: &of, from: &from, to: &to };
                self.touch(origin, binding, event, |context, conversation, index, record| {
                    // A reaction that is taken back leaves what was already relayed as it is.
                    let Some(emoji) = &emoji else { return Ok((None, InboundOutcome::Accepted)) };
                    let member = conversation.bound(&to, &from);
                    let bound = member.and_then(|member| Some((member, member.record.binding.as_ref()?)));
                    let Some((member, bound)) = bound else { return Ok((None, InboundOutcome::Unbound)) };
                    let draft = Draft {
                        author: bound.address.to_string(),
                        participant: Some(member.record.sid.clone()),
                        has_it: None,
                        body: Some(reaction(emoji, &record.relayed_text())),
                        parts: Vec::new(),
                        attributes: None,
                        created: None,
                        updated: None,
                        source: Some(source(origin, &to, &id)),
                        subject: None,
                        reply_to: Some(index),
                        template: None,
                        media: Vec::new(),
                    };
                    let (decision, _) = decide::messages::append(context, conversation, vec![draft])?;
                    Ok((Some(decision), InboundOutcome::Accepted))
                })
                .await
            }
        }
    }

    /// A writer's change of their own message, perhaps as whoever was asked wants it.
    pub(in crate::relay) async fn take_edit(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        event: Touch<'_>,
        change: &MessageChange,
    ) -> Result<(), RelayError> {
        self.touch(origin, binding, event, |context, conversation, index, record| {
            if !wrote(conversation, record, &event) {
                return Ok((None, InboundOutcome::Unbound));
            }
            let mut change = change.clone();
            if !record.media.is_empty() {
                beside_its_files(&mut change);
            }
            let (decision, _) =
                decide::messages::change_message(context, conversation, index, record, change)?;
            Ok((Some(decision), InboundOutcome::Accepted))
        })
        .await
    }

    /// Asks about a writer's change of their own message. About anything else nobody is asked: it will not be done.
    pub(in crate::relay) async fn ask_edit(
        &self,
        origin: Origin<'_>,
        sid: &str,
        event: Touch<'_>,
        change: &mut MessageChange,
    ) -> Result<(), RelayError> {
        let Some(current) = self.load(origin.account, sid).await? else { return Ok(()) };
        let (account, service) = (origin.account, &current.head.service);
        let whose = Whose { account, service, cause: Cause::channel(event.to) };
        if !self.asks(whose, Event::MessageUpdate) || !current.head.state.open() {
            return Ok(());
        }
        let snapshot = self.ledger.snapshot();
        let own = tables::provider_id(account.as_str(), origin.kind, event.to, event.id);
        if snapshot.get(&own).await?.is_some() {
            return Ok(());
        }
        let index = self.index_of(&*snapshot, origin, event.to, event.of, sid).await?;
        let Some(index) = index else { return Ok(()) };
        let row = typed::message(&*snapshot, account.as_str(), sid, index).await?;
        let Some(row) = row.filter(|row| wrote(&current, &row.record, &event)) else { return Ok(()) };
        self.ask_message_update(whose, &current, (index, &row.record), change).await
    }

    /// Something happens to a message that a provider names. Events about messages we do not have change nothing.
    async fn touch<F>(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        event: Touch<'_>,
        decide: F,
    ) -> Result<(), RelayError>
    where
        F: Fn(&Context<'_>, &Conversation, u64, &MessageRecord) -> Decided<InboundOutcome>,
    {
        let Touch { id, of, from, to } = event;
        let account = origin.account;
        let own = tables::provider_id(account.as_str(), origin.kind, to, id);
        let (own, decide) = (&own, &decide);
        let outcome = self
            .in_conversation(origin, binding, (to, from), |sid| async move {
                let sid = sid.as_str();
                let touched = self
                    .change(account, sid, Cause::channel(to), |conversation, context| async move {
                        let snapshot = self.ledger.snapshot();
                        if snapshot.get(own).await?.is_some() {
                            return Ok((None, InboundOutcome::Duplicate));
                        }
                        if !conversation.head.state.open() || conversation.bound(to, from).is_none() {
                            return Ok((None, InboundOutcome::Unbound));
                        }
                        let index = self.index_of(&*snapshot, origin, to, of, sid).await?;
                        let Some(index) = index else { return Ok((None, InboundOutcome::Unbound)) };
                        let row = typed::message(&*snapshot, account.as_str(), sid, index).await?;
                        let Some(row) = row else { return Ok((None, InboundOutcome::Unbound)) };
                        let (mut decision, outcome) = decide(&context, &conversation, index, &row.record)?;
                        if let Some(decision) = &mut decision
                            && !decision.batch.writes.iter().any(|write| write.key() == own)
                        {
                            remember(&mut decision.batch, own.clone());
                        }
                        Ok((decision, outcome))
                    })
                    .await;
                touched.map(|(_, outcome)| outcome)
            })
            .await?;
        inbound(origin.adapter, outcome);
        Ok(())
    }

    /// A copy of something from our side. Ours tells the provider's id and time of a send; a stranger's was written by
    /// an agent in the provider's own inbox and joins the conversation.
    async fn take_echo(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        echo: Echo,
    ) -> Result<(), RelayError> {
        if self.sent_by_us(origin, &echo).await? {
            let report = StatusReport {
                id: echo.id,
                from: echo.from,
                correlation: echo.correlation,
                status: DeliveryStatus::Sent,
                error: None,
                learned: Vec::new(),
                at: echo.at,
            };
            return self.take_status(origin, report).await;
        }
        self.join_echo(origin, binding, &echo, &[]).await
    }

    /// Whether a copy is of something that left from here.
    async fn sent_by_us(&self, origin: Origin<'_>, echo: &Echo) -> Result<bool, RelayError> {
        if ours(echo) {
            return Ok(true);
        }
        let key = tables::provider_id(origin.account.as_str(), origin.kind, &echo.from, &echo.id);
        let known = typed::compact::<ProviderIdRow>(&*self.ledger.snapshot(), &key).await?;
        let subject = known.map(|row| row.record);
        Ok(matches!(subject, Some(ProviderIdRow::Message { subject: Subject::Outbound { .. }, .. })))
    }

    /// Whether a copy is of something from elsewhere, of which the files are still to be got.
    pub(in crate::relay) async fn brings_files(
        &self,
        origin: Origin<'_>,
        echo: &Echo,
    ) -> Result<bool, RelayError> {
        if !self.waits_for_files(&echo.parts) || self.sent_by_us(origin, echo).await? {
            return Ok(false);
        }
        let key = tables::provider_id(origin.account.as_str(), origin.kind, &echo.from, &echo.id);
        Ok(self.ledger.snapshot().get(&key).await?.is_none())
    }

    /// What an agent wrote in the provider's own inbox joins the conversation, with its files.
    pub(in crate::relay) async fn join_echo(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        echo: &Echo,
        media: &[Attachment],
    ) -> Result<(), RelayError> {
        let key = &tables::provider_id(origin.account.as_str(), origin.kind, &echo.from, &echo.id);
        let outcome = self
            .in_conversation(origin, binding, (&echo.from, &echo.to), |sid| async move {
                let appended = self
                    .change(
                        origin.account,
                        sid.as_str(),
                        Cause::channel(&echo.from),
                        |conversation, context| async move {
                            if self.ledger.snapshot().get(key).await?.is_some() {
                                return Ok((None, InboundOutcome::Duplicate));
                            }
                            let member = conversation.bound(&echo.from, &echo.to);
                            let Some(member) = member.filter(|_| conversation.head.state.open()) else {
                                return Ok((None, InboundOutcome::Unbound));
                            };
                            let draft = Draft {
                                author: echo.from.to_string(),
                                participant: None,
                                has_it: Some(member.record.sid.clone()),
                                body: message::body(&echo.parts),
                                parts: message::kept_parts(&echo.parts),
                                attributes: None,
                                created: None,
                                updated: None,
                                source: Some(source(origin, &echo.from, &echo.id)),
                                subject: None,
                                reply_to: None,
                                template: None,
                                media: media.to_vec(),
                            };
                            let (decision, _) =
                                decide::messages::append(&context, &conversation, vec![draft])?;
                            Ok((Some(decision), InboundOutcome::Accepted))
                        },
                    )
                    .await;
                appended.map(|(_, outcome)| outcome)
            })
            .await?;
        inbound(origin.adapter, outcome);
        Ok(())
    }

    /// A person's number or id changed: the same participant answers to the new one from now on.
    async fn take_identity(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        from: &Person,
        to: &Address,
        now: &[Address],
    ) -> Result<(), RelayError> {
        self.in_conversation(origin, binding, (to, from), |sid| async move {
            let conversation = self.load(origin.account, sid.as_str()).await?;
            let member = conversation.as_ref().and_then(|conversation| conversation.bound(to, from));
            let Some(member) = member else { return Ok(InboundOutcome::Unbound) };
            self.learn(origin.account, &sid, &member.record.sid, now).await;
            Ok(InboundOutcome::Accepted)
        })
        .await?;
        Ok(())
    }
}

/// Whether a copy says of itself that it is of something that left from here.
pub(in crate::relay) fn ours(echo: &Echo) -> bool {
    echo.correlation.as_deref().and_then(Correlation::decode).is_some()
}

/// Something that happens to a message: the event's id, the message's, and the pair.
#[derive(Clone, Copy)]
pub(in crate::relay) struct Touch<'a> {
    pub id: &'a str,
    pub of: &'a str,
    pub from: &'a Person,
    pub to: &'a Address,
}

/// What a writer made of their message. The text of a picture may be edited alone, and the picture stays.
pub(in crate::relay) fn edited(parts: &[Part]) -> MessageChange {
    let beside = parts.iter().any(|part| !matches!(part, Part::Text { .. }));
    MessageChange {
        body: message::body(parts).map_or(Change::Clear, Change::Set),
        parts: beside.then(|| parts.to_vec()),
        ..MessageChange::default()
    }
}

/// An edit of a message whose files are here names them once more, and none of them is another now.
fn beside_its_files(change: &mut MessageChange) {
    let Some(parts) = &mut change.parts else { return };
    parts.retain(|part| !matches!(part, Part::Media(_)));
    if parts.iter().all(|part| matches!(part, Part::Text { .. })) {
        change.parts = None;
    }
}

/// Whether a message came in from the one who now changes it. Nobody edits or takes back what others wrote, or we.
fn wrote(conversation: &Conversation, record: &MessageRecord, event: &Touch<'_>) -> bool {
    let came_in =
        record.source.as_ref().is_some_and(|source| source.id == event.of && &source.proxy == event.to);
    let member = conversation.bound(event.to, event.from).map(|member| &member.record.sid);
    came_in && member.is_some() && member == record.participant.as_ref()
}

fn reaction(emoji: &str, to: &str) -> String {
    let line = to.lines().next().unwrap_or_default();
    let mut quote: String = line.chars().take(QUOTED).collect();
    if line.chars().count() > QUOTED || to.lines().count() > 1 {
        quote.push('…');
    }
    if quote.is_empty() { format!("Reacted {emoji}") } else { format!("Reacted {emoji} to “{quote}”") }
}

#[cfg(test)]
#[path = "events_test.rs"]
mod happenings;

#[cfg(test)]
mod tests {
    use super::reaction;

    #[test]
    fn a_reaction_quotes_a_little() {
        assert_eq!(reaction("👍", "On my way"), "Reacted 👍 to “On my way”");
        assert_eq!(reaction("👍", ""), "Reacted 👍");
        assert_eq!(reaction("👍", "one\ntwo"), "Reacted 👍 to “one…”");
        assert_eq!(reaction("👍", &"x".repeat(60)).chars().count(), "Reacted 👍 to “…”".chars().count() + 40);
    }
}
