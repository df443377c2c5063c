//! What people, callers, providers and operators do, drawn from the seed as the world stands.

use std::sync::Arc;
use std::time::Duration;

use trunkline::announce::Cause;
use trunkline::model::State as Stored;
use trunkline::relay::command::{ConversationChange, NewConversation, NewMessage, NewParticipant, Who};
use trunkline::relay::{Origin, RelayError};
use trunkline_adapter::{Address, DeliveryStatus, Inbound, InboundMessage, Part, Person, Rate, StatusReport};

use crate::life::Life;
use crate::situations::Fault;
use crate::world::{Event, Posted, Shared, World};

/// Nobody listens to what callers do here.
const QUIET: Cause = Cause::api(false);

/// Somebody in a conversation, on one of our lines.
struct Seat {
    conversation: String,
    participant: String,
    proxy: Address,
    address: Address,
}

fn seats(shared: &Shared) -> Vec<Seat> {
    let books = shared.auditor.books();
    let mut seats = Vec::new();
    for (conversation, roster) in &books.rosters {
        if !books.heads.get(conversation).is_some_and(|head| head.state.open()) {
            continue;
        }
        for (participant, binding) in roster {
            if let Some(binding) = binding {
                seats.push(Seat {
                    conversation: conversation.clone(),
                    participant: participant.clone(),
                    proxy: binding.proxy.clone(),
                    address: binding.address.clone(),
                });
            }
        }
    }
    seats
}

fn body(world: &mut World) -> String {
    let mut text = world.name("text ");
    if world.dice.in_thousand(200) {
        for word in 0..world.dice.between(4, 16) {
            text.push_str(&format!(" word{word}"));
        }
    }
    text
}

fn wrote(id: String, from: Address, to: Address, text: String) -> Inbound {
    Inbound::Message(InboundMessage {
        id,
        from: Person::new(from),
        to,
        parts: vec![Part::Text { text }],
        reply_to: None,
        at: None,
    })
}

/// One step of the workload.
pub fn act(shared: &Shared, life: &Arc<Life>) {
    let again = {
        let mut world = shared.world();
        world.tally.steps += 1;
        world.actions_left = world.actions_left.saturating_sub(1);
        (world.actions_left > 0).then(|| match world.dice.below(10) {
            0..5 => world.dice.millis(0, 20),
            5..9 => world.dice.millis(50, 3_000),
            _ => world.dice.millis(3_000, 60_000),
        })
    };
    if let Some(wait) = again {
        shared.world().after(wait, Event::Act);
    }
    let made = shared.world().conversations.len();
    let seats = seats(shared);
    let die = shared.world().dice.below(100);
    if made == 0 || seats.len() < 3 {
        return if made == 0 || (made < 3 && die < 30) { create(shared, life) } else { join(shared, life) };
    }
    match die {
        0..34 => write(shared, &seats),
        34..44 => repeat(shared),
        44..60 => post(shared, life, &seats),
        60..68 => join(shared, life),
        68..72 => leave(shared, life, &seats),
        72..74 => close(shared, life, &seats),
        74..76 => remove(shared, life, &seats),
        76..79 => create(shared, life),
        79..81 => take_back(shared, life),
        81..83 => watermark(shared, &seats),
        83..87 => keyword(shared, &seats),
        87..89 => nobody(shared),
        _ => misfortune(shared, life),
    }
}

/// Starts a request that ends with the daemon.
fn request<F>(shared: &Shared, asked: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    shared.world().requests += 1;
    let shared = shared.clone();
    tokio::spawn(async move {
        asked.await;
        shared.world().requests -= 1;
    });
}

/// A refusal that a caller may get.
fn refused(shared: &Shared, what: &str, error: &RelayError) {
    let mut world = shared.world();
    world.note(format_args!("{what} refused: {error}"));
    if matches!(error, RelayError::Ledger(_)) {
        world.fault(format!("{what} ended with {error}"));
    }
}

fn create(shared: &Shared, life: &Arc<Life>) {
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let new = NewConversation::default();
        match life.relay.create_conversation(&shared.account, &life.service, new, QUIET).await {
            Ok(conversation) => {
                let sid = conversation.sid().to_string();
                let mut world = shared.world();
                world.note(format_args!("created {sid}"));
                world.conversations.push(sid);
            }
            Err(error) => refused(&shared, "create", &error),
        }
    });
}

