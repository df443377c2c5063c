//! Lanes against a scripted provider, in virtual time, on the memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Map;
use trunkline_adapter::{
    Adapter, Address, Blame, BoxFuture, Capabilities, Cause, Channel, Clock, Content, DeliveryStatus,
    Outbound, Outcome, OverLimit, Rate, Receipts, Scope, StatusReport, TextLimit, TextUnit, Timestamp,
};

use super::*;
use crate::ledger::engine::Batch;
use crate::ledger::key::Range;
use crate::ledger::memory::Memory;
use crate::ledger::{Ledger, tables, typed};
use crate::model::conversation::Mark;
use crate::model::participant::PersonBinding;
use crate::model::*;
use crate::work::{Job, Queue, Wakeups, enqueue, row_key};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const PROXY: &str = "+15550001111";

/// Answers as told, and remembers what left and when.
struct Scripted {
    capabilities: Capabilities,
    clock: Clock,
    sent: Mutex<Vec<(Duration, Outbound)>>,
    #[expect(clippy::type_complexity, reason = "a test's script")]
    script: Mutex<Box<dyn FnMut(&Outbound, usize) -> (Duration, Outcome) + Send>>,
}

impl Adapter for Scripted {
    fn capabilities(&self, _: &Address) -> Option<&Capabilities> {
        Some(&self.capabilities)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let number = {
                let mut sent = self.sent.lock().unwrap();
                sent.push((self.clock.elapsed(), outbound.clone()));
                sent.len() - 1
            };
            let (takes, outcome) =
                (self.script.lock().unwrap_or_else(PoisonError::into_inner))(outbound, number);
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            outcome
        })
    }
}

