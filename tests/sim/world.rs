//! The world around the daemon, as it really is: who lives where, what was asked and answered, what is still to come. It
//! outlives every daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use trunkline::model::AccountSid;
use trunkline::outbound::{Policies, Unknown};
use trunkline_adapter::{Address, Clock, Inbound, Rate, Timestamp};

use crate::auditor::{Auditor, Books};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::sink::Sink;
use crate::situations::{Fault, State, Table};
use crate::trace::{DAWN, Trace};

pub const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// One of our addresses.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub address: Address,
    pub adapter: &'static str,
    pub kind: &'static str,
    pub rate: Rate,
    pub pair_rate: Option<Rate>,
}

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Somebody does something.
    Act,
    /// A provider calls, perhaps once more.
    Call(usize),
    /// The operator's mistake on a line ends.
    Mended(usize),
    /// A provider is back.
    Back(usize),
    /// There is room on the disk again.
    Room,
    /// An adapter comes back into the configuration.
    Returned(&'static str),
    /// The power goes.
    Crash,
}

/// One webhook of a provider, repeated until it is acknowledged.
pub struct Call {
    pub adapter: &'static str,
    pub kind: &'static str,
    pub events: Vec<Inbound>,
    pub acknowledged: Option<Timestamp>,
    pub under_way: usize,
}

/// A message that was posted and acknowledged.
pub struct Posted {
    pub conversation: String,
    pub index: u64,
    pub sid: String,
    pub body: String,
}

/// What is counted over all seeds.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub crashes: u64,
    pub restarts: u64,
    pub acknowledged: u64,
    pub repeats: u64,
    pub statuses: u64,
    pub sends: u64,
    pub taken: u64,
    pub after_unknown: u64,
    pub after_crash: u64,
    pub virtual_seconds: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.acknowledged += other.acknowledged;
        self.repeats += other.repeats;
        self.statuses += other.statuses;
        self.sends += other.sends;
        self.taken += other.taken;
        self.after_unknown += other.after_unknown;
        self.after_crash += other.after_crash;
        self.virtual_seconds += other.virtual_seconds;
    }
}

pub struct World {
    pub dice: Dice,
    pub trace: Trace,
    pub table: Table,
    pub tally: Tally,
    pub clock: Option<Clock>,
    /// The time between two lives.
    pub stopped_at: Timestamp,
    pub life: u64,
    pub life_began: Timestamp,
    events: BTreeMap<(Timestamp, u64), Event>,
    events_ever: u64,
    pub proxies: Vec<Proxy>,
    pub people: usize,
    pub policies: Policies,
    /// Adapters that are taken out of the configuration.
    pub removed: Vec<&'static str>,
    /// Those that the daemon knows to be out.
    pub gone: Vec<&'static str>,
    pub asked_to_stop: bool,
    /// Grows with every change of an adapter's settings, so that a new adapter is built.
    pub edition: BTreeMap<&'static str, u64>,
    pub sink: Sink,
    pub calls: Vec<Call>,
    pub posted: Vec<Posted>,
    pub conversations: Vec<String>,
    /// Said STOP and was answered; nothing may leave until the row goes.
    pub stopped: BTreeMap<(String, String), u64>,
    pub names: u64,
    pub actions_left: u64,
    /// Requests that are under way.
    pub requests: usize,
    /// Nothing goes wrong any more.
    pub calm: bool,
    pub full: bool,
    pub wrong: Vec<String>,
    pub poke: Arc<Notify>,
}

/// The world, the books and the disk, as everybody holds them.
#[derive(Clone)]
pub struct Shared {
    pub world: Arc<Mutex<World>>,
    pub auditor: Arc<Auditor>,
    pub disk: Arc<Disk>,
    pub account: AccountSid,
}

impl Shared {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub fn new(seed: u64, printed: bool, poke: Arc<Notify>) -> World {
        let mut dice = Dice::new(seed);
        let address = |text: &str| Address::parse(text).unwrap();
        let sms = Rate::per_second([1.0, 3.0, 10.0][dice.below(3)], dice.between(1, 4) as u32);
        let pair = Rate::per_minute([10.0, 30.0, 60.0][dice.below(3)], dice.between(1, 5) as u32);
        let proxy = |text: &str, adapter, kind, rate, pair_rate| Proxy {
            address: address(text),
            adapter,
            kind,
            rate,
            pair_rate,
        };
        let proxies = vec![
            proxy("+15550001111", "us", "twilio", sms, None),
            proxy("+15550001112", "us", "twilio", Rate::per_second(5.0, 5), None),
            proxy("whatsapp:+15550002222", "wa", "whatsapp", Rate::per_second(8.0, 8), Some(pair)),
            proxy("messenger:1029384756", "pages", "messenger", Rate::per_second(10.0, 3), None),
        ];
        let expire = [Duration::from_secs(4 * 3600), Duration::from_secs(600)][dice.below(2)];
        let unknown = if dice.in_thousand(750) { Unknown::Resend } else { Unknown::Fail };
        let actions_left = dice.between(25, 60);
        let mut world = World {
            people: dice.between(4, 9) as usize,
            dice,
            trace: Trace::new(printed),
            table: Table::default(),
            tally: Tally::default(),
            clock: None,
            stopped_at: DAWN,
            life: 0,
            life_began: DAWN,
            events: BTreeMap::new(),
            events_ever: 0,
            sink: Sink::new(&proxies, DAWN),
            proxies,
            policies: Policies { expire, unknown },
            removed: Vec::new(),
            gone: Vec::new(),
            asked_to_stop: false,
            edition: BTreeMap::new(),
            calls: Vec::new(),
            posted: Vec::new(),
            conversations: Vec::new(),
            stopped: BTreeMap::new(),
            names: 0,
            actions_left,
            requests: 0,
            calm: false,
            full: false,
            wrong: Vec::new(),
            poke,
        };
        world.after(Duration::ZERO, Event::Act);
        world
    }

