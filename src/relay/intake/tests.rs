#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use trunkline_adapter::{InboundMessage, Part, Signal};

use super::*;
use crate::announce::Cause;
use crate::bindings::Bindings;
use crate::ledger::engine::Engine;
use crate::ledger::key::Space;
use crate::ledger::memory::Memory;
use crate::ledger::tables;
use crate::model::{Dispatch, message};
use crate::relay::Relay;
use crate::relay::command::Who;
use crate::relay::kit::{House, address, ours, phone, said, text, wrote};

#[tokio::test(flavor = "multi_thread")]
async fn five_at_once_are_one_message_and_one_row_per_recipient() {
    let house = Arc::new(House::new().await);
    let conversation = house.talk(1, &[1, 2, 3]).await;
    let takes = (0..5).map(|_| {
        let house = house.clone();
        tokio::spawn(async move { house.take(vec![said("SM1", 1, 1, "hello")]).await })
    });
    for taken in join_all(takes).await {
        taken.unwrap();
    }
    assert_eq!(house.bodies(&conversation).await, ["hello"]);
    assert_eq!(house.queued().await.len(), 2);
    // A restart and any time later, the same.
    let rows = house.rows(None).await;
    let again =
        House::on(house.memory.clone(), Bindings::new(&std::env::temp_dir()), tempfile::tempdir().unwrap())
            .await;
    again.take(vec![said("SM1", 1, 1, "hello")]).await;
    assert_eq!(house.rows(None).await, rows);
    // Another proxy address: another message, whatever its id.
    house.bind(&conversation, &ours(2), &phone(1)).await.unwrap();
    house.take(vec![said("SM1", 1, 2, "hello again")]).await;
    assert_eq!(house.bodies(&conversation).await, ["hello", "hello again"]);
}

#[tokio::test]
async fn a_repeat_after_an_edit_or_a_deletion_changes_nothing() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1, 2]).await;
    house.take(vec![said("1", 1, 1, "one"), said("2", 1, 1, "two"), said("2", 1, 1, "two")]).await;
    let messages = house.messages(&conversation).await;
    let (account, service) = (&house.account, &house.service);
    let change = crate::relay::command::MessageChange {
        body: crate::relay::command::Change::Set("edited".to_owned()),
        ..Default::default()
    };
    let name = conversation.as_str();
    house
        .relay
        .update_message(account, service, name, messages[0].1.sid.as_str(), change, Cause::api(false))
        .await
        .unwrap();
    house
        .relay
        .delete_message(account, service, name, messages[1].1.sid.as_str(), Cause::api(false))
        .await
        .unwrap();
    let rows = house.rows(None).await;
    house.take(vec![said("1", 1, 1, "one"), said("2", 1, 1, "two")]).await;
    assert_eq!(house.rows(None).await, rows);
    house.take(vec![said("3", 1, 1, "three")]).await;
    let indexes: Vec<_> = house.messages(&conversation).await.into_iter().map(|(index, _)| index).collect();
    assert_eq!(indexes, [0, 2], "an index is never used twice");
}

#[tokio::test]
async fn a_thousand_entries_over_several_conversations() {
    let house = House::new().await;
    let mut conversations = Vec::new();
    for group in 0..8 {
        conversations.push(house.talk(group, &[group * 2, group * 2 + 1]).await);
    }
    let entry = |number: u32| {
        let group = number % 8;
        // Every tenth is a repeat, and some are nobody's.
        let id = format!("id {}", if number % 80 >= 72 { number - 8 } else { number });
        let from = if number.is_multiple_of(9) { 5000 } else { group * 2 + number / 8 % 2 };
        said(&id, from, group, &number.to_string())
    };
    let events: Vec<_> = (0..1000).map(entry).collect();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 8];
    let mut seen = std::collections::HashSet::new();
    for event in &events {
        let Inbound::Message(message) = event else { panic!() };
        let group: usize = message.to.as_str()[9..].parse().unwrap();
        if message.from.address != phone(5000) && seen.insert((group, message.id.clone())) {
            let Part::Text { text } = &message.parts[0] else { panic!() };
            expected[group].push(text.clone());
        }
    }
    house.take(events.clone()).await;
    for (conversation, expected) in conversations.iter().zip(&expected) {
        assert_eq!(&house.bodies(conversation).await, expected, "whole and in order");
    }
    let sends: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(house.queued().await.len(), sends);
    let rows = house.rows(None).await;
    house.take(events).await;
    assert_eq!(house.rows(None).await, rows);
}

