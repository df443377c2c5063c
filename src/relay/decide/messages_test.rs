//! Whose window a message opens, and which deliveries may leave without another look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::ledger::engine::Committed;
use crate::model::Mint;
use crate::relay::command::Who;
use crate::relay::decide::Births;
use crate::relay::kit::{House, NOON, address};

struct Counter(AtomicU64);

impl Births for Counter {
    fn birth(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A conversation of three people on WhatsApp.
struct Talk {
    house: House,
    conversation: Arc<Conversation>,
    people: [ParticipantSid; 3],
}

impl Talk {
    async fn new() -> Talk {
        let house = House::new().await;
        let sid = house.conversation().await;
        let proxy = address("whatsapp:+12025550000");
        let mut people = Vec::new();
        for person in ["whatsapp:+12025550001", "whatsapp:+12025550002", "whatsapp:+12025550003"] {
            let who = Who::Bound { address: address(person), proxy: proxy.clone() };
            people.push(house.join(&sid, who).await.unwrap());
        }
        let conversation = house.state(&sid).await;
        Talk { house, conversation, people: people.try_into().unwrap() }
    }

    fn draft(&self, author: Option<usize>, inbound: Option<&str>) -> Draft {
        let proxy = address("whatsapp:+12025550000");
        Draft {
            author: "somebody".to_owned(),
            participant: author.map(|person| self.people[person].clone()),
            has_it: None,
            body: Some("hi".to_owned()),
            parts: Vec::new(),
            attributes: None,
            created: None,
            updated: None,
            source: inbound.map(|id| Source { kind: "test".into(), proxy, id: id.into() }),
            reply_to: None,
            template: None,
            media: Vec::new(),
            subject: None,
        }
    }

    fn append(&self, conversation: &Conversation, now: Timestamp, drafts: Vec<Draft>) -> Decision {
        let (mint, births) = (Mint::seeded(1), Counter(AtomicU64::new(0)));
        let context = Context {
            account: &self.house.account,
            now,
            mint: &mint,
            births: &births,
            again: false,
            most: crate::relay::decide::Roster::default(),
        };
        append(&context, conversation, drafts).unwrap().0
    }

    /// Whose windows are open after these messages, and how many writes they took.
    fn heard(&self, drafts: Vec<Draft>) -> ([bool; 3], usize) {
        let decision = self.append(&self.conversation, NOON, drafts);
        let writes = decision.batch.writes.len();
        let after = decision.settle(Committed { first: 1_000, last: 1_000 + writes as u64 - 1 });
        let open = |sid: &ParticipantSid| after.member(sid).unwrap().record.window_closes.is_some();
        ([open(&self.people[0]), open(&self.people[1]), open(&self.people[2])], writes)
    }
}

#[tokio::test]
async fn only_what_somebody_wrote_on_their_channel_opens_their_window() {
    let talk = Talk::new().await;
    assert_eq!(talk.heard(vec![talk.draft(Some(0), Some("1"))]).0, [true, false, false]);
    assert_eq!(talk.heard(vec![talk.draft(Some(0), None)]).0, [false; 3], "posted in their name over REST");
    let agent = Draft { has_it: Some(talk.people[1].clone()), ..talk.draft(None, Some("1")) };
    assert_eq!(talk.heard(vec![agent]).0, [false; 3], "written to them in the provider's inbox");
}

#[tokio::test]
async fn everybody_who_wrote_is_written_down_once() {
    let talk = Talk::new().await;
    let (one, once) = talk.heard(vec![talk.draft(Some(0), Some("1"))]);
    let (same, twice) = talk.heard(vec![talk.draft(Some(0), Some("1")), talk.draft(Some(0), Some("2"))]);
    // A message, its provider id, and a row for each of the two others.
    assert_eq!((same, twice - once), (one, 4));
    let both = talk.heard(vec![talk.draft(Some(0), Some("1")), talk.draft(Some(1), Some("2"))]);
    assert_eq!(both, ([true, true, false], twice + 1));
}

#[tokio::test]
async fn only_plain_text_to_an_open_window_leaves_without_another_look() {
    let talk = Talk::new().await;
    let letters = |conversation: &Conversation, now: Timestamp, draft: Draft| -> Vec<(String, bool)> {
        let woken = talk.append(conversation, now, vec![draft]).after.wake.into_iter();
        woken.map(|wake| (wake.subject, wake.row.is_some_and(|row| row.letter.is_some()))).collect()
    };
    let to = |first: bool, second: bool| {
        vec![("whatsapp:+12025550002".to_owned(), first), ("whatsapp:+12025550003".to_owned(), second)]
    };
    let plain = talk.draft(Some(0), Some("1"));
    assert_eq!(letters(&talk.conversation, NOON, plain.clone()), to(true, true));
    let template = Templated {
        sid: "HX00000000000000000000000000000001".to_owned(),
        variables: Vec::new(),
        named: None,
        text: "hi".to_owned(),
    };
    let made = Draft { template: Some(Box::new(template)), ..plain.clone() };
    assert_eq!(letters(&talk.conversation, NOON, made), to(false, false));
    // The second wrote long ago, the third never here.
    let decision = talk.append(&talk.conversation, NOON, vec![talk.draft(Some(1), Some("1"))]);
    let last = 1_000 + decision.batch.writes.len() as u64 - 1;
    let later = decision.settle(Committed { first: 1_000, last });
    let days = NOON.plus(std::time::Duration::from_secs(3 * 86_400));
    assert_eq!(letters(&later, days, plain), to(false, true));
}
