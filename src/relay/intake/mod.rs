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
mod messages;
mod opting;
pub(super) mod parked;
mod signals;
mod statuses;
mod unbound;
pub(super) mod unreadable;
mod whose;

use std::collections::{HashMap, VecDeque};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use trunkline_adapter::{Address, Inbound, Person};

use crate::ledger::engine::Batch;
use crate::ledger::key::Key;
use crate::model::{AccountSid, Binding, Compact, Event, ProviderIdRow, Source};
use crate::relay::decide::Decision;
use crate::relay::{Relay, RelayError};
use crate::telemetry::inbound::heard_from;

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

/// What a decision gives [`Relay::change`].
pub(super) type Decided<T> = Result<(Option<Decision>, T), RelayError>;

#[cfg(test)]
mod tests;