fn join(shared: &Shared, life: &Arc<Life>) {
    let (conversation, rival, address, proxy) = {
        let mut world = shared.world();
        let names = world.conversations.clone();
        // Mostly one of the newest, so that conversations fill up.
        let newest = names.len().saturating_sub(3);
        let Some(name) = world.dice.pick(&names[newest..]).cloned() else { return };
        let (person, line) = (world.dice.below(6), world.dice.below(4));
        let person = person % world.people;
        // Two want the same person in the same moment.
        let rival =
            if world.dice.in_thousand(200) { world.dice.pick(&names[newest..]).cloned() } else { None };
        (name, rival, world.address(person, line), world.proxies[line].address.clone())
    };
    if let Some(rival) = rival {
        bring(shared, life, rival, address.clone(), proxy.clone());
    }
    bring(shared, life, conversation, address, proxy);
}

fn bring(shared: &Shared, life: &Arc<Life>, conversation: String, address: Address, proxy: Address) {
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let who = Who::Bound { address: address.clone(), proxy: proxy.clone() };
        let new = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
        match life.relay.add_participant(&shared.account, &life.service, &conversation, new, QUIET).await {
            Ok((_, sid)) => {
                let mut world = shared.world();
                world.note(format_args!("{address} joined {conversation} on {proxy} as {sid}"));
                let books = shared.auditor.books();
                let there =
                    books.rosters.get(&conversation).is_some_and(|all| all.contains_key(sid.as_str()));
                if !there && !books.ever.left.contains(sid.as_str()) {
                    world.fault(format!("{sid} was acknowledged and is not in {conversation}"));
                }
            }
            Err(error) => refused(&shared, "join", &error),
        }
    });
}

fn leave(shared: &Shared, life: &Arc<Life>, seats: &[Seat]) {
    let mut world = shared.world();
    let Some(seat) = world.dice.pick(seats) else { return };
    let (conversation, participant) = (seat.conversation.clone(), seat.participant.clone());
    drop(world);
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let asked =
            life.relay.remove_participant(&shared.account, &life.service, &conversation, &participant, QUIET);
        match asked.await {
            Ok(()) => shared.world().note(format_args!("{participant} left {conversation}")),
            Err(error) => refused(&shared, "leave", &error),
        }
    });
}

fn close(shared: &Shared, life: &Arc<Life>, seats: &[Seat]) {
    let mut world = shared.world();
    let Some(conversation) = world.dice.pick(seats).map(|seat| seat.conversation.clone()) else { return };
    drop(world);
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let change = ConversationChange { state: Some(Stored::Closed), ..ConversationChange::default() };
        let asked =
            life.relay.update_conversation(&shared.account, &life.service, &conversation, change, QUIET);
        match asked.await {
            Ok(_) => shared.world().note(format_args!("closed {conversation}")),
            Err(error) => refused(&shared, "close", &error),
        }
    });
}

fn remove(shared: &Shared, life: &Arc<Life>, seats: &[Seat]) {
    let mut world = shared.world();
    let of_seats = world.dice.pick(seats).map(|seat| seat.conversation.clone());
    let names = world.conversations.clone();
    // Also closed ones.
    let any = world.dice.pick(&names).cloned();
    let chosen = if world.dice.in_thousand(500) { of_seats } else { any };
    drop(world);
    let Some(conversation) = chosen else { return };
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        match life.relay.delete_conversation(&shared.account, &life.service, &conversation, QUIET).await {
            Ok(()) => shared.world().note(format_args!("removed {conversation}")),
            Err(error) => refused(&shared, "remove", &error),
        }
    });
}