impl Scripted {
    fn texts_to(&self, to: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(_, out)| out.to.as_str() == to).map(|(_, out)| body(out)).collect()
    }

    fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    fn times(&self) -> Vec<Duration> {
        self.sent.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

fn body(outbound: &Outbound) -> String {
    let Content::Text { body } = &outbound.content;
    body.clone()
}

fn accepted(number: usize) -> Outcome {
    Outcome::Accepted { id: format!("SM{number}"), learned: Vec::new(), at: None }
}

fn operator() -> Outcome {
    Outcome::Rejected { blame: Blame::Operator, cause: Cause { code: 20003, text: "wrong token".into() } }
}

fn retryable() -> Outcome {
    Outcome::Retryable { after: None, tries: None, cause: Cause::new("connection refused") }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Address>>);

impl Learned for Heard {
    fn learned(&self, _: &str, _: &ConversationSid, _: &ParticipantSid, addresses: Vec<Address>) {
        self.0.lock().unwrap().extend(addresses);
    }
}

/// A house with one proxy address and as many people as are needed.
struct House {
    around: Surroundings,
    heard: Arc<Heard>,
    conversation: ConversationSid,
    people: HashMap<String, ParticipantSid>,
    next: u64,
    plan: LanePlan,
    policies: Policies,
    lanes: Option<Lanes>,
}

const FAST: Rate = Rate { period: Duration::from_millis(1), burst: 1000 };
const HOURS: Duration = Duration::from_secs(4 * 3_600);

impl House {
    async fn new(script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static) -> House {
        let clock = Clock::at(Timestamp::from_seconds(1_800_000_000));
        let ledger = Ledger::new(Arc::new(Memory::new(1)), clock);
        let mint = Arc::new(Mint::seeded(3));
        let heard = Arc::new(Heard::default());
        let conversation = ConversationSid::new(&mint);
        let head = Head {
            state: crate::model::State::Active,
            service: ServiceSid::new(&mint),
            next_index: 0,
            document: Mark::ThisWrite,
            roster: Mark::ThisWrite,
            messages: Mark::ThisWrite,
        };
        let mut batch = Batch::default();
        batch.put(tables::head(ACCOUNT, conversation.as_str()), head.encode());
        ledger.commit(batch).await.unwrap();
        let around = Surroundings {
            ledger,
            clock,
            account: ACCOUNT.into(),
            wakeups: Wakeups::default(),
            opt_outs: OptOuts::default(),
            learned: Arc::clone(&heard) as Arc<dyn Learned>,
            mint,
        };
        let plan = LanePlan {
            proxy: Address::parse(PROXY).unwrap(),
            name: "line".into(),
            adapter_name: "us".into(),
            kind: "scripted",
            adapter: adapter(clock, script),
            rate: FAST,
            pair_rate: None,
        };
        let policies = Policies { expire: HOURS, unknown: Unknown::Resend };
        House { around, heard, conversation, people: HashMap::new(), next: 0, plan, policies, lanes: None }
    }

    fn script(
        &mut self,
        script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static,
    ) -> Arc<Scripted> {
        let adapter = adapter(self.around.clock, script);
        self.plan.adapter = Arc::clone(&adapter) as Arc<dyn Adapter>;
        adapter
    }

    async fn start(&mut self) {
        self.start_after(true).await;
    }

    async fn start_after(&mut self, clean: bool) {
        let lanes = Lanes::start(self.around.clone(), vec![self.plan.clone()], self.policies, clean).await;
        self.lanes = Some(lanes.unwrap());
    }

    async fn apply(&self) {
        self.lanes().apply(vec![self.plan.clone()], self.policies).await.unwrap();
    }

    fn lanes(&self) -> &Lanes {
        self.lanes.as_ref().unwrap()
    }

    fn status(&self) -> LaneStatus {
        self.lanes().status().remove(0)
    }

    /// As a kill -9: what was under way is cut off, and nobody is told.
    async fn kill(&mut self) {
        self.lanes.take().unwrap().drain(Duration::ZERO).await;
        // The clean-up of cut-off tasks, not time, is waited for.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.around.wakeups = Wakeups::default();
    }

    async fn person(&mut self, to: &str) -> ParticipantSid {
        if let Some(sid) = self.people.get(to) {
            return sid.clone();
        }
        let sid = ParticipantSid::new(&self.around.mint);
        let record = ParticipantRecord {
            sid: sid.clone(),
            identity: None,
            binding: Some(PersonBinding {
                address: Address::parse(to).unwrap(),
                proxy: self.plan.proxy.clone(),
                aliases: Vec::new(),
            }),
            role_sid: None,
            attributes: "{}".into(),
            birth: 0,
            created: Timestamp(0),
            updated: Timestamp(0),
            last_read_message_index: None,
            last_read_timestamp: None,
            rest: Map::new(),
        };
        let mut batch = Batch::default();
        let key = tables::participant(ACCOUNT, self.conversation.as_str(), sid.as_str());
        batch.put(key, Json::encode(&record));
        self.around.ledger.commit(batch).await.unwrap();
        self.people.insert(to.into(), sid.clone());
        sid
    }

    /// Commits a message for one person, as the relay does, and tells the lane.
    async fn post(&mut self, to: &str, text: &str) -> (u64, ReceiptSid) {
        let participant = self.person(to).await;
        let index = self.next;
        self.next += 1;
        let receipt = ReceiptSid::new(&self.around.mint);
        let now = self.around.clock.now();
        let delivery = Delivery { participant: participant.clone(), receipt: receipt.clone() };
        let message = MessageRecord {
            sid: MessageSid::new(&self.around.mint),
            author: "test".into(),
            participant: None,
            body: Some(text.into()),
            attributes: "{}".into(),
            created: now,
            updated: now,
            deliveries: vec![delivery],
            parts: Vec::new(),
            reply_to: None,
            source: None,
        };
        let dispatch = Dispatch::Message {
            conversation: self.conversation.clone(),
            index,
            participant,
            receipt: receipt.clone(),
            sent: Vec::new(),
            begun: false,
        };
        let mut batch = Batch::default();
        batch.put(tables::message(ACCOUNT, self.conversation.as_str(), index), message.encode());
        enqueue(&mut batch, ACCOUNT, Queue::Outbound, PROXY, to, index, now, dispatch.encode());
        self.around.ledger.commit(batch).await.unwrap();
        self.around.wakeups.work(Queue::Outbound, PROXY, to);
        (index, receipt)
    }

    async fn notice(&mut self, to: &str, text: &str) {
        let mut batch = Batch::default();
        let payload: Bytes = Dispatch::Notice { text: text.into() }.encode();
        self.next += 1;
        enqueue(&mut batch, ACCOUNT, Queue::Outbound, PROXY, to, self.next, self.around.clock.now(), payload);
        self.around.ledger.commit(batch).await.unwrap();
        self.around.wakeups.work(Queue::Outbound, PROXY, to);
    }

    async fn receipt(&self, (index, receipt): &(u64, ReceiptSid)) -> Option<ReceiptRecord> {
        let key = tables::receipt(ACCOUNT, self.conversation.as_str(), *index, receipt.as_str());
        typed::json(&*self.around.ledger.snapshot(), &key).await.unwrap().map(|stored| stored.record)
    }

    async fn rows(&self) -> usize {
        let prefix = crate::ledger::key::Key::new(ACCOUNT, PROXY, crate::ledger::key::Space::Queue, b"");
        self.around.ledger.snapshot().scan(Range::prefix(&prefix), usize::MAX).await.unwrap().len()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn adapter(
    clock: Clock,
    script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static,
) -> Arc<Scripted> {
    Arc::new(Scripted {
        capabilities: Capabilities {
            channel: Channel::Sms,
            text: TextLimit { most: 40, unit: TextUnit::Characters, over: OverLimit::Split },
            receipts: Receipts { delivered: true, read: false },
            window: None,
            idempotent: false,
            keywords: true,
            rate: FAST,
            pair_rate: None,
        },
        clock,
        sent: Mutex::default(),
        script: Mutex::new(Box::new(script)),
    })
}

fn number(person: usize) -> String {
    format!("+1202555{person:04}")
}

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn each_recipient_gets_everything_in_order_and_receipts_say_sent() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI * (number as u32 % 7), accepted(number)));
    house.start().await;
    let mut posted = Vec::new();
    for round in 0..20 {
        for person in 0..10 {
            posted.push(house.post(&number(person), &format!("{round}")).await);
        }
    }
    house.pass(SECOND * 10).await;
    let expected: Vec<String> = (0..20).map(|round| round.to_string()).collect();
    for person in 0..10 {
        assert_eq!(provider.texts_to(&number(person)), expected);
    }
    assert_eq!(house.rows().await, 0);
    for one in &posted {
        let receipt = house.receipt(one).await.unwrap();
        assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Sent), 0));
        assert!(receipt.taken_at.is_some());
        let key = tables::provider_id(ACCOUNT, "scripted", &house.plan.proxy, &receipt.provider_ids[0]);
        let row: ProviderIdRow =
            typed::compact(&*house.around.ledger.snapshot(), &key).await.unwrap().unwrap().record;
        assert!(matches!(row, ProviderIdRow::Message { index, .. } if index == one.0));
    }
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth, status.next_try_seconds), ("idle", 0, None));
    assert_eq!(status.last.unwrap().outcome, "accepted");
}

