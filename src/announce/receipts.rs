//! Receipts that move. They move outside of any decision about their conversation, so what an event says besides is read,
//! where somebody may listen at all.

use trunkline_adapter::{Address, Timestamp};

use super::cause::Cause;
use super::hooks::Hooks;
use super::params;
use super::tell::Told;
use crate::ledger::engine::Batch;
use crate::ledger::{Ledger, LedgerError, tables, typed};
use crate::model::{
    AccountSid, ConversationRecord, ConversationSid, Event, Head, Mint, ReceiptRecord, State,
};

/// Where a receipt is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub account: &'a AccountSid,
    pub conversation: &'a ConversationSid,
    pub index: u64,
    /// The line it was sent on.
    pub proxy: &'a Address,
}

/// Adds the rows that tell of a receipt as it will be to the batch that moves it; gives the subjects to wake afterwards.
pub async fn receipt_moved(
    hooks: &Hooks,
    ledger: &Ledger,
    mint: &Mint,
    now: Timestamp,
    place: Place<'_>,
    receipt: &ReceiptRecord,
    batch: &mut Batch,
) -> Result<Vec<String>, LedgerError> {
    let Place { account, conversation, index, proxy } = place;
    let mut wake = Vec::new();
    if !hooks.hear_delivery(account) {
        return Ok(wake);
    }
    let (of, sid, snapshot) = (account.as_str(), conversation.as_str(), ledger.snapshot());
    let head = typed::compact::<Head>(&*snapshot, &tables::head(of, sid)).await?;
    let record = typed::json::<ConversationRecord>(&*snapshot, &tables::conversation(of, sid)).await?;
    let message = typed::message(&*snapshot, of, sid, index).await?;
    let (Some(head), Some(record), Some(message)) = (head, record, message) else { return Ok(wake) };
    if head.record.state == State::Deleted {
        return Ok(wake);
    }
    let told = Told {
        hooks,
        account,
        service: &head.record.service,
        scoped: &record.record.webhooks,
        cause: Cause::channel(proxy),
        now,
        mint,
        birth: &|| ledger.birth(),
    };
    told.tell(Event::DeliveryUpdated, sid, None, batch, &mut wake, |pairs| {
        pairs.maybe("MessagingServiceSid", record.record.messaging_service_sid.as_deref());
        params::receipt(pairs, sid, &message.record, receipt);
    });
    Ok(wake)
}
