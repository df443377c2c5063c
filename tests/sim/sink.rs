//! The providers: what they were asked to send, what they took, how they answer, and whether all that was allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline::outbound::Unknown;
use trunkline_adapter::{
    Address, Blame, Cause, Channel, DeliveryStatus, Inbound, Outbound, Outcome, ProviderError, Rate, Scope,
    StatusReport, Timestamp,
};

use crate::auditor::Books;
use crate::situations::Fault;
use crate::world::{Event, Proxy, World};

/// The operator's own fault.
pub const WRONG_TOKEN: u32 = 20003;
/// Nobody is there.
pub const AWAY: u32 = 20500;
/// The provider refuses this recipient.
pub const REFUSED: u32 = 21211;
/// The network does not deliver.
pub const LOST: u32 = 30003;

/// One part of one message for one person.
pub type Piece = (String, u32);

/// What is known of one piece at its provider.
#[derive(Default)]
pub struct Parcel {
    pub takes: u32,
    /// It was taken, and the daemon cannot know, or forgot.
    pub doubt: bool,
    /// ...because its life ended.
    pub crashed: bool,
    pub text: String,
    pub refused: Vec<u32>,
    pub unknown: bool,
    /// Statuses that were acknowledged, with the provider's id each was about.
    pub told: Vec<(String, DeliveryStatus, u32)>,
    pub ids: Vec<String>,
    /// Since when the daemon could know by our own text that it was taken.
    pub known: Option<Timestamp>,
}

/// A rate as the provider counts it: when it would be full again.
struct Meter {
    rate: Rate,
    full_at: Timestamp,
}

impl Meter {
    /// Everything may have been sent just before.
    fn spent(rate: Rate, now: Timestamp) -> Meter {
        Meter { rate, full_at: now.plus(rate.period * rate.burst) }
    }

    /// Counts a request; says by how much it came too early.
    fn count(&mut self, now: Timestamp) -> Option<Duration> {
        // What is forgiven of lateness, as the house documents it.
        let grace = Duration::from_millis(5).min(self.rate.period / 4);
        let earliest =
            Timestamp(self.full_at.0 - (self.rate.period * (self.rate.burst - 1)).as_micros() as i64);
        self.full_at = self.full_at.max(now).plus(self.rate.period);
        let early = earliest.since(now);
        (early > grace).then_some(early)
    }
}

pub struct Sink {
    meters: BTreeMap<Address, Meter>,
    pairs: BTreeMap<(Address, Address), Meter>,
    /// The limits per recipient, and since when they hold.
    pair_rates: BTreeMap<Address, (Option<Rate>, Timestamp)>,
    pub parcels: BTreeMap<Piece, Parcel>,
    /// Where each recipient of a conversation has got to.
    order: BTreeMap<(String, Address, Address), (u64, u32)>,
    pub under_way: usize,
    /// Lines on which the operator did something wrong.
    pub mistaken: Vec<Address>,
    /// Lines whose provider is away.
    pub away: Vec<Address>,
    /// Nothing may leave a line from here to there.
    pauses: BTreeMap<Address, (Timestamp, Timestamp)>,
    ids: u64,
}

/// What a provider is going to do about a request.
pub struct Answer {
    pub wait: Duration,
    pub outcome: Outcome,
    pub proxy: Address,
}

impl Sink {
    pub fn new(proxies: &[Proxy], now: Timestamp) -> Sink {
        let mut sink = Sink {
            meters: BTreeMap::new(),
            pairs: BTreeMap::new(),
            pair_rates: BTreeMap::new(),
            parcels: BTreeMap::new(),
            order: BTreeMap::new(),
            under_way: 0,
            mistaken: Vec::new(),
            away: Vec::new(),
            pauses: BTreeMap::new(),
            ids: 0,
        };
        proxies.iter().for_each(|proxy| sink.rated(proxy, true, now));
        sink
    }

    /// A line is new, has another rate, or begins anew after a restart: the burst counts as spent.
    pub fn rated(&mut self, proxy: &Proxy, anew: bool, now: Timestamp) {
        let line = &proxy.address;
        if anew || self.meters.get(line).is_none_or(|meter| meter.rate != proxy.rate) {
            self.meters.insert(line.clone(), Meter::spent(proxy.rate, now));
        }
        if anew || self.pair_rates.get(line).is_none_or(|(rate, _)| *rate != proxy.pair_rate) {
            self.pairs.retain(|(other, _), _| other != line);
            self.pair_rates.insert(line.clone(), (proxy.pair_rate, now));
        }
    }

    pub fn troubled(&self) -> bool {
        !self.mistaken.is_empty() || !self.away.is_empty()
    }

    pub fn doubts(&self) -> bool {
        self.parcels.values().any(|parcel| parcel.doubt)
    }

