//! A message on a simulated phone.

use serde::{Serialize, Serializer};
use trunkline_adapter::{Address, DeliveryStatus, Timestamp};

use super::Attached;

/// Which way it went, as the phone's owner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Written on the phone.
    Typed,
    /// Came to the phone.
    Received,
}

/// How far it has come. The order is the order of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Typed: on its way to the daemon. Received: on the phone, and the daemon was told nothing yet.
    Sending,
    /// Typed: the daemon acknowledged it. Received: the daemon acknowledged the status `sent`.
    Sent,
    /// The daemon acknowledged the status `delivered`.
    Delivered,
    /// The daemon acknowledged the status `read`.
    Read,
    /// Typed: the daemon did not take it, however often it was told.
    Failed,
}

impl From<DeliveryStatus> for State {
    fn from(status: DeliveryStatus) -> State {
        match status {
            DeliveryStatus::Sent => State::Sent,
            DeliveryStatus::Delivered => State::Delivered,
            DeliveryStatus::Read => State::Read,
            DeliveryStatus::Undelivered | DeliveryStatus::Failed => State::Failed,
        }
    }
}

/// A message on a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Grows with every message of this simulator.
    pub serial: u64,
    /// The provider's id.
    pub id: String,
    /// The phone.
    pub phone: Address,
    /// The proxy address it was written to, or came from.
    pub proxy: Address,
    /// The provider's name, which is its adapter's.
    pub adapter: String,
    /// Which way it went.
    pub direction: Direction,
    /// What it says.
    pub text: String,
    /// The files it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Attached>,
    /// When it got here.
    #[serde(serialize_with = "moment")]
    pub at: Timestamp,
    /// How far it has come.
    pub state: State,
}

fn moment<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}
