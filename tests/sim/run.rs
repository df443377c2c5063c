//! One seed from its first moment to its last: lives of the daemon, one after another, until everything is settled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use trunkline::ledger::engine::Follower;
use trunkline::ledger::memory::Memory;
use trunkline::model::AccountSid;
use trunkline_adapter::{Clock, Timestamp};

use crate::auditor::Auditor;
use crate::disk::{Disk, Ears};
use crate::life::{Life, bindings};
use crate::situations::{Fault, Table};
use crate::trace::DAWN;
use crate::verdict;
use crate::workload;
use crate::world::{ACCOUNT, Event, Shared, Tally, World};

/// What came of a seed.
pub struct Ended {
    pub wrong: Vec<String>,
    pub tally: Tally,
    pub table: Table,
    pub sum: u64,
    pub lines: u64,
}

/// Lives of one seed at most. More would mean that nothing ever settles.
const MOST_LIVES: u64 = 60;
/// Once nothing goes wrong any more, everything has left and been told within this time.
const SETTLES: Duration = Duration::from_secs(5 * 3600);
/// What is under way at an orderly end may take this long, as in the daemon.
const DRAIN: Duration = Duration::from_secs(32);

enum End {
    Crash(Fault),
    /// In order; and whether it was clean.
    Stopped(bool),
    Settled,
    Wrong,
    /// Could not start.
    Refused(String),
}

/// Runs a seed. `folder` is where sled keeps its copy, if it is to keep one.
pub fn seed(number: u64, printed: bool, folder: Option<&Path>) -> Ended {
    let poke = Arc::new(Notify::new());
    let world = Arc::new(Mutex::new(World::new(number, printed, poke.clone())));
    let auditor = Arc::new(Auditor::default());
    let ears = Arc::new(Ears::default());
    let followers: Vec<Arc<dyn Follower>> = vec![auditor.clone(), ears.clone()];
    let memory = Arc::new(Memory::unflushed(1_000, followers));
    let disk = Arc::new(Disk::new(memory, poke));
    let account = AccountSid::parse(ACCOUNT).unwrap();
    let shared = Shared { world, auditor, disk, account };
    auditor_of(&shared);
    let ran = catch_unwind(AssertUnwindSafe(|| lives(&shared, &ears, folder)));
    let mut world = shared.world();
    if let Err(panic) = ran {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        world.wrong.push(format!("panicked: {}", said.unwrap_or_default()));
    }
    let mut wrong = crate::panics::take();
    wrong.append(&mut world.wrong);
    wrong.extend(std::mem::take(&mut shared.auditor.books().wrong));
    Ended {
        wrong,
        tally: world.tally.clone(),
        table: world.table.clone(),
        sum: world.trace.sum(),
        lines: world.trace.lines(),
    }
}

fn auditor_of(shared: &Shared) {
    let expire = shared.world().policies.expire;
    shared.auditor.books().expire = expire;
}

fn lives(shared: &Shared, ears: &Ears, folder: Option<&Path>) {
    let mut clean = true;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        let end = runtime.block_on(live(shared, ears, folder, clean));
        // Everything that runs ends here, wherever it stands.
        drop(runtime);
        ears.listen(None);
        match end {
            End::Settled => {
                let wrong = verdict::whole(shared);
                let mut world = shared.world();
                world.tally.virtual_seconds = world.now().since(DAWN).as_secs();
                wrong.into_iter().for_each(|what| world.fault(what));
                return;
            }
            End::Wrong => return,
            End::Crash(how) => {
                shared.world().note(format_args!("{how:?}"));
                shared.world().tally.crashes += 1;
                shared.disk.memory.crash();
                clean = false;
            }
            End::Stopped(orderly) => {
                shared.world().note(format_args!("stopped, clean: {orderly}"));
                shared.world().tally.restarts += 1;
                shared.disk.memory.flush();
                clean = orderly;
            }
            End::Refused(why) => {
                shared.world().note(format_args!("cannot start: {why}"));
                shared.disk.memory.crash();
                clean = false;
            }
        }
        forget(shared);
        let mut world = shared.world();
        if world.life > MOST_LIVES {
            world.fault("there is no end of lives".to_owned());
            return;
        }
    }
}

