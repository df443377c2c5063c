//! The threads that work: a runtime for what comes in, and one beside it for what goes out. Each has half of the processors.
//! With more workers than processors, and with work that goes from one of them to the other, everybody is woken elsewhere,
//! and a message costs a tenth more. One that has a single processor needs no worker either: its own thread does the work,
//! without looking for others who might take some of it, for a fiftieth less.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::Failure;

/// A wake-up a second is nothing, and every time-out is longer.
const TICK: Duration = Duration::from_secs(1);

fn half_of_the_processors() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

fn build(workers: usize, name: &str) -> Result<Runtime, Failure> {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let builder = builder.worker_threads(workers).thread_name(name).enable_all();
    let runtime = builder.build().map_err(|error| Failure::new(&error))?;
    runtime.spawn(tick());
    Ok(runtime)
}

/// A timer that is due before all those that only end what takes too long. Whoever sets one that is due before all others
/// wakes the driver, by a system call, and then for nothing: in a runtime that is often without any that was every send.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

/// A runtime for a command, and for whatever comes in. It works while somebody blocks on it.
pub fn runtime() -> Result<Runtime, Failure> {
    build(half_of_the_processors(), "doors")
}

/// A runtime that works beside the caller's until it is dropped.
pub struct Beside {
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    pub fn start(name: &str) -> Result<Beside, Failure> {
        Beside::with(half_of_the_processors(), name)
    }

    fn with(workers: usize, name: &str) -> Result<Beside, Failure> {
        let runtime = build(workers, name)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Whether it is told to end or left alone is the same.
            let _ = runtime.block_on(ended);
        });
        let thread = thread.map_err(|error| Failure::new(&error))?;
        Ok(Beside { handle, end: Some(end), thread: Some(thread) })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It ends with whatever its tasks are in the middle of, as any runtime does.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_works_unasked_with_one_thread_or_many_and_ends_with_its_tasks() {
        for workers in [1, 2] {
            let beside = Beside::with(workers, "test").unwrap();
            let (tell, told) = oneshot::channel();
            let (hold, held) = oneshot::channel::<()>();
            beside.handle().spawn(async move {
                tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
                std::future::pending::<()>().await;
                drop(hold);
            });
            assert_eq!(told.blocking_recv().unwrap().as_deref(), Some("test"));
            drop(beside);
            assert!(held.blocking_recv().is_err(), "its tasks are gone");
        }
    }
}
