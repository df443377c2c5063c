//! Messages of one conversation, as many as one decision takes, and what became of each.

use std::collections::VecDeque;

use trunkline_adapter::{Address, Inbound, InboundMessage, Part};

use super::autocreate::Home;
use super::inbox::pair_subject;
use super::opting::Opting;
use super::{Decided, Origin, source};
use crate::announce::Cause;
use crate::ledger::tables;
use crate::model::{Binding, Conversation, ConversationSid, Event, ParticipantSid, State, message};
use crate::relay::asking::Amended;
use crate::relay::decide::messages::Draft;
use crate::relay::decide::{self, Context};
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};

/// Writes that a decision may take; the rest of the batch limit is room for keywords and the head.
const MOST_WRITES: usize = 200;
/// Bytes of text that a decision may take, if it is about more than one message; likewise.
const MOST_BYTES: usize = 256 * 1024;

/// What became of one message.
#[derive(Debug)]
pub(super) enum Fate {
    /// With what was learnt of who wrote it.
    Accepted(Option<(ParticipantSid, Vec<Address>)>),
    Duplicate,
    Unbound(InboundMessage),
}

impl Relay {
    pub(super) async fn take_messages(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        mut waiting: VecDeque<InboundMessage>,
    ) -> Result<(), RelayError> {
        while !waiting.is_empty() {
            let Some(binding) = binding else {
                for message in waiting.drain(..) {
                    self.find_again(origin, message, false).await?;
                }
                break;
            };
            let most = if waiting.len() == 1 { 1 } else { self.most_at_once(origin, binding).await? };
            let taken = some_of(&mut waiting, most);
            for fate in self.append_inbound(origin, &binding.conversation, taken, None).await? {
                match self.follow_up(origin, &binding.conversation, fate).await {
                    Some(message) => self.find_again(origin, message, false).await?,
                    None => continue,
                }
            }
        }
        Ok(())
    }

    /// How many messages one decision takes, by what each of them writes.
    async fn most_at_once(&self, origin: Origin<'_>, binding: &Binding) -> Result<usize, RelayError> {
        let width = match self.load(origin.account, binding.conversation.as_str()).await? {
            // Each is told to several, perhaps; a commit has room for what one is told by.
            Some(known) if self.listened_to(&known) => return Ok(1),
            // Two more for a keyword: the opt-out and its answer.
            Some(known) => decide::messages::writes_per_draft(&known) + 2,
            None => 1,
        };
        Ok((MOST_WRITES / width).max(1))
    }

    /// Counts and learns; gives back what did not belong there.
    pub(super) async fn follow_up(
        &self,
        origin: Origin<'_>,
        conversation: &ConversationSid,
        fate: Fate,
    ) -> Option<InboundMessage> {
        match fate {
            Fate::Accepted(learnt) => {
                inbound(origin.adapter, InboundOutcome::Accepted);
                if let Some((participant, aliases)) = learnt {
                    self.learn(origin.account, conversation, &participant, &aliases).await;
                }
                None
            }
            Fate::Duplicate => {
                inbound(origin.adapter, InboundOutcome::Duplicate);
                None
            }
            Fate::Unbound(message) => Some(message),
        }
    }

    /// The binding table's copy may have been behind; the ledger has the last word. `asking`: somebody may be asked, since
    /// no provider waits; the message was in the inbox then, and a keyword in it was heard when it was put there.
    pub(super) async fn find_again(
        &self,
        origin: Origin<'_>,
        mut message: InboundMessage,
        asking: bool,
    ) -> Result<(), RelayError> {
        for _ in 0..ATTEMPTS {
            let pair = pair_subject(&message.to, &message.from);
            let home = match self.bound_now(origin.account, &message.to, &message.from).await? {
                Some(now)
                    if self.to_inbox(origin.account, &now, [Event::MessageAdd])
                        || self.waits_for_files(&message.parts) =>
                {
                    let subject = now.conversation.as_str();
                    return self.put_in_inbox(origin, subject, vec![Inbound::Message(message)]).await;
                }
                Some(now) => now.conversation,
                None => match self.make_home(origin, &message, asking).await? {
                    Home::Made(made) if self.waits_for_files(&message.parts) => {
                        let subject = made.as_str();
                        return self.put_in_inbox(origin, subject, vec![Inbound::Message(message)]).await;
                    }
                    Home::Made(made) => made,
                    Home::Look => continue,
                    Home::Ask => {
                        return self.put_in_inbox(origin, &pair, vec![Inbound::Message(message)]).await;
                    }
                    Home::Refused => return self.refuse(origin, message, asking).await,
                    Home::Known => {
                        inbound(origin.adapter, InboundOutcome::Duplicate);
                        return Ok(());
                    }
                    Home::Nowhere => break,
                },
            };
            // The first message of a conversation that made itself is not asked about.
            let heard = Amended { heard: asking, ..Amended::default() };
            let Some(fate) = self.append_inbound(origin, &home, vec![message], Some(&heard)).await?.pop()
            else {
                return Ok(());
            };
            match self.follow_up(origin, &home, fate).await {
                Some(unbound) => message = unbound,
                None => return Ok(()),
            }
        }
        self.unbound(origin, message).await
    }

