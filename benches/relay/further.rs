//! What rates alone do not show: one hot conversation, a million bindings, a million messages queued to a provider that
//! is not there, idleness, and which system calls a message costs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::generator::Pace;
use super::report::{self, Verdicts, median};
use super::round::{self, Shown};
use super::running::Running;
use super::seed::{self, Plan};
use super::sink::Sink;
use super::stage::Stage;
use super::subject::{Ground, Subject, copy};
use super::works::Work;
use super::{Failure, Options, daemon, readings};

pub const NAMES: [&str; 5] = ["hot", "bindings", "dead", "idle", "syscalls"];

pub fn run(name: &str, options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    match name {
        "hot" => hot(options, sink, verdicts),
        "bindings" => bindings(options, sink, verdicts),
        "dead" => dead(options, sink, verdicts),
        "idle" => idle(options, sink, verdicts),
        _ => syscalls(options, sink),
    }
}

/// More than our daemon can take, so that the requests last for the whole time.
const PLENTY: f64 = 40_000.0;

fn lasting(options: &Options) -> Duration {
    Duration::from_secs_f64(options.seconds)
}

/// One conversation, many connections that write into it: what each says keeps its order.
fn hot(options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    println!(
        "\n## One hot conversation\n\nWhatsApp → SMS, {} connections, one recipient\n",
        options.connections
    );
    let stage = Stage::set(options, sink, Work::WhatsappToSms, 1, (options.seconds * PLENTY) as usize)?;
    let mut drive = stage.drive(Pace::Closed, lasting(options));
    drive.streams = options.connections;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let running = stage.ground.start(Subject::Trunkline)?;
        rounds.push(round::run(sink, &running, &drive)?);
        running.stop()?;
    }
    report::heading();
    report::row("trunkline", &rounds);
    println!();
    let rate = median(&rounds, |shown| shown.relayed);
    verdicts
        .say(&format!("one hot conversation: {rate:.0} messages a second (target 2,000)"), rate >= 2000.0);
    Ok(())
}

/// A stage of a thousand conversations at work, and a store with others beside them.
struct Beside<'a> {
    stage: Stage<'a>,
    /// The same store, grown.
    grown: PathBuf,
}

impl<'a> Beside<'a> {
    fn set(options: &'a Options, sink: &Sink, plan: &Plan) -> Result<Beside<'a>, Failure> {
        let requests = (options.seconds * PLENTY) as usize;
        let stage = Stage::set(options, sink, Work::WhatsappToSms, options.conversations, requests)?;
        let grown = options.folder.join("grown");
        if grown.exists() {
            fs::remove_dir_all(&grown)?;
        }
        copy(&stage.ground.template.join("store"), &grown.join("store"))?;
        let begun = Instant::now();
        seed::fill(&grown.join("store"), &stage.service, plan)?;
        eprintln!("seeded in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(Beside { stage, grown })
    }

    /// Rounds over the plain and the grown store in turn.
    fn rounds(&self, sink: &Sink, further: &str) -> Result<[Vec<Shown>; 2], Failure> {
        let options = self.stage.ground.options;
        let drive = self.stage.drive(Pace::Closed, lasting(options));
        let (mut plain, mut grown) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            for (template, shown) in [(&self.stage.ground.template, &mut plain), (&self.grown, &mut grown)] {
                let ground = Ground {
                    template: template.clone(),
                    further: further.to_owned(),
                    ..self.stage.ground.again()
                };
                let running = ground.start(Subject::Trunkline)?;
                settle(&running)?;
                shown.push(round::run(sink, &running, &drive)?);
                running.stop()?;
            }
        }
        Ok([plain, grown])
    }
}

/// Waits until a daemon that has just started is done with starting: it uses no processor any more.
fn settle(running: &Running) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut before = readings::read(&running.pids).cpu_seconds;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = readings::read(&running.pids).cpu_seconds;
        if now - before <= 0.03 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("the daemon does not come to rest after its start".into());
        }
        before = now;
    }
}

fn bindings(options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let lanes = options.lanes;
    let own = options.conversations;
    let others = (options.many / 2).saturating_sub(own);
    println!(
        "\n## From {} to {} bindings\n\nWhatsApp → SMS; the same {own} conversations are at work\n",
        own * 2,
        (own + others) * 2
    );
    let people = move |at: usize| Work::WhatsappToSms.people(own + at, lanes);
    let plan = Plan { conversations: others, people: Arc::new(people), messages: 0 };
    let beside = Beside::set(options, sink, &plan)?;
    let [plain, grown] = beside.rounds(sink, "")?;
    report::heading();
    report::row(&format!("{} bindings", own * 2), &plain);
    report::row(&format!("{} bindings", (own + others) * 2), &grown);
    println!();
    flat("with all the bindings", &plain, &grown, verdicts);
    let rss = median(&grown, |shown| shown.rss_mib);
    verdicts.say(
        &format!("memory with {} bindings: {rss:.0} MiB (target 600)", (own + others) * 2),
        rss <= 600.0,
    );
    Ok(())
}

