//! Webhooks on their way to the daemon: one after the other, again when it did not take one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use trunkline_adapter::simulator::SignedRequest;

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
    pub(super) request: SignedRequest,
    /// How often it is posted, whatever the answer.
    pub(super) copies: u32,
    /// The message it is about.
    pub(super) serial: u64,
    /// Its state once the daemon took it.
    pub(super) taken: State,
    /// Its state if the daemon never takes it, where that is worth showing.
    pub(super) refused: Option<State>,
}

/// Posts the jobs of one provider in order, until there can be no more.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>, client: reqwest::Client, phones: Arc<Phones>) {
    while let Some(job) = jobs.recv().await {
        let mut taken = true;
        for _ in 0..job.copies {
            taken &= deliver(&client, &job.request).await;
        }
        if taken {
            phones.advance(job.serial, job.taken);
        } else {
            tracing::warn!(url = %job.request.url, "The daemon does not take a webhook of a simulated provider");
            if let Some(state) = job.refused {
                phones.advance(job.serial, state);
            }
        }
    }
}

async fn deliver(client: &reqwest::Client, request: &SignedRequest) -> bool {
    let mut pause = PAUSE;
    for attempt in 1..=TRIES {
        if post(client, request).await {
            return true;
        }
        if attempt < TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    false
}

async fn post(client: &reqwest::Client, request: &SignedRequest) -> bool {
    let mut call = client.request(request.method.clone(), &request.url).body(request.body.clone());
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
