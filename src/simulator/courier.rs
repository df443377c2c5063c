//! Webhooks on their way to the daemon: one after the other, again when it did not take one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_adapter::simulator::{PhoneMessage, SignedRequest, Submission};
use trunkline_adapter::{Clock, DeliveryStatus, Simulator};

use super::State;
use super::phones::Phones;

/// Webhooks of one provider that may wait.
pub(super) const WAITING: usize = 1_024;
/// How often one is tried: over about six seconds, enough for a daemon that restarts.
const TRIES: u32 = 7;
/// The pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// A webhook to post.
pub(super) struct Job {
    pub(super) news: News,
    pub(super) webhook_url: String,
    /// Not before this moment.
    pub(super) due: Instant,
    /// How often it is posted, whatever the answer.
    pub(super) copies: u32,
    /// The message it is about.
    pub(super) serial: u64,
}

/// What the daemon is told.
pub(super) enum News {
    /// Somebody wrote to one of our proxy addresses.
    Message(PhoneMessage),
    /// A submission came further.
    Status { submission: Submission, id: String, status: DeliveryStatus },
}

/// Carries the webhooks of one provider.
pub(super) struct Courier {
    pub(super) simulator: Arc<dyn Simulator>,
    pub(super) client: reqwest::Client,
    pub(super) phones: Arc<Phones>,
    pub(super) clock: Clock,
}

impl Courier {
    /// Posts the jobs in order, until there can be no more.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            tokio::time::sleep_until(job.due).await;
            self.carry(job).await;
        }
    }

    async fn carry(&self, job: Job) {
        // Signed only now: a status carries the moment at which it is told.
        let Some(request) = self.signed(&job) else { return };
        let mut taken = true;
        for _ in 0..job.copies {
            taken &= self.deliver(&request).await;
        }
        let state = match (&job.news, taken) {
            (News::Message(_), true) => Some(State::Sent),
            (News::Message(_), false) => Some(State::Failed),
            (News::Status { status, .. }, true) => Some(State::from(*status)),
            (News::Status { .. }, false) => None,
        };
        if !taken {
            tracing::warn!(url = %request.url, "The daemon does not take a webhook of a simulated provider");
        }
        if let Some(state) = state {
            self.phones.advance(job.serial, state);
        }
    }

    fn signed(&self, job: &Job) -> Option<SignedRequest> {
        match &job.news {
            News::Message(message) => Some(self.simulator.message(message, &job.webhook_url)),
            News::Status { submission, id, status } => {
                self.simulator.status(submission, id, *status, None, self.clock.now(), &job.webhook_url)
            }
        }
    }

    async fn deliver(&self, request: &SignedRequest) -> bool {
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            if self.post(request).await {
                return true;
            }
            if attempt < TRIES {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        false
    }

    async fn post(&self, request: &SignedRequest) -> bool {
        let mut call = self.client.request(request.method.clone(), &request.url).body(request.body.clone());
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        match call.send().await {
            Ok(answer) => answer.status().is_success(),
            Err(error) => {
                tracing::debug!(%error, "A webhook of a simulated provider did not get through");
                false
            }
        }
    }
}