#[tokio::test(start_paused = true)]
async fn one_with_many_messages_delays_nobody() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.plan.rate = Rate { period: SECOND, burst: 1 };
    house.start().await;
    for text in 0..100 {
        house.post(&number(0), &text.to_string()).await;
    }
    for person in 1..5 {
        house.post(&number(person), "hi").await;
    }
    house.pass(SECOND * 12).await;
    for person in 1..5 {
        assert_eq!(provider.texts_to(&number(person)), ["hi"]);
    }
}

/// The most sends in any window, over what the rate allows.
fn assert_within(rate: Rate, times: &[Duration]) {
    for (first, start) in times.iter().enumerate() {
        for (more, end) in times[first..].iter().enumerate() {
            let allowed = u128::from(rate.burst) + (*end - *start).as_nanos() / rate.period.as_nanos();
            assert!(more as u128 + 1 <= allowed, "{} in {:?}", more + 1, *end - *start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_over_reloads_and_kills_and_used() {
    for rate in [
        Rate { period: SECOND, burst: 1 },
        Rate { period: MILLI * 100, burst: 20 },
        Rate { period: MILLI * 50, burst: 2 },
    ] {
        let mut house = House::new(|_, _| unreachable!()).await;
        let provider = house.script(|_, number| (MILLI * 30, accepted(number)));
        house.plan.rate = rate;
        house.start().await;
        for message in 0..1_500 {
            house.post(&number(message % 50), "x").await;
        }
        house.pass(SECOND * 20).await;
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 7).await;
        house.plan.adapter_name = "renamed".into();
        house.apply().await;
        house.pass(SECOND * 13).await;
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 20).await;
        let times = provider.times();
        assert_within(rate, &times);
        let possible = (60.0 / rate.period.as_secs_f64()).min(1_500.0);
        // Each of the two kills and the start burn one burst at most.
        let used = times.len() as f64 + 3.0 * f64::from(rate.burst.min(1));
        assert!(used >= possible * 0.95, "{used} of {possible}");
    }
}

#[tokio::test(start_paused = true)]
async fn pair_limits_hold_one_recipient_back_and_nobody_else() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    let pair = Rate { period: SECOND * 6, burst: 3 };
    house.plan.pair_rate = Some(pair);
    house.start().await;
    house.pass(SECOND * 60).await;
    for _ in 0..20 {
        house.post(&number(0), "x").await;
    }
    for person in 1..40 {
        house.post(&number(person), "y").await;
    }
    house.pass(SECOND).await;
    assert_eq!(provider.count(), 3 + 39);
    house.pass(SECOND * 120).await;
    let sent = provider.sent.lock().unwrap();
    let times: Vec<Duration> =
        sent.iter().filter(|(_, out)| out.to.as_str() == number(0)).map(|(at, _)| *at).collect();
    assert_within(pair, &times);
    assert_eq!(times.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_holds_a_thousand_messages_and_fails_none() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, _| (MILLI, operator()));
    house.start().await;
    let mut posted = Vec::new();
    for message in 0..1_000 {
        posted.push(house.post(&number(message % 300), "x").await);
    }
    // Longer than the expiry: it does not run while held.
    house.pass(HOURS * 2).await;
    let tries = provider.count();
    assert!(tries < 150, "{tries} tries in eight hours");
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth), ("held", 1_000));
    assert_eq!(status.reason.as_deref(), Some("wrong token (20003)"));
    assert_eq!(status.last.as_ref().unwrap().code, 20003);
    assert!(status.next_try_seconds.unwrap() <= 300);
    for one in &posted {
        assert_eq!(house.receipt(one).await, None);
    }
    let right = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND * 10).await;
    assert_eq!((right.count(), house.rows().await), (1_000, 0));
    for one in &posted {
        assert_eq!(house.receipt(one).await.unwrap().status, Some(DeliveryStatus::Sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_lane_is_released_by_a_probe_that_succeeds() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        let outcome = if clock.elapsed() < SECOND * 60 { operator() } else { accepted(number) };
        (MILLI, outcome)
    });
    house.start().await;
    for person in 0..100 {
        house.post(&number(person), "x").await;
    }
    house.pass(SECOND * 59).await;
    let before = provider.count();
    assert!(before <= 32 + 4, "{before}");
    house.pass(SECOND * 60).await;
    assert_eq!((provider.count() - before, house.rows().await), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_holds_the_lane_and_costs_no_message_its_tries() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        let away =
            Outcome::Retryable { after: None, tries: Some(3), cause: Cause::new("connection refused") };
        (MILLI, if clock.elapsed() < SECOND * 3_600 { away } else { accepted(number) })
    });
    house.start().await;
    let mut posted = Vec::new();
    for person in 0..200 {
        posted.push(house.post(&number(person), "x").await);
    }
    house.pass(SECOND * 3_000).await;
    assert_eq!(house.status().reason.as_deref(), Some("provider unreachable: connection refused"));
    assert!(provider.count() < 200, "{}", provider.count());
    house.pass(SECOND * 1_000).await;
    assert_eq!(house.rows().await, 0);
    for one in &posted {
        assert_eq!(house.receipt(one).await.unwrap().status, Some(DeliveryStatus::Sent));
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_proxy_address_holds_its_messages_over_a_restart() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    house.post(&number(1), "x").await;
    house.pass(SECOND).await;
    assert_eq!(house.status().reason.as_deref(), Some("proxy address is not configured"));
    house.kill().await;
    house.lanes = Some(Lanes::start(house.around.clone(), Vec::new(), house.policies, true).await.unwrap());
    house.pass(SECOND).await;
    let status = house.status();
    assert_eq!((status.state.as_str(), status.depth, status.proxy_address.as_str()), ("held", 1, PROXY));
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.apply().await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(1)), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn the_providers_wish_is_followed_lane_recipient_and_account() {
    for scope in [Scope::Lane, Scope::Recipient, Scope::Account] {
        let mut house = House::new(|_, _| unreachable!()).await;
        let provider = house.script(move |outbound, number| {
            let slow = number == 0 && outbound.to.as_str() == self::number(0);
            let wish = Outcome::Throttled { after: Some(SECOND * 30), scope, cause: Cause::new("slow down") };
            (MILLI, if slow { wish } else { accepted(number) })
        });
        let mut other = house.plan.clone();
        other.proxy = Address::parse("+15550002222").unwrap();
        house.start().await;
        house.lanes().apply(vec![house.plan.clone(), other], house.policies).await.unwrap();
        house.post(&number(0), "a").await;
        house.pass(SECOND).await;
        house.post(&number(1), "b").await;
        house.pass(SECOND * 20).await;
        assert_eq!(provider.count(), if scope == Scope::Recipient { 2 } else { 1 }, "{scope:?}");
        let waiting = house.lanes().status().iter().filter(|lane| lane.next_try_seconds.is_some()).count();
        assert_eq!(waiting, 1, "the other lane is idle, paused or not");
        house.pass(SECOND * 20).await;
        assert_eq!(provider.count(), 3);
        assert_eq!(provider.texts_to(&number(0)), ["a", "a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_and_end_with_the_providers_code() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, _| {
        let cause = Cause { code: 30003, text: "unreachable handset".into() };
        (MILLI, Outcome::Retryable { after: None, tries: Some(4), cause })
    });
    house.start().await;
    let posted = house.post(&number(0), "x").await;
    house.pass(SECOND * 60).await;
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30003));
    let gaps: Vec<f64> = provider.times().windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert_eq!(gaps.len(), 3);
    for (gap, whole) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!(*gap >= whole / 2.0 && *gap <= whole + 0.1, "{gaps:?}");
    }
    assert_eq!(house.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waited_too_long_fails_and_the_next_is_sent() {
    let mut house = House::new(|_, _| unreachable!()).await;
    house.policies.expire = SECOND * 60;
    let clock = house.around.clock;
    let provider = house.script(move |_, number| {
        (MILLI, if clock.elapsed() < SECOND * 100 { retryable() } else { accepted(number) })
    });
    house.start().await;
    let old = house.post(&number(0), "old").await;
    house.pass(SECOND * 99).await;
    let new = house.post(&number(0), "new").await;
    house.pass(SECOND * 30).await;
    let receipt = house.receipt(&old).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30036));
    assert_eq!(house.receipt(&new).await.unwrap().status, Some(DeliveryStatus::Sent));
    assert_eq!(provider.texts_to(&number(0)).last().unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_for_somebody_who_opted_out_but_our_answers() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let person = Address::parse(&number(0)).unwrap();
    house.around.opt_outs.add(&house.plan.proxy, &person);
    let posted = house.post(&number(0), "x").await;
    house.notice(&number(0), "you are off the list").await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(0)), ["you are off the list"]);
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 21610));
    house.around.opt_outs.remove(&house.plan.proxy, &person);
    house.post(&number(0), "back").await;
    house.pass(SECOND).await;
    assert_eq!(provider.texts_to(&number(0)).last().unwrap(), "back");
}

