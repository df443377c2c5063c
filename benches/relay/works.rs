//! What is relayed: who is in a conversation, and the signed requests that bring messages into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use trunkline::config::SystemSecrets;
use trunkline_adapter::simulator::{PhoneMessage, SignedRequest, Simulator};
use trunkline_adapter::{Address, Timestamp};

use super::Failure;
use super::daemon::{PUBLIC_URL, page, sms, whatsapp};
use super::generator::{Pool, Requests};
use super::rest::Binding;
use super::rest::{ACCOUNT, TOKEN};
use super::wire;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    WhatsappToSms,
    SmsToMessenger,
    FanOut,
    RestToSms,
}

impl Work {
    pub const ALL: [Work; 4] = [Work::WhatsappToSms, Work::SmsToMessenger, Work::FanOut, Work::RestToSms];

    pub fn name(self) -> &'static str {
        match self {
            Work::WhatsappToSms => "wa-sms",
            Work::SmsToMessenger => "sms-messenger",
            Work::FanOut => "fan-out",
            Work::RestToSms => "rest-sms",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Work::WhatsappToSms => "WhatsApp → SMS",
            Work::SmsToMessenger => "SMS → Messenger",
            Work::FanOut => "WhatsApp → 10 × SMS",
            Work::RestToSms => "REST → SMS",
        }
    }

    pub fn recipients(self) -> usize {
        if self == Work::FanOut { 10 } else { 1 }
    }

    /// Everybody in a conversation; the one who writes first, where it is a person.
    pub fn people(self, conversation: usize, lanes: usize) -> Vec<Binding> {
        let lane = conversation % lanes;
        let mut people: Vec<Binding> = self.author(conversation, lanes).into_iter().collect();
        for recipient in 0..self.recipients() {
            let serial = conversation * 10 + recipient;
            people.push(match self {
                Work::SmsToMessenger => {
                    (format!("messenger:{}", 10_000_000_000_000_usize + serial), page(lane))
                }
                _ => (format!("+1556{serial:07}"), sms(lane)),
            });
        }
        people
    }

    fn author(self, conversation: usize, lanes: usize) -> Option<Binding> {
        let lane = conversation % lanes;
        match self {
            Work::WhatsappToSms | Work::FanOut => {
                Some((format!("whatsapp:+1557{conversation:07}"), whatsapp(lane)))
            }
            Work::SmsToMessenger => Some((format!("+1558{conversation:07}"), sms(lane))),
            Work::RestToSms => None,
        }
    }

    /// The adapter through which the author writes.
    fn adapter(self) -> &'static str {
        if self == Work::SmsToMessenger { "us" } else { "wa" }
    }

    /// Signed requests, message `n` in conversation `n % sids.len()`. Made before the clock starts.
    pub fn requests(self, count: usize, sids: &[String], lanes: usize, desk: &Desk) -> Result<Pool, Failure> {
        let mut pool = Pool::default();
        let simulator = desk.simulators.get(self.adapter()).ok_or("no such adapter")?;
        let url = format!("{PUBLIC_URL}/webhooks/{}", self.adapter());
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
        for n in 0..count {
            let conversation = n % sids.len();
            let text = format!("A message of the bench, number {}.", wire::marked(n));
            let Some((from, to)) = self.author(conversation, lanes) else {
                rest(&mut pool, &sids[conversation], &text);
                continue;
            };
            let message = PhoneMessage {
                id: simulator.message_id((desk.run << 32) + n as u64),
                from: Address::parse(&from)?,
                to: Address::parse(&to)?,
                text,
                media: Vec::new(),
                at: Timestamp(now),
                name: None,
            };
            let signed = simulator.message(&message, &url);
            pool.push(&head(&signed), &signed.body);
        }
        Ok(pool)
    }
}

/// WhatsApp webhooks that are signed as they leave, for floods that would not fit into memory.
pub struct Fresh {
    count: usize,
    /// One message of each conversation, whose id and number are written over.
    patterns: Vec<Pattern>,
    secret: &'static str,
    /// Sets these ids apart from those of other pools of the run.
    base: u64,
}