    /// The daemon is gone: what it was doing is cut off.
    pub fn crashed(&mut self, books: &Books) -> Vec<String> {
        self.under_way = 0;
        self.pauses.clear();
        let mut wrong = Vec::new();
        let mut of = BTreeMap::new();
        for row in books.queue.values() {
            let Some(waiting) = &row.message else { continue };
            let piece = (waiting.receipt.clone(), waiting.sent.len() as u32);
            let Some(parcel) = self.parcels.get_mut(&piece).filter(|parcel| parcel.takes > 0) else {
                continue;
            };
            if !parcel.doubt {
                parcel.doubt = true;
                parcel.crashed = true;
            }
            let here = of.entry((row.lane.clone(), row.subject.clone())).or_insert(0);
            *here += 1;
            if *here > 1 {
                wrong.push(format!("two messages for {} were out at once", row.subject));
            }
        }
        wrong
    }
}

fn piece_of(correlation: &str) -> Option<(String, u64, Piece)> {
    let mut fields = correlation.split('.');
    let conversation = fields.next()?.to_owned();
    let index = fields.next()?.parse().ok()?;
    fields.next()?;
    let receipt = fields.next()?.to_owned();
    let part = fields.next()?.parse().ok()?;
    Some((conversation, index, (receipt, part)))
}

impl World {
    /// A request reaches its provider.
    pub fn arrive(&mut self, outbound: &Outbound, books: &Books) -> Answer {
        let now = self.now();
        self.tally.sends += 1;
        self.sink.under_way += 1;
        let (from, to) = (&outbound.from, &outbound.to);
        let piece = piece_of(&outbound.correlation);
        self.note(format_args!("send {from} -> {to} {}", outbound.correlation));
        self.check_rates(from, to, now);
        let body = outbound.content.text();
        if let Some((conversation, index, piece)) = &piece {
            self.check_piece(from, to, (conversation, *index, piece), body, books);
        }
        let piece = piece.map(|(_, _, piece)| piece);
        self.answer(outbound, piece, books)
    }

    fn check_rates(&mut self, from: &Address, to: &Address, now: Timestamp) {
        let early = self.sink.meters.get_mut(from).and_then(|meter| meter.count(now));
        if let Some(early) = early {
            self.fault(format!("the rate of {from} was exceeded: a request came {early:?} too early"));
        }
        if let Some((Some(rate), since)) = self.sink.pair_rates.get(from).copied() {
            let pair = (from.clone(), to.clone());
            let meter = self.sink.pairs.entry(pair).or_insert_with(|| Meter::spent(rate, since));
            if let Some(early) = meter.count(now) {
                self.fault(format!("the rate of {from} for {to} was exceeded by {early:?}"));
            }
        }
        if self.sink.pauses.get(from).is_some_and(|(start, until)| *start < now && now < *until) {
            self.fault(format!("{from} sent before the provider's wish was over"));
        }
    }

    fn check_piece(
        &mut self,
        from: &Address,
        to: &Address,
        (conversation, index, piece): (&String, u64, &Piece),
        body: &str,
        books: &Books,
    ) {
        let place = (conversation.clone(), from.clone(), to.clone());
        let here = (index, piece.1);
        let now = self.now();
        let last = self.sink.order.insert(place, here);
        if last.is_some_and(|last| last > here) {
            self.fault(format!("{to} got {here:?} of {conversation} after {last:?}"));
        }
        let pair = (from.to_string(), to.to_string());
        let stopped = self.stopped.get(&pair);
        if stopped.is_some() && stopped == books.opt_outs.get(&pair) {
            self.fault(format!("{to} was written to after STOP"));
        }
        match books.ever.messages.get(&(conversation.clone(), index)) {
            None => self.fault(format!("a message left that is nowhere: {conversation}/{index}")),
            Some(message) => {
                let whole: String = message.body.iter().flat_map(|body| body.split_whitespace()).collect();
                let sent: String = body.split_whitespace().collect();
                if sent.is_empty() || !whole.contains(&sent) {
                    self.fault(format!("{conversation}/{index} left with another text"));
                }
            }
        }
        if self.proxy(from.as_str()).is_some_and(|proxy| self.gone.contains(&proxy.adapter)) {
            self.fault(format!("{from} sent while it is not configured"));
        }
        let unknown = self.policies.unknown;
        let moment_ago = Timestamp(now.0 - 1_000_000);
        let parcel = self.sink.parcels.entry(piece.clone()).or_default();
        parcel.text = body.to_owned();
        if parcel.takes > 0 {
            if parcel.known.is_some_and(|known| known < moment_ago) {
                let line =
                    format!("{conversation}/{index} went to {to} once more although a status told of it");
                self.fault(line);
            } else if !parcel.doubt {
                let line = format!("{conversation}/{index} went to {to} once more without need");
                self.fault(line);
            } else if unknown == Unknown::Fail {
                let line = format!("{conversation}/{index} went to {to} once more against the policy");
                self.fault(line);
            }
        }
    }

