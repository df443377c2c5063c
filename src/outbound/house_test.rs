//! What the tests of lanes share: a scripted provider, and a house with people in virtual time on the memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(super) use std::collections::{BTreeMap, HashMap};
pub(super) use std::sync::{Arc, Mutex, PoisonError};
pub(super) use std::time::Duration;

pub(super) use bytes::Bytes;
pub(super) use serde_json::Map;
pub(super) use trunkline_adapter::{
    Adapter, Address, Blame, BoxFuture, Capabilities, Cause, Channel, Clock, Content, DeliveryStatus,
    Outbound, Outcome, OverLimit, Rate, Receipts, Scope, StatusReport, Templates, TextLimit, TextUnit,
    Timestamp,
};

pub(super) use super::*;
pub(super) use crate::ledger::engine::Batch;
pub(super) use crate::ledger::key::Range;
pub(super) use crate::ledger::memory::Memory;
pub(super) use crate::ledger::{Ledger, tables, typed};
pub(super) use crate::model::conversation::Mark;
pub(super) use crate::model::participant::{PersonBinding, WINDOW_STEP};
pub(super) use crate::model::*;
pub(super) use crate::work::{Job, Queue, Wakeups, enqueue, row_key};

pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(super) const PROXY: &str = "+15550001111";

