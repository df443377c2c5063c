//! What a lane is told to do.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use trunkline_adapter::{Adapter, Address, BoxFuture, Clock, MediaFile, Rate};

use super::OptOuts;
use crate::announce::Hooks;
use crate::ledger::Ledger;
use crate::model::{ConversationSid, MessageMedia, Mint, ParticipantSid};
use crate::telemetry::outbound::Series;
use crate::work::Wakeups;

/// One configured proxy address.
#[derive(Clone)]
pub struct LanePlan {
    pub proxy: Address,
    /// The operator's name for it; empty if none. A metric label.
    pub name: String,
    /// The adapter's name.
    pub adapter_name: String,
    /// The adapter's kind, as in stored provider ids.
    pub kind: &'static str,
    /// Keep the same `Arc` for an adapter that did not change: a new one releases a held lane.
    pub adapter: Arc<dyn Adapter>,
    pub rate: Rate,
    pub pair_rate: Option<Rate>,
}

impl LanePlan {
    /// Whether statuses name a send by our own text, so that its id leads nowhere.
    pub(super) fn correlated(&self) -> bool {
        self.adapter.capabilities(&self.proxy).is_some_and(|able| able.receipts.correlated)
    }

    pub(super) fn same(&self, other: &LanePlan) -> bool {
        Arc::ptr_eq(&self.adapter, &other.adapter)
            && self.proxy == other.proxy
            && self.name == other.name
            && self.adapter_name == other.adapter_name
            && self.kind == other.kind
            && self.rate == other.rate
            && self.pair_rate == other.pair_rate
    }
}

/// A plan that a lane works by, and what it counts in.
pub(super) struct InForce {
    pub plan: LanePlan,
    pub series: Series,
}

impl Deref for InForce {
    type Target = LanePlan;

    fn deref(&self) -> &LanePlan {
        &self.plan
    }
}

/// Rules that hold for all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// How long a message may wait; held and down time do not count.
    pub expire: Duration,
    pub unknown: Unknown,
}

/// What to do about a send of which nobody knows whether it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Send again: better twice than never.
    Resend,
    /// Fail it: better never than twice.
    Fail,
}

/// What lanes need of the rest of the house.
#[derive(Clone)]
pub struct Surroundings {
    pub ledger: Ledger,
    pub clock: Clock,
    pub account: String,
    pub wakeups: Wakeups,
    pub opt_outs: OptOuts,
    pub learned: Arc<dyn Learned>,
    pub files: Arc<dyn Files>,
    /// Who hears of receipts.
    pub hooks: Arc<Hooks>,
    /// Randomness for back-off, and for the tokens of what is told.
    pub mint: Arc<Mint>,
    /// Where lanes work, and with them the connections to providers.
    pub runtime: Handle,
}

/// Hears of other addresses of a person that a provider's answer gave away. Called after the outcome is committed;
/// whatever becomes of it, the send stands.
pub trait Learned: Send + Sync {
    fn learned(
        &self,
        account: &str,
        conversation: &ConversationSid,
        participant: &ParticipantSid,
        addresses: Vec<Address>,
    );
}

/// The files of messages, as lanes hand them to adapters. Plugged in by `app`.
pub trait Files: Send + Sync {
    /// A file as it is, or as a JPEG of at most so many bytes.
    fn ready(&self, media: &MessageMedia, jpeg: Option<u64>) -> Ready;
    /// Makes a JPEG of a file: afterwards there is one, or it is known that there can be none.
    fn make(&self, media: &MessageMedia, jpeg: u64) -> BoxFuture<'static, ()>;
    /// A link to a file, for a person.
    fn link(&self, media: &MessageMedia) -> String;
}

/// Whether a file can be handed over.
pub enum Ready {
    Now(Box<MediaFile>),
    /// It has to be made first.
    NotYet,
    /// Nothing of the kind can be made of it.
    Never,
}