    /// The piece is in the provider's hands.
    fn take(&mut self, piece: Option<&Piece>) {
        self.tally.taken += 1;
        let Some(piece) = piece else { return };
        let parcel = self.sink.parcels.entry(piece.clone()).or_default();
        parcel.takes += 1;
        if parcel.takes > 1 {
            if parcel.crashed {
                self.tally.after_crash += 1;
            } else {
                self.tally.after_unknown += 1;
            }
        }
        parcel.doubt = false;
        parcel.crashed = false;
    }

    fn answer(&mut self, outbound: &Outbound, piece: Option<Piece>, books: &Books) -> Answer {
        let from = outbound.from.clone();
        let wait = self.dice.millis(20, 400);
        let plain = |code, text: &str| Cause { code, text: text.to_owned() };
        let answer = |wait, outcome| Answer { wait, outcome, proxy: from.clone() };
        if self.sink.mistaken.contains(&from) {
            self.reached(Fault::WrongToken, books);
            let cause = plain(WRONG_TOKEN, "authenticate");
            return answer(wait, Outcome::Rejected { blame: Blame::Operator, cause });
        }
        if self.sink.away.contains(&from) {
            self.reached(Fault::ProviderAway, books);
            let cause = plain(AWAY, "away");
            return answer(wait, Outcome::Retryable { after: None, tries: None, cause });
        }
        let chance = if self.calm { 1000 } else { self.dice.between(0, 999) };
        if !self.calm && self.dice.in_thousand(12) {
            let soon = self.dice.millis(0, 300);
            self.after(soon, Event::Crash);
        }
        match chance {
            0..20 => {
                self.reached(Fault::ThrottleUntil, books);
                let scope = [Scope::Lane, Scope::Account, Scope::Recipient][self.dice.below(3)];
                let after = Some(Duration::from_secs(self.dice.between(1, 30)));
                answer(wait, Outcome::Throttled { after, scope, cause: plain(20429, "slower") })
            }
            20..35 => {
                self.reached(Fault::ThrottleBare, books);
                let cause = plain(20429, "slower");
                answer(wait, Outcome::Throttled { after: None, scope: Scope::Lane, cause })
            }
            35..65 => {
                self.reached(Fault::ServerError, books);
                let tries = self.dice.in_thousand(300).then_some(3);
                let cause = plain(20503, "unavailable");
                if tries.is_some()
                    && let Some(piece) = &piece
                {
                    self.sink.parcels.entry(piece.clone()).or_default().refused.push(20503);
                }
                answer(wait, Outcome::Retryable { after: None, tries, cause })
            }
            65..75 => {
                self.reached(Fault::Hang, books);
                let took = self.dice.in_thousand(500);
                if took {
                    self.take(piece.as_ref());
                }
                self.doubt(piece.as_ref(), took);
                answer(Duration::from_secs(100_000), Outcome::Unknown { cause: plain(0, "never") })
            }
            75..95 => {
                self.reached(Fault::TookAndFailed, books);
                self.take(piece.as_ref());
                self.doubt(piece.as_ref(), true);
                self.statuses(outbound, piece.as_ref(), wait, books);
                answer(wait, Outcome::Unknown { cause: plain(0, "answered 500") })
            }
            95..115 => {
                self.reached(Fault::CutAfterTaking, books);
                self.take(piece.as_ref());
                self.doubt(piece.as_ref(), true);
                if self.dice.in_thousand(500) {
                    self.statuses(outbound, piece.as_ref(), wait, books);
                }
                answer(wait, Outcome::Unknown { cause: plain(0, "cut off") })
            }
            115..130 => {
                self.reached(Fault::CutBeforeTaking, books);
                self.doubt(piece.as_ref(), false);
                answer(wait, Outcome::Unknown { cause: plain(0, "cut off") })
            }
            130..150 => {
                self.reached(Fault::Refused, books);
                if let Some(piece) = &piece {
                    self.sink.parcels.entry(piece.clone()).or_default().refused.push(REFUSED);
                }
                let blame = if self.dice.in_thousand(500) { Blame::Message } else { Blame::Recipient };
                answer(wait, Outcome::Rejected { blame, cause: plain(REFUSED, "no") })
            }
            _ => {
                self.take(piece.as_ref());
                // Until the answer is written down, a crash makes it doubtful; see `Sink::crashed`.
                let wait = if chance < 180 {
                    self.reached(Fault::SlowAnswer, books);
                    self.dice.millis(2_000, 60_000)
                } else {
                    wait
                };
                let id = if (180..220).contains(&chance) {
                    self.reached(Fault::NoStatus, books);
                    self.id(piece.as_ref())
                } else {
                    self.statuses(outbound, piece.as_ref(), wait, books)
                };
                answer(wait, Outcome::Accepted { id, learned: Vec::new(), at: None })
            }
        }
    }

