//! Intake: everything providers tell, until it is durable.
//!
//! The events of one webhook are grouped by conversation; messages of one conversation that follow each other are one
//! decision, different conversations commit side by side, and there is one answer at the end.
//!
//! What one accepted message to one recipient costs when its conversation is in memory and the binding table answers:
//!
//! | step | looks | writes |
//! |---|---|---|
//! | whose conversation | one in the binding table | |
//! | the decision | none (a reply and a keyword one each) | |
//! | the commit | checks of the head and of the id's absence | head, message, id, queue row |
//!
//! Nothing is scanned. A conversation that is not in memory costs two looks and a scan of its participants, a pair the
//! table does not know one look per name of the person.

mod admission;
mod autocreate;
#[cfg(test)]
mod autocreate_test;
mod events;
pub(super) mod fetching;
pub(super) mod inbox;
pub(super) mod keyword;
mod opting;
pub(super) mod parked;
mod statuses;
mod unbound;
pub(super) mod unreadable;

use std::collections::{BTreeSet, HashMap, VecDeque};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use trunkline_adapter::{Address, Inbound, InboundMessage, Part, Person, Signal};

use crate::announce::Cause;
use crate::ledger::engine::{Batch, CommitError, Snapshot};
use crate::ledger::key::Key;
use crate::ledger::{tables, typed};
use crate::model::{
    AccountSid, Binding, Compact, Conversation, ConversationSid, Event, Json, ParticipantSid, ProviderIdRow,
    Source, State, message,
};
use crate::relay::asking::Amended;
use crate::relay::commit::After;
use crate::relay::decide::messages::Draft;
use crate::relay::decide::{self, Context, Decision};
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, heard_from, inbound};
use autocreate::Home;
use inbox::pair_subject;
use keyword::Asked;
use opting::Opting;

/// Where events come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The adapter's configured name: for metrics and logs only.
    pub adapter: &'a str,
    /// Its kind: part of every provider id.
    pub kind: &'a str,
    pub account: &'a AccountSid,
}

/// Conversations of one webhook that are worked on at the same time.
const SIDE_BY_SIDE: usize = 32;
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

/// Events of one webhook about one conversation, or about one pair that has none.
struct Group {
    binding: Option<Binding>,
    events: Vec<Inbound>,
}

