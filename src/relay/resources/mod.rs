//! What callers of the REST API ask for, a file for each resource. Each reads what is there, has the judge decide, and lets
//! [`Relay::change`](crate::relay::Relay) commit it.

pub(super) mod addresses;
#[cfg(test)]
mod claims_test;
pub(super) mod conversations;
pub(super) mod hooks;
pub(super) mod idempotency;
pub(super) mod journal;
pub(super) mod listed;
pub mod memberships;
pub(super) mod messages;
pub(super) mod participants;
pub(super) mod push;
pub(super) mod roles;
#[cfg(test)]
mod roster_test;
pub(super) mod scoped_hooks;
pub(super) mod services;
pub(super) mod settings;
pub(super) mod users;
#[cfg(test)]
mod users_test;
#[cfg(test)]
mod with_participants_test;