/// Answers as told, and remembers what left and when.
pub(super) struct Scripted {
    pub(super) capabilities: Capabilities,
    pub(super) clock: Clock,
    pub(super) sent: Mutex<Vec<(Duration, Outbound)>>,
    #[expect(clippy::type_complexity, reason = "a test's script")]
    pub(super) script: Mutex<Box<dyn FnMut(&Outbound, usize) -> (Duration, Outcome) + Send>>,
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
    pub(super) fn texts_to(&self, to: &str) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(_, out)| out.to.as_str() == to).map(|(_, out)| body(out)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    pub(super) fn times(&self) -> Vec<Duration> {
        self.sent.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

pub(super) fn body(outbound: &Outbound) -> String {
    outbound.content.text().to_owned()
}

pub(super) fn accepted(number: usize) -> Outcome {
    Outcome::Accepted { id: format!("SM{number}"), learned: Vec::new(), at: None }
}

pub(super) fn operator() -> Outcome {
    Outcome::Rejected { blame: Blame::Operator, cause: Cause { code: 20003, text: "wrong token".into() } }
}

pub(super) fn retryable() -> Outcome {
    Outcome::Retryable { after: None, tries: None, cause: Cause::new("connection refused") }
}

#[derive(Default)]
pub(super) struct Heard(pub(super) Mutex<Vec<Address>>);

impl Learned for Heard {
    fn learned(&self, _: &str, _: &ConversationSid, _: &ParticipantSid, addresses: Vec<Address>) {
        self.0.lock().unwrap().extend(addresses);
    }
}

/// A house with one proxy address and as many people as are needed.
pub(super) struct House {
    pub(super) memory: Arc<Memory>,
    pub(super) around: Surroundings,
    pub(super) heard: Arc<Heard>,
    pub(super) conversation: ConversationSid,
    pub(super) people: HashMap<String, ParticipantSid>,
    pub(super) next: u64,
    pub(super) plan: LanePlan,
    pub(super) policies: Policies,
    pub(super) lanes: Option<Lanes>,
}

pub(super) const FAST: Rate = Rate { period: Duration::from_millis(1), burst: 1000 };
pub(super) const HOURS: Duration = Duration::from_secs(4 * 3_600);

impl House {
    pub(super) async fn new(
        script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static,
    ) -> House {
        let clock = Clock::at(Timestamp::from_seconds(1_800_000_000));
        let memory = Arc::new(Memory::new(1));
        let ledger = Ledger::new(Arc::clone(&memory) as Arc<dyn crate::ledger::engine::Engine>);
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
            timers: None,
        };
        let mut batch = Batch::default();
        batch.put(tables::head(ACCOUNT, conversation.as_str()), head.encode());
        ledger.commit(batch).await.unwrap();
        let around = Surroundings {
            hooks: Arc::default(),
            ledger,
            clock,
            account: ACCOUNT.into(),
            wakeups: Wakeups::default(),
            opt_outs: OptOuts::default(),
            learned: Arc::clone(&heard) as Arc<dyn Learned>,
            files: Arc::new(NoFiles),
            mint,
            runtime: tokio::runtime::Handle::current(),
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
        House {
            memory,
            around,
            heard,
            conversation,
            people: HashMap::new(),
            next: 0,
            plan,
            policies,
            lanes: None,
        }
    }

    pub(super) fn script(
        &mut self,
        script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static,
    ) -> Arc<Scripted> {
        let adapter = adapter(self.around.clock, script);
        self.plan.adapter = Arc::clone(&adapter) as Arc<dyn Adapter>;
        adapter
    }

    pub(super) async fn start(&mut self) {
        self.start_after(true).await;
    }

    pub(super) async fn start_after(&mut self, clean: bool) {
        let lanes = Lanes::start(self.around.clone(), vec![self.plan.clone()], self.policies, clean).await;
        self.lanes = Some(lanes.unwrap());
    }

    pub(super) async fn apply(&self) {
        self.lanes().apply(vec![self.plan.clone()], self.policies).await.unwrap();
    }

    pub(super) fn lanes(&self) -> &Lanes {
        self.lanes.as_ref().unwrap()
    }

    pub(super) fn status(&self) -> LaneStatus {
        self.lanes().status().remove(0)
    }

    /// As a kill -9: what was under way is cut off, and nobody is told.
    pub(super) async fn kill(&mut self) {
        self.lanes.take().unwrap().drain(Duration::ZERO).await;
        // The clean-up of cut-off tasks, not time, is waited for.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.around.wakeups = Wakeups::default();
    }

    pub(super) async fn person(&mut self, to: &str) -> ParticipantSid {
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
                rest: serde_json::Map::new(),
            }),
            role_sid: None,
            attributes: "{}".into(),
            birth: 0,
            seat: None,
            created: Timestamp(0),
            updated: Timestamp(0),
            last_read_message_index: None,
            last_read_timestamp: None,
            muted: false,
            window_closes: None,
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
    pub(super) async fn post(&mut self, to: &str, text: &str) -> (u64, ReceiptSid) {
        self.post_made(to, text, None).await
    }

    /// The end of a person's window becomes known.
    pub(super) async fn window(&mut self, to: &str, closes: Timestamp) {
        let sid = self.person(to).await;
        let key = tables::participant(ACCOUNT, self.conversation.as_str(), sid.as_str());
        let stored = typed::json::<ParticipantRecord>(&*self.around.ledger.snapshot(), &key).await.unwrap();
        let record = ParticipantRecord { window_closes: Some(closes), ..stored.unwrap().record };
        let mut batch = Batch::default();
        batch.put(key, Json::encode(&record));
        self.around.ledger.commit(batch).await.unwrap();
    }

    /// The same for a message made from a template.
    pub(super) async fn post_made(
        &mut self,
        to: &str,
        text: &str,
        template: Option<Templated>,
    ) -> (u64, ReceiptSid) {
        self.post_with(to, text, template, Vec::new()).await
    }

    /// The same for one with files.
    pub(super) async fn post_with(
        &mut self,
        to: &str,
        text: &str,
        template: Option<Templated>,
        media: Vec<MessageMedia>,
    ) -> (u64, ReceiptSid) {
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
            further: None,
            reply_to: None,
            source: None,
            template: template.map(Box::new),
            media,
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

    pub(super) async fn notice(&mut self, to: &str, text: &str) {
        let mut batch = Batch::default();
        let payload: Bytes = Dispatch::Notice { text: text.into() }.encode();
        self.next += 1;
        enqueue(&mut batch, ACCOUNT, Queue::Outbound, PROXY, to, self.next, self.around.clock.now(), payload);
        self.around.ledger.commit(batch).await.unwrap();
        self.around.wakeups.work(Queue::Outbound, PROXY, to);
    }

    pub(super) async fn receipt(&self, (index, receipt): &(u64, ReceiptSid)) -> Option<ReceiptRecord> {
        let key = tables::receipt(ACCOUNT, self.conversation.as_str(), *index, receipt.as_str());
        typed::compact(&*self.around.ledger.snapshot(), &key).await.unwrap().map(|stored| stored.record)
    }

    /// A status by correlation text, as the relay writes one that comes before the send's own answer.
    pub(super) async fn told(
        &self,
        (index, receipt): &(u64, ReceiptSid),
        participant: &ParticipantSid,
        id: &str,
    ) {
        let now = self.around.clock.now();
        let mut record = ReceiptRecord::new(receipt.clone(), participant.clone(), now);
        record.advance(0, DeliveryStatus::Delivered, 0, now);
        record.provider_ids = vec![id.to_owned()];
        let key = tables::receipt(&self.around.account, self.conversation.as_str(), *index, receipt.as_str());
        let mut batch = Batch::default();
        batch.absent(key.clone());
        batch.put(key, Compact::encode(&record));
        self.around.ledger.commit(batch).await.unwrap();
    }

    pub(super) async fn rows(&self) -> usize {
        let prefix = crate::ledger::key::Key::new(ACCOUNT, PROXY, crate::ledger::key::Space::Queue, b"");
        self.around.ledger.snapshot().scan(Range::prefix(&prefix), usize::MAX).await.unwrap().len()
    }

    pub(super) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub(super) fn adapter(
    clock: Clock,
    script: impl FnMut(&Outbound, usize) -> (Duration, Outcome) + Send + 'static,
) -> Arc<Scripted> {
    Arc::new(Scripted {
        capabilities: capabilities(),
        clock,
        sent: Mutex::default(),
        script: Mutex::new(Box::new(script)),
    })
}

pub(super) fn capabilities() -> Capabilities {
    Capabilities {
        channel: Channel::Sms,
        text: TextLimit { most: 40, unit: TextUnit::Characters, over: OverLimit::Split },
        receipts: Receipts { delivered: true, read: false, correlated: false },
        shut: Some(63016),
        templates: Templates::Named,
        media: None,
        typing: None,
        idempotent: false,
        group_texts: false,
        keywords: true,
        rate: FAST,
        pair_rate: None,
    }
}

/// A house whose messages have no files.
struct NoFiles;

impl Files for NoFiles {
    fn ready(&self, _: &MessageMedia, _: Option<u64>) -> Ready {
        Ready::Never
    }

    fn make(&self, _: &MessageMedia, _: u64) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn link(&self, _: &MessageMedia) -> String {
        String::new()
    }
}

pub(super) fn number(person: usize) -> String {
    format!("+1202555{person:04}")
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MILLI: Duration = Duration::from_millis(1);

/// What was counted under a name while a future ran.
pub(super) fn counted(recorder: &Counters, name: &str) -> u64 {
    recorder.0.lock().unwrap().get(name).map_or(0, |count| count.load(std::sync::atomic::Ordering::Relaxed))
}

/// What was recorded under a histogram's name.
pub(super) fn recorded(recorder: &Counters, name: &str) -> Vec<f64> {
    recorder.1.lock().unwrap().get(name).map(|values| values.0.lock().unwrap().clone()).unwrap_or_default()
}

/// The values of one histogram.
#[derive(Default)]
pub(super) struct Values(Mutex<Vec<f64>>);

impl metrics::HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

/// A recorder of counters and histograms, summed over labels.
#[derive(Clone, Default)]
pub(super) struct Counters(
    Arc<Mutex<BTreeMap<String, Arc<std::sync::atomic::AtomicU64>>>>,
    Arc<Mutex<BTreeMap<String, Arc<Values>>>>,
);

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
    fn register_histogram(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(Arc::clone(
            self.1.lock().unwrap().entry(key.name().to_owned()).or_default(),
        ))
    }
}
