//! A work through every subject, in interleaved rounds.

use std::sync::Arc;
use std::time::Duration;

use super::generator::{Pace, Pool};
use super::report::{self, Verdicts, median};
use super::round::{self, Shown};
use super::sink::Sink;
use super::stage::Stage;
use super::subject::Subject;
use super::works::Work;
use super::{Failure, Options, kannel};

/// Requests that may be needed in a second of the fastest subject.
const FASTEST: f64 = 70_000.0;

pub fn run(options: &Options, sink: &Sink, work: Work, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let lasting = Duration::from_secs_f64(options.seconds);
    let fastest = FASTEST / work.recipients() as f64;
    let conversations = options.conversations;
    let stage = Stage::set(options, sink, work, conversations, (fastest * options.seconds) as usize)?;
    if let Some(rate) = options.rate {
        return open(sink, &stage, rate, verdicts);
    }
    let mut subjects: Vec<(Subject, Vec<Shown>)> = Vec::new();
    let mut words = Vec::new();
    for subject in Subject::ALL {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == subject.name()) {
            continue;
        }
        let reason = subject.absent().or_else(|| {
            (work.recipients() > 1 && matches!(subject, Subject::Nginx | Subject::Kannel))
                .then(|| "it makes one request of one".to_owned())
        });
        match reason {
            Some(reason) => words.push(format!("{}: not measured: {reason}.", subject.name())),
            None => subjects.push((subject, Vec::new())),
        }
    }
    println!(
        "\n## {}, closed loop\n\n{} conversations, {} connections, {} lanes, {} rounds of {} s, durability = \"{}\"\n",
        work.title(),
        conversations,
        options.connections,
        options.lanes,
        options.rounds,
        options.seconds,
        options.durability
    );
    let kannels = subjects
        .iter()
        .any(|(subject, _)| *subject == Subject::Kannel)
        .then(|| Arc::new(kannel::requests((20_000.0 * options.seconds) as usize, conversations)));
    for _ in 0..options.rounds {
        for (subject, rounds) in &mut subjects {
            let mut drive = stage.drive(Pace::Closed, lasting);
            if let (Subject::Kannel, Some(pool)) = (*subject, &kannels) {
                drive.pool = Arc::<Pool>::clone(pool);
            }
            let running = stage.ground.start(*subject)?;
            let shown = round::run(sink, &running, &drive)?;
            eprintln!(
                "{:<10} accepted {:>7.0}/s relayed {:>7.0}/s ack p99 {:>7.2} ms own CPU {:>6.1} µs lost {} dup {} order {}",
                subject.name(),
                shown.accepted,
                shown.relayed,
                shown.ack.p99,
                shown.own_cpu,
                shown.lost,
                shown.duplicates,
                shown.order_breaks
            );
            rounds.push(shown);
            running.stop()?;
        }
    }
    report::heading();
    for (subject, rounds) in &subjects {
        report::row(subject.name(), rounds);
    }
    println!();
    for (subject, _) in &subjects {
        println!("An acknowledgement of {} survives: {}.", subject.name(), subject.tier(&options.durability));
    }
    for line in words {
        println!("{line}");
    }
    judge(work, &subjects, verdicts);
    let own = subjects.iter().find(|(subject, _)| *subject == Subject::Trunkline);
    match own {
        Some((_, rounds)) if !options.closed_only => {
            let rate = CALM * median(rounds, |shown| shown.relayed) / work.recipients() as f64;
            open(sink, &stage, rate, verdicts)
        }
        _ => Ok(()),
    }
}

/// The part of the closed loop's rate that an open loop is driven with.
const CALM: f64 = 0.7;

/// A fixed rate of arrivals, whatever becomes of them.
fn open(sink: &Sink, stage: &Stage<'_>, rate: f64, verdicts: &mut Verdicts) -> Result<(), Failure> {
    let options = stage.ground.options;
    let mut drive = stage.drive(Pace::Open(rate), Duration::from_secs_f64(options.seconds));
    drive.connections = options.open_connections;
    println!(
        "\n### {}, open loop: {rate:.0} arrivals a second{} over {} connections\n",
        stage.work.title(),
        if options.rate.is_some() { String::new() } else { format!(", {:.0} % of that,", CALM * 100.0) },
        drive.connections
    );
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let running = stage.ground.start(Subject::Trunkline)?;
        rounds.push(round::run(sink, &running, &drive)?);
        running.stop()?;
    }
    report::heading();
    report::row("trunkline", &rounds);
    println!();
    let p99 = median(&rounds, |shown| shown.warm.p99);
    let cold = median(&rounds, |shown| shown.cold.p99);
    let text = format!(
        "{}: p99 of acknowledgement {p99:.1} ms at {rate:.0} a second (target 25 at 70 %), {cold:.1} ms in the first second of a process",
        stage.work.title()
    );
    if options.rate.is_none() && stage.work == Work::WhatsappToSms {
        verdicts.say(&text, p99 <= 25.0);
    } else {
        println!("{text}");
    }
    Ok(())
}

fn judge(work: Work, subjects: &[(Subject, Vec<Shown>)], verdicts: &mut Verdicts) {
    let of =
        |wanted: Subject| subjects.iter().find(|(subject, _)| *subject == wanted).map(|(_, rounds)| rounds);
    let Some(own) = of(Subject::Trunkline) else { return };
    println!();
    let harm = |shown: &Shown| shown.lost + shown.duplicates + shown.order_breaks;
    let worst: f64 = own.iter().map(harm).sum();
    verdicts.say(&format!("{}: nothing lost, doubled or out of order", work.title()), worst == 0.0);
    // Rounds stand beside each other, so the machine's moods are in both.
    let ratio = |other: &Vec<Shown>| {
        let pairs = own
            .iter()
            .zip(other)
            .map(|(own, other)| Shown { relayed: own.relayed / other.relayed, ..Shown::default() });
        median(&pairs.collect::<Vec<_>>(), |shown| shown.relayed)
    };
    if let Some(limit) = of(Subject::Nothing) {
        let found = ratio(limit);
        let text =
            format!("{}: relayed {found:.3} of the do-nothing relay (target 0.40, goal 0.50)", work.title());
        // The target speaks of this work.
        if work == Work::WhatsappToSms { verdicts.say(&text, found >= 0.40) } else { println!("{text}") }
    }
    if let Some(kannel) = of(Subject::Kannel) {
        let found = ratio(kannel);
        let text = format!("{}: relayed {found:.1} × Kannel (target 5)", work.title());
        if work == Work::WhatsappToSms { verdicts.say(&text, found >= 5.0) } else { println!("{text}") }
    }
    for other in [Subject::Passing, Subject::Nginx] {
        if let Some(rounds) = of(other) {
            println!("{}: relayed {:.3} of {}", work.title(), ratio(rounds), other.name());
        }
    }
}
