//! What the official SDK asks for when it starts, and in its order: the configuration, its two maps, its list of
//! conversations page by page; for each conversation its document, its messages, its participants and their first page;
//! and a subscription to each of those objects, with one batch of them under way at a time.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::client::{Came, Client};
use crate::Failure;

/// Calls that wait for their answers at once. The SDK has no limit; the daemon works on 32 of one socket.
const UNDER_WAY: usize = 200;
/// Objects in one batch, until the daemon says otherwise.
const BATCH: usize = 100;

/// What is asked for, and so what its answer leads to.
enum Step {
    Configuration,
    /// An object to be watched: its shape, its name, and what of its items is read.
    Object(Kind, String, Items),
    Items(String),
    Conversations(String, Option<String>),
    Subscribe(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Document,
    List,
    Map,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    /// Nothing, until somebody wants to see them.
    None,
    /// With the object itself.
    Included,
    /// Their first page.
    Page,
}

impl Kind {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Document => ("document", "Documents"),
            Kind::List => ("list", "Lists"),
            Kind::Map => ("map", "Maps"),
        }
    }
}

/// What a start took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub requests: usize,
    pub frames: u64,
    pub subscriptions: usize,
    pub conversations: usize,
}

#[derive(Default)]
struct Start {
    queue: VecDeque<Step>,
    under_way: HashMap<u64, Step>,
    /// Objects that are to be watched.
    wishes: Vec<Value>,
    subscribing: bool,
    /// Subscriptions that were asked for and not heard of yet.
    open: usize,
    cost: Cost,
}

/// A client that has started.
pub async fn start(from: IpAddr, to: SocketAddr, token: &str) -> Result<(Client, Cost), Failure> {
    let mut client = Client::enter(from, to, token).await?;
    let mut start = Start::default();
    start.queue.push_back(Step::Configuration);
    loop {
        start.ask(&mut client).await?;
        if start.under_way.is_empty() && start.open == 0 {
            start.cost.frames = client.frames;
            return Ok((client, start.cost));
        }
        match client.next().await? {
            Came::Answer(number, answer) => {
                let step = start.under_way.remove(&number).ok_or("an answer to nothing")?;
                start.go_on(step, &answer)?;
            }
            Came::Notice(payload) => {
                let told: Value = serde_json::from_slice(&payload)?;
                match told["event_type"].as_str() {
                    Some("subscription_established") => start.open = start.open.saturating_sub(1),
                    Some("subscription_failed") => return Err(format!("{told}").into()),
                    // What happens meanwhile.
                    _ => {}
                }
            }
        }
    }
}

impl Start {
    /// Sends what may be sent.
    async fn ask(&mut self, client: &mut Client) -> Result<(), Failure> {
        // The SDK waits until nothing more is asked, or a batch is full.
        let settled = self.queue.is_empty() && self.under_way.is_empty();
        if !self.subscribing && (self.wishes.len() >= BATCH || (settled && !self.wishes.is_empty())) {
            let count = self.wishes.len().min(BATCH);
            let requests: Vec<Value> = self.wishes.drain(..count).collect();
            let body = json!({
                "event_protocol_version": 4, "action": "establish", "correlation_id": self.cost.subscriptions + 1,
                "retried_requests": 0, "ttl_in_s": -1, "requests": requests,
            });
            self.subscribing = true;
            self.open += count;
            let number = client.ask("POST", "/v4/Subscriptions", &json!({}), &body).await?;
            self.cost.requests += 1;
            self.under_way.insert(number, Step::Subscribe(count));
        }
        while self.under_way.len() < UNDER_WAY {
            let Some(step) = self.queue.pop_front() else { return Ok(()) };
            let (path, params) = match &step {
                Step::Configuration => ("/Client/v2/Configuration".to_owned(), json!({})),
                Step::Object(kind, name, Items::Included) => {
                    (format!("/v3/{}/{name}", kind.words().1), json!({ "Include": "items" }))
                }
                Step::Object(kind, name, _) => (format!("/v3/{}/{name}", kind.words().1), json!({})),
                Step::Items(name) => {
                    let params = json!({ "HideExpired": "true", "PageSize": 100, "Order": "asc" });
                    (format!("/v3/Maps/{name}/Items"), params)
                }
                Step::Conversations(path, None) => (path.clone(), json!({})),
                Step::Conversations(path, Some(token)) => (path.clone(), json!({ "PageToken": token })),
                Step::Subscribe(_) => return Err("batches go their own way".into()),
            };
            let number = client.ask("GET", &path, &params, &Value::Null).await?;
            self.cost.requests += 1;
            self.under_way.insert(number, step);
        }
        Ok(())
    }

    fn go_on(&mut self, step: Step, answer: &Value) -> Result<(), Failure> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("a text that is missing");
        match step {
            Step::Configuration => {
                let objects = &answer["sync_objects"];
                self.object(Kind::Map, text(&objects["my_conversations"])?, Items::None);
                self.object(Kind::Map, text(&objects["my_user_info"])?, Items::Included);
                let url = text(&answer["links"]["my_conversations"])?;
                self.queue.push_back(Step::Conversations(path_of(&url)?, None));
            }
            Step::Object(kind, name, items) => {
                if items == Items::Page {
                    self.queue.push_back(Step::Items(name.clone()));
                }
                let last = &answer["last_event_id"];
                let wish =
                    json!({ "object_sid": name, "object_type": kind.words().0, "last_event_id": last });
                self.wishes.push(wish);
            }
            Step::Conversations(path, _) => {
                for conversation in answer["conversations"].as_array().into_iter().flatten() {
                    let objects = &conversation["sync_objects"];
                    self.object(Kind::Document, text(&objects["conversation"])?, Items::None);
                    self.object(Kind::List, text(&objects["messages"])?, Items::None);
                    self.object(Kind::Map, text(&objects["participants"])?, Items::Page);
                    self.cost.conversations += 1;
                }
                if let Some(next) = answer["meta"]["next_token"].as_str() {
                    self.queue.push_front(Step::Conversations(path, Some(next.to_owned())));
                }
            }
            Step::Items(_) => {}
            Step::Subscribe(count) => {
                self.subscribing = false;
                self.cost.subscriptions += count;
            }
        }
        Ok(())
    }

    fn object(&mut self, kind: Kind, name: String, items: Items) {
        self.queue.push_back(Step::Object(kind, name, items));
    }
}

/// The path of one of the daemon's links.
fn path_of(url: &str) -> Result<String, Failure> {
    let (_, rest) = url.split_once("://").ok_or("a link that is no URL")?;
    let (_, path) = rest.split_once('/').ok_or("a link without a path")?;
    Ok(format!("/{path}"))
}
