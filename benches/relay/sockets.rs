//! People in browsers: how many sockets are held and what an idle one costs, how fast a busy conversation is told to
//! everybody in it, and how long a client takes to start that is in many.

mod client;
mod deliveries;
mod held;
mod setting;
mod start;

use std::time::Instant;

use super::report::{self, Verdicts};
use super::{Failure, Options, readings};
use setting::Setting;

/// Conversations of the client that is in many.
const MANY: usize = 1000;
/// Milliseconds that its start may take.
const START_TARGET: f64 = 1000.0;

pub fn run(options: &Options, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let setting = Setting::make(options, MANY)?;
    starts(&setting, options, verdicts)?;
    if options.listeners > 0 {
        deliveries::run(&setting, options, verdicts)?;
    }
    if options.sockets > 0 {
        held::run(&setting, options, verdicts)?;
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn starts(setting: &Setting<'_>, options: &Options, verdicts: &mut Verdicts) -> Result<(), Failure> {
    println!("\n## Start of a client in {MANY} conversations\n");
    println!("| until all is read and watched, ms | CPU own, ms | requests | frames | subscriptions |");
    println!("|---|---|---|---|---|");
    let mut times = Vec::new();
    for _ in 0..options.rounds {
        let running = setting.start()?;
        let token = setting.token(setting::BUSY);
        let before = readings::read(&running.pids).cpu_seconds;
        let begun = Instant::now();
        let (_client, cost) = runtime()?.block_on(start::start(setting::HOME, running.target, &token))?;
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let cpu = (readings::read(&running.pids).cpu_seconds - before) * 1000.0;
        if cost.conversations != MANY {
            return Err(format!("a client found {} of its conversations", cost.conversations).into());
        }
        println!("| {took:.0} | {cpu:.0} | {} | {} | {} |", cost.requests, cost.frames, cost.subscriptions);
        running.stop()?;
        times.push(took);
    }
    println!();
    let took = report::middle(times);
    let text = format!("start of a client in {MANY} conversations: {took:.0} ms (target {START_TARGET:.0})");
    verdicts.say(&text, took <= START_TARGET);
    Ok(())
}
