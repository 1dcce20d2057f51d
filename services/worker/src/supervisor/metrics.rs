//! `/metrics`: added up from the scoreboard when somebody asks. A process is named by its entry, never by its pid.

mod python;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use monodon_admin::text::Family;

use super::shared::Shared;
use super::usage::Usage;
use crate::scoreboard::{BOUNDS, Class, Entry, METHODS, Snapshot, State, now};

const PREFIX: &str = "monodon_worker";

/// Name, words, and how to read it.
type Figure = (&'static str, &'static str, fn(&Entry) -> u64);
type LiveFigure<'a> = (&'static str, &'static str, &'a dyn Fn(&Entry, &Usage) -> f64);

pub fn render(shared: &Shared) -> String {
    let mut out = String::with_capacity(16 << 10);
    monodon_admin::render_own(PREFIX, env!("CARGO_PKG_VERSION"), &mut out);
    requests(shared, &mut out);
    let help = "Requests refused before the application saw them, by reason";
    python::tally(shared.board.rejections(), &mut out, "monodon_worker_requests_rejected_total", help, "reason");
    python::render(shared, &mut out);
    backlog(shared, &mut out);
    processes(shared, &mut out);
    per_process(shared, &mut out);
    reloads(shared, &mut out);
    let mut family = Family::counter(&mut out, "monodon_worker_log_messages_total", "Messages of the log by level");
    for ((level, _), count) in monodon_logging::counts().zip(shared.log_messages()) {
        family.sample(&[("level", level)], count);
    }
    let lost = monodon_logging::lost() + shared.board.entries().iter().map(Entry::log_lost).sum::<u64>();
    Family::counter(&mut out, "monodon_worker_log_lines_lost_total", "Log lines that nobody read in time")
        .sample(&[], lost);
    out
}

/// Of sockets whose kernel tells it: TCP.
fn backlog(shared: &Shared, out: &mut String) {
    let waiting = shared.backlogs();
    let help = "Connections that wait to be accepted";
    let mut family = Family::gauge(out, "monodon_worker_backlog", help);
    for backlog in &waiting {
        family.sample(&[("listener", &backlog.listener)], backlog.waiting);
    }
    let help = "Connections that may wait to be accepted";
    let mut family = Family::gauge(out, "monodon_worker_backlog_limit", help);
    for backlog in &waiting {
        family.sample(&[("listener", &backlog.listener)], backlog.most);
    }
}

fn requests(shared: &Shared, out: &mut String) {
    let entries = shared.board.entries();
    let mut counts: BTreeMap<(usize, u16), u64> = BTreeMap::new();
    let mut queue = Snapshot::default();
    for entry in entries {
        entry.each_count(|method, code, count| *counts.entry((method, code)).or_default() += count);
        entry.add_queue(&mut queue);
    }
    let mut family =
        Family::counter(out, "monodon_worker_requests_total", "Requests that the application has answered");
    for ((method, code), count) in counts {
        let method = METHODS.get(method).copied().unwrap_or("_OTHER");
        family.sample(&[("interface", "wsgi"), ("method", method), ("code", &code.to_string())], count);
    }
    let mut family = Family::histogram(
        out,
        "monodon_worker_request_duration_seconds",
        "Time with the application, to the last byte it gave",
    );
    let bounds = BOUNDS.map(seconds);
    for (class, name) in Class::NAMES.into_iter().enumerate() {
        let mut sum = Snapshot::default();
        entries.iter().for_each(|entry| entry.add_durations(Class(class), &mut sum));
        if sum.count() > 0 {
            let labels = [("interface", "wsgi"), ("code_class", name)];
            family.buckets(&labels, &bounds, &sum.buckets, seconds(sum.sum));
        }
    }
    Family::histogram(
        out,
        "monodon_worker_request_queue_seconds",
        "From X-Request-Start, as the proxy set it, to the application",
    )
    .buckets(&[], &bounds, &queue.buckets, seconds(queue.sum));
    let totals: [Figure; 6] = [
        ("requests_abandoned_total", "Requests whose client left before it had its answer", Entry::abandoned),
        ("request_bytes_total", "Bytes of request bodies", Entry::bytes_in),
        ("response_bytes_total", "Bytes of response bodies", Entry::bytes_out),
        ("connections_accepted_total", "Connections accepted", Entry::accepted),
        (
            "connections_handed_over_total",
            "Connections given to other processes, when leaving or busy",
            Entry::handed_over,
        ),
        (
            "connections_taken_over_total",
            "Connections taken from a process that was leaving or busy",
            Entry::taken_over,
        ),
    ];
    for (name, help, read) in totals {
        let name = format!("{PREFIX}_{name}");
        Family::counter(out, &name, help).sample(&[], entries.iter().map(read).sum::<u64>());
    }
}