impl Relay {
    /// Takes the events of one webhook. `Ok` means all of them are durable, or were already.
    ///
    /// # Cancel safety
    /// What was already committed stays so and is followed up; the provider repeats the rest.
    pub async fn take(&self, origin: Origin<'_>, events: Vec<Inbound>) -> Result<(), RelayError> {
        heard_from(origin.adapter, self.clock.now());
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for event in events {
            let (key, binding) = match pair(&event) {
                Some((proxy, person)) => match self.bound_person(origin.account, proxy, person).await? {
                    Some(binding) => (binding.conversation.to_string(), Some(binding)),
                    None => (format!("{proxy} {}", person.address), None),
                },
                None => (own_key(&event), None),
            };
            let place = *places.entry(key).or_insert_with(|| {
                groups.push(Group { binding, events: Vec::new() });
                groups.len() - 1
            });
            groups[place].events.push(event);
        }
        // Nearly always there is one, and nobody has to keep several apart.
        if groups.len() == 1
            && let Some(only) = groups.pop()
        {
            return self.take_group(origin, only).await;
        }
        stream::iter(groups)
            .map(|group| self.take_group(origin, group))
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    /// Whose conversation a person on a proxy address is in, by whichever of their addresses is known.
    pub(super) async fn bound_person(
        &self,
        account: &AccountSid,
        proxy: &Address,
        person: &Person,
    ) -> Result<Option<Binding>, RelayError> {
        for address in person.candidates() {
            if let Some(binding) = self.bound(account, proxy, address).await? {
                return Ok(Some(binding));
            }
        }
        Ok(None)
    }

    async fn take_group(&self, origin: Origin<'_>, mut group: Group) -> Result<(), RelayError> {
        if self.inbox_has_any() {
            group.events = self.behind_their_own(origin, group.events).await?;
        }
        let binding = group.binding.as_ref();
        if let Some(binding) = binding {
            let message = group.events.iter().any(|event| matches!(event, Inbound::Message(_)));
            let edit = group.events.iter().any(|event| matches!(event, Inbound::Edit { .. }));
            let questions = [message.then_some(Event::MessageAdd), edit.then_some(Event::MessageUpdate)];
            let files = |event: &Inbound| match event {
                Inbound::Message(message) => self.waits_for_files(&message.parts),
                // Ours come back too: their files are here.
                Inbound::Echo(echo) => !self::events::ours(echo) && self.waits_for_files(&echo.parts),
                _ => false,
            };
            if self.to_inbox(origin.account, binding, questions.into_iter().flatten())
                || group.events.iter().any(files)
            {
                return self.put_in_inbox(origin, binding.conversation.as_str(), group.events).await;
            }
        }
        let mut run = VecDeque::new();
        for event in group.events {
            match event {
                Inbound::Message(message) => run.push_back(message),
                other => {
                    self.take_messages(origin, binding, std::mem::take(&mut run)).await?;
                    self.take_event(origin, binding, other).await?;
                }
            }
        }
        self.take_messages(origin, binding, run).await
    }

    async fn take_messages(
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

    /// The open conversation that the ledger names for a person.
    async fn bound_now(
        &self,
        account: &AccountSid,
        proxy: &Address,
        person: &Person,
    ) -> Result<Option<Binding>, RelayError> {
        let snapshot = self.ledger.snapshot();
        for address in person.candidates() {
            if let Some(holder) = self.holder(&*snapshot, account, proxy, address).await?
                && holder.open
            {
                return Ok(Some(holder.binding));
            }
        }
        Ok(None)
    }

    /// Does something in whose conversation a pair is; again with the ledger's word if the copy's led nowhere.
    pub(super) async fn in_conversation<F, D>(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        (proxy, person): (&Address, &Person),
        act: F,
    ) -> Result<InboundOutcome, RelayError>
    where
        F: Fn(ConversationSid) -> D,
        D: Future<Output = Result<InboundOutcome, RelayError>>,
    {
        if let Some(binding) = binding {
            match act(binding.conversation.clone()).await {
                Ok(InboundOutcome::Unbound) | Err(RelayError::ConversationNotFound) => {}
                other => return other,
            }
        }
        let now = self.bound_now(origin.account, proxy, person).await?.map(|now| now.conversation);
        match now.filter(|now| binding.is_none_or(|tried| now != &tried.conversation)) {
            Some(now) => match act(now).await {
                Err(RelayError::ConversationNotFound) => Ok(InboundOutcome::Unbound),
                other => other,
            },
            None => Ok(InboundOutcome::Unbound),
        }
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

    /// The index of the message that a provider's id stands for in this conversation.
    pub(super) async fn index_of(
        &self,
        snapshot: &dyn Snapshot,
        origin: Origin<'_>,
        proxy: &Address,
        id: &str,
        conversation: &str,
    ) -> Result<Option<u64>, RelayError> {
        let key = tables::provider_id(origin.account.as_str(), origin.kind, proxy, id);
        let row = typed::compact::<ProviderIdRow>(snapshot, &key).await?;
        Ok(match row.map(|row| row.record) {
            Some(ProviderIdRow::Message { conversation: of, index, .. }) if of.as_str() == conversation => {
                Some(index)
            }
            _ => None,
        })
    }

    /// The word that a text is, where words are ours to handle.
    pub(super) fn asked(&self, account: &AccountSid, proxy: &Address, parts: &[Part]) -> Option<Asked> {
        if !self.proxies.get(account, proxy)?.keywords {
            return None;
        }
        let [Part::Text { text }] = parts else { return None };
        self.keywords.asked(text)
    }

    /// The provider's own keyword handling took somebody off the list, or put them back: by every name they have, since
    /// the lanes know the participant by one and the provider may tell another.
    pub(super) async fn take_signal(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        from: &Person,
        to: &Address,
        signal: Signal,
    ) -> Result<(), RelayError> {
        let (out, id) = match signal {
            Signal::OptOut { id } => (true, id),
            Signal::OptIn { id } => (false, id),
            Signal::Typing => return self.hear_typing(origin, binding, from, to).await,
            Signal::Opened { .. } => return Ok(()),
        };
        let account = origin.account;
        let known = match binding {
            Some(binding) => self.load(account, binding.conversation.as_str()).await?,
            None => None,
        };
        let member = known.as_ref().and_then(|known| known.bound(to, from)?.record.binding.as_ref());
        let names: BTreeSet<&Address> = member
            .map(|binding| &binding.address)
            .into_iter()
            .chain(std::iter::once(&from.address))
            .chain(&from.aliases)
            .collect();
        // Some providers give the event the id of the message it came with, and that one names the message.
        let own = tables::provider_id(account.as_str(), origin.kind, to, &format!("opt-out {id}"));
        let (mut batch, mut after) = (Batch::default(), After::default());
        remember(&mut batch, own);
        for name in names {
            let key = tables::opt_out(account.as_str(), to, name);
            if out {
                batch.put(key, opting::row(None, &id, self.clock.now()).encode());
            } else {
                batch.delete(key);
            }
            after.opted.push((to.clone(), name.clone()));
        }
        match self.commits.commit(account, batch, after).await {
            // The only check there is: the provider told it before.
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
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

/// The pair an event is about.
pub(super) fn pair(event: &Inbound) -> Option<(&Address, &Person)> {
    match event {
        Inbound::Message(message) => Some((&message.to, &message.from)),
        Inbound::Echo(echo) => Some((&echo.from, &echo.to)),
        Inbound::Edit { from, to, .. }
        | Inbound::Deletion { from, to, .. }
        | Inbound::Reaction { from, to, .. }
        | Inbound::Watermark { from, to, .. }
        | Inbound::Signal { from, to, .. }
        | Inbound::Identity { from, to, .. } => Some((to, from)),
        Inbound::Status(_) | Inbound::Notice { .. } => None,
    }
}

/// Events about one send stay in order among themselves.
fn own_key(event: &Inbound) -> String {
    match event {
        Inbound::Status(report) => format!("status {} {}", report.from, report.id),
        _ => "notice".to_owned(),
    }
}

pub(super) fn source(origin: Origin<'_>, proxy: &Address, id: &str) -> Source {
    Source { kind: origin.kind.to_owned(), proxy: proxy.clone(), id: id.to_owned() }
}

/// Keeps an event's id, so that its repeat changes nothing.
pub(super) fn remember(batch: &mut Batch, id: Key) {
    batch.absent(id.clone());
    batch.put(id, ProviderIdRow::Event.encode());
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

/// What a decision gives [`Relay::change`].
pub(super) type Decided<T> = Result<(Option<Decision>, T), RelayError>;

#[cfg(test)]
mod tests;
