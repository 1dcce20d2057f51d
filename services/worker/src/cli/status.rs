//! `monodon-worker status`: what the processes do right now, as `top` shows it.

use std::ffi::OsString;
use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use monodon_admin::terminal::{harmless, span};
use serde::Deserialize;

use super::{ask, tell, with_config};

/// What the control socket answers (see `supervisor::status`), as far as the table shows it.
#[derive(Deserialize)]
struct Status {
    app: String,
    generation: u32,
    uptime_seconds: u64,
    processes_wanted: usize,
    draining: bool,
    reloading: bool,
    listen: Vec<String>,
    python: Option<String>,
    memory_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    trouble: Option<String>,
    processes: Vec<Row>,
    restarts: Vec<(String, u64)>,
    ended: Vec<Ended>,
}

#[derive(Deserialize)]
struct Row {
    worker: usize,
    pid: Option<u32>,
    generation: u32,
    state: String,
    age_seconds: u64,
    rss_bytes: Option<u64>,
    pss_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    requests: u64,
    connections: u32,
    in_hand: Option<String>,
}

#[derive(Deserialize)]
struct Ended {
    worker: usize,
    pid: Option<u32>,
    reason: String,
    seconds_ago: u64,
    words: String,
}

pub fn run(arguments: &[OsString], python: &[OsString]) -> ExitCode {
    let has = |flag: &str| arguments.iter().any(|word| word == flag);
    let (json, watch) = (has("--json"), has("--watch"));
    let rest: Vec<OsString> =
        arguments.iter().filter(|word| *word != "--json" && *word != "--watch").cloned().collect();
    with_config(&rest, python, |config| {
        let mut before = None;
        loop {
            // Proportional memory makes the kernel walk through all pages: not every second.
            let question = if watch { "status" } else { "status pss" };
            let shown = ask(&config.control, question).and_then(|answer| {
                if json {
                    return Ok(answer.trim_end().to_owned());
                }
                let status: Status =
                    serde_json::from_str(&answer).map_err(|error| format!("the answer cannot be read: {error}"))?;
                let table = table(&status, before.as_ref());
                before = Some(status);
                Ok(table)
            });
            match shown {
                Ok(text) if watch && !json && std::io::stdout().is_terminal() => tell(&format!("\x1b[H\x1b[2J{text}")),
                Ok(text) => tell(&text),
                Err(words) => {
                    eprintln!("monodon-worker: {words}");
                    return ExitCode::FAILURE;
                }
            }
            if !watch {
                return ExitCode::SUCCESS;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    })
}

/// With what it was a second before: how much since; else over the processes' lives.
fn table(status: &Status, before: Option<&Status>) -> String {
    let mut out = String::new();
    let flag = |yes: bool, words: &'static str| if yes { words } else { "" };
    let serving = status.processes.iter().filter(|row| !matches!(row.state.as_str(), "starting" | "draining")).count();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{} on {}: {serving} of {} processes serve, generation {}, up {}{}{}",
        status.app,
        status.listen.join(", "),
        status.processes_wanted,
        status.generation,
        span(status.uptime_seconds),
        flag(status.reloading, ", reloading"),
        flag(status.draining, ", stopping"),
    );
    let mut facts: Vec<String> = status.python.iter().map(|python| format!("Python {python}")).collect();
    if let Some(used) = status.memory_bytes {
        let limit = status.memory_limit_bytes.map_or_else(String::new, |limit| format!(" of {}", size(limit)));
        facts.push(format!("memory {}{limit}", size(used)));
    }
    let restarts = status.restarts.iter().filter(|(_, count)| *count > 0).map(|(why, count)| format!("{count} {why}"));
    let restarts: Vec<String> = restarts.collect();
    facts.push(format!("ended: {}", if restarts.is_empty() { "none".to_owned() } else { restarts.join(", ") }));
    let _ = writeln!(out, "{}", facts.join("; "));
    if let Some(trouble) = &status.trouble {
        let _ = writeln!(out, "! {trouble}");
    }
    out.push_str("worker     pid  gen  state       age    rss    pss   cpu%   req/s   requests  conns  in hand\n");
    for row in &status.processes {
        let known = before.and_then(|before| before.processes.iter().find(|old| old.pid == row.pid));
        let passed = match (before, known) {
            (Some(before), Some(_)) => status.uptime_seconds.saturating_sub(before.uptime_seconds),
            _ => row.age_seconds,
        };
        let passed = passed.max(1) as f64;
        let cpu = row.cpu_seconds.map(|cpu| cpu - known.and_then(|old| old.cpu_seconds).unwrap_or(0.0));
        let requests = row.requests.saturating_sub(known.map_or(0, |old| old.requests));
        let _ = writeln!(
            out,
            "{:>6} {:>7} {:>4}  {:<9} {:>5} {:>6} {:>6} {:>6} {:>7.1} {:>10} {:>6}  {}",
            row.worker,
            or_dash(row.pid),
            row.generation,
            row.state,
            span(row.age_seconds),
            row.rss_bytes.map_or_else(|| "-".to_owned(), size),
            row.pss_bytes.map_or_else(|| "-".to_owned(), size),
            cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", 100.0 * cpu.max(0.0) / passed)),
            requests as f64 / passed,
            row.requests,
            row.connections,
            row.in_hand.as_deref().unwrap_or("-"),
        );
    }
    for ended in &status.ended {
        let ago = span(ended.seconds_ago);
        let pid = or_dash(ended.pid);
        let _ =
            writeln!(out, "ended {ago} ago: worker {} (pid {pid}): {}: {}", ended.worker, ended.reason, ended.words);
    }
    // What a request's path holds must not move a person's cursor.
    harmless(out.trim_end())
}

fn or_dash(value: Option<u32>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mega @ 0..10_000 => format!("{mega}M"),
        mega => format!("{}G", mega >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(requests: u64, cpu: f64, uptime: u64) -> Status {
        serde_json::from_value(serde_json::json!({
            "app": "shop.wsgi", "generation": 2, "uptime_seconds": uptime, "processes_wanted": 2, "draining": false,
            "reloading": false, "listen": ["http://127.0.0.1:8000"], "python": "3.13.1", "memory_bytes": 200 << 20,
            "memory_limit_bytes": 512 << 20, "trouble": null, "restarts": [["timeout", 1], ["oom", 0]],
            "ended": [{"worker": 1, "pid": 7, "reason": "timeout", "seconds_ago": 90, "words": "GET /slow for 30100 ms"}],
            "processes": [{"worker": 0, "pid": 12, "generation": 2, "state": "busy", "age_seconds": 100,
                "rss_bytes": 90 << 20, "pss_bytes": null, "cpu_seconds": cpu, "requests": requests, "connections": 3,
                "in_hand": "GET /\u{1b}[2J for 12 ms"}],
        }))
        .unwrap()
    }

    #[test]
    fn the_table_shows_rates_since_the_last_look_or_over_the_process_s_life() {
        let first = status(1000, 10.0, 3_700);
        let text = table(&first, None);
        assert!(text.starts_with("shop.wsgi on http://127.0.0.1:8000: 1 of 2 processes serve, generation 2, up 1h01"));
        assert!(text.contains("Python 3.13.1; memory 200M of 512M; ended: 1 timeout\n"), "{text}");
        assert!(text.contains(" 1m40    90M      -   10.0    10.0       1000      3  GET /"), "{text}");
        assert!(text.ends_with("ended 1m30 ago: worker 1 (pid 7): timeout: GET /slow for 30100 ms"));
        assert!(!text.contains('\u{1b}'), "nothing of a request reaches the terminal as it is");
        let text = table(&status(1100, 11.0, 3_702), Some(&first));
        assert!(text.contains("   50.0    50.0       1100"), "{text}");
    }
}
