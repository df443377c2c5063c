//! Delivery receipts: one per message and outside participant, forward only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trunkline_adapter::{Address, DeliveryStatus, Timestamp};

use super::codec::{compact, read_compact};
use super::{Attempt, Compact, DecodeError, ParticipantSid, ReceiptSid};

/// How one delivery went, so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    pub sid: ReceiptSid,
    pub participant: ParticipantSid,
    /// The least advanced of its parts; a failed part fails it.
    pub status: Option<DeliveryStatus>,
    /// The provider's code, 0 when fine.
    pub error_code: u32,
    /// The provider's id of each part.
    pub provider_ids: Vec<String>,
    /// Ids of other tries, where one was repeated that the provider had taken after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_ids: Vec<String>,
    /// Whose ids they are, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// The status of each part.
    pub parts: Vec<Option<DeliveryStatus>>,
    /// When the provider says it took the last part: what watermarks compare with.
    pub taken_at: Option<Timestamp>,
    /// The tries that did not go well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a provider's ids are unique within.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    /// The adapter's kind.
    pub kind: String,
    pub proxy: Address,
}

/// The first byte of a receipt that is JSON: so all were, and so is one with fields that this release does not know.
const JSON: u8 = b'{';

impl Compact for ReceiptRecord {
    const NAME: &'static str = "delivery receipt";

    fn encode(&self) -> Bytes {
        let ReceiptRecord { sid, participant, status, error_code, provider_ids, other_ids, via, .. } = self;
        let ReceiptRecord { parts, taken_at, attempts, created, updated, rest, .. } = self;
        if !rest.is_empty() {
            #[expect(clippy::expect_used, reason = "records are plain data with string keys")]
            return Bytes::from(serde_json::to_vec(self).expect("a record is plain data"));
        }
        let named = (sid, participant, status, error_code, provider_ids, other_ids, via);
        compact(Self::FORMAT, &(named, parts, taken_at, attempts, created, updated))
    }

    fn decode(payload: &[u8]) -> Result<ReceiptRecord, DecodeError> {
        let record = match payload.split_first() {
            Some((&Self::FORMAT, rest)) => {
                read_compact(rest).map(|(named, parts, taken_at, attempts, created, updated)| {
                    let (sid, participant, status, error_code, provider_ids, other_ids, via) = named;
                    ReceiptRecord {
                        sid,
                        participant,
                        status,
                        error_code,
                        provider_ids,
                        other_ids,
                        via,
                        parts,
                        taken_at,
                        attempts,
                        created,
                        updated,
                        rest: Map::new(),
                    }
                })
            }
            Some((&JSON, _)) => serde_json::from_slice(payload).map_err(|cause| cause.to_string()),
            Some((format, _)) => Err(format!("unknown format {format}")),
            None => Err("it is empty".to_owned()),
        };
        record.map_err(|reason| DecodeError { what: Self::NAME, reason })
    }
}

impl ReceiptRecord {
    /// A receipt about which nothing is known yet, for a message that leaves in so many parts.
    pub fn new(sid: ReceiptSid, participant: ParticipantSid, now: Timestamp) -> ReceiptRecord {
        ReceiptRecord {
            sid,
            participant,
            status: None,
            error_code: 0,
            provider_ids: Vec::new(),
            other_ids: Vec::new(),
            via: None,
            parts: Vec::new(),
            taken_at: None,
            attempts: Vec::new(),
            created: now,
            updated: now,
            rest: Map::new(),
        }
    }

