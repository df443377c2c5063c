//! `/Conversations/{CH}/Messages/{IM}/Journal`: the story of one message, in the order it happened. An extension of ours.
//!
//! Each entry has `at`, `event`, and for what concerns one recipient `participant_sid` and `receipt_sid`. Of tries that
//! failed the newest eight are told; of statuses the latest, as receipts keep it.

use serde_json::{Map, Value, json};
use trunkline_adapter::Timestamp;

use super::{Answer, Call};
use crate::http::error::ApiError;
use crate::model::{Attempt, PersonBinding, ReceiptRecord};
use crate::relay::{Journal, Leg, Waiting};

pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, ApiError> {
    let (account, service) = (&call.scope.account, &call.scope.service);
    let journal = call.relay.journal(account, service, call.conversation(), call.route.name(1)).await?;
    let path =
        format!("/Conversations/{}/Messages/{}", journal.conversation.sid(), journal.message.record.sid);
    Ok(Answer::shown(call.scope.sign(json!({
        "account_sid": account,
        "conversation_sid": journal.conversation.sid(),
        "message_sid": journal.message.record.sid,
        "entries": entries(&journal),
        "url": call.scope.url(&format!("{path}/Journal")),
    }))))
}

/// The entries in the order of their time; what has no time of its own follows what it came with.
fn entries(journal: &Journal) -> Vec<Value> {
    let record = &journal.message.record;
    let mut told = Told::default();
    let source = record.source.as_ref();
    let brought = source.map(|source| {
        json!({ "channel": source.kind, "proxy_address": source.proxy, "channel_message_sid": source.id })
    });
    let event = if source.is_some() { "received" } else { "posted" };
    told.add(record.created, event, json!({ "author": record.author }), brought.unwrap_or(Value::Null));
    if source.is_some() {
        let matched = json!({ "participant_sid": record.participant });
        told.add(record.created, "matched", matched, journal.matched.as_ref().map_or(Value::Null, pair));
    }
    for leg in &journal.legs {
        told.leg(leg, record.created);
    }
    told.0.sort_by_key(|(at, _)| *at);
    told.0.into_iter().map(|(_, entry)| entry).collect()
}

fn pair(binding: &PersonBinding) -> Value {
    json!({ "address": binding.address, "proxy_address": binding.proxy })
}

#[derive(Default)]
struct Told(Vec<(Timestamp, Value)>);

impl Told {
    fn add(&mut self, at: Timestamp, event: &str, facts: Value, more: Value) {
        let mut entry = Map::new();
        entry.insert("at".to_owned(), at.rfc3339_millis().into());
        entry.insert("event".to_owned(), event.into());
        for facts in [facts, more] {
            if let Value::Object(facts) = facts {
                entry.extend(facts);
            }
        }
        self.0.push((at, entry.into()));
    }

    fn leg(&mut self, leg: &Leg, created: Timestamp) {
        let who = json!({ "participant_sid": leg.delivery.participant, "receipt_sid": leg.delivery.receipt });
        let how = leg.binding.as_ref().map_or(Value::Null, pair);
        self.add(created, "queued", who.clone(), how);
        if let Some(receipt) = &leg.receipt {
            self.receipt(receipt, &who);
        }
        if let Some(Waiting { job, sent, ahead }) = &leg.waiting {
            for attempt in &job.trace {
                self.attempt(attempt, &who);
            }
            let since = job.trace.last().map_or(job.since, |last| last.at);
            let due = (job.not_before > Timestamp(0)).then(|| job.not_before.rfc3339_millis());
            let facts = json!({ "tries": job.attempts, "not_before": due, "parts_sent": sent, "messages_ahead": ahead });
            self.add(since, "waiting", who, facts);
        }
    }

    fn attempt(&mut self, attempt: &Attempt, who: &Value) {
        let facts =
            json!({ "outcome": attempt.end.name(), "error_code": attempt.code, "answer": attempt.text });
        self.add(attempt.at, "attempted", who.clone(), facts);
    }

    fn receipt(&mut self, receipt: &ReceiptRecord, who: &Value) {
        for attempt in &receipt.attempts {
            self.attempt(attempt, who);
        }
        if let Some(taken) = receipt.taken_at {
            let ids: Vec<&String> = receipt.ids().collect();
            self.add(taken, "accepted", who.clone(), json!({ "channel_message_sids": ids }));
        }
        if let Some(status) = receipt.status {
            let facts = json!({ "status": status.name(), "error_code": receipt.error_code });
            self.add(receipt.updated, "status", who.clone(), facts);
        }
    }
}
