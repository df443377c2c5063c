//! Messages that belong to no conversation and make none: forwarded, where their messaging service says so, or counted.

use trunkline_adapter::InboundMessage;

use super::opting::Opting;
use super::{Origin, remember};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables;
use crate::model::{Forwarded, Json};
use crate::relay::after::{After, Wake};
use crate::relay::messaging_services::UnboundInbound;
use crate::relay::{ATTEMPTS, Relay, RelayError};
use crate::telemetry::inbound::{InboundOutcome, inbound};
use crate::work::{self, Queue};

impl Relay {
    /// A message that belongs to no conversation. A keyword in it counts all the same.
    pub(in crate::relay) async fn unbound(
        &self,
        origin: Origin<'_>,
        message: InboundMessage,
    ) -> Result<(), RelayError> {
        let account = origin.account;
        let asked = self.asked(account, &message.to, &message.parts);
        let messaging = self.messaging.of(account, &message.to);
        let forward = messaging.filter(|own| own.inbound == UnboundInbound::Forward);
        if asked.is_none() && forward.is_none() {
            inbound(origin.adapter, InboundOutcome::Unbound);
            tracing::info!(adapter = origin.adapter, "A message belongs to no conversation");
            return Ok(());
        }
        let own = tables::provider_id(account.as_str(), origin.kind, &message.to, &message.id);
        let pair = (&message.to, &message.from.address);
        let payload = Forwarded {
            kind: origin.kind.to_owned(),
            id: message.id.clone(),
            from: message.from.address.clone(),
            name: message.from.name.clone(),
            to: message.to.clone(),
            parts: message.parts.clone(),
            rest: serde_json::Map::new(),
        };
        for _ in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            if snapshot.get(&own).await?.is_some() {
                inbound(origin.adapter, InboundOutcome::Duplicate);
                return Ok(());
            }
            let mut opting = Opting::default();
            if let Some(asked) = asked {
                opting.hear(&*snapshot, account, pair, asked, &message.id).await?;
            }
            if opting.is_empty() && forward.is_none() {
                inbound(origin.adapter, InboundOutcome::Unbound);
                return Ok(());
            }
            let context = self.context(account, false);
            let (mut batch, mut after) = (Batch { intake: true, ..Batch::default() }, After::default());
            remember(&mut batch, own.clone());
            opting.write(&context, &mut batch, &mut after);
            if let Some(service) = &forward {
                let (lane, subject) = (service.sid.as_str(), message.from.address.as_str());
                let (account, seq, payload) = (account.as_str(), self.ledger.birth(), payload.encode());
                work::enqueue(&mut batch, account, Queue::Forward, lane, subject, seq, context.now, payload);
                after.wake.push(Wake::forward(lane, subject));
            }
            match self.commits.commit(account, batch, after).await {
                Ok(()) => {
                    inbound(origin.adapter, InboundOutcome::Unbound);
                    return Ok(());
                }
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}
