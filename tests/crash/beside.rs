//! What goes on beside conversations while the daemon dies: strangers whose messages make a conversation or are forwarded,
//! webhooks that hear of a talk, and timers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::book::{Book, Promise, id_of};
use crate::harness::config::Config;
use crate::harness::hooks::{Call, Receiver};
use crate::harness::{Phone, Proxy, Road, World};
use crate::talk::{Outside, Person, Talk, request};

/// Who writes to this one makes a conversation, after somebody was asked.
const OPEN: &str = "+15550005555";
/// What comes to this one is forwarded.
const FORWARDED: &str = "+15550006666";
const SERVICE: &str = "MG00000000000000000000000000000001";
/// What a timer may be late where the daemon dies all the time.
const LATE: Duration = Duration::from_secs(15);
const MESSAGES: usize = 3;

/// See the module.
pub struct Beside {
    receiver: Receiver,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What was acknowledged to a stranger's provider, by stranger, in order.
    open: BTreeMap<String, Vec<String>>,
    forwarded: BTreeMap<String, Vec<String>>,
    /// What was acknowledged in talks that a webhook hears of.
    heard: BTreeMap<String, Vec<String>>,
    /// When each is due, by the clock of the life that it was made in: some lives run a minute ahead.
    timed: Vec<(jiff::Timestamp, String)>,
}

impl Beside {
    pub async fn new() -> Beside {
        Beside { receiver: Receiver::start().await, known: Mutex::default() }
    }

    pub fn configure(&self, config: &mut Config) {
        for address in [OPEN, FORWARDED] {
            config.adapter("us").proxies.push(Proxy { address: address.to_owned(), lines: Vec::new() });
        }
        config.rest = format!(
            "[egress]\nallow_private = [\"127.0.0.1\"]\n[[messaging_service]]\nsid = \"{SERVICE}\"\n\
             proxies = [\"{FORWARDED}\"]\ninbound = \"forward\"\nforward_url = \"{}\"\n",
            self.receiver.url("/forwarded")
        );
    }

    /// Makes a conversation of whoever is new, and has somebody asked about it.
    pub async fn settle(&self, world: &World) {
        let hooks =
            [("PreWebhookUrl", self.receiver.url("/asked")), ("Filters", "onConversationAdd".to_owned())];
        let hooks: Vec<(&str, &str)> = hooks.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.client.post("/v1/Configuration/Webhooks", &hooks).await.expect(200);
        let address = [
            ("Type", "sms"),
            ("Address", OPEN),
            ("AutoCreation.Enabled", "true"),
            ("AutoCreation.Type", "default"),
        ];
        world.client.post("/v1/Configuration/Addresses", &address).await.expect(201);
    }