fn flat(what: &str, plain: &[Shown], grown: &[Shown], verdicts: &mut Verdicts) {
    let pairs: Vec<Shown> = plain
        .iter()
        .zip(grown)
        .map(|(plain, grown)| Shown { relayed: grown.relayed / plain.relayed, ..Shown::default() })
        .collect();
    let ratio = median(&pairs, |shown| shown.relayed);
    verdicts.say(&format!("{what}: {:.1} % of the rate without (target 90)", ratio * 100.0), ratio >= 0.9);
}

/// Where the dead provider's numbers are.
fn dead_number(lane: usize) -> String {
    format!("+1555002{lane:04}")
}

fn dead(options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let lanes = options.lanes;
    let each = options.many / 1000;
    println!(
        "\n## {} messages queued to a provider that is not there\n\nWhatsApp → SMS through the other lanes\n",
        each * 1000
    );
    let people = move |at: usize| vec![(format!("+1559{at:07}"), dead_number(at % lanes))];
    let plan = Plan { conversations: 1000, people: Arc::new(people), messages: each };
    let beside = Beside::set(options, sink, &plan)?;
    let further = daemon::twilio("dead", sink.dead, (0..lanes).map(dead_number));
    let [plain, grown] = beside.rounds(sink, &further)?;
    report::heading();
    report::row("nothing queued", &plain);
    report::row(&format!("{} queued", each * 1000), &grown);
    println!();
    flat(&format!("with {} messages queued to a dead provider", each * 1000), &plain, &grown, verdicts);
    let rss = median(&grown, |shown| shown.rss_mib);
    let more = (rss - median(&plain, |shown| shown.rss_mib)) * 1_048_576.0 / (each * 1000) as f64;
    // The engine's own caches are in this and do not grow with the queue; a million messages in memory would not fit.
    let text = format!(
        "memory with {} queued messages: {rss:.0} MiB, {more:.0} bytes for each (target 600 MiB)",
        each * 1000
    );
    verdicts.say(&text, rss <= 600.0);
    Ok(())
}

fn idle(options: &Options, sink: &Sink, verdicts: &mut Verdicts) -> Result<(), Failure> {
    println!("\n## Idle\n");
    let stage = Stage::set(options, sink, Work::WhatsappToSms, options.conversations, 1)?;
    let running = stage.ground.start(Subject::Trunkline)?;
    settle(&running)?;
    let seconds = 20.0;
    let before = readings::read(&running.pids);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let after = readings::read(&running.pids);
    running.stop()?;
    let share = (after.cpu_seconds - before.cpu_seconds) / seconds * 100.0;
    println!("{:.0} MiB resident, {} threads", after.rss_kib as f64 / 1024.0, after.threads);
    verdicts.say(&format!("idle: {share:.2} % of a core over {seconds:.0} s (target 0.2)"), share <= 0.2);
    Ok(())
}

/// Counts system calls under load. Tracing slows everything down, so only the counts mean anything, and groups are
/// larger than they would be: a count is a lower bound.
fn syscalls(options: &Options, sink: &Sink) -> Result<(), Failure> {
    println!("\n## System calls a message, WhatsApp → SMS\n");
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("Not counted: strace is not installed.");
        return Ok(());
    }
    let stage = Stage::set(
        options,
        sink,
        Work::WhatsappToSms,
        options.conversations,
        (options.seconds * PLENTY) as usize,
    )?;
    let running = stage.ground.start(Subject::Trunkline)?;
    let table = options.folder.join("strace");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .args(["-p", &running.pids[0].to_string()])
        .stderr(Stdio::null())
        .spawn()?;
    std::thread::sleep(Duration::from_secs(1));
    let shown = round::run(sink, &running, &stage.drive(Pace::Closed, lasting(options)))?;
    let pid = i32::try_from(strace.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    strace.wait()?;
    running.stop()?;
    println!("| call | a message |\n|---|---|");
    for line in fs::read_to_string(&table)?.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(calls), Some(name)) =
            (fields.get(3).and_then(|text| text.parse::<f64>().ok()), fields.last())
        else {
            continue;
        };
        if calls / shown.acks >= 0.005 {
            println!("| {name} | {:.3} |", calls / shown.acks);
        }
    }
    println!(
        "\nof {} messages; {:.4} synced groups a message by the daemon's own count",
        shown.acks, shown.syncs
    );
    Ok(())
}
