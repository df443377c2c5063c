#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::messages::{Draft, append, draft_of, writes_per_draft};
use super::roster::join;
use super::*;
use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::Source;
use crate::relay::command::{Change, NewMessage, NewParticipant, Who};
use crate::relay::kit::{House, NOON, ours, phone, said};

struct Counter(AtomicU64);

impl Births for Counter {
    fn birth(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[test]
fn marks_say_which_write_last_changed_what() {
    let account = AccountSid::parse("AC00000000000000000000000000000001").unwrap();
    let (mint, births) = (Mint::seeded(1), Counter(AtomicU64::new(0)));
    let context = Context {
        account: &account,
        now: NOON,
        mint: &mint,
        births: &births,
        again: false,
        most: crate::relay::decide::Roster::default(),
    };
    let mut number = 100;
    let mut settle = |decision: Decision| {
        let last = number + decision.batch.writes.len() as u64 - 1;
        let committed = Committed { first: number, last };
        number = last + 1;
        decision.settle(committed)
    };
    let marks = |conversation: &Conversation| {
        let (head, at) = (&conversation.head, conversation.head_revision);
        (head.document.number(at), head.roster.number(at), head.messages.number(at))
    };
    let new = NewConversation { inactive: true, ..NewConversation::default() };
    let made = settle(create(&context, &ServiceSid::new(&mint), new));
    let born = made.head_revision;
    assert_eq!((marks(&made), made.record_revision), ((born, born, born), born + 1));

    let change = ConversationChange { friendly_name: Change::Set("x".to_owned()), ..Default::default() };
    let named = settle(update(&context, &made, change).unwrap());
    let renamed = named.head_revision;
    assert_eq!((marks(&named), named.record_revision), ((renamed, born, born), renamed + 1));

    let who = Who::Bound { address: phone(1), proxy: ours(1) };
    let someone = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
    let (decision, sid) = join(&context, &named, someone, None).unwrap();
    let place = decision.batch.writes.len() as u64 - 1;
    let joined = settle(decision);
    let at = joined.head_revision;
    assert_eq!(marks(&joined), (at, at, born), "it woke up, which its document shows");
    assert_eq!(joined.member(&sid).unwrap().revision, at + place);

    let draft = draft_of(
        &joined,
        NewMessage {
            author: "a".into(),
            template: None,
            media: Vec::new(),
            body: None,
            subject: None,
            attributes: None,
            created: None,
            updated: None,
        },
        Vec::new(),
    );
    let (decision, appended) = append(&context, &joined, vec![draft.clone(), draft]).unwrap();
    assert_eq!(appended.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    let said = settle(decision);
    assert_eq!(marks(&said), (at, at, said.head_revision));
    let stored = Head::decode(&said.head.encode()).unwrap();
    assert_eq!(stored, said.head);
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_lets_the_rest_end() {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let talk = house.talk(1, &[1]).await;
    house.memory.set_full(true);
    let made = house
        .relay
        .create_conversation(account, service, NewConversation::default(), Cause::api(false))
        .await;
    assert!(matches!(made, Err(RelayError::Full)));
    let new = NewMessage {
        author: "a".into(),
        template: None,
        media: Vec::new(),
        body: None,
        subject: None,
        attributes: None,
        created: None,
        updated: None,
    };
    let posted = house.relay.post_message(account, service, talk.as_str(), new, Cause::api(false)).await;
    assert!(matches!(posted, Err(RelayError::Full)));
    house.relay.delete_conversation(account, service, talk.as_str(), Cause::api(false)).await.unwrap();
}

#[tokio::test]
async fn a_draft_takes_no_more_writes_than_were_reckoned_with() {
    let house = House::new().await;
    for people in [&[][..], &[1], &[2, 3, 4]] {
        let talk = house.talk(1, people).await;
        house.join(&talk, Who::Identity("agent".to_owned())).await.unwrap();
        let conversation = house.state(&talk).await;
        let (mint, births) = (Mint::seeded(1), Counter(AtomicU64::new(0)));
        let context = Context {
            account: &house.account,
            now: NOON,
            mint: &mint,
            births: &births,
            again: false,
            most: crate::relay::decide::Roster::default(),
        };
        let new = NewMessage {
            author: "a".into(),
            template: None,
            media: Vec::new(),
            body: None,
            subject: None,
            attributes: None,
            created: None,
            updated: None,
        };
        let source = |id: &str| Source { kind: "test".into(), proxy: ours(1), id: id.into() };
        let draft =
            |id| Draft { source: Some(source(id)), ..draft_of(&conversation, new.clone(), Vec::new()) };
        let writes = |drafts| append(&context, &conversation, drafts).unwrap().0.batch.writes.len();
        let one = writes(vec![draft("1"), draft("2")]) - writes(vec![draft("1")]);
        assert_eq!((one, writes_per_draft(&conversation)), (2 + people.len(), 2 + people.len()));
    }
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Close(usize),
    Idle(usize),
    Delete(usize),
    Bind(usize, u32),
    Leave(usize, u32),
    Post(usize, Option<u32>),
    Say(u32, u32),
    TakeBack(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (conversation, person) = (0..6usize, 0..5u32);
    prop_oneof![
        2 => Just(Step::Create),
        1 => conversation.clone().prop_map(Step::Close),
        1 => conversation.clone().prop_map(Step::Idle),
        1 => conversation.clone().prop_map(Step::Delete),
        6 => (conversation.clone(), person.clone()).prop_map(|(c, p)| Step::Bind(c, p)),
        2 => (conversation.clone(), person.clone()).prop_map(|(c, p)| Step::Leave(c, p)),
        4 => (conversation.clone(), proptest::option::of(person.clone())).prop_map(|(c, p)| Step::Post(c, p)),
        6 => (person, 0..12u32).prop_map(|(p, id)| Step::Say(p, id)),
        2 => (conversation, 0..4usize).prop_map(|(c, m)| Step::TakeBack(c, m)),
    ]
}

/// What ought to be.
#[derive(Default)]
struct Model {
    conversations: Vec<Expected>,
    heard: BTreeSet<(u32, u32)>,
    deliveries: usize,
}

struct Expected {
    sid: ConversationSid,
    state: State,
    members: BTreeSet<u32>,
    next: u64,
    messages: Vec<u64>,
}

impl Model {
    fn holder(&self, person: u32) -> Option<usize> {
        self.conversations.iter().position(|known| known.state.open() && known.members.contains(&person))
    }

    fn say(&mut self, at: usize, author: Option<u32>) {
        let known = &mut self.conversations[at];
        known.messages.push(known.next);
        known.next += 1;
        known.state = State::Active;
        self.deliveries += known.members.iter().filter(|member| Some(**member) != author).count();
    }
}

async fn live(steps: Vec<Step>) {
    let house = House::new().await;
    let (account, service) = (&house.account, &house.service);
    let mut model = Model::default();
    for step in steps {
        let sid = |at: usize| model.conversations.get(at).map(|known| (known.sid.clone(), known.state));
        match step {
            Step::Create => {
                let sid = house.conversation().await;
                let (state, members) = (State::Active, BTreeSet::new());
                model.conversations.push(Expected { sid, state, members, next: 0, messages: Vec::new() });
            }
            Step::Close(at) | Step::Idle(at) => {
                let Some((sid, before)) = sid(at) else { continue };
                let state = if matches!(step, Step::Close(_)) { State::Closed } else { State::Inactive };
                let change = ConversationChange { state: Some(state), ..Default::default() };
                let changed = house
                    .relay
                    .update_conversation(account, service, sid.as_str(), change, Cause::api(false))
                    .await;
                match before {
                    State::Deleted => assert!(matches!(changed, Err(RelayError::ConversationNotFound))),
                    State::Closed => assert!(matches!(changed, Err(RelayError::Closed))),
                    _ => {
                        changed.unwrap();
                        model.conversations[at].state = state;
                    }
                }
            }
            Step::Delete(at) => {
                let Some((sid, before)) = sid(at) else { continue };
                let gone =
                    house.relay.delete_conversation(account, service, sid.as_str(), Cause::api(false)).await;
                assert_eq!(gone.is_ok(), before != State::Deleted);
                model.conversations[at].state = State::Deleted;
            }
            Step::Bind(at, person) => {
                let Some((sid, before)) = sid(at) else { continue };
                let bound = house.bind(&sid, &ours(1), &phone(person)).await;
                match (before, model.holder(person)) {
                    (State::Deleted, _) => assert!(matches!(bound, Err(RelayError::ConversationNotFound))),
                    (State::Closed, _) => assert!(matches!(bound, Err(RelayError::Closed))),
                    (_, Some(holder)) => {
                        let holder = &model.conversations[holder].sid;
                        assert!(matches!(bound, Err(RelayError::BindingTaken(named)) if &named == holder));
                    }
                    (_, None) => {
                        bound.unwrap();
                        model.conversations[at].members.insert(person);
                        model.conversations[at].state = State::Active;
                    }
                }
            }
            Step::Leave(at, person) => {
                let Some((sid, State::Active | State::Inactive)) = sid(at) else { continue };
                let state = house.state(&sid).await;
                let member = state.author(phone(person).as_str()).map(|member| member.record.sid.clone());
                assert_eq!(member.is_some(), model.conversations[at].members.contains(&person));
                if let Some(member) = member {
                    let left = house
                        .relay
                        .remove_participant(
                            account,
                            service,
                            sid.as_str(),
                            member.as_str(),
                            Cause::api(false),
                        )
                        .await;
                    left.unwrap();
                    model.conversations[at].members.remove(&person);
                }
            }
            Step::Post(at, author) => {
                let Some((sid, before)) = sid(at) else { continue };
                let author_name = author.map_or("system".to_owned(), |person| phone(person).to_string());
                let new = NewMessage {
                    author: author_name,
                    template: None,
                    media: Vec::new(),
                    body: None,
                    subject: None,
                    attributes: None,
                    created: None,
                    updated: None,
                };
                let posted =
                    house.relay.post_message(account, service, sid.as_str(), new, Cause::api(false)).await;
                assert_eq!(posted.is_ok(), before.open());
                if let Ok((_, view)) = posted {
                    assert_eq!(view.index, model.conversations[at].next);
                    model.say(at, author);
                }
            }
            Step::Say(person, id) => {
                house.take(vec![said(&id.to_string(), person, 1, "x")]).await;
                let Some(at) = model.holder(person) else { continue };
                // Ids are unique on a line, whoever wrote.
                if model.heard.insert((1, id)) {
                    model.say(at, Some(person));
                }
            }
            Step::TakeBack(at, which) => {
                let Some((sid, State::Active | State::Inactive)) = sid(at) else { continue };
                let messages = house.messages(&sid).await;
                let Some((_, record)) = messages.get(which) else { continue };
                house
                    .relay
                    .delete_message(account, service, sid.as_str(), record.sid.as_str(), Cause::api(false))
                    .await
                    .unwrap();
                model.conversations[at].messages.remove(which);
            }
        }
        let mut claims = BTreeMap::new();
        for known in &model.conversations {
            let found = house.relay.conversation(account, service, known.sid.as_str()).await;
            if known.state == State::Deleted {
                assert!(matches!(found, Err(RelayError::ConversationNotFound)));
                continue;
            }
            let found = found.unwrap();
            assert_eq!(
                *found,
                house.relay.ledger.conversation(account.as_str(), known.sid.as_str()).await.unwrap().unwrap()
            );
            assert_eq!((found.head.state, found.head.next_index), (known.state, known.next));
            assert_eq!(found.members.len(), known.members.len());
            let indexes: Vec<_> =
                house.messages(&known.sid).await.into_iter().map(|(index, _)| index).collect();
            assert_eq!(indexes, known.messages);
            for person in known.members.iter().filter(|_| known.state.open()) {
                assert!(
                    claims.insert(*person, known.sid.clone()).is_none(),
                    "one open conversation per pair"
                );
            }
        }
        for (person, holder) in claims {
            let found = house.relay.bound(account, &ours(1), &phone(person)).await.unwrap().unwrap();
            assert_eq!(found.conversation, holder);
        }
        assert_eq!(
            house.queued().await.len(),
            model.deliveries,
            "one per other outside member, never the author"
        );
    }
    let seqs: Vec<_> = house.rows(Some(Space::Queue)).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(seqs.iter().collect::<BTreeSet<_>>().len(), seqs.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_life_keeps_the_rules(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
