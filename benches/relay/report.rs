//! Tables and verdicts.

use super::round::Shown;
use super::tally::Percentiles;

/// The median of one figure over the rounds.
pub fn median(rounds: &[Shown], figure: impl Fn(&Shown) -> f64) -> f64 {
    middle(rounds.iter().map(figure).collect())
}

/// The median.
pub fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => all[count / 2],
        count => (all[count / 2 - 1] + all[count / 2]) / 2.0,
    }
}

/// Counts that must be zero are added up instead: a median would hide them.
fn total(rounds: &[Shown], figure: impl Fn(&Shown) -> f64) -> f64 {
    rounds.iter().map(figure).sum()
}

const COLUMNS: [&str; 16] = [
    "system",
    "accepted/s",
    "relayed/s",
    "ack p50 ms",
    "p99",
    "p99.9",
    "relay p50 ms",
    "p99",
    "p99.9",
    "CPU µs own",
    "CPU µs all",
    "syncs/msg",
    "bytes/msg",
    "RSS MiB",
    "lost / dup / order",
    "refused",
];

pub fn heading() {
    println!("| {} |", COLUMNS.join(" | "));
    println!("|{}", "---|".repeat(COLUMNS.len()));
}

fn figure(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".to_owned() }
}

fn times(of: &[Shown], which: impl Fn(&Shown) -> Percentiles) -> [String; 3] {
    [
        figure(median(of, |shown| which(shown).p50), 2),
        figure(median(of, |shown| which(shown).p99), 2),
        figure(median(of, |shown| which(shown).p999), 2),
    ]
}

pub fn row(name: &str, rounds: &[Shown]) {
    let mut cells = vec![
        name.to_owned(),
        figure(median(rounds, |shown| shown.accepted), 0),
        figure(median(rounds, |shown| shown.relayed), 0),
    ];
    cells.extend(times(rounds, |shown| shown.ack));
    cells.extend(times(rounds, |shown| shown.relay));
    cells.extend([
        figure(median(rounds, |shown| shown.own_cpu), 1),
        figure(median(rounds, |shown| shown.all_cpu), 1),
        figure(median(rounds, |shown| shown.syncs), 4),
        figure(median(rounds, |shown| shown.written), 0),
        figure(median(rounds, |shown| shown.rss_mib), 0),
        format!(
            "{} / {} / {}",
            total(rounds, |shown| shown.lost),
            total(rounds, |shown| shown.duplicates),
            total(rounds, |shown| shown.order_breaks)
        ),
        format!("{}", total(rounds, |shown| shown.refused + shown.unanswered)),
    ]);
    println!("| {} |", cells.join(" | "));
}

/// Targets that were looked at, and whether each was met.
#[derive(Default)]
pub struct Verdicts(Vec<(String, bool)>);

impl Verdicts {
    pub fn say(&mut self, what: &str, met: bool) {
        println!("{} {what}", if met { "met   " } else { "MISSED" });
        self.0.push((what.to_owned(), met));
    }

    pub fn all_met(&self) -> bool {
        self.0.iter().all(|(_, met)| *met)
    }

    /// Everything once more, behind all the tables; and where it counts, how many of each.
    pub fn print(&self, counted: bool) {
        if !self.0.is_empty() {
            println!("\n## Targets\n\n| target | |\n|---|---|");
        }
        for (what, met) in &self.0 {
            println!("| {what} | {} |", if *met { "met" } else { "**missed**" });
        }
        if counted {
            let met = self.0.iter().filter(|(_, met)| *met).count();
            println!("\n{met} passed, {} failed", self.0.len() - met);
        }
    }
}
