//! `/Conversations/{CH}/Messages/{IM}/Receipts`: how each delivery went. Read only.

use serde_json::{Value, json};

use super::scope::Scope;
use super::{Answer, Call};
use crate::http::error::ApiError;
use crate::http::paging::Page;
use crate::http::route::Resource;
use crate::model::{Conversation, MessageSid, ReceiptRecord};
use crate::relay::RelayError;

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (account, service) = (&call.scope.account, &call.scope.service);
    let page = Page::read(&call.query, 50)?;
    let (conversation, message, receipts) =
        call.relay.receipts(account, service, call.conversation(), call.route.name(1)).await?;
    let message = &message.record.sid;
    if call.route.resource == Resource::Receipt {
        let named = call.route.name(2);
        let receipt = receipts.iter().find(|receipt| receipt.sid.as_str() == named);
        let receipt = receipt.ok_or(RelayError::ReceiptNotFound)?;
        return Ok(Answer::shown(render(&call.scope, &conversation, message, receipt)));
    }
    // A message's deliveries never change after it was posted, so a place among them is a lasting cursor.
    let numbered = (1u64..).zip(&receipts);
    let mut found: Vec<(u64, &ReceiptRecord)> = numbered
        .filter(|(place, _)| page.after.is_none_or(|after| *place > after))
        .take(page.fetch())
        .collect();
    let next = page.cut(&mut found, |(place, _)| *place);
    let records =
        found.into_iter().map(|(_, receipt)| render(&call.scope, &conversation, message, receipt)).collect();
    Ok(call.page(&page, "delivery_receipts", records, next, &[]))
}

pub(super) fn render(
    scope: &Scope,
    conversation: &Conversation,
    message: &MessageSid,
    receipt: &ReceiptRecord,
) -> Value {
    let path = format!("/Conversations/{}/Messages/{message}/Receipts/{}", conversation.sid(), receipt.sid);
    scope.sign(json!({
        "account_sid": scope.account,
        "conversation_sid": conversation.sid(),
        "sid": receipt.sid,
        "message_sid": message,
        "channel_message_sid": receipt.provider_ids.first(),
        "participant_sid": receipt.participant,
        "status": receipt.status.map(|status| status.name()),
        "error_code": receipt.error_code,
        "date_created": receipt.created.rfc3339(),
        "date_updated": receipt.updated.rfc3339(),
        "url": scope.url(&path),
    }))
}