#[tokio::test]
async fn conflicts_are_decided_again_until_it_is_too_much() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1, 2]).await;
    house.memory.inject_conflicts(7);
    house.take(vec![said("1", 1, 1, "through")]).await;
    house.memory.inject_conflicts(8);
    let refused = house.relay.take(house.origin(), vec![said("2", 1, 1, "later")]).await;
    assert!(matches!(refused, Err(RelayError::Contended)), "{refused:?}");
    assert_eq!(house.bodies(&conversation).await, ["through"]);
    house.take(vec![said("2", 1, 1, "later")]).await;
    assert_eq!(house.bodies(&conversation).await, ["through", "later"]);
    house.memory.set_full(true);
    let full = house.relay.take(house.origin(), vec![said("3", 1, 1, "x")]).await;
    assert!(matches!(full, Err(RelayError::Full)));
}

#[tokio::test]
async fn queues_keep_the_order_of_indexes_for_every_recipient() {
    let house = Arc::new(House::new().await);
    let conversation = house.talk(1, &[1, 2, 3]).await;
    let takes = (0..60u32).map(|number| {
        let (house, conversation) = (house.clone(), conversation.clone());
        async move {
            let id = number.to_string();
            match number % 3 {
                0 => house.take(vec![said(&id, 1, 1, "x"), said(&format!("{id}b"), 2, 1, "x")]).await,
                1 => house.take(vec![said(&id, 2, 1, "x")]).await,
                _ => drop(house.post(&conversation, "x").await),
            }
        }
    });
    join_all(takes).await;
    let mut last = std::collections::HashMap::new();
    for dispatch in house.queued().await {
        let Dispatch::Message { participant, index, .. } = dispatch else { panic!() };
        let before = last.insert(participant, index);
        assert!(before.is_none_or(|before| before < index));
    }
    assert_eq!(last.len(), 3);
}

/// A binding table that was made from other rows than the ledger's.
async fn stale(of: &House) -> Bindings {
    let copy = Memory::new(1);
    for rows in of.rows(Some(Space::Binding)).await.chunks(200) {
        let mut batch = Batch::default();
        for (key, row) in rows {
            batch.put(key.clone(), row.payload.clone());
        }
        copy.commit(batch).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::new(folder.path());
    let engine: Arc<dyn Engine> = Arc::new(copy);
    bindings.start(&engine);
    let mut progress = bindings.progress();
    progress.wait_for(|progress| *progress == crate::bindings::Progress::Ready).await.unwrap();
    // The folder may go while the copy is open; it is never read again.
    drop(folder);
    bindings
}

#[tokio::test]
async fn a_copy_that_is_behind_is_corrected_by_the_ledger() {
    let house = House::new().await;
    let (account, service) = (house.account.clone(), house.service.clone());
    let closed = house.talk(1, &[1, 11]).await;
    let left = house.talk(2, &[2, 12]).await;
    let deleted = house.talk(3, &[3, 13]).await;
    let nobody = house.talk(4, &[4, 14]).await;
    let bindings = stale(&house).await;
    let close = crate::relay::command::ConversationChange {
        state: Some(crate::model::State::Closed),
        ..Default::default()
    };
    let relay = &house.relay;
    relay
        .update_conversation(&account, &service, closed.as_str(), close.clone(), Cause::api(false))
        .await
        .unwrap();
    relay.update_conversation(&account, &service, nobody.as_str(), close, Cause::api(false)).await.unwrap();
    let member = house.state(&left).await.members[0].record.sid.clone();
    relay
        .remove_participant(&account, &service, left.as_str(), member.as_str(), Cause::api(false))
        .await
        .unwrap();
    relay.delete_conversation(&account, &service, deleted.as_str(), Cause::api(false)).await.unwrap();
    let now = house.conversation().await;
    for number in 1..=3 {
        house.bind(&now, &ours(number), &phone(number)).await.unwrap();
    }
    let house = House::on(house.memory.clone(), bindings, tempfile::tempdir().unwrap()).await;
    let probe = tables::binding(account.as_str(), &ours(1), &phone(1));
    assert!(
        matches!(house.relay.bindings.lookup(&probe), crate::bindings::Lookup::Hit(_)),
        "the copy answers"
    );
    for number in 1..=4 {
        house.take(vec![said(&number.to_string(), number, number, &number.to_string())]).await;
    }
    assert_eq!(house.bodies(&now).await, ["1", "2", "3"]);
    assert!(house.messages(&closed).await.is_empty() && house.messages(&left).await.is_empty());
    assert!(house.messages(&nobody).await.is_empty(), "a closed conversation takes nothing");
    // Events go the same way.
    house
        .take(vec![Inbound::Deletion {
            id: "d".to_owned(),
            of: "1".to_owned(),
            from: Person::new(phone(1)),
            to: ours(1),
            at: None,
        }])
        .await;
    assert_eq!(house.bodies(&now).await, ["2", "3"]);
}

#[tokio::test]
async fn nothing_is_refused_by_a_memory_that_is_behind() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1]).await;
    // Another relay on the same rows, whose changes this one's memory does not see.
    let other =
        House::on(house.memory.clone(), Bindings::new(&std::env::temp_dir()), tempfile::tempdir().unwrap())
            .await;
    other.bind(&conversation, &ours(1), &phone(2)).await.unwrap();
    assert_eq!(house.state(&conversation).await.members.len(), 1, "it is behind");
    house.take(vec![said("1", 2, 1, "hello")]).await;
    assert_eq!(house.bodies(&conversation).await, ["hello"]);
    assert_eq!(house.queued().await.len(), 1);
}

