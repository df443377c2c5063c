//! What a work is measured on: a store that knows its conversations, and the requests for them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::generator::{Pace, Pool};
use super::round::Drive;
use super::running::Running;
use super::sink::Sink;
use super::subject::Ground;
use super::works::{Desk, Work};
use super::{Failure, Options, daemon, rest};

/// A store that knows the conversations of a work, and the requests for it.
pub struct Stage<'a> {
    pub ground: Ground<'a>,
    pub pool: Arc<Pool>,
    pub conversations: usize,
    pub work: Work,
    /// The service that conversations belong to.
    pub service: String,
}

impl<'a> Stage<'a> {
    pub fn set(
        options: &'a Options,
        sink: &Sink,
        work: Work,
        conversations: usize,
        requests: usize,
    ) -> Result<Stage<'a>, Failure> {
        let template = options.folder.join("template");
        if template.exists() {
            fs::remove_dir_all(&template)?;
        }
        fs::create_dir_all(&template)?;
        let config = template.join("trunkline.toml");
        // Nothing of the set-up is measured, so it need not be synced.
        fs::write(&config, daemon::config(&template, sink.address, options.lanes, "process", ""))?;
        let desk = Desk::of(&config)?;
        let people = (0..conversations).map(|at| work.people(at, options.lanes)).collect();
        let running = Running::daemon(&options.bin, &template)?;
        let sids = rest::conversations(running.target, people)?;
        let service = rest::service(running.target)?;
        running.stop()?;
        let pool = Arc::new(work.requests(requests, &sids, options.lanes, &desk)?);
        let ground = Ground {
            options,
            sink: sink.address,
            template,
            recipients: work.recipients(),
            further: String::new(),
        };
        Ok(Stage { ground, pool, conversations, work, service })
    }

    pub fn drive(&self, pace: Pace, lasting: Duration) -> Drive {
        Drive {
            pool: Arc::<Pool>::clone(&self.pool),
            streams: self.conversations,
            recipients: self.work.recipients(),
            connections: self.ground.options.connections,
            pace,
            lasting,
            tell_slow: self.ground.options.rate.is_some(),
        }
    }
}
