//! What `monodon-worker status` is told.

use serde::Serialize;

use super::herd::Herd;
use super::process::{Phase, in_hand};
use super::usage::{Usage, proportional};
use crate::scoreboard::now;

#[derive(Serialize)]
pub struct Status {
    app: String,
    version: &'static str,
    /// Of the interpreter; none before the first zygote is there.
    python: Option<String>,
    pid: u32,
    generation: u32,
    uptime_seconds: u64,
    processes_wanted: usize,
    draining: bool,
    reloading: bool,
    listen: Vec<String>,
    /// Of the own cgroup, without the page cache that can go at once.
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    trouble: Option<String>,
    processes: Vec<Row>,
    /// Processes that ended, by reason.
    restarts: Vec<(&'static str, u64)>,
    /// The last ones, the latest first.
    ended: Vec<Ended>,
}

#[derive(Serialize)]
struct Row {
    worker: usize,
    pid: Option<u32>,
    generation: u32,
    state: &'static str,
    age_seconds: u64,
    /// Resident memory; what is shared with others counts in full.
    rss_bytes: Option<u64>,
    /// Proportional: what is shared counts by the part. None where it was not asked for, or may not be read.
    pss_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    requests: u64,
    connections: u32,
    /// Requests that it works on, or that wait in it for a thread.
    in_flight: u32,
    in_hand: Option<String>,
}

#[derive(Serialize)]
struct Ended {
    worker: usize,
    pid: Option<u32>,
    reason: &'static str,
    seconds_ago: u64,
    words: String,
}

/// How a process ended, as it is remembered.
pub struct Obituary {
    pub worker: usize,
    pub pid: Option<u32>,
    pub reason: &'static str,
    pub at: u64,
    pub words: String,
}

/// So many ends are remembered.
pub const REMEMBERED: usize = 5;

impl Herd {
    pub fn status(&self, pss: bool) -> Status {
        let now = now();
        let seconds = |since: u64| now.saturating_sub(since) / 1_000_000;
        let rows = self.processes.iter().filter_map(|(index, process)| {
            let entry = self.shared.board.entry(*index)?;
            let state = match process.phase {
                Phase::Booting => "starting",
                Phase::Leaving(_) => "draining",
                Phase::Serving | Phase::Killing { .. } => entry.state().name(),
            };
            let usage = process.pid.and_then(Usage::of);
            Some(Row {
                worker: *index,
                pid: process.pid,
                generation: process.generation,
                state,
                age_seconds: seconds(process.forked),
                rss_bytes: usage.as_ref().map(|usage| usage.resident),
                pss_bytes: process.pid.filter(|_| pss).and_then(proportional),
                cpu_seconds: usage.as_ref().map(|usage| usage.cpu),
                requests: entry.served(),
                connections: entry.connections(),
                in_flight: entry.in_flight(),
                in_hand: in_hand(entry),
            })
        });
        let ended = self.ended.iter().rev().map(|one| Ended {
            worker: one.worker,
            pid: one.pid,
            reason: one.reason,
            seconds_ago: seconds(one.at),
            words: one.words.clone(),
        });
        let cgroup = monodon_admin::cgroup::read();
        Status {
            app: self.config.app.clone(),
            version: env!("CARGO_PKG_VERSION"),
            python: self.python.clone(),
            pid: std::process::id(),
            generation: self.generation,
            uptime_seconds: seconds(self.since),
            processes_wanted: self.wanted,
            draining: self.stop.is_some(),
            reloading: self.reload.is_some(),
            listen: self.listeners.addresses(),
            memory_bytes: cgroup.memory_working_set,
            memory_limit_bytes: cgroup.memory_limit,
            trouble: self.shared.trouble(),
            processes: rows.collect(),
            restarts: self.shared.ends().map(|(reason, count)| (reason.name(), count)).collect(),
            ended: ended.collect(),
        }
    }
}
