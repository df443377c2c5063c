//! A conversation: its head, its document and its people.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Address, Person, Timestamp};

use super::codec::{DecodeError, compact, read_compact};
use super::timers::Timers;
use super::{
    Compact, ConversationSid, Json, ParticipantRecord, ParticipantSid, Revision, ScopedWebhook, ServiceSid,
};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    /// Idle; a message or a new participant wakes it.
    Inactive,
    /// Final and read-only; its messaging bindings are free.
    Closed,
    /// Being removed: nobody sees it any more.
    Deleted,
}

impl State {
    /// Whether its messaging bindings count.
    pub fn open(self) -> bool {
        matches!(self, State::Active | State::Inactive)
    }

    /// The word in REST answers.
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Inactive => "inactive",
            State::Closed => "closed",
            State::Deleted => "deleted",
        }
    }
}

/// The one row that every change of index, state, roster or settings checks and bumps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub state: State,
    pub service: ServiceSid,
    /// The index the next message gets. Indexes may have holes, and are never used twice.
    pub next_index: u64,
    /// When the document last changed.
    pub document: Mark,
    /// When somebody last came, went or changed.
    pub roster: Mark,
    /// When a message was last added, changed or removed.
    pub messages: Mark,
    /// Of an open conversation that has any. They are behind everything else, so that heads without are what they
    /// were before there were timers.
    #[serde(skip)]
    pub timers: Option<Timers>,
}

/// The format byte of a head with timers behind it.
const TIMED: u8 = 2;

impl Compact for Head {
    const NAME: &'static str = "conversation head";

    fn encode(&self) -> bytes::Bytes {
        match &self.timers {
            None => compact(Self::FORMAT, self),
            Some(timers) => compact(TIMED, &(self, timers)),
        }
    }

    fn decode(payload: &[u8]) -> Result<Head, DecodeError> {
        let head = match payload.split_first() {
            Some((&Self::FORMAT, rest)) => read_compact(rest),
            Some((&TIMED, rest)) => {
                read_compact(rest).map(|(head, timers)| Head { timers: Some(timers), ..head })
            }
            Some((format, _)) => Err(format!("unknown format {format}")),
            None => Err("it is empty".to_owned()),
        };
        head.map_err(|reason| DecodeError { what: Self::NAME, reason })
    }
}

/// The number of a change. A head cannot know the number it is about to be given, so it says "this write" and the
/// next writer, who sees the row's number, puts it in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    #[default]
    ThisWrite,
    At(Revision),
}

impl Mark {
    /// The number, for a row last changed at `changed`.
    pub fn number(self, changed: Revision) -> Revision {
        match self {
            Mark::ThisWrite => changed,
            Mark::At(number) => number,
        }
    }
}

impl Head {
    /// The head as the basis of a next write: what "this write" meant becomes a number.
    #[must_use]
    pub fn settled(&self, changed: Revision) -> Head {
        Head {
            document: Mark::At(self.document.number(changed)),
            roster: Mark::At(self.roster.number(changed)),
            messages: Mark::At(self.messages.number(changed)),
            ..self.clone()
        }
    }
}

/// The rarely changing part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationRecord {
    pub sid: ConversationSid,
    pub friendly_name: Option<String>,
    pub unique_name: Option<String>,
    pub messaging_service_sid: Option<String>,
    /// Seconds without activity until it falls idle, and until it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive_after: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_after: Option<u64>,
    /// JSON text.
    pub attributes: String,
    /// Its place in lists; grows with every birth.
    pub birth: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Its own webhooks, in the order they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<ScopedWebhook>,
    /// The user who made it at a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Fields a newer release wrote.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ConversationRecord {
    /// Whether it has a timer.
    pub fn timed(&self) -> bool {
        self.inactive_after.is_some() || self.closed_after.is_some()
    }
}

impl Json for ConversationRecord {
    const NAME: &'static str = "conversation";
}

/// A messaging binding row: which open conversation holds (proxy address, address).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub service: ServiceSid,
    pub conversation: ConversationSid,
    pub participant: ParticipantSid,
}

impl Json for Binding {
    const NAME: &'static str = "messaging binding";
}

/// A participant and the number of its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub record: ParticipantRecord,
    pub revision: Revision,
}

/// All that a decision about a conversation needs, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub head: Head,
    pub head_revision: Revision,
    /// Shared with the conversation as it was before, like the people: a message changes neither.
    pub record: Arc<ConversationRecord>,
    pub record_revision: Revision,
    /// In the order they joined.
    pub members: Arc<Vec<Member>>,
}

impl Conversation {
    pub fn sid(&self) -> &ConversationSid {
        &self.record.sid
    }

    /// A member by SID.
    pub fn member(&self, sid: &ParticipantSid) -> Option<&Member> {
        self.members.iter().find(|member| &member.record.sid == sid)
    }

    /// A member by SID or identity.
    pub fn member_by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| {
            member.record.sid.as_str() == name || member.record.identity.as_deref() == Some(name)
        })
    }

    /// The member that an author's name stands for: an identity, or an address of theirs.
    pub fn author(&self, author: &str) -> Option<&Member> {
        self.members.iter().find(|member| {
            member.record.identity.as_deref() == Some(author)
                || member.record.seat.as_ref().is_some_and(|seat| seat.seen().as_str() == author)
                || member.record.binding.as_ref().is_some_and(|binding| {
                    binding.address.as_str() == author
                        || binding.aliases.iter().any(|alias| alias.as_str() == author)
                })
        })
    }

    /// The member whose binding on this proxy address names this person.
    pub fn bound(&self, proxy: &Address, person: &Person) -> Option<&Member> {
        person.candidates().find_map(|address| {
            self.members.iter().find(|member| {
                member.record.binding.as_ref().is_some_and(|binding| {
                    &binding.proxy == proxy
                        && (&binding.address == address || binding.aliases.contains(address))
                })
            })
        })
    }
}