    fn doubt(&mut self, piece: Option<&Piece>, took: bool) {
        let Some(piece) = piece else { return };
        let parcel = self.sink.parcels.entry(piece.clone()).or_default();
        parcel.unknown = true;
        if took {
            parcel.doubt = true;
        }
    }

    fn id(&mut self, piece: Option<&Piece>) -> String {
        self.sink.ids += 1;
        let id = format!("out{}", self.sink.ids);
        if let Some(piece) = piece {
            self.sink.parcels.entry(piece.clone()).or_default().ids.push(id.clone());
        }
        id
    }

    /// What the provider is going to tell of a send, in whatever order.
    fn statuses(
        &mut self,
        outbound: &Outbound,
        piece: Option<&Piece>,
        answered: Duration,
        books: &Books,
    ) -> String {
        let id = self.id(piece);
        let Some(proxy) = self.proxy(outbound.from.as_str()).cloned() else { return id };
        if piece.is_none() {
            return id;
        }
        use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
        let mut told = match self.dice.below(10) {
            0 => vec![Sent, Undelivered],
            1 => vec![Sent, Failed],
            2 | 3 => vec![Sent, Delivered, Read],
            4 => vec![Read],
            _ => vec![Sent, Delivered],
        };
        if !self.calm {
            if self.dice.in_thousand(100) {
                self.reached(Fault::StatusBackwards, books);
                told.reverse();
            }
            if self.dice.in_thousand(100) {
                self.reached(Fault::StatusTwice, books);
                told.push(told[0]);
            }
        }
        let early = !self.calm && self.dice.in_thousand(100);
        let mut wait = if early {
            self.reached(Fault::StatusEarly, books);
            Duration::ZERO
        } else {
            answered + self.dice.millis(0, 1_000)
        };
        for status in told {
            let bad = matches!(status, Undelivered | Failed);
            let report = StatusReport {
                id: id.clone(),
                from: proxy.address.clone(),
                // Messenger gives no text of ours back with a status.
                correlation: (proxy.address.channel() != Channel::Messenger)
                    .then(|| outbound.correlation.clone()),
                status,
                error: bad.then(|| ProviderError {
                    code: LOST,
                    class: trunkline_adapter::Class::Permanent,
                    text: "lost".to_owned(),
                }),
                learned: Vec::new(),
                at: None,
            };
            self.call(proxy.adapter, proxy.kind, vec![Inbound::Status(report)], wait);
            wait += if early { self.dice.millis(0, 50) } else { self.dice.millis(50, 20_000) };
        }
        id
    }

    /// The provider's answer has left.
    pub fn answered(&mut self, answer: &Answer) {
        let now = self.now();
        if let Outcome::Throttled { after: Some(wish), scope, .. } = &answer.outcome
            && *scope != Scope::Recipient
        {
            let adapter = self.proxy(answer.proxy.as_str()).map(|proxy| proxy.adapter);
            let until = now.plus(*wish);
            for proxy in &self.proxies {
                let meant = match scope {
                    Scope::Account => Some(proxy.adapter) == adapter,
                    _ => proxy.address == answer.proxy,
                };
                if meant {
                    // Where policy wants it written down, that takes a moment.
                    let start = now.plus(Duration::from_millis(30));
                    let pause = self.sink.pauses.entry(proxy.address.clone()).or_insert((start, until));
                    *pause = if pause.1 < now { (start, until) } else { (pause.0, pause.1.max(until)) };
                }
            }
        }
    }

    /// A status was acknowledged.
    pub fn told(&mut self, report: &StatusReport) {
        let now = self.now();
        let piece = report.correlation.as_deref().and_then(piece_of).map(|(_, _, piece)| piece);
        let named = piece.is_some();
        let known = |parcel: &Parcel| parcel.ids.contains(&report.id);
        let code = report.error.as_ref().map_or(0, |error| error.code);
        let piece = piece.or_else(|| {
            self.sink.parcels.iter().find(|(_, parcel)| known(parcel)).map(|(piece, _)| piece.clone())
        });
        if let Some(parcel) = piece.and_then(|piece| self.sink.parcels.get_mut(&piece)) {
            parcel.told.push((report.id.clone(), report.status, code));
            if named && parcel.known.is_none() {
                parcel.known = Some(now);
            }
        }
    }
}
