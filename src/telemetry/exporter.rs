//! The Prometheus side: recorder, buckets, descriptions, and what is read only when somebody looks.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::names;

/// Seconds of things that take from a fraction of a millisecond to minutes.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Batches committed together.
const BATCHES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Between two scrapes, samples of histograms gather; this often they are put into their buckets anyway.
const UPKEEP: Duration = Duration::from_secs(10);

/// The live exposition.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Exporter {
    /// Installs the recorder of this process.
    ///
    /// # Errors
    /// When there is one already.
    pub fn install(format: u32) -> Result<Exporter, BuildError> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&SECONDS)?
            .set_buckets_for_metric(Matcher::Full(names::COMMIT_BATCH.to_owned()), &BATCHES)?
            .install_recorder()?;
        describe();
        let process = metrics_process::Collector::default();
        process.describe();
        gauge!(
            names::BUILD_INFO,
            "version" => env!("CARGO_PKG_VERSION"),
            "revision" => env!("TRUNKLINE_REVISION"),
            "store_format" => format.to_string(),
        )
        .set(1.0);
        Ok(Exporter { handle, process })
    }

    /// The text a scrape gets.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Keeps memory flat when nobody scrapes; runs until dropped.
    pub async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.handle.run_upkeep();
        }
    }
}

fn describe() {
    describe_counter!(names::INBOUND_MESSAGES, "Inbound events by what became of them");
    describe_gauge!(names::LAST_INBOUND, Unit::Seconds, "When a provider last told us something");
    describe_counter!(names::HTTP_REQUESTS, "Requests answered");
    describe_histogram!(names::HTTP_DURATION, Unit::Seconds, "Time to answer a request");
    describe_counter!(names::OUTBOUND_MESSAGES, "Requests to providers by how they ended");
    describe_histogram!(names::PROVIDER_DURATION, Unit::Seconds, "Time a provider took to answer");
    describe_counter!(names::DELIVERY_STATUS, "Delivery statuses that moved a receipt");
    describe_histogram!(
        names::RELAY_DURATION,
        Unit::Seconds,
        "From acceptance of a message to acceptance by the provider, rate waits left out"
    );
    describe_histogram!(names::RATE_WAIT, Unit::Seconds, "Time a message waited for its permit");
    describe_gauge!(names::LANE_MESSAGES, "Messages waiting in a lane");
    describe_gauge!(names::LANE_OLDEST, Unit::Seconds, "Age of the oldest message waiting in a lane");
    describe_gauge!(names::LANES, "Lanes by state");
    describe_counter!(names::DUPLICATE_SENDS, "Sends that may have reached the provider twice");
    describe_counter!(names::OVERLOAD, "Requests refused because too many were being answered");
    describe_histogram!(names::COMMIT_DURATION, Unit::Seconds, "Time to write and sync one group of batches");
    describe_histogram!(names::COMMIT_BATCH, "Batches committed together");
    describe_counter!(names::COMMIT_CONFLICTS, "Decisions that had to be made again");
    describe_gauge!(names::BINDINGS, "Messaging bindings in the binding table");
    describe_counter!(names::MEDIA_FETCHES, "Tries to get a file from a provider by how they ended");
    describe_gauge!(names::INBOX_MESSAGES, "What came in and waits for a pre-action webhook or its files");
    describe_counter!(names::EVENT_WEBHOOKS, "Calls of event webhooks by how they ended");
    describe_gauge!(names::EVENT_WEBHOOK_QUEUE, "Events that wait to be told to webhooks");
    describe_gauge!(names::DEAD_LETTERS, "Events that no webhook took");
    describe_counter!(names::CONFIG_RELOADS, "Reloads of the configuration by outcome");
    describe_gauge!(names::CONFIG_LAST_SUCCESSFUL, "Whether the last reload was taken");
    describe_gauge!(names::CONFIG_LAST_SUCCESS_TIME, Unit::Seconds, "When a configuration was last taken");
    describe_gauge!(names::STORE_BYTES, Unit::Bytes, "Bytes of the store on disk");
    describe_gauge!(names::DISK_FREE, Unit::Bytes, "Bytes free on the store's disk");
    describe_gauge!(names::BUILD_INFO, "This build");
}