struct Pattern {
    head: String,
    body: Vec<u8>,
    /// Where the id's digits are, where the number's, and where the signature's in the head.
    id: usize,
    number: usize,
    signature: usize,
}

impl Fresh {
    pub fn of(
        desk: &Desk,
        conversations: std::ops::Range<usize>,
        lanes: usize,
        count: usize,
        serial: u64,
    ) -> Result<Fresh, Failure> {
        let work = Work::WhatsappToSms;
        let simulator = desk.simulators.get(work.adapter()).ok_or("no such adapter")?;
        let url = format!("{PUBLIC_URL}/webhooks/{}", work.adapter());
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
        let mut patterns = Vec::new();
        for conversation in conversations {
            let (from, to) = work.author(conversation, lanes).ok_or("nobody writes")?;
            let message = PhoneMessage {
                id: simulator.message_id(0),
                from: Address::parse(&from)?,
                to: Address::parse(&to)?,
                text: format!("A message of the bench, number {}.", wire::marked(0)),
                media: Vec::new(),
                at: Timestamp(now),
                name: None,
            };
            let signed = simulator.message(&message, &url);
            let body = signed.body.to_vec();
            let find = |what: &str| {
                body.windows(what.len())
                    .position(|part| part == what.as_bytes())
                    .ok_or("no such text in a webhook")
            };
            let id = find(&message.id)? + message.id.len() - ID_DIGITS;
            let number = find(&wire::marked(0))? + 2;
            let head = head(&signed);
            let signature = head.find("sha256=").ok_or("no signature")?;
            patterns.push(Pattern { head, body, id, number, signature });
        }
        Ok(Fresh { count, patterns, secret: "wa-app-secret-0001", base: (desk.run << 32) + (serial << 58) })
    }
}

/// At the end of the simulator's ids.
const ID_DIGITS: usize = 16;

impl Requests for Fresh {
    fn len(&self) -> usize {
        self.count
    }

    fn write(&self, n: usize, out: &mut Vec<u8>) {
        let pattern = &self.patterns[n % self.patterns.len()];
        let begin = out.len();
        out.extend_from_slice(pattern.head.as_bytes());
        let at = out.len();
        out.extend_from_slice(&pattern.body);
        let mut over =
            |place: usize, text: &str| out[place..place + text.len()].copy_from_slice(text.as_bytes());
        over(at + pattern.id, &format!("{:016X}", self.base + n as u64));
        over(at + pattern.number, &format!("{n:010}"));
        let signature = trunkline_graph::sign(self.secret, &out[at..]);
        out[begin + pattern.signature..][..signature.len()].copy_from_slice(signature.as_bytes());
    }
}

/// The head of a signed request; the target is wherever it is sent.
fn head(signed: &SignedRequest) -> String {
    let path = signed.url.strip_prefix(PUBLIC_URL).unwrap_or("/");
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: bridge.test\r\ncontent-length: {}\r\n", signed.body.len());
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

fn rest(pool: &mut Pool, sid: &str, text: &str) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Author", "bench").append_pair("Body", text);
    let body = form.finish();
    let credentials = STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
    let head = format!(
        "POST /v1/Conversations/{sid}/Messages HTTP/1.1\r\nhost: bridge.test\r\nauthorization: Basic {credentials}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    pool.push(&head, body.as_bytes());
}

/// The providers' own side of each adapter in a configuration.
pub struct Desk {
    pub simulators: BTreeMap<String, Arc<dyn Simulator>>,
    /// Sets the ids of this run apart from those of others.
    pub run: u64,
}

impl Desk {
    pub fn of(config: &Path) -> Result<Desk, Failure> {
        let kinds = trunkline::app::registry::kinds();
        let loaded = trunkline::config::load(config, &kinds, Arc::new(SystemSecrets::checking())).map_err(
            |refused| format!("{:?}", refused.lines.iter().map(ToString::to_string).collect::<Vec<_>>()),
        )?;
        let adapters = loaded.config.adapters.iter();
        let simulators = adapters
            .filter_map(|adapter| Some((adapter.name.clone(), adapter.blueprint.simulator()?)))
            .collect();
        Ok(Desk { simulators, run: std::time::UNIX_EPOCH.elapsed()?.as_secs() & 0x0fff_ffff })
    }
}
