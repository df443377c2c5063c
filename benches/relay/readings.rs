//! What the kernel says about processes.

use std::fs;

/// The sum over some processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Processor time, user and system.
    pub cpu_seconds: f64,
    /// Resident now, and at most.
    pub rss_kib: u64,
    pub peak_kib: u64,
    /// Handed to the storage layer, as pages; absent where the kernel does not say.
    pub written_bytes: u64,
    pub threads: u64,
}

/// Linux counts processor time in hundredths of a second for every program that asks here.
const TICKS: f64 = 100.0;

pub fn read(pids: &[u32]) -> Reading {
    pids.iter().map(|pid| one(*pid)).fold(Reading::default(), |sum, one| Reading {
        cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
        rss_kib: sum.rss_kib + one.rss_kib,
        peak_kib: sum.peak_kib + one.peak_kib,
        written_bytes: sum.written_bytes + one.written_bytes,
        threads: sum.threads + one.threads,
    })
}

fn one(pid: u32) -> Reading {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let stat = file("stat");
    // The name in brackets may contain anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let (status, io) = (file("status"), file("io"));
    let line = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Reading {
        cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
        rss_kib: line(&status, "VmRSS:"),
        peak_kib: line(&status, "VmHWM:"),
        written_bytes: line(&io, "write_bytes:"),
        threads: line(&status, "Threads:"),
    }
}

/// A process and everything it started.
pub fn family(pid: u32) -> Vec<u32> {
    let mut pids = vec![pid];
    let mut at = 0;
    while let Some(pid) = pids.get(at).copied() {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    pids
}
