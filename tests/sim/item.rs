//! What a write says, read from its bytes by a hand other than the daemon's.

use trunkline::ledger::engine::Write;
use trunkline::ledger::key::{Key, Space, take_name};
use trunkline::model::{
    Binding, Compact, Dispatch, Head, Json, MessageRecord, OptOutRow, ParticipantRecord, ProviderIdRow,
    ReceiptRecord,
};
use trunkline::work::Job;

use super::auditor::{QueueRow, Waiting};

/// A write, read.
pub enum Item {
    Head(String, Option<Head>),
    Participant(String, String, Option<ParticipantRecord>),
    Message(String, u64, Option<MessageRecord>),
    Receipt(String, u64, String, Option<Box<ReceiptRecord>>),
    Queue(Key, Option<QueueRow>),
    Cleanup(Key, Option<String>),
    Binding(String, String, Option<Binding>),
    Id(Key, Option<ProviderIdRow>),
    OptOut(String, String, Option<OptOutRow>),
    Tombstone(String, Vec<u8>),
    Other,
}

pub fn read(write: &Write) -> Option<Item> {
    let parts = write.key().parts()?;
    let payload = match write {
        Write::Insert(_, payload) | Write::Put(_, payload) => Some(payload),
        Write::Delete(_) => None,
    };
    let of = parts.partition.clone();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?));
    Some(match parts.space {
        Space::Head => Item::Head(of, payload.map(|p| Head::decode(p)).transpose().ok()?),
        Space::Participant => {
            let record = payload.map(|p| ParticipantRecord::decode(p)).transpose().ok()?;
            Item::Participant(of, text(parts.rest), record)
        }
        Space::Message => {
            let record = payload.map(|p| MessageRecord::decode(p)).transpose().ok()?;
            Item::Message(of, number(parts.rest)?, record)
        }
        Space::Receipt => {
            let record = payload.map(|p| ReceiptRecord::decode(p)).transpose().ok()?;
            Item::Receipt(of, number(parts.rest)?, text(&parts.rest[8..]), record.map(Box::new))
        }
        Space::Queue => {
            let (subject, _) = take_name(&parts.rest[1..])?;
            if parts.rest[0] == 2 {
                return Some(Item::Cleanup(write.key().clone(), payload.map(|_| subject)));
            }
            let row = match payload {
                None => None,
                Some(payload) => {
                    let job = Job::decode(payload).ok()?;
                    let message = match Dispatch::decode(&job.payload).ok()? {
                        Dispatch::Notice { .. } | Dispatch::Reply { .. } => None,
                        Dispatch::Message { conversation, index, participant, receipt, sent, begun } => {
                            Some(Waiting {
                                conversation: conversation.to_string(),
                                index,
                                participant: participant.to_string(),
                                receipt: receipt.to_string(),
                                sent,
                                begun,
                            })
                        }
                    };
                    Some(QueueRow { lane: of, subject, since: job.since, message })
                }
            };
            Item::Queue(write.key().clone(), row)
        }
        Space::Binding => {
            let (proxy, rest) = take_name(parts.rest)?;
            let (address, _) = take_name(rest)?;
            Item::Binding(proxy, address, payload.map(|p| Binding::decode(p)).transpose().ok()?)
        }
        Space::ProviderId => {
            let row = payload.map(|p| ProviderIdRow::decode(p)).transpose().ok()?;
            Item::Id(write.key().clone(), row)
        }
        Space::OptOut => {
            let (proxy, rest) = take_name(parts.rest)?;
            let (address, _) = take_name(rest)?;
            Item::OptOut(proxy, address, payload.map(|p| OptOutRow::decode(p)).transpose().ok()?)
        }
        Space::Tombstone => Item::Tombstone(of, parts.rest.to_vec()),
        _ => Item::Other,
    })
}
