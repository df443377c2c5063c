#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use trunkline_adapter::{Class, Inbound, ProviderError};

use super::*;
use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::{Delivery, Via};
use crate::relay::kit::{House, NOON, address, ours, phone, said};

/// One message sent to one person, and what its lane and its provider make of it.
struct Sent {
    house: Arc<House>,
    conversation: ConversationSid,
    index: u64,
    delivery: Delivery,
}

impl Sent {
    async fn new() -> Sent {
        let house = Arc::new(House::new().await);
        let conversation = house.talk(1, &[1]).await;
        Sent::next(house, conversation).await
    }

    async fn next(house: Arc<House>, conversation: ConversationSid) -> Sent {
        let (index, record) = house.post(&conversation, "hello").await;
        Sent { house, conversation, index, delivery: record.deliveries[0].clone() }
    }

    fn correlation(&self, part: u32) -> Option<String> {
        let Delivery { participant, receipt } = self.delivery.clone();
        let (conversation, index) = (self.conversation.clone(), self.index);
        Some(Correlation { conversation, index, participant, receipt, part, parts: 0 }.encode())
    }

    fn report(&self, id: &str, status: DeliveryStatus) -> StatusReport {
        let error = (status >= DeliveryStatus::Undelivered).then(|| ProviderError {
            code: 30003,
            class: Class::Permanent,
            text: String::new(),
        });
        let (from, learned) = (ours(1), Vec::new());
        StatusReport { id: id.to_owned(), from, correlation: None, status, error, learned, at: None }
    }

    async fn told(&self, report: StatusReport) {
        self.house.take(vec![Inbound::Status(report)]).await;
    }