#[tokio::test]
async fn aliases_are_learnt_unless_they_are_somebody_elses() {
    let house = House::new().await;
    let proxy = address("whatsapp:+12025550000");
    let (ana, bsuid, ben) =
        (address("whatsapp:+13035550001"), address("whatsapp:US.900100"), address("whatsapp:+13035550002"));
    let conversation = house.conversation().await;
    let member = house.bind(&conversation, &proxy, &ana).await.unwrap();
    let person = Person { aliases: vec![ana.clone()], ..Person::new(bsuid.clone()) };
    house.take(vec![wrote("1", person, proxy.clone(), "both names")]).await;
    house.take(vec![wrote("2", Person::new(bsuid.clone()), proxy.clone(), "no number any more")]).await;
    assert_eq!(house.bodies(&conversation).await, ["both names", "no number any more"]);
    let author = house.messages(&conversation).await[1].1.author.clone();
    assert_eq!(author, ana.to_string(), "one person, one name");

    // An alias that is bound elsewhere stays there; the message goes through all the same.
    let elsewhere = house.conversation().await;
    let other = house.bind(&elsewhere, &proxy, &ben).await.unwrap();
    let both = Person { aliases: vec![ben.clone()], ..Person::new(bsuid.clone()) };
    house.take(vec![wrote("3", both, proxy.clone(), "two phones")]).await;
    assert_eq!(house.messages(&conversation).await.len(), 3);
    let aliases =
        house.state(&conversation).await.member(&member).unwrap().record.binding.clone().unwrap().aliases;
    assert_eq!(aliases, std::slice::from_ref(&bsuid));

    // Both go when the person leaves.
    let name = conversation.as_str();
    house
        .relay
        .remove_participant(&house.account, &house.service, name, member.as_str(), Cause::api(false))
        .await
        .unwrap();
    let people = house.rows(Some(Space::Person)).await;
    assert_eq!(people.len(), 1);
    house.bind(&elsewhere, &proxy, &bsuid).await.unwrap();
    assert!(house.state(&elsewhere).await.member(&other).is_some());
}

#[tokio::test]
async fn lookalikes_are_tried_and_only_what_was_written_is_learnt() {
    let house = House::new().await;
    let proxy = address("whatsapp:+12025550000");
    let (bound, written) = (address("whatsapp:+5215512345678"), address("whatsapp:+525512345678"));
    let unused = address("whatsapp:+5299999999");
    let conversation = house.conversation().await;
    let member = house.bind(&conversation, &proxy, &bound).await.unwrap();
    let person = Person { lookalikes: vec![bound.clone(), unused], ..Person::new(written.clone()) };
    house.take(vec![wrote("1", person, proxy.clone(), "hola")]).await;
    assert_eq!(house.bodies(&conversation).await, ["hola"]);
    let aliases =
        house.state(&conversation).await.member(&member).unwrap().record.binding.clone().unwrap().aliases;
    assert_eq!(aliases, [written]);
}

#[tokio::test]
async fn an_answer_names_what_it_answers() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1, 2]).await;
    let answer = |id: &str, of: &str| {
        Inbound::Message(InboundMessage {
            id: id.to_owned(),
            from: Person::new(phone(2)),
            to: ours(1),
            parts: text("yes, that"),
            reply_to: Some(of.to_owned()),
            at: None,
        })
    };
    house.take(vec![said("1", 1, 1, "a"), said("2", 1, 1, "b")]).await;
    house.take(vec![answer("3", "2"), answer("4", "unknown")]).await;
    let replies: Vec<_> = house.messages(&conversation).await.into_iter().map(|(_, m)| m.reply_to).collect();
    assert_eq!(replies, [None, None, Some(1), None]);
}