    /// One decision for messages of one conversation; says what became of each.
    pub(super) async fn append_inbound(
        &self,
        origin: Origin<'_>,
        sid: &ConversationSid,
        messages: Vec<InboundMessage>,
        amended: Option<&Amended>,
    ) -> Result<Vec<Fate>, RelayError> {
        let taken = messages.as_slice();
        let cause = taken.first().map_or_else(Cause::house, |first| Cause::channel(&first.to));
        let appended = self
            .change(origin.account, sid.as_str(), cause, |conversation, context| async move {
                self.judge(origin, &conversation, &context, taken, amended).await
            })
            .await;
        match appended {
            Ok((_, fates)) => Ok(fates),
            Err(RelayError::ConversationNotFound) => Ok(messages.into_iter().map(Fate::Unbound).collect()),
            Err(other) => Err(other),
        }
    }

    async fn judge(
        &self,
        origin: Origin<'_>,
        conversation: &Conversation,
        context: &Context<'_>,
        messages: &[InboundMessage],
        amended: Option<&Amended>,
    ) -> Decided<Vec<Fate>> {
        let snapshot = self.ledger.snapshot();
        let account = origin.account;
        let mut fates = Vec::with_capacity(messages.len());
        let (mut drafts, mut opting) = (Vec::new(), Opting::default());
        for (at, message) in messages.iter().enumerate() {
            let member = conversation.bound(&message.to, &message.from);
            let member = member.filter(|_| takes(conversation, amended));
            let bound = member.and_then(|member| Some((member, member.record.binding.as_ref()?)));
            // Who left after it was accepted has said it all the same.
            let left = || amended.filter(|_| takes(conversation, amended))?.writer.as_ref();
            let wrote = match bound {
                Some((member, bound)) => Some((&member.record.sid, &bound.address)),
                None => left().map(|writer| (&writer.participant, &writer.address)),
            };
            // A new id is the rule, and the batch checks for it; it is looked up only when that has failed, or when
            // nothing is going to check.
            let known = if context.again || wrote.is_none() {
                let key = tables::provider_id(account.as_str(), origin.kind, &message.to, &message.id);
                snapshot.get(&key).await?.is_some()
            } else {
                false
            };
            let same = |before: &InboundMessage| before.id == message.id && before.to == message.to;
            if known || messages[..at].iter().any(same) {
                fates.push(Fate::Duplicate);
                continue;
            }
            let Some((participant, address)) = wrote else {
                fates.push(Fate::Unbound(message.clone()));
                continue;
            };
            if !amended.is_some_and(|amended| amended.heard)
                && let Some(asked) = self.asked(origin.account, &message.to, &message.parts)
            {
                let pair = (&message.to, address);
                opting.hear(&*snapshot, account, pair, asked, &message.id).await?;
            }
            let reply_to = match &message.reply_to {
                Some(of) => {
                    self.index_of(&*snapshot, origin, &message.to, of, conversation.sid().as_str()).await?
                }
                None => None,
            };
            let said = amended.and_then(|amended| amended.body.clone());
            let author = amended.and_then(|amended| amended.author.clone());
            drafts.push(Draft {
                author: author.unwrap_or_else(|| address.to_string()),
                participant: Some(participant.clone()),
                has_it: None,
                body: said.or_else(|| message::body(&message.parts)),
                parts: message::kept_parts(&message.parts),
                attributes: amended.and_then(|amended| amended.attributes.clone()),
                created: None,
                updated: None,
                source: Some(source(origin, &message.to, &message.id)),
                subject: None,
                reply_to,
                template: None,
                media: amended.map(|amended| amended.media.clone()).unwrap_or_default(),
            });
            let aliases: Vec<Address> = bound.map_or_else(Vec::new, |(_, bound)| {
                std::iter::once(&message.from.address)
                    .chain(&message.from.aliases)
                    .filter(|alias| **alias != bound.address && !bound.aliases.contains(alias))
                    .cloned()
                    .collect()
            });
            fates.push(Fate::Accepted((!aliases.is_empty()).then(|| (participant.clone(), aliases))));
        }
        if drafts.is_empty() {
            return Ok((None, fates));
        }
        let (mut decision, _) = decide::messages::append_accepted(context, conversation, drafts)?;
        opting.write(context, &mut decision.batch, &mut decision.after);
        Ok((Some(decision), fates))
    }
}

/// The first messages, as many as one decision takes.
fn some_of(waiting: &mut VecDeque<InboundMessage>, most: usize) -> Vec<InboundMessage> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(message) = waiting.pop_front() {
        bytes += message.parts.iter().map(size).sum::<usize>();
        if !taken.is_empty() && bytes > MOST_BYTES {
            waiting.push_front(message);
            break;
        }
        taken.push(message);
        if taken.len() == most {
            break;
        }
    }
    taken
}

/// Roughly what a part takes when it is stored.
fn size(part: &Part) -> usize {
    match part {
        Part::Text { text } => text.len(),
        other => serde_json::to_vec(other).map_or(0, |stored| stored.len()),
    }
}

/// Whether a conversation takes a message: while it is open, and those that it had accepted before it was closed. A closed
/// one was last changed when it was closed.
pub(super) fn takes(conversation: &Conversation, amended: Option<&Amended>) -> bool {
    let accepted = amended.and_then(|amended| amended.accepted);
    match conversation.head.state {
        State::Active | State::Inactive => true,
        State::Closed => accepted.is_some_and(|at| at <= conversation.record.updated),
        State::Deleted => false,
    }
}
