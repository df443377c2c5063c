//! Intake: everything providers tell, until it is durable.
//!
//! The events of one webhook are grouped by conversation; messages of one conversation that follow each other are one
//! decision, different conversations commit side by side, and there is one answer at the end.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use trunkline_adapter::{Address, Inbound, InboundMessage, Part, Person, Signal};

use super::decide::{self, Context, Decision, Draft};
use super::keyword::{self, Asked};
use super::{Relay, RelayError};
use crate::ledger::engine::{Batch, CommitError, Snapshot};
use crate::ledger::{tables, typed};
use crate::model::{
    AccountSid, Binding, Compact, Dispatch, Json, OptOutRow, ParticipantSid, ProviderIdRow, Source, message,
};
use crate::telemetry::inbound::{InboundOutcome, heard_from, inbound};
use crate::work::{self, Queue};

/// Where events come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The adapter's configured name: for metrics and logs only.
    pub adapter: &'a str,
    /// Its kind: part of every provider id.
    pub kind: &'static str,
    pub account: &'a AccountSid,
}

/// Conversations of one webhook that are worked on at the same time.
const SIDE_BY_SIDE: usize = 32;
/// Writes that a decision may take; the rest of the batch limit is room for keywords and the head.
const MOST_WRITES: usize = 200;

/// What became of one message.
#[derive(Debug)]
enum Fate {
    Accepted(Effects),
    Duplicate,
    Unbound(InboundMessage),
}

/// What follows a commit.
#[derive(Debug, Default)]
struct Effects {
    opted: Option<(Asked, Address, Address)>,
    learnt: Option<(ParticipantSid, Vec<Address>)>,
}

