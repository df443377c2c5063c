//! One provider: takes what our adapter submits, and calls back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_adapter::simulator::{
    FileAnswer, PhoneFile, PhoneMessage, ProviderAnswer, ProviderRequest, Submission,
};
use trunkline_adapter::{Address, Clock, DeliveryStatus, Simulator};

use super::courier::{Job, News};
use super::fault::Switch;
use super::files::Files;
use super::phones::Phones;
use super::{Attached, Direction, Fault, Message, State};

/// How late a provider with [`Fault::Delay`] answers.
const LATE: Duration = Duration::from_secs(3);
/// What is told about a message, in order, and how long after the provider took it: networks and people need a moment,
/// and the first status races the answer to the request, as it does in the field.
const TOLD: [(DeliveryStatus, Duration); 3] = [
    (DeliveryStatus::Sent, Duration::ZERO),
    (DeliveryStatus::Delivered, Duration::from_millis(100)),
    (DeliveryStatus::Read, Duration::from_millis(300)),
];

/// What is told about one whose files could not be had.
const FAILED: [(DeliveryStatus, Duration); 1] = [(DeliveryStatus::Failed, Duration::ZERO)];

/// A provider to play.
#[derive(Clone)]
pub struct Provider {
    /// The adapter's name in the configuration.
    pub adapter: String,
    /// Its provider's side.
    pub simulator: Arc<dyn Simulator>,
    /// Where the daemon takes its webhooks.
    pub webhook_url: String,
    /// The proxy addresses that live there.
    pub proxies: Vec<Address>,
}

/// Longest text that can be typed.
pub(super) const LONGEST_TEXT: usize = 4_096;

/// Why nothing was typed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No text.
    #[error("the text is empty")]
    Empty,
    /// Too much text.
    #[error("the text is longer than {LONGEST_TEXT} characters")]
    TooLong,
    /// The phone cannot write there.
    #[error("a phone on {0} cannot write to an address on {1}")]
    OtherChannel(&'static str, &'static str),
    /// No provider has the proxy address.
    #[error("no simulated provider has this proxy address")]
    UnknownProxy,
    /// Too many webhooks wait for the daemon.
    #[error("too many webhooks wait for the daemon")]
    Busy,
    /// Too many phones.
    #[error("there are too many phones")]
    TooManyPhones,
}

/// A provider at work.
pub(super) struct Working {
    pub(super) provider: Provider,
    pub(super) switch: Switch,
    pub(super) phones: Arc<Phones>,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) clock: Clock,
    /// Shared by all providers, so that a serial names one message.
    pub(super) serials: Arc<AtomicU64>,
    /// Shared likewise.
    pub(super) files: Arc<Files>,
    /// Fetches what links lead to.
    pub(super) client: reqwest::Client,
}

impl Working {
    fn serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }

    fn copies(&self) -> u32 {
        if self.switch.fault() == Some(Fault::Duplicate) { 2 } else { 1 }
    }

    /// Answers a request of our adapter.
    pub(super) async fn answer(&self, request: &ProviderRequest) -> FileAnswer {
        self.switch.while_hanging().await;
        if self.switch.throttles() {
            return self.provider.simulator.throttled().into();
        }
        if self.switch.fault() == Some(Fault::Delay) {
            tokio::time::sleep(LATE).await;
        }
        if let Some(answer) = self.provider.simulator.files(request, &*self.files) {
            return answer;
        }
        if let Some(typing) = self.provider.simulator.typing(request) {
            return match typing {
                Ok((shown, answer)) => {
                    self.phones.show_typing(&shown);
                    answer.into()
                }
                Err(refused) => refused.into(),
            };
        }
        match self.provider.simulator.accept(request) {
            Ok(submission) => {
                let mut files = Vec::new();
                for file in &submission.media {
                    files.push(self.files.collect(&self.client, file).await);
                }
                self.take(&submission, files.into_iter().collect()).into()
            }
            Err(refused) => refused.into(),
        }
    }

    /// Puts a submission on the phone and lets it tell its statuses. Without `files` they could not be had, which is told
    /// later as it is in the field.
    fn take(&self, submission: &Submission, files: Option<Vec<PhoneFile>>) -> ProviderAnswer {
        // Room for every status first: what cannot be told back must not be taken.
        let Ok(mut room) = self.jobs.try_reserve_many(TOLD.len()) else {
            return self.provider.simulator.throttled();
        };
        let failed = files.is_none();
        let dropped = failed || self.switch.fault() == Some(Fault::Drop);
        if !dropped && self.phones.meet(&submission.to, &submission.from, None).is_err() {
            return self.provider.simulator.throttled();
        }
        let serial = self.serial();
        let id = self.provider.simulator.message_id(serial);
        let answer = self.provider.simulator.accepted(submission, &id);
        if !dropped {
            self.phones.put(Message {
                serial,
                id: id.clone(),
                phone: submission.to.clone(),
                proxy: submission.from.clone(),
                adapter: self.provider.adapter.clone(),
                direction: Direction::Received,
                text: submission.text.clone(),
                media: files.into_iter().flatten().map(|file| self.files.put(file)).collect(),
                at: self.clock.now(),
                state: State::Sending,
            });
        }
        let url = submission.callback.as_deref().unwrap_or(&self.provider.webhook_url);
        let told = match (failed, dropped) {
            (true, _) => &FAILED[..],
            (_, true) => &TOLD[..1],
            _ => &TOLD[..],
        };
        let now = Instant::now();
        for (status, later) in told {
            let Some(place) = room.next() else { break };
            let news = News::Status { submission: submission.clone(), id: id.clone(), status: *status };
            let due = now + *later;
            place.send(Job { news, webhook_url: url.to_owned(), due, copies: self.copies(), serial });
        }
        answer
    }

    /// Writes a message on a phone.
    pub(super) fn write(
        &self,
        phone: &Address,
        proxy: &Address,
        text: String,
        photo: Option<(&str, Bytes)>,
    ) -> Result<Message, TypeError> {
        let room = self.jobs.try_reserve().map_err(|_| TypeError::Busy)?;
        self.phones.meet(phone, proxy, None).map_err(|_| TypeError::TooManyPhones)?;
        let serial = self.serial();
        let id = self.provider.simulator.message_id(serial);
        let at = self.clock.now();
        let files: Vec<PhoneFile> = photo
            .map(|(content_type, bytes)| PhoneFile {
                id: self.provider.simulator.file_id(self.serial()),
                content_type: content_type.to_owned(),
                filename: None,
                bytes,
            })
            .into_iter()
            .collect();
        let media: Vec<Attached> = files.iter().map(|file| self.files.put(file.clone())).collect();
        let typed = PhoneMessage {
            id: id.clone(),
            from: phone.clone(),
            to: proxy.clone(),
            text: text.clone(),
            media: files,
            at,
            name: self.phones.phone(phone).and_then(|phone| phone.name),
        };
        let message = Message {
            serial,
            id,
            phone: phone.clone(),
            proxy: proxy.clone(),
            adapter: self.provider.adapter.clone(),
            direction: Direction::Typed,
            text,
            media,
            at,
            state: State::Sending,
        };
        self.phones.put(message.clone());
        let webhook_url = self.provider.webhook_url.clone();
        let (news, due) = (News::Message(typed), Instant::now());
        room.send(Job { news, webhook_url, due, copies: self.copies(), serial });
        Ok(message)
    }
}