fn post(shared: &Shared, life: &Arc<Life>, seats: &[Seat]) {
    let (conversation, text) = {
        let mut world = shared.world();
        let Some(name) = world.dice.pick(seats).map(|seat| seat.conversation.clone()) else { return };
        (name, body(&mut world))
    };
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let new = NewMessage {
            author: "system".to_owned(),
            template: None,
            media: Vec::new(),
            body: Some(text.clone()),
            subject: None,
            attributes: None,
            created: None,
            updated: None,
        };
        match life.relay.post_message(&shared.account, &life.service, &conversation, new, QUIET).await {
            Ok((_, view)) => {
                let mut world = shared.world();
                world.note(format_args!("posted {conversation}/{}: {text}", view.index));
                world.tally.acknowledged += 1;
                let sid = view.record.sid.to_string();
                let known =
                    shared.auditor.books().ever.messages.get(&(conversation.clone(), view.index)).cloned();
                if !known.is_some_and(|known| known.sid.as_str() == sid && known.body == Some(text.clone())) {
                    world.fault(format!("{conversation}/{} was acknowledged and is not there", view.index));
                }
                world.posted.push(Posted { conversation, index: view.index, sid, body: text });
            }
            Err(error) => refused(&shared, "post", &error),
        }
    });
}

/// Takes a message back over the API.
fn take_back(shared: &Shared, life: &Arc<Life>) {
    let chosen = {
        let mut world = shared.world();
        let books = shared.auditor.books();
        let all: Vec<_> =
            books.messages.iter().map(|((of, _), one)| (of.clone(), one.sid.to_string())).collect();
        world.dice.pick(&all).cloned()
    };
    let Some((conversation, message)) = chosen else { return };
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let asked = life.relay.delete_message(&shared.account, &life.service, &conversation, &message, QUIET);
        match asked.await {
            Ok(()) => shared.world().note(format_args!("took back {message} of {conversation}")),
            Err(error) => refused(&shared, "take back", &error),
        }
    });
}

/// Somebody writes, perhaps several at once in one webhook.
fn write(shared: &Shared, seats: &[Seat]) {
    let mut world = shared.world();
    let Some(first) = world.dice.pick(seats) else { return };
    let Some((adapter, kind)) = world.proxy(first.proxy.as_str()).map(|proxy| (proxy.adapter, proxy.kind))
    else {
        return;
    };
    let own: Vec<&Seat> = seats
        .iter()
        .filter(|seat| world.proxy(seat.proxy.as_str()).is_some_and(|proxy| proxy.adapter == adapter))
        .collect();
    let mut events = Vec::new();
    let count = if world.dice.in_thousand(250) { world.dice.between(2, 4) } else { 1 };
    for _ in 0..count {
        let id = world.name("in");
        let text = body(&mut world);
        let (from, to) = if world.dice.in_thousand(60) {
            // Perhaps a stranger.
            let people = world.people;
            let (person, line) = (world.dice.below(people), world.dice.below(4));
            let line = if world.proxies[line].adapter == adapter { line } else { continue };
            (world.address(person, line), world.proxies[line].address.clone())
        } else {
            let Some(seat) = world.dice.pick(&own) else { return };
            (seat.address.clone(), seat.proxy.clone())
        };
        events.push(wrote(id, from, to, text));
    }
    if events.is_empty() {
        return;
    }
    if world.dice.in_thousand(100) {
        let twice = events[world.dice.below(events.len())].clone();
        events.push(twice);
        world.reached(Fault::RepeatInside, &shared.auditor.books());
    }
    let wait = world.dice.millis(0, 30);
    let place = world.call(adapter, kind, events, wait);
    if world.dice.in_thousand(150) {
        let wait = world.dice.millis(0, 40);
        world.after(wait, Event::Call(place));
        world.reached(Fault::RepeatTogether, &shared.auditor.books());
    }
}

/// A provider tells something once more, long after it was acknowledged.
fn repeat(shared: &Shared) {
    let mut world = shared.world();
    let done: Vec<usize> =
        (0..world.calls.len()).filter(|at| world.calls[*at].acknowledged.is_some()).collect();
    let Some(place) = world.dice.pick(&done).copied() else { return };
    world.reached(Fault::RepeatLater, &shared.auditor.books());
    let wait = world.dice.millis(0, 100);
    if world.dice.in_thousand(300) {
        // In another company.
        let (adapter, kind) = (world.calls[place].adapter, world.calls[place].kind);
        let mut events = world.calls[place].events.clone();
        if let Some(other) = world.dice.pick(&done).copied()
            && world.calls[other].adapter == adapter
        {
            events.extend(world.calls[other].events.clone());
        }
        world.call(adapter, kind, events, wait);
    } else {
        world.after(wait, Event::Call(place));
    }
}

