#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use trunkline_adapter::Timestamp;

use super::command::{AccountChange, Change, ConversationChange, NewConversation};
use super::kit::{House, NOON, ours, phone, said};
use super::{Made, RelayError};
use crate::announce::Cause;
use crate::bindings::Bindings;
use crate::ledger::engine::{Batch, Engine, Write};
use crate::ledger::key::Space;
use crate::ledger::memory::Memory;
use crate::ledger::tables;
use crate::model::{ConversationSid, State};

const MINUTE: u64 = 60;

fn after(minutes: u64) -> Timestamp {
    NOON.plus(Duration::from_secs(minutes * MINUTE))
}

async fn wait(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(minutes * MINUTE)).await;
}

/// The other tasks get their turns; paused time stands still meanwhile.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

impl House {
    fn keep_time(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.relay.clone().keep_time())
    }

    /// A conversation with timers of so many minutes.
    async fn timed(&self, inactive: Option<u64>, closed: Option<u64>) -> ConversationSid {
        let change = |minutes: Option<u64>| minutes.map_or(Change::Clear, |m| Change::Set(m * MINUTE));
        let new = NewConversation {
            inactive_after: change(inactive),
            closed_after: change(closed),
            ..NewConversation::default()
        };
        self.relay
            .create_conversation(&self.account, &self.service, new, Cause::api(false))
            .await
            .unwrap()
            .sid()
            .clone()
    }

    async fn update(
        &self,
        conversation: &ConversationSid,
        change: ConversationChange,
    ) -> Result<(), RelayError> {
        let name = conversation.as_str();
        self.relay
            .update_conversation(&self.account, &self.service, name, change, Cause::api(false))
            .await
            .map(|_| ())
    }

    async fn stands(&self, conversation: &ConversationSid) -> State {
        self.state(conversation).await.head.state
    }

    async fn dues(&self) -> Vec<Timestamp> {
        let rows = self.rows(Some(Space::Timer)).await;
        rows.iter().map(|(key, _)| tables::timer_of(key).unwrap().0).collect()
    }

    /// The same rows in another life, at another time.
    async fn again(self, now: Timestamp) -> House {
        let (memory, folder) = (self.memory.clone(), tempfile::tempdir().unwrap());
        House::at(now, memory, Bindings::new(folder.path()), folder).await
    }
}

