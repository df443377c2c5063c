//! The synchronised view: documents, lists and maps over the ledger's own rows, which SDK clients watch.
//!
//! Owns the objects' names, what their items hold, who watches them, and what is told. Reads rows and writes none; who may see
//! an object is looked up here, what a role permits is not.
//! Must not know HTTP, frames, or any rule of the relay.
//!
//! Invariants:
//! - there is no second log: an event's number is its row's, and whoever was away is brought up to date from the rows;
//! - the events of one object are told in the order of their numbers, and each client hears of each once;
//! - a client that knows everything up to a number, and is told what `since` finds, knows everything;
//! - what waits for a socket is bounded; an event is encoded once for all sockets;
//! - where nobody is connected, a commit costs one look at a number.
//!
//! Wiring: a [`Tap`] is made before the store is opened and follows it; then the [`Hub`] is made on the ledger and run.

mod changes;
mod event;
mod feed;
mod hub;
mod object;
mod presence;
mod read;
mod render;
mod seats;
mod session;
mod watch;

pub use event::item_url;
pub use hub::{Hub, Tap};
pub use object::{ItemKey, Kind, Object, Realm};
pub use presence::Gone;
pub use read::{Entry, Place, Reader, Shown};
pub use render::NOBODY;
pub use session::Session;