fn watermark(shared: &Shared, seats: &[Seat]) {
    let mut world = shared.world();
    let own: Vec<&Seat> = seats.iter().filter(|seat| seat.proxy.as_str().starts_with("messenger:")).collect();
    let Some(seat) = world.dice.pick(&own) else { return };
    let status = if world.dice.in_thousand(500) { DeliveryStatus::Read } else { DeliveryStatus::Delivered };
    let until = world.now();
    let event =
        Inbound::Watermark { from: Person::new(seat.address.clone()), to: seat.proxy.clone(), status, until };
    world.call("pages", "messenger", vec![event], Duration::from_millis(5));
}

fn keyword(shared: &Shared, seats: &[Seat]) {
    let mut world = shared.world();
    let own: Vec<&Seat> = seats.iter().filter(|seat| seat.proxy.as_str().starts_with('+')).collect();
    let Some(seat) = world.dice.pick(&own) else { return };
    let pair = (seat.proxy.to_string(), seat.address.to_string());
    let out = shared.auditor.books().opt_outs.contains_key(&pair);
    let word = match world.dice.below(8) {
        0 => "HELP",
        1 => "START",
        2 => "STOP",
        _ if out => "START",
        _ => "STOP",
    };
    let id = world.name("in");
    let event = wrote(id, seat.address.clone(), seat.proxy.clone(), word.to_owned());
    world.call("us", "twilio", vec![event], Duration::from_millis(1));
}

/// A status of something nobody here ever sent.
fn nobody(shared: &Shared) {
    let mut world = shared.world();
    world.reached(Fault::StatusOfNobody, &shared.auditor.books());
    let line = world.dice.below(4);
    let (proxy, id) = (world.proxies[line].clone(), world.name("stranger"));
    let correlation = world.dice.in_thousand(300).then(|| "not ours at all".to_owned());
    let report = StatusReport {
        id,
        from: proxy.address.clone(),
        correlation,
        status: DeliveryStatus::Delivered,
        error: None,
        learned: Vec::new(),
        at: None,
    };
    world.call(proxy.adapter, proxy.kind, vec![Inbound::Status(report)], Duration::ZERO);
}

/// Something goes wrong for a while, or an operator changes something.
fn misfortune(shared: &Shared, life: &Arc<Life>) {
    let mut world = shared.world();
    let books = shared.auditor.books();
    match world.dice.below(11) {
        0 | 1 => {
            let line = world.dice.below(4);
            let address = world.proxies[line].address.clone();
            if !world.sink.mistaken.contains(&address) {
                world.note(format_args!("the token of {address} is wrong"));
                world.sink.mistaken.push(address);
                let wait = world.dice.millis(1_000, 120_000);
                world.after(wait, Event::Mended(line));
            }
        }
        2 | 3 => {
            let line = world.dice.below(4);
            let address = world.proxies[line].address.clone();
            if !world.sink.away.contains(&address) {
                world.note(format_args!("the provider of {address} is away"));
                world.sink.away.push(address);
                let wait = world.dice.millis(1_000, 120_000);
                world.after(wait, Event::Back(line));
            }
        }
        4 => {
            if !world.full {
                world.reached(Fault::DiskFull, &books);
                world.full = true;
                shared.disk.memory.set_full(true);
                let wait = world.dice.millis(2_000, 60_000);
                world.after(wait, Event::Room);
            }
        }
        5 | 6 => {
            world.reached(Fault::Conflict, &books);
            shared.disk.set_conflicts(world.dice.between(1, 6) as usize);
        }
        7 | 8 => {
            let adapter = ["us", "wa", "pages"][world.dice.below(3)];
            if !world.removed.contains(&adapter) {
                world.reached(Fault::AdapterRemoved, &books);
                world.removed.push(adapter);
                let wait = world.dice.millis(500, 60_000);
                world.after(wait, Event::Returned(adapter));
                drop((books, world));
                reload(shared, life);
            }
        }
        9 => {
            world.reached(Fault::RateChanged, &books);
            let line = world.dice.below(4);
            let rate =
                Rate::per_second([0.5, 2.0, 5.0, 20.0][world.dice.below(4)], world.dice.between(1, 6) as u32);
            world.proxies[line].rate = rate;
            if world.proxies[line].pair_rate.is_some() {
                let pair =
                    Rate::per_minute(world.dice.between(6, 60) as f64, world.dice.between(1, 6) as u32);
                world.proxies[line].pair_rate = Some(pair);
            }
            if world.dice.in_thousand(300) {
                let adapter = world.proxies[line].adapter;
                *world.edition.entry(adapter).or_default() += 1;
            }
            drop((books, world));
            reload(shared, life);
        }
        _ => {
            world.reached(Fault::OrderlyRestart, &books);
            world.note(format_args!("the daemon is asked to stop"));
            world.asked_to_stop = true;
        }
    }
}