#[tokio::test]
async fn the_unbound_leave_nothing() {
    let house = House::new().await;
    house.talk(1, &[1]).await;
    let rows = house.rows(None).await;
    house.take(vec![said("1", 7, 1, "hello?"), said("2", 1, 9, "hello?"), said("3", 7, 1, "yes")]).await;
    assert_eq!(house.rows(None).await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_is_answered_once_and_yes_means_something_only_then() {
    let house = Arc::new(House::new().await);
    let conversation = house.talk(1, &[1, 2]).await;
    house.take(vec![said("y", 1, 1, "yes")]).await;
    assert!(house.notices().await.is_empty(), "an ordinary answer");
    // Twice in one webhook, and more at the same time.
    let stops = (0..8).map(|number| {
        let house = house.clone();
        tokio::spawn(async move {
            let stop = |part: &str| said(&format!("s{number}{part}"), 1, 1, "Stop.");
            house.take(vec![stop("a"), stop("b")]).await;
        })
    });
    for taken in join_all(stops).await {
        taken.unwrap();
    }
    assert!(house.opted_out(&ours(1), &phone(1)).await);
    assert_eq!(house.notices().await, [super::keyword::STOPPED]);
    assert_eq!(house.messages(&conversation).await.len(), 17, "the others see it all the same");
    house.take(vec![said("h", 1, 1, "help")]).await;
    house.take(vec![said("y2", 1, 1, "YES"), said("y3", 1, 1, "yes")]).await;
    assert!(!house.opted_out(&ours(1), &phone(1)).await);
    let said = house.notices().await;
    assert_eq!(said, [super::keyword::STOPPED, super::keyword::HELPED, super::keyword::STARTED]);
    assert!(!house.opted_out(&ours(1), &phone(2)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keywords_of_the_unbound_count_and_whatsapp_has_none() {
    let house = Arc::new(House::new().await);
    let stops = (0..8).map(|number| {
        let house = house.clone();
        tokio::spawn(async move { house.take(vec![said(&format!("s{}", number % 4), 5, 1, "STOP")]).await })
    });
    for taken in join_all(stops).await {
        taken.unwrap();
    }
    assert!(house.opted_out(&ours(1), &phone(5)).await);
    assert_eq!(house.notices().await.len(), 1);
    let conversation = house.talk(1, &[5]).await;
    house.take(vec![said("s0", 5, 1, "STOP")]).await;
    assert!(house.messages(&conversation).await.is_empty() || house.notices().await.len() == 1);
    house.take(vec![said("start", 5, 1, "START")]).await;
    assert!(!house.opted_out(&ours(1), &phone(5)).await);

    let (proxy, person) = (address("whatsapp:+12025550000"), address("whatsapp:+13035550001"));
    house.bind(&conversation, &proxy, &person).await.unwrap();
    house.take(vec![wrote("w", Person::new(person.clone()), proxy.clone(), "STOP")]).await;
    assert!(!house.opted_out(&proxy, &person).await);
    // The provider's own word counts there, by whichever name it comes, and once.
    let bsuid = address("whatsapp:US.1");
    let from = Person { aliases: vec![person.clone()], ..Person::new(bsuid.clone()) };
    let signal = |signal: Signal| Inbound::Signal { from: from.clone(), to: proxy.clone(), signal };
    house.take(vec![signal(Signal::OptOut { id: "o1".to_owned() })]).await;
    assert!(house.opted_out(&proxy, &person).await && house.opted_out(&proxy, &bsuid).await);
    house.take(vec![signal(Signal::OptIn { id: "o2".to_owned() })]).await;
    house.take(vec![signal(Signal::OptOut { id: "o1".to_owned() })]).await;
    assert!(!house.opted_out(&proxy, &person).await, "a repeat changes nothing");
}

#[tokio::test]
async fn a_message_of_any_size_is_taken() {
    let house = House::new().await;
    let conversation = house.talk(1, &[1, 2]).await;
    let long = "ä".repeat(1_000_000);
    let structured = Part::Structured {
        kind: "order".to_owned(),
        summary: "an order".to_owned(),
        raw: serde_json::Value::String("x".repeat(3_000_000)),
    };
    let message = |id: String, parts: Vec<Part>| {
        let from = Person::new(phone(1));
        Inbound::Message(InboundMessage { id, from, to: ours(1), parts, reply_to: None, at: None })
    };
    house.take(vec![message("1".repeat(5000), text(&long)), message("2".to_owned(), vec![structured])]).await;
    let many = (0..20).map(|number| message(format!("m{number}"), text(&"x".repeat(100_000)))).collect();
    house.take(many).await;
    let bodies = house.bodies(&conversation).await;
    assert_eq!(bodies.len(), 22);
    assert_eq!((bodies[0].len(), bodies[1].as_str()), (message::MOST_BODY, "an order"));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_in_a_ring() {
    let mut house = House::new().await;
    Arc::get_mut(&mut house.relay).unwrap().unreadable = super::unreadable::Ring::of(3);
    let notice = |number: usize| Inbound::Notice {
        kind: format!("k{number}"),
        raw: serde_json::Value::String("z".repeat(if number == 6 { 4_000_000 } else { 1 })),
    };
    for number in 0..7 {
        house.take(vec![notice(number)]).await;
    }
    let reasons = |rows: Vec<(Key, crate::ledger::engine::Row)>| -> Vec<String> {
        let rows =
            rows.iter().filter_map(|(_, row)| serde_json::from_slice::<serde_json::Value>(&row.payload).ok());
        let mut reasons: Vec<_> = rows.filter_map(|row| Some(row["reason"].as_str()?.to_owned())).collect();
        reasons.sort();
        reasons
    };
    assert_eq!(reasons(house.rows(Some(Space::Unreadable)).await), ["k4", "k5", "k6"]);
    // A new relay goes on where the last one was.
    let mut house =
        House::on(house.memory.clone(), Bindings::new(&std::env::temp_dir()), tempfile::tempdir().unwrap())
            .await;
    Arc::get_mut(&mut house.relay).unwrap().unreadable = super::unreadable::Ring::of(3);
    let request = trunkline_adapter::WebhookRequest {
        method: http::Method::POST,
        url: "https://here/".repeat(1000),
        alternatives: Vec::new(),
        query: String::new(),
        headers: http::HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            http::HeaderValue::from_static("secret"),
        )]),
        body: vec![0xFF; 3_000_000].into(),
    };
    house.relay.keep_unreadable(house.origin(), "odd", &request).await.unwrap();
    let rows = house.rows(Some(Space::Unreadable)).await;
    assert!(
        !format!("{:?}", rows.iter().map(|(_, row)| &row.payload).collect::<Vec<_>>()).contains("secret")
    );
    assert_eq!(reasons(rows), ["k5", "k6", "odd"]);
}

#[test]
fn relay_futures_may_move_between_threads() {
    fn send<T: Send>(_: impl FnOnce(&'static Relay, Origin<'static>) -> T) {}
    send(|relay, origin| relay.take(origin, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn who_writes_opens_their_window_and_it_is_written_down_once_an_hour() {
    let house = House::new().await;
    let talk = house.conversation().await;
    let (ours, theirs) = (address("whatsapp:+12025550000"), address("whatsapp:+12025557777"));
    house.join(&talk, Who::Bound { address: theirs.clone(), proxy: ours.clone() }).await.unwrap();
    let person = || Person::new(theirs.clone());
    let closes = || async { house.state(&talk).await.members[0].record.window_closes };
    assert_eq!(closes().await, None);
    house.take(vec![wrote("a", person(), ours.clone(), "hi"), wrote("b", person(), ours.clone(), "?")]).await;
    let first = house.relay.clock.now().plus(Duration::from_secs(24 * 3600));
    assert_eq!(closes().await, Some(first));
    let cost = || async {
        let before = house.rows(Some(Space::Participant)).await;
        before.into_iter().map(|(_, row)| row.changed).max()
    };
    let written = cost().await;
    tokio::time::advance(Duration::from_secs(3599)).await;
    house.take(vec![wrote("c", person(), ours.clone(), "still there?")]).await;
    assert_eq!((closes().await, cost().await), (Some(first), written), "not for less than an hour");
    tokio::time::advance(Duration::from_secs(1)).await;
    house.take(vec![wrote("d", person(), ours.clone(), "hello?")]).await;
    assert_eq!(closes().await, Some(first.plus(Duration::from_secs(3600))));
    // As the ledger has it, not only the cache.
    let read = house.relay.ledger.conversation(house.account.as_str(), talk.as_str()).await.unwrap();
    assert_eq!(&read.unwrap(), &*house.state(&talk).await);
}

#[tokio::test]
async fn a_text_message_has_no_window_to_open() {
    let house = House::new().await;
    let talk = house.talk(1, &[1]).await;
    house.take(vec![said("a", 1, 1, "hi")]).await;
    assert_eq!(house.state(&talk).await.members[0].record.window_closes, None);
}