fn processes(shared: &Shared, out: &mut String) {
    let entries = shared.board.entries();
    let mut family = Family::gauge(out, "monodon_worker_processes", "Processes by state");
    for state in State::ALL.into_iter().filter(|state| *state != State::Free) {
        let count = entries.iter().filter(|entry| entry.state() == state).count();
        family.sample(&[("state", state.name())], count);
    }
    let wanted = shared.wanted.load(Relaxed);
    Family::gauge(out, "monodon_worker_processes_wanted", "Processes that there shall be").sample(&[], wanted);
    let slots = shared.board.slots();
    Family::gauge(out, "monodon_worker_slots", "Requests that can be worked on at a time").sample(&[], slots);
    let busy: u32 = entries.iter().map(Entry::in_flight).sum();
    Family::gauge(out, "monodon_worker_requests_in_flight", "Requests that are with the application").sample(&[], busy);
    let mut family = Family::counter(out, "monodon_worker_process_restarts_total", "Processes that ended, by reason");
    for (reason, count) in shared.ends() {
        family.sample(&[("reason", reason.name())], count);
    }
    let mut boot = Snapshot::default();
    shared.boot.add_to(&mut boot);
    Family::histogram(out, "monodon_worker_process_boot_seconds", "From the fork to being ready").buckets(
        &[],
        &BOUNDS.map(seconds),
        &boot.buckets,
        seconds(boot.sum),
    );
}

/// Entries that a process holds, or held: a counter must not vanish.
fn per_process(shared: &Shared, out: &mut String) {
    let used: Vec<(String, &Entry)> = shared
        .board
        .entries()
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.started() > 0)
        .map(|(index, entry)| (index.to_string(), entry))
        .collect();
    let live: Vec<(&str, &Entry, Usage)> = used
        .iter()
        .filter(|(_, entry)| entry.state() != State::Free)
        .filter_map(|(worker, entry)| Some((worker.as_str(), *entry, Usage::of(entry.pid())?)))
        .collect();
    let counters: [Figure; 2] = [
        ("monodon_worker_busy_seconds_total", "Time that requests were with the application", Entry::busy_micros),
        ("monodon_worker_gil_wait_seconds_total", "Time spent waiting for the interpreter's lock", Entry::gil_wait),
    ];
    for (name, help, read) in counters {
        let mut family = Family::counter(out, name, help);
        for (worker, entry) in &used {
            family.sample(&[("worker", worker)], seconds(read(entry)));
        }
    }
    let clock = now();
    let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let gauges: [LiveFigure<'_>; 5] = [
        ("process_resident_memory_bytes", "Resident memory", &|_, usage| usage.resident as f64),
        ("process_start_time_seconds", "When it was forked, since the epoch", &|entry, _| {
            (epoch - seconds(clock.saturating_sub(entry.started()))).round()
        }),
        ("process_current_request_age_seconds", "Age of the oldest request it works on", &|entry, _| {
            let start = entry.request_start();
            if start == 0 { 0.0 } else { seconds(clock.saturating_sub(start)) }
        }),
        ("process_connections", "Connections it holds", &|entry, _| f64::from(entry.connections())),
        ("process_generation", "Which reload it belongs to", &|entry, _| f64::from(entry.generation())),
    ];
    for (name, help, read) in gauges {
        let name = format!("{PREFIX}_{name}");
        let mut family = Family::gauge(out, &name, help);
        for (worker, entry, usage) in &live {
            family.sample(&[("worker", worker)], read(entry, usage));
        }
    }
    let help = "CPU time of the process that holds the entry now";
    let mut family = Family::counter(out, "monodon_worker_process_cpu_seconds_total", help);
    for (worker, _, usage) in &live {
        family.sample(&[("worker", worker)], usage.cpu);
    }
}

fn reloads(shared: &Shared, out: &mut String) {
    let mut family = Family::counter(out, "monodon_worker_reloads_total", "Reloads by result");
    family.sample(&[("result", "done")], shared.reloads.load(Relaxed));
    family.sample(&[("result", "failed")], shared.reload_failures.load(Relaxed));
    Family::gauge(
        out,
        "monodon_worker_config_last_reload_success_timestamp_seconds",
        "When the last reload ended well",
    )
    .sample(&[], shared.reloaded.load(Relaxed));
    Family::gauge(out, "monodon_worker_generation", "Which generation is the newest")
        .sample(&[], shared.generation.load(Relaxed));
    Family::gauge(out, "monodon_worker_draining", "1 while the worker stops")
        .sample(&[], shared.draining.load(Relaxed));
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::scoreboard::{Reason, Scoreboard};

    #[test]
    fn counts_are_added_over_entries_and_named_by_them() {
        let board = Scoreboard::create(3).unwrap();
        let shared = Shared::new(board.clone(), &Config::default());
        for index in [0, 2] {
            let own = board.own(index).unwrap();
            own.begin(std::process::id(), 1, now());
            own.set_ready(1, now());
            own.count_request(0, 200, 1500);
        }
        shared.count_end(Reason::Timeout);
        let text = render(&shared);
        for line in [
            r#"monodon_worker_requests_total{interface="wsgi",method="GET",code="200"} 2"#,
            r#"monodon_worker_request_duration_seconds_bucket{interface="wsgi",code_class="2xx",le="0.0025"} 2"#,
            r#"monodon_worker_processes{state="idle"} 2"#,
            r#"monodon_worker_busy_seconds_total{worker="2"} 0.0015"#,
            r#"monodon_worker_process_restarts_total{reason="timeout"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains(r#"worker="1""#));
    }
}
