//! One round of work: every way into the daemon and out of it, side by side, while it dies and comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trunkline_adapter::DeliveryStatus;

use crate::beside::Beside;
use crate::book::id_of;
use crate::harness::dice::Dice;
use crate::harness::{PAGE, Phone, Road, SMS, Sent, WHATSAPP, World, provider};
use crate::talk::{Outside, Talk, long_text, moment, request};

/// What a round left behind, to be looked at.
#[derive(Default)]
pub struct Traces {
    pub talks: Vec<Talk>,
    /// Removed over the API.
    pub removed: Vec<Talk>,
}

/// The phones of one round: nobody in it was there before.
pub struct Phones {
    sms: Phone,
    whatsapp: Phone,
    messenger: Phone,
    next: u64,
}

impl Phones {
    pub fn of(world: &World, first: u64) -> Phones {
        let (sms, whatsapp, messenger) = (world.sms(""), world.whatsapp(""), world.messenger(""));
        Phones { sms, whatsapp, messenger, next: first }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn sms(&mut self) -> (Phone, &'static str) {
        (Phone { from: format!("+1555{:07}", self.number()), ..self.sms.clone() }, SMS)
    }

    pub fn whatsapp(&mut self) -> (Phone, &'static str) {
        (Phone { from: format!("whatsapp:+1555{:07}", self.number()), ..self.whatsapp.clone() }, WHATSAPP)
    }

    pub fn messenger(&mut self) -> (Phone, &'static str) {
        (Phone { from: format!("messenger:{}", self.number()), ..self.messenger.clone() }, PAGE)
    }
}

type Doing = Pin<Box<dyn Future<Output = Traces> + Send>>;

/// Everything of one round at once; ends when all of it is answered.
pub async fn round(
    outside: Outside,
    mut phones: Phones,
    mut dice: Dice,
    (backlog, slow): (Talk, u64),
    beside: Arc<Beside>,
) -> Traces {
    let strangers = [phones.sms(), phones.sms(), phones.sms()];
    let pair = vec![phones.whatsapp(), phones.sms()];
    let split = vec![phones.whatsapp(), phones.messenger()];
    let page = vec![phones.sms(), phones.messenger()];
    let fan = vec![phones.sms(), phones.sms(), phones.messenger(), phones.sms(), phones.whatsapp()];
    let closing = vec![phones.sms(), phones.whatsapp()];
    let after = phones.whatsapp();
    let removed = vec![phones.sms(), phones.messenger()];
    let stopping = vec![phones.sms(), phones.whatsapp()];
    let mut roll = || Dice(dice.roll());
    let all: Vec<Doing> = vec![
        Box::pin(chat(outside.clone(), pair, roll(), 10)),
        Box::pin(split_text(outside.clone(), split, roll())),
        Box::pin(chat(outside.clone(), page, roll(), 7)),
        Box::pin(fan_out(outside.clone(), fan)),
        Box::pin(close(outside.clone(), closing, after, roll())),
        Box::pin(remove(outside.clone(), removed, roll())),
        Box::pin(stop(outside.clone(), stopping, roll())),
        Box::pin(keep_busy(outside.clone(), backlog, slow)),
        Box::pin(async move { kept(vec![beside.work(&outside, strangers).await]) }),
    ];
    let mut doing: JoinSet<Traces> = all.into_iter().collect();
    let mut traces = Traces::default();
    while let Some(done) = doing.join_next().await {
        let done = done.unwrap();
        traces.talks.extend(done.talks);
        traces.removed.extend(done.removed);
    }
    traces
}

fn kept(talks: Vec<Talk>) -> Traces {
    Traces { talks, removed: Vec::new() }
}

type Invited = Vec<(Phone, &'static str)>;

async fn chat(Outside { road, book }: Outside, people: Invited, mut dice: Dice, messages: usize) -> Traces {
    let talk = Talk::begin(&road, people).await;
    let delivered = talk.chat(&road, &book, &mut dice, messages).await;
    for earlier in &delivered {
        if dice.once_in(3) {
            road.deliver(earlier).await;
        }
    }
    kept(vec![talk])
}

/// A text that leaves in several parts among short ones.
async fn split_text(Outside { road, book }: Outside, people: Invited, mut dice: Dice) -> Traces {
    let talk = Talk::begin(&road, people).await;
    talk.chat(&road, &book, &mut dice, 2).await;
    let text = long_text(&format!("m{}", book.next()), 3_900);
    talk.write(&road, &book, &talk.people[0], &text).await;
    talk.chat(&road, &book, &mut dice, 2).await;
    kept(vec![talk])
}

/// A caller of the API to everybody.
async fn fan_out(Outside { road, book }: Outside, people: Invited) -> Traces {
    let talk = Talk::begin(&road, people).await;
    for _ in 0..4 {
        talk.post(&road, &book).await;
    }
    kept(vec![talk])
}

/// A conversation is closed while it still has work; one of its people goes on in another.
async fn close(
    Outside { road, book }: Outside,
    people: Invited,
    other: (Phone, &'static str),
    mut dice: Dice,
) -> Traces {
    let first = (people[0].0.clone(), people[0].1);
    let talk = Talk::begin(&road, people).await;
    talk.chat(&road, &book, &mut dice, 4).await;
    // Asked again where the answer was lost, and then it is closed already.
    let closed = road.call(Method::POST, &talk.path(), &[("State", "closed")]).await;
    assert!(matches!(closed.status, 200 | 409), "{} {}", closed.status, closed.text);
    let text = format!("m{} is too late", book.next());
    book.known.lock().unwrap().too_late.insert(id_of(&text).to_owned(), talk.sid.clone());
    road.deliver(&request(&book, &talk.people[0], &text)).await;
    let next = Talk::begin(&road, vec![first, other]).await;
    next.chat(&road, &book, &mut dice, 3).await;
    kept(vec![talk, next])
}

/// A conversation is removed while it still has work, and its providers repeat themselves.
async fn remove(Outside { road, book }: Outside, people: Invited, mut dice: Dice) -> Traces {
    let talk = Talk::begin(&road, people).await;
    forget(&road, &talk, &format!("user-{}", book.next())).await;
    // Without photos: what waits for one is numbered later, and nobody can look the order up any more.
    let delivered = talk.chat_in_words(&road, &book, &mut dice, 5).await;
    let removed = road.call(Method::DELETE, &talk.path(), &[]).await;
    assert!(matches!(removed.status, 204 | 404), "{} {}", removed.status, removed.text);
    for earlier in &delivered {
        road.deliver(earlier).await;
    }
    moment(&mut dice, 0..200).await;
    for earlier in &delivered {
        road.deliver(earlier).await;
    }
    Traces { talks: Vec::new(), removed: vec![talk] }
}

/// A user comes into a conversation and is removed, and so is a service with a file.
async fn forget(road: &Road, talk: &Talk, identity: &str) {
    let joined =
        road.call(Method::POST, &format!("{}/Participants", talk.path()), &[("Identity", identity)]).await;
    assert!(matches!(joined.status, 201 | 409), "{} {}", joined.status, joined.text);
    let gone = road.call(Method::DELETE, &format!("/v1/Users/{identity}"), &[]).await;
    assert!(matches!(gone.status, 204 | 404), "{} {}", gone.status, gone.text);
    let made = road.call(Method::POST, "/v1/Services", &[("FriendlyName", "Soon gone")]).await.expect(201);
    let service = format!("/v1/Services/{}", made["sid"].as_str().unwrap());
    road.upload(&format!("{service}/Media"), "text/plain", b"a file").await.expect(201);
    let gone = road.call(Method::DELETE, &service, &[]).await;
    assert!(matches!(gone.status, 204 | 404), "{} {}", gone.status, gone.text);
}

/// Somebody wants no more texts.
async fn stop(Outside { road, book }: Outside, people: Invited, mut dice: Dice) -> Traces {
    let talk = Talk::begin(&road, people).await;
    talk.chat(&road, &book, &mut dice, 2).await;
    let person = &talk.people[0];
    talk.write(&road, &book, person, "STOP").await;
    for _ in 0..3 {
        if let Some(id) = talk.post(&road, &book).await {
            book.known.lock().unwrap().unwanted.insert((id, person.address.clone()));
        }
    }
    kept(vec![talk])
}

/// A slow line that always has work waiting, so that no restart finds it idle.
async fn keep_busy(Outside { road, book }: Outside, backlog: Talk, missing: u64) -> Traces {
    for _ in 0..missing {
        backlog.post(&road, &book).await;
    }
    Traces::default()
}

/// The provider tells how each send went: early, late, twice and in the wrong order. Ends when it was told to and
/// everything so far is told.
pub async fn tell_statuses(
    Outside { road, book }: Outside,
    phones: [Phone; 3],
    mut arrivals: watch::Receiver<Vec<Sent>>,
    mut told: usize,
    over: Arc<AtomicBool>,
    mut dice: Dice,
) -> usize {
    loop {
        let some: Vec<Sent> = arrivals.borrow_and_update()[told..].to_vec();
        if some.is_empty() {
            if over.load(Ordering::SeqCst) {
                return told;
            }
            // The flag has no event of its own.
            let _ = tokio::time::timeout(Duration::from_millis(50), arrivals.changed()).await;
            continue;
        }
        told += some.len();
        for sent in some.iter().filter(|sent| sent.taken()) {
            let simulator = &phones.iter().find(|phone| phone.adapter == sent.place).unwrap().simulator;
            let mut statuses = vec![DeliveryStatus::Sent, DeliveryStatus::Delivered];
            if dice.once_in(2) {
                statuses.push(DeliveryStatus::Read);
            }
            let (one, other) = (dice.roll() as usize % statuses.len(), dice.roll() as usize % statuses.len());
            statuses.swap(one, other);
            if dice.once_in(4) {
                statuses.push(statuses[0]);
            }
            for status in statuses {
                if let Some(signed) = provider::status(&**simulator, &sent.place, sent, status, None) {
                    road.deliver(&signed).await;
                    let mut known = book.known.lock().unwrap();
                    known.statuses += 1;
                    let name = (id_of(sent.text()).to_owned(), sent.to().to_owned());
                    let furthest = known.told.entry(name).or_insert(status);
                    *furthest = status.max(*furthest);
                }
            }
        }
    }
}

/// Somebody looks at receipts again and again.
pub async fn look_at_receipts(Outside { road, book }: Outside, over: Arc<AtomicBool>, mut dice: Dice) {
    while !over.load(Ordering::SeqCst) {
        let list = road.call(Method::GET, "/v1/Conversations?PageSize=20", &[]).await;
        let Some(all) = list.json["conversations"].as_array().filter(|all| !all.is_empty()) else { continue };
        let some = &all[dice.roll() as usize % all.len()];
        let path = format!("/v1/Conversations/{}/Messages", some["sid"].as_str().unwrap());
        let messages = road.call(Method::GET, &format!("{path}?PageSize=20"), &[]).await;
        let messages = messages.json["messages"].as_array().cloned().unwrap_or_default();
        for message in messages.iter().take(4) {
            let receipts = format!("{path}/{}/Receipts", message["sid"].as_str().unwrap());
            let receipts = road.call(Method::GET, &receipts, &[]).await;
            for receipt in receipts.json["delivery_receipts"].as_array().into_iter().flatten() {
                let status = crate::observer::status_of(receipt);
                book.saw(receipt["sid"].as_str().unwrap(), status);
            }
        }
        moment(&mut dice, 20..80).await;
    }
}