    /// What the lane commits when the provider took a part.
    async fn outcome(&self, id: &str, part: u32, parts: usize) {
        let account = self.house.account.as_str();
        loop {
            let snapshot = self.house.relay.ledger.snapshot();
            let mut batch = Batch::default();
            let key = tables::receipt(
                account,
                self.conversation.as_str(),
                self.index,
                self.delivery.receipt.as_str(),
            );
            let stored = typed::compact::<ReceiptRecord>(&*snapshot, &key).await.unwrap();
            match &stored {
                Some(row) => batch.at(key.clone(), row.changed),
                None => batch.absent(key.clone()),
            };
            let Delivery { participant, receipt } = self.delivery.clone();
            let mut record = stored.map_or_else(
                || ReceiptRecord::new(receipt.clone(), participant.clone(), NOON),
                |row| row.record,
            );
            if record.parts.len() < parts {
                record.parts.resize(parts, None);
            }
            let via = Via { kind: "test".to_owned(), proxy: ours(1) };
            assert_ne!(record.name_newest(part as usize, id, via), Named::Not);
            record.taken_at = Some(self.house.relay.clock.now());
            record.advance(part as usize, DeliveryStatus::Sent, 0, NOON);
            let parked = tables::parked(account, "test", &ours(1), id);
            match typed::json::<ParkedStatus>(&*snapshot, &parked).await.unwrap() {
                None => {
                    batch.absent(parked);
                }
                Some(row) => {
                    batch.at(parked.clone(), row.changed);
                    batch.delete(parked);
                    for report in row.record.reports {
                        record.advance(part as usize, report.status, 0, NOON);
                    }
                }
            }
            batch.put(key, record.encode());
            let part = Part {
                conversation: self.conversation.clone(),
                index: self.index,
                participant,
                receipt,
                part,
                parts: 0,
            };
            batch.put(tables::provider_id(account, "test", &ours(1), id), outbound(&part).encode());
            match self.house.relay.ledger.commit(batch).await {
                Ok(_) => return,
                Err(CommitError::Conflict(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    }

    async fn receipt(&self) -> Option<ReceiptRecord> {
        let account = self.house.account.as_str();
        let key =
            tables::receipt(account, self.conversation.as_str(), self.index, self.delivery.receipt.as_str());
        let snapshot = self.house.relay.ledger.snapshot();
        typed::compact::<ReceiptRecord>(&*snapshot, &key).await.unwrap().map(|row| row.record)
    }

    async fn status(&self) -> Option<DeliveryStatus> {
        self.receipt().await?.status
    }

    async fn parked(&self) -> usize {
        self.house.rows(Some(Space::Parked)).await.len()
    }
}

use DeliveryStatus::{Delivered, Failed, Read, Sent as Gone, Undelivered};

#[tokio::test(start_paused = true)]
async fn a_read_horizon_follows_the_channel_and_only_forward() {
    let sent = Sent::new().await;
    let who = sent.delivery.participant.clone();
    let (house, talk) = (sent.house.clone(), sent.conversation.clone());
    let horizon = async || {
        let record = house.state(&talk).await.member(&who).unwrap().record.clone();
        (record.last_read_message_index, record.last_read_timestamp)
    };
    let mut all = vec![sent];
    for _ in 0..3 {
        all.push(Sent::next(house.clone(), talk.clone()).await);
    }
    for (number, one) in all.iter().enumerate() {
        one.outcome(&format!("SM{number}"), 0, 1).await;
        one.told(one.report(&format!("SM{number}"), Delivered)).await;
    }
    assert_eq!(horizon().await, (None, None), "what was delivered was not read");
    let read = async |number: usize, at: Option<u64>| {
        let one = &all[number];
        let report = one.report(&format!("SM{number}"), Read);
        one.told(StatusReport { at: at.map(|seconds| NOON.plus(Duration::from_secs(seconds))), ..report })
            .await;
    };
    read(1, Some(5)).await;
    let first = (Some(1), Some(NOON.plus(Duration::from_secs(5))));
    assert_eq!(horizon().await, first);
    let rows = house.rows(None).await;
    read(1, Some(7)).await;
    assert_eq!(house.rows(None).await, rows, "a repeat writes nothing");
    read(0, Some(8)).await;
    assert_eq!((horizon().await, all[0].status().await), (first, Some(Read)), "not back to an older one");
    // Whoever set it further, or back, over REST goes on from there.
    let to = async |change| {
        let change = crate::relay::command::ParticipantChange {
            last_read_message_index: change,
            ..Default::default()
        };
        let (account, service) = (&house.account, &house.service);
        let cause = Cause::api(false);
        house
            .relay
            .update_participant(account, service, talk.as_str(), who.as_str(), change, cause)
            .await
            .unwrap();
    };
    to(crate::relay::command::Change::Clear).await;
    read(2, None).await;
    assert_eq!(horizon().await, (Some(2), Some(NOON)), "without a time of the provider's, ours");
    // Everything up to a moment at once, and in a closed conversation too.
    let mark = |status| {
        let until = NOON.plus(Duration::from_secs(60));
        Inbound::Watermark { from: Person::new(phone(1)), to: ours(1), status, until }
    };
    house.take(vec![mark(Delivered)]).await;
    assert_eq!(horizon().await.0, Some(2));
    house.take(vec![mark(Read)]).await;
    assert_eq!(horizon().await.0, Some(3));
    assert_eq!(all[3].status().await, Some(Read));
}

#[tokio::test]
async fn receipts_move_forward_only() {
    let sent = Sent::new().await;
    sent.outcome("SM1", 0, 1).await;
    for (told, then) in
        [(Delivered, Delivered), (Gone, Delivered), (Failed, Delivered), (Read, Read), (Delivered, Read)]
    {
        sent.told(sent.report("SM1", told)).await;
        assert_eq!(sent.status().await, Some(then), "{told:?}");
    }
    let rows = sent.house.rows(None).await;
    sent.told(sent.report("SM1", Delivered)).await;
    assert_eq!(sent.house.rows(None).await, rows, "a repeat writes nothing");
    let other = Sent::next(sent.house.clone(), sent.conversation.clone()).await;
    other.outcome("SM2", 0, 1).await;
    other.told(other.report("SM2", Undelivered)).await;
    other.told(other.report("SM2", Delivered)).await;
    let receipt = other.receipt().await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(Undelivered), 30003));
}

#[tokio::test]
async fn a_status_before_the_sends_answer_waits_or_is_recognised() {
    let sent = Sent::new().await;
    sent.told(sent.report("SM1", Delivered)).await;
    sent.told(sent.report("SM1", Delivered)).await;
    assert_eq!((sent.status().await, sent.parked().await), (None, 1));
    sent.outcome("SM1", 0, 1).await;
    assert_eq!((sent.status().await, sent.parked().await), (Some(Delivered), 0));

    let other = Sent::next(sent.house.clone(), sent.conversation.clone()).await;
    other.told(StatusReport { correlation: other.correlation(0), ..other.report("SM2", Delivered) }).await;
    assert_eq!((other.status().await, other.parked().await), (Some(Delivered), 0));
    other.told(other.report("SM2", Read)).await;
    assert_eq!(other.status().await, Some(Read), "its id is known from now on");
    other.outcome("SM2", 0, 1).await;
    assert_eq!(other.status().await, Some(Read));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_and_the_sends_answer_at_the_same_time_never_miss_each_other() {
    let house = Arc::new(House::new().await);
    let conversation = house.talk(1, &[1]).await;
    let races = (0..40).map(|number| {
        let (house, conversation) = (house.clone(), conversation.clone());
        tokio::spawn(async move {
            let sent = Arc::new(Sent::next(house, conversation).await);
            let id = format!("SM{number}");
            let told = tokio::spawn({
                let (sent, report) = (sent.clone(), sent.report(&id, Delivered));
                async move { sent.told(report).await }
            });
            sent.outcome(&id, 0, 1).await;
            told.await.unwrap();
            assert_eq!((sent.status().await, number), (Some(Delivered), number));
        })
    });
    for race in join_all(races).await {
        race.unwrap();
    }
    assert!(house.rows(Some(Space::Parked)).await.is_empty());
}

#[tokio::test]
async fn the_first_of_several_parts_is_not_taken_for_the_whole() {
    let sent = Sent::new().await;
    let correlation = sent.correlation(0).unwrap();
    let correlation = Some(Correlation { parts: 3, ..Correlation::decode(&correlation).unwrap() }.encode());
    sent.told(StatusReport { correlation, ..sent.report("SM1", Delivered) }).await;
    let receipt = sent.receipt().await.unwrap();
    assert_eq!(receipt.status, Some(DeliveryStatus::Sent), "two more are to leave");
    assert_eq!(receipt.parts, [Some(Delivered), None, None]);
}

#[tokio::test]
async fn a_correlation_that_names_what_is_not_its_own_is_ignored() {
    let sent = Sent::new().await;
    let proxy = address("whatsapp:+12025550000");
    let victim = sent.house.conversation().await;
    sent.house.bind(&victim, &proxy, &address("whatsapp:+13035550009")).await.unwrap();
    let (index, record) = sent.house.post(&victim, "for another line").await;
    let Delivery { participant, receipt } = record.deliveries[0].clone();
    let real = Correlation { conversation: victim.clone(), index, participant, receipt, part: 0, parts: 1 };
    let mint = crate::model::Mint::seeded(99);
    let forged = [
        real.clone(),
        Correlation { receipt: sent.delivery.receipt.clone(), ..real.clone() },
        Correlation { index: 77, ..real.clone() },
        Correlation { conversation: ConversationSid::new(&mint), ..real.clone() },
    ];
    for (number, forged) in forged.into_iter().enumerate() {
        let report = sent.report(&format!("X{number}"), Read);
        sent.told(StatusReport { correlation: Some(forged.encode()), ..report }).await;
    }
    for rubbish in ["", "CH", "….….….….…", &"x".repeat(100_000)] {
        let report = sent.report("Y", Read);
        sent.told(StatusReport { correlation: Some(rubbish.to_owned()), ..report }).await;
    }
    assert!(sent.house.rows(Some(Space::Receipt)).await.is_empty());
    let report =
        StatusReport { from: proxy, correlation: Some(real.encode()), ..sent.report("wamid.1", Delivered) };
    sent.told(report).await;
    assert_eq!(sent.house.rows(Some(Space::Receipt)).await.len(), 1);
}

#[tokio::test]
async fn a_message_in_parts_is_as_far_as_its_slowest_part() {
    let sent = Sent::new().await;
    sent.outcome("SM1", 0, 2).await;
    sent.told(sent.report("SM1", Delivered)).await;
    assert_eq!(sent.status().await, Some(Gone));
    sent.outcome("SM2", 1, 2).await;
    sent.told(sent.report("SM2", Delivered)).await;
    assert_eq!(sent.status().await, Some(Delivered));
    let early = Sent::next(sent.house.clone(), sent.conversation.clone()).await;
    early.told(StatusReport { correlation: early.correlation(0), ..early.report("SM3", Delivered) }).await;
    early.outcome("SM3", 0, 2).await;
    early.told(StatusReport { correlation: early.correlation(1), ..early.report("SM4", Gone) }).await;
    assert_eq!(early.status().await, Some(Delivered), "not back, even when a part was not known of");
    let far = StatusReport { correlation: early.correlation(u32::MAX), ..early.report("SM5", Read) };
    early.told(far).await;
    assert_eq!(early.receipt().await.unwrap().parts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_watermark_moves_everything_up_to_it() {
    let house = Arc::new(House::new().await);
    let conversation = house.talk(1, &[1, 2]).await;
    let mut sent = Vec::new();
    for number in 0..300 {
        let next = Sent::next(house.clone(), conversation.clone()).await;
        if number != 299 {
            next.outcome(&format!("SM{number}"), 0, 1).await;
        }
        sent.push(next);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let until = NOON.plus(Duration::from_secs(2905));
    let mark = |status, until| Inbound::Watermark { from: Person::new(phone(1)), to: ours(1), status, until };
    house.take(vec![mark(Delivered, until)]).await;
    let statuses = async || {
        let mut statuses = Vec::new();
        for one in &sent {
            statuses.push(one.status().await);
        }
        statuses
    };
    let now = statuses().await;
    assert!(now[..291].iter().all(|status| *status == Some(Delivered)), "{:?}", &now[285..]);
    assert!(now[291..299].iter().all(|status| *status == Some(Gone)));
    assert_eq!(now[299], None, "it has not left");
    let rows = house.rows(None).await;
    house.take(vec![mark(Delivered, until)]).await;
    assert_eq!(house.rows(None).await, rows);
    house.take(vec![mark(Read, NOON.plus(Duration::from_secs(1)))]).await;
    let now = statuses().await;
    assert_eq!((now[0], now[1]), (Some(Read), Some(Delivered)));
    // Of a message in parts, one that has not left is not read.
    let parts = Sent::next(house.clone(), conversation).await;
    parts.outcome("P1", 0, 2).await;
    house.take(vec![mark(Read, NOON.plus(Duration::from_secs(90_000)))]).await;
    let receipt = parts.receipt().await.unwrap();
    assert_eq!((receipt.status, receipt.parts), (Some(Gone), vec![Some(Read), None]));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_swept_after_a_day() {
    let sent = Sent::new().await;
    let mut batch = Batch::default();
    batch.put(tables::parked(sent.house.account.as_str(), "test", &ours(1), "SM0"), "not readable");
    sent.house.relay.ledger.commit(batch).await.unwrap();
    let sweep = tokio::spawn(sent.house.relay.clone().sweep_parked(sent.house.account.clone()));
    sent.told(sent.report("SM1", Delivered)).await;
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    sent.told(sent.report("SM2", Delivered)).await;
    assert_eq!(sent.parked().await, 2);
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(sent.parked().await, 1);
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(sent.parked().await, 0);
    sweep.abort();
}

#[tokio::test]
async fn a_late_status_does_not_bring_back_the_receipt_of_a_removed_message() {
    let sent = Sent::new().await;
    sent.outcome("SM1", 0, 1).await;
    let (account, service) = (&sent.house.account, &sent.house.service);
    let (_, record) = sent.house.messages(&sent.conversation).await.pop().unwrap();
    let name = sent.conversation.as_str();
    sent.house
        .relay
        .delete_message(account, service, name, record.sid.as_str(), Cause::api(false))
        .await
        .unwrap();
    cleaned(&sent.house).await;
    sent.told(StatusReport { correlation: sent.correlation(0), ..sent.report("SM1", Read) }).await;
    assert!(sent.house.rows(Some(Space::Receipt)).await.is_empty());
    assert!(sent.house.rows(Some(Space::ProviderId)).await.is_empty());
    assert_eq!(sent.parked().await, 1, "for a day");
}

/// Lets the clean-up go on until nothing is left to do.
async fn cleaned(house: &House) {
    clean(house, usize::MAX).await;
}

/// The same, where it dies after so many steps, again and again.
async fn clean(house: &House, steps: usize) {
    for _ in 0..10_000 {
        let cleaning = tokio::spawn(house.relay.clone().clean_up(house.account.clone()));
        for _ in 0..steps.min(1_000) {
            let waiting = house.rows(Some(Space::Queue)).await;
            if !waiting.iter().any(|(key, _)| key.rest().unwrap()[0] == 2) {
                cleaning.abort();
                return;
            }
            tokio::task::yield_now().await;
        }
        cleaning.abort();
        let _ = cleaning.await;
    }
    panic!("the clean-up does not come to an end");
}

/// What is known of providers' ids, but for those that only drop repeats.
async fn ids(house: &House) -> usize {
    let rows = house.rows(Some(Space::ProviderId)).await;
    rows.iter().filter(|(_, row)| row.payload != ProviderIdRow::Event.encode()).count()
}

#[tokio::test]
async fn a_removed_message_takes_the_ids_of_its_sends_along() {
    let sent = Sent::new().await;
    let (house, conversation) = (&sent.house, &sent.conversation);
    // One was known of by a status, one by the answer, and one is of a try that says nothing new.
    let told = |id| StatusReport { correlation: sent.correlation(0), ..sent.report(id, Delivered) };
    sent.told(told("SM1")).await;
    sent.outcome("SM2", 0, 1).await;
    sent.told(told("SM3")).await;
    let kept = Sent::next(house.clone(), conversation.clone()).await;
    kept.outcome("SM4", 0, 1).await;
    house.take(vec![said("in", 1, 1, "x")]).await;
    assert_eq!(ids(house).await, 5);
    let messages = house.messages(conversation).await;
    for (_, gone) in [&messages[0], &messages[2]] {
        let (name, sid) = (conversation.as_str(), gone.sid.as_str());
        house
            .relay
            .delete_message(&house.account, &house.service, name, sid, Cause::api(false))
            .await
            .unwrap();
    }
    cleaned(house).await;
    assert_eq!(ids(house).await, 1, "of the message that is still there");
    assert_eq!(kept.status().await, Some(Gone));
    house.take(vec![said("in", 1, 1, "x")]).await;
    assert_eq!(house.messages(conversation).await.len(), 1, "what came in is remembered");
}

#[tokio::test]
async fn an_id_that_comes_while_its_receipt_is_cleaned_away_goes_too() {
    let sent = Sent::new().await;
    sent.outcome("SM1", 0, 2).await;
    let (house, name) = (&sent.house, sent.conversation.as_str());
    let (_, message) = house.messages(&sent.conversation).await.pop().unwrap();
    house
        .relay
        .delete_message(&house.account, &house.service, name, message.sid.as_str(), Cause::api(false))
        .await
        .unwrap();
    // The same rows behind an engine that takes batches in and applies them later.
    let slow = Arc::new(crate::ledger::memory::Memory::unflushed(1, Vec::new()));
    let mut batch = Batch::default();
    for (key, row) in house.rows(None).await {
        batch.put(key, row.payload);
    }
    let engine: Arc<dyn crate::ledger::engine::Engine> = slow.clone();
    let copying = tokio::spawn(async move { engine.commit(batch).await });
    while slow.flush() == 0 {
        tokio::task::yield_now().await;
    }
    copying.await.unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bindings = crate::bindings::Bindings::new(folder.path());
    let house = Arc::new(House::on(slow.clone(), bindings, folder).await);
    let pause = async || {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    };
    // The outcome of the second part is on its way to the disk when the clean-up reads the receipt.
    let sent = Sent { house: house.clone(), ..sent };
    let outcome = tokio::spawn(async move { sent.outcome("SM2", 1, 2).await });
    pause().await;
    let cleaning = tokio::spawn(house.relay.clone().clean_up(house.account.clone()));
    pause().await;
    assert_eq!(slow.flush(), 2, "both");
    outcome.await.unwrap();
    while house.rows(Some(Space::Queue)).await.iter().any(|(key, _)| key.rest().unwrap()[0] == 2) {
        slow.flush();
        pause().await;
    }
    cleaning.abort();
    assert_eq!((ids(&house).await, house.rows(Some(Space::Receipt)).await.len()), (0, 0));
}

#[tokio::test]
async fn of_a_removed_conversation_nothing_is_left_but_that_something_came_in() {
    for steps in [usize::MAX, 3, 4, 7] {
        let sent = Sent::new().await;
        let (house, conversation) = (&sent.house, &sent.conversation);
        // More ids than one batch can hold.
        for part in 0..300 {
            sent.outcome(&format!("SM{part}"), part, 300).await;
        }
        for number in 0..5 {
            let other = Sent::next(house.clone(), conversation.clone()).await;
            other.outcome(&format!("X{number}"), 0, 1).await;
            other
                .told(StatusReport {
                    correlation: other.correlation(0),
                    ..other.report(&format!("Y{number}"), Read)
                })
                .await;
            house.take(vec![said(&number.to_string(), 1, 1, "x")]).await;
        }
        assert_eq!(ids(house).await, 315);
        house
            .relay
            .delete_conversation(&house.account, &house.service, conversation.as_str(), Cause::api(false))
            .await
            .unwrap();
        house.memory.inject_conflicts(2);
        clean(house, steps).await;
        assert_eq!(ids(house).await, 0, "{steps}");
        let sid = conversation.as_str();
        for (key, row) in house.rows(None).await {
            // Lanes drop what they find without a message.
            if key.space() != Some(Space::Queue) {
                assert_ne!(key.parts().unwrap().partition, sid, "{key:?}");
                assert!(!row.payload.windows(sid.len()).any(|some| some == sid.as_bytes()), "{key:?}");
            }
        }
        assert_eq!(house.rows(Some(Space::ProviderId)).await.len(), 5);
    }
}

#[tokio::test]
async fn a_status_teaches_other_names_and_is_parked_so_often_only() {
    let sent = Sent::new().await;
    let other = phone(77);
    sent.outcome("SM1", 0, 1).await;
    sent.told(StatusReport { learned: vec![other.clone()], ..sent.report("SM1", Delivered) }).await;
    let member = sent.house.state(&sent.conversation).await.members[0].record.binding.clone().unwrap();
    assert_eq!(member.aliases, [other]);
    for second in 0..100 {
        let report = sent.report("unknown", Gone);
        sent.told(StatusReport { at: Some(Timestamp::from_seconds(second)), ..report }).await;
    }
    let rows = sent.house.rows(Some(Space::Parked)).await;
    assert_eq!(ParkedStatus::decode(&rows[0].1.payload).unwrap().reports.len(), MOST_PARKED);
}
