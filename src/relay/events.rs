//! What people do to messages that are already there: edit, take back, react; and copies of what left from our side.

use trunkline_adapter::{Address, DeliveryStatus, Echo, Inbound, Person, StatusReport};

use super::command::{Change, MessageChange};
use super::decide::{self, Context, Draft};
use super::intake::{Decided, Origin, remember, source};
use super::{Relay, RelayError};
use crate::ledger::{tables, typed};
use crate::model::{Binding, Conversation, Correlation, MessageRecord, ProviderIdRow, Subject, message};
use crate::telemetry::inbound::{InboundOutcome, inbound};

/// How much of a message a reaction quotes.
const QUOTED: usize = 40;

impl Relay {
    pub(super) async fn take_event(
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
                self.take_watermark(origin, binding, &from, &to, status, until).await
            }
            Inbound::Signal { from, to, signal } => self.take_signal(origin, &from, &to, signal).await,
            Inbound::Identity { from, to, now } => {
                self.take_identity(origin, binding, &from, &to, &now).await
            }
            Inbound::Notice { kind, raw } => self.keep_notice(origin, &kind, &raw).await,
            Inbound::Echo(echo) => self.take_echo(origin, binding, echo).await,
            Inbound::Edit { id, of, from, to, parts, .. } => {
                let body = message::body(&parts);
                self.touch(origin, binding, &id, &of, &from, &to, |context, conversation, index, record| {
                    let change = MessageChange {
                        body: body.clone().map_or(Change::Clear, Change::Set),
                        ..MessageChange::default()
                    };
                    Ok(Some(decide::change_message(context, conversation, index, record, change)?.0))
                })
                .await
            }
            Inbound::Deletion { id, of, from, to, .. } => {
                self.touch(origin, binding, &id, &of, &from, &to, |context, conversation, index, record| {
                    Ok(Some(decide::remove_message(context, conversation, index, record)?))
                })
                .await
            }
            Inbound::Reaction { id, of, from, to, emoji, .. } => {
                self.touch(origin, binding, &id, &of, &from, &to, |context, conversation, index, record| {
                    // A reaction that is taken back leaves what was already relayed as it is.
                    let Some(emoji) = &emoji else { return Ok(None) };
                    let Some(member) = conversation.bound(&to, &from) else { return Ok(None) };
                    let author = member.record.binding.as_ref().map(|binding| binding.address.to_string());
                    let draft = Draft {
                        author: author.unwrap_or_default(),
                        participant: Some(member.record.sid.clone()),
                        has_it: None,
                        body: Some(reaction(emoji, &record.relayed_text())),
                        parts: Vec::new(),
                        attributes: None,
                        created: None,
                        updated: None,
                        source: Some(source(origin, &to, &id)),
                        reply_to: Some(index),
                    };
                    Ok(Some(decide::append(context, conversation, vec![draft])?.0))
                })
                .await
            }
        }
    }

    /// Something happens to a message that a provider names. Events about messages we do not have change nothing.
    #[expect(clippy::too_many_arguments, reason = "one event's own fields")]
    async fn touch<F>(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        id: &str,
        of: &str,
        from: &Person,
        to: &Address,
        decide: F,
    ) -> Result<(), RelayError>
    where
        F: Fn(&Context<'_>, &Conversation, u64, &MessageRecord) -> Decided,
    {
        let Some(binding) = binding else {
            inbound(origin.adapter, InboundOutcome::Unbound);
            return Ok(());
        };
        let sid = binding.conversation.as_str();
        let own = tables::provider_id(origin.account.as_str(), origin.kind, to, id);
        let (own, decide) = (&own, &decide);
        let touched = self
            .change(origin.account, sid, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let snapshot = self.ledger.snapshot();
                if snapshot.get(own).await?.is_some() {
                    return Ok((None, InboundOutcome::Duplicate));
                }
                if !conversation.head.state.open() || conversation.bound(to, from).is_none() {
                    return Ok((None, InboundOutcome::Unbound));
                }
                let Some(index) = self.index_of(&*snapshot, origin, to, of, sid).await? else {
                    return Ok((None, InboundOutcome::Unbound));
                };
                let account = origin.account.as_str();
                let Some(row) = typed::message(&*snapshot, account, sid, index).await? else {
                    return Ok((None, InboundOutcome::Unbound));
                };
                let mut decision = decide(context, conversation, index, &row.record)?;
                if let Some(decision) = &mut decision
                    && !decision.batch.writes.iter().any(|write| write.key() == own)
                {
                    remember(&mut decision.batch, origin, to, id);
                }
                Ok((decision, InboundOutcome::Accepted))
            })
            .await;
        match touched {
            Ok((_, outcome)) => inbound(origin.adapter, outcome),
            Err(RelayError::ConversationNotFound) => inbound(origin.adapter, InboundOutcome::Unbound),
            Err(other) => return Err(other),
        }
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
        let ours = echo.correlation.as_deref().and_then(Correlation::decode).is_some();
        let key = tables::provider_id(origin.account.as_str(), origin.kind, &echo.from, &echo.id);
        let known = typed::compact::<ProviderIdRow>(&*self.ledger.snapshot(), &key).await?;
        let sent = matches!(
            known.as_ref().map(|row| &row.record),
            Some(ProviderIdRow::Message { subject: Subject::Outbound { .. }, .. })
        );
        if ours || sent {
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
        if known.is_some() {
            inbound(origin.adapter, InboundOutcome::Duplicate);
            return Ok(());
        }
        let Some(binding) = binding else {
            inbound(origin.adapter, InboundOutcome::Unbound);
            return Ok(());
        };
        let sid = binding.conversation.as_str();
        let (key, echo) = (&key, &echo);
        let appended = self
            .change(origin.account, sid, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
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
                    parts: echo.parts.clone(),
                    attributes: None,
                    created: None,
                    updated: None,
                    source: Some(source(origin, &echo.from, &echo.id)),
                    reply_to: None,
                };
                let (decision, _) = decide::append(context, conversation, vec![draft])?;
                Ok((Some(decision), InboundOutcome::Accepted))
            })
            .await;
        match appended {
            Ok((_, outcome)) => inbound(origin.adapter, outcome),
            Err(RelayError::ConversationNotFound) => inbound(origin.adapter, InboundOutcome::Unbound),
            Err(other) => return Err(other),
        }
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
        let Some(binding) = binding else { return Ok(()) };
        let conversation = self.load(origin.account, binding.conversation.as_str()).await?;
        let member = conversation.as_ref().and_then(|conversation| conversation.bound(to, from));
        if let Some(member) = member {
            self.learn(origin.account, &binding.conversation, &member.record.sid, now).await;
        }
        Ok(())
    }
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