impl Relay {
    /// Takes the events of one webhook. `Ok` means all of them are durable, or were already.
    pub async fn take(&self, origin: Origin<'_>, events: Vec<Inbound>) -> Result<(), RelayError> {
        heard_from(origin.adapter, self.clock.now());
        let mut groups: Vec<(String, Option<Binding>, Vec<Inbound>)> = Vec::new();
        for event in events {
            let (key, binding) = match pair(&event) {
                Some((proxy, person)) => match self.bound_person(origin.account, proxy, person).await? {
                    Some(binding) => (binding.conversation.to_string(), Some(binding)),
                    None => (format!("{proxy} {}", person.address), None),
                },
                None => (own_key(&event), None),
            };
            match groups.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, _, events)) => events.push(event),
                None => groups.push((key, binding, vec![event])),
            }
        }
        stream::iter(groups)
            .map(|(_, binding, events)| self.take_group(origin, binding, events))
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

    async fn take_group(
        &self,
        origin: Origin<'_>,
        binding: Option<Binding>,
        events: Vec<Inbound>,
    ) -> Result<(), RelayError> {
        let mut run = Vec::new();
        for event in events {
            match event {
                Inbound::Message(message) => run.push(message),
                other => {
                    self.take_messages(origin, binding.as_ref(), std::mem::take(&mut run)).await?;
                    self.take_event(origin, binding.as_ref(), other).await?;
                }
            }
        }
        self.take_messages(origin, binding.as_ref(), run).await
    }

    async fn take_messages(
        &self,
        origin: Origin<'_>,
        binding: Option<&Binding>,
        messages: Vec<InboundMessage>,
    ) -> Result<(), RelayError> {
        let mut waiting: std::collections::VecDeque<InboundMessage> = messages.into();
        while !waiting.is_empty() {
            let conversation = binding.map(|binding| binding.conversation.as_str());
            let taken = match conversation {
                Some(sid) => {
                    let width = match self.load(origin.account, sid).await? {
                        // Two more for a keyword: the opt-out and its answer.
                        Some(known) => decide::writes_per_draft(&known) + 2,
                        None => 1,
                    };
                    waiting.drain(..waiting.len().min((MOST_WRITES / width).max(1))).collect()
                }
                None => waiting.drain(..).collect::<Vec<_>>(),
            };
            let fates = match conversation {
                Some(sid) => self.append_inbound(origin, sid, taken).await?,
                None => taken.into_iter().map(Fate::Unbound).collect(),
            };
            for fate in fates {
                self.follow_up(origin, conversation, fate).await?;
            }
        }
        Ok(())
    }

    async fn follow_up(&self, origin: Origin<'_>, tried: Option<&str>, fate: Fate) -> Result<(), RelayError> {
        match fate {
            Fate::Accepted(effects) => {
                inbound(origin.adapter, InboundOutcome::Accepted);
                self.apply(origin.account, effects.opted);
                if let (Some((participant, aliases)), Some(sid)) = (effects.learnt, tried)
                    && let Some(conversation) = crate::model::ConversationSid::parse(sid)
                {
                    self.learn(origin.account, &conversation, &participant, &aliases).await;
                }
            }
            Fate::Duplicate => inbound(origin.adapter, InboundOutcome::Duplicate),
            Fate::Unbound(message) => {
                // The binding table's copy may have been behind; the ledger has the last word.
                let elsewhere = self.bound_now(origin.account, &message.to, &message.from, tried).await?;
                let Some(elsewhere) = elsewhere else { return self.unbound(origin, message).await };
                for fate in
                    self.append_inbound(origin, elsewhere.conversation.as_str(), vec![message]).await?
                {
                    match fate {
                        Fate::Accepted(effects) => {
                            inbound(origin.adapter, InboundOutcome::Accepted);
                            self.apply(origin.account, effects.opted);
                        }
                        Fate::Duplicate => inbound(origin.adapter, InboundOutcome::Duplicate),
                        Fate::Unbound(message) => self.unbound(origin, message).await?,
                    }
                }
            }
        }
        Ok(())
    }

    /// The open conversation the ledger names for a person, unless it is the one already tried.
    async fn bound_now(
        &self,
        account: &AccountSid,
        proxy: &Address,
        person: &Person,
        tried: Option<&str>,
    ) -> Result<Option<Binding>, RelayError> {
        let snapshot = self.ledger.snapshot();
        for address in person.candidates() {
            if let Some(holder) = self.holder(&*snapshot, account, proxy, address).await?
                && holder.open
                && Some(holder.binding.conversation.as_str()) != tried
            {
                return Ok(Some(holder.binding));
            }
        }
        Ok(None)
    }

    /// One decision for messages of one conversation; says what became of each.
    async fn append_inbound(
        &self,
        origin: Origin<'_>,
        sid: &str,
        messages: Vec<InboundMessage>,
    ) -> Result<Vec<Fate>, RelayError> {
        let taken = &messages;
        let appended = self
            .change(origin.account, sid, |conversation, context| async move {
                let (conversation, context) = (&*conversation, &context);
                let snapshot = self.ledger.snapshot();
                let mut fates = Vec::with_capacity(taken.len());
                let mut drafts = Vec::new();
                let mut opted = Vec::new();
                let mut seen = HashSet::new();
                for message in taken {
                    let key =
                        tables::provider_id(origin.account.as_str(), origin.kind, &message.to, &message.id);
                    if !seen.insert(key.clone()) || snapshot.get(&key).await?.is_some() {
                        fates.push(Fate::Duplicate);
                        continue;
                    }
                    let member = conversation.bound(&message.to, &message.from);
                    let Some(member) = member.filter(|_| conversation.head.state.open()) else {
                        fates.push(Fate::Unbound(message.clone()));
                        continue;
                    };
                    let Some(bound) = member.record.binding.as_ref() else { continue };
                    let asked = self.asked(origin.account, &message.to, &bound.address, &message.parts);
                    let reply_to = match &message.reply_to {
                        Some(of) => self.index_of(&*snapshot, origin, &message.to, of, sid).await?,
                        None => None,
                    };
                    drafts.push(Draft {
                        author: bound.address.to_string(),
                        participant: Some(member.record.sid.clone()),
                        has_it: None,
                        body: message::body(&message.parts),
                        parts: message.parts.clone(),
                        attributes: None,
                        created: None,
                        updated: None,
                        source: Some(source(origin, &message.to, &message.id)),
                        reply_to,
                    });
                    let aliases: Vec<Address> = std::iter::once(&message.from.address)
                        .chain(&message.from.aliases)
                        .filter(|alias| **alias != bound.address && !bound.aliases.contains(alias))
                        .cloned()
                        .collect();
                    let learnt = (!aliases.is_empty()).then(|| (member.record.sid.clone(), aliases));
                    let change = asked.map(|asked| (asked, message.to.clone(), bound.address.clone()));
                    opted.extend(change.clone().map(|change| (change, message.id.clone())));
                    fates.push(Fate::Accepted(Effects { opted: change, learnt }));
                }
                if drafts.is_empty() {
                    return Ok((None, fates));
                }
                let (mut decision, _) = decide::append(context, conversation, drafts)?;
                for ((asked, proxy, address), id) in opted {
                    put_opt(context, &mut decision.batch, asked, &proxy, &address, &id);
                    decision.wake.push((proxy, address));
                }
                Ok((Some(decision), fates))
            })
            .await;
        match appended {
            Ok((_, fates)) => Ok(fates),
            Err(RelayError::ConversationNotFound) => Ok(messages.into_iter().map(Fate::Unbound).collect()),
            Err(other) => Err(other),
        }
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

    /// What a text asks of the opt-out list. START means something only to who is on it: "yes" is an ordinary answer.
    fn asked(
        &self,
        account: &AccountSid,
        proxy: &Address,
        address: &Address,
        parts: &[Part],
    ) -> Option<Asked> {
        if !self.proxies.get(proxy)?.keywords {
            return None;
        }
        let [Part::Text { text }] = parts else { return None };
        let out = self.opt_outs.contains(account.as_str(), proxy, address);
        self.keywords.asked(text).filter(|asked| match asked {
            Asked::Stop => !out,
            Asked::Start => out,
            Asked::Help => true,
        })
    }

    /// Brings the lanes' view in line, before the provider gets its answer.
    fn apply(&self, account: &AccountSid, opted: Option<(Asked, Address, Address)>) {
        match opted {
            Some((Asked::Stop, proxy, address)) => self.opt_outs.add(account.as_str(), &proxy, &address),
            Some((Asked::Start, proxy, address)) => self.opt_outs.remove(account.as_str(), &proxy, &address),
            Some((Asked::Help, ..)) | None => {}
        }
    }

    /// A message that belongs to no conversation. A keyword in it counts all the same.
    async fn unbound(&self, origin: Origin<'_>, message: InboundMessage) -> Result<(), RelayError> {
        let address = message.from.address.clone();
        let Some(asked) = self.asked(origin.account, &message.to, &address, &message.parts) else {
            inbound(origin.adapter, InboundOutcome::Unbound);
            tracing::info!(adapter = origin.adapter, "A message belongs to no conversation");
            return Ok(());
        };
        let context = self.context(origin.account);
        let mut batch = Batch::default();
        let key = tables::provider_id(origin.account.as_str(), origin.kind, &message.to, &message.id);
        batch.absent(key.clone());
        batch.put(key, ProviderIdRow::Event.encode());
        put_opt(&context, &mut batch, asked, &message.to, &address, &message.id);
        match self.ledger.commit(batch).await {
            Ok(_) => {
                inbound(origin.adapter, InboundOutcome::Unbound);
                self.wakeups.work(Queue::Outbound, message.to.as_str(), address.as_str());
                self.apply(origin.account, Some((asked, message.to, address)));
                Ok(())
            }
            Err(CommitError::Conflict(_)) => {
                inbound(origin.adapter, InboundOutcome::Duplicate);
                Ok(())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The provider's own keyword handling took somebody off the list, or put them back.
    pub(super) async fn take_signal(
        &self,
        origin: Origin<'_>,
        from: &Person,
        to: &Address,
        signal: Signal,
    ) -> Result<(), RelayError> {
        let (asked, id) = match signal {
            Signal::OptOut { id } => (Asked::Stop, id),
            Signal::OptIn { id } => (Asked::Start, id),
            Signal::Typing | Signal::Opened { .. } => return Ok(()),
        };
        let key = tables::opt_out(origin.account.as_str(), to, &from.address);
        let mut batch = Batch::default();
        match asked {
            Asked::Stop => batch.put(key, opt_out(None, &id, self.clock.now()).encode()),
            Asked::Start | Asked::Help => batch.delete(key),
        };
        self.ledger.commit(batch).await?;
        self.apply(origin.account, Some((asked, to.clone(), from.address.clone())));
        Ok(())
    }
}

/// The pair an event is about.
fn pair(event: &Inbound) -> Option<(&Address, &Person)> {
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

fn opt_out(keyword: Option<String>, id: &str, at: trunkline_adapter::Timestamp) -> OptOutRow {
    OptOutRow { keyword, provider_id: id.to_owned(), at, rest: serde_json::Map::new() }
}

/// The row and the answer that a keyword makes.
fn put_opt(
    context: &Context<'_>,
    batch: &mut Batch,
    asked: Asked,
    proxy: &Address,
    address: &Address,
    id: &str,
) {
    let account = context.account.as_str();
    let key = tables::opt_out(account, proxy, address);
    let answer = match asked {
        Asked::Stop => {
            batch.put(key, opt_out(Some("stop".to_owned()), id, context.now).encode());
            keyword::STOPPED
        }
        Asked::Start => {
            batch.delete(key);
            keyword::STARTED
        }
        Asked::Help => keyword::HELPED,
    };
    let payload = Dispatch::Notice { text: answer.to_owned() }.encode();
    let (lane, subject) = (proxy.as_str(), address.as_str());
    work::enqueue(
        batch,
        account,
        Queue::Outbound,
        lane,
        subject,
        context.births.birth(),
        context.now,
        payload,
    );
}

/// A decision that only keeps an event's id, so that its repeat changes nothing.
pub(super) fn remember(batch: &mut Batch, origin: Origin<'_>, proxy: &Address, id: &str) {
    let key = tables::provider_id(origin.account.as_str(), origin.kind, proxy, id);
    batch.absent(key.clone());
    batch.put(key, ProviderIdRow::Event.encode());
}

/// What a decision about one event comes to; nothing is a decision too.
pub(super) type Decided = Result<Option<Decision>, RelayError>;