/// The providers' and callers' side of an end.
fn forget(shared: &Shared) {
    shared.disk.set_conflicts(0);
    shared.disk.take_waiting();
    let mut world = shared.world();
    let wrong = world.sink.crashed(&shared.auditor.books());
    wrong.into_iter().for_each(|what| world.fault(what));
    let down = world.dice.millis(50, 20_000);
    world.end(down);
}

async fn live(shared: &Shared, ears: &Ears, folder: Option<&Path>, clean: bool) -> End {
    let table = bindings(folder, ears, shared).await;
    let clock = Clock::at(shared.world().stopped_at);
    shared.world().begin(clock);
    {
        let mut books = shared.auditor.books();
        books.clock = Some(clock);
        books.life_began = clock.now();
    }
    let starting = Life::start(shared.clone(), table, folder.is_some(), clock, clean);
    let mut driver = Driver {
        shared: shared.clone(),
        clock,
        life: None,
        starting: Some(tokio::spawn(starting)),
        stopping: None,
        sync_at: None,
        settling: None,
        started: false,
    };
    let end = driver.run().await;
    // The time of this life ends with its runtime.
    let mut world = shared.world();
    world.stopped_at = clock.now();
    world.clock = None;
    shared.auditor.books().clock = None;
    end
}

struct Driver {
    shared: Shared,
    clock: Clock,
    life: Option<Arc<Life>>,
    starting: Option<JoinHandle<Result<Life, trunkline::ledger::LedgerError>>>,
    stopping: Option<JoinHandle<bool>>,
    /// When the disk is done with what waits.
    sync_at: Option<Timestamp>,
    /// Since when nothing goes wrong any more.
    settling: Option<Timestamp>,
    started: bool,
}