#[tokio::test(start_paused = true)]
async fn opt_outs_are_read_from_the_ledger() {
    let house = House::new(|_, _| unreachable!()).await;
    let (proxy, person) = (house.plan.proxy.clone(), Address::parse("whatsapp:+15550009999").unwrap());
    let mut batch = Batch::default();
    batch.put(tables::opt_out(ACCOUNT, &proxy, &person), "{}");
    house.around.ledger.commit(batch).await.unwrap();
    let set = OptOuts::load(&*house.around.ledger.snapshot(), ACCOUNT).await.unwrap();
    assert!(set.contains(&proxy, &person));
    assert!(!set.contains(&person, &proxy));
}

#[tokio::test(start_paused = true)]
async fn long_text_leaves_in_parts_that_a_failure_does_not_repeat() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider =
        house.script(|_, number| (MILLI, if number == 1 { retryable() } else { accepted(number) }));
    house.start().await;
    let text =
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen";
    let posted = house.post(&number(0), text).await;
    house.post(&number(0), "next").await;
    house.pass(SECOND * 10).await;
    let texts = provider.texts_to(&number(0));
    assert_eq!(texts[1], texts[2], "the second part was tried twice");
    assert_eq!([&texts[0], &texts[1], &texts[3]].map(String::as_str).join(" "), text);
    assert_eq!(texts[4], "next");
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!(receipt.provider_ids, ["SM0", "SM2", "SM3"]);
    assert_eq!(receipt.parts, [Some(DeliveryStatus::Sent); 3]);
    let sent = provider.sent.lock().unwrap();
    let correlation = Correlation::decode(&sent[3].1.correlation).unwrap();
    assert_eq!((correlation.part, correlation.index), (2, posted.0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_resent_or_failed_as_the_policy_says() {
    for (unknown, sends) in [(Unknown::Resend, 2), (Unknown::Fail, 1)] {
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let provider = house.script(|_, number| {
            let silent = Outcome::Unknown { cause: Cause::new("no answer") };
            (MILLI, if number == 0 { silent } else { accepted(number) })
        });
        house.start().await;
        let posted = house.post(&number(0), "x").await;
        house.pass(SECOND * 10).await;
        assert_eq!((provider.count(), house.rows().await), (sends, 0));
        let receipt = house.receipt(&posted).await.unwrap();
        let expected = match unknown {
            Unknown::Resend => (Some(DeliveryStatus::Sent), 0),
            Unknown::Fail => (Some(DeliveryStatus::Failed), 30008),
        };
        assert_eq!((receipt.status, receipt.error_code), expected);
    }
}

/// What was counted under a name while a future ran.
fn counted(recorder: &Counters, name: &str) -> u64 {
    recorder.0.lock().unwrap().get(name).map_or(0, |count| count.load(std::sync::atomic::Ordering::Relaxed))
}

/// A recorder of counters only, summed over labels.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<BTreeMap<String, Arc<std::sync::atomic::AtomicU64>>>>);

impl metrics::Recorder for Counters {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        let count = Arc::clone(self.0.lock().unwrap().entry(key.name().to_owned()).or_default());
        metrics::Counter::from_arc(count)
    }
    fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::noop()
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_only_what_was_under_way_is_sent_twice_and_it_is_counted() {
    let counters = Counters::default();
    let _recorder = metrics::set_default_local_recorder(&counters);
    for unknown in [Unknown::Resend, Unknown::Fail] {
        let before = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS);
        let mut house = House::new(|_, _| unreachable!()).await;
        house.policies.unknown = unknown;
        let provider = house.script(|_, number| (SECOND, accepted(number)));
        house.start().await;
        let mut first = Vec::new();
        for person in 0..5 {
            first.push(house.post(&number(person), "first").await);
            house.post(&number(person), "second").await;
        }
        house.pass(MILLI * 500).await;
        assert_eq!(provider.count(), 5);
        house.kill().await;
        house.start_after(false).await;
        house.pass(SECOND * 10).await;
        let duplicates = counted(&counters, crate::telemetry::names::DUPLICATE_SENDS) - before;
        for (person, first) in first.iter().enumerate() {
            let receipt = house.receipt(first).await.unwrap();
            match unknown {
                Unknown::Resend => {
                    assert_eq!(provider.texts_to(&number(person)), ["first", "first", "second"]);
                    assert_eq!(receipt.status, Some(DeliveryStatus::Sent));
                }
                Unknown::Fail => {
                    assert_eq!(provider.texts_to(&number(person)), ["first", "second"]);
                    assert_eq!((receipt.status, receipt.error_code), (Some(DeliveryStatus::Failed), 30008));
                }
            }
        }
        assert_eq!(duplicates, if unknown == Unknown::Resend { 5 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (SECOND, accepted(number)));
    house.start().await;
    for person in 0..40 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI * 500).await;
    assert!(house.lanes.take().unwrap().drain(SECOND * 5).await);
    assert_eq!((provider.count(), house.rows().await), (32, 8));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_came_first_is_not_lost_nor_overwritten() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let around = house.around.clone();
    let proxy = house.plan.proxy.clone();
    let learned = Address::parse("whatsapp:US.900100").unwrap();
    let report = StatusReport {
        id: "SM0".into(),
        from: proxy.clone(),
        correlation: None,
        status: DeliveryStatus::Delivered,
        error: None,
        learned: vec![learned.clone()],
        at: None,
    };
    let parked = ParkedStatus { reports: vec![report], since: Timestamp(0) };
    let mut batch = Batch::default();
    batch.put(tables::parked(ACCOUNT, "scripted", &proxy, "SM0"), Json::encode(&parked));
    around.ledger.commit(batch).await.unwrap();
    house.script(|_, number| (MILLI, accepted(number)));
    house.start().await;
    let posted = house.post(&number(0), "x").await;
    house.pass(SECOND).await;
    let receipt = house.receipt(&posted).await.unwrap();
    assert_eq!(
        (receipt.status, receipt.provider_ids),
        (Some(DeliveryStatus::Delivered), vec!["SM0".to_owned()])
    );
    let key = tables::parked(ACCOUNT, "scripted", &proxy, "SM0");
    assert_eq!(around.ledger.snapshot().get(&key).await.unwrap(), None);
    assert_eq!(*house.heard.0.lock().unwrap(), [learned]);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_left_gets_nothing_more() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (MILLI, accepted(number)));
    let posted = house.post(&number(0), "x").await;
    let gone = house.post(&number(1), "y").await;
    let mut batch = Batch::default();
    let person = house.people[&number(0)].clone();
    batch.delete(tables::participant(ACCOUNT, house.conversation.as_str(), person.as_str()));
    batch.delete(tables::message(ACCOUNT, house.conversation.as_str(), gone.0));
    house.around.ledger.commit(batch).await.unwrap();
    house.start().await;
    house.pass(SECOND).await;
    assert_eq!((provider.count(), house.rows().await), (0, 0));
    assert_eq!(house.receipt(&posted).await.unwrap().status, Some(DeliveryStatus::Failed));
    assert_eq!(house.receipt(&gone).await, None, "no receipt without a message");
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_panics_costs_a_resend_and_no_lane() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| {
        assert!(number != 0, "a fault of the adapter");
        (MILLI, accepted(number))
    });
    house.start().await;
    house.post(&number(0), "x").await;
    house.pass(SECOND * 10).await;
    assert_eq!((provider.texts_to(&number(0)), house.rows().await), (vec!["x".to_owned(); 2], 0));
}