    pub fn now(&self) -> Timestamp {
        self.clock.map_or(self.stopped_at, |clock| clock.now())
    }

    pub fn note(&mut self, line: std::fmt::Arguments<'_>) {
        let now = self.now();
        self.trace.note(now, line);
    }

    pub fn fault(&mut self, what: String) {
        self.note(format_args!("WRONG: {what}"));
        self.wrong.push(what);
        self.poke.notify_one();
    }

    pub fn after(&mut self, wait: Duration, event: Event) {
        let at = self.now().plus(wait);
        self.events_ever += 1;
        self.events.insert((at, self.events_ever), event);
        self.poke.notify_one();
    }

    pub fn next_event(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    pub fn due(&mut self) -> Option<Event> {
        let now = self.now();
        let (key, _) = self.events.first_key_value()?;
        if key.0 > now { None } else { self.events.pop_first().map(|(_, event)| event) }
    }

    pub fn no_events(&self) -> bool {
        self.events.is_empty()
    }

    /// Faults that wait are called off; what mends stays.
    pub fn call_off(&mut self) {
        self.events.retain(|_, event| matches!(event, Event::Call(_)));
    }

    /// A name nobody had before.
    pub fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    /// A webhook that is going to come.
    pub fn call(
        &mut self,
        adapter: &'static str,
        kind: &'static str,
        events: Vec<Inbound>,
        wait: Duration,
    ) -> usize {
        self.calls.push(Call { adapter, kind, events, acknowledged: None, under_way: 0 });
        let place = self.calls.len() - 1;
        self.after(wait, Event::Call(place));
        place
    }

    pub fn proxy(&self, address: &str) -> Option<&Proxy> {
        self.proxies.iter().find(|proxy| proxy.address.as_str() == address)
    }

    /// A configuration came into force.
    pub fn in_force(&mut self, proxies: &[Proxy], removed: &[&'static str]) {
        let now = self.now();
        self.gone = removed.to_vec();
        proxies.iter().for_each(|proxy| self.sink.rated(proxy, false, now));
    }

    /// A daemon begins.
    pub fn begin(&mut self, clock: Clock) {
        self.clock = Some(clock);
        let now = clock.now();
        self.life_began = now;
        self.gone = self.removed.clone();
        self.requests = 0;
        self.asked_to_stop = false;
        let proxies = self.proxies.clone();
        proxies.iter().for_each(|proxy| self.sink.rated(proxy, true, now));
        let life = self.life;
        self.note(format_args!("life {life} begins"));
    }

    /// A daemon ended; requests that were under way got no answer, and providers come again.
    pub fn end(&mut self, down: Duration) {
        self.stopped_at = self.stopped_at.plus(down);
        self.life += 1;
        for place in 0..self.calls.len() {
            if self.calls[place].under_way > 0 {
                self.calls[place].under_way = 0;
                if self.calls[place].acknowledged.is_none() {
                    let wait = self.dice.millis(100, 5_000);
                    self.after(wait, Event::Call(place));
                }
            }
        }
    }

    /// Somebody's address on a line's channel.
    pub fn address(&self, person: usize, proxy: usize) -> Address {
        let text = match proxy {
            2 => format!("whatsapp:+1303555{person:04}"),
            3 => format!("messenger:90000{person:04}"),
            _ => format!("+1303555{person:04}"),
        };
        Address::parse(&text).unwrap()
    }

    /// Notes that something went wrong on purpose, and how the daemon stood at that moment.
    pub fn reached(&mut self, fault: Fault, books: &Books) {
        let states = self.states(books);
        self.note(format_args!("fault {fault:?} while {states:?}"));
        self.table.reached(fault, &states);
    }

    fn states(&self, books: &Books) -> Vec<State> {
        let mut states = Vec::new();
        let mut when = |so: bool, state| {
            if so {
                states.push(state);
            }
        };
        let now = self.now();
        when(books.queue.len() <= 1, State::Calm);
        when(books.queue.len() >= 6, State::Backlog);
        when(self.sink.under_way > 0, State::InFlight);
        when(!self.removed.is_empty() || self.sink.troubled(), State::Held);
        when(self.life > 0 && now.since(self.life_began) < Duration::from_secs(30), State::Restarted);
        let rows = || books.queue.values().filter_map(|row| row.message.as_ref());
        let closed = |name: &str| books.heads.get(name).is_none_or(|head| !head.state.open());
        when(!books.cleanup.is_empty() || rows().any(|row| closed(&row.conversation)), State::Closing);
        when(rows().any(|row| !row.sent.is_empty()), State::HalfSent);
        when(self.sink.doubts(), State::Doubt);
        when(self.full, State::Full);
        when(!books.opt_outs.is_empty(), State::OptedOut);
        states
    }
}