#[tokio::test(start_paused = true)]
async fn both_clocks_start_together_and_end_to_the_moment() {
    let house = House::new().await;
    let task = house.keep_time();
    let talk = house.timed(Some(1), Some(10)).await;
    let shown = house.state(&talk).await;
    assert_eq!((shown.date_inactive(), shown.date_closed()), (Some(after(1)), Some(after(10))));
    tokio::time::sleep(Duration::from_millis(59_999)).await;
    assert_eq!(house.stands(&talk).await, State::Active);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let shown = house.state(&talk).await;
    assert_eq!((shown.head.state, shown.date_inactive()), (State::Inactive, None));
    assert_eq!(shown.date_closed(), Some(after(10)), "falling idle is no activity");
    assert_eq!(shown.record.updated, NOON.plus(Duration::from_millis(60_000)));
    wait(9).await;
    let shown = house.state(&talk).await;
    assert_eq!((shown.head.state, shown.next_due()), (State::Closed, None));
    assert!(shown.head.timers.is_none() && house.dues().await.is_empty());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_happens_puts_the_end_off_and_writes_no_record_for_it() {
    let house = House::new().await;
    let task = house.keep_time();
    let talk = house.timed(Some(5), None).await;
    house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    let plain = house.talk(2, &[2]).await;
    let before = house.dues().await;
    for (minute, (mine, other)) in [(1, 2), (1, 2), (1, 2)].into_iter().enumerate() {
        wait(1).await;
        let published = house.memory.published();
        house.take(vec![said(&format!("timed {minute}"), mine, mine, "hello")]).await;
        let timed = house.memory.published() - published;
        let published = house.memory.published();
        house.take(vec![said(&format!("plain {minute}"), other, other, "hello")]).await;
        assert_eq!(timed, house.memory.published() - published, "as many writes as without timers");
    }
    assert_eq!(house.dues().await, before, "the record lies where it lay");
    assert_eq!(house.state(&talk).await.date_inactive(), Some(after(8)));
    wait(2).await;
    settle().await;
    assert_eq!((house.stands(&talk).await, house.dues().await), (State::Active, vec![after(8)]), "moved");
    house
        .relay
        .add_participant(
            &house.account,
            &house.service,
            talk.as_str(),
            super::command::NewParticipant {
                who: super::command::Who::Identity("ana".to_owned()),
                role_sid: None,
                attributes: None,
                created: None,
                updated: None,
            },
            Cause::api(false),
        )
        .await
        .unwrap();
    wait(4).await;
    assert_eq!(house.stands(&talk).await, State::Active);
    wait(1).await;
    settle().await;
    assert_eq!((house.stands(&talk).await, house.stands(&plain).await), (State::Inactive, State::Active));
    // An idle one has no end ahead; a message wakes it and brings the record back.
    assert!(house.dues().await.is_empty());
    house.take(vec![said("late", 1, 1, "still there?")]).await;
    assert_eq!((house.stands(&talk).await, house.dues().await), (State::Active, vec![after(15)]));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn changes_of_timers_and_states() {
    let house = House::new().await;
    let task = house.keep_time();
    let talk = house.timed(None, Some(60)).await;
    wait(10).await;
    let state = |state| ConversationChange { state: Some(state), ..Default::default() };
    let timers = |inactive_after, closed_after| ConversationChange {
        inactive_after,
        closed_after,
        ..Default::default()
    };
    house.update(&talk, state(State::Inactive)).await.unwrap();
    assert_eq!(house.state(&talk).await.date_closed(), Some(after(60)), "a state leaves it running");
    house.update(&talk, timers(Change::Set(20 * MINUTE), Change::Keep)).await.unwrap();
    let shown = house.state(&talk).await;
    assert_eq!(shown.head.state, State::Inactive);
    assert_eq!((shown.date_inactive(), shown.date_closed()), (None, Some(after(70))), "a timer starts both");
    wait(5).await;
    house.update(&talk, state(State::Active)).await.unwrap();
    let shown = house.state(&talk).await;
    assert_eq!((shown.date_inactive(), shown.date_closed()), (Some(after(35)), Some(after(70))));
    assert_eq!(house.dues().await, [after(35)]);
    house.update(&talk, timers(Change::Clear, Change::Clear)).await.unwrap();
    assert!(house.dues().await.is_empty() && house.state(&talk).await.head.timers.is_none());
    wait(1_000).await;
    assert_eq!(house.stands(&talk).await, State::Active);
    house.update(&talk, timers(Change::Keep, Change::Set(10 * MINUTE))).await.unwrap();
    house.update(&talk, state(State::Closed)).await.unwrap();
    assert!(house.dues().await.is_empty());
    let closed = house.update(&talk, timers(Change::Keep, Change::Clear)).await;
    assert!(matches!(closed, Err(RelayError::Closed)));
    let other = house.timed(Some(1), Some(10)).await;
    house
        .relay
        .delete_conversation(&house.account, &house.service, other.as_str(), Cause::api(false))
        .await
        .unwrap();
    assert!(house.dues().await.is_empty());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_done_before_anything_else_is() {
    // Nobody keeps the time here: the daemon has just started and has not come to it.
    let house = House::new().await;
    let talk = house.timed(None, Some(10)).await;
    house.bind(&talk, &ours(1), &phone(1)).await.unwrap();
    let house = house.again(after(10)).await;
    house.take(vec![said("late", 1, 1, "hello?")]).await;
    assert_eq!(house.stands(&talk).await, State::Closed);
    assert!(house.bodies(&talk).await.is_empty());
    house.bind(&house.conversation().await, &ours(1), &phone(1)).await.unwrap();
    let named = ConversationChange { friendly_name: Change::Set("x".to_owned()), ..Default::default() };
    assert!(matches!(house.update(&talk, named).await, Err(RelayError::Closed)));
}

/// What time does on the way must not use up the key of whoever asked for something else.
#[tokio::test(start_paused = true)]
async fn an_idempotency_key_stands_for_what_was_asked_not_for_what_was_due() {
    let house = House::new().await;
    let (idle, over) = (house.timed(Some(10), None).await, house.timed(None, Some(10)).await);
    let house = house.again(after(10)).await;
    let (account, service) = (&house.account, &house.service);
    let kept = async |key: &str| house.relay.kept_answer(account, key).await.unwrap();
    let rename = async |key: &str, talk: &ConversationSid| {
        let named = ConversationChange { friendly_name: Change::Set("x".to_owned()), ..Default::default() };
        house.relay.once(account, (key, "f"), Made::Change, house.update(talk, named)).await
    };
    assert!(matches!(rename("refused", &over).await, Err(RelayError::Closed)));
    assert_eq!(house.stands(&over).await, State::Closed, "what was due is done");
    assert_eq!(kept("refused").await, None, "and the key is free");
    let new = super::command::NewMessage {
        author: "system".to_owned(),
        template: None,
        media: Vec::new(),
        body: Some("hello".to_owned()),
        subject: None,
        attributes: None,
        created: None,
        updated: None,
    };
    let post = house.relay.post_message(account, service, idle.as_str(), new, Cause::api(false));
    let posted = house.relay.once(account, ("posted", "f"), Made::Message, post).await.unwrap().1;
    assert_eq!(kept("posted").await.unwrap().made.as_deref(), Some(posted.record.sid.as_str()));
    // Nor by what is made when it is first looked at.
    let other = crate::model::AccountSid::parse("AC00000000000000000000000000000009").unwrap();
    let nothing = async {
        house.relay.default_service(&other).await.unwrap();
    };
    house.relay.once(&other, ("looked", "f"), Made::Change, nothing).await;
    assert_eq!(house.relay.kept_answer(&other, "looked").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_life_begun_at_another_time_keeps_what_was_promised() {
    for (minutes, states) in [
        // An hour ahead: both are over, and it was never idle.
        (60, [State::Closed, State::Closed]),
        // Down past the first end.
        (7, [State::Inactive, State::Closed]),
    ] {
        let house = House::new().await;
        let talk = house.timed(Some(5), Some(10)).await;
        let house = house.again(after(minutes)).await;
        let task = house.keep_time();
        settle().await;
        let shown = house.state(&talk).await;
        assert_eq!((shown.head.state, shown.record.updated), (states[0], after(minutes)));
        wait(3).await;
        settle().await;
        assert_eq!(house.stands(&talk).await, states[1]);
        task.abort();
    }
    // An hour back: what was said before stays true by the clock on the wall, and what happens now counts from now.
    let house = House::new().await;
    let (quiet, busy) = (house.timed(Some(5), None).await, house.timed(Some(5), None).await);
    house.bind(&busy, &ours(1), &phone(1)).await.unwrap();
    let hour_before = Timestamp(NOON.0 - 3_600_000_000);
    let house = house.again(hour_before).await;
    let task = house.keep_time();
    house.take(vec![said("now", 1, 1, "hello")]).await;
    wait(5).await;
    settle().await;
    assert_eq!((house.stands(&busy).await, house.stands(&quiet).await), (State::Inactive, State::Active));
    wait(60).await;
    settle().await;
    assert_eq!(house.stands(&quiet).await, State::Inactive);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn defaults_hold_for_what_is_created_afterwards_and_says_nothing() {
    let house = House::new().await;
    let before = house.conversation().await;
    let set = |text: &str| Change::Set(text.to_owned());
    let change =
        AccountChange { inactive_timer: set("PT5M"), closed_timer: set("P1D"), ..AccountChange::default() };
    house.relay.update_account_settings(&house.account, change).await.unwrap();
    let plain = house.state(&house.conversation().await).await;
    assert_eq!((plain.record.inactive_after, plain.record.closed_after), (Some(300), Some(86_400)));
    assert_eq!(plain.date_inactive(), Some(after(5)));
    let own = house.state(&house.timed(None, Some(10)).await).await;
    assert_eq!((own.record.inactive_after, own.record.closed_after), (None, Some(600)));
    assert_eq!(house.state(&before).await.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn many_due_at_once_and_records_nobody_owns() {
    let house = House::new().await;
    let mut talks = Vec::new();
    for _ in 0..600 {
        talks.push(house.timed(Some(1), None).await);
    }
    let account = house.account.as_str();
    let mut batch = Batch::default();
    for (account, conversation) in
        [(account, "CH00000000000000000000000000000001"), ("nobody", "x"), (account, talks[0].as_str())]
    {
        batch.writes.push(Write::Put(tables::timer(NOON, account, conversation), bytes::Bytes::new()));
    }
    house.memory.commit(batch).await.unwrap();
    let task = house.keep_time();
    settle().await;
    assert_eq!(house.dues().await, vec![after(1); 600]);
    wait(1).await;
    for _ in 0..50 {
        settle().await;
    }
    for talk in &talks {
        assert_eq!(house.stands(talk).await, State::Inactive);
    }
    assert!(house.dues().await.is_empty());
    task.abort();
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Say,
    Set(Option<u64>, Option<u64>),
    State(bool),
    Restart(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let minutes = || proptest::option::of(1_u64..30);
    let step = prop_oneof![
        4 => (1_u64..12).prop_map(Step::Wait),
        4 => Just(Step::Say),
        1 => (minutes(), minutes()).prop_map(|(inactive, closed)| Step::Set(inactive, closed)),
        1 => any::<bool>().prop_map(Step::State),
        1 => (-60_i64..60).prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..25)
}

/// What the rules say, with nothing but the rules.
struct Expected {
    state: State,
    inactive: Option<u64>,
    closed: Option<u64>,
    inactive_from: Timestamp,
    closed_from: Timestamp,
}

impl Expected {
    fn pass(&mut self, now: Timestamp) {
        let over = |from: Timestamp, minutes: Option<u64>| {
            minutes.is_some_and(|minutes| from.plus(Duration::from_secs(minutes * MINUTE)) <= now)
        };
        if self.state == State::Closed {
            return;
        }
        if over(self.closed_from, self.closed) {
            self.state = State::Closed;
        } else if over(self.inactive_from, self.inactive) {
            self.state = State::Inactive;
        }
    }
}

async fn play(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let bindings = Bindings::new(folder.path());
    let mut house = House::on(Arc::new(Memory::new(1_000)), bindings, folder).await;
    let talk = house.timed(Some(3), Some(20)).await;
    let mut expected = Expected {
        state: State::Active,
        inactive: Some(3),
        closed: Some(20),
        inactive_from: NOON,
        closed_from: NOON,
    };
    let (mut now, mut task) = (NOON, house.keep_time());
    for (at, step) in steps.into_iter().enumerate() {
        let mut done = None;
        match step {
            Step::Wait(minutes) => {
                // Step by step, since a later end must not hide an earlier one.
                for _ in 0..minutes {
                    wait(1).await;
                    settle().await;
                    now = now.plus(Duration::from_secs(MINUTE));
                    expected.pass(now);
                }
            }
            Step::Say => {
                let new = super::command::NewMessage {
                    template: None,
                    media: Vec::new(),
                    author: "ana".to_owned(),
                    body: Some(at.to_string()),
                    subject: None,
                    attributes: None,
                    created: Some(Timestamp(5)),
                    updated: None,
                };
                let said = house
                    .relay
                    .post_message(&house.account, &house.service, talk.as_str(), new, Cause::api(false))
                    .await;
                done = Some(said.is_ok());
                if said.is_ok() {
                    expected.state = State::Active;
                    (expected.inactive_from, expected.closed_from) = (now, now);
                }
            }
            Step::Set(inactive, closed) => {
                let set = |minutes: Option<u64>| minutes.map_or(Change::Clear, |m| Change::Set(m * MINUTE));
                let change = ConversationChange {
                    inactive_after: set(inactive),
                    closed_after: set(closed),
                    ..Default::default()
                };
                done = Some(house.update(&talk, change).await.is_ok());
                if done == Some(true) {
                    (expected.inactive, expected.closed) = (inactive, closed);
                    (expected.inactive_from, expected.closed_from) = (now, now);
                }
            }
            Step::State(active) => {
                let state = if active { State::Active } else { State::Inactive };
                let change = ConversationChange { state: Some(state), ..Default::default() };
                done = Some(house.update(&talk, change).await.is_ok());
                if done == Some(true) {
                    expected.state = state;
                    if active {
                        expected.inactive_from = now;
                    }
                }
            }
            Step::Restart(minutes) => {
                task.abort();
                now = Timestamp(now.0 + minutes * 60_000_000);
                house = house.again(now).await;
                task = house.keep_time();
                settle().await;
                expected.pass(now);
            }
        }
        assert!(done.is_none_or(|done| done == (expected.state != State::Closed)), "step {at}");
        let shown = house.state(&talk).await;
        assert_eq!(shown.head.state, expected.state, "step {at}");
        let (dues, next) = (house.dues().await, shown.next_due());
        match next {
            Some(next) => assert!(dues.len() == 1 && dues[0] <= next, "step {at}: {dues:?} for {next:?}"),
            None => assert!(dues.len() <= 1, "step {at}: {dues:?}"),
        }
        assert_eq!(
            dues.first().copied(),
            shown.head.timers.as_ref().and_then(|timers| timers.armed),
            "step {at}"
        );
    }
    task.abort();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_the_rules_hold(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(play(steps));
    }
}