#[tokio::test(start_paused = true)]
async fn an_untouched_lane_keeps_its_bucket_and_an_idle_one_has_no_timer() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let provider = house.script(|_, number| (Duration::ZERO, accepted(number)));
    house.plan.rate = Rate { period: SECOND * 100, burst: 2 };
    house.start().await;
    house.pass(SECOND * 300).await;
    house.apply().await;
    for person in 0..2 {
        house.post(&number(person), "x").await;
    }
    house.pass(MILLI).await;
    assert_eq!(provider.count(), 2, "a reload that changes nothing burns nothing");
    assert_eq!(house.status().next_try_seconds, None);
    // With every task idle and no timer, paused time jumps straight to the far one of this test.
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    tokio::time::sleep(Duration::from_secs(86_400 * 365)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
    assert_eq!(house.status().state, "idle");
}

#[tokio::test(start_paused = true)]
async fn a_stored_row_of_a_message_has_a_stable_key() {
    let mut house = House::new(|_, _| unreachable!()).await;
    let (index, _) = house.post(&number(0), "x").await;
    let key = row_key(ACCOUNT, Queue::Outbound, PROXY, &number(0), index);
    let job: Job = typed::compact(&*house.around.ledger.snapshot(), &key).await.unwrap().unwrap().record;
    assert_eq!(job.attempts, 0);
}
