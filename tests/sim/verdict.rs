//! What must be true when everything has settled.

use trunkline::ledger::engine::Engine;
use trunkline::ledger::key::{Range, Space};
use trunkline::model::ProviderIdRow;
use trunkline::outbound::Unknown;
use trunkline_adapter::DeliveryStatus;

use crate::auditor::Books;
use crate::sink::Parcel;
use crate::world::{Shared, World};

pub fn whole(shared: &Shared) -> Vec<String> {
    let mut wrong = Vec::new();
    let world = shared.world();
    let books = shared.auditor.books();
    store(shared, &books, &mut wrong);
    messages(&world, &books, &mut wrong);
    posts(&world, &books, &mut wrong);
    statuses(&world, &books, &mut wrong);
    bindings(&books, &mut wrong);
    ids(&books, &mut wrong);
    for call in world.calls.iter().filter(|call| call.acknowledged.is_none()) {
        wrong.push(format!("a provider of {} never got its answer", call.adapter));
    }
    wrong
}

/// The store is what its writes said, with nothing waiting.
fn store(shared: &Shared, books: &Books, wrong: &mut Vec<String>) {
    let snapshot = shared.disk.snapshot();
    let rows = futures_util::future::FutureExt::now_or_never(snapshot.scan(Range::all(), usize::MAX));
    let rows = rows.unwrap().unwrap();
    let same = rows.len() == books.rows.len()
        && rows.iter().all(|(key, row)| books.rows.get(key).is_some_and(|payload| payload == &row.payload));
    if !same {
        wrong.push("the store is not what was written".to_owned());
    }
    let queued = rows.iter().filter(|(key, _)| key.space() == Some(Space::Queue)).count();
    if queued > 0 {
        wrong.push(format!("{queued} queue rows are left"));
    }
    for (key, _) in rows.iter().filter(|(key, _)| key.space() == Some(Space::Parked)) {
        let parts = key.parts().unwrap();
        let known = books.ids.keys().any(|id| id.parts().is_some_and(|id| id.rest == parts.rest));
        if known {
            wrong.push("a status is parked whose send is known".to_owned());
        }
    }
}

/// Every message reached everybody it was for, or their receipt says why not.
fn messages(world: &World, books: &Books, wrong: &mut Vec<String>) {
    for ((of, index), message) in &books.messages {
        if books.heads.get(of).is_none_or(|head| head.state == trunkline::model::State::Deleted) {
            continue;
        }
        for delivery in &message.deliveries {
            let sid = delivery.receipt.to_string();
            let who = delivery.participant.as_str();
            let Some(receipt) = books.receipts.get(&(of.clone(), *index, sid.clone())) else {
                wrong.push(format!("{of}/{index}: nothing is known of what became of it for {who}"));
                continue;
            };
            let parcels: Vec<(&u32, &Parcel)> = world
                .sink
                .parcels
                .range((sid.clone(), 0)..=(sid.clone(), u32::MAX))
                .map(|((_, part), parcel)| (part, parcel))
                .collect();
            let taken: String = parcels
                .iter()
                .filter(|(_, parcel)| parcel.takes > 0)
                .flat_map(|(_, parcel)| parcel.text.split_whitespace())
                .collect();
            let text: String = message.body.iter().flat_map(|body| body.split_whitespace()).collect();
            use DeliveryStatus::{Failed, Undelivered};
            match receipt.status {
                None => wrong.push(format!("{of}/{index}: the receipt of {who} says nothing")),
                Some(Failed | Undelivered) => {
                    let code = receipt.error_code;
                    let place = books.ever.deliveries.get(&sid);
                    let told = parcels.iter().any(|(_, parcel)| {
                        parcel.refused.contains(&code) || parcel.told.iter().any(|(_, _, said)| *said == code)
                    });
                    let reason = match code {
                        0 => books.ever.left.contains(who),
                        21610 => place.is_some_and(|place| books.ever.opted.contains(place)),
                        21617 => text.len() > 100,
                        // When it may be is checked where it is written.
                        30036 => true,
                        30008 => world.policies.unknown == Unknown::Fail,
                        _ => told,
                    };
                    if !reason {
                        wrong.push(format!("{of}/{index}: failed for {who} with {code} without a reason"));
                    }
                }
                Some(_) if taken != text => {
                    wrong.push(format!("{of}/{index}: {who} got {taken:?} of {text:?}"));
                }
                Some(_) => {}
            }
        }
    }
}

fn posts(world: &World, books: &Books, wrong: &mut Vec<String>) {
    for posted in &world.posted {
        let there = books.ever.messages.get(&(posted.conversation.clone(), posted.index));
        let same = there.is_some_and(|message| {
            message.sid.as_str() == posted.sid && message.body.as_ref() == Some(&posted.body)
        });
        if !same {
            wrong.push(format!("{}/{} was acknowledged and lost", posted.conversation, posted.index));
        }
    }
}

/// What a provider told, and was told to be heard, shows in the receipt.
fn statuses(world: &World, books: &Books, wrong: &mut Vec<String>) {
    use DeliveryStatus::{Delivered, Failed, Read, Undelivered};
    for ((of, index, sid), receipt) in &books.receipts {
        for (part, status) in receipt.parts.iter().enumerate() {
            let Some(parcel) = world.sink.parcels.get(&(sid.clone(), part as u32)) else { continue };
            let known = receipt.provider_ids.get(part);
            let told = parcel.told.iter().filter(|(id, _, _)| Some(id) == known);
            let best = told.map(|(_, status, _)| *status).filter(|status| *status <= Read).max();
            let ended = matches!(status, Some(Failed | Undelivered));
            if best >= Some(Delivered) && !ended && *status < best {
                wrong.push(format!("{of}/{index}: {best:?} was told of {sid}, and it says {status:?}"));
            }
        }
    }
}

/// Nothing is known of what is gone, but that its id was there.
fn ids(books: &Books, wrong: &mut Vec<String>) {
    for row in books.ids.values() {
        if let ProviderIdRow::Message { conversation, index, subject } = row
            && !books.messages.contains_key(&(conversation.to_string(), *index))
        {
            wrong.push(format!("{conversation}/{index} is gone, and an id of it is known: {subject:?}"));
        }
    }
}

/// No pair is in two open conversations.
fn bindings(books: &Books, wrong: &mut Vec<String>) {
    let mut seen = std::collections::BTreeMap::new();
    for (of, roster) in &books.rosters {
        if !books.heads.get(of).is_some_and(|head| head.state.open()) {
            continue;
        }
        for (who, binding) in roster {
            let Some(binding) = binding else { continue };
            let pair = (binding.proxy.to_string(), binding.address.to_string());
            if let Some(other) = seen.insert(pair.clone(), of.clone()) {
                wrong.push(format!("{pair:?} is in {other} and {of}"));
            }
            let claim = books.bindings.get(&pair);
            if claim.is_none_or(|claim| claim.participant.as_str() != who) {
                wrong.push(format!("{of}: {who} is there without a claim"));
            }
        }
    }
}
