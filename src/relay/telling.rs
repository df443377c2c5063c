//! Decisions are told: their events land in their own batch.

use super::after::Wake;
use super::decide::Decision;
use super::{Relay, RelayError};
use crate::announce::{self, Cause, Changes, Place, Told};
use crate::ledger::engine::{Batch, Write};
use crate::ledger::key::Space;
use crate::ledger::{LedgerError, tables};
use crate::model::{AccountSid, Compact, Conversation, MessageRecord, ReceiptRecord, ServiceSid, UserRecord};
use crate::work::Queue;

impl Relay {
    /// Whether anybody may hear of a conversation. Asked for every decision, so it asks two things in memory.
    pub(super) fn listened_to(&self, conversation: &Conversation) -> bool {
        self.hooks.any() || !conversation.record.webhooks.is_empty()
    }

    /// Adds what a decision is told by, where somebody listens.
    pub(super) async fn tell(
        &self,
        account: &AccountSid,
        cause: Cause,
        before: Option<&Conversation>,
        decision: &mut Decision,
    ) -> Result<(), RelayError> {
        let Decision { batch, next, after, .. } = decision;
        let gone = self.going(batch).await?;
        let birth = || self.ledger.birth();
        let told = self.told(account, &next.head.service, cause, &birth);
        let told = Told { scoped: &next.record.webhooks, ..told };
        let woken = told.decision(&Changes { before, next, gone: &gone }, batch)?;
        after.wake.extend(woken.into_iter().map(|subject| Wake::webhook(account, subject)));
        Ok(())
    }

    /// What telling takes, for things that have no webhooks of their own.
    pub(super) fn told<'a>(
        &'a self,
        account: &'a AccountSid,
        service: &'a ServiceSid,
        cause: Cause,
        birth: &'a (dyn Fn() -> u64 + Sync),
    ) -> Told<'a> {
        let now = self.clock.now();
        Told { hooks: &self.hooks, account, service, scoped: &[], cause, now, mint: &self.mint, birth }
    }

    /// Adds what a new user is told by.
    pub(super) fn tell_user_added(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        cause: Cause,
        user: &UserRecord,
        batch: &mut Batch,
    ) -> Vec<Wake> {
        let mut woken = Vec::new();
        if self.hooks.any() {
            let birth = || self.ledger.birth();
            self.told(account, service, cause, &birth).user_added(user, batch, &mut woken);
        }
        woken.into_iter().map(|subject| Wake::webhook(account, subject)).collect()
    }

    /// Adds what a change of a user is told by. One whose service does not want it known is said to be unreachable.
    pub(super) async fn tell_user_updated(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        cause: Cause,
        user: &UserRecord,
        batch: &mut Batch,
    ) -> Result<Vec<Wake>, RelayError> {
        let mut woken = Vec::new();
        if self.hooks.any() {
            let reach = self.reachability(account, service, user).await?.unwrap_or_default();
            let birth = || self.ledger.birth();
            self.told(account, service, cause, &birth).user_updated(user, reach, batch, &mut woken);
        }
        Ok(woken.into_iter().map(|subject| Wake::webhook(account, subject)).collect())
    }

    /// Adds what a receipt that moves is told by.
    pub(super) async fn tell_receipt(
        &self,
        place: Place<'_>,
        receipt: &ReceiptRecord,
        batch: &mut Batch,
    ) -> Result<Vec<String>, LedgerError> {
        let now = self.clock.now();
        announce::receipt_moved(&self.hooks, &self.ledger, &self.mint, now, place, receipt, batch).await
    }

    /// Wakes whoever tells, after a commit that was nobody's decision.
    pub(super) fn wake_tellers(&self, account: &AccountSid, subjects: Vec<String>) {
        for subject in subjects {
            self.wakeups.work(Queue::Webhook, account.as_str(), &subject);
        }
    }

    /// The messages that a batch removes, as they still are.
    async fn going(&self, batch: &Batch) -> Result<Vec<(u64, MessageRecord)>, RelayError> {
        let mut gone = Vec::new();
        for write in &batch.writes {
            let Write::Delete(key) = write else { continue };
            if key.space() != Some(Space::Message) {
                continue;
            }
            // Every change of a message bumps the head that the batch checks, so this is the row that goes.
            let row = self.ledger.snapshot().get(key).await?;
            if let (Some(row), Some(index)) = (row, tables::message_index(key)) {
                gone.push((index, MessageRecord::decode(&row.payload).map_err(LedgerError::from)?));
            }
        }
        Ok(gone)
    }
}