    /// Every id of a provider that is remembered as this receipt's: with the receipt, they are forgotten.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.provider_ids.iter().chain(&self.other_ids).filter(|id| !id.is_empty())
    }

    /// Takes down the id of a part. Only what stands here may be remembered elsewhere, so this says whether it does: there
    /// is room for so many.
    pub fn name(&mut self, part: usize, id: &str, via: Via) -> Named {
        if self.ids().any(|known| known == id) {
            self.via.get_or_insert(via);
            return Named::Already;
        }
        if part >= MOST_PARTS || id.is_empty() {
            return Named::Not;
        }
        if self.provider_ids.len() <= part {
            self.provider_ids.resize(part + 1, String::new());
        }
        if self.provider_ids[part].is_empty() {
            id.clone_into(&mut self.provider_ids[part]);
        } else if self.other_ids.len() < MOST_OTHERS {
            self.other_ids.push(id.to_owned());
        } else {
            return Named::Not;
        }
        self.via = Some(via);
        Named::Now
    }

    /// The same for a send that the provider has just answered: this id is the one to show.
    pub fn name_newest(&mut self, part: usize, id: &str, via: Via) -> Named {
        let named = self.name(part, id, via);
        let other = self.other_ids.iter().position(|known| known == id);
        if let (Some(other), Some(shown)) = (other, self.provider_ids.get_mut(part)) {
            std::mem::swap(shown, &mut self.other_ids[other]);
            self.other_ids.retain(|id| !id.is_empty());
        }
        named
    }

    /// So many parts are to leave; no more are believed than there can be.
    pub fn expect_parts(&mut self, parts: usize) {
        if self.parts.len() < parts && parts <= MOST_PARTS {
            self.parts.resize(parts, None);
        }
    }

    /// Moves one part forward. Says whether anything changed; a step back changes nothing.
    pub fn advance(&mut self, part: usize, status: DeliveryStatus, code: u32, now: Timestamp) -> bool {
        if part >= MOST_PARTS {
            return false;
        }
        if self.parts.len() <= part {
            self.parts.resize(part + 1, None);
        }
        if !status.follows(self.parts[part]) {
            return false;
        }
        self.parts[part] = Some(status);
        if code != 0 {
            self.error_code = code;
        }
        // How many parts there are may be learnt late; a part nobody had heard of does not take the whole back.
        self.status = match (self.status, summary(&self.parts)) {
            (Some(before), Some(now)) if !now.follows(Some(before)) => Some(before),
            (_, now) => now,
        };
        self.updated = now;
        true
    }
}

/// What became of a provider's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Already,
    Now,
    /// There are too many, or no part can be meant.
    Not,
}

/// Each is one more try of which nobody knew how it ended.
const MOST_OTHERS: usize = 64;
/// A text of 32 KiB in pieces of the smallest channel stays far below.
const MOST_PARTS: usize = 1024;

fn summary(parts: &[Option<DeliveryStatus>]) -> Option<DeliveryStatus> {
    if let Some(bad) = parts
        .iter()
        .flatten()
        .find(|status| matches!(status, DeliveryStatus::Failed | DeliveryStatus::Undelivered))
    {
        return Some(*bad);
    }
    // Parts are sent in order, so one that is not known yet has not left: the whole is no further than sent.
    let least = parts.iter().flatten().min().copied()?;
    Some(if parts.iter().any(Option::is_none) { DeliveryStatus::Sent } else { least })
}

/// How many of a message's receipts have come how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    None,
    Some,
    All,
}

impl Rating {
    pub fn name(self) -> &'static str {
        match self {
            Rating::None => "none",
            Rating::Some => "some",
            Rating::All => "all",
        }
    }

    fn of(count: usize, total: usize) -> Rating {
        match count {
            0 => Rating::None,
            all if all == total => Rating::All,
            _ => Rating::Some,
        }
    }
}

/// The aggregate shown on a message. Cumulative: what was read was also delivered and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverySummary {
    pub total: usize,
    pub sent: Rating,
    pub delivered: Rating,
    pub read: Rating,
    pub failed: Rating,
    pub undelivered: Rating,
}

impl DeliverySummary {
    /// Of the statuses of all receipts of a message; `None` where there are no receipts to speak of.
    pub fn of(statuses: &[Option<DeliveryStatus>]) -> Option<DeliverySummary> {
        use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
        let total = statuses.len();
        if total == 0 {
            return None;
        }
        let rate = |which: &[DeliveryStatus]| {
            Rating::of(statuses.iter().flatten().filter(|status| which.contains(status)).count(), total)
        };
        Some(DeliverySummary {
            total,
            sent: rate(&[Sent, Delivered, Read, Undelivered]),
            delivered: rate(&[Delivered, Read]),
            read: rate(&[Read]),
            failed: rate(&[Failed]),
            undelivered: rate(&[Undelivered]),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{AttemptEnd, Mint};
    use proptest::prelude::*;

    fn receipt() -> ReceiptRecord {
        let mint = Mint::seeded(1);
        ReceiptRecord::new(ReceiptSid::new(&mint), ParticipantSid::new(&mint), Timestamp(0))
    }

    #[test]
    fn a_late_sent_after_delivered_changes_nothing() {
        let mut receipt = receipt();
        assert!(receipt.advance(0, DeliveryStatus::Delivered, 0, Timestamp(1)));
        assert!(!receipt.advance(0, DeliveryStatus::Sent, 0, Timestamp(2)));
        assert!(!receipt.advance(0, DeliveryStatus::Failed, 30003, Timestamp(2)));
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Delivered), 0));
    }

    #[test]
    fn a_receipt_is_as_far_as_its_slowest_part() {
        let mut receipt = receipt();
        receipt.parts = vec![None, None];
        receipt.advance(0, DeliveryStatus::Read, 0, Timestamp(1));
        assert_eq!(receipt.status, Some(DeliveryStatus::Sent));
        receipt.advance(1, DeliveryStatus::Delivered, 0, Timestamp(1));
        assert_eq!(receipt.status, Some(DeliveryStatus::Delivered));
    }

