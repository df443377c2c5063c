//! Sockets that are open and silent: how many, and what each costs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::setting::{Setting, home, idler};
use super::start::start;
use crate::report::Verdicts;
use crate::running::Running;
use crate::{Failure, Options, readings};

/// Clients that start at once.
const AT_ONCE: usize = 200;
/// How long they are held: longer than two of the daemon's pings, the second of which would end a dead one.
const HELD: Duration = Duration::from_secs(60);
/// Bytes that an idle one may take beside the kernel's.
const TARGET: f64 = 12.0 * 1024.0;

/// Idle clients of a bench: tasks that acknowledge and answer pings.
#[derive(Default)]
struct Crowd(JoinSet<Failure>);

impl Crowd {
    async fn grow(&mut self, to: usize, setting: &Setting<'_>, running: &Running) -> Result<(), Failure> {
        let mut coming = JoinSet::new();
        let mut next = self.0.len();
        let target = running.target;
        while next < to || !coming.is_empty() {
            while next < to && coming.len() < AT_ONCE {
                let (token, from) = (setting.token(&idler(next)), home(next));
                coming.spawn(async move { start(from, target, &token).await });
                next += 1;
            }
            if let Some(come) = coming.join_next().await {
                let (mut client, _) = come??;
                self.0.spawn(async move {
                    loop {
                        if let Err(error) = client.next().await {
                            return error;
                        }
                    }
                });
            }
        }
        Ok(())
    }

    /// Those who were sent away.
    fn gone(&mut self) -> usize {
        std::iter::from_fn(|| self.0.try_join_next()).count()
    }
}

pub fn run(setting: &Setting<'_>, options: &Options, verdicts: &mut Verdicts) -> Result<(), Failure> {
    println!(
        "\n## Idle sockets\n\nEach is a client that has started, watches two objects and hears nothing\n"
    );
    let running = setting.start()?;
    let pids = Arc::new(running.pids.clone());
    let resident = || readings::read(&pids).rss_kib as f64 * 1024.0;
    let runtime = super::runtime()?;
    let mut crowd = Crowd::default();
    // The first ones pay for what a daemon needs once: threads, caches, the allocator's reserves.
    let first = options.sockets / 10;
    let (few, many, cpu) = runtime.block_on(async {
        crowd.grow(first, setting, &running).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let few = resident();
        crowd.grow(options.sockets, setting, &running).await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let many = resident();
        let before = readings::read(&pids).cpu_seconds;
        tokio::time::sleep(HELD).await;
        let cpu = (readings::read(&pids).cpu_seconds - before) / HELD.as_secs_f64();
        Ok::<_, Failure>((few, many, cpu))
    })?;
    let counted =
        running.daemon.as_ref().map_or(Ok(0.0), |daemon| daemon.metric("trunkline_sdk_sessions"))?;
    let gone = runtime.block_on(async { crowd.gone() });
    let each = (many - few) / (options.sockets - first) as f64;
    println!(
        "| sockets | RSS MiB with a tenth of them | with all | bytes for each | CPU, of a core | gone after a minute |"
    );
    println!("|---|---|---|---|---|---|");
    let mib = 1_048_576.0;
    println!(
        "| {} | {:.1} | {:.1} | {each:.0} | {:.2} % | {gone} |\n",
        options.sockets,
        few / mib,
        many / mib,
        cpu * 100.0
    );
    drop(crowd);
    runtime.shutdown_background();
    running.stop()?;
    let all = counted as usize == options.sockets && gone == 0;
    verdicts.say(&format!("{counted} of {} sockets held for a minute", options.sockets), all);
    let kib = each / 1024.0;
    verdicts.say(&format!("an idle socket: {kib:.1} KiB beside the kernel's (target 12)"), each <= TARGET);
    Ok(())
}