impl Driver {
    async fn run(&mut self) -> End {
        let poke = self.shared.disk.poke.clone();
        loop {
            if let Some(end) = self.step() {
                return end;
            }
            let now = self.clock.now();
            let event = if self.life.is_some() && self.stopping.is_none() {
                self.shared.world().next_event()
            } else {
                None
            };
            let next = event.into_iter().chain(self.sync_at).chain(self.deadline(now)).min();
            let wait = next.map_or(Duration::from_secs(3600), |at| at.since(now));
            let (starting, stopping) = (&mut self.starting, &mut self.stopping);
            let (begins, stops) = (starting.is_some(), stopping.is_some());
            tokio::select! {
                biased;
                () = poke.notified() => {}
                ended = async { starting.as_mut().unwrap().await }, if begins => {
                    self.starting = None;
                    match ended.unwrap() {
                        Ok(life) => self.life = Some(Arc::new(life)),
                        Err(error) => return End::Refused(error.to_string()),
                    }
                }
                ended = async { stopping.as_mut().unwrap().await }, if stops => {
                    self.stopping = None;
                    return End::Stopped(ended.unwrap());
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// While everything settles, a look every now and then.
    fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.settling.map(|_| now.plus(Duration::from_secs(5)))
    }

    fn step(&mut self) -> Option<End> {
        let shared = self.shared.clone();
        if shared.disk.take_waiting() && self.sync_at.is_none() {
            let wait = shared.world().dice.millis(1, 6);
            self.sync_at = Some(self.clock.now().plus(wait));
        }
        if self.sync_at.is_some_and(|at| at <= self.clock.now()) {
            self.sync_at = None;
            if let Some(end) = self.sync() {
                return Some(end);
            }
        }
        if self.wrong() {
            return Some(End::Wrong);
        }
        if let Some(life) = self.life.clone()
            && self.stopping.is_none()
        {
            if !self.started {
                self.started = true;
                self.check_copy(&life);
            }
            loop {
                let event = shared.world().due();
                let Some(event) = event else { break };
                if let Some(end) = self.happen(event, &life) {
                    return Some(end);
                }
            }
            if shared.world().asked_to_stop {
                self.stop(&life);
            }
            return self.settle(&life);
        }
        None
    }

    fn wrong(&self) -> bool {
        !self.shared.auditor.books().wrong.is_empty() || !self.shared.world().wrong.is_empty()
    }

    fn check_copy(&self, life: &Life) {
        if let Some(differs) = life.copy_differs() {
            self.shared.world().fault(differs);
        }
    }

    /// The disk is done, unless the power goes in this moment.
    fn sync(&mut self) -> Option<End> {
        let shared = &self.shared;
        let (before, after) = {
            let mut world = shared.world();
            let calm = world.calm;
            (!calm && world.dice.in_thousand(5), !calm && world.dice.in_thousand(5))
        };
        if before {
            return Some(self.crash(Fault::CrashBeforeSync));
        }
        let synced = shared.disk.memory.flush();
        shared.disk.take_waiting();
        let batches = shared.auditor.books().batches;
        shared.world().note(format_args!("synced {synced} batches of {batches}"));
        if shared.disk.take_met() > 0 {
            let mut world = shared.world();
            world.reached(Fault::Conflict, &shared.auditor.books());
        }
        after.then(|| self.crash(Fault::CrashAfterSync))
    }

    fn crash(&self, how: Fault) -> End {
        let mut world = self.shared.world();
        world.reached(how, &self.shared.auditor.books());
        End::Crash(how)
    }

    fn happen(&mut self, event: Event, life: &Arc<Life>) -> Option<End> {
        let shared = &self.shared;
        match event {
            Event::Act => workload::act(shared, life),
            Event::Call(place) => workload::deliver(shared, life, place),
            Event::Mended(line) => {
                let mut world = shared.world();
                let address = world.proxies[line].address.clone();
                world.note(format_args!("the token of {address} is right again"));
                world.sink.mistaken.retain(|other| other != &address);
            }
            Event::Back(line) => {
                let mut world = shared.world();
                let address = world.proxies[line].address.clone();
                world.note(format_args!("the provider of {address} is back"));
                world.sink.away.retain(|other| other != &address);
            }
            Event::Room => {
                shared.world().note(format_args!("there is room on the disk"));
                shared.world().full = false;
                shared.disk.memory.set_full(false);
            }
            Event::Returned(adapter) => {
                shared.world().removed.retain(|other| *other != adapter);
                workload::reload(shared, life);
            }
            Event::Crash => return Some(self.crash(Fault::CrashInFlight)),
        }
        None
    }

    /// As the daemon stops: nothing new, what is under way ends, lanes are drained.
    fn stop(&mut self, life: &Arc<Life>) {
        let (shared, life) = (self.shared.clone(), life.clone());
        self.stopping = Some(tokio::spawn(async move {
            for _ in 0..150 {
                if shared.world().requests == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            life.lanes.drain(DRAIN).await
        }));
    }

    /// When the last step is done, nothing goes wrong any more, and everything must come to its end.
    fn settle(&mut self, life: &Arc<Life>) -> Option<End> {
        let shared = self.shared.clone();
        let mut world = shared.world();
        if world.actions_left > 0 {
            return None;
        }
        let now = self.clock.now();
        if !world.calm {
            world.note(format_args!("nothing goes wrong any more"));
            world.calm = true;
            world.call_off();
            world.sink.mistaken.clear();
            world.sink.away.clear();
            world.full = false;
            world.removed.clear();
            shared.disk.memory.set_full(false);
            shared.disk.set_conflicts(0);
            drop(world);
            workload::reload(&shared, life);
            world = shared.world();
        }
        let since = *self.settling.get_or_insert(now);
        let books = shared.auditor.books();
        let idle = books.queue.is_empty() && books.cleanup.is_empty();
        if idle && world.no_events() && world.requests == 0 && self.sync_at.is_none() {
            drop((books, world));
            self.check_copy(life);
            return Some(if self.wrong() { End::Wrong } else { End::Settled });
        }
        if now.since(since) > SETTLES {
            let left = books.queue.values().next().cloned();
            let line = format!(
                "{} sends and {} clean-ups never end; one is {left:?}",
                books.queue.len(),
                books.cleanup.len()
            );
            drop(books);
            world.fault(line);
            return Some(End::Wrong);
        }
        None
    }
}