    #[test]
    fn the_aggregate_is_cumulative() {
        use DeliveryStatus::{Delivered, Read, Sent};
        let summary = DeliverySummary::of(&[Some(Sent), Some(Delivered), Some(Read)]);
        let expected = DeliverySummary {
            total: 3,
            sent: Rating::All,
            delivered: Rating::Some,
            read: Rating::Some,
            failed: Rating::None,
            undelivered: Rating::None,
        };
        assert_eq!(summary, Some(expected));
        assert_eq!(DeliverySummary::of(&[]), None);
    }

    #[test]
    fn every_id_that_was_given_is_known() {
        let via = || Via { kind: "test".to_owned(), proxy: Address::parse("+12025550001").unwrap() };
        let mut receipt = receipt();
        assert_eq!(receipt.name(1, "a", via()), Named::Now);
        assert_eq!(receipt.name(1, "b", via()), Named::Now);
        assert_eq!(receipt.name(1, "b", via()), Named::Already);
        assert_eq!(
            (&receipt.provider_ids[..], &receipt.other_ids[..]),
            (&["", "a"].map(String::from)[..], &["b".to_owned()][..])
        );
        // What the provider answers is shown, whatever a status told before.
        assert_eq!(receipt.name_newest(1, "c", via()), Named::Now);
        assert_eq!(receipt.name_newest(0, "b", via()), Named::Already);
        assert_eq!(receipt.provider_ids, ["b", "c"]);
        assert_eq!(receipt.ids().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert_eq!(
            (receipt.name(MOST_PARTS, "d", via()), receipt.name(0, "", via())),
            (Named::Not, Named::Not)
        );
        let told = (0..)
            .map(|id| receipt.name(0, &format!("x{id}"), via()))
            .take_while(|named| *named == Named::Now);
        assert_eq!(told.count(), MOST_OTHERS - 1);
    }

    #[test]
    fn a_receipt_is_compact_unless_a_newer_release_wrote_more_into_it() {
        let via = Via { kind: "twilio".to_owned(), proxy: Address::parse("+12025550001").unwrap() };
        let plain = receipt();
        let attempt = Attempt {
            at: Timestamp(3),
            end: AttemptEnd::Throttled,
            code: 14107,
            text: "too many".to_owned(),
        };
        let full = ReceiptRecord {
            status: Some(DeliveryStatus::Sent),
            error_code: 63_016,
            provider_ids: vec!["SM1".to_owned(), String::new()],
            other_ids: vec!["SM2".to_owned()],
            via: Some(via),
            parts: vec![Some(DeliveryStatus::Delivered), None],
            taken_at: Some(Timestamp(7)),
            attempts: vec![attempt],
            updated: Timestamp(8),
            ..plain.clone()
        };
        let more =
            ReceiptRecord { rest: Map::from_iter([("mood".to_owned(), "fine".into())]), ..full.clone() };
        for (record, format) in [(&plain, 1), (&full, 1), (&more, JSON)] {
            let payload = record.encode();
            assert_eq!(payload[0], format);
            assert_eq!(ReceiptRecord::decode(&payload).unwrap(), *record);
        }
        let before = serde_json::to_vec(&full).unwrap();
        assert_eq!(ReceiptRecord::decode(&before).unwrap(), full, "a row of an earlier release");
        assert!(full.encode().len() * 2 < before.len());
        let wrong = |payload: &[u8]| ReceiptRecord::decode(payload).unwrap_err().to_string();
        assert_eq!(wrong(b""), "a stored delivery receipt cannot be read: it is empty");
        assert!(wrong(b"\x02").ends_with("unknown format 2"));
        assert!(wrong(&[&full.encode()[..], b"x"].concat()).ends_with("1 bytes too many"));
    }

    proptest! {
        #[test]
        fn a_receipt_never_goes_backwards(steps in proptest::collection::vec((0usize..3, 0usize..5), 0..40)) {
            let mut receipt = receipt();
            receipt.parts = vec![None; 3];
            let mut before = receipt.clone();
            for (part, status) in steps {
                receipt.advance(part, DeliveryStatus::ALL[status], 0, Timestamp(1));
                for (old, new) in before.parts.iter().zip(&receipt.parts) {
                    prop_assert!(old == new || new.is_some_and(|new| new.follows(*old)));
                }
                if matches!(before.status, Some(DeliveryStatus::Failed | DeliveryStatus::Undelivered)) {
                    prop_assert!(matches!(receipt.status, Some(DeliveryStatus::Failed | DeliveryStatus::Undelivered)));
                }
                before = receipt.clone();
            }
        }
    }
}
