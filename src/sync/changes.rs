//! Which items changed since a number: all that somebody who was away has to hear of.

use std::collections::HashMap;

use super::object::{ItemKey, Object};
use super::read::Reader;
use super::render;
use crate::ledger::engine::{MAX_WRITES, Revision};
use crate::ledger::key::Key;
use crate::ledger::{LedgerError, tables};
use crate::model::conversation::Mark;
use crate::model::{ConversationSid, Head};

impl Reader<'_> {
    /// Whether a conversation's head says that what it has a mark for did not change behind a number. A head is written
    /// first in its decision, so the rest of one may have numbers that are a batch higher.
    async fn still(
        &self,
        sid: &ConversationSid,
        mark: impl Fn(&Head) -> Mark,
        number: Revision,
    ) -> Result<bool, LedgerError> {
        let Some(head) = self.head(sid).await? else { return Ok(false) };
        let last = mark(&head.record).number(head.changed).max(self.floor);
        Ok(last.saturating_add(MAX_WRITES as Revision) <= number)
    }

    /// What changed behind a number: the items, each with its number, lowest first.
    pub async fn since(
        &self,
        object: &Object,
        number: Revision,
    ) -> Result<Vec<(Revision, ItemKey)>, LedgerError> {
        let mut found: HashMap<ItemKey, Revision> = HashMap::new();
        let mut note = |key: ItemKey, changed: Revision| {
            let changed = changed.max(self.floor);
            if changed > number {
                let known = found.entry(key).or_default();
                *known = changed.max(*known);
            }
        };
        let account = self.account();
        match object {
            Object::Document(sid) => {
                if let Some(entry) = self.document(sid).await? {
                    note(entry.key, entry.changed);
                }
            }
            Object::Messages(sid) => {
                let conversation = sid.as_str();
                // A receipt is news of a message that the head knows nothing of.
                self.walk(&tables::all_receipts(account, conversation), |key, row| {
                    let at = tables::receipt_index(key);
                    at.into_iter().for_each(|at| note(ItemKey::Index(at), row.changed));
                })
                .await?;
                if self.still(sid, |head| head.messages, number).await? {
                    return Ok(in_order(found));
                }
                let index = |key: &Key| tables::message_index(key);
                self.walk(&tables::messages(account, conversation), |key, row| {
                    index(key).into_iter().for_each(|at| note(ItemKey::Index(at), row.changed));
                })
                .await?;
                self.walk(&tables::message_tombstones(account, conversation, 0).0, |key, row| {
                    let at = tables::tombstone_index(key);
                    at.into_iter().for_each(|at| note(ItemKey::Index(at), row.changed));
                })
                .await?;
            }
            Object::Roster(sid) => {
                let conversation = sid.as_str();
                if self.still(sid, |head| head.roster, number).await? {
                    return Ok(Vec::new());
                }
                self.walk(&tables::participants(account, conversation), |key, row| {
                    let name = key.rest().and_then(|rest| std::str::from_utf8(rest).ok());
                    name.into_iter().for_each(|name| note(ItemKey::Key(name.to_owned()), row.changed));
                })
                .await?;
                self.walk(&tables::tombstone(account, conversation, b'P', b""), |key, row| {
                    let name = key.rest().and_then(|rest| std::str::from_utf8(rest.get(1..)?).ok());
                    name.into_iter().for_each(|name| note(ItemKey::Key(name.to_owned()), row.changed));
                })
                .await?;
            }
            Object::Profile(identity) => {
                for name in [render::ATTRIBUTES, render::FRIENDLY_NAME, render::REACHABILITY] {
                    if let Some(entry) = self.profile(identity, name).await? {
                        note(entry.key, entry.changed);
                    }
                }
            }
            Object::Memberships(identity) => {
                for sid in self.places(identity).await? {
                    if let Some(entry) = self.membership(identity, &sid).await? {
                        note(entry.key, entry.changed);
                    }
                }
                self.walk(&tables::departures(account, self.service(), identity), |key, row| {
                    let place = tables::departure_of(key);
                    place.into_iter().for_each(|(_, sid)| note(ItemKey::Key(sid.to_owned()), row.changed));
                })
                .await?;
            }
        }
        Ok(in_order(found))
    }
}

fn in_order(found: HashMap<ItemKey, Revision>) -> Vec<(Revision, ItemKey)> {
    let mut found: Vec<_> = found.into_iter().map(|(key, changed)| (changed, key)).collect();
    found.sort_unstable();
    found
}