    /// A round of it, with three people nobody knows yet. Gives the talk that a webhook hears of.
    pub async fn work(&self, Outside { road, book }: &Outside, people: [(Phone, &'static str); 3]) -> Talk {
        let timers = [("State", "active"), ("Timers.Inactive", "PT1M")];
        let made = road.call(Method::POST, "/v1/Conversations", &timers).await.expect(201);
        let path = format!("/v1/Conversations/{}", made["sid"].as_str().unwrap());
        let due = made["timers"]["date_inactive"].as_str().unwrap().parse().unwrap();
        self.known.lock().unwrap().timed.push((due, path));

        let [(one, _), (other, _), somebody] = people;
        for (mut phone, proxy) in [(one, OPEN), (other, FORWARDED)] {
            phone.to = proxy.to_owned();
            let stranger = Person { address: phone.from.clone(), sid: String::new(), phone };
            for _ in 0..MESSAGES {
                let text = format!("m{} from a stranger", book.next());
                road.deliver(&request(book, &stranger, &text)).await;
                let mut known = self.known.lock().unwrap();
                let all = if proxy == OPEN { &mut known.open } else { &mut known.forwarded };
                all.entry(stranger.address.clone()).or_default().push(text);
            }
        }

        let talk = Talk::begin(road, vec![somebody]).await;
        self.listen(road, &talk).await;
        for _ in 0..MESSAGES {
            let text = format!("m{} is heard", book.next());
            talk.write(road, book, &talk.people[0], &text).await;
            self.known.lock().unwrap().heard.entry(talk.sid.clone()).or_default().push(text);
        }
        talk
    }

    /// Asked again where the answer was lost: one webhook is enough, and two would both hear.
    async fn listen(&self, road: &Road, talk: &Talk) {
        let path = format!("{}/Webhooks", talk.path());
        let url = self.receiver.url("/told");
        let hook = [
            ("Target", "webhook"),
            ("Configuration.Url", url.as_str()),
            ("Configuration.Method", "POST"),
            ("Configuration.Filters", "onMessageAdded"),
        ];
        loop {
            if road.once(Method::POST, &path, &hook).await.is_some_and(|answer| answer.status == 201) {
                return;
            }
            let listed = road.call(Method::GET, &path, &[]).await.expect(200);
            if listed["webhooks"].as_array().is_some_and(|hooks| !hooks.is_empty()) {
                return;
            }
        }
    }

    /// The last look, when everything has had its time.
    pub async fn look(&self, world: &World, book: &Book) {
        let waits = || async {
            let metrics = world.daemon.metrics().await;
            let names = ["trunkline_event_webhook_queue_messages", "trunkline_inbox_messages"];
            names.iter().all(|name| metrics.value(name, &[]) == 0.0).then_some(())
        };
        world.daemon.eventually("everything told", waits).await;
        let Known { open, forwarded, heard, timed } = {
            let known = &mut *self.known.lock().unwrap();
            std::mem::take(known)
        };
        let all = |calls: &[Call]| {
            forwarded
                .iter()
                .all(|(person, texts)| first(calls, "/forwarded", "From", person).len() >= texts.len())
        };
        let calls = self.receiver.until("everything forwarded", all).await;
        assert!(calls.iter().any(|call| call.target == "/asked"), "nobody was asked");
        for (person, texts) in &forwarded {
            compare(book, "forwarded", person, texts, &first(&calls, "/forwarded", "From", person));
        }
        for (talk, texts) in &heard {
            compare(book, "told", talk, texts, &first(&calls, "/told", "ConversationSid", talk));
        }
        for (person, texts) in &open {
            let of = format!("/v1/ParticipantConversations?Address={}", person.replace('+', "%2B"));
            let found = world.client.get(&of).await.expect(200);
            let found: Vec<&str> = found["conversations"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| one["conversation_sid"].as_str().unwrap())
                .collect();
            if found.len() != 1 {
                book.broken(Promise::StoredTwice, format!("{person} has {} conversations", found.len()));
                continue;
            }
            let stored = world.client.messages(found[0]).await;
            let body = |message: &Value| message["body"].as_str().unwrap_or_default().to_owned();
            compare(book, "stored", person, texts, &stored.iter().map(body).collect::<Vec<_>>());
        }
        assert!(!forwarded.is_empty() && !heard.is_empty() && !open.is_empty());
        let overdue = jiff::Timestamp::now() - LATE;
        for (due, path) in timed.iter().filter(|(due, _)| *due < overdue) {
            let state = world.client.get(path).await.expect(200)["state"].clone();
            if state != "inactive" {
                book.broken(
                    Promise::Undone,
                    format!("{path} is {state} and was to be idle at {due}, now {overdue} and {LATE:?}"),
                );
            }
        }
    }
}

/// The texts of calls about somebody, each once, in the order in which they first came.
fn first(calls: &[Call], target: &str, name: &str, value: &str) -> Vec<String> {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for call in calls.iter().filter(|call| call.target == target && call.get(name) == Some(value)) {
        let (text, token) = (call.text("Body"), call.token.as_str());
        match seen.iter().find(|(known, _)| *known == text) {
            None => seen.push((text, token)),
            Some((_, known)) => assert_eq!(*known, token, "a repeat of {text} has another token"),
        }
    }
    seen.into_iter().map(|(text, _)| text.to_owned()).collect()
}

fn compare(book: &Book, what: &str, whose: &str, wanted: &[String], found: &[String]) {
    if wanted == found {
        return;
    }
    let ids = |texts: &[String]| texts.iter().map(|text| id_of(text).to_owned()).collect::<Vec<_>>();
    let (wanted, found) = (ids(wanted), ids(found));
    let lost = wanted.iter().any(|id| !found.contains(id));
    let promise = if lost { Promise::Lost } else { Promise::OutOfOrder };
    book.broken(promise, format!("of {whose}, {wanted:?} was acknowledged and {found:?} {what}"));
}
