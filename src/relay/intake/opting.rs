//! What keywords change about who is written to: read once per decision, checked in its batch, answered once.

use trunkline_adapter::{Address, Part, Timestamp};

use super::keyword::{self, Asked};
use crate::ledger::engine::{Batch, Revision, Snapshot};
use crate::ledger::{LedgerError, tables};
use crate::model::{AccountSid, Compact, Dispatch, Json, OptOutRow};
use crate::relay::Relay;
use crate::relay::after::{After, Wake};
use crate::relay::decide::Context;
use crate::work::{self, Queue};

/// The pairs that a decision has something to do with.
#[derive(Default)]
pub(in crate::relay) struct Opting(Vec<Pair>);

struct Pair {
    proxy: Address,
    address: Address,
    read: Option<Revision>,
    out: bool,
    /// The provider's id of the message that changed it last.
    changed: Option<String>,
    answers: Vec<&'static str>,
}

impl Opting {
    /// A word came in. START means something only to who opted out ("yes" is an ordinary answer), and a STOP that
    /// repeats is not answered again.
    pub async fn hear(
        &mut self,
        snapshot: &dyn Snapshot,
        account: &AccountSid,
        (proxy, address): (&Address, &Address),
        asked: Asked,
        id: &str,
    ) -> Result<(), LedgerError> {
        let known = self.0.iter().position(|pair| &pair.proxy == proxy && &pair.address == address);
        let place = match known {
            Some(place) => place,
            None => {
                let row = snapshot.get(&tables::opt_out(account.as_str(), proxy, address)).await?;
                let read = row.map(|row| row.changed);
                self.0.push(Pair {
                    proxy: proxy.clone(),
                    address: address.clone(),
                    read,
                    out: read.is_some(),
                    changed: None,
                    answers: Vec::new(),
                });
                self.0.len() - 1
            }
        };
        let pair = &mut self.0[place];
        let answer = match (asked, pair.out) {
            (Asked::Stop, false) => keyword::STOPPED,
            (Asked::Start, true) => keyword::STARTED,
            (Asked::Help, _) => keyword::HELPED,
            (Asked::Stop, true) | (Asked::Start, false) => return Ok(()),
        };
        if asked != Asked::Help {
            pair.out = !pair.out;
            pair.changed = Some(id.to_owned());
        }
        pair.answers.push(answer);
        Ok(())
    }

    /// Whether nothing came of it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|pair| pair.answers.is_empty())
    }

    /// Adds the rows and the answers to a batch.
    pub fn write(self, context: &Context<'_>, batch: &mut Batch, after: &mut After) {
        let account = context.account.as_str();
        for pair in self.0 {
            if let Some(id) = &pair.changed {
                let key = tables::opt_out(account, &pair.proxy, &pair.address);
                match pair.read {
                    Some(revision) => batch.at(key.clone(), revision),
                    None => batch.absent(key.clone()),
                };
                if pair.out {
                    batch.put(key, row(Some("stop"), id, context.now).encode());
                } else {
                    batch.delete(key);
                }
                after.opted.push((pair.proxy.clone(), pair.address.clone()));
            }
            for answer in pair.answers {
                let payload = Dispatch::Notice { text: answer.to_owned() }.encode();
                let (lane, subject) = (pair.proxy.as_str(), pair.address.as_str());
                let seq = context.births.birth();
                work::enqueue(batch, account, Queue::Outbound, lane, subject, seq, context.now, payload);
                after.wake.push(Wake::outbound(&pair.proxy, &pair.address));
            }
        }
    }
}

impl Relay {
    /// The word that a text is, where words are ours to handle.
    pub(super) fn asked(&self, account: &AccountSid, proxy: &Address, parts: &[Part]) -> Option<Asked> {
        if !self.proxies.get(account, proxy)?.keywords {
            return None;
        }
        let [Part::Text { text }] = parts else { return None };
        self.keywords.asked(text)
    }
}

/// An opt-out as it is stored.
pub(in crate::relay) fn row(keyword: Option<&str>, id: &str, at: Timestamp) -> OptOutRow {
    OptOutRow {
        keyword: keyword.map(str::to_owned),
        provider_id: id.to_owned(),
        at,
        rest: serde_json::Map::new(),
    }
}