/// Puts the configuration of this moment in force.
pub fn reload(shared: &Shared, life: &Arc<Life>) {
    shared.world().note(format_args!("reload"));
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        while let Err(error) = life.apply().await {
            shared.world().note(format_args!("reload failed: {error}"));
        }
    });
}

/// A provider calls.
pub fn deliver(shared: &Shared, life: &Arc<Life>, place: usize) {
    let (adapter, kind, events, expected) = {
        let mut world = shared.world();
        let books = shared.auditor.books();
        let call = &mut world.calls[place];
        call.under_way += 1;
        let (adapter, kind, events) = (call.adapter, call.kind, call.events.clone());
        // Who is in an open conversation all the time until the answer must have been heard.
        let expected: Vec<_> = events
            .iter()
            .map(|event| match event {
                Inbound::Message(message) => books.holder(message.to.as_str(), message.from.address.as_str()),
                _ => None,
            })
            .collect();
        world.note(format_args!("call {place}: {} events of {adapter}", events.len()));
        if world.gone.contains(&adapter) {
            // Nobody answers for an adapter that is not configured: 404, and the provider comes again.
            world.calls[place].under_way -= 1;
            if world.calls[place].acknowledged.is_none() {
                let wait = world.dice.millis(500, 10_000);
                world.after(wait, Event::Call(place));
            }
            return;
        }
        (adapter, kind, events, expected)
    };
    let (shared, life) = (shared.clone(), life.clone());
    request(&shared.clone(), async move {
        let origin = Origin { adapter, kind, account: &shared.account };
        let answer = life.relay.take(origin, events.clone()).await;
        let mut world = shared.world();
        world.calls[place].under_way -= 1;
        match answer {
            Ok(()) => acknowledged(&shared, &mut world, place, kind, &events, &expected),
            Err(error) => {
                world.note(format_args!("call {place} refused: {error}"));
                if matches!(error, RelayError::Ledger(_)) {
                    world.fault(format!("a webhook ended with {error}"));
                }
                if world.calls[place].acknowledged.is_none() {
                    let wait = world.dice.millis(200, 5_000);
                    world.after(wait, Event::Call(place));
                }
            }
        }
    });
}

type Holder = Option<(String, String, u64)>;

fn acknowledged(
    shared: &Shared,
    world: &mut World,
    place: usize,
    kind: &str,
    events: &[Inbound],
    expected: &[Holder],
) {
    let first = world.calls[place].acknowledged.is_none();
    let now = world.now();
    world.note(format_args!("call {place} acknowledged"));
    if first {
        world.calls[place].acknowledged = Some(now);
    } else {
        world.tally.repeats += 1;
    }
    for (event, before) in events.iter().zip(expected) {
        match event {
            Inbound::Message(message) => {
                let books = shared.auditor.books();
                let (to, from) = (message.to.as_str(), message.from.address.as_str());
                let name = (kind.to_owned(), to.to_owned(), message.id.clone());
                if first {
                    world.tally.acknowledged += 1;
                }
                if before.is_some()
                    && before == &books.holder(to, from)
                    && !books.ever.sources.contains_key(&name)
                    && first
                {
                    drop(books);
                    world.fault(format!("{} was acknowledged and is in no conversation", message.id));
                    continue;
                }
                let text = matches!(message.parts.as_slice(), [Part::Text { text }] if text == "STOP");
                let pair = (to.to_owned(), from.to_owned());
                if text && let Some(edition) = books.opt_outs.get(&pair) {
                    world.stopped.insert(pair, *edition);
                }
            }
            Inbound::Status(report) => {
                world.tally.statuses += 1;
                world.told(report);
            }
            _ => {}
        }
    }
}
